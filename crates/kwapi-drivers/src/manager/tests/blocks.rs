//! Devices that deliver blocks of values, each with its stamp: fifty, or a thousand, a second.

use super::scripted::{BLOCKS_BEGIN, Sampled, curve_joules};
use super::*;
use crate::outlets::Outlets;

/// Takes blocks of so many values a second for a minute.
async fn check_blocks(values: u64) {
    let entry = DriverEntry::of::<Sending>();
    let keys = format!("script = {{ sends_blocks_of = {values} }}").parse().unwrap();
    let outlets = Outlets::by_position([ProbeId::new("fast").ok()]);
    let spec = MeterSpec::new("fast", entry.configure(keys).unwrap(), outlets);
    let scene = Scene::new(vec![spec]);
    sleep(63 * SECOND).await;
    let published = scene.published.lock();
    let fast: Vec<_> = published.iter().map(|(_, m)| m).filter(|m| m.probe.as_str() == "fast").collect();
    // None that was measured is lost, and each is at its own instant with its own power.
    let blocks = scene.status("fast").reads;
    assert!((61..=63).contains(&blocks), "{blocks} blocks");
    assert_eq!(fast.len() as u64, blocks * values);
    let mut account = kwapi_core::Account::default();
    for (place, measurement) in (0_u32..).zip(&fast) {
        let accounting = measurement.accounting.unwrap();
        let at = BLOCKS_BEGIN.after(SECOND * place / u32::try_from(values).unwrap());
        assert_eq!((accounting.timestamp, accounting.seq), (at, u64::from(place)));
        account.credit(&accounting, Duration::ZERO, 10 * SECOND).unwrap();
    }
    let seconds = (fast.len() - 1) as f64 / values as f64;
    let (joules, truth) = (account.totals().energy.joules(), curve_joules(seconds));
    assert!((joules / truth - 1.0).abs() < 1e-4, "{joules} J of {truth} J in {seconds} s");
    let beside = published.iter().filter(|(_, m)| m.probe.as_str() == "beside").count() as u64;
    assert_eq!(beside, blocks * values.div_ceil(250));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_values_a_second_are_each_published_at_their_own_instant() {
    check_blocks(1_000).await;
}

#[tokio::test(start_paused = true)]
async fn fifty_values_a_second_are_each_published_at_their_own_instant() {
    check_blocks(50).await;
}

/// A dummy that measures at this interval for ten seconds.
async fn check_dummy(milliseconds: u64) {
    let keys = "outlets = 3\nwatts = 240.0\nswing_watts = 160.0\nswing_seconds = 0.7".parse().unwrap();
    let driver = DriverEntry::of::<crate::dummy::Dummy>().configure(keys).unwrap();
    let mut spec = MeterSpec::new("fast", driver, Outlets::all("fast.{outlet}"));
    spec.interval = Duration::from_millis(milliseconds);
    let scene = Scene::new(vec![spec]);
    sleep(10 * SECOND).await;
    let (reads, missed) = (scene.status("fast").reads, scene.status("fast").ticks_missed);
    let published = scene.published.lock();
    let of_first = |m: &&kwapi_core::Measurement| m.probe.as_str() == "fast.1";
    let fast: Vec<_> = published.iter().map(|(_, m)| m).filter(of_first).collect();
    assert_eq!((published.len(), missed), (3 * fast.len(), 0));
    assert!((fast.len() as u64).abs_diff(10_000 / milliseconds) <= 50 / milliseconds + 1, "{}", fast.len());
    assert!((195..=201).contains(&reads), "woken {reads} times");
    let mut account = kwapi_core::Account::default();
    let first = fast[0].accounting.unwrap().timestamp;
    for (place, measurement) in (0_u32..).zip(&fast) {
        let accounting = measurement.accounting.unwrap();
        let at = first.after(Duration::from_millis(milliseconds) * place);
        assert_eq!((accounting.timestamp, accounting.seq), (at, u64::from(place)));
        account.credit(&accounting, Duration::ZERO, 10 * SECOND).unwrap();
    }
    let turns =
        |at: kwapi_core::Timestamp| std::f64::consts::TAU * ((at.micros() % 700_000) as f64 / 700_000.0);
    let (from, to) = (first, account.last());
    let swung = turns(from).cos() - turns(to).cos();
    let truth = 240.0 * to.since(from).as_secs_f64() + 160.0 * 0.7 / std::f64::consts::TAU * swung;
    let joules = account.totals().energy.joules();
    // A value counts from the one before it: half an interval of what the power has changed by.
    let allowed = truth * 1e-4 + milliseconds as f64 / 2e3 * 320.0;
    assert!((joules - truth).abs() < allowed, "{joules} J of {truth} J");
}

#[tokio::test(start_paused = true)]
async fn a_dummy_measures_a_thousand_times_a_second_and_is_queried_twenty_times() {
    check_dummy(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_dummy_measures_at_each_tick_of_any_short_interval() {
    check_dummy(20).await;
    check_dummy(7).await;
}

#[tokio::test(start_paused = true)]
async fn a_sum_of_fast_probes_has_their_energy_and_is_published_once_a_block() {
    let keys = "outlets = 2\nwatts = 50.0".parse().unwrap();
    let driver = DriverEntry::of::<crate::dummy::Dummy>().configure(keys).unwrap();
    let mut spec = MeterSpec::new("fast", driver, Outlets::all("fast.{outlet}"));
    spec.interval = Duration::from_millis(1);
    let scene = Scene::new(vec![]);
    let parts = ["fast.1", "fast.2"].map(|part| ProbeId::new(part).unwrap());
    let sum = VirtualSpec {
        probe: ProbeId::new("sum").unwrap(),
        parts: parts.to_vec(),
        max_gap: 10 * SECOND,
        max_gap_follows: false,
    };
    scene.manager.apply_virtual(vec![sum]).unwrap();
    scene.manager.apply(vec![spec]);
    sleep(10 * SECOND).await;
    let published = scene.published.lock();
    let sums: Vec<_> = published.iter().filter(|(_, m)| m.probe.as_str() == "sum").map(|(_, m)| m).collect();
    assert!((190..=200).contains(&sums.len()), "{}", sums.len());
    let totals = sums.last().unwrap().accounting.unwrap().totals;
    let joules = 100.0 * totals.measured_ms as f64 / 1e3;
    assert!(
        (totals.energy.joules() - joules).abs() <= 100.0 * 0.051,
        "{} J of {joules} J",
        totals.energy.joules()
    );
}

/// A meter that a thread reads every two milliseconds by this script, and what comes of it until so many values are there.
async fn sampled(script: &str, count: usize) -> (Vec<(u64, f64)>, MeterStatus) {
    let driver =
        DriverEntry::of::<Sampled>().configure(format!("script = {script}").parse().unwrap()).unwrap();
    let mut spec = MeterSpec::new("fast", driver, Outlets::by_position([ProbeId::new("fast").ok()]));
    spec.interval = Duration::from_millis(2);
    let (sender, mut published) = tokio::sync::mpsc::unbounded_channel();
    let began = Instant::now();
    let clock =
        WallClock::new(move || kwapi_core::Timestamp::from_seconds(1_800_000_000).after(began.elapsed()));
    let manager = Manager::new(Arc::new(move |measurement, _| _ = sender.send(measurement)), clock);
    manager.apply(vec![spec]);
    let mut all = Vec::new();
    while all.len() < count {
        let measurement = published.recv().await.unwrap();
        let accounting = measurement.accounting.unwrap();
        assert!(accounting.seq == all.len() as u64 || accounting.seq == 0, "in order");
        all.push((accounting.timestamp.micros(), measurement.power.0));
    }
    let status = manager.statuses().remove(0);
    manager.stop().await;
    (all, status)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_thread_reads_is_each_published_once_and_what_it_missed_is_counted() {
    let (all, status) = sampled("'steady'", 500).await;
    assert!(all.windows(2).all(|pair| pair[0].1 < pair[1].1 && pair[0].0 < pair[1].0), "each once, in order");
    // A tick is due every two milliseconds: each was read or is counted. The last block's are counted once it is published.
    let due = |until: usize| (all[until].0 - all[0].0 + 100) / 2_000 + 1;
    assert!(due(499) >= 499, "{} due: it reads no more often than configured", due(499));
    let whole = 499 - 2 * 25;
    assert!(due(whole) <= whole as u64 + 1 + status.ticks_missed, "{} due, {status:?}", due(whole));
    assert!(status.last_latency.is_some() && status.state == MeterState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_reads_that_take_longer_than_the_interval_one_in_a_block_is_reported() {
    let (all, status) = sampled("{ takes_ms = 5 }", 5).await;
    assert!(all.windows(2).all(|pair| pair[0].1 < pair[1].1 && pair[0].0 < pair[1].0), "{all:?}");
    // Fifty milliseconds are 25 ticks; those of the last block are counted once it is published.
    assert!(status.ticks_missed >= 4 * 20, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_that_thread_restarts_the_meter_and_is_reported() {
    let (all, status) = sampled("{ panics_at = 30 }", 45).await;
    let restarts = all.windows(2).filter(|pair| pair[1].1 < pair[0].1).count();
    assert!(restarts > 0 && all.iter().all(|(_, power)| *power < 30.0), "{all:?}");
    assert_eq!(status.last_error.as_deref(), Some("the driver panicked: at read 30"));
}
