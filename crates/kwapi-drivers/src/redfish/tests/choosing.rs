//! Which of a card's values is read, when it is looked at again, and what one bad resource costs.

use std::sync::Mutex;

use super::*;

const CHASSIS: &str = "/redfish/v1/Chassis";

/// A card whose resources change while it runs. A number is a status to answer with; `"drop"` ends the connection.
struct Changing {
    device: HttpDevice,
    resources: Arc<Mutex<Value>>,
}

impl Changing {
    /// One chassis, `1`, with these resources below it.
    async fn one(below: Value) -> Self {
        Self::several(json!({"1": below})).await
    }

    /// Chassis by name, each with what is below it; its own properties are at `""`.
    async fn several(chassis: Value) -> Self {
        let mut resources = json!({"/redfish/v1/": {"Chassis": at(CHASSIS)}});
        let chassis = chassis.as_object().expect("chassis by name");
        let members: Vec<_> = chassis.keys().map(|name| at(&format!("{CHASSIS}/{name}"))).collect();
        resources[CHASSIS] = json!({"Members": members});
        for (name, below) in chassis {
            resources[format!("{CHASSIS}/{name}")] = json!({"Id": name});
            for (path, resource) in below.as_object().into_iter().flatten() {
                let path = if path.is_empty() { String::new() } else { format!("/{path}") };
                resources[format!("{CHASSIS}/{name}{path}")] = resource.clone();
            }
        }
        let resources = Arc::new(Mutex::new(resources));
        let of_device = Arc::clone(&resources);
        let respond =
            move |request: &HttpRequest| match of_device.lock().expect("not poisoned").get(&request.target) {
                Some(Value::Number(status)) => HttpAnswer::status(
                    status.as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status"),
                ),
                Some(Value::String(_)) => HttpAnswer::Raw(Vec::new()),
                Some(resource) => HttpAnswer::ok(resource.to_string()),
                None => HttpAnswer::status(404),
            };
        Self { device: HttpDevice::start(respond).await.expect("a port"), resources }
    }

    fn set(&self, path: &str, resource: Value) {
        self.resources.lock().expect("not poisoned")[format!("{CHASSIS}/{path}")] = resource;
    }

    fn config(&self, keys: &str) -> RedfishConfig {
        toml::from_str(&format!("host = \"http://{}\"\n{keys}", self.device.address()))
            .expect("a configuration")
    }

    async fn open(&self) -> Redfish {
        Redfish::open(&self.config(""), &one(), &Arc::default()).await.expect("a session")
    }

    async fn reading(&self) -> String {
        round(&self.config(""), &one()).await
    }

    fn requests_for(&self, part: &str) -> usize {
        self.device.requests().iter().filter(|request| request.target.contains(part)).count()
    }
}

async fn read(driver: &mut Redfish) -> String {
    let mut readings = Readings::default();
    driver.read(&mut readings).await.expect("a round");
    let (_, reading) = readings.drain().next().expect("one probe");
    reading.map_or_else(|why| why.to_string(), |reading| reading.to_string())
}

/// Lets so many seconds pass for whoever measures time, without waiting them.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

fn consumed(watts: &Value) -> Value {
    json!({"PowerControl": [{"PowerConsumedWatts": watts}]})
}

fn metrics(watts: &Value) -> Value {
    json!({"PowerWatts": {"Reading": watts}})
}

#[tokio::test]
async fn the_mean_of_the_past_is_not_the_power_of_a_host_that_is_off() {
    let power = |now: Value| json!({"PowerControl": [{"PowerConsumedWatts": now, "PowerMetrics": {"AverageConsumedWatts": 93}}]});
    let card = Changing::one(json!({"Power": power(Value::Null)})).await;
    let mut driver = card.open().await;
    let off = "not available: Power: power is null; the host may be off";
    assert!(read(&mut driver).await.starts_with(off));
    card.set("1/Power", power(json!(211)));
    assert_eq!(read(&mut driver).await, "211 W");

    // Where there is nothing but the mean, it is read, and left for better.
    let mean = json!({"PowerControl": [{"PowerMetrics": {"AverageConsumedWatts": 93}}]});
    let card = Changing::one(json!({"Power": mean})).await;
    let mut driver = card.open().await;
    assert_eq!(read(&mut driver).await, "93 W (estimated)");
    card.set("1/Power", power(json!(211)));
    pass(61).await;
    assert_eq!(read(&mut driver).await, "211 W");
}

