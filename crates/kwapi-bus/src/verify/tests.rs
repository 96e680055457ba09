use std::sync::atomic::{AtomicU64, Ordering};

use kwapi_core::{
    Accounting, Energy, Measurement, MonotonicClock, PROGRAM_DATE, ProbeId, ProcessClocks, Quality, Totals,
    WallClock, Watts,
};

use super::*;
use crate::message::{Signer, Wire};

const YEAR_2026: u64 = 1_790_000_000;
const DAY: u64 = 86_400;

/// A process whose clocks are set by hand, in milliseconds.
struct World {
    wall: Arc<AtomicU64>,
    monotonic: Arc<AtomicU64>,
    watch: ClockWatch,
    verification: Verification,
}

fn clocks(wall: &Arc<AtomicU64>, monotonic: &Arc<AtomicU64>) -> ProcessClocks {
    let (w, m) = (wall.clone(), monotonic.clone());
    ProcessClocks {
        wall: WallClock::new(move || Timestamp::from_micros(w.load(Ordering::Relaxed) * 1_000)),
        monotonic: MonotonicClock::new(move || Duration::from_millis(m.load(Ordering::Relaxed))),
    }
}

/// Five minutes, and 30 days.
const AGE_MAX: AgeLimits =
    AgeLimits { live: Duration::from_secs(300), stored: Duration::from_secs(30 * 86_400) };

impl World {
    fn clocks(&self) -> ProcessClocks {
        clocks(&self.wall, &self.monotonic)
    }

    fn at(second: u64) -> Self {
        let (wall, monotonic) = (Arc::new(AtomicU64::new(second * 1_000)), Arc::<AtomicU64>::default());
        let clocks = clocks(&wall, &monotonic);
        let verification = Verification::new("inproc://x".into(), Scheme::None, [], AGE_MAX).unwrap();
        let watch = ClockWatch::new(clocks, PROGRAM_DATE);
        let mut world = Self { wall, monotonic, watch, verification };
        world.watch.read();
        world
    }

    fn pass(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds {
            self.wall.fetch_add(1_000, Ordering::Relaxed);
            self.monotonic.fetch_add(1_000, Ordering::Relaxed);
            self.watch.read();
        }
        self
    }

    /// Sets the wall clock, while a tenth of a second passes.
    fn set(&mut self, second: u64) -> &mut Self {
        self.wall.store(second * 1_000, Ordering::Relaxed);
        self.monotonic.fetch_add(100, Ordering::Relaxed);
        self
    }

    #[track_caller]
    fn check(&mut self, stamp: u64, is_live: bool, expected: Result<(), Refusal>) -> &mut Self {
        let wire = message(stamp, 1);
        let present = self.watch.read();
        let seen = self.verification.verify(&[&wire.topic, &wire.payload], &present, is_live).map(drop);
        assert_eq!(seen, expected, "{stamp} at {present:?}");
        self
    }
}

fn measurement(second: u64, session: u64) -> Measurement {
    Measurement {
        probe: ProbeId::new("A").unwrap(),
        power: Watts(1.0),
        voltage: None,
        current: None,
        accounting: Some(Accounting {
            timestamp: Timestamp::from_seconds(second),
            session: Timestamp::from_micros(session),
            seq: 0,
            totals: Totals { energy: Energy::ZERO, ..Totals::default() },
            curve: None,
            meter: None,
            quality: Quality::Measured,
        }),
    }
}

fn message(second: u64, session: u64) -> Wire {
    let mut wire = Wire::default();
    Signer::new(Scheme::None, None).unwrap().encode(&measurement(second, session), &mut wire);
    wire
}

#[test]
fn a_live_measurement_is_no_older_than_five_minutes_and_no_more_than_one_ahead() {
    let mut world = World::at(YEAR_2026);
    world.check(YEAR_2026 - 300, true, Ok(())).check(YEAR_2026 - 301, true, Err(Refusal::Stale));
    world.check(YEAR_2026 + 60, true, Ok(())).check(YEAR_2026 + 61, true, Err(Refusal::Future));
}

#[test]
fn what_is_stored_may_be_old_but_not_ahead() {
    let mut world = World::at(YEAR_2026);
    let month = AGE_MAX.stored.as_secs();
    world.check(YEAR_2026 - month, false, Ok(()));
    world.check(YEAR_2026 - month - 1, false, Err(Refusal::Stale));
    world.check(YEAR_2026 + 61, false, Err(Refusal::Future));
}

#[test]
fn nothing_on_its_way_is_refused_when_a_clock_of_1970_is_corrected() {
    let mut world = World::at(600);
    world.check(600, true, Ok(()));
    world.pass(12).set(YEAR_2026).check(612, true, Ok(())).check(YEAR_2026, true, Ok(()));
    world.pass(59).check(612, true, Ok(()));
    // A minute later nothing is under way any more.
    world.pass(2).check(612, true, Err(Refusal::Stale)).check(YEAR_2026 + 61, true, Ok(()));
}

