//! Resources shaped after the DMTF's schemas and mock-ups and after what cards answer (iDRAC, iLO, XCC, `OpenBMC`, rack
//! PDUs), in numbers and names of our own.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[track_caller]
fn check(place: &PowerPlace, resource: &Value, expected: &str) {
    let actual = match place.read(resource, &mut EnergySource::default()) {
        Ok(reading) => reading.to_string(),
        Err(error) => error.to_string(),
    };
    assert_eq!(actual, expected, "{resource}");
}

#[track_caller]
fn place(name: &str) -> &'static PowerPlace {
    CHASSIS
        .iter()
        .chain(OEM)
        .chain([&AVERAGE, &SUPPLIES])
        .find(|place| place.name == name)
        .expect("a place of that name")
}

#[test]
fn environment_metrics_report_watts_and_a_counter() {
    let metrics = json!({"PowerWatts": {"Reading": 374}, "EnergykWh": {"Reading": 3325.5}});
    check(place("EnvironmentMetrics"), &metrics, "374 W, 11971800000 J");
}

#[test]
fn power_control_is_read_and_its_average_is_an_estimate() {
    let power =
        json!({"PowerControl": [{"PowerConsumedWatts": 344, "PowerMetrics": {"AverageConsumedWatts": 319}}]});
    check(place("Power"), &power, "344 W");
    check(place("Power, average"), &power, "319 W (estimated)");
}

#[test]
fn fujitsu_hides_its_watts_under_oem() {
    let power =
        json!({"Oem": {"ts_fujitsu": {"ChassisPowerConsumption": {"CurrentPowerConsumptionW": 156}}}});
    check(&OEM[0], &power, "156 W");
}

#[test]
fn a_null_is_no_reading_and_never_zero() {
    let off = json!({"PowerWatts": {"Reading": null}});
    check(
        place("EnvironmentMetrics"),
        &off,
        "not available: EnvironmentMetrics: power is null; the host may be off",
    );
    check(
        place("EnvironmentMetrics"),
        &json!({}),
        "not available: EnvironmentMetrics no longer reports power",
    );
    // As cards answer while the host is off or they are starting.
    let no_value = "not available: Power has no value; the host may be off";
    check(place("Power"), &json!({"PowerControl": []}), no_value);
    check(place("Power"), &json!({"PowerControl": [{"PowerLimit": {"LimitInWatts": null}}]}), no_value);
    check(place("EnvironmentMetrics"), &json!({"PowerWatts": {"Reading": 0}}), "0 W");
}

#[test]
fn of_several_power_controls_the_first_is_the_chassis() {
    // XCC lists the machine, then its processors and memory, which are parts of it.
    let power = json!({"PowerControl": [
        {"MemberId": "0", "Name": "Server Power Control", "PowerConsumedWatts": 231.0},
        {"MemberId": "1", "Name": "CPU Sub-system Power", "PowerConsumedWatts": 87.0},
        {"MemberId": "2", "Name": "Memory Sub-system Power", "PowerConsumedWatts": 19.0}]});
    check(place("Power"), &power, "231 W");
    // An iDRAC that has just started reports null; what comes after is no machine.
    let starting = json!({"PowerControl": [
        {"Name": "System Power Control", "PowerConsumedWatts": null, "PowerMetrics": {"AverageConsumedWatts": null}},
        {"Name": "CPU Sub-system Power", "PowerConsumedWatts": 87.0}]});
    check(place("Power"), &starting, "not available: Power: power is null; the host may be off");
    check(
        place("Power, average"),
        &starting,
        "not available: Power, average: power is null; the host may be off",
    );
}

#[test]
fn what_makers_add_to_power_is_read_where_the_standard_has_nothing() {
    let inspur = json!({"Oem": {"Public": {"TotalPower": 418, "CurrentCPUPowerWatts": 180}}});
    check(place("Power, Oem.Public"), &inspur, "418 W");
    let gone = json!({"Oem": {"Public": {"CurrentCPUPowerWatts": 180}}});
    check(
        place("Power, Oem.Public"),
        &gone,
        "not available: Power, Oem.Public has no value; the host may be off",
    );
}

#[test]
fn the_counter_of_an_ibmc_is_the_machines_and_has_its_reset() {
    for maker in ["Huawei", "xFusion"] {
        let metrics = json!({"TotalConsumedPowerkWh": 731.25, "CurrentCPUPowerWatts": 90,
            "StatisticsCollected": "2026-03-04T05:06:07+08:00"});
        let power = json!({"PowerControl": [
            {"Name": "System Power Control 1", "PowerConsumedWatts": 305, "Oem": {maker: {"PowerMetricsExtended": metrics}}}]});
        check(place("Power"), &power, "305 W, 2632500000 J");
        let counter = EnergySource::default().read(&power).unwrap().expect("a counter");
        assert_eq!(counter.reset_at, value::rfc3339("2026-03-03T21:06:07Z"));
        assert_eq!(counter.resolution.kwh(), 0.01);
    }
}

