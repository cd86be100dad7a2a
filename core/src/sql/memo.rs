//! What statements that were met lately came to: applications send the same texts again and again.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::{Dialect, Normalised};

/// Texts remembered: each has one place, by its hash, and takes it from the one before.
const SLOTS: usize = 512;
/// Statements of one text that are remembered; what holds more is read each time.
const STATEMENTS_MAX: usize = 16;
/// Longest text that is remembered, bytes: all together take 4 MB at most.
const TEXT_MAX: usize = 4096;

/// What is asked of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// It is one statement, whatever semicolons it holds.
    Statement,
    /// It may hold several.
    Script,
}

/// The statements of lately met texts. Of a text, which may hold literals, it keeps two keyed 64-bit hashes and no byte.
#[derive(Default)]
pub struct Memo {
    keys: [RandomState; 2],
    slots: Vec<Option<Slot>>,
}

struct Slot {
    hash: [u64; 2],
    statements: Arc<[Arc<Normalised>]>,
}

impl Memo {
    /// The statements of a text: those that `make` came to before, or comes to now.
    pub(crate) fn statements(
        &mut self,
        text: &[u8],
        dialect: Dialect,
        form: Form,
        make: impl FnOnce() -> Arc<[Arc<Normalised>]>,
    ) -> Arc<[Arc<Normalised>]> {
        if text.len() > TEXT_MAX {
            return make();
        }
        let hash = self.keys.each_ref().map(|keys| keys.hash_one((dialect, form, text)));
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let place = usize::try_from(hash[0] % SLOTS as u64).unwrap_or(0);
        let Some(slot) = self.slots.get_mut(place) else { return make() };
        if let Some(known) = slot.as_ref().filter(|known| known.hash == hash) {
            return Arc::clone(&known.statements);
        }
        let statements = make();
        if statements.len() <= STATEMENTS_MAX {
            *slot = Some(Slot { hash, statements: Arc::clone(&statements) });
        }
        statements
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo").field("texts", &self.slots.iter().flatten().count()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::normalise;
    use super::*;

    fn of(text: &str) -> Arc<[Arc<Normalised>]> {
        [Arc::new(normalise(text.as_bytes(), Dialect::Postgres))].into()
    }

    fn ask(memo: &mut Memo, text: &str, dialect: Dialect, form: Form) -> (String, bool) {
        let mut made = false;
        let statements = memo.statements(text.as_bytes(), dialect, form, || {
            made = true;
            of(text)
        });
        (statements[0].text.clone(), made)
    }

    #[test]
    fn a_text_is_read_once_for_each_way_to_read_it() {
        let mut memo = Memo::default();
        for dialect in Dialect::ALL {
            for form in [Form::Statement, Form::Script] {
                for made in [true, false, false] {
                    assert_eq!(ask(&mut memo, "SELECT 1", dialect, form), ("SELECT ?".to_owned(), made));
                }
            }
        }
        assert_eq!(
            ask(&mut memo, "SELECT 2", Dialect::Postgres, Form::Statement),
            ("SELECT ?".to_owned(), true)
        );
    }

    #[test]
    fn many_texts_take_each_others_places_and_are_never_mixed_up() {
        let mut memo = Memo::default();
        let mut read = 0;
        for _ in 0..2 {
            for n in 0..5 * SLOTS {
                let (text, made) =
                    ask(&mut memo, &format!("SELECT a FROM t{n}"), Dialect::Postgres, Form::Statement);
                assert_eq!(text, format!("SELECT a FROM t{n}"));
                read += usize::from(made);
            }
        }
        assert!(read > 5 * SLOTS, "it holds more than it may");
        assert!(memo.slots.iter().flatten().count() <= SLOTS);
    }

    #[test]
    fn a_text_that_is_long_or_holds_very_many_statements_is_not_kept() {
        let mut memo = Memo::default();
        for (len, count, is_kept) in [
            (TEXT_MAX, STATEMENTS_MAX, true),
            (TEXT_MAX + 1, STATEMENTS_MAX, false),
            (TEXT_MAX - 1, STATEMENTS_MAX + 1, false),
        ] {
            let some: Arc<[_]> = (0..count).map(|_| Arc::new(Normalised::default())).collect();
            let mut made = 0;
            for _ in 0..2 {
                let got = memo.statements(&vec![b'x'; len], Dialect::Postgres, Form::Script, || {
                    made += 1;
                    Arc::clone(&some)
                });
                assert_eq!(got.len(), count);
            }
            assert_eq!(made == 1, is_kept, "{count} statements in {len} bytes");
        }
    }
}
