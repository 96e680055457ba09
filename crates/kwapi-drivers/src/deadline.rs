//! A deadline that counts for each request: a slow device that answers is not a dead one.
//!
//! Opening a session takes a management card eight requests, at 2 to 10 s each. Whoever sends requests to a device
//! notes each answer with [`answered`]; [`since_last_answer`] gives up when none has come for a deadline.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

/// After so many answers the deadline is put off no longer: no opening needs more, and a device that answers for
/// ever without an end is not a slow one.
const ANSWERS_MAX: u32 = 1_024;

tokio::task_local! {
    static PROGRESS: Arc<Mutex<Progress>>;
}

#[derive(Debug)]
struct Progress {
    deadline: Duration,
    latest: Instant,
    answers: u32,
}

/// The device has not answered within the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    /// The deadline of one request.
    pub deadline: Duration,
    /// How many requests it had answered before.
    pub answers: u32,
}

impl Silent {
    /// What helps a device that has answered before, as the end of a message; empty for one that has not.
    pub fn advice(&self) -> String {
        match self.answers {
            0 => String::new(),
            answers => {
                let plural = if answers == 1 { "" } else { "s" };
                format!(
                    " ({answers} response{plural} before); if the device is only slow, raise deadline_seconds"
                )
            }
        }
    }
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timed out after {:?}{}", self.deadline, self.advice())
    }
}

/// Runs `work` as long as answers keep coming: at most `deadline` to the first, and from each to the next.
///
/// # Errors
/// [`Silent`] when none has come for `deadline`; `work` is dropped then.
pub async fn since_last_answer<T>(deadline: Duration, work: impl Future<Output = T>) -> Result<T, Silent> {
    let progress = Arc::new(Mutex::new(Progress { deadline, latest: Instant::now(), answers: 0 }));
    let mut work = pin!(PROGRESS.scope(Arc::clone(&progress), work));
    loop {
        let until = after(progress.lock().latest, deadline);
        if let Ok(done) = timeout_at(until, &mut work).await {
            return Ok(done);
        }
        let Progress { latest, answers, .. } = *progress.lock();
        if after(latest, deadline) <= until {
            return Err(Silent { deadline, answers });
        }
    }
}

/// A deadline beyond all clocks is one of a year.
fn after(instant: Instant, pause: Duration) -> Instant {
    instant.checked_add(pause).unwrap_or(instant + Duration::from_secs(365 * 86_400))
}

/// Notes that the device has answered a request in full.
pub(crate) fn answered() {
    // Outside of `since_last_answer` nobody waits.
    _ = PROGRESS.try_with(|progress| {
        let mut progress = progress.lock();
        if progress.answers < ANSWERS_MAX {
            progress.answers += 1;
            progress.latest = Instant::now();
        }
    });
}

/// How long one request may take whose failure is not the end: somewhat less than the deadline. `None` where nobody waits.
pub(crate) fn request_limit() -> Option<Duration> {
    PROGRESS.try_with(|progress| progress.lock().deadline * 4 / 5).ok()
}

/// Notes that a request has been given up and the next one is sent.
pub(crate) fn moved_on() {
    _ = PROGRESS.try_with(|progress| {
        let mut progress = progress.lock();
        if progress.answers < ANSWERS_MAX {
            progress.latest = Instant::now();
        }
    });
}

#[cfg(test)]
mod tests;
