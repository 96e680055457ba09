use proptest::prelude::*;

use super::*;
use crate::snmp::profile::ProfileCatalogue;

fn integer(number: i64) -> ObjectValue {
    ObjectValue::Integer(i128::from(number))
}

#[track_caller]
fn check(profile: &str, row: &[(Field, ObjectValue)], expected: &str) {
    let catalogue = ProfileCatalogue::built_in().unwrap();
    let section = catalogue.get(profile).unwrap().outlet.as_ref().unwrap();
    let actual = match reading(section, &row.to_vec()) {
        Ok(reading) => reading.to_string(),
        Err(reason) => reason.to_string(),
    };
    assert_eq!(actual, expected);
}

#[test]
fn a_raritan_scales_by_the_digits_it_states_and_never_by_a_guess() {
    let row = |digits: ObjectValue| {
        [(Field::Status, integer(1)), (Field::Power, integer(1234)), (Field::PowerDigits, digits)]
    };
    check("raritan_px2", &row(integer(1)), "123.4 W");
    check("raritan_px2", &row(integer(0)), "1234 W");
    check(
        "raritan_px2",
        &row(ObjectValue::Absent),
        "not ready: the device does not report power.digits; the scale is unknown",
    );
    check("raritan_px2", &row(integer(77)), "implausible: power.digits 77");
}

#[test]
fn what_a_device_reports_for_not_available_is_no_zero() {
    check("servertech_sentry3", &[(Field::Power, integer(-1))], "not available: power reads -1");
    check("eaton_epdu", &[(Field::Power, integer(-100))], "not available: power reads -100");
    check("eaton_epdu", &[(Field::Power, integer(4_294_967_295))], "not available: power reads 4294967295");
    check("eaton_epdu", &[(Field::Power, ObjectValue::Absent)], "no such outlet: not in the agent's table");
    check("eaton_epdu", &[], "no such outlet: not in the agent's table");
    check(
        "eaton_epdu",
        &[(Field::Power, ObjectValue::Failed)],
        "not ready: the agent returned an error for power",
    );
    check("eaton_epdu", &[(Field::Power, ObjectValue::Text(b"off".to_vec()))], "implausible: power \"off\"");
    check(
        "eaton_epdu",
        &[(Field::Power, integer(2_000_000_000))],
        "implausible: 2000000000 W; check the scale",
    );
    check("eaton_epdu", &[(Field::Power, integer(0))], "0 W");
}

#[test]
fn the_end_of_a_field_and_an_empty_value_are_no_measurement() {
    for power in [65_535, 2_147_483_647, -2_147_483_648, 4_294_967_295] {
        let expected = format!("not available: power reads {power}");
        check("eaton_epdu", &[(Field::Power, integer(power))], &expected);
    }
    check("eaton_epdu", &[(Field::Power, integer(65_534))], "65534 W");
    check("eaton_epdu", &[(Field::Power, ObjectValue::Null)], "not available: power reads NULL");
    for empty in ["", " ", "\0\0"] {
        let text = ObjectValue::Text(empty.into());
        check("eaton_epdu", &[(Field::Power, text)], "not available: power reads \"\"");
    }
    // A counter passes the end of 16 bits by right; one without a value leaves the watts.
    check("eaton_epdu", &[(Field::Power, integer(9)), (Field::Energy, integer(65_535))], "9 W, 235926000 J");
    check("eaton_epdu", &[(Field::Power, integer(9)), (Field::Energy, integer(2_147_483_647))], "9 W");
}

#[test]
fn a_sentry_that_is_still_reading_has_no_value() {
    for status in [1, 2, 5, 6, 7, 8, 9, 10] {
        let row = [(Field::Status, integer(status)), (Field::Power, integer(120))];
        check("servertech_sentry4", &row, &format!("not available: device status is {status}"));
    }
    check("servertech_sentry4", &[(Field::Status, integer(0)), (Field::Power, integer(120))], "120 W");
}

#[test]
fn a_first_generation_apc_outlet_has_amperes_and_no_watts() {
    check("apc_rpdu", &[(Field::Current, integer(13))], "1.3 A");
    check("apc_rpdu", &[(Field::Current, integer(-1))], "not available: current reads -1");
}

