//! How long an agent is waited for, and when it is left in peace.
//!
//! A request is repeated while there is no answer, since datagrams are lost. An agent that is slow answers each copy in
//! turn, so that copies make the next answer late, which is repeated in turn (net-snmp/net-snmp#194). Such an agent is
//! queried once and given the whole time.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::super::config::SnmpConfig;

/// What is known of an agent's pace.
#[derive(Debug)]
pub(super) struct Patience {
    timeout: Duration,
    /// Sent so often within `timeout`.
    attempts: u32,
    /// Until then it answers copies of a request whose answer has come.
    busy_until: Option<Instant>,
    /// So many answers in a row came just after a copy was sent: copies were lost on the way, or it is as slow as the pause
    /// between them is long.
    late: u32,
}

/// An answer that comes so soon after a copy, as a part of the pause, may be to that copy.
const SOON: u32 = 8;

impl Patience {
    /// For an agent that was seen to be slow, or not.
    pub(super) fn new(config: &SnmpConfig, is_slow: bool) -> Self {
        let attempts = if is_slow { 1 } else { config.retransmits.saturating_add(1) };
        Self { timeout: config.timeout(), attempts, busy_until: None, late: 0 }
    }

    /// How often a request is sent within its time.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Waits until the agent is free, at most as long as for an answer, and returns when that was.
    pub(super) async fn before(&mut self) -> Instant {
        if let Some(busy_until) = self.busy_until.take() {
            sleep_until(busy_until.min(Instant::now() + self.timeout)).await;
        }
        Instant::now()
    }

    /// Learns from an answer that took so long; whether it is to be queried in another way from now on.
    pub(super) fn answered(&mut self, took: Duration) -> bool {
        let pause = self.timeout / self.attempts;
        if self.attempts == 1 || took <= pause {
            self.late = 0;
            return false;
        }
        let copies = (1..self.attempts).filter(|copy| pause * *copy < took).count();
        let copies = u32::try_from(copies).unwrap_or(self.attempts);
        self.late += 1;
        if took.saturating_sub(pause * copies) < pause / SOON && self.late == 1 {
            return false;
        }
        // The first copy's answer came; each other is worked on for as long.
        self.busy_until = Some(Instant::now() + took.saturating_mul(copies));
        self.attempts = 1;
        true
    }

    /// Learns from silence; whether it is to be queried in another way from now on. An agent whose last answer came
    /// just after a copy was as slow as that, and has yet to answer the copy.
    pub(super) fn silent(&mut self) -> bool {
        if self.attempts == 1 || self.late == 0 {
            return false;
        }
        self.attempts = 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(keys: &str) -> Patience {
        let config: SnmpConfig = toml::from_str(&format!("host = 'pdu'\n{keys}")).unwrap();
        Patience::new(&config, false)
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_slower_than_the_pause_between_copies_is_queried_once_after_it_has_answered_them() {
        let mut patience = patience("timeout_seconds = 3.0\nretransmits = 2");
        assert!(!patience.answered(Duration::from_millis(900)));
        assert_eq!(patience.attempts(), 3);
        // Sent at 0, 1 and 2 s, answered after 2.5 s: two copies are still to be answered.
        assert!(patience.answered(Duration::from_millis(2_500)));
        assert_eq!(patience.attempts(), 1);
        let begin = Instant::now();
        patience.before().await;
        // Five seconds, but never longer than an answer is waited for.
        assert_eq!(begin.elapsed(), Duration::from_secs(3));
        patience.before().await;
        assert_eq!(begin.elapsed(), Duration::from_secs(3));
        assert!(!patience.answered(Duration::from_millis(2_900)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_just_after_a_copy_is_taken_for_its_own_once() {
        let mut patience = patience("timeout_seconds = 2.0\nretransmits = 1");
        assert!(!patience.answered(Duration::from_millis(1_010)));
        // All is well in between: it was a loss.
        assert!(!patience.answered(Duration::from_millis(10)));
        assert!(!patience.answered(Duration::from_millis(1_010)));
        assert_eq!(patience.busy_until, None);
        // Twice in a row it is not.
        assert!(patience.answered(Duration::from_millis(1_020)));
        assert_eq!(patience.attempts(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_a_late_answer_is_that_of_a_slow_agent() {
        let mut patience = patience("timeout_seconds = 2.0\nretransmits = 1");
        assert!(!patience.silent());
        assert!(!patience.answered(Duration::from_millis(1_010)));
        assert!(patience.silent());
        assert_eq!(patience.attempts(), 1);
    }

    #[test]
    fn one_that_is_sent_no_copies_has_none_to_work_off() {
        let mut patience = patience("timeout_seconds = 3.0\nretransmits = 0");
        assert!(!patience.answered(Duration::from_secs(2)));
        assert_eq!(patience.busy_until, None);
    }
}
