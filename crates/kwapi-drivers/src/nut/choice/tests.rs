use proptest::prelude::*;

use super::super::contradiction::contradiction;
use super::super::variables::parse_variable;
use super::*;

/// Reads `name=value` pairs as variables and returns what `key` draws.
#[track_caller]
fn rated(variables: &[&str], key: &str, rating: &Rating, expected: &str) {
    let mut read = Variables::default();
    for pair in variables {
        let (name, value) = pair.split_once('=').expect("a pair");
        let line = format!("VAR pdu1 {name} \"{value}\"");
        let (name, value) = parse_variable(&line).expect("a variable");
        read.insert(name, value);
    }
    let actual = match choose(&read, key, rating).source {
        None => "no source".to_owned(),
        Some(source) => match source.read(&read) {
            Ok(reading) => format!("{}: {reading}", source.name()),
            Err(error) => error.to_string(),
        },
    };
    assert_eq!(actual, expected);
}

#[track_caller]
fn check(variables: &[&str], key: &str, expected: &str) {
    rated(variables, key, &Rating::default(), expected);
}

#[test]
fn the_whole_device_is_read_from_the_first_that_has_a_number() {
    check(
        &["ups.realpower=245", "output.voltage=230.0", "input.voltage=229"],
        "total",
        "ups.realpower: 245 W, 230 V",
    );
    check(&["input.realpower=250", "input.current=1.2"], "total", "input.realpower: 250 W, 1.2 A");
    check(&["ups.realpower=", "output.realpower=99"], "total", "output.realpower: 99 W");
    check(&["battery.charge=100"], "total", "no source");
}

#[test]
fn a_load_share_is_an_estimate_and_the_last_resort() {
    let load = ["ups.load=25", "ups.realpower.nominal=800"];
    check(&load, "total", "ups.load × ups.realpower.nominal: 200 W (estimated)");
    check(&["ups.load=25"], "total", "no source");
    check(&[load[0], load[1], "ups.realpower=190"], "total", "ups.realpower: 190 W");
}

#[test]
fn outlets_are_read_alone_and_down_a_daisy_chain() {
    let variables = [
        "outlet.1.realpower=101",
        "outlet.1.current=0.5",
        "device.2.outlet.3.realpower=7",
        "device.2.ups.realpower=70",
        "outlet.2.realpower=-1",
    ];
    check(&variables, "1", "outlet.1.realpower: 101 W, 0.5 A");
    check(&variables, "outlet.1", "outlet.1.realpower: 101 W, 0.5 A");
    check(&variables, "2.3", "device.2.outlet.3.realpower: 7 W");
    check(&variables, "2.total", "device.2.ups.realpower: 70 W");
    check(&variables, "2", "implausible: -1 W; check for a reversed current transformer or wiring");
    check(&variables, "9", "no source");
}

#[test]
fn nothing_beside_a_load_is_a_variable_that_is_never_filled() {
    // A driver that maps the watts and a device that does not fill them.
    check(&["ups.realpower=0", "ups.load=31"], "total", "no source");
    check(
        &["ups.realpower=0", "ups.load=31", "ups.realpower.nominal=900"],
        "total",
        "ups.load × ups.realpower.nominal: 279 W (estimated)",
    );
    check(
        &["ups.realpower=0", "output.voltage=231", "output.current=1.5"],
        "total",
        "output.voltage × output.current: 231 V, 1.5 A",
    );
    check(&["ups.realpower=0", "ups.power=410"], "total", "ups.power × 1: 410 W (estimated)");
    check(
        &["outlet.1.realpower=0", "outlet.1.current=2", "outlet.1.voltage=230"],
        "1",
        "outlet.1.voltage × outlet.1.current: 230 V, 2 A",
    );
    // The next that is filled, before any estimate.
    check(&["ups.realpower=0", "ups.load=31", "output.realpower=270"], "total", "output.realpower: 270 W");
}

#[test]
fn nothing_is_nothing_where_nothing_contradicts_it() {
    check(&["ups.realpower=0", "ups.load=2"], "total", "ups.realpower: 0 W");
    check(
        &["ups.realpower=0", "output.voltage=231", "output.current=0.1"],
        "total",
        "ups.realpower: 0 W, 231 V, 0.1 A",
    );
    check(&["outlet.1.realpower=0", "ups.load=40"], "1", "outlet.1.realpower: 0 W");
    let on_battery = ["input.realpower=0", "ups.status=OB DISCHRG", "ups.load=40"];
    check(&on_battery, "total", "input.realpower: 0 W");
}

