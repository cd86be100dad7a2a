//! A limit for what may never end: a peer that is silent, a process that hangs.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Does `work`, and `late` beside it once it has taken `limit`.
pub(crate) fn limited<T>(limit: Duration, work: impl FnOnce() -> T, late: impl FnOnce() + Send) -> T {
    let (working, worked) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if worked.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                late();
            }
        });
        // It is dropped however the work ends.
        let _working = working;
        work()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_late_is_told_and_who_is_not_is_not() {
        let (tell, told) = mpsc::channel();
        let done = limited(Duration::ZERO, || told.recv(), move || tell.send(7).unwrap());
        assert_eq!(done, Ok(7));
        assert_eq!(limited(Duration::from_secs(600), || 8, || panic!("it was not late")), 8);
    }
}
