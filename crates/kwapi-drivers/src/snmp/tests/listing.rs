//! Which outlets there are, and what becomes of those that come, go and change their names.

use std::time::Duration;

use super::*;

async fn session(rack: &Rack, template: &str, shared: &Arc<SnmpShared>) -> Snmp {
    Snmp::open(&config(rack.address(), ""), &Outlets::all(template), shared).await.unwrap()
}

/// The lines of a round, without how long an outlet has been missing.
async fn lines(driver: &mut Snmp) -> Vec<String> {
    let shorten = |line: String| line.rsplit_once(" for ").unwrap().0.to_owned() + "|";
    let lines = read(driver).await.unwrap();
    lines
        .into_iter()
        .map(|line| if line.contains(" missing from the agent's table ") { shorten(line) } else { line })
        .collect()
}

const FIRST: &str = "p.1: 101 W, 3600000 J";
const SECOND: &str = "p.2: 102 W, 7200000 J";

#[tokio::test]
async fn outlets_that_a_restarting_pdu_does_not_list_yet_are_read_when_they_are_there() {
    let rack = rack(2).await;
    rack.remove_outlet(2);
    let shared = Arc::new(SnmpShared::default());
    let mut driver = session(&rack, "p.{outlet}", &shared).await;
    assert_eq!(lines(&mut driver).await, [FIRST]);
    rack.restore_outlets();
    assert_eq!(lines(&mut driver).await, [FIRST]);
    // It restarts again, which is seen in one round and answered in the next.
    rack.reboot();
    assert_eq!(lines(&mut driver).await, [FIRST]);
    assert_eq!(lines(&mut driver).await, [FIRST, SECOND]);
}

#[tokio::test]
async fn outlets_are_listed_again_soon_after_the_device_counts_others() {
    let names = vec!["host 1".to_owned(), "host 2".to_owned()];
    let settings = RackSettings { names, counts_outlets: true, ..RackSettings::default() };
    let rack = Rack::start(settings).await.unwrap();
    (1..=2).for_each(|outlet| rack.set_watts(outlet, Some(100.0 + outlet as f64)));
    (1..=2).for_each(|outlet| rack.set_watt_hours(outlet, 1_000.0 * outlet as f64));
    rack.remove_outlet(2);
    let shared = Arc::new(SnmpShared::default());
    let mut driver = session(&rack, "p.{outlet}", &shared).await;
    assert_eq!(lines(&mut driver).await, [FIRST]);
    rack.restore_outlets();
    // Seen in one round. A quarter of a minute after the last listing, and long before the next is due, it is answered.
    assert_eq!(lines(&mut driver).await, [FIRST]);
    for seconds in [10, 10] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        lines(&mut driver).await;
    }
    assert_eq!(lines(&mut driver).await, [FIRST, SECOND]);
    let before = rack.datagrams().received;
    lines(&mut driver).await;
    assert_eq!(rack.datagrams().received - before, 1, "and then no more");
}

#[tokio::test]
async fn an_outlet_that_was_known_is_missed_by_the_next_session_and_read_as_soon_as_it_is_back() {
    let rack = rack(2).await;
    let shared = Arc::new(SnmpShared::default());
    let mut driver = session(&rack, "p.{outlet}", &shared).await;
    assert_eq!(lines(&mut driver).await, [FIRST, SECOND]);
    drop(driver);
    rack.remove_outlet(2);
    let mut driver = session(&rack, "p.{outlet}", &shared).await;
    let missed = "p.2: no such outlet: missing from the agent's table|";
    assert_eq!(lines(&mut driver).await, [FIRST, missed]);
    let finding = driver.findings().into_iter().find(|finding| finding.what == "outlet 2").unwrap();
    assert!(!finding.is_used && finding.why.contains("no longer listed by the device"), "{finding:?}");
    rack.restore_outlets();
    assert_eq!(lines(&mut driver).await, [FIRST, SECOND]);
    // A session that begins now has nothing of it.
    rack.remove_outlet(2);
    let mut driver = session(&rack, "p.{outlet}", &Arc::new(SnmpShared::default())).await;
    assert_eq!(lines(&mut driver).await, [FIRST]);
}

#[tokio::test]
async fn outlets_of_one_name_are_two_probes_below_it() {
    let names = ["web", "", "web"].map(str::to_owned).to_vec();
    let rack = Rack::start(RackSettings { names, ..RackSettings::default() }).await.unwrap();
    (1..=3).for_each(|outlet| rack.set_watts(outlet, Some(outlet as f64)));
    let mut driver = open(&rack, "", &Outlets::all("a.{label}")).await.unwrap();
    let lines = read(&mut driver).await.unwrap();
    let probes: Vec<_> = lines.iter().filter_map(|line| line.split(" W").next()).collect();
    assert_eq!(probes, ["a.web.1: 1", "a.2: 2", "a.web.3: 3"]);
    let finding = driver.findings().into_iter().find(|finding| finding.what == "outlet 3").unwrap();
    assert!(finding.is_used && finding.why == "duplicate name; read as probe a.web.3", "{finding:?}");
}

#[tokio::test]
async fn a_new_name_is_a_new_probe_and_the_old_one_has_no_reading() {
    let rack = rack(2).await;
    let shared = Arc::new(SnmpShared::default());
    let mut driver = session(&rack, "p.{label}", &shared).await;
    read(&mut driver).await.unwrap();
    rack.set_name(2, "db1");
    rack.reboot();
    lines(&mut driver).await;
    assert_eq!(
        lines(&mut driver).await,
        [
            "p.host 1: 101 W, 3600000 J",
            "p.db1: 102 W, 7200000 J",
            "p.host 2: no such outlet: 2 of the device is now probe p.db1"
        ]
    );
}

#[tokio::test]
async fn a_listing_that_fails_costs_no_known_outlet() {
    let rack = rack(2).await;
    let shared = Arc::new(SnmpShared::default());
    let mut driver = session(&rack, "p.{outlet}", &shared).await;
    assert_eq!(lines(&mut driver).await, [FIRST, SECOND]);
    rack.reboot();
    assert_eq!(lines(&mut driver).await, [FIRST, SECOND]);
    rack.set_fault(Some(AgentFault::Endless));
    assert_eq!(lines(&mut driver).await, [FIRST, SECOND]);
}

#[tokio::test]
async fn a_counter_is_known_by_its_object_and_the_serial_number_of_its_device() {
    for serial in [Some("PX2-0815".to_owned()), None] {
        let names = vec!["web1".to_owned(), "web2".to_owned()];
        let settings = RackSettings { names, serial: serial.clone(), ..RackSettings::default() };
        let rack = Rack::start(settings).await.unwrap();
        for outlets in [outlets(&["2"]), Outlets::all("p.{outlet}")] {
            let mut driver = open(&rack, "", &outlets).await.unwrap();
            let mut readings = Readings::default();
            driver.read(&mut readings).await.unwrap();
            let (_, reading) = readings.drain().last().unwrap();
            let register = reading.unwrap().register.unwrap();
            assert_eq!(register.serial, serial);
            assert_eq!(register.path.as_deref(), Some("1.3.6.1.4.1.13742.6.5.4.3.1.4.1.2.8"));
        }
    }
}