#[tokio::test]
async fn what_a_card_shows_while_its_host_is_off_decides_nothing_for_good() {
    let card =
        Changing::one(json!({"EnvironmentMetrics": metrics(&Value::Null), "Power": consumed(&Value::Null)}))
            .await;
    let mut driver = card.open().await;
    assert!(read(&mut driver).await.contains("the host may be off"));
    card.set("1/Power", consumed(&json!(212)));
    pass(11).await;
    assert_eq!(read(&mut driver).await, "212 W");
    // And back to the better place once it has a number.
    card.set("1/EnvironmentMetrics", metrics(&json!(214)));
    pass(61).await;
    assert_eq!(read(&mut driver).await, "214 W");
    card.set("1/EnvironmentMetrics", metrics(&Value::Null));
    card.set("1/Power", consumed(&Value::Null));
    pass(5).await;
    let gone = read(&mut driver).await;
    assert!(gone.ends_with(" s") && gone.contains("the host may be off; no value for "), "{gone}");
    card.set("1/Power", consumed(&json!(212)));
    pass(11).await;
    assert_eq!(read(&mut driver).await, "212 W");
}

#[tokio::test]
async fn a_place_without_its_property_is_waited_for_and_a_new_place_is_found() {
    let card =
        Changing::one(json!({"Power": {"PowerControl": [{"PowerLimit": {"LimitInWatts": null}}]}})).await;
    let mut driver = card.open().await;
    assert!(read(&mut driver).await.contains("the host may be off"));
    // A place that was not there at all when the session opened.
    card.set("1/EnvironmentMetrics", metrics(&json!(231)));
    pass(601).await;
    assert_eq!(read(&mut driver).await, "231 W");
    let without = Changing::one(json!({})).await;
    assert!(without.reading().await.contains("licence"), "no place is no host that is off");
}

#[tokio::test]
async fn zero_gives_way_to_a_place_with_a_number() {
    let supplies = json!({"PowerControl": [{"PowerConsumedWatts": 0}],
        "PowerSupplies": [{"PowerInputWatts": 17}, {"PowerInputWatts": 15}]});
    assert_eq!(Changing::one(json!({"Power": supplies})).await.reading().await, "web1: 32 W (estimated)");

    let both =
        Changing::one(json!({"EnvironmentMetrics": metrics(&json!(0)), "Power": consumed(&json!(233))}))
            .await;
    let mut driver = both.open().await;
    assert_eq!(read(&mut driver).await, "233 W");
    let findings = driver.findings();
    let zero = findings.iter().find(|finding| finding.what == "1: EnvironmentMetrics").expect("a finding");
    assert_eq!((zero.value.as_str(), zero.is_used), ("0 W", false));
    assert_eq!(zero.why, "implausible for a machine that is on; Power has a value");

    // Nothing else has a number: it stays, as an estimate. And in the middle of a run as well.
    let only = Changing::one(json!({"Power": consumed(&json!(0))})).await;
    assert_eq!(only.reading().await, "web1: 0 W (estimated)");
    let later =
        Changing::one(json!({"EnvironmentMetrics": metrics(&json!(230)), "Power": consumed(&json!(233))}))
            .await;
    let mut driver = later.open().await;
    assert_eq!(read(&mut driver).await, "230 W");
    for nothing in [json!(0), json!(65_535)] {
        later.set("1/EnvironmentMetrics", metrics(&nothing));
        assert_eq!(read(&mut driver).await, "233 W");
    }
}

#[tokio::test]
async fn two_chassis_of_one_resource_are_one_machine() {
    let linked = json!({"Id": "board", "Power": at("/redfish/v1/Chassis/1/Power")});
    let card = Changing::several(json!({"1": {"Power": consumed(&json!(234))}, "board": {"": linked}})).await;
    assert_eq!(card.reading().await, "web1: 234 W");
    assert_eq!(round(&card.config(""), &Outlets::all("p.{outlet}")).await, "p.1: 234 W");
}

#[tokio::test]
async fn supplies_that_may_feed_others_are_not_added() {
    let supplies = json!({"PowerSupplies": [{"PowerInputWatts": 900}, {"PowerInputWatts": 950}]});
    for links in [
        json!({"ContainedBy": at("/redfish/v1/Chassis/enclosure")}),
        json!({"ComputerSystems": [at("/redfish/v1/Systems/1"), at("/redfish/v1/Systems/2")]}),
    ] {
        let chassis = json!({"Id": "1", "Links": links});
        let card = Changing::one(json!({"": chassis, "Power": supplies.clone()})).await;
        let outcome = card.reading().await;
        assert!(outcome.starts_with("refused: ") && outcome.contains("1: supplies not summed"), "{outcome}");
    }
    assert_eq!(Changing::one(json!({"Power": supplies})).await.reading().await, "web1: 1850 W (estimated)");
}