#[test]
fn a_rating_reported_as_watts_is_no_measurement() {
    let rating = ["ups.realpower=2700", "output.voltage=229", "output.current=0.3"];
    check(&rating, "total", "output.voltage × output.current: 229 V, 0.3 A");
    // Three phases, reported with the line voltage and the amperes of one of them.
    check(
        &["output.realpower=4100", "output.voltage=230", "output.current=6.1"],
        "total",
        "output.realpower: 4100 W, 230 V, 6.1 A",
    );
}

#[test]
fn phases_are_added_and_a_sum_without_one_of_them_is_none() {
    let phases =
        ["input.L1.realpower=410", "input.L2.realpower=395.5", "input.L3.realpower=402", "ups.power=1300"];
    check(&phases, "total", "input.L1.realpower + input.L2.realpower + input.L3.realpower: 1207.5 W");
    check(&phases[..2], "total", "no source");
    check(&[phases[0], phases[1], phases[3]], "total", "ups.power × 1: 1300 W (estimated)");
}

#[test]
fn a_bank_is_an_outlet_and_the_group_of_all_is_the_whole() {
    let banks = [
        "outlet.group.1.name=Total",
        "outlet.group.1.realpower=950",
        "outlet.group.2.realpower=600",
        "outlet.group.2.name=bank1",
    ];
    check(&banks, "total", "outlet.group.1.realpower: 950 W");
    check(&banks, "group.2", "outlet.group.2.realpower: 600 W");
    check(&["device.2.outlet.group.1.realpower=7"], "2.group.1", "device.2.outlet.group.1.realpower: 7 W");
}

#[test]
fn what_the_operator_configures_makes_an_estimate_of_a_load() {
    let watts = Rating { nominal_watts: Some(480.0), power_factor: None };
    rated(
        &["ups.load=25", "ups.realpower.nominal=5"],
        "total",
        &watts,
        "ups.load × 480 W: 120 W (estimated)",
    );
    let factor = Rating { nominal_watts: None, power_factor: Some(0.8) };
    rated(
        &["ups.load=25", "ups.power.nominal=1000"],
        "total",
        &factor,
        "ups.load × ups.power.nominal × 0.8: 200 W (estimated)",
    );
    rated(&["ups.power=300"], "total", &factor, "ups.power × 0.8: 240 W (estimated)");
    // A rating that is none.
    rated(&["ups.load=25", "ups.power.nominal=2"], "total", &factor, "no source");
    let mut variables = Variables::default();
    variables.insert("ups.load", "25".to_owned());
    let why = choose(&variables, "total", &Rating::default()).why;
    assert!(why.iter().any(|why| why.contains("nominal_watts")), "{why:?}");
}

#[test]
fn an_outlet_that_reports_amperes_is_read_by_them() {
    check(
        &["outlet.4.current=0.6", "input.voltage=228"],
        "4",
        "input.voltage × outlet.4.current: 228 V, 0.6 A",
    );
    check(&["outlet.4.current=0.6"], "4", "outlet.4.current: 0.6 A");
}

#[test]
fn the_phases_of_a_device_are_added_also_as_volt_amperes() {
    // One phase's amperes and volts stand beside the three.
    let reported = [
        "output.voltage=231",
        "output.current=60",
        "output.L1.power=14100",
        "output.L2.power=15200",
        "output.L3.power=13800",
    ];
    check(
        &reported,
        "total",
        "(output.L1.power + output.L2.power + output.L3.power) × 1: 43100 W (estimated)",
    );
    // Watts that are mapped and not filled beside amperes that are.
    let amperes = [
        "output.L1.realpower=0",
        "output.L2.realpower=0",
        "output.L3.realpower=0",
        "output.L1-N.voltage=230",
        "output.L2-N.voltage=230",
        "output.L3-N.voltage=230",
        "output.L1.current=11",
        "output.L2.current=9",
        "output.L3.current=10",
    ];
    let expected = "(output.L1-N.voltage × output.L1.current + output.L2-N.voltage × output.L2.current + \
                    output.L3-N.voltage × output.L3.current) × 0.9: 6210 W (estimated)";
    rated(&amperes, "total", &Rating { nominal_watts: None, power_factor: Some(0.9) }, expected);
    // Without one of them there is no sum.
    check(&amperes[..8], "total", "output.L1.realpower + output.L2.realpower + output.L3.realpower: 0 W");
}

