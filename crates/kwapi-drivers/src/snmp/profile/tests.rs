use proptest::prelude::*;

use super::column::Column;
use super::*;

const MINIMAL: &str = r#"
name = "x"
title = "X"
source = "a manual"
[outlet]
index_length = 2
index_default = [1]
power = { oid = "1.3.6.1.4.1.99.{index}.5", watts = 0.1 }
"#;

#[track_caller]
fn check(text: &str, expected: &str) {
    let message = match Profile::parse("mine.toml", text) {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    };
    assert!(message.contains(expected), "{message}");
    assert!(message == "fine" || message.starts_with("mine.toml: "), "{message}");
}

#[test]
fn every_built_in_profile_parses_and_is_named_as_its_file() {
    let catalogue = ProfileCatalogue::built_in().unwrap();
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/snmp/profiles")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let profiles = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let mut names: Vec<_> =
        profiles.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(catalogue.names().collect::<Vec<_>>(), names);
}

#[test]
fn a_fault_in_a_profile_names_the_file_and_the_key() {
    check(MINIMAL, "fine");
    check(&MINIMAL.replace("watts", "wats"), "unknown field `wats`");
    check(&MINIMAL.replace("watts = 0.1", "watts = 0.1, oids = 1"), "8 | power");
    check(&MINIMAL.replace("watts = 0.1", "watts = 0"), "[outlet] power.watts must be more than 0");
    check(&MINIMAL.replace(".{index}.5", ".7"), "[outlet] power: the OID must contain {index}");
    check(&MINIMAL.replace("index_length = 2", "index_lenght = 2"), "index_lenght");
    check(&format!("{MINIMAL}unit_at = 1"), "fine");
    check(&format!("{MINIMAL}unit_at = 2"), "unit_at must be 1 to 1");
    check(&format!("{MINIMAL}unit_at = 0"), "unit_at must be 1 to 1");
    check(&MINIMAL.replace("[1]", "[1, 1, 1]"), "index_default has 3 numbers");
    check(&MINIMAL.replace("99.{index}", "99x{index}"), "a dot must precede");
    check("name = \"x\"\ntitle = \"X\"\nsource = \"\"", "nothing to measure");
}

#[test]
fn a_directory_adds_and_replaces() {
    let directory = tempfile::tempdir().unwrap();
    let replaced = MINIMAL.replace("\"x\"", "\"eaton_epdu\"").replace("\"X\"", "\"mine\"");
    std::fs::write(directory.path().join("a.toml"), replaced).unwrap();
    std::fs::write(directory.path().join("b.toml"), MINIMAL).unwrap();
    std::fs::write(directory.path().join("notes.txt"), "no profile").unwrap();
    let catalogue = ProfileCatalogue::with_directory(directory.path()).unwrap();
    assert_eq!(catalogue.get("eaton_epdu").unwrap().title, "mine");
    assert!(catalogue.get("x").is_some() && catalogue.get("raritan_px2").is_some());

    std::fs::write(directory.path().join("c.toml"), "name = 7").unwrap();
    let message = ProfileCatalogue::with_directory(directory.path()).unwrap_err().to_string();
    assert!(message.contains("c.toml"), "{message}");
    let message = ProfileCatalogue::with_directory(&directory.path().join("none")).unwrap_err().to_string();
    assert!(message.contains("none"), "{message}");
}

#[test]
fn a_key_is_completed_from_the_defaults_and_shortened_again() {
    let section = Profile::parse("mine.toml", MINIMAL).unwrap().outlet.unwrap();
    assert_eq!(section.index(&[7]), Some(vec![1, 7]));
    assert_eq!(section.index(&[2, 7]), Some(vec![2, 7]));
    assert_eq!(section.index(&[]), None);
    assert_eq!(section.index(&[1, 2, 3]), None);
    assert_eq!(section.numbers(&[1, 7]), [7]);
    assert_eq!(section.numbers(&[2, 7]), [2, 7]);
    let column = &section.power.unwrap().oid;
    assert_eq!(column.at(&[2, 7]).to_string(), "1.3.6.1.4.1.99.2.7.5");
    assert_eq!(column.index_of(&column.at(&[2, 7]), 2), Some(vec![2, 7]));
    assert_eq!(column.index_of(&parse_oid("1.3.6.1.4.1.99.2.7.6").unwrap(), 2), None);
}