#[tokio::test]
async fn the_supplies_of_a_power_subsystem_are_added() {
    let chassis = json!({"Id": "1", "PowerSubsystem": at("/redfish/v1/Chassis/1/PS")});
    let supply = |name: &str, state: &str| json!({"Status": {"State": state}, "Metrics": at(&format!("/redfish/v1/Chassis/1/PS/{name}/Metrics"))});
    let card = Changing::one(json!({
        "": chassis,
        "PS": {"PowerSupplies": at("/redfish/v1/Chassis/1/PS/All")},
        "PS/All": {"Members": (["a", "b", "c"].map(|name| at(&format!("/redfish/v1/Chassis/1/PS/{name}"))))},
        "PS/a": supply("a", "Enabled"),
        "PS/b": supply("b", "Enabled"),
        "PS/c": supply("c", "Absent"),
        "PS/a/Metrics": {"InputPowerWatts": {"Reading": 312.5}},
        "PS/b/Metrics": {"InputPowerWatts": {"Reading": 301}},
    }))
    .await;
    let mut driver = card.open().await;
    assert_eq!(read(&mut driver).await, "613.5 W (estimated)");
    // Half a sum is none.
    card.set("1/PS/b/Metrics", json!({"InputPowerWatts": {"Reading": null}}));
    assert!(read(&mut driver).await.starts_with("not available: "));
}

#[tokio::test]
async fn one_bad_resource_costs_no_other() {
    for bad in [json!(400), json!(403), json!(500), json!(503), json!("drop"), json!({"PowerWatts": 7})] {
        let card = Changing::several(json!({
            "0": {"": bad.clone()},
            "1": {"EnvironmentMetrics": bad.clone(), "Power": consumed(&json!(235))},
            "2": {"Power": bad.clone(), "Sensors": bad.clone()},
        }))
        .await;
        assert_eq!(card.reading().await, "web1: 235 W", "{bad}");
    }
    // Where nothing is found, the first failure is why.
    let card = Changing::one(json!({"Power": 503})).await;
    assert!(card.reading().await.starts_with("busy: "), "not refused for five minutes");
    let card = Changing::one(json!({"": "drop", "Power": consumed(&json!(235))})).await;
    assert!(card.reading().await.starts_with("link lost: "));
}

#[tokio::test]
async fn a_chassis_that_is_named_is_all_that_is_requested() {
    let chassis = json!({"System.1": {"Power": consumed(&json!(236))}, "Enclosure:RAID.1": {"": "drop"}});
    let card = Changing::several(chassis).await;
    assert_eq!(round(&card.config("chassis = \"System.1\""), &one()).await, "web1: 236 W");
    assert_eq!(card.requests_for("RAID"), 0);
}

#[tokio::test]
async fn all_pages_of_a_collection_are_read_and_the_hundredth_chassis_is_found() {
    let mut chassis = json!({"wanted": {"Power": consumed(&json!(237))}});
    for number in 0..150 {
        chassis[format!("gpu{number}")] = json!({});
    }
    let card = Changing::several(chassis).await;
    let mut all =
        card.resources.lock().expect("not poisoned")[CHASSIS]["Members"].as_array().expect("members").clone();
    let last = all.split_off(100);
    let first = json!({"Members": all, "Members@odata.nextLink": "/redfish/v1/Chassis?$skip=100"});
    card.resources.lock().expect("not poisoned")[CHASSIS] = first;
    // The last page leads back: it is not followed for ever.
    let last = json!({"Members": last, "Members@odata.nextLink": "/redfish/v1/Chassis"});
    card.resources.lock().expect("not poisoned")[format!("{CHASSIS}?$skip=100")] = last;
    assert_eq!(round(&card.config("chassis = \"wanted\""), &one()).await, "web1: 237 W");
    assert!(card.device.requests().len() < 150, "a page that leads back is left after some");
}

