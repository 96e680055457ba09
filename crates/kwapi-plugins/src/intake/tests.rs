use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64 as Clock, Ordering};

use kwapi_core::{
    Accounting, Energy, Measurement, MonotonicClock, ProbeId, Quality, Timestamp, Totals, WallClock, Watts,
};
use parking_lot::Mutex;

use super::*;
use crate::live::{Listing, LiveConfig};

/// A clock that stands where a test puts it, in milliseconds.
pub(crate) fn clock_at(millis: &Arc<Clock>) -> MonotonicClock {
    let millis = Arc::clone(millis);
    MonotonicClock::new(move || Duration::from_millis(millis.load(Ordering::Relaxed)))
}

fn wall() -> WallClock {
    WallClock::new(|| Timestamp::from_seconds(1_800_000_000))
}

mod append;
mod backlog;
mod day;
mod hangs;
mod record;

struct Bench {
    live: Live,
    intake: Mutex<Intake>,
    millis: Arc<Clock>,
}

impl Bench {
    fn with(config: LiveConfig) -> Self {
        Self::with_append(config, None)
    }

    fn with_append(config: LiveConfig, append: Option<Append>) -> Self {
        let millis = Arc::new(Clock::new(1_000_000));
        let live = Live::open(config, Vec::new(), wall(), clock_at(&millis));
        let intake = Mutex::new(Intake::new(live.clone(), append));
        Self { live, intake, millis }
    }

    fn in_directory(directory: &std::path::Path) -> Self {
        Self::with(LiveConfig { directory: Some(directory.to_owned()), ..LiveConfig::default() })
    }