#[test]
fn volts_times_amperes_far_from_the_volt_amperes_reported_are_not_used() {
    let ten_times = ["output.voltage=119", "output.current=21", "ups.power=210", "ups.load=19"];
    check(&ten_times, "total", "ups.power × 1: 210 W (estimated)");
    let near = ["output.voltage=119", "output.current=2", "ups.power=210"];
    check(&near, "total", "output.voltage × output.current: 119 V, 2 A");
}

#[test]
fn watts_a_tenth_of_what_the_amperes_report_are_scaled_wrongly() {
    let tenth = ["output.realpower=21.5", "output.voltage=231", "output.current=1.1"];
    check(&tenth, "total", "output.voltage × output.current: 231 V, 1.1 A");
    // Volts that are scaled wrongly are no evidence about the watts.
    let volts = ["ups.realpower=231", "output.voltage=41216.0", "output.current=1.3"];
    check(&volts, "total", "ups.realpower: 231 W, 1.3 A");
    check(
        &["output.voltage=9812.0", "output.voltage.nominal=230", "output.current=0.6"],
        "total",
        "output.voltage.nominal × output.current: 230 V, 0.6 A",
    );
    // An idle supply of poor power factor.
    let poor = ["output.realpower=9", "output.voltage=231", "output.current=0.3"];
    check(&poor, "total", "output.realpower: 9 W, 231 V, 0.3 A");
}

#[test]
fn a_load_of_255_percent_is_a_placeholder() {
    let watts = Rating { nominal_watts: Some(540.0), power_factor: Some(0.7) };
    rated(&["ups.load=255", "ups.power=0"], "total", &watts, "no source");
    // …and so is what stands beside it.
    rated(&["ups.load=561000", "ups.power=835000"], "total", &watts, "no source");
    check(&["ups.load=255", "ups.realpower=0"], "total", "ups.realpower: 0 W");
}

#[test]
fn a_rating_below_that_of_any_ups_is_none() {
    // 600 W, cut to its low byte.
    check(&["ups.load=22", "ups.realpower.nominal=88"], "total", "no source");
    // The operator's setting decides.
    let watts = Rating { nominal_watts: Some(36.0), power_factor: None };
    rated(&["ups.load=50", "ups.realpower.nominal=36"], "total", &watts, "ups.load × 36 W: 18 W (estimated)");
}

#[test]
fn a_power_factor_that_the_device_reports_makes_watts_of_volt_amperes() {
    let reported = ["output.powerfactor=0.9", "ups.load=30", "ups.power.nominal=2000"];
    check(&reported, "total", "ups.load × ups.power.nominal × 0.9: 540 W (estimated)");
    check(&["output.powerfactor=0.8", "ups.power=500"], "total", "ups.power × 0.8: 400 W (estimated)");
    check(&["output.powerfactor=0.00", "ups.power=500"], "total", "ups.power × 1: 500 W (estimated)");
}

#[test]
fn an_output_without_its_voltage_is_taken_at_the_nominal_one() {
    check(
        &["output.voltage=0.0", "output.voltage.nominal=120", "output.current=2.0", "ups.load=24"],
        "total",
        "output.voltage.nominal × output.current: 120 V, 2 A",
    );
    // The volts of a battery, or ten times the mains: what is missing is reported.
    for nominal in ["output.voltage.nominal=43", "output.voltage.nominal=2300"] {
        check(&["output.current=2.0", nominal], "total", "output.current: 2 A");
    }
}

