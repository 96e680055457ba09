use proptest::prelude::*;

use super::*;

fn shipped(name: &str) -> Map {
    Map::load(name, None).expect("a map")
}

/// What an outlet of a map says of registers given as `address: words`.
#[track_caller]
fn check(map: &Map, outlet: &str, words: &[(u16, &[u16])], expected: &str) {
    let registers = words.iter().flat_map(|(at, words)| (*at..).zip(words.iter().copied())).collect();
    let actual = match map.outlets[outlet].read(&registers, map.word_order) {
        Ok(reading) => reading.to_string(),
        Err(error) => error.to_string(),
    };
    assert_eq!(actual, expected);
}

#[test]
fn an_eastron_says_watts_and_kilowatt_hours_in_floats() {
    let map = shipped("eastron-sdm630");
    // 321.5 W and 12.5 kWh in IEEE 754.
    check(&map, "total", &[(0x34, &[0x43a0, 0xc000]), (0x48, &[0x4148, 0])], "321.5 W, 45000000 J");
    check(&map, "L1", &[(0x0c, &[0x42c8, 0]), (0x00, &[0x4366, 0x3333])], "100 W, 230.1999969482422 V");
}

#[test]
fn a_schneider_says_kilowatts_and_watt_hours_in_64_bits() {
    let map = shipped("schneider-iem3155");
    check(&map, "total", &[(0x0bf3, &[0x3f00, 0]), (0x0c83, &[0, 0, 0x0001, 0x0000])], "500 W, 235929600 J");
}

#[test]
fn not_a_number_is_no_reading_and_absent_is_absent() {
    let map = shipped("eastron-sdm630");
    check(&map, "total", &[(0x34, &[0x7fc0, 0])], "not ready: registers 0x0034, 0x0048 have no number now");
    check(&map, "total", &[], "not ready: registers 0x0034, 0x0048 have no number now");
    check(&map, "total", &[(0x34, &[0, 0]), (0x48, &[0x7fc0, 0])], "0 W");
    let map = shipped("schneider-iem3155");
    check(&map, "total", &[(0x0bf3, &[0x3f00, 0]), (0x0c83, &[0x8000, 0, 0, 0])], "500 W");
}

#[test]
fn every_kind_is_decoded_in_both_orders() {
    let check = |kind: Kind, words: &[u16], expected: Option<f64>| {
        assert_eq!(kind.decode(words, WordOrder::Big), expected, "{kind:?} {words:x?}");
        let turned: Vec<_> = words.iter().rev().copied().collect();
        assert_eq!(kind.decode(&turned, WordOrder::Little), expected, "{kind:?} {words:x?}");
    };
    check(Kind::U16, &[0xfffe], Some(65_534.0));
    check(Kind::I16, &[0xfffe], Some(-2.0));
    check(Kind::U32, &[0xffff, 0xfffe], Some(4_294_967_294.0));
    check(Kind::I32, &[0xffff, 0xfffe], Some(-2.0));
    check(Kind::U64, &[0, 1, 0, 0], Some(4_294_967_296.0));
    check(Kind::I64, &[0xffff, 0xffff, 0xffff, 0xfffe], Some(-2.0));
    check(Kind::F32, &[0xc000, 0], Some(-2.0));
    check(Kind::F64, &[0xc000, 0, 0, 0], Some(-2.0));
    check(Kind::U16, &[0xffff], None);
    check(Kind::I32, &[0x8000, 0], None);
    check(Kind::F32, &[0x7f80, 0], None);
    check(Kind::F32, &[0], None);
}

#[test]
fn a_float_that_has_grown_coarse_says_so() {
    let map = shipped("eastron-sdm630");
    let energy = map.outlets["total"].energy.expect("a counter");
    let resolution = |kwh| energy.read(Some(kwh)).expect("a count").expect("a counter").resolution.kwh();
    assert!((resolution(12.5) - 0.01).abs() < 1e-9);
    assert!(resolution(1_000_000.0) > 0.1, "a single float counts eighths of a kWh there");
}

#[test]
fn neighbours_are_read_together_and_gaps_are_not() {
    let requests = |map: &Map| Map::requests(map.outlets.values());
    assert_eq!(requests(&shipped("eastron-sdm630")), [(0, 18), (0x34, 2), (0x48, 2)]);
    assert_eq!(requests(&shipped("schneider-iem3155")), [(0xbb7, 6), (0xbd3, 6), (0xbed, 8), (0xc83, 4)]);
}

#[test]
fn every_shipped_map_is_sound() {
    for (name, text) in SHIPPED {
        assert!(Map::parse(text).is_ok(), "{name}");
    }
}

#[test]
fn an_operators_map_comes_first_and_a_wrong_one_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let good =
        "name = \"mine\"\nfunction = 3\n[outlets.total]\npower = { at = 1, type = \"u16\", scale = 0.1 }";
    std::fs::write(directory.path().join("eastron-sdm630.toml"), good).expect("room");
    assert_eq!(Map::load("eastron-sdm630", Some(directory.path())).expect("a map").name, "mine");
    for (text, expected) in [
        (good.replace("function = 3", "function = 6"), "function is 3 or 4"),
        (good.replace("u16", "u17"), "unknown variant `u17`"),
        (good.replace("scale", "scael"), "unknown field `scael`"),
        (good.replace("at = 1", "at = 65535").replace("u16", "u32"), "beyond the last register"),
        (good.replace("power", "voltage"), "neither power nor energy"),
    ] {
        std::fs::write(directory.path().join("bad.toml"), text).expect("room");
        let error = Map::load("bad", Some(directory.path())).expect_err(expected).to_string();
        assert!(error.contains(expected) && error.contains("bad.toml"), "{error}");
    }
    for name in ["../secret", "a/b", "sdm"] {
        assert!(matches!(Map::load(name, Some(directory.path())), Err(DriverError::Refused(_))), "{name}");
    }
}

#[test]
fn the_last_registers_are_read_and_nothing_beyond() {
    let read = |at, count| addressed(at, vec![7; count]).map(|(at, _)| at).collect::<Vec<_>>();
    assert_eq!(read(0xfffd, 2), [0xfffd, 0xfffe]);
    assert_eq!(read(0xfffe, 4), [0xfffe, 0xffff]);
}

proptest! {
    #[test]
    fn no_registers_panic(words in prop::collection::vec(any::<u16>(), 0..130), at in any::<u16>()) {
        let registers: Registers = addressed(at, words).chain(addressed(0, vec![0xffff; 400])).collect();
        for (_, text) in SHIPPED {
            let map = Map::parse(text).expect("a map");
            for outlet in map.outlets.values() {
                _ = outlet.read(&registers, map.word_order);
            }
        }
    }
}
