mod described;

use kwapi_bus::{Batch, Received};
use kwapi_core::{Measurement, MonotonicClock, WallClock};
use kwapi_history::Latest;

use super::*;
use crate::intake::Intake;
use crate::live::LiveConfig;

/// Unix seconds.
const NOW: u64 = 1_000_000;

/// A history in which every probe measured 50 W at this second.
struct Kept(u64);

impl PowerHistory for Kept {
    fn probes(&self) -> Vec<ProbeId> {
        Vec::new()
    }

    fn last(&self, _: &ProbeId) -> Option<Latest> {
        Some(Latest { at: Timestamp::from_seconds(self.0), power: Watts(50.0) })
    }

    fn fetch(&self, _: &ProbeId, _: Period, _: u64) -> Result<Option<Series>, Unreadable> {
        Ok(None)
    }

    fn extremes(&self, _: &ProbeId, _: Period, _: u64) -> Option<(Watts, Watts)> {
        None
    }

    fn rrd_file(&self, _: &ProbeId) -> Result<Option<Vec<u8>>, Unreadable> {
        Ok(None)
    }
}

/// A directory at [`NOW`] that received 80 W of the probe `received_at` at this second.
fn directory(received_at: u64) -> Directory {
    let wall = WallClock::new(|| Timestamp::from_seconds(NOW));
    let clock = MonotonicClock::new(|| Duration::from_secs(NOW));
    let live = Live::open(LiveConfig::default(), Vec::new(), wall, clock);
    let measurement = Measurement {
        probe: ProbeId::new("heard").unwrap(),
        power: Watts(80.0),
        voltage: None,
        current: None,
        accounting: None,
    };
    let arrived = Timestamp::from_seconds(received_at);
    let received = Received {
        measurement,
        key: None,
        description: None,
        arrived,
        received_at: Duration::from_secs(received_at),
    };
    Intake::new(live.clone(), None).take(Batch { measurements: vec![received] }, Box::new(|| ()));
    Directory::default().with_live(live)
}

/// What the directory has of a probe: watts, age in seconds, silent or not, with or without an account.
#[track_caller]
fn check(directory: &Directory, probe: &str, expected: Option<(f64, u64, bool, bool)>) {
    let now = directory.now(&ProbeId::new(probe).unwrap());
    let summary = |now: ProbeNow| (now.power.0, NOW - now.at.seconds(), now.is_silent, now.account.is_some());
    assert_eq!(now.map(summary), expected, "{probe}");
}

#[test]
fn a_probe_measures_what_was_received_last_and_before_that_what_was_kept_last() {
    let directory = directory(NOW - 10);
    check(&directory, "heard", Some((80.0, 10, false, true)));
    check(&directory, "other", None);
    let with_history = directory.clone().with_history(Arc::new(Kept(NOW - 30)));
    check(&with_history, "heard", Some((80.0, 10, false, true)));
    check(&with_history, "other", Some((50.0, 30, false, false)));
    check(&Directory::default(), "heard", None);
}

#[test]
fn a_probe_is_silent_after_the_same_time_wherever_it_is_known_from() {
    for (age, expected) in [(60, false), (61, true)] {
        let directory = directory(NOW - age).with_history(Arc::new(Kept(NOW - age)));
        check(&directory, "heard", Some((80.0, age, expected, true)));
        check(&directory, "other", Some((50.0, age, expected, false)));
    }
}
