//! Where the counter of energy is found, of a machine whose watts are in a resource without one.

use super::choosing::{CHASSIS, Changing, consumed, metrics};
use super::*;

/// A sensor as the mock-up `public-rackmount1` of DMTF (DSP2043) has it.
fn sensor(name: &str, reading_type: &str, reading: &Value) -> Value {
    json!({"Id": name.replace(' ', ""), "Name": name, "ReadingType": reading_type, "Reading": reading})
}

fn sensors(names: &[&str]) -> Value {
    let members: Vec<_> = names.iter().map(|name| at(&format!("{CHASSIS}/1/Sensors/{name}"))).collect();
    json!({ "Members": members })
}

/// What one chassis is read as, with these resources below it.
#[track_caller]
fn check(below: Value, expected: &str) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    let expected = expected.to_owned();
    async move {
        let card = Changing::one(below).await;
        assert_eq!(card.reading().await, format!("web1: {expected}"), "{place}");
    }
}

#[tokio::test]
async fn the_energy_sensor_counts_where_environment_metrics_has_watts_alone() {
    let linked = || json!({"Id": "1", "Sensors": at(&format!("{CHASSIS}/1/Sensors"))});
    let energy = || sensor("Total Energy", "EnergykWh", &json!(325_675));
    let below = json!({
        "": linked(),
        "EnvironmentMetrics": {"PowerWatts": {"Reading": 374, "DataSourceUri": "/redfish/v1/Chassis/1/Sensors/TotalPower"}},
        "Power": consumed(&json!(344)),
        "Sensors": sensors(&["AmbientTemp", "CPU1Power", "TotalPower", "TotalEnergy"]),
        "Sensors/TotalEnergy": energy(),
    });
    let card = Changing::one(below.clone()).await;
    let mut driver = card.open().await;
    let mut readings = Readings::default();
    driver.read(&mut readings).await.expect("a round");
    let (_, reading) = readings.drain().next().expect("one probe");
    let reading = reading.expect("a reading");
    assert_eq!(reading.to_string(), "374 W, 1172430000000 J");
    let path = "/redfish/v1/Chassis/1/Sensors/TotalEnergy/Reading";
    assert_eq!(reading.register.expect("a register").path.as_deref(), Some(path));
    // The others are not requested: each would cost a request.
    assert_eq!((card.requests_for("CPU1Power"), card.requests_for("AmbientTemp")), (0, 0));
    let finding =
        driver.findings().into_iter().find(|finding| finding.value == "counter").expect("a finding");
    assert!(finding.is_used && finding.what.ends_with("/Sensors/TotalEnergy"), "{finding:?}");

    // A sensor that fails later takes nothing from the watts.
    card.set("1/Sensors/TotalEnergy", json!(500));
    driver.read(&mut readings).await.expect("a round");
    let (_, reading) = readings.drain().next().expect("one probe");
    assert_eq!(reading.expect("a reading").to_string(), "374 W");

    // Power is read where it alone has watts, with the same counter.
    let mut of_power = below;
    of_power["EnvironmentMetrics"] = json!({});
    check(of_power, "344 W, 1172430000000 J").await;
}

#[tokio::test]
async fn environment_metrics_counts_where_power_has_the_watts() {
    let energy = json!({"EnergykWh": {"Reading": 2.5}});
    check(json!({"EnvironmentMetrics": energy, "Power": consumed(&json!(344))}), "344 W, 9000000 J").await;
    // An excerpt without a reading names its sensor.
    let below = json!({
        "EnvironmentMetrics": {"PowerWatts": {"Reading": 374}, "EnergyJoules": {"DataSourceUri": "/redfish/v1/Chassis/1/Sensors/E"}},
        "Sensors/E": sensor("E", "EnergyJoules", &json!(7_200_000)),
    });
    check(below, "374 W, 7200000 J").await;
    // Its own counter goes before any other.
    let below = json!({
        "": {"Id": "1", "Sensors": at(&format!("{CHASSIS}/1/Sensors"))},
        "EnvironmentMetrics": {"PowerWatts": {"Reading": 374}, "EnergykWh": {"Reading": 1}},
        "Sensors": sensors(&["TotalEnergy"]),
        "Sensors/TotalEnergy": sensor("Total Energy", "EnergykWh", &json!(325_675)),
    });
    check(below, "374 W, 3600000 J").await;
}

#[tokio::test]
async fn the_counters_of_parts_stand_for_no_machine() {
    let linked = json!({"Id": "1", "Sensors": at(&format!("{CHASSIS}/1/Sensors"))});
    let below = |names: &[&str]| {
        let mut below = json!({"": linked.clone(), "EnvironmentMetrics": metrics(&json!(374)), "Sensors": sensors(names)});
        for name in names {
            below[format!("Sensors/{name}")] = sensor(name, "EnergykWh", &json!(5));
        }
        below
    };
    check(below(&["CPU1Energy", "CPU2Energy"]), "374 W").await;
    check(below(&["CPU1Energy"]), "374 W").await;
    check(below(&["PS1InputEnergy", "PS2InputEnergy"]), "374 W").await;
    // None that has no number now.
    let mut null = below(&["TotalEnergy"]);
    null["Sensors/TotalEnergy"]["Reading"] = Value::Null;
    check(null, "374 W").await;
    check(below(&["CPU1Energy", "TotalEnergy"]), "374 W, 18000000 J").await;
}
