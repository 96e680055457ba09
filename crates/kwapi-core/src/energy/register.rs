//! Which register a counter is read from, so that it is known again after a stop.

use std::sync::Arc;
use std::time::Duration;

use crate::Timestamp;

/// The time a device started is derived from its uptime and our clock, both of which drift and are corrected: two that
/// are no further apart than this are one.
const STARTED_APART_MAX: Duration = Duration::from_secs(60);

/// What identifies a register. A register read after a stop is the one of before only if all of this agrees as far as
/// both state it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    /// The serial number of the device, or of the module of it that holds the register, where it states one.
    pub serial: Option<String>,
    /// Where in the device it is: OID and row, channel, register address and unit id, in a form that does not change
    /// between two openings. `None`: the driver manager makes one of driver, address and outlet.
    pub path: Option<String>,
    /// Whether it is in the host that Kwapi runs on and does not survive its boot (RAPL, NVML, hwmon).
    pub is_in_host: bool,
    /// When the device started, where it states that or its uptime. Only of a device whose register does not survive a
    /// restart: a PDU that keeps its registers states nothing here.
    pub started_at: Option<Timestamp>,
    /// Whether it counts since the driver opened its session (a sum that the driver makes of several registers): it
    /// never spans a stop.
    pub is_of_session: bool,
}

impl Register {
    /// Whether this is of another device than the one whose serial number was `earlier`, as far as both state: a device
    /// that could not be queried for it, or a version of ours that did not query it, makes no other device.
    #[must_use]
    pub(crate) fn is_of_another_device(&self, earlier: Option<&str>) -> bool {
        matches!((earlier, self.serial.as_deref()), (Some(then), Some(now)) if then != now)
    }

    /// This register, with the serial number last stated if it states none itself: a device that could not be queried
    /// once would else be taken for any other.
    pub(super) fn knowing(self: &Arc<Self>, serial: Option<&str>) -> Arc<Self> {
        match (&self.serial, serial) {
            (None, Some(serial)) => Arc::new(Self { serial: Some(serial.to_owned()), ..Self::clone(self) }),
            _ => Arc::clone(self),
        }
    }

    /// Whether the device has not been restarted between `earlier` and this, as far as both state.
    #[must_use]
    pub(crate) fn is_of_same_start(&self, earlier: &Self) -> bool {
        match (earlier.started_at, self.started_at) {
            (Some(then), Some(now)) => then.since(now).max(now.since(then)) <= STARTED_APART_MAX,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_that_one_of_two_does_not_state_makes_no_other_device() {
        let of = |serial: Option<&str>| Register { serial: serial.map(str::to_owned), ..Register::default() };
        assert!(of(Some("B")).is_of_another_device(Some("A")));
        assert!(!of(Some("A")).is_of_another_device(Some("A")));
        assert!(!of(Some("A")).is_of_another_device(None));
        assert!(!of(None).is_of_another_device(Some("A")));
    }

    #[test]
    fn a_start_derived_from_uptime_may_wander_by_a_minute() {
        let started = |second: u64| Register {
            started_at: Some(Timestamp::from_seconds(1_800_000_000 + second)),
            ..Register::default()
        };
        assert!(started(30).is_of_same_start(&started(0)));
        assert!(started(0).is_of_same_start(&started(30)));
        assert!(!started(90).is_of_same_start(&started(0)));
        assert!(!started(0).is_of_same_start(&started(90)));
        assert!(!started(0).is_of_same_start(&Register::default()));
    }
}
