//! What the process's clocks show when messages arrive, and what the wall clock would show had it not been set.

use std::time::Duration;

use kwapi_core::{ProcessClocks, Timestamp};

/// A wall clock that moves by more than this against the monotonic one has been set.
const STEP_MIN: Duration = Duration::from_secs(1);
/// What was stamped before the clock was set arrives within this time.
const UNDERWAY_MAX: Duration = Duration::from_secs(60);
/// Of a clock that is set again and again, so many settings are remembered.
const SETTINGS_MAX: usize = 4;

/// The instant messages arrive at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArrivalTime {
    /// By the wall clock: a label.
    pub(crate) wall: Timestamp,
    /// By the monotonic clock.
    pub(crate) monotonic: Duration,
    /// By the wall clock as it was before it was set within the last minute; the latest setting last.
    pub(crate) as_before: Vec<Timestamp>,
    /// The earliest that a right wall clock can show.
    pub(crate) not_before: Timestamp,
    /// By the publishers' clocks, where the wall clock is known to be wrong and a publisher has sent something.
    pub(crate) by_publishers: Option<Timestamp>,
}

impl ArrivalTime {
    /// Whether the wall clock is known to be wrong.
    pub(crate) fn is_wall_wrong(&self) -> bool {
        self.wall < self.not_before
    }

    /// What to label unstamped messages with; `None` while no clock is right.
    pub(crate) fn label(&self) -> Option<Timestamp> {
        if self.is_wall_wrong() { self.by_publishers } else { Some(self.wall) }
    }
}

/// Notices when the wall clock is set.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    clocks: ProcessClocks,
    /// When both were last read.
    last: Option<(Timestamp, Duration)>,
    /// What both showed just before the wall clock was set.
    before: Vec<(Timestamp, Duration)>,
    not_before: Timestamp,
    was_wrong: bool,
}

impl ClockWatch {
    /// `not_before`: the earliest that a right wall clock can show.
    pub(crate) fn new(clocks: ProcessClocks, not_before: Timestamp) -> Self {
        Self { clocks, last: None, before: Vec::new(), not_before, was_wrong: false }
    }

    /// What the monotonic clock shows.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clocks.monotonic.now()
    }

    /// Reads both clocks. To be called more often than once a second or so: what the wall clock is corrected by little
    /// by little is no setting.
    pub(crate) fn read(&mut self) -> ArrivalTime {
        let (wall, monotonic) = (self.clocks.wall.now(), self.clocks.monotonic.now());
        if let Some((wall_last, monotonic_last)) = self.last {
            let expected = wall_last.after(monotonic.saturating_sub(monotonic_last));
            if wall.since(expected) > STEP_MIN || expected.since(wall) > STEP_MIN {
                if self.before.len() == SETTINGS_MAX {
                    self.before.remove(0);
                }
                self.before.push((expected, monotonic));
            }
        }
        self.last = Some((wall, monotonic));
        self.before.retain(|(_, set)| monotonic.saturating_sub(*set) < UNDERWAY_MAX);
        let as_before = self.before.iter();
        let as_before = as_before.map(|(then, set)| then.after(monotonic.saturating_sub(*set))).collect();
        let present =
            ArrivalTime { wall, monotonic, as_before, not_before: self.not_before, by_publishers: None };
        self.log_change(present.is_wall_wrong());
        present
    }

    fn log_change(&mut self, is_wrong: bool) {
        match (std::mem::replace(&mut self.was_wrong, is_wrong), is_wrong) {
            (false, true) => {
                tracing::error!(
                    "the wall clock is wrong; using the clocks of the publishers until it is set"
                );
            }
            (true, false) => tracing::info!("the wall clock is correct again"),
            (true, true) | (false, false) => {}
        }
    }
}
