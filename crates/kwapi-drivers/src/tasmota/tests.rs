//! Answers shaped after the documentation and after what devices publish, in numbers of our own; the device is
//! simulated.

use kwapi_simulators::{HttpAnswer, HttpDevice, HttpRequest};
use proptest::prelude::*;

use super::*;
use crate::testing::{self, by_key, one};

const PLUG: &str = r#"{"TotalStartTime":"2023-01-05T09:18:00","Total":52.438,"Yesterday":0.211,"Today":0.087,
    "Power":12,"ApparentPower":21,"ReactivePower":17,"Factor":0.58,"Voltage":231,"Current":0.091}"#;
const TWO: &str =
    r#"{"Total":3.185,"Power":[10,20],"ApparentPower":[11,21],"Voltage":230,"Current":[0.05,0.09]}"#;

#[track_caller]
fn check(energy: &str, expected: &[&str]) {
    let outcome: Vec<_> = read(&serde_json::from_str(energy).expect("JSON"), &mut Notes::default())
        .into_iter()
        .map(|(key, reading)| format!("{key}: {}", reading.map_or_else(|e| e.to_string(), |r| r.to_string())))
        .collect();
    assert_eq!(outcome, expected);
}

#[test]
fn a_plug_reports_watts_and_its_total() {
    let plug = "12 W, 231 V, 0.091 A, 188776800 J";
    check(PLUG, &[&format!("total: {plug}"), &format!("1: {plug}")]);
}

#[test]
fn several_channels_have_one_counter_together() {
    check(TWO, &["total: 30 W, 11466000 J", "1: 10 W, 230 V, 0.05 A", "2: 20 W, 230 V, 0.09 A"]);
    check(
        r#"{"Total":[1.0,2.0],"Power":[10,20]}"#,
        &["total: 30 W, 10800000 J", "1: 10 W, 3600000 J", "2: 20 W, 7200000 J"],
    );
}

