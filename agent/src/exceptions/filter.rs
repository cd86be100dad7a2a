//! Which exceptions on their way tell of a failure, and which functions are to be muted.

use std::collections::HashMap;
use std::time::Duration;

use apm_agent_ebpf::{Muted, RaisedFrame};
use apm_core::time::Time;

/// Exceptions that may leave a function of a library without having passed the application before it is muted.
const NOISE_MAX: u32 = 50;
/// Exceptions of one request that may leave a function of a library on their way from the application before it is muted: a
/// request fails once, so the others were handled. Where it fails, the functions further out tell as well.
const REPEATS_MAX: u32 = 50;
/// How long it is then.
const MUTED_FOR: Duration = Duration::from_secs(10);
/// Functions that are counted; past that, all are counted anew.
const NOISY_MAX: usize = 16_384;

/// Tells what matters of exceptions on their way.
#[derive(Default)]
pub(super) struct Filter {
    /// Functions that exceptions left for nothing, and how often.
    noise: HashMap<Muted, u32>,
    /// Functions that exceptions of the application left, the request for which they did so last, and how often.
    repeats: HashMap<Muted, (u64, u32)>,
    /// Functions that are to be muted, and until when.
    pub(super) muted: Vec<(Muted, Time)>,
}

/// An exception leaves a function.
pub(super) struct Leaving<'a> {
    /// The function.
    pub(super) left: &'a RaisedFrame,
    /// Is it the application's? `None` where its code cannot be read.
    pub(super) of_application: Option<bool>,
    /// Has the exception left one of the application before?
    pub(super) from_application: bool,
    /// For whom.
    pub(super) request: u64,
    /// In which process.
    pub(super) tgid: u32,
    /// When.
    pub(super) time: Time,
}

impl Filter {
    /// An exception that leaves a function tells of a failure where it comes from the application and the function is not
    /// the application's: nothing of the application can handle it any more but what called the library.
    pub(super) fn tells(&mut self, leaving: &Leaving<'_>) -> bool {
        let Some(of_application) = leaving.of_application else { return false };
        let left = leaving.left;
        let function = Muted { code: left.code, name: left.name, tgid: u64::from(leaving.tgid) };
        if of_application {
            self.muted.push((function, Time(u64::MAX)));
            return false;
        }
        if leaving.from_application {
            self.noise.remove(&function);
            if self.repeats.len() >= NOISY_MAX {
                self.repeats.clear();
            }
            let (request, times) = self.repeats.entry(function).or_default();
            *times = if *request == leaving.request { *times + 1 } else { 1 };
            *request = leaving.request;
            if *times >= REPEATS_MAX {
                self.repeats.remove(&function);
                self.muted.push((function, leaving.time.plus(MUTED_FOR)));
            }
            return true;
        }
        if self.noise.len() >= NOISY_MAX {
            self.noise.clear();
        }
        let times = self.noise.entry(function).or_default();
        *times += 1;
        if *times >= NOISE_MAX {
            self.noise.remove(&function);
            self.muted.push((function, leaving.time.plus(MUTED_FOR)));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaving(left: &RaisedFrame, of_application: Option<bool>, from_application: bool) -> Leaving<'_> {
        Leaving { left, of_application, from_application, request: 1, tgid: 1, time: Time(5) }
    }

    #[test]
    fn what_comes_from_the_application_and_leaves_a_library_tells() {
        let (mut filter, left) = (Filter::default(), RaisedFrame::default());
        assert!(filter.tells(&leaving(&left, Some(false), true)));
        assert!(!filter.tells(&leaving(&left, Some(false), false)));
        assert!(!filter.tells(&leaving(&left, None, true)));
        assert!(filter.muted.is_empty());
    }

    #[test]
    fn functions_of_the_application_are_muted_for_good() {
        let (mut filter, left) = (Filter::default(), RaisedFrame { code: 7, ..RaisedFrame::default() });
        assert!(!filter.tells(&leaving(&left, Some(true), true)));
        assert_eq!(filter.muted, [(Muted { code: 7, name: 0, tgid: 1 }, Time(u64::MAX))]);
    }

    #[test]
    fn a_library_s_own_exceptions_are_muted_for_a_while() {
        let (mut filter, left) = (Filter::default(), RaisedFrame::default());
        // One that tells begins the count anew.
        for tells in [false, true, false] {
            for _ in 1..NOISE_MAX {
                assert_eq!(filter.tells(&leaving(&left, Some(false), tells)), tells);
            }
            assert!(filter.muted.is_empty());
        }
        filter.tells(&leaving(&left, Some(false), false));
        assert_eq!(filter.muted, [(Muted { tgid: 1, ..Muted::default() }, Time(5).plus(MUTED_FOR))]);
    }

    #[test]
    fn many_of_one_request_are_muted() {
        let (mut filter, left) = (Filter::default(), RaisedFrame::default());
        for request in [1, 2] {
            for _ in 1..REPEATS_MAX {
                assert!(filter.tells(&Leaving { request, ..leaving(&left, Some(false), true) }));
            }
        }
        assert!(filter.muted.is_empty());
        filter.tells(&Leaving { request: 2, ..leaving(&left, Some(false), true) });
        assert_eq!(filter.muted.len(), 1);
    }
}
