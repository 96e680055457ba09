//! Which ticks of a short interval are due, by the clock that runs since the host's boot: those since the meter was
//! last read.

use std::time::Duration;

use super::published::Now;
use crate::driver::ReadRequest;

/// Ticks further back than this are missed: the process was stopped, or the host.
const LATE_MAX: Duration = Duration::from_secs(2);

/// The ticks of one session with a meter.
#[derive(Clone, Debug)]
pub(super) struct Ticks {
    interval: Duration,
    /// The one that is due next; `None` before the first, which is due at once.
    next: Option<Duration>,
}

impl Ticks {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval: interval.max(Duration::from_micros(1)), next: None }
    }

    /// Those that are due `now`, of which there is one at least, and how many before them are missed. `None`: none is due yet.
    pub(super) fn due(&mut self, now: Now<'_>) -> Option<(ReadRequest, u64)> {
        let interval_ns = self.interval.as_nanos();
        let next = self.next.unwrap_or(now.boottime);
        let late = now.boottime.checked_sub(next)?;
        let before = late.as_nanos() / interval_ns;
        let most = LATE_MAX.as_nanos() / interval_ns;
        let newest_age = Duration::from_nanos(u64::try_from(late.as_nanos() % interval_ns).unwrap_or(0));
        self.next = Some(now.boottime.saturating_sub(newest_age).saturating_add(self.interval));
        let missed = u64::try_from(before.saturating_sub(most)).unwrap_or(u64::MAX);
        let before = u32::try_from(before.min(most)).unwrap_or(0);
        Some((ReadRequest { at: now.wall, newest_age, interval: self.interval, before }, missed))
    }

    /// How long it is to the next one; nothing where that is due.
    pub(super) fn until_next(&self, now: Now<'_>) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.saturating_sub(now.boottime))
    }
}

#[cfg(test)]
mod tests;
