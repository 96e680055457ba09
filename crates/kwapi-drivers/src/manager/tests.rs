//! Meters whose driver follows a script, on a paused clock: an hour takes milliseconds.

mod blocks;
mod restarts;
mod scripted;

use std::io;
use std::sync::atomic::Ordering;

use kwapi_core::{NoReading, ProbeId};
use tokio::time::{Instant, sleep};

use super::*;
use crate::registry::DriverEntry;
use scripted::{Scene, Sending, meter};

const SECOND: Duration = Duration::from_secs(1);

/// Runs one script for a simulated hour beside a steady meter, which must not notice.
async fn hour(script: &str) -> MeterStatus {
    let scene = Scene::new(vec![meter("other", "'steady'"), meter("tested", script)]);
    sleep(3_600 * SECOND).await;
    let beats = scene.count("other");
    assert!((3_599..=3_600).contains(&beats), "the other meter: {beats}");
    scene.status("tested")
}

#[track_caller]
fn check(status: &MeterStatus, state: MeterState, attempts: std::ops::RangeInclusive<u64>, error: &str) {
    assert_eq!((status.state, status.last_error.as_deref()), (state, Some(error)));
    assert!(attempts.contains(&status.failures), "{} failures", status.failures);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_tried_a_dozen_times_an_hour() {
    check(&hour("'wrong_password'").await, MeterState::Refused, 10..=12, "wrong password");
}

#[tokio::test(start_paused = true)]
async fn a_dead_device_is_tried_once_a_minute_and_disturbs_nobody() {
    let status = hour("{ unplugged_at = 0 }").await;
    check(&status, MeterState::Tripped, 60..=68, "unexpected end of file");
}

#[tokio::test(start_paused = true)]
async fn a_hung_device_is_reopened_whether_it_hangs_at_open_or_later() {
    check(
        &hour("'hangs_at_open'").await,
        MeterState::Tripped,
        50..=60,
        "opening the session timed out after 10s",
    );
    check(&hour("{ hangs_at = 0 }").await, MeterState::Tripped, 50..=60, "timed out after 10s");
}

#[tokio::test(start_paused = true)]
async fn a_panicking_driver_is_restarted_and_its_message_kept() {
    let at_open = hour("'panics_at_open'").await;
    check(&at_open, MeterState::Tripped, 60..=68, "the driver panicked: at open");
    let later = hour("{ panics_at = 30 }").await;
    assert_eq!(later.last_error.as_deref(), Some("the driver panicked: at read 30"));
    assert!(later.reads > 3_000 && later.sessions > 100, "{later:?}");
}

/// What is logged from here on in this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_logged_with_its_meter_and_its_message() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    hour("{ panics_at = 30 }").await;
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    let crash = log.lines().find(|line| line.contains("crashed: ")).unwrap_or_else(|| panic!("{log}"));
    assert!(crash.contains("ERROR") && crash.contains("the driver panicked: at read 30"), "{crash}");
    assert!(crash.contains("meter=") && crash.contains("driver="), "{crash}");
}

