//! What many measurements tell: their median, and how far it can be trusted.

/// A median, and the ends of its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Median {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The median of `figures`; NaN if there are none.
pub(super) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    Median::of(figures).value
}

impl Median {
    /// Of `figures`. The interval lies between two of them, whatever they are distributed like: how many lie below the true
    /// median is binomial, by half, which for as few as twenty is near a normal distribution.
    pub(super) fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let count = figures.len();
        if count == 0 {
            return Self { value: f64::NAN, low: f64::NAN, high: f64::NAN };
        }
        // 1.96 standard deviations, each of half the root.
        let reach = 0.98 * (count as f64).sqrt();
        let below = ((count as f64 / 2.0 - reach).floor() - 1.0).max(0.0) as usize;
        Self {
            value: f64::midpoint(figures[(count - 1) / 2], figures[count / 2]),
            low: figures[below],
            high: figures[count - 1 - below],
        }
    }

    /// With `digits` behind the point.
    pub(super) fn shown(self, digits: usize) -> String {
        let Self { value, low, high } = self;
        format!("{value:.digits$} ({low:.digits$} to {high:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::{Median, median};

    #[test]
    fn a_median_lies_in_the_middle_and_its_interval_around_it() {
        let figures = || (1..=100).rev().map(f64::from);
        // Ranks 40 and 61 of 100: between them lies the median in 96.5 % of all cases, by the binomial distribution.
        assert_eq!(Median::of(figures()), Median { value: 50.5, low: 40.0, high: 61.0 });
        assert_eq!(Median::of([3.0].into_iter()), Median { value: 3.0, low: 3.0, high: 3.0 });
        assert!(median([].into_iter()).is_nan());
        assert_eq!(Median::of(figures()).shown(0), "50 (40 to 61)");
    }
}