#[tokio::test]
async fn a_chassis_that_shows_itself_later_is_found() {
    let card = Changing::several(json!({"node1": {"Power": consumed(&json!(238))}})).await;
    let all = Outlets::all("p.{outlet}");
    let mut driver = Redfish::open(&card.config(""), &all, &Arc::default()).await.expect("a session");
    assert_eq!(read(&mut driver).await, "238 W");
    let both = json!({"Members": [at("/redfish/v1/Chassis/node1"), at("/redfish/v1/Chassis/node2")]});
    card.resources.lock().expect("not poisoned")[CHASSIS] = both;
    card.set("node2", json!({"Id": "node2"}));
    card.set("node2/Power", consumed(&json!(239)));
    pass(601).await;
    let mut readings = Readings::default();
    driver.read(&mut readings).await.expect("a round");
    let probes: Vec<_> = readings.drain().map(|(probe, _)| probe.to_string()).collect();
    assert_eq!(probes, ["p.node1", "p.node2"]);
}

#[tokio::test]
async fn a_sensor_of_one_supply_is_no_total_and_several_are_an_estimate() {
    let sensor = |watts: u32, name: &str| json!({"ReadingType": "Power", "Reading": watts, "Name": name});
    let card = Changing::one(json!({
        "Sensors": {"Members": (["total_power", "ps0_input_power", "ps1_input_power"]
            .map(|name| at(&format!("/redfish/v1/Chassis/1/Sensors/{name}"))))},
        "Sensors/total_power": 500,
        "Sensors/ps0_input_power": sensor(101, "ps0 input power"),
        "Sensors/ps1_input_power": sensor(102, "ps1 input power"),
    }))
    .await;
    assert_eq!(card.reading().await, "web1: 203 W (estimated)");
    card.set("1/Sensors/total_power", sensor(211, "total power"));
    assert_eq!(card.reading().await, "web1: 211 W");
}

#[tokio::test]
async fn a_counter_is_known_by_its_property_and_by_the_serial_number_of_its_chassis() {
    let metrics = json!({"PowerWatts": {"Reading": 120}, "EnergykWh": {"Reading": 7.5}});
    for (chassis, serial) in [
        (json!({"Id": "1", "SerialNumber": " CZ\u{7}0412X ", "UUID": "31"}), Some("CZ0412X")),
        (json!({"Id": "1", "SerialNumber": "", "UUID": "3178f0-7"}), Some("3178f0-7")),
        (json!({"Id": "1"}), None),
    ] {
        let card = Changing::one(json!({"": chassis, "EnvironmentMetrics": metrics.clone()})).await;
        let mut driver = card.open().await;
        let mut registers = Vec::new();
        for _ in 0..2 {
            let mut readings = Readings::default();
            driver.read(&mut readings).await.expect("a round");
            let (_, reading) = readings.drain().next().expect("one probe");
            registers.push(reading.expect("a reading").register.expect("a counter"));
        }
        let path = Some("/redfish/v1/Chassis/1/EnvironmentMetrics/EnergykWh/Reading");
        assert_eq!((registers[0].serial.as_deref(), registers[0].path.as_deref()), (serial, path));
        assert!(Arc::ptr_eq(&registers[0], &registers[1]), "made once");
    }
    // Without a counter there is nothing to look up.
    let card = Changing::one(json!({"Power": consumed(&json!(120))})).await;
    let mut driver = card.open().await;
    let mut readings = Readings::default();
    driver.read(&mut readings).await.expect("a round");
    let (_, reading) = readings.drain().next().expect("one probe");
    assert_eq!(reading.expect("a reading").register, None);
}

#[tokio::test]
async fn the_accuracy_that_a_card_states_is_shown_and_is_the_meter_s() {
    let sensor = json!({"Id": "total_power", "Name": "Total Power", "ReadingType": "Power", "Reading": 236, "Accuracy": 1.5});
    let sensors = json!({"Members": [at(&format!("{CHASSIS}/1/Sensors/total_power"))]});
    let card = Changing::one(json!({"Sensors": sensors, "Sensors/total_power": sensor})).await;
    let mut driver = card.open().await;
    assert_eq!(read(&mut driver).await, "236 W");
    let findings = driver.findings();
    let accuracy = findings.iter().find(|finding| finding.value == "±1.5 %").expect("the accuracy");
    assert!(accuracy.what.ends_with("/Sensors/total_power") && !accuracy.is_used, "{accuracy:?}");
    let accuracies: Vec<f64> = driver.accuracy().into_iter().map(|(_, percent)| percent).collect();
    assert_eq!(accuracies, [1.5]);
}
