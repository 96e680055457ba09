use serde_json::json;

use super::*;

/// Which of these sensors, by id and name, stands for the chassis `HGX_Chassis_0`.
#[track_caller]
fn check(sensors: &[(&str, &str)], expected: Option<&str>) {
    let sensors: Vec<_> = sensors
        .iter()
        .map(|(id, name)| {
            let resource = json!({"Id": id, "Name": name, "ReadingType": "Power", "Reading": 100});
            RedfishSensor::new(
                format!("/redfish/v1/Chassis/HGX_Chassis_0/Sensors/{id}"),
                resource,
                "HGX_Chassis_0",
            )
        })
        .collect();
    assert_eq!(total(&sensors).map(|total| segment(&total.path)), expected, "{sensors:?}");
}

#[test]
fn the_total_is_distinguished_from_the_supplies() {
    let supplies = [("psu0_input_power", "psu0"), ("psu1_input_power", "psu1")];
    check(&supplies, None);
    check(&[supplies[0], ("power_total_power", "total power"), supplies[1]], Some("power_total_power"));
    check(&[("board_power", "board")], Some("board_power"));
}

#[test]
fn a_total_of_the_accelerators_is_not_the_machine() {
    let id = |end: &str| format!("HGX_Chassis_0_{end}");
    let (gpus, all, one) = (id("TotalGPU_Power_0"), id("TotalHSC_Power_0"), id("HSC_0_Power_0"));
    let sensors = [(one.as_str(), ""), (gpus.as_str(), "Total GPU"), (all.as_str(), "Total")];
    check(&sensors, Some(&all));
    check(&sensors[..2], None);
    check(&[("fans", "Total Fan Power"), ("sys", "System Input Power")], Some("sys"));
}

#[test]
fn of_several_totals_it_is_what_goes_in() {
    let shelf = [
        ("total_power_in_A", "total power in A"),
        ("total_power_out", "total power out"),
        ("total_power_in", "total power in"),
        ("ps1_input_power", "ps1 input power"),
    ];
    check(&shelf, Some("total_power_in"));
    check(&[("total_power_in_A", "total power in A"), ("total_power_in_B", "total power in B")], None);
    check(&[("total_output", "Total Output"), ("total_load", "Total Load Power")], None);
}

#[test]
fn two_that_are_called_total_are_none() {
    check(&[("total_a", "Total A Power"), ("total_b", "Total B Power")], None);
    check(&[("total_a", "Total A Power"), ("system", "System Power")], Some("total_a"));
}
