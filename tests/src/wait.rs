//! Waiting for something to become true, never without a bound.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Asks `question` until it answers, for at most `limit`; panics with `what` after that.
pub fn until<T>(what: &str, limit: Duration, mut question: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(start.elapsed() < limit, "after {limit:?} still waiting for {what}");
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