/// infeedLoadValue is of a line, infeedVoltage between two: 4 A in each of three lines at 208 V are 1441 W, not 2496.
#[test]
fn amperes_of_a_line_are_not_handed_over_with_volts() {
    let catalogue = ProfileCatalogue::built_in().unwrap();
    let inlet = catalogue.get("servertech_sentry3").unwrap().inlet.as_ref().unwrap();
    let read = |rows: &[ColumnValues]| {
        let section = on_device(inlet, rows);
        let current = section.current.clone();
        let rows = rows.iter().map(|row| {
            // As the agent answers the columns of the section that was adapted to it.
            let is_line = current.is_some()
                && current.as_ref().map(|current| &current.oid)
                    == inlet.line_current.as_ref().map(|current| &current.oid);
            let take = |(field, value): &(Field, ObjectValue)| match field {
                Field::LineCurrent if is_line => (Field::Current, value.clone()),
                field => (*field, value.clone()),
            };
            reading(&section, &row.iter().map(take).collect()).unwrap().to_string()
        });
        rows.collect::<Vec<_>>()
    };
    let line = || vec![(Field::Voltage, integer(2_080)), (Field::LineCurrent, integer(400))];
    assert_eq!(read(&[line(), line(), line()]), ["4 A", "4 A", "4 A"]);
    // With the current of the phase itself, what it makes with the phase's volts is its power.
    let phase = vec![
        (Field::Voltage, integer(1_201)),
        (Field::Current, integer(400)),
        (Field::LineCurrent, integer(693)),
    ];
    assert_eq!(read(&[phase]), ["120.1 V, 4 A"]);
    let watts = vec![(Field::Power, integer(480)), (Field::LineCurrent, integer(693))];
    assert_eq!(read(&[watts]), ["480 W"]);
}

#[test]
fn a_table_is_as_useful_as_its_best_row() {
    let catalogue = ProfileCatalogue::built_in().unwrap();
    let check = |profile: &str, rows: &[&[(Field, i64)]], expected: Usefulness| {
        let section = catalogue.get(profile).unwrap().outlet.as_ref().unwrap();
        let row =
            |row: &&[(Field, i64)]| row.iter().map(|(field, value)| (*field, integer(*value))).collect();
        let rows: Vec<ColumnValues> = rows.iter().map(row).collect();
        let section = on_device(section, &rows);
        let readings: Vec<_> = rows.iter().map(|row| reading(&section, row)).collect();
        assert_eq!(Usefulness::of(&readings), expected, "{profile} {rows:?}");
    };
    check("apc_rpdu2", &[], Usefulness::Nothing);
    check("apc_rpdu2", &[&[(Field::Power, -1)], &[(Field::Power, -1)]], Usefulness::Nothing);
    check("apc_rpdu2", &[&[(Field::Power, -1)], &[(Field::Power, 7)]], Usefulness::Watts);
    check("apc_rpdu2", &[&[(Field::Power, 0)], &[(Field::Power, 0)]], Usefulness::Zeros);
    check("apc_rpdu2", &[&[(Field::Power, 0), (Field::Energy, 3)]], Usefulness::Watts);
    // -1 throughout is no column at all: the amperes are read.
    check("apc_rpdu2", &[&[(Field::Power, -1), (Field::Current, 7)]], Usefulness::Amperes);
    check(
        "apc_rpdu2",
        &[&[(Field::Power, -1), (Field::Current, 7)], &[(Field::Power, 0)]],
        Usefulness::Zeros,
    );
    check("liebert_mpx", &[&[(Field::Voltage, 230), (Field::Current, 7)]], Usefulness::VoltAmperes);
    check("liebert_mpx", &[&[(Field::Voltage, 230), (Field::Current, 700)]], Usefulness::Load);
    check("vertiv_geist", &[&[(Field::Energy, 7)]], Usefulness::Counter);
}

#[test]
fn a_missing_energy_counter_does_not_hide_the_power() {
    check("apc_rpdu2", &[(Field::Power, integer(120)), (Field::Energy, integer(-1))], "120 W");
    check("apc_rpdu2", &[(Field::Power, integer(120)), (Field::Energy, integer(15))], "120 W, 5400000 J");
}

#[track_caller]
fn check_counter(profile: &str, row: &[(Field, ObjectValue)], expected: MeterCounter) {
    let catalogue = ProfileCatalogue::built_in().unwrap();
    let section = catalogue.get(profile).unwrap().outlet.as_ref().unwrap();
    assert_eq!(reading(section, &row.to_vec()).unwrap().counter, Some(expected));
}

