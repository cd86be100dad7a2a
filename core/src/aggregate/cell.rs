//! The figures of one series in one span of time.

use super::histogram::Histogram;
use super::varint;

/// A sum, and how many values went into it: what an average over those that carried the figure needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Values counted.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The largest.
    pub max: u64,
}

impl Sum {
    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.merge(&Self { count: 1, sum: value, max: value });
    }

    /// Adds the values of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// The average; `None` when nothing was counted.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }
}

/// What one request, call or query adds to a cell. Durations are nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// How long it took.
    pub duration: u64,
    /// It counts as an error.
    pub failed: bool,
    /// Rows returned or changed.
    pub rows: u64,
    /// Queries it caused, where known.
    pub db_queries: Option<u64>,
    /// Time in them, where known.
    pub db_time: Option<u64>,
    /// Outgoing calls it caused, where known.
    pub calls: Option<u64>,
    /// Time in them, where known.
    pub call_time: Option<u64>,
    /// Its row, when it may be shown as the one with the most time in the database.
    pub worst_db_row: Option<i64>,
}

/// The figures of one series in one span of time: counts, sums, extremes, histogram. Merging is exact: cells of parts
/// of a span merge to the cell of the span, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Requests, calls or queries.
    pub count: u64,
    /// Those that count as errors.
    pub errors: u64,
    /// Sum of durations, nanoseconds.
    pub sum: u64,
    /// Longest, nanoseconds.
    pub max: u64,
    /// Shortest, nanoseconds; `u64::MAX` when empty.
    pub min: u64,
    /// Rows returned or changed.
    pub rows: u64,
    /// Queries per request.
    pub db_queries: Sum,
    /// Time in queries per request, nanoseconds.
    pub db_time: Sum,
    /// Outgoing calls per request.
    pub calls: Sum,
    /// Time in outgoing calls per request, nanoseconds.
    pub call_time: Sum,
    /// The request with the most time in the database: that time in nanoseconds, and its row.
    pub worst_db: Option<(u64, i64)>,
    /// Durations.
    pub histogram: Histogram,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            count: 0,
            errors: 0,
            sum: 0,
            max: 0,
            min: u64::MAX,
            rows: 0,
            db_queries: Sum::default(),
            db_time: Sum::default(),
            calls: Sum::default(),
            call_time: Sum::default(),
            worst_db: None,
            histogram: Histogram::default(),
        }
    }
}

impl Cell {
    /// Counts one sample.
    pub fn record(&mut self, sample: &Sample) {
        self.count += 1;
        self.errors += u64::from(sample.failed);
        self.sum = self.sum.saturating_add(sample.duration);
        self.max = self.max.max(sample.duration);
        self.min = self.min.min(sample.duration);
        self.rows = self.rows.saturating_add(sample.rows);
        let pairs = [
            (&mut self.db_queries, sample.db_queries),
            (&mut self.db_time, sample.db_time),
            (&mut self.calls, sample.calls),
            (&mut self.call_time, sample.call_time),
        ];
        for (sum, value) in pairs {
            if let Some(value) = value {
                sum.record(value);
            }
        }
        if let (Some(row), Some(time)) = (sample.worst_db_row, sample.db_time) {
            self.worst_db = self.worst_db.max(Some((time, row)));
        }
        self.histogram.record(sample.duration);
    }

