//! Which buckets cover a window.

/// Widths of the rollup levels in seconds, finest first. Each divides the next.
///
/// Seconds, tens, minutes, hours and days: whatever a window's length, a few dozen buckets cover it.
pub const LEVELS: [i64; 5] = [1, 10, 60, 3600, 86_400];

/// Where each kind of data begins; older data was deleted. Unix seconds, multiples of the level's width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floors {
    /// First second with all its raw rows.
    pub raw: i64,
    /// First whole bucket per level.
    pub levels: [i64; LEVELS.len()],
}

/// A part of a window, and where its figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Raw rows with `from <= time < to`, in microseconds.
    Raw {
        /// First microsecond.
        from: i64,
        /// First microsecond after it.
        to: i64,
    },
    /// Buckets of a level that start at `from <= start < to`, in seconds.
    Buckets {
        /// Index into [`LEVELS`].
        level: usize,
        /// Start of the first bucket.
        from: i64,
        /// First second after the last one.
        to: i64,
    },
}

const MICROS: i64 = 1_000_000;

/// Covers the window that starts at `from` (microseconds) and has no end with spans that neither overlap nor leave a gap.
///
/// Buckets hold everything before second `rolled_until`, at every level; the rest is raw. The window's first fraction
/// of a second is raw too while raw rows reach back so far. Otherwise the window starts with the whole bucket that
/// contains `from`, of the finest level that reaches back to it. `coarsest` bounds the width of the buckets used.
pub fn plan(from: i64, rolled_until: i64, floors: &Floors, coarsest: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    let from = from.max(0);
    let rolled = rolled_until.max(0);
    if from >= rolled * MICROS {
        spans.push(Span::Raw { from, to: i64::MAX });
        return spans;
    }
    let mut at = from.div_euclid(MICROS);
    if from % MICROS != 0 && at >= floors.raw {
        at += 1;
        spans.push(Span::Raw { from, to: at * MICROS });
    }
    // The finest level that reaches back far enough; the coarsest allowed where none does.
    let mut level = (0..coarsest)
        .find(|level| at.div_euclid(LEVELS[*level]) * LEVELS[*level] >= floors.levels[*level])
        .unwrap_or(coarsest);
    at = at.div_euclid(LEVELS[level]) * LEVELS[level];
    // Up through the levels to each one's first boundary; the last takes all that remains.
    while at < rolled {
        let to = if level == coarsest {
            i64::MAX
        } else {
            // Past `rolled` this may go: a bucket holds what is rolled of it and no more.
            at + (-at).rem_euclid(LEVELS[level + 1])
        };
        if to > at {
            spans.push(Span::Buckets { level, from: at, to });
        }
        at = to;
        level += 1;
    }
    spans.push(Span::Raw { from: rolled * MICROS, to: i64::MAX });
    spans
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_hour_takes_few_buckets() {
        let spans = plan(100_003_500_000, 103_603, &Floors::default(), 4);
        assert_eq!(
            spans,
            [
                Span::Raw { from: 100_003_500_000, to: 100_004_000_000 },
                Span::Buckets { level: 0, from: 100_004, to: 100_010 },
                Span::Buckets { level: 1, from: 100_010, to: 100_020 },
                Span::Buckets { level: 2, from: 100_020, to: 100_800 },
                Span::Buckets { level: 3, from: 100_800, to: 172_800 },
                Span::Raw { from: 103_603_000_000, to: i64::MAX },
            ]
        );
    }

    #[test]
    fn before_the_finest_level_the_window_starts_with_a_whole_bucket() {
        let floors = Floors { raw: 100_000, levels: [99_000, 0, 0, 0, 0] };
        assert_eq!(
            plan(95_005_500_000, 103_603, &floors, 4)[0],
            Span::Buckets { level: 1, from: 95_000, to: 95_040 }
        );
        assert_eq!(
            plan(99_005_500_000, 103_603, &floors, 4)[0],
            Span::Buckets { level: 0, from: 99_005, to: 99_010 }
        );
    }

    proptest! {
        /// Every microsecond of the window belongs to exactly one span, where buckets count up to `rolled` only.
        #[test]
        fn spans_tile_the_window(from in 0..200_000_i64 * MICROS, rolled in 0..200_000_i64, coarsest in 0..5_usize) {
            let mut at = from;
            for span in plan(from, rolled, &Floors::default(), coarsest) {
                let (start, end) = match span {
                    Span::Raw { from, to } => (from, to),
                    Span::Buckets { level, from, to } => {
                        prop_assert!(level <= coarsest && from % LEVELS[level] == 0);
                        prop_assert!(from < rolled && to > from);
                        (from.min(rolled) * MICROS, to.min(rolled) * MICROS)
                    }
                };
                prop_assert_eq!(start, at);
                at = end;
            }
            prop_assert_eq!(at, i64::MAX);
        }
    }
}
