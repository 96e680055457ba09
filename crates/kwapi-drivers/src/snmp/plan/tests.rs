use proptest::prelude::*;

use super::*;
use crate::snmp::profile::ProfileCatalogue;

#[track_caller]
fn check(text: &str, expected: Option<(ProfileKind, &[u32])>) {
    assert_eq!(parse_key(text), expected.map(|(kind, numbers)| (kind, numbers.to_vec())), "{text:?}");
}

#[test]
fn a_key_is_a_number_or_a_word_and_numbers() {
    check("7", Some((ProfileKind::Outlet, &[7])));
    check("2.7", Some((ProfileKind::Outlet, &[2, 7])));
    check("inlet", Some((ProfileKind::Inlet, &[])));
    check("inlet.2", Some((ProfileKind::Inlet, &[2])));
    check("phase.1", Some((ProfileKind::Phase, &[1])));
    for wrong in ["", ".", "7.", "-1", "inlet.", "inlets", "7a", "4294967296", "1.2.3.4.5.6.7.8.9"] {
        check(wrong, None);
    }
}

#[test]
fn watts_and_their_counter_come_without_voltage_unless_requested() {
    let catalogue = ProfileCatalogue::built_in().unwrap();
    let fields = |profile: &str, wanted| {
        let section = Arc::new(catalogue.get(profile).unwrap().outlet.clone().unwrap());
        let point = Point::new(ProbeId::new("a").unwrap(), &section, &[1, 1], wanted);
        point.oids(false).map(|(field, _)| field.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(fields("raritan_px2", false), "status power energy");
    assert_eq!(fields("raritan_px2", true), "status power energy voltage current");
    assert_eq!(fields("apc_rpdu", false), "current");
}

proptest! {
    #[test]
    fn no_key_panics_and_what_is_read_can_be_written(text in "[a-z0-9.]{0,12}|.{0,12}") {
        if let Some((kind, numbers)) = parse_key(&text) {
            let section = Section { index_length: numbers.len(), ..Section::default() };
            prop_assert_eq!(parse_key(&key(kind, &section, &numbers)), Some((kind, numbers)));
        }
    }
}