#[test]
fn a_number_in_quotation_marks_is_a_number_and_a_word_is_none() {
    check(place("Power"), &json!({"PowerControl": [{"PowerConsumedWatts": "231"}]}), "231 W");
    let words = json!({"PowerControl": [{"PowerConsumedWatts": "N/A"}]});
    check(place("Power"), &words, "not available: Power: power is null; the host may be off");
}

#[test]
fn an_outlet_of_a_pdu_reports_watts_amperes_volts_and_a_counter_with_its_reset() {
    let outlet = json!({"@odata.id": "/redfish/v1/PowerEquipment/RackPDUs/1/Outlets/B4", "Id": "B4", "Name": "Outlet B4",
        "Status": {"State": "Enabled", "Health": "OK"}, "PhaseWiringType": "OnePhase3Wire", "VoltageType": "AC",
        "PowerState": "On", "NominalVoltage": "AC200To240V",
        "Voltage": {"Reading": 231.4, "DataSourceUri": "/redfish/v1/PowerEquipment/RackPDUs/1/Sensors/VoltageB4"},
        "CurrentAmps": {"Reading": 1.07, "DataSourceUri": "/redfish/v1/PowerEquipment/RackPDUs/1/Sensors/CurrentB4"},
        "PolyPhaseVoltage": {"Line1ToNeutral": {"Reading": 231.4}},
        "PowerWatts": {"Reading": 239.5, "ApparentVA": 247.6, "ReactiveVAR": 0, "PowerFactor": 0.97},
        "FrequencyHz": {"Reading": 50.0},
        "EnergykWh": {"Reading": 1204.25, "SensorResetTime": "2026-02-03T04:05:06+01:00"}});
    check(&OUTLET, &outlet, "239.5 W, 231.4 V, 1.07 A, 4335300000 J");
    let counter = EnergySource::default().read(&outlet).unwrap().expect("a counter");
    assert_eq!(counter.reset_at, value::rfc3339("2026-02-03T03:05:06Z"));
    // What never was reset is the better total, and has no reset.
    let lifelong = json!({"EnergykWh": {"Reading": 12.5, "LifetimeReading": 6491.5, "SensorResetTime": "2026-02-03T04:05:06Z"}});
    let counter = EnergySource::default().read(&lifelong).unwrap().expect("a counter");
    assert_eq!((counter.value.joules(), counter.reset_at), (23_369_400_000.0, None));
}

#[test]
fn a_sensor_of_openbmc_shows_what_it_is_by_its_type() {
    let sensor = json!({"Id": "power_total_power", "Name": "total power", "ReadingType": "Power", "ReadingUnits": "W",
        "Reading": 412.75, "ReadingRangeMax": 8000.0, "Status": {"State": "Enabled"}});
    check(&SENSOR, &sensor, "412.75 W");
    let gone = json!({"ReadingType": "Power", "Reading": null, "Status": {"State": "UnavailableOffline"}});
    check(&SENSOR, &gone, "not available: Sensors: Status.State is UnavailableOffline");
}

#[test]
fn a_disabled_outlet_is_not_available() {
    let outlet = json!({"PowerWatts": {"Reading": 0}, "Status": {"State": "Disabled"}});
    check(&OUTLET, &outlet, "not available: Outlets: Status.State is Disabled");
}

#[test]
fn an_outlet_reports_volts_amperes_and_a_text_is_a_number() {
    let outlet = json!({"PowerWatts": {"Reading": "197.4"}, "Voltage": {"Reading": 117.5},
        "CurrentAmps": {"Reading": 1.68}, "EnergykWh": {"Reading": 36166}});
    check(&OUTLET, &outlet, "197.4 W, 117.5 V, 1.68 A, 130197600000 J");
}

#[test]
fn nonsense_is_implausible() {
    check(
        &SENSOR,
        &json!({"Reading": -3, "ReadingType": "Power"}),
        "implausible: -3 W; check for a reversed current transformer or wiring",
    );
    check(&SENSOR, &json!({"Reading": 1e12}), "implausible: 1000000000000 W");
    check(
        &SENSOR,
        &json!({"Reading": {"a": 1}}),
        "not available: Sensors: power is null; the host may be off",
    );
}

