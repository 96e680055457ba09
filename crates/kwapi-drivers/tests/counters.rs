//! A meter's own counter, from an SNMP agent over UDP through the manager to what is published.

#![allow(clippy::expect_used, reason = "helpers of tests state what they expect by failing")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Accounting, Measurement, ProbeId, Timestamp, WallClock};
use kwapi_drivers::Outlets;
use kwapi_drivers::manager::{Manager, MeterSpec};
use kwapi_drivers::registry;
use kwapi_simulators::snmp::{Rack, RackSettings};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// 1 Wh a second: between two ticks of the counter the rack is read ten times.
const COARSE_WATTS: f64 = 3_600.0;
/// 100 Wh a second: each round sees the counter move.
const FINE_WATTS: f64 = 360_000.0;
/// Where the rack's counters start again, in watt-hours.
const RANGE: f64 = 4_294_967_296.0;
/// One tick of them, in joules.
const TICK: f64 = 3_600.0;

type Published = Arc<Mutex<Vec<Measurement>>>;

/// A rack with an outlet for each load, `watt_hours` before the end of their counters, and a manager that reads it.
async fn scene(watt_hours: f64) -> (Rack, Manager, Published) {
    let names = vec!["coarse".to_owned(), "fine".to_owned()];
    let rack = Rack::start(RackSettings { names, ..RackSettings::default() }).await.expect("a port");
    for (outlet, watts) in [(1, COARSE_WATTS), (2, FINE_WATTS)] {
        rack.set_watts(outlet, Some(watts));
        rack.set_watt_hours(outlet, RANGE - watt_hours * watts / COARSE_WATTS);
    }
    let keys = format!("host = '127.0.0.1'\nport = {}", rack.address().port()).parse().expect("TOML");
    let driver = registry::find("snmp").expect("a driver").configure(keys).expect("keys");
    let outlets = Outlets::by_position(["coarse", "fine"].map(|name| ProbeId::new(name).ok()));
    let spec = MeterSpec { interval: Duration::from_millis(100), ..MeterSpec::new("rack", driver, outlets) };

    let published = Published::default();
    let (sink, began) = (Arc::clone(&published), Instant::now());
    let clock = WallClock::new(move || Timestamp::from_seconds(1_800_000_000).after(began.elapsed()));
    let manager = Manager::new(Arc::new(move |measurement, _| sink.lock().push(measurement)), clock);
    manager.apply(vec![spec]);
    (rack, manager, published)
}

/// What happens to the rack between two stretches of three seconds, and the totals that come of it.
async fn check(what: &str, watt_hours: f64, happens: impl FnOnce(&Rack)) {
    let (rack, _manager, published) = scene(watt_hours).await;
    sleep(Duration::from_secs(3)).await;
    happens(&rack);
    sleep(Duration::from_secs(3)).await;
    let totals = by_probe(&published);
    for (probe, watts) in [("coarse", COARSE_WATTS), ("fine", FINE_WATTS)] {
        adds_up(what, probe, totals.get(probe).expect("it was measured"), watts);
    }
}

fn by_probe(published: &Published) -> BTreeMap<String, Vec<Accounting>> {
    let mut totals: BTreeMap<String, Vec<Accounting>> = BTreeMap::new();
    for measurement in published.lock().iter() {
        let probe = measurement.probe.as_str().to_owned();
        totals.entry(probe).or_default().push(measurement.accounting.expect("its totals"));
    }
    totals
}

/// The total neither falls nor jumps, and in the end is what a constant load used in the time that passed.
#[track_caller]
fn adds_up(what: &str, probe: &str, ledgers: &[Accounting], watts: f64) {
    assert!(ledgers.len() > 20, "{what}: {probe}: only {} measurements", ledgers.len());
    for pair in ledgers.windows(2) {
        let [before, after] = pair else { continue };
        assert_eq!((after.session, after.seq), (before.session, before.seq + 1), "{what}: {probe}");
        let (before_j, after_j) = (before.totals.energy.joules(), after.totals.energy.joules());
        let used = watts * after.timestamp.since(before.timestamp).as_secs_f64();
        // A rack that is read late reports at once what it counted since.
        let most = used.max(watts * 0.5) + 2.0 * TICK;
        assert!(
            (0.0..=most).contains(&(after_j - before_j)),
            "{what}: {probe}: {before_j} J, then {after_j} J"
        );
    }
    let (Some(first), Some(last)) = (ledgers.first(), ledgers.last()) else { return };
    let used = watts * last.timestamp.since(first.timestamp).as_secs_f64();
    let total = last.totals.energy.joules();
    let error = (total - used).abs();
    assert!(error <= 0.1 * used + 2.0 * TICK, "{what}: {probe}: {total} J, and {used} J were used");
    assert_eq!(last.totals.unknown_ms, 0, "{what}: {probe}");
}

#[tokio::test]
async fn a_coarse_counter_and_a_fine_one_add_up() {
    check("nothing", 1e6, |_| ()).await;
}

#[tokio::test]
async fn a_counter_that_starts_again_at_its_end_adds_up() {
    check("wrap", 2.5, |_| ()).await;
}

#[tokio::test]
async fn a_counter_set_back_to_0_adds_up() {
    check("reset", 1e6, |rack| {
        rack.set_watt_hours(1, 0.0);
        rack.set_watt_hours(2, 0.0);
    })
    .await;
}

#[tokio::test]
async fn a_counter_that_leaps_is_not_trusted_for_that_leap() {
    check("leap", 1e6, |rack| rack.set_watt_hours(1, RANGE - 7_000.0)).await;
}

#[tokio::test]
async fn an_agent_that_restarts_adds_up() {
    check("reboot", 1e6, Rack::reboot).await;
}

#[tokio::test]
async fn an_outlet_that_is_gone_is_silent_and_its_neighbour_adds_up() {
    let (rack, _manager, published) = scene(1e6).await;
    sleep(Duration::from_secs(2)).await;
    rack.remove_outlet(2);
    sleep(Duration::from_secs(1)).await;
    let of_fine = |published: &Published| by_probe(published).get("fine").map_or(0, Vec::len);
    let before = of_fine(&published);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(of_fine(&published), before, "nothing is made up for it");
    adds_up(
        "row missing",
        "coarse",
        by_probe(&published).get("coarse").expect("it was measured"),
        COARSE_WATTS,
    );
}