#[test]
fn an_idle_device_draws_nothing_and_a_load_makes_that_no_value() {
    let idle = ["output.voltage=220", "output.current=0.0", "ups.load=0", "ups.power=0"];
    check(&idle, "total", "output.voltage × output.current: 220 V, 0 A");
    check(&["ups.load=0", "ups.power=0"], "total", "ups.power × 1: 0 W (estimated)");
    check(&["ups.load=0"], "total", "no source");
    // Its input filters take amperes.
    let filters = ["input.voltage=233", "input.current=3.1"];
    check(&[&idle[..], &filters].concat(), "total", "output.voltage × output.current: 220 V, 0 A");
    check(&filters, "total", "input.voltage × input.current: 233 V, 3.1 A");
    for load in ["ups.load=3", "ups.load=24"] {
        check(&[idle[0], idle[1], load, idle[3]], "total", "no source");
    }
    let mut variables = Variables::default();
    for (name, value) in [("output.voltage", "220"), ("output.current", "0"), ("ups.load", "31")] {
        variables.insert(name, value.to_owned());
    }
    let kept =
        NutSource::Current { voltage: Some("output.voltage".into()), current: "output.current".into() };
    let why = contradiction(&variables, "total", &kept).expect("a contradiction");
    assert_eq!(why, "output.voltage × output.current is 0 at a load of 31 %");
}

proptest! {
    #[test]
    fn noise_never_panics(key in ".{0,20}", name in ".{0,20}", value in ".{0,8}", number in any::<f64>()) {
        let mut variables = Variables::default();
        for (name, value) in [
            (format!("outlet.{key}.realpower"), value.clone()),
            (name, value.clone()),
            ("ups.realpower".to_owned(), number.to_string()),
            ("ups.load".to_owned(), number.to_string()),
            ("output.voltage".to_owned(), value),
            ("output.current".to_owned(), number.to_string()),
        ] {
            variables.insert(&name, value);
        }
        for key in [key.as_str(), "total", "1.total"] {
            if let Some(source) = choose(&variables, key, &Rating::default()).source {
                _ = (source.read(&variables), contradiction(&variables, key, &source), source.name());
            }
        }
    }
}

/// Reads a folder of dumps as `upsc` prints them (networkupstools/nut-ddl, whose licence keeps them out of this tree) and
/// prints how many give what, and each by name: `KWAPI_NUT_DUMPS=folder cargo test … nut_dumps -- --ignored --nocapture`.
#[test]
#[ignore = "by hand, with KWAPI_NUT_DUMPS"]
fn nut_dumps() {
    let folder = std::env::var("KWAPI_NUT_DUMPS").expect("KWAPI_NUT_DUMPS");
    let mut folders = vec![std::path::PathBuf::from(folder)];
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "dev") {
                let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned();
                let mut variables = Variables::default();
                for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
                    // What owners remark stands behind a tab.
                    let value = value.split("\t#").next().unwrap_or_default();
                    variables.insert(name.trim(), value.trim().to_owned());
                }
                let keys = ["total".to_owned()].into_iter().chain(variables.outlets("realpower"));
                let keys = keys.chain(variables.outlets("current"));
                let choices: Vec<_> = keys.map(|key| choose(&variables, &key, &Rating::default())).collect();
                let best = choices
                    .iter()
                    .filter(|choice| choice.source.is_some())
                    .min_by_key(|choice| choice.source.as_ref().map(NutSource::rank));
                let kind = match best.and_then(|choice| choice.source.as_ref()) {
                    Some(NutSource::Watts { .. }) => "watts",
                    Some(NutSource::Load { is_of_volt_amperes: false, .. }) => "load of a rating in watts",
                    Some(NutSource::Load { .. }) => "load of a rating in volt-amperes and a power factor",
                    Some(NutSource::Current { voltage: Some(_), .. }) => "voltage and current",
                    Some(NutSource::Current { voltage: None, .. }) => "current alone",
                    Some(NutSource::Apparent { .. }) => "volt-amperes",
                    None if variables.contains("ups.load")
                        && variables.number("ups.power.nominal").is_some_and(|it| it > 100.0) =>
                    {
                        "load, lacks power_factor"
                    }
                    None if variables.contains("ups.load") => "load, lacks nominal_watts",
                    None => "nothing",
                };
                *counts.entry(kind).or_default() += 1;
                let shown = best.map(|choice| {
                    let source = choice.source.as_ref().expect("one");
                    let reading = source.read(&variables);
                    format!(
                        "{} = {}",
                        source.name(),
                        reading.map_or_else(|e| e.to_string(), |r| r.to_string())
                    )
                });
                let why: Vec<&String> = choices.iter().flat_map(|choice| &choice.why).collect();
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                println!("{kind}\t{name}\t{}\t{why:?}", shown.unwrap_or_default());
            }
        }
    }
    println!("{counts:?}");
}
