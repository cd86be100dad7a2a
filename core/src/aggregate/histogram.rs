//! Latency histograms that merge exactly and answer percentiles within 0.8 %.
//!
//! Values fall into buckets of a fixed log-linear scale: 64 buckets per power of two, so that a bucket is at most
//! 1/64 of its lower bound wide and its middle is at most 1/128 off any value in it. Every histogram has the same
//! scale: merging adds counts, and it does not matter in which order. (`hdrhistogram` has the same scale and accuracy;
//! its smallest histogram takes 15 KB and its decoder allocates one for each, which a query that merges some thousand
//! cells cannot afford.)

use super::varint;

/// Buckets per power of two.
const PER_OCTAVE: u64 = 64;
/// log2 of [`PER_OCTAVE`].
const OCTAVE_BITS: u32 = 6;
/// Highest bucket of the scale: the one of `u64::MAX`.
const LAST: u64 = ((63 - OCTAVE_BITS + 1) as u64) * PER_OCTAVE + PER_OCTAVE - 1;

/// Counts of values by bucket, from the lowest to the highest bucket in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    first: usize,
    counts: Vec<u64>,
}

/// The bucket of `value`; monotonic.
fn bucket(value: u64) -> usize {
    if value < PER_OCTAVE {
        return value as usize;
    }
    let exponent = 63 - value.leading_zeros();
    let shift = exponent - OCTAVE_BITS;
    ((u64::from(shift + 1) << OCTAVE_BITS) | ((value >> shift) & (PER_OCTAVE - 1))) as usize
}

/// Lower bound and width of a bucket.
fn bounds(bucket: usize) -> (u64, u64) {
    let bucket = bucket as u64;
    if bucket < PER_OCTAVE {
        return (bucket, 1);
    }
    let shift = (bucket >> OCTAVE_BITS) - 1;
    ((PER_OCTAVE | (bucket & (PER_OCTAVE - 1))) << shift, 1 << shift)
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.add(bucket(value), 1);
    }

    /// Adds all counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.buckets() {
            self.add(bucket, count);
        }
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The value at quantile `q` (0..=1) by nearest rank: the smallest value that at least `q` of all values do not
    /// exceed, given as the middle of its bucket. `None` when empty.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let total = self.count();
        let rank = ((q * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.buckets() {
            seen = u64::saturating_add(seen, count);
            if seen >= rank {
                let (low, width) = bounds(bucket);
                return Some(low + (width - 1) / 2);
            }
        }
        None
    }

    /// Non-empty buckets as (lower bound, width, count), ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.buckets().map(|(bucket, count)| {
            let (low, width) = bounds(bucket);
            (low, width, count)
        })
    }

    /// Appends the compact form: for each non-empty bucket, ascending, the distance from the one before and its count.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut next = 0;
        for (bucket, count) in self.buckets() {
            varint::put(out, (bucket - next) as u64);
            varint::put(out, count);
            next = bucket + 1;
        }
    }

    /// Adds the counts in `bytes`, the compact form with nothing after it. `None` when it is no compact form; the
    /// counts before the fault have been added then.
    pub fn merge_encoded(&mut self, mut bytes: &[u8]) -> Option<()> {
        let mut next = 0_u64;
        while !bytes.is_empty() {
            // Nearly all numbers take a byte: a question about an hour by seconds decodes millions of them.
            let (distance, count) = match bytes {
                [distance, count, rest @ ..] if (distance | count) & 0x80 == 0 => {
                    bytes = rest;
                    (u64::from(*distance), u64::from(*count))
                }
                _ => (varint::take(&mut bytes)?, varint::take(&mut bytes)?),
            };
            let bucket = next.checked_add(distance).filter(|b| *b <= LAST)?;
            let here = (bucket as usize).checked_sub(self.first).and_then(|at| self.counts.get_mut(at));
            match here {
                Some(sum) => *sum = sum.saturating_add(count),
                None => self.add(bucket as usize, count),
            }
            next = bucket + 1;
        }
        Some(())
    }

    fn buckets(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(i, count)| (self.first + i, *count))
    }

    fn add(&mut self, bucket: usize, count: u64) {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            // Room for an octave more than needed: latencies do not arrive sorted.
            let first = bucket.saturating_sub(PER_OCTAVE as usize);
            self.counts.splice(0..0, std::iter::repeat_n(0, self.first - first));
            self.first = first;
        }
        let index = bucket - self.first;
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] = self.counts[index].saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_cover_every_number_without_gap_or_overlap() {
        let mut next = 0_u64;
        for b in 0..=LAST as usize {
            let (low, width) = bounds(b);
            assert_eq!(low, next);
            assert_eq!(bucket(low), b);
            assert_eq!(bucket(low + (width - 1)), b);
            assert!(width == 1 || width <= low / PER_OCTAVE);
            next = low.wrapping_add(width);
        }
        assert_eq!(next, 0);
    }

    proptest! {
        #[test]
        fn percentiles_are_within_one_percent(mut values in prop::collection::vec(0..10_u64.pow(12), 1..300), q in 0.0..=1.0_f64) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|v| histogram.record(*v));
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1] as f64;
            let answer = histogram.quantile(q).unwrap() as f64;
            prop_assert!((answer - exact).abs() <= exact * 0.01, "{answer} for {exact}");
        }

        #[test]
        fn merged_parts_equal_the_whole(values in prop::collection::vec(any::<u64>(), 0..200), at in 0..200_usize) {
            let at = at.min(values.len());
            let of = |values: &[u64]| {
                let mut histogram = Histogram::default();
                values.iter().for_each(|v| histogram.record(*v));
                histogram
            };
            let mut bytes = Vec::new();
            of(&values[at..]).encode(&mut bytes);
            let mut merged = of(&values[..at]);
            prop_assert!(merged.merge_encoded(&bytes).is_some());
            let whole = of(&values);
            prop_assert!(merged.iter().eq(whole.iter()));
            prop_assert_eq!(merged.count(), values.len() as u64);
            let mut twice = whole.clone();
            twice.merge(&whole);
            prop_assert_eq!(twice.count(), 2 * values.len() as u64);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Histogram::default().merge_encoded(&bytes);
        }
    }
}