#[test]
fn what_flows_back_is_not_drawn_and_a_bad_counter_costs_itself_alone() {
    let roof = "0 W, 4500000 J";
    check(r#"{"Total":1.25,"Power":-310}"#, &[&format!("total: {roof}"), &format!("1: {roof}")]);
    check(r#"{"Total":-1,"Power":9}"#, &["total: 9 W", "1: 9 W"]);
}

/// `Total` of a meter that Tasmota computes runs backwards by what flows back; that of a house meter behind it may be the sum of
/// both directions.
#[test]
fn what_flows_back_is_neither_taken_off_nor_added() {
    check(
        r#"{"Total":[4.5,20.25,0.0],"ExportActive":[1.5,0.0,0.25],"Power":[-90.0,410.5,-0.2]}"#,
        &["total: 320.3 W, 95400000 J", "1: 0 W, 21600000 J", "2: 410.5 W, 72900000 J", "3: 0 W, 900000 J"],
    );
    check(
        r#"{"Total":90.5,"ImportActive":[30.0,40.0],"ExportActive":[20.0,0.5],"Power":[-10.0,4.0]}"#,
        &["total: 0 W, 252000000 J", "1: 0 W, 108000000 J", "2: 4 W, 144000000 J"],
    );
    // Where half of it is reported, nothing is made up.
    check(r#"{"Total":"?","ExportActive":0.5,"Power":7}"#, &["total: 7 W", "1: 7 W"]);
    let meter = r#"{"TotalStartTime":"2025-03-04T05:06:07","Total":2.0,"ExportActive":0.5,"Power":7}"#;
    let of = |energy: &str| {
        let channels = read(&serde_json::from_str(energy).expect("JSON"), &mut Notes::default());
        channels[0].1.as_ref().expect("a reading").counter.expect("a counter")
    };
    assert_eq!(of(meter).resolution.joules(), 7200.0, "two numbers of three decimals");
    assert!(of(meter).reset_at.is_some());
    // Resetting Tasmota's own total resets no register of the meter behind it.
    assert_eq!(of(&meter.replace("Export", "Import")).reset_at, None);
}

#[test]
fn a_house_meter_is_reported_with_how_it_is_read() {
    let message = |status: &str| no_energy(&serde_json::from_str(status).expect("JSON"), "http://meter/");
    let optical =
        r#"{"StatusSNS":{"Time":"2026-02-03T04:05:06","MT175":{"P":412.5,"E_in":8123.4,"Meter_id":"0a01"}}}"#;
    assert_eq!(
        message(optical),
        "no StatusSNS.ENERGY, but MT175: E_in, P; if power is among these, use driver = \"http_json\", \
         url = \"http://meter/cm?cmnd=Status%208\", values = { power = \"/StatusSNS/MT175/E_in\" }"
    );
    let named = optical.replace("\"P\"", "\"Power_now\"");
    assert!(message(&named).ends_with("values = { power = \"/StatusSNS/MT175/Power_now\" }"));
    assert!(message(r#"{"StatusSNS":{"Time":"x"}}"#).ends_with("that its template is right"));
    let hostile = format!("{{\"StatusSNS\":{{\"a\\u001b[2J{}\":{{\"b\":1}}}}}}", "x".repeat(10_000));
    assert!(message(&hostile).len() < 400 && !message(&hostile).contains(char::is_control));
}

#[test]
fn a_number_in_quotation_marks_counts_and_a_start_before_the_clock_was_set_does_not() {
    let scripted = r#"{"TotalStartTime":"1970-01-01T00:00:00","Total":"17.250","Power":"23","Voltage":229,"Current":0.17}"#;
    let outcome = "23 W, 229 V, 0.17 A, 62100000 J";
    check(scripted, &[&format!("total: {outcome}"), &format!("1: {outcome}")]);
    let channels = read(&serde_json::from_str(scripted).expect("JSON"), &mut Notes::default());
    let counter = channels[0].1.as_ref().expect("a reading").counter.expect("a counter");
    assert_eq!(counter.reset_at, None, "else setting the clock would look like a reset");
}

#[test]
fn a_channel_is_a_number_or_total() {
    let config = toml::from_str("host = 'plug1'").expect("a configuration");
    let outlets = |key: &str| by_key([(key, "a")]);
    for good in ["1", "2", "total"] {
        Tasmota::check_outlets(&config, &outlets(good)).expect("no fault");
    }
    for bad in ["0", "relay", "-1"] {
        let message = Tasmota::check_outlets(&config, &outlets(bad)).expect_err("a fault").to_string();
        assert_eq!(message, format!("`probes`: outlet {bad:?}: must be a channel number from 1, or total"));
    }
}

#[test]
fn a_missing_power_is_not_zero() {
    check("{}", &["total: not available: Power has no value", "1: not available: Power has no value"]);
    check(
        r#"{"Power":[1,null]}"#,
        &["total: not available: Power has no value", "1: 1 W", "2: not available: Power has no value"],
    );
}

#[tokio::test]
async fn a_plug_that_answers_nothing_of_the_kind_for_once_is_busy_and_not_refused() {
    let requests = std::sync::atomic::AtomicUsize::new(0);
    let respond = move |request: &HttpRequest| match request.target.as_str() {
        // Its own start, or its web server's, which answers first.
        "/cm?cmnd=Status%208" if requests.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 => {
            HttpAnswer::ok(r#"{"Command":"Error"}"#)
        }
        _ => HttpAnswer::ok(format!(r#"{{"StatusSNS":{{"ENERGY":{PLUG}}}}}"#)),
    };
    let simulator = HttpDevice::start(respond).await.expect("a port");
    let config = toml::from_str(&format!("host = \"{}\"", simulator.address())).expect("a configuration");
    let one = one();
    let mut meter = Tasmota::open(&config, &one, &Arc::default()).await.expect("open");
    let mut readings = Readings::default();
    meter.read(&mut readings).await.expect("a reading");
    let error = meter.read(&mut readings).await.expect_err("no ENERGY");
    assert!(matches!(error, DriverError::Busy(_)), "{error}");
}

#[test]
fn the_start_of_the_total_is_its_reset() {
    let channels = read(&serde_json::from_str(PLUG).expect("JSON"), &mut Notes::default());
    let counter = channels[0].1.as_ref().expect("a reading").counter.expect("a counter");
    assert_eq!(counter.reset_at.map(kwapi_core::Timestamp::seconds), Some(1_672_910_280));
}

async fn round(
    respond: impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static,
    keys: &str,
    outlets: &Outlets,
) -> String {
    let simulator = HttpDevice::start(respond).await.expect("a port");
    let host = simulator.address().to_string();
    let config = toml::from_str(&format!("host = \"{host}\"\n{keys}")).expect("a configuration");
    let outcome = async {
        let mut meter = Tasmota::open(&config, outlets, &Arc::default()).await?;
        Ok::<_, DriverError>(testing::round(&mut meter).await?.join("\n"))
    };
    outcome.await.unwrap_or_else(|error| error.to_string()).replace(&host, "HOST")
}

fn device(energy: &'static str) -> impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync {
    move |request| match request.target.as_str() {
        "/cm?cmnd=Status%208" => HttpAnswer::ok(r#"{"WARNING":"Need user=<username>&password=<password>"}"#),
        "/cm?cmnd=Status%208&user=admin&password=p%26%c3%a9" => {
            HttpAnswer::ok(format!(r#"{{"StatusSNS":{{"Time":"2026-11-23T10:00:00","ENERGY":{energy}}}}}"#))
        }
        _ => HttpAnswer::ok("{\"StatusSNS\":{}}"),
    }
}

#[tokio::test]
async fn a_device_is_read_with_its_password_and_reports_when_it_requires_one() {
    let one = one();
    let outcome = round(device(PLUG), "password = \"p&é\"", &one).await;
    assert_eq!(outcome, "A: 12 W, 231 V, 0.091 A, 188776800 J");
    let outcome = round(device(PLUG), "", &one).await;
    assert!(
        outcome.starts_with("refused: http://HOST/cm: ") && outcome.ends_with("web password"),
        "{outcome}"
    );
    let outcome = round(device(PLUG), "password = \"hunter2\"", &one).await;
    assert!(
        outcome.contains("check that the device measures power") && !outcome.contains("hunter2"),
        "{outcome}"
    );
}

#[tokio::test]
async fn a_counter_is_known_by_its_channel_and_the_hardware_address_that_is_requested_once() {
    let energy = device(PLUG);
    let with_address = move |request: &HttpRequest| match request.target.as_str() {
        "/cm?cmnd=Status%205&user=admin&password=p%26%c3%a9" => {
            HttpAnswer::ok(r#"{"StatusNET":{"Hostname":"plug1","Mac":"5C:CF:7F:00:A1\u001b"}}"#)
        }
        _ => energy(request),
    };
    for (simulator, serial, requests) in [
        (HttpDevice::start(with_address).await, Some("5C:CF:7F:00:A1"), 1),
        (HttpDevice::start(device(PLUG)).await, None, 1),
    ] {
        let simulator = simulator.expect("a port");
        let keys = format!("host = \"{}\"\npassword = \"p&é\"", simulator.address());
        let config = toml::from_str(&keys).expect("a configuration");
        let one = one();
        let mut meter = Tasmota::open(&config, &one, &Arc::default()).await.expect("a session");
        for _ in 0..2 {
            let mut readings = Readings::default();
            meter.read(&mut readings).await.expect("an answer");
            let (_, reading) = readings.drain().next().expect("a channel");
            let register = reading.expect("a reading").register.expect("a counter");
            assert_eq!((register.serial.as_deref(), register.path.as_deref()), (serial, Some("1")));
        }
        let is_query = |request: &HttpRequest| request.target.contains("Status%205");
        assert_eq!(simulator.requests().iter().filter(|request| is_query(request)).count(), requests);
    }
}

#[tokio::test]
async fn a_newer_firmware_answers_401_to_a_missing_or_wrong_password() {
    let one = one();
    let locked = |_: &HttpRequest| HttpAnswer::status(401);
    let outcome = round(locked, "", &one).await;
    assert!(outcome.starts_with("refused: ") && outcome.ends_with("set username and password"), "{outcome}");
    let outcome = round(locked, "password = \"hunter2\"", &one).await;
    assert!(outcome.ends_with("check username and password") && !outcome.contains("hunter2"), "{outcome}");
}

#[tokio::test]
async fn all_outlets_are_the_channels_and_never_their_total_too() {
    let all = Outlets::all("p.{outlet}");
    let outcome = round(device(TWO), "password = \"p&é\"", &all).await;
    assert_eq!(outcome, "p.1: 10 W, 230 V, 0.05 A\np.2: 20 W, 230 V, 0.09 A");
    let outcome = round(device(PLUG), "password = \"p&é\"", &all).await;
    assert_eq!(outcome, "p.total: 12 W, 231 V, 0.091 A, 188776800 J");
    let named = by_key([("3", "C")]);
    let outcome = round(device(TWO), "password = \"p&é\"", &named).await;
    assert_eq!(outcome, "C: no such outlet: \"3\"; number of channels: 2");
}

proptest! {
    #[test]
    fn noise_never_panics(noise in ".{0,200}", number in any::<f64>()) {
        parse_anything(noise.as_bytes());
        parse_anything(format!("{{\"Power\":[{number}],\"Total\":{number}}}").as_bytes());
    }
}
