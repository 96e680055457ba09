use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(values: &str, document: &str, expected: &str) {
    let values: Values = toml::from_str(values).expect("values");
    values.check().expect("places");
    let document = serde_json::from_str(document).expect("a document");
    let actual = match values.read("meter", &document, "plug/1", &mut OutletMemory::default()) {
        Ok(reading) => {
            let at = reading.measured_at.map(|at| format!(" at {}", at.seconds_f64())).unwrap_or_default();
            format!("{reading}{at}")
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(actual, expected, "{document}");
}

#[test]
fn values_are_described_in_words() {
    let values: Values = toml::from_str(
        "power = '/dps/19'\npower_scale = 0.1\nenergy = ['/t1', '/t2']\nenergy_unit = 'Wh'\ntime = '/ts'",
    )
    .unwrap();
    assert_eq!(
        values.describe(),
        "power at \"/dps/19\" in W times 0.1, energy at \"/t1 + /t2\" in Wh, time at \"/ts\""
    );
}

#[test]
fn a_bare_number_is_a_document() {
    check("power = \"\"", "42.5", "42.5 W");
    check("power = \"\"\npower_unit = \"kW\"", "\"0.25\"", "250 W");
}

#[test]
fn the_end_of_a_devices_field_is_no_value_whatever_the_unit() {
    for end in ["65535", "4294967295", "\"2147483647\"", "-2147483648"] {
        let document = format!("{{\"p\": {end}}}");
        let expected = format!("implausible: {}, a placeholder for no value", end.trim_matches('"'));
        check("power = \"/p\"\npower_scale = 0.1", &document, &expected);
    }
    check("power = \"/p\"", r#"{"p": 65535.5}"#, "65535.5 W");
    // A counter passes 65535 by right, and its watts stand without one that is at a field's end.
    check("power = \"/p\"\nenergy = \"/e\"", r#"{"p": 5, "e": 65535}"#, "5 W, 235926000000 J");
    check("power = \"/p\"\nenergy = \"/e\"", r#"{"p": 5, "e": 4294967295}"#, "5 W");
}

#[test]
fn values_are_found_by_pointer_and_outlet() {
    check(
        "power = \"/p\"\nvoltage = \"/v\"\ncurrent = \"/i\"\nenergy = \"/e\"\nenergy_unit = \"Wh\"",
        r#"{"p": 45.6, "v": 230, "i": 0.2, "e": 2.5}"#,
        "45.6 W, 230 V, 0.2 A, 9000 J",
    );
    check("power = \"/{outlet}/w\"", r#"{"plug/1": {"w": 7}}"#, "7 W");
}

#[test]
fn a_stamp_is_read_in_every_usual_form() {
    for stamp in
        ["1795430400", "1795430400000", "1795430400000000", "\"2026-11-23T10:40:00Z\"", "\"1795430400\""]
    {
        check("power = \"/p\"\ntime = \"/t\"", &format!("{{\"p\": 1, \"t\": {stamp}}}"), "1 W at 1795430400");
    }
    check(
        "power = \"/p\"\ntime = \"/t\"",
        r#"{"p": 1, "t": 12}"#,
        "implausible: 12 at \"/t\" is not a valid time; check the device's clock",
    );
    check(
        "power = \"/p\"\ntime = \"/t\"",
        r#"{"p": 1}"#,
        "implausible: nothing at \"/t\" is not a valid time; check the device's clock",
    );
}

#[test]
fn absent_and_null_are_not_zero() {
    check("power = \"/p\"", "{}", "not available: no value at /p");
    check("power = \"/p\"\nenergy = \"/e\"", r#"{"p": null}"#, "not available: no value at /p or /e");
    check("power = \"/p\"\nenergy = \"/e\"", r#"{"e": 1}"#, "3600000 J");
    check("power = \"/p\"", r#"{"p": true}"#, "implausible: true at \"/p\"");
    check(
        "power = \"/p\"",
        r#"{"p": -2}"#,
        "implausible: -2 W; check for a reversed current transformer or wiring",
    );
}

#[test]
fn a_place_that_is_no_pointer_is_refused() {
    for values in ["power = \"ENERGY.Power\"", "voltage = \"/v\""] {
        let values: Values = toml::from_str(values).expect("values");
        values.check().expect_err("no pointer, or nothing to read");
    }
}

#[test]
fn a_neighbour_that_is_no_number_is_left_out_and_noted() {
    let values: Values =
        toml::from_str("power = \"/p\"\nenergy = \"/e\"\nvoltage = \"/v\"\ncurrent = \"/i\"")
            .expect("values");
    let mut memory = OutletMemory::default();
    let document = serde_json::json!({"p": 41.5, "e": "none yet", "v": [229, 231], "i": 0.2});
    let reading = values.read("meter", &document, "1", &mut memory).expect("a reading");
    assert_eq!(reading.to_string(), "41.5 W, 0.2 A");
    let noted: Vec<_> =
        memory.findings().map(|finding| format!("{}: {}", finding.what, finding.why)).collect();
    let expected = [
        "meter: energy: implausible: \"none yet\" at \"/e\"",
        "meter: voltage: [229,231] at \"/v\" is not a number",
    ];
    assert_eq!(noted, expected);
    let mended = serde_json::json!({"p": true, "e": "30615,5", "v": 230});
    let reading = values.read("meter", &mended, "1", &mut memory).expect("a reading");
    assert_eq!(reading.to_string(), "230 V, 110215800000 J", "a counter alone is a reading");
    let noted: Vec<_> = memory.findings().map(|finding| finding.what).collect();
    assert_eq!(noted, ["meter: power"]);
}

#[test]
fn a_factor_makes_units_of_counts_and_turns_a_sign() {
    check(
        "power = \"/p\"\npower_scale = 0.1\nvoltage = \"/v\"\nvoltage_scale = 0.1",
        r#"{"p": 756, "v": 2298}"#,
        "75.60000000000001 W, 229.8 V",
    );
    check("power = \"/p\"\npower_scale = -1", r#"{"p": -640}"#, "640 W");
    check("energy = \"/e\"\nenergy_unit = \"Wh\"\nenergy_scale = 10", r#"{"e": 7}"#, "252000 J");
    for scale in ["0", "nan", "inf"] {
        let values: Values =
            toml::from_str(&format!("power = \"/p\"\npower_scale = {scale}")).expect("values");
        let error = values.check().expect_err(scale).to_string();
        assert_eq!(error, "`power_scale`: must be a number other than 0");
    }
}

#[test]
fn two_tariffs_are_one_counter_and_phases_one_power() {
    let values = "power = [\"/a\", \"/b\"]\nenergy = [\"/t1\", \"/t2\"]";
    check(values, r#"{"a": 100, "b": 20.5, "t1": 10.5, "t2": "20,25"}"#, "120.5 W, 110700000 J");
    check(values, r#"{"a": 100, "b": 20.5, "t1": 10.5}"#, "120.5 W");
    check(values, r#"{"a": 100}"#, "not available: no value at /a or /b or /t1 or /t2");
    for (places, expected) in
        [("[]", "a sum takes 1 to 16 pointers"), ("['/a', '/a']", "\"/a\" is listed twice")]
    {
        let values: Values = toml::from_str(&format!("power = {places}")).expect("values");
        assert_eq!(values.check().expect_err(places).to_string(), format!("`power`: {expected}"));
    }
    assert!(
        toml::from_str::<Values>("power = 7").expect_err("a number").message().contains("a JSON pointer")
    );
}

#[test]
fn a_meter_that_feeds_back_continues_by_its_import_counter() {
    let values = "power = \"/p\"\nenergy = \"/e\"";
    check(values, r#"{"p": -1250.5, "e": 12.5}"#, "0 W, 45000000 J");
    check(values, r#"{"p": -0.4, "e": 0}"#, "0 W, 0 J");
    let reversed = "-1250.5 W; check for a reversed current transformer or wiring";
    check("power = \"/p\"", r#"{"p": -1250.5}"#, &format!("implausible: {reversed}"));
}

#[test]
fn a_document_is_about_power_when_it_reports_anything_there() {
    let values: Values = toml::from_str("power = \"/{outlet}/p\"\nenergy = \"/e\"").expect("values");
    let is_about = |document| values.is_about_power(&serde_json::from_str(document).expect("JSON"), "x");
    assert!(is_about(r#"{"x": {"p": null}}"#) && is_about(r#"{"e": 1}"#));
    assert!(!is_about(r#"{"x": {"temperature": 40}}"#) && !is_about("42"));
}

proptest! {
    #[test]
    fn noise_never_panics(noise in ".{0,200}", number in any::<f64>()) {
        parse_anything(noise.as_bytes());
        parse_anything(format!("{{\"a\":{number}}}").as_bytes());
    }
}