#[test]
fn a_counter_carries_resolution_range_and_reset_stamp() {
    let watt_hours = Energy::from_watt_hours;
    check_counter(
        "eaton_epdu",
        &[(Field::Energy, integer(5_000)), (Field::ResetAt, integer(1_790_000_000))],
        MeterCounter {
            value: watt_hours(5_000),
            resolution: watt_hours(1),
            range: Some(watt_hours(1 << 32)),
            reset_at: Some(Timestamp::from_seconds(1_790_000_000)),
        },
    );
    check_counter(
        "vertiv_geist",
        &[(Field::Energy, integer(9_998_999))],
        MeterCounter {
            range: Some(watt_hours(9_999_000)),
            ..MeterCounter::new(watt_hours(9_998_999), watt_hours(1))
        },
    );
    check_counter(
        "raritan_px2",
        &[(Field::Energy, integer(50)), (Field::EnergyDigits, integer(1))],
        MeterCounter {
            value: watt_hours(5),
            resolution: Energy::from_millijoules(360_000),
            range: Some(Energy::from_millijoules((1 << 32) * 360_000)),
            reset_at: None,
        },
    );
    // Decimals that are written out are the counter's.
    check_counter(
        "aten_pe",
        &[(Field::Energy, ObjectValue::Text(b"12.5000".to_vec()))],
        MeterCounter::new(watt_hours(12_500), Energy::from_millijoules(360_000)),
    );
    let dated = ObjectValue::Text(b"10/31/2026 23:59:58".to_vec());
    check_counter(
        "cyberpower_epdu2",
        &[(Field::Energy, integer(3)), (Field::ResetAt, dated)],
        MeterCounter {
            reset_at: Some(Timestamp::from_seconds(1_793_491_198)),
            ..MeterCounter::new(watt_hours(300), watt_hours(100))
        },
    );
}

#[test]
fn a_stamp_is_read_in_the_order_its_device_writes_it() {
    let text = |text: &str| ObjectValue::Text(text.into());
    let expected = Some(Timestamp::from_seconds(1_793_491_198));
    assert_eq!(parse_stamp(StampFormat::DayMonthYear, &text("31/10/2026,23:59:58")), expected);
    assert_eq!(parse_stamp(StampFormat::MonthDayYear, &text("10/31/2026 23:59:58")), expected);
    assert_eq!(parse_stamp(StampFormat::YearMonthDay, &text("2026/10/31 23:59:58")), expected);
    // The sixteenth month of the other order is none.
    assert_eq!(parse_stamp(StampFormat::MonthDayYear, &text("16/10/2026,23:59:58")), None);
}

#[test]
fn an_unreadable_stamp_is_none() {
    for text in ["", "Unknown", "00/00/0000 00:00:00", "13/01/2026", "1/2"] {
        assert_eq!(parse_stamp(StampFormat::MonthDayYear, &ObjectValue::Text(text.into())), None, "{text}");
    }
    assert_eq!(parse_stamp(StampFormat::Unix, &integer(0)), None);
    assert_eq!(parse_stamp(StampFormat::Unix, &integer(-5)), None);
}

fn any_value() -> impl Strategy<Value = ObjectValue> {
    prop_oneof![
        any::<i64>().prop_map(integer),
        any::<f64>().prop_map(ObjectValue::Float),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(ObjectValue::Text),
        Just(ObjectValue::Absent),
        Just(ObjectValue::Failed),
        Just(ObjectValue::Null),
        Just(ObjectValue::Other),
    ]
}

fn any_field() -> impl Strategy<Value = Field> {
    prop::sample::select(vec![
        Field::Label,
        Field::Status,
        Field::Power,
        Field::PowerDigits,
        Field::Energy,
        Field::EnergyDigits,
        Field::ResetAt,
        Field::Voltage,
        Field::VoltageDigits,
        Field::Current,
        Field::CurrentDigits,
    ])
}

proptest! {
    #[test]
    fn whatever_an_agent_reports_a_reading_is_plausible(row in prop::collection::vec((any_field(), any_value()), 0..14)) {
        for profile in ProfileCatalogue::built_in().unwrap().iter() {
            for (_, section) in profile.kinds() {
                if let Ok(reading) = reading(section, &row) {
                    prop_assert!(!reading.is_empty());
                    if let Some(Watts(watts)) = reading.power {
                        prop_assert!((0.0..=WATTS_MAX.0).contains(&watts));
                    }
                }
            }
        }
        _ = label(&row);
    }
}
