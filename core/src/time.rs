//! Time as data: nanoseconds of the kernel's monotonic clock, handed in with every event.

use std::ops::Sub;
use std::time::Duration;

/// Nanoseconds since boot (`CLOCK_MONOTONIC`), as the kernel's `bpf_ktime_get_ns` gives them.
///
/// The core never converts it to wall-clock time; the pipeline does, at its edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Time passed since `earlier`; zero where `earlier` is later (events of two CPUs may be off by a little).
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This time moved forward by `by`.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}