#[test]
fn nothing_on_its_way_is_refused_when_a_clock_a_day_ahead_is_corrected() {
    let ahead = YEAR_2026 + DAY;
    let mut world = World::at(ahead);
    world.pass(6).set(YEAR_2026 + 6).check(ahead + 6, true, Ok(())).check(YEAR_2026 + 6, true, Ok(()));
    // Set back twice: both settings count.
    world.pass(1).set(YEAR_2026 - DAY).check(ahead + 6, true, Ok(())).check(YEAR_2026 + 7, true, Ok(()));
    world.check(ahead + 2 * 60, true, Err(Refusal::Future));
    world.pass(61).check(ahead + 6, true, Err(Refusal::Future));
}

#[test]
fn a_clock_that_is_corrected_little_by_little_has_not_been_set() {
    let mut world = World::at(YEAR_2026);
    for _ in 0..1_000 {
        world.wall.fetch_add(1_500, Ordering::Relaxed);
        world.monotonic.fetch_add(1_000, Ordering::Relaxed);
        assert_eq!(world.watch.read().as_before, []);
    }
}

#[test]
fn a_clock_that_is_set_over_and_over_keeps_few_settings() {
    let mut world = World::at(YEAR_2026);
    for hour in 0..50 {
        world.set(YEAR_2026 + hour * 3_600);
        assert!(world.watch.read().as_before.len() <= 4);
    }
}

#[test]
fn a_session_in_the_far_future_is_no_reason_to_refuse() {
    let mut world = World::at(YEAR_2026);
    let wire = message(YEAR_2026, 1 << 63);
    let present = world.watch.read();
    assert!(world.verification.verify(&[&wire.topic, &wire.payload], &present, true).is_ok());
}

/// Publishers of a key each, and a plugin whose wall clock stands at ten minutes after the epoch.
struct Booted {
    world: World,
    keys: Vec<Key>,
}

impl Booted {
    fn new() -> Self {
        let key = |name: &str| Key::new(name, "a secret of sixteen bytes or more");
        let keys: Vec<Key> = ["lyon", "paris", "nice"].map(key).into();
        let mut world = World::at(600);
        world.verification =
            Verification::new("inproc://x".into(), Scheme::Kwapi1, keys.clone(), AGE_MAX).unwrap();
        Self { world, keys }
    }

    /// Receives `stamp` from the publisher at `index`.
    #[track_caller]
    fn check(&mut self, index: usize, stamp: u64, expected: Result<(), Refusal>) -> &mut Self {
        let mut wire = Wire::default();
        let signer = Signer::new(Scheme::Kwapi1, Some(&self.keys[index])).unwrap();
        signer.encode(&measurement(stamp, 1), &mut wire);
        let mut present = self.world.watch.read();
        present.by_publishers =
            Skews::agreed(std::iter::once(&**self.world.verification.skews()), present.monotonic);
        let frames: [&[u8]; 2] = [&wire.topic, &wire.payload];
        let seen = self.world.verification.verify(&frames, &present, true).map(drop);
        assert_eq!(seen, expected, "{stamp} at {present:?}");
        self
    }
}

#[test]
fn while_our_own_clock_is_in_1970_the_publishers_clocks_give_the_time() {
    let mut booted = Booted::new();
    booted.check(0, YEAR_2026, Ok(())).check(1, YEAR_2026 + 1, Ok(()));
    booted.world.pass(10);
    booted.check(2, YEAR_2026 + 10, Ok(()));
    booted.check(0, YEAR_2026 - 291, Err(Refusal::Stale)).check(0, YEAR_2026 + 72, Err(Refusal::Future));
    // Set right: by our own clock again.
    booted.world.set(YEAR_2026 + 11);
    booted.check(0, YEAR_2026 + 11, Ok(())).check(1, YEAR_2026 + 72, Err(Refusal::Future));
}

#[test]
fn a_publisher_a_day_ahead_is_outvoted_while_our_own_clock_is_wrong() {
    let mut booted = Booted::new();
    booted.check(0, YEAR_2026, Ok(())).check(1, YEAR_2026, Ok(()));
    for second in 1..50 {
        booted.world.pass(1);
        booted.check(2, YEAR_2026 + DAY + second, Err(Refusal::Future));
        booted.check(0, YEAR_2026 + second, Ok(())).check(1, YEAR_2026 + second, Ok(()));
    }
}

#[test]
fn a_clock_behind_what_is_on_record_is_wrong_too_and_what_is_on_record_is_not_repeated() {
    let mut booted = Booted::new();
    let clocks = booted.world.clocks();
    booted.world.watch = ClockWatch::new(clocks, Timestamp::from_seconds(YEAR_2026));
    booted.world.set(YEAR_2026 - 3_600);
    booted.check(0, YEAR_2026 - 301, Err(Refusal::Stale));
    booted.check(0, YEAR_2026 - 299, Ok(()));
}

#[test]
fn what_has_no_stamp_is_refused_while_no_clock_is_right() {
    let mut world = World::at(600);
    let legacy = Measurement { accounting: None, ..measurement(0, 0) };
    let mut wire = Wire::default();
    Signer::new(Scheme::None, None).unwrap().encode(&legacy, &mut wire);
    let mut present = world.watch.read();
    let frames: [&[u8]; 2] = [&wire.topic, &wire.payload];
    assert_eq!(world.verification.verify(&frames, &present, true).map(drop), Err(Refusal::Clock));
    present.by_publishers = Some(Timestamp::from_seconds(YEAR_2026));
    assert!(world.verification.verify(&frames, &present, true).is_ok());
    assert_eq!(present.label(), Some(Timestamp::from_seconds(YEAR_2026)));
}