    /// Adds the samples of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.errors = self.errors.saturating_add(other.errors);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        self.min = self.min.min(other.min);
        self.rows = self.rows.saturating_add(other.rows);
        self.db_queries.merge(&other.db_queries);
        self.db_time.merge(&other.db_time);
        self.calls.merge(&other.calls);
        self.call_time.merge(&other.call_time);
        self.worst_db = self.worst_db.max(other.worst_db);
        self.histogram.merge(&other.histogram);
    }

    /// Average duration in nanoseconds; 0 when empty.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// Errors per request, 0..=1; 0 when empty.
    pub fn error_rate(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.errors as f64 / self.count as f64 }
    }

    /// Duration at quantile `q` in nanoseconds, within 0.8 % and never outside the extremes seen; 0 when empty.
    pub fn quantile(&self, q: f64) -> u64 {
        // Not `clamp`: of a damaged cell the shortest may exceed the longest.
        self.histogram.quantile(q).map_or(0, |value| value.max(self.min).min(self.max))
    }

    /// The compact form that the store keeps.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        for value in [self.count, self.errors, self.sum, self.max, self.min, self.rows] {
            varint::put(&mut out, value);
        }
        // Most series carry none of these: one byte then.
        let sums = self.sums();
        let mut present = 0_u64;
        for (i, sum) in sums.iter().enumerate() {
            present |= u64::from(sum.count > 0) << i;
        }
        present |= u64::from(self.worst_db.is_some()) << sums.len();
        varint::put(&mut out, present);
        for sum in sums.iter().filter(|s| s.count > 0) {
            for value in [sum.count, sum.sum, sum.max] {
                varint::put(&mut out, value);
            }
        }
        if let Some((time, row)) = self.worst_db {
            varint::put(&mut out, time);
            varint::put(&mut out, row.cast_unsigned());
        }
        self.histogram.encode(&mut out);
        out
    }

    /// Adds the cell whose compact form is `bytes`; `None` when it is none, and this cell is not to be used then.
    pub fn merge_encoded(&mut self, mut bytes: &[u8]) -> Option<()> {
        let bytes = &mut bytes;
        self.count = self.count.saturating_add(varint::take(bytes)?);
        self.errors = self.errors.saturating_add(varint::take(bytes)?);
        self.sum = self.sum.saturating_add(varint::take(bytes)?);
        self.max = self.max.max(varint::take(bytes)?);
        self.min = self.min.min(varint::take(bytes)?);
        self.rows = self.rows.saturating_add(varint::take(bytes)?);
        let present = varint::take(bytes)?;
        let sums = [&mut self.db_queries, &mut self.db_time, &mut self.calls, &mut self.call_time];
        let worst = 1 << sums.len();
        for (i, sum) in sums.into_iter().enumerate() {
            if present & (1 << i) != 0 {
                sum.merge(&Sum {
                    count: varint::take(bytes)?,
                    sum: varint::take(bytes)?,
                    max: varint::take(bytes)?,
                });
            }
        }
        if present & worst != 0 {
            let time = varint::take(bytes)?;
            let row = varint::take(bytes)?.cast_signed();
            self.worst_db = self.worst_db.max(Some((time, row)));
        }
        self.histogram.merge_encoded(bytes)
    }

    /// The longest duration in the compact form, without reading the rest of it. `None` when it is no compact form.
    pub fn longest_encoded(mut bytes: &[u8]) -> Option<u64> {
        let bytes = &mut bytes;
        let [_count, _errors, _sum] = [varint::take(bytes)?, varint::take(bytes)?, varint::take(bytes)?];
        varint::take(bytes)
    }

    fn sums(&self) -> [&Sum; 4] {
        [&self.db_queries, &self.db_time, &self.calls, &self.call_time]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> impl Strategy<Value = Sample> {
        let known = || prop::option::of(0..1_000_000_u64);
        (
            0..10_u64.pow(11),
            any::<bool>(),
            0..100_u64,
            known(),
            known(),
            known(),
            known(),
            any::<Option<i64>>(),
        )
            .prop_map(
                |(duration, failed, rows, db_queries, db_time, calls, call_time, worst_db_row)| Sample {
                    duration,
                    failed,
                    rows,
                    db_queries,
                    db_time,
                    calls,
                    call_time,
                    worst_db_row,
                },
            )
    }

    #[test]
    fn a_damaged_cell_has_some_quantile() {
        let mut cell = Cell::default();
        // Shortest 33, longest 7: found by fuzzing.
        assert!(cell.merge_encoded(&[7, 33, 109, 7, 33, 109, 0, 0, 0, 33, 109]).is_some());
        assert_eq!(cell.quantile(0.5), 7);
    }

    proptest! {
        #[test]
        fn encoded_parts_merge_to_the_whole(samples in prop::collection::vec(sample(), 0..40), at in 0..40_usize) {
            let (left, right) = samples.split_at(at.min(samples.len()));
            let of = |samples: &[Sample]| samples.iter().fold(Cell::default(), |mut cell, s| { cell.record(s); cell });
            let mut merged = Cell::default();
            prop_assert!(merged.merge_encoded(&of(right).encode()).is_some());
            prop_assert!(merged.merge_encoded(&of(left).encode()).is_some());
            let whole = of(&samples);
            prop_assert_eq!(merged.encode(), whole.encode());
            prop_assert_eq!(Cell::longest_encoded(&whole.encode()), Some(whole.max));
            prop_assert_eq!(merged.mean(), whole.mean());
            let mut added = of(left);
            added.merge(&of(right));
            prop_assert_eq!(added.encode(), whole.encode());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut cell = Cell::default();
            if cell.merge_encoded(&bytes).is_some() {
                let _ = (cell.quantile(0.5), cell.mean(), cell.error_rate());
            }
        }
    }
}