/// For every section of every family: a plain key is one of the unit that is configured, or `unit` is refused.
#[test]
fn a_plain_key_is_of_the_unit_that_is_configured_or_reports_none() {
    let mut numbered = Vec::new();
    for profile in ProfileCatalogue::built_in().unwrap().iter() {
        let (second, third) = (profile.of_unit(2), profile.of_unit(3));
        for (kind, section) in profile.kinds() {
            let name = format!("{} {kind:?}", profile.name);
            let plain = vec![7; section.index_length - section.index_default.len().min(section.index_length)];
            let index = |profile: &Profile| profile.section(kind).unwrap().index(&plain).unwrap();
            let Some(place) = section.unit_at else {
                assert_eq!(index(&second), index(profile), "{name}");
                assert_eq!(section.unit_of(&index(profile)), None, "{name}");
                continue;
            };
            let (second, third) = (index(&second), index(&third));
            let differ: Vec<_> = (0..second.len()).filter(|at| second[*at] != third[*at]).collect();
            assert_eq!(differ, [place - 1], "{name}");
            assert_eq!((second[place - 1], third[place - 1]), (2, 3), "{name}");
            assert_eq!(section.unit_of(&second), Some(2), "{name}");
            // Every column of the row is the unit's.
            for (field, column) in section.columns() {
                assert_ne!(column.at(&second), column.at(&third), "{name} {field}");
            }
            numbered.push(name);
        }
    }
    for expected in
        ["apc_rpdu2 Unit", "apc_easy_epdu Unit", "enlogic Unit", "hpe_ipdu_g2 Unit", "panduit_g5 Unit"]
    {
        assert!(numbered.iter().any(|name| name == expected), "{numbered:?}");
    }
    for flat in [
        "apc_rpdu2 Outlet",
        "apc_rpdu2 Phase",
        "apc_rpdu Phase",
        "cyberpower_epdu2 Outlet",
        "raritan_px1 Inlet",
    ] {
        assert!(!numbered.iter().any(|name| name == flat), "{numbered:?}");
    }
}

#[test]
fn the_device_that_reports_most_exactly_what_it_is_is_trusted() {
    let catalogue = ProfileCatalogue::built_in().unwrap();
    let best = |id: &str| catalogue.candidates(Some(&parse_oid(id).unwrap())).first().unwrap().name.clone();
    assert_eq!(best("1.3.6.1.4.1.13742.6"), "raritan_px2");
    assert_eq!(best("1.3.6.1.4.1.534.6.6.7"), "eaton_epdu");
    assert_eq!(best("1.3.6.1.4.1.318.1.3.4.6"), "apc_rpdu2");
    assert_eq!(best("1.3.6.1.4.1.232.165.7"), "hpe_ipdu_g2");
    let generic = parse_oid("1.3.6.1.4.1.8072.3.2.10").unwrap();
    assert_eq!(catalogue.candidates(Some(&generic)).len(), catalogue.iter().count());
}

proptest! {
    #[test]
    fn no_profile_text_panics(noise in ".{0,60}", place in 0..MINIMAL.len(), column in "[0-9.{}index]{0,30}") {
        _ = Profile::parse("mine.toml", &noise);
        if let Some((before, after)) = MINIMAL.split_at_checked(place) {
            _ = Profile::parse("mine.toml", &format!("{before}{noise}{after}"));
        }
        if let Ok(column) = Column::parse(&column) {
            prop_assert_eq!(column.index_of(&column.at(&[1, 2]), 2), column.is_indexed().then(|| vec![1, 2]));
        }
    }
}
