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

/// How far raw rows have gone into buckets. Unix seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rolled {
    /// Buckets of the finest level hold everything before this second.
    pub fine: i64,
    /// Buckets of all other levels hold everything before this second, which is not later than `fine`.
    pub coarse: i64,
}

/// Covers the window that starts at `from` (microseconds) and has no end with spans that neither overlap nor leave a gap.
///
/// What no bucket holds yet is raw. The window's first fraction of a second is raw too while raw rows and the finest buckets reach
/// back so far. Otherwise the window starts with the whole bucket that contains `from`, of the finest level that reaches back to
/// it. `coarsest` bounds the width of the buckets used.
pub fn plan(from: i64, rolled: Rolled, floors: &Floors, coarsest: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    let from = from.max(0);
    let fine = rolled.fine.max(0);
    let coarse = rolled.coarse.clamp(0, fine);
    if from >= fine * MICROS {
        spans.push(Span::Raw { from, to: i64::MAX });
        return spans;
    }
    let mut at = from.div_euclid(MICROS);
    // A coarser bucket holds that fraction, too.
    if from % MICROS != 0 && at >= floors.raw && at >= floors.levels[0] {
        at += 1;
        spans.push(Span::Raw { from, to: at * MICROS });
    }
    // The finest level that reaches back far enough; the coarsest allowed where none does.
    let mut level = (0..coarsest)
        .find(|level| at.div_euclid(LEVELS[*level]) * LEVELS[*level] >= floors.levels[*level])
        .unwrap_or(coarsest);
    if at >= coarse {
        level = 0;
    }
    at = at.div_euclid(LEVELS[level]) * LEVELS[level];
    // Up through the levels to each one's first boundary; the last takes all that remains.
    while at < if level == 0 { fine } else { coarse } {
        let to = if level == coarsest {
            i64::MAX
        } else {
            // Past `coarse` this may go: a bucket holds what is rolled of it and no more.
            at + (-at).rem_euclid(LEVELS[level + 1])
        };
        if to > at {
            spans.push(Span::Buckets { level, from: at, to });
        }
        at = if level == 0 { to } else { to.min(coarse) };
        level += 1;
    }
    // Since then there are seconds only.
    if at < fine {
        spans.push(Span::Buckets { level: 0, from: at, to: i64::MAX });
    }
    spans.push(Span::Raw { from: fine * MICROS, to: i64::MAX });
    spans
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the store leaves it: all levels but the finest are ten seconds behind at most.
    fn rolled(fine: i64) -> Rolled {
        Rolled { fine, coarse: fine - fine % 10 }
    }

    #[test]
    fn an_hour_takes_few_buckets() {
        let spans = plan(100_003_500_000, rolled(103_603), &Floors::default(), 4);
        assert_eq!(
            spans,
            [
                Span::Raw { from: 100_003_500_000, to: 100_004_000_000 },
                Span::Buckets { level: 0, from: 100_004, to: 100_010 },
                Span::Buckets { level: 1, from: 100_010, to: 100_020 },
                Span::Buckets { level: 2, from: 100_020, to: 100_800 },
                Span::Buckets { level: 3, from: 100_800, to: 172_800 },
                Span::Buckets { level: 0, from: 103_600, to: i64::MAX },
                Span::Raw { from: 103_603_000_000, to: i64::MAX },
            ]
        );
    }

    #[test]
    fn before_the_finest_level_the_window_starts_with_a_whole_bucket() {
        let floors = Floors { raw: 100_000, levels: [99_000, 0, 0, 0, 0] };
        assert_eq!(
            plan(95_005_500_000, rolled(103_603), &floors, 4)[0],
            Span::Buckets { level: 1, from: 95_000, to: 95_040 }
        );
        // Raw rows may be kept for longer than the finest buckets.
        let floors = Floors { raw: 90_000, ..floors };
        assert_eq!(
            plan(95_005_500_000, rolled(103_603), &floors, 4)[0],
            Span::Buckets { level: 1, from: 95_000, to: 95_040 }
        );
        let floors = Floors { raw: 100_000, ..floors };
        assert_eq!(
            plan(99_005_500_000, rolled(103_603), &floors, 4)[0],
            Span::Buckets { level: 0, from: 99_005, to: 99_010 }
        );
    }

    proptest! {
        /// Every microsecond of the window belongs to exactly one span, where buckets count up to what is rolled only.
        #[test]
        fn spans_tile_the_window(
            from in 0..200_000_i64 * MICROS,
            fine in 0..200_000_i64,
            behind in 0..30_i64,
            coarsest in 0..5_usize,
        ) {
            let coarse = (fine - behind).max(0);
            let mut at = from;
            for span in plan(from, Rolled { fine, coarse }, &Floors::default(), coarsest) {
                let (start, end) = match span {
                    Span::Raw { from, to } => (from, to),
                    Span::Buckets { level, from, to } => {
                        prop_assert!(level <= coarsest && from % LEVELS[level] == 0);
                        let rolled = if level == 0 { fine } else { coarse };
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
