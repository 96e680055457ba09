//! What all parts of a process have in common.

use std::time::{Duration, Instant};

use kwapi_bus::BusContext;
use kwapi_core::{MonotonicClock, PROGRAM_DATE, ProcessClocks, Timestamp, WallClock};
use kwapi_plugins::http::Seats;

use super::Descriptors;

/// The bus, the clocks and the connections that the parts of a process share.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) bus: BusContext,
    pub(crate) clock: WallClock,
    /// The one clock that silence is measured on.
    pub(crate) monotonic: MonotonicClock,
    pub(crate) seats: Seats,
}

impl Process {
    /// One a process, with HTTP connections as far as its descriptors go.
    pub(crate) fn new(descriptors: &Descriptors) -> Self {
        let seats = Seats::new(descriptors.connections);
        let ProcessClocks { wall, monotonic } = clocks();
        Self { bus: BusContext::new(), clock: wall, monotonic, seats }
    }

    /// Both clocks, for whoever compares what others measured.
    pub(crate) fn clocks(&self) -> ProcessClocks {
        ProcessClocks { wall: self.clock.clone(), monotonic: self.monotonic.clone() }
    }
}

/// The system's clock; below the binary, nothing else reads it.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub(crate) fn wall_clock() -> WallClock {
    WallClock::new(|| {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
    })
}

/// A publisher's stamps may be this far ahead of a right clock.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// The earliest that a right wall clock can show, where `newest` is the newest stamp on record.
pub(super) fn clock_not_before(newest: Timestamp) -> Timestamp {
    let ahead = u64::try_from(AHEAD_MAX.as_micros()).unwrap_or(u64::MAX);
    PROGRAM_DATE.max(Timestamp::from_micros(newest.micros().saturating_sub(ahead)))
}

/// What is wrong with a wall clock that shows `now`, where `newest` is the newest stamp on record.
pub(super) fn clock_trouble(now: Timestamp, newest: Timestamp) -> Option<String> {
    if now < PROGRAM_DATE {
        return Some(
            "the wall clock is earlier than the release date of this program; set it and check NTP"
                .to_owned(),
        );
    }
    let behind = newest.since(now.after(AHEAD_MAX));
    (!behind.is_zero()).then(|| {
        let seconds = newest.since(now).as_secs();
        format!("the wall clock is {seconds} s behind the newest recorded measurement; set it and check NTP")
    })
}

/// The system's clocks. The monotonic one begins now: to be called once a process.
pub(crate) fn clocks() -> ProcessClocks {
    let origin = Instant::now();
    ProcessClocks { wall: wall_clock(), monotonic: MonotonicClock::new(move || origin.elapsed()) }
}

/// This machine's name, or a word for it.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() || name.contains(char::is_control) {
        "this-machine".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_program_or_behind_the_records_is_reported() {
        let at = Timestamp::from_seconds;
        let now = at(1_800_000_000);
        assert_eq!(clock_trouble(now, Timestamp::EPOCH), None);
        assert_eq!(clock_trouble(now, at(1_800_000_060)), None);
        let behind = clock_trouble(now, at(1_800_003_600)).unwrap();
        assert!(
            behind.starts_with("the wall clock is 3600 s behind the newest recorded measurement"),
            "{behind}"
        );
        let at_boot = clock_trouble(at(600), at(1_800_000_000)).unwrap();
        assert!(
            at_boot.starts_with("the wall clock is earlier than the release date of this program"),
            "{at_boot}"
        );
    }
}
