//! Messages that the server will never take, as they are logged: there may be thousands a second.

use std::time::Duration;

use tokio::time::Instant;

/// How often they are logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What was rejected and not logged yet.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    count: u64,
    logged_at: Option<Instant>,
}

impl Rejections {
    /// Takes note of a message; returns how many to log now, with it, if it is time for that.
    pub(super) fn note(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.logged_at.is_some_and(|at| now.saturating_duration_since(at) < LOG_INTERVAL) {
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_logged_at_once_and_others_by_their_number_once_a_minute() {
        let mut rejections = Rejections::default();
        let begun = Instant::now();
        let mut note = |seconds: u64| rejections.note(begun + Duration::from_secs(seconds));
        assert_eq!(
            [note(0), note(1), note(59), note(60), note(61), note(125)],
            [Some(1), None, None, Some(3), None, Some(2)]
        );
    }
}
