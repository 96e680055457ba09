//! When what was read once is read again: names and scales, and what the device has at all.

use std::time::Duration;

use tokio::time::Instant;

/// Scales, labels and reset stamps are read again after this long, and at once after a reboot or when a counter falls.
const SLOW_COLUMNS_INTERVAL: Duration = Duration::from_secs(300);
/// So long after the last time, the agent is queried again for which outlets there are.
const LISTING_INTERVAL: Duration = Duration::from_secs(300);
/// The same while outlets that are known or named cannot be read.
const LISTING_INTERVAL_MISSING: Duration = Duration::from_secs(60);
/// The same of an agent that has just started: it answers before it has found its outlets.
const LISTING_INTERVAL_YOUNG: Duration = Duration::from_secs(15);
/// An agent is young for so long, in hundredths of a second of its sysUpTime.
const YOUNG_TICKS: i128 = 300 * 100;

/// What is due when.
#[derive(Debug)]
pub(super) struct AgentPace {
    listed_at: Instant,
    slow_columns_read_at: Option<Instant>,
    /// What the last round showed.
    is_young: bool,
    doubt: Doubt,
    is_missing: bool,
}

/// Why the list of outlets may be another by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    None,
    /// The device counts others than it listed.
    Counts,
    /// It has restarted since.
    Restart,
}

impl AgentPace {
    /// Of a session whose outlets were listed at its opening.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            listed_at: now,
            slow_columns_read_at: None,
            is_young: false,
            doubt: Doubt::None,
            is_missing: false,
        }
    }

    /// The outlets have been listed: their names and scales are to be read.
    pub(super) fn listed(&mut self, now: Instant) {
        self.listed_at = now;
        self.slow_columns_read_at = None;
        self.doubt = Doubt::None;
    }

    /// Names and scales have been read.
    pub(super) fn slow_columns_read(&mut self, now: Instant) {
        self.slow_columns_read_at = Some(now);
    }

    /// Whether they have not been read since the outlets were listed.
    pub(super) fn slow_columns_are_unread(&self) -> bool {
        self.slow_columns_read_at.is_none()
    }

    /// Whether they are to be read now.
    pub(super) fn slow_columns_are_due(&self, now: Instant) -> bool {
        self.slow_columns_read_at.is_none_or(|at| now.duration_since(at) >= SLOW_COLUMNS_INTERVAL)
    }

    /// Notes what a round showed: the agent's sysUpTime, whether it counts other outlets than were listed, and how many of
    /// those have no reading.
    pub(super) fn round(
        &mut self,
        up_time: Option<i128>,
        has_rebooted: bool,
        has_changed: bool,
        unreadable: usize,
        all: usize,
    ) {
        self.doubt = match (self.doubt, has_rebooted, has_changed) {
            (Doubt::Restart, _, _) | (_, true, _) => Doubt::Restart,
            (Doubt::None | Doubt::Counts, false, true) => Doubt::Counts,
            (Doubt::None | Doubt::Counts, false, false) => Doubt::None,
        };
        self.is_young = up_time.is_some_and(|ticks| ticks < YOUNG_TICKS);
        self.is_missing = unreadable > 0 || all == 0;
    }

    /// Whether the outlets are to be listed again. Named ones are, to see whether another table has them, only while one
    /// cannot be read.
    pub(super) fn listing_is_due(&self, now: Instant, selects_all: bool) -> bool {
        if !selects_all && !self.is_missing {
            return false;
        }
        let interval = match (self.is_young, self.is_missing) {
            // A count that never stands still is not followed more often than this.
            (true, _) => LISTING_INTERVAL_YOUNG,
            (false, _) if self.doubt == Doubt::Counts => LISTING_INTERVAL_YOUNG,
            (false, true) if selects_all => LISTING_INTERVAL_MISSING,
            (false, _) => LISTING_INTERVAL,
        };
        self.doubt == Doubt::Restart || now.duration_since(self.listed_at) >= interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Option<i128> = Some(3_600 * 100);

    /// How many seconds after a listing, and a round that showed this, the next is due.
    fn due_after(
        up_time: Option<i128>,
        has_rebooted: bool,
        unreadable: usize,
        selects_all: bool,
    ) -> Option<u64> {
        let begin = Instant::now();
        let mut pace = AgentPace::new(begin);
        pace.round(up_time, has_rebooted, false, unreadable, 8);
        (0..1_000).find(|after| pace.listing_is_due(begin + Duration::from_secs(*after), selects_all))
    }

    #[test]
    fn outlets_are_listed_again_slowly_and_sooner_where_some_may_be_missing() {
        assert_eq!(due_after(HOUR, false, 0, true), Some(300));
        assert_eq!(due_after(HOUR, false, 1, true), Some(60));
        assert_eq!(due_after(Some(2_000), false, 0, true), Some(15));
        assert_eq!(due_after(HOUR, true, 0, true), Some(0));
        // An agent that does not report for how long it is up is taken for an old one.
        assert_eq!(due_after(None, false, 0, true), Some(300));
    }

    #[test]
    fn named_outlets_are_looked_for_in_other_tables_only_while_one_is_missing() {
        assert_eq!(due_after(HOUR, false, 0, false), None);
        assert_eq!(due_after(HOUR, true, 0, false), None);
        assert_eq!(due_after(HOUR, false, 1, false), Some(300));
        assert_eq!(due_after(Some(2_000), false, 1, false), Some(15));
    }

    #[test]
    fn outlets_are_listed_again_when_the_device_counts_others() {
        let begin = Instant::now();
        let due = |pace: &AgentPace, after| pace.listing_is_due(begin + Duration::from_secs(after), true);
        let mut pace = AgentPace::new(begin);
        pace.round(HOUR, false, true, 0, 8);
        assert!(!due(&pace, 14) && due(&pace, 15));
        pace.round(HOUR, false, false, 0, 8);
        assert!(!due(&pace, 15), "it counts as before");
        pace.round(HOUR, false, true, 0, 8);
        pace.listed(begin + Duration::from_secs(15));
        assert!(!due(&pace, 30) && due(&pace, 315));
    }

    #[test]
    fn a_listing_makes_the_names_due_and_ends_a_reboot() {
        let begin = Instant::now();
        let mut pace = AgentPace::new(begin);
        assert!(pace.slow_columns_are_unread() && pace.slow_columns_are_due(begin));
        pace.slow_columns_read(begin);
        assert!(!pace.slow_columns_are_due(begin + Duration::from_secs(299)));
        assert!(pace.slow_columns_are_due(begin + Duration::from_secs(300)));
        pace.round(HOUR, true, false, 0, 8);
        assert!(pace.listing_is_due(begin, true));
        pace.listed(begin);
        assert!(pace.slow_columns_are_unread() && !pace.listing_is_due(begin, true));
    }
}
