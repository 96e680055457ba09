//! How long a device may be silent. The deadline of a meter is for an answer, not for an opening that asks eight times:
//! a slow device is no dead one.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A device that answers slowly for ever is given so many deadlines in all: it cannot hold its meter up without end.
const DEADLINES_MAX: u32 = 8;

tokio::task_local! {
    /// When the device of this task's meter last answered.
    static ANSWERED_AT: Cell<Instant>;
}

/// The device was silent for the whole deadline, or answered too slowly for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer in time")]
pub struct Silent;

/// Says that the device has just answered, so that its deadline begins anew. A driver that asks several times in a row
/// says so after each answer that makes sense; outside [`since_last_answer`] it has no effect.
pub(crate) fn answered() {
    _ = ANSWERED_AT.try_with(|answered_at| answered_at.set(Instant::now()));
}

/// Runs an opening or a read until it ends, or until its device has been silent for `deadline`. Dropped then, or after
/// eight deadlines in all.
///
/// # Errors
/// [`Silent`] when it was dropped.
pub async fn since_last_answer<F: Future>(deadline: Duration, task: F) -> Result<F::Output, Silent> {
    let begin = Instant::now();
    let end = after(begin, deadline.saturating_mul(DEADLINES_MAX));
    let watched = async move {
        let mut task = pin!(task);
        let mut due = pin!(sleep_until(after(begin, deadline)));
        poll_fn(|context| {
            if let Poll::Ready(output) = task.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            while due.as_mut().poll(context).is_ready() {
                let silent_at = after(ANSWERED_AT.with(Cell::get), deadline).min(end);
                if silent_at <= Instant::now() {
                    return Poll::Ready(Err(Silent));
                }
                due.as_mut().reset(silent_at);
            }
            Poll::Pending
        })
        .await
    };
    ANSWERED_AT.scope(Cell::new(begin), watched).await
}

/// A deadline beyond all clocks is one of a year.
fn after(instant: Instant, pause: Duration) -> Instant {
    instant.checked_add(pause).unwrap_or(instant + Duration::from_secs(365 * 86_400))
}

#[cfg(test)]
mod tests;