    fn pass(&self, seconds: u64) {
        self.millis.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    /// A message of the session that began at 100 s, its number being the second it was measured at.
    fn receive(&self, probe: &str, seq: u64, joules: u64) {
        self.receive_watts(probe, seq, joules, 97.0);
    }

    fn receive_watts(&self, probe: &str, seq: u64, joules: u64, watts: f64) {
        self.receive_message(probe, watts, Some(message(seq, joules)));
    }

    fn receive_message(&self, probe: &str, watts: f64, accounting: Option<Accounting>) {
        let batch = self.batch_of(probe, watts, accounting);
        self.intake.lock().take(batch, Box::new(|| ()));
    }

    /// A message as [`Bench::receive`] receives it.
    fn batch(&self, probe: &str, seq: u64, joules: u64) -> Batch {
        self.batch_of(probe, 97.0, Some(message(seq, joules)))
    }

    fn batch_of(&self, probe: &str, watts: f64, accounting: Option<Accounting>) -> Batch {
        let measurement = Measurement {
            probe: ProbeId::new(probe).unwrap(),
            power: Watts(watts),
            voltage: None,
            current: None,
            accounting,
        };
        let received_at = self.live.now();
        let arrived = Timestamp::from_seconds(1_800_000_000).after(received_at);
        Batch {
            measurements: vec![Received { measurement, key: None, description: None, arrived, received_at }],
        }
    }

    /// The listing as text: `A 97 W 100 J, …`.
    fn list(&self, listing: Listing) -> String {
        let mut lines = Vec::new();
        self.live.read(listing, None, |_, id, view| {
            lines.push(format!("{id} {} {} J", view.power, view.totals.energy.joules()));
            ControlFlow::Continue(())
        });
        lines.join(", ")
    }
}

fn message(seq: u64, joules: u64) -> Accounting {
    Accounting {
        timestamp: Timestamp::from_seconds(100 + seq),
        session: Timestamp::from_seconds(100),
        seq,
        totals: Totals {
            energy: Energy::from_millijoules(joules * 1000),
            measured_ms: seq * 1000,
            ..Totals::default()
        },
        curve: None,
        meter: None,
        quality: Quality::Measured,
    }
}

#[test]
fn the_list_is_sorted_and_has_watts_and_energy_since_the_first_sighting() {
    let bench = Bench::with(LiveConfig::default());
    for (probe, seq, joules) in [("B", 0, 50), ("A", 0, 7), ("B", 1, 150), ("C.1", 0, 0)] {
        bench.receive(probe, seq, joules);
    }
    assert_eq!(bench.list(Listing::Fresh), "A 97 W 0 J, B 97 W 100 J, C.1 97 W 0 J");
}

#[test]
fn a_stale_probe_is_known_but_not_offered_and_a_silent_one_finds_its_total_again() {
    let bench = Bench::with(LiveConfig::default());
    bench.receive("A", 0, 0);
    bench.receive("A", 1, 100);
    bench.pass(61);
    assert_eq!(
        (bench.list(Listing::Fresh), bench.list(Listing::Known)),
        (String::new(), "A 97 W 100 J".into())
    );
    assert!(bench.live.probe("A").unwrap().1.is_silent);
    bench.pass(300);
    assert_eq!(bench.list(Listing::Known), "");
    assert_eq!(bench.live.probe("A"), None);
    bench.receive("A", 400, 40_000);
    assert_eq!(bench.list(Listing::Fresh), "A 97 W 40000 J");
}

#[test]
fn a_slow_probe_is_not_stale_before_three_of_its_own_intervals() {
    let bench = Bench::with(LiveConfig { cleaning_interval: None, ..LiveConfig::default() });
    for seq in 0..20 {
        bench.receive("slow", seq * 600, seq);
        bench.pass(600);
    }
    bench.pass(1_000);
    assert_eq!(bench.list(Listing::Fresh), "slow 97 W 19 J");
    bench.pass(300);
    assert_eq!(bench.list(Listing::Fresh), "");
}

#[test]
fn a_cleaning_interval_of_none_keeps_every_probe_known() {
    let bench = Bench::with(LiveConfig { cleaning_interval: None, ..LiveConfig::default() });
    bench.receive("A", 0, 0);
    bench.pass(1_000_000);
    assert_eq!(bench.list(Listing::Known), "A 97 W 0 J");
}

#[test]
fn a_late_message_is_credited_but_does_not_replace_the_present_watts() {
    let bench = Bench::with(LiveConfig::default());
    bench.receive("A", 0, 0);
    bench.receive("A", 2, 200);
    let at_1 = Accounting {
        timestamp: Timestamp::from_seconds(101),
        session: Timestamp::from_seconds(100),
        seq: 1,
        totals: Totals::default(),
        curve: None,
        meter: None,
        quality: Quality::Measured,
    };
    assert_eq!(bench.live.counts().lost, 1);
    bench.receive_message("A", 5.0, Some(at_1));
    bench.receive_message("A", 5.0, Some(at_1));
    assert_eq!(bench.list(Listing::Fresh), "A 97 W 200 J");
    let counts = bench.live.counts();
    assert_eq!((counts.credited, counts.late, counts.duplicate, counts.lost), (3, 1, 1, 0));
}

#[test]
fn the_first_measurement_after_a_backward_clock_step_is_the_present_one_and_a_late_one_is_not() {
    let bench = Bench::with(LiveConfig::default());
    bench.receive("A", 3_000, 10);
    bench.receive("A", 3_002, 12);
    // The same publisher continues 2 000 s earlier: its session is named by the instant after its last stamp.
    let at = |seq: u64| Accounting {
        timestamp: Timestamp::from_seconds(1_100 + seq),
        session: Timestamp::from_micros(3_102_000_001),
        seq,
        totals: Totals { energy: Energy::from_millijoules(seq * 1_000), ..Totals::default() },
        curve: None,
        meter: None,
        quality: Quality::Measured,
    };
    bench.receive_message("A", 5.0, Some(at(0)));
    assert_eq!(bench.list(Listing::Fresh), "A 5 W 2 J");
    bench.receive_message("A", 6.0, Some(at(2)));
    bench.receive_message("A", 7.0, Some(at(1)));
    bench.receive("A", 3_001, 11);
    assert_eq!(bench.list(Listing::Fresh), "A 6 W 4 J");
    assert_eq!(bench.live.probe("A").unwrap().1.timestamp.seconds(), 1_102);
}

#[test]
fn legacy_messages_are_integrated_on_our_own_clock() {
    let bench = Bench::with(LiveConfig::default());
    bench.receive_message("A", 50.0, None);
    bench.pass(10);
    bench.receive_message("A", 100.0, None);
    assert_eq!((bench.list(Listing::Fresh), bench.live.counts().legacy), ("A 100 W 1000 J".into(), 2));
}

#[test]
fn a_second_publisher_is_refused_shown_and_counted() {
    let bench = Bench::with(LiveConfig::default());
    bench.receive("A", 50, 0);
    let rival = Accounting {
        timestamp: Timestamp::from_seconds(151),
        session: Timestamp::from_seconds(140),
        seq: 9,
        totals: Totals::default(),
        curve: None,
        meter: None,
        quality: Quality::Measured,
    };
    bench.receive_message("A", 1.0, Some(rival));
    assert_eq!(bench.live.counts().conflicting_publisher, 1);
    assert!(bench.live.probe("A").unwrap().1.has_conflict);
    assert_eq!(bench.list(Listing::Fresh), "A 97 W 0 J");
    // Both are named once the one that is credited is received again.
    let rivals = || bench.live.rivals().iter().map(ToString::to_string).collect::<Vec<_>>();
    let refused = "no key, session of 1970-01-01T00:02:20Z is refused; stop one of them";
    assert_eq!(rivals(), [format!("A: two publishers at the same time; {refused}")]);
    bench.receive("A", 51, 1);
    bench.receive("B", 51, 1);
    let both = rivals();
    assert!(both.len() == 1 && both[0].contains(" is credited, ") && both[0].ends_with(refused), "{both:?}");
    bench.pass(59);
    assert_eq!(rivals(), both);
    bench.pass(1);
    assert_eq!(rivals(), [""; 0], "one of them has gone");
}

#[test]
fn what_came_twice_or_late_is_known_of_each_probe() {
    let bench = Bench::with(LiveConfig::default());
    for seq in [0, 1, 4, 3, 3, 1] {
        bench.receive("A", seq, seq);
    }
    bench.receive("B", 0, 0);
    let counts = |probe: &str| {
        let (_, view) = bench.live.probe(probe).unwrap();
        (view.lost, view.late, view.duplicate)
    };
    assert_eq!((counts("A"), counts("B")), ((1, 1, 2), (0, 0, 0)));
}

#[test]
fn more_probes_than_allowed_are_refused_and_counted() {
    let bench = Bench::with(LiveConfig { probes_max: 2, ..LiveConfig::default() });
    for probe in ["A", "B", "C", "A"] {
        bench.receive(probe, 0, 0);
    }
    assert_eq!(bench.list(Listing::Fresh), "A 97 W 0 J, B 97 W 0 J");
    assert_eq!(bench.live.counts().too_many_probes, 1);
}
