use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(values: &str, document: &str, expected: &str) {
    let values: Values = toml::from_str(values).expect("values");
    values.check().expect("places");
    let document = serde_json::from_str(document).expect("a document");
    let actual = match values.read(&document, "plug/1", &mut Decimals::default()) {
        Ok(reading) => {
            let at = reading.measured_at.map(|at| format!(" at {}", at.seconds_f64())).unwrap_or_default();
            format!("{reading}{at}")
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(actual, expected, "{document}");
}

#[test]
fn a_bare_number_is_a_document() {
    check("power = \"\"", "42.5", "42.5 W");
    check("power = \"\"\npower_unit = \"kW\"", "\"0.25\"", "250 W");
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
        "implausible: 12 at \"/t\" is no time; is the device's clock set?",
    );
    check(
        "power = \"/p\"\ntime = \"/t\"",
        r#"{"p": 1}"#,
        "implausible: nothing at \"/t\" is no time; is the device's clock set?",
    );
}

#[test]
fn absent_and_null_are_not_zero() {
    check("power = \"/p\"", "{}", "not available: nothing at /p");
    check("power = \"/p\"\nenergy = \"/e\"", r#"{"p": null}"#, "not available: nothing at /p or /e");
    check("power = \"/p\"\nenergy = \"/e\"", r#"{"e": 1}"#, "3600000 J");
    check("power = \"/p\"", r#"{"p": true}"#, "implausible: true at \"/p\"");
    check(
        "power = \"/p\"",
        r#"{"p": -2}"#,
        "implausible: -2 W; is the current transformer or the wiring reversed?",
    );
}

#[test]
fn a_place_that_is_no_pointer_is_refused() {
    for values in ["power = \"ENERGY.Power\"", "voltage = \"/v\""] {
        let values: Values = toml::from_str(values).expect("values");
        assert!(matches!(values.check(), Err(DriverError::Refused(_))));
    }
}

proptest! {
    #[test]
    fn noise_never_panics(noise in ".{0,200}", number in any::<f64>()) {
        parse_anything(noise.as_bytes());
        parse_anything(format!("{{\"a\":{number}}}").as_bytes());
    }
}