#[tokio::test(start_paused = true)]
async fn busy_keeps_the_session_and_garbage_does_for_a_while() {
    let busy = hour("'busy'").await;
    check(&busy, MeterState::Failing, 3_598..=3_600, "busy: C0");
    assert_eq!(busy.sessions, 1);
    let garbage = hour("'malformed'").await;
    assert!(garbage.sessions > 1 && garbage.sessions < 60, "{garbage:?}");
    // What is configured and was never measured is known, and that it was not.
    let [probe] = garbage.probes.as_slice() else { panic!("{garbage:?}") };
    assert_eq!((probe.power, probe.measured_at, probe.max_gap), (None, None, 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn an_outlet_without_a_reading_is_no_message_and_seen_in_the_status() {
    let scene = Scene::new(vec![meter("negative", "'implausible'"), meter("silent", "'silent'")]);
    sleep(60 * SECOND).await;
    assert_eq!(scene.published.lock().len(), 0);
    let negative = scene.status("negative");
    assert!(negative.no_readings.implausible >= 59, "{negative:?}");
    assert_eq!(negative.state, MeterState::Failing);
    assert_eq!(negative.probes[0].problem, Some(NoReading::Implausible("-1 W".to_owned())));
    assert!(scene.status("silent").no_readings.not_available >= 59);
}

#[tokio::test(start_paused = true)]
async fn a_meter_that_is_sent_nothing_waits_and_that_is_no_failure() {
    let mut spec = meter("a", "'steady'");
    let keys = "script = { sends_from_to = [100, 200] }".parse().expect("TOML");
    spec.driver = DriverEntry::of::<Sending>().configure(keys).expect("a script");
    let scene = Scene::new(vec![spec]);
    let mut seen = Vec::new();
    for _ in 0..300 {
        sleep(SECOND).await;
        let status = scene.status("a");
        assert!(status.state == MeterState::Starting || status.state.is_up(), "{status:?}");
        assert_eq!((status.failures, status.last_error), (0, None));
        if seen.last() != Some(&status.state) {
            seen.push(status.state);
        }
    }
    let expected = [MeterState::Starting, MeterState::Waiting, MeterState::Running, MeterState::Waiting];
    assert!(seen == expected || seen == expected[1..], "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_stands_still_is_no_failure() {
    let scene = Scene::new(vec![meter("a", "'counts_nothing'")]);
    sleep(60 * SECOND).await;
    let status = scene.status("a");
    assert_eq!((status.state, status.failures, scene.count("a")), (MeterState::Running, 0, 0));
    assert!(matches!(status.probes[0].problem, Some(NoReading::NotReady(_))), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_is_not_set_follows_the_meters_own_pace() {
    let slow = |name: &str, max_gap_follows| MeterSpec {
        interval: 300 * SECOND,
        max_gap_follows,
        ..meter(name, "'steady'")
    };
    let scene = Scene::new(vec![slow("follows", true), slow("set", false)]);
    sleep(3_600 * SECOND).await;
    let unknown = |name: &str| {
        let published = scene.published.lock();
        let (_, last) = published.iter().rfind(|(_, m)| m.probe.as_str() == name).unwrap();
        last.accounting.unwrap().totals.unknown_ms / 1000
    };
    // The first interval may be cut short by the meter's place on the grid.
    assert!((100..=301).contains(&unknown("follows")), "one interval is no pace: {}", unknown("follows"));
    assert!(unknown("set") >= 3_000, "{}", unknown("set"));
}

#[tokio::test(start_paused = true)]
async fn the_pace_does_not_drift_over_an_hour() {
    let scene = Scene::new(vec![meter("a", "{ takes_ms = 300 }")]);
    sleep(3_600 * SECOND).await;
    let instants = scene.instants("a");
    assert!((3_599..=3_600).contains(&instants.len()));
    let grid = (0..).map(|beat| SECOND * beat);
    let off = |(instant, beat): (&Instant, Duration)| instant.duration_since(instants[0]).abs_diff(beat);
    let worst = instants.iter().zip(grid).map(off).max().unwrap();
    assert!(worst <= Duration::from_millis(2), "tokio's timer counts milliseconds; off by {worst:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_device_is_read_as_fast_as_it_answers() {
    let status = hour("{ takes_ms = 1500 }").await;
    assert!(status.is_slow && status.state == MeterState::Running);
    assert!((2_170..=2_185).contains(&status.reads), "{}", status.reads);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_begins_a_session_and_a_lost_link_does_not() {
    let scene = Scene::new(vec![meter("a", "{ unplugged_at = 20 }")]);
    sleep(100 * SECOND).await;
    assert!(scene.status("a").sessions > 1);
    let before = scene.ledgers();
    assert!(before.iter().all(|accounting| accounting.session == before[0].session));
    scene.step.store(-40, Ordering::Relaxed);
    sleep(10 * SECOND).await;
    let after = *scene.ledgers().last().unwrap();
    assert!(after.session > before[0].session && after.seq < 20);
}

#[tokio::test(start_paused = true)]
async fn a_reload_restarts_only_what_changed() {
    let scene =
        Scene::new(vec![meter("kept", "'steady'"), meter("changed", "'steady'"), meter("gone", "'steady'")]);
    sleep(10 * SECOND).await;
    let mut changed = meter("changed", "'steady'");
    changed.interval = 2 * SECOND;
    let gone = scene.count("gone");
    let specs = vec![meter("kept", "'steady'"), changed, meter("new", "'steady'"), meter("new", "'busy'")];
    let applied = scene.manager.apply(specs);
    assert_eq!(applied, Applied { started: 1, restarted: 1, stopped: 1, kept: 1, refused: 1 });
    sleep(10 * SECOND).await;
    assert_eq!((scene.count("kept"), scene.count("gone")), (20, gone));
    assert_eq!((scene.count("changed"), scene.count("new")), (15, 10));
    let beats = scene.instants("kept");
    assert!(beats.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(SECOND) < Duration::from_millis(3)));
    let names: Vec<_> = scene.manager.statuses().into_iter().map(|status| status.name).collect();
    assert_eq!(names, ["changed", "kept", "new"]);
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_every_session_within_a_second_even_one_that_hangs() {
    let scene = Scene::new(vec![meter("a", "'steady'"), meter("b", "{ hangs_at = 0 }")]);
    sleep(5 * SECOND).await;
    let began = Instant::now();
    scene.manager.stop().await;
    assert!(began.elapsed() < SECOND);
    let count = scene.count("a");
    sleep(5 * SECOND).await;
    assert_eq!((scene.count("a"), scene.manager.statuses().len()), (count, 0));
}

#[tokio::test(start_paused = true)]
async fn a_virtual_probe_is_published_with_its_parts() {
    let scene = Scene::new(vec![meter("a", "'steady'"), meter("b", "'steady'")]);
    let id = |name: &str| ProbeId::new(name).unwrap();
    let sum = VirtualSpec {
        probe: id("both"),
        parts: vec![id("a"), id("b")],
        max_gap: 10 * SECOND,
        max_gap_follows: false,
    };
    scene.manager.apply_virtual(vec![sum]).unwrap();
    sleep(60 * SECOND).await;
    assert!(scene.count("both") >= 58, "{}", scene.count("both"));
    let published = scene.published.lock();
    let (_, last) = published.iter().rfind(|(_, m)| m.probe.as_str() == "both").unwrap();
    assert_eq!(last.power.0, 200.0);
    let joules = last.accounting.unwrap().totals.energy.joules();
    assert!((11_500.0..=12_000.0).contains(&joules), "{joules}");
}

#[tokio::test(start_paused = true)]
async fn five_percent_hanging_out_of_a_thousand_disturb_nobody() {
    let script =
        |index: usize| if index.is_multiple_of(20) { "'hangs_at_open'" } else { "{ takes_ms = 20 }" };
    let meters = (0..1_000).map(|index| meter(&format!("m{index}"), script(index))).collect();
    let scene = Scene::new(meters);
    sleep(30 * SECOND).await;
    for index in (0..1_000).filter(|index| index % 20 != 0) {
        let beats = scene.status_beats(index);
        assert!(beats >= 29, "m{index}: {beats}");
    }
}
