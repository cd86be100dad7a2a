use proptest::prelude::*;

use super::*;

/// A request with its whole reply, and what must be told of it.
#[derive(Clone)]
struct Turn {
    request: Vec<u8>,
    reply: Vec<u8>,
    told: Vec<(String, Option<u64>)>,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\" -> \"{}\"", self.request.escape_ascii(), self.reply.escape_ascii())
    }
}

/// Statement `number`: the number is in its text and in its row count, so that a reply cannot be given to another.
fn turn(kind: u8, number: u32, size: usize) -> Turn {
    let text = format!("SELECT c{number} FROM t");
    let run =
        [parse("", &format!("{text} WHERE a = $1")), bind("", "", &vec![b'x'; size]), execute("")].concat();
    let done =
        [message(b'1', ""), message(b'2', ""), row(size), complete(&format!("SELECT {number}"))].concat();
    let told = (format!("{text} WHERE a = ?"), Some(u64::from(number)));
    match kind % 4 {
        0 => Turn {
            request: query(&format!("{text} WHERE a = '{}'", "x".repeat(size))),
            reply: [row(size), complete(&format!("SELECT {number}")), ready("I")].concat(),
            told: vec![told],
        },
        1 => Turn { request: [run, sync()].concat(), reply: [done, ready("I")].concat(), told: vec![told] },
        2 => Turn {
            request: [run.clone(), run, sync()].concat(),
            reply: [done.clone(), done, ready("I")].concat(),
            told: vec![told.clone(), told],
        },
        _ => Turn {
            request: [run, sync()].concat(),
            reply: [message(b'1', ""), error("ERROR", "22012"), ready("I")].concat(),
            told: vec![(format!("{text} WHERE a = ?"), None)],
        },
    }
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    prop::collection::vec((any::<u8>(), prop_oneof![3 => 0..60usize, 1 => 200..3000usize]), 1..8).prop_map(
        |turns| {
            turns.into_iter().zip(1000..).map(|((kind, size), number)| turn(kind, number, size)).collect()
        },
    )
}

fn told(fed: &Fed) -> Vec<(String, Option<u64>)> {
    fed.out.exchanges.iter().map(sql).map(|sql| (sql.statement.text.clone(), sql.rows)).collect()
}

/// Cuts bytes at these places and leaves out those pieces.
fn pieces(direction: Direction, bytes: &[u8], cuts: &[prop::sample::Index], gaps: u64) -> Vec<Piece> {
    let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
    at.sort_unstable();
    let piece = |(index, range): (usize, &[usize])| match gaps >> (index % 64) & 1 {
        0 => Piece::Bytes(direction, bytes[range[0]..range[1]].to_vec()),
        _ => Piece::Gap(direction, (range[1] - range[0]) as u64),
    };
    at.windows(2).enumerate().map(piece).collect()
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..6)
}

proptest! {
    #[test]
    fn where_the_bytes_are_cut_changes_nothing(turns in turns(), asked in cuts(), answered in cuts()) {
        let mut fed = connected();
        for turn in &turns {
            fed.pieces(&pieces(Direction::Write, &turn.request, &asked, 0));
            fed.pieces(&pieces(Direction::Read, &turn.reply, &answered, 0));
        }
        let expected: Vec<_> = turns.iter().flat_map(|turn| turn.told.clone()).collect();
        prop_assert_eq!(told(&fed), expected);
        prop_assert_eq!(&fed.out.losses, &Losses::default());
        prop_assert_eq!(fed.session.in_flight(), 0);
    }

    #[test]
    fn gaps_make_it_say_less_and_never_something_else(
        turns in turns(), asked in cuts(), answered in cuts(), gaps in any::<u64>(), more_gaps in any::<u64>()
    ) {
        // Few pieces are left out: else nothing is left to be said.
        let gaps = gaps & more_gaps;
        let mut all = Vec::new();
        for (turn, shift) in turns.iter().zip(0..) {
            all.extend(pieces(Direction::Write, &turn.request, &asked, gaps.rotate_right(shift * 9)));
            all.extend(pieces(Direction::Read, &turn.reply, &answered, gaps.rotate_right(shift * 9 + 5)));
        }
        let mut fed = connected();
        fed.pieces(&all).close(CloseReason::Local);
        let happened: Vec<_> = turns.iter().flat_map(|turn| turn.told.clone()).collect();
        let reported = fed.out.losses != Losses::default()
            || fed.out.exchanges.iter().any(|exchange| exchange.outcome != Outcome::Complete);
        prop_assert!(reported || fed.out.exchanges.len() == happened.len());
        for exchange in fed.out.exchanges.iter().filter(|exchange| exchange.outcome == Outcome::Complete) {
            let (text, rows) = (&sql(exchange).statement.text, sql(exchange).rows);
            let number = text.strip_prefix("SELECT c").and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
            if let (Some(number), Some(rows)) = (number.filter(|&number| number >= 1000), rows) {
                prop_assert_eq!(number, rows, "the reply of another: {:?}", all);
            }
        }
        // Two turns without gaps later all is well again.
        let before = fed.out.exchanges.len();
        fed.server(ready("I"));
        for turn in [turn(0, 5000, 5), turn(1, 5001, 5)] {
            fed.client(&turn.request).server(&turn.reply);
        }
        let after = told(&fed);
        prop_assert_eq!(after[before..].last(), Some(&("SELECT c5001 FROM t WHERE a = ?".to_owned(), Some(5001))));
    }

    #[test]
    fn any_bytes_are_taken(
        from_start in any::<bool>(),
        chunks in prop::collection::vec((any::<bool>(), prop::collection::vec(prop_oneof![
            any::<u8>(), prop::sample::select(b"\0\0\0\0\x04\x05QPBDEFCHSX123ZTRKNAGWIVnst".to_vec())
        ], 0..60), 0..200u64), 0..30)
    ) {
        let mut fed = if from_start { connected() } else { Fed::new(false) };
        for (write, bytes, gap) in chunks {
            let direction = if write { Direction::Write } else { Direction::Read };
            fed.piece(&Piece::Bytes(direction, bytes));
            if gap > 150 {
                fed.piece(&Piece::Gap(direction, gap));
            }
        }
        fed.close(CloseReason::Reset);
        prop_assert_eq!(fed.session.in_flight(), 0);
    }
}