#[test]
fn the_lifetime_counter_is_preferred_and_then_kept() {
    let mut energy = EnergySource::default();
    let both = json!({"EnergykWh": {"Reading": 2.5, "LifetimeReading": 100.25, "SensorResetTime": "2026-11-01T00:00:00Z"}});
    let counter = energy.read(&both).expect("a count").expect("a counter");
    assert_eq!((counter.value.kwh(), counter.reset_at), (100.25, None));
    assert_eq!(counter.resolution.kwh(), 0.01);
    let now_null = json!({"EnergykWh": {"Reading": 2.5, "LifetimeReading": null}});
    assert_eq!(energy.read(&now_null), Ok(None), "the other counter is not this one");
}

#[test]
fn a_reset_stamp_belongs_to_the_counter_that_can_be_reset() {
    let metrics = json!({"EnergykWh": {"Reading": 2.5, "SensorResetTime": "2026-11-01T00:00:00Z"}});
    let counter = EnergySource::default().read(&metrics).expect("a count").expect("a counter");
    assert_eq!(counter.reset_at.map(Timestamp::seconds), Some(1_793_491_200));
}

#[test]
fn a_reading_time_is_when_it_was_measured() {
    let sensor = json!({"Reading": 236, "ReadingType": "Power", "ReadingTime": "2026-11-23T10:00:00Z"});
    let reading = SENSOR.read(&sensor, &mut EnergySource::default()).expect("a reading");
    assert_eq!(reading.measured_at.map(Timestamp::seconds), Some(1_795_428_000));
    assert_eq!(reading.counter, None, "watts of a power sensor are no energy");
}

#[test]
fn a_link_is_a_path_of_this_device_whatever_host_it_names() {
    let check = |link_to: Value, expected: Option<&str>| {
        let resource = json!({"Power": {"@odata.id": link_to}});
        assert_eq!(link(&resource, "Power").as_deref(), expected, "{resource}");
    };
    check(json!("/redfish/v1/x"), Some("/redfish/v1/x"));
    check(json!("https://bmc.example/redfish/v1/x"), Some("/redfish/v1/x"));
    check(json!("/redfish/v1/x?$skip=4#/PowerControl/0"), Some("/redfish/v1/x?$skip=4"));
    for none in
        [json!(7), json!("x"), json!("file:///etc/passwd"), json!("https://bmc.example"), json!("/a\r\nb")]
    {
        check(none, None);
    }
    check(json!(format!("/{}", "x".repeat(LINK_BYTES_MAX))), None);
}

#[test]
fn names_lose_what_a_terminal_would_obey() {
    assert_eq!(id(&json!({"Id": "\u{1b}[2Jnode\n"}), "/x"), "[2Jnode");
    assert_eq!(id(&json!({"Id": 7}), "/redfish/v1/Chassis/sled/"), "sled");
    assert_eq!(label(Some(&json!("x".repeat(500)))).map(|name| name.len()), Some(NAME_CHARACTERS_MAX));
}

#[test]
fn power_is_found_where_cards_put_it_besides() {
    check(place("Power"), &json!({"PowerControl": {"PowerConsumedWatts": 217}}), "217 W");
    check(place("Power"), &json!({"PowerCapacityWatts": 1600, "PowerConsumedWatts": 94}), "94 W");
    // The part comes first on some.
    let parts_first = json!({"PowerControl": [
        {"Name": "Processors Power Control", "PowerConsumedWatts": 151},
        {"Name": "System Power Control", "PowerConsumedWatts": 402}]});
    check(place("Power"), &parts_first, "402 W");
}

#[test]
fn supplies_are_added_where_each_that_is_fitted_reports_its_watts() {
    let supplies = |members: Value| json!({"PowerSupplies": members});
    let fitted = supplies(json!([
        {"PowerInputWatts": 17}, {"PowerInputWatts": 15},
        {"PowerInputWatts": null, "Status": {"State": "Absent"}}]));
    check(place("Power, supplies"), &fitted, "32 W (estimated)");
    let gone = "not available: Power, supplies no longer reports power";
    check(place("Power, supplies"), &supplies(json!([{"PowerInputWatts": 17}, {"Name": "PSU 2"}])), gone);
    check(place("Power, supplies"), &supplies(json!([])), gone);
}

#[test]
fn all_bits_set_are_no_watts() {
    for watts in [65_535_u32, u32::MAX] {
        let power = json!({"PowerControl": [{"PowerConsumedWatts": watts}]});
        check(place("Power"), &power, &format!("implausible: {watts} W, a placeholder for no value"));
        assert_eq!(place("Power").power(&power).watts(), None);
    }
}

proptest! {
    #[test]
    fn noise_never_panics(noise in ".{0,200}", reading in any::<f64>()) {
        parse_anything(noise.as_bytes());
        parse_anything(format!("{{\"PowerWatts\":{{\"Reading\":{reading}}},\"EnergykWh\":{{\"Reading\":{reading}}}}}").as_bytes());
    }
}
