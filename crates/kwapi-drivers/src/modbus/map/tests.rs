use proptest::prelude::*;

use super::*;

fn shipped(name: &str) -> Map {
    Map::load(name, None).expect("a map")
}

/// The registers that hold these bytes.
fn words_of<const BYTES: usize>(bytes: [u8; BYTES]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

/// What an outlet of a map reads from registers given as `address: words`.
#[track_caller]
fn check(map: &Map, outlet: &str, words: &[(u16, &[u16])], expected: &str) {
    let registers = words.iter().flat_map(|(at, words)| {
        let words = (*at..).zip(words.iter().copied());
        words.map(|(at, word)| ((map.function, at), word))
    });
    let actual =
        match map.outlets[outlet].read("m", &registers.collect(), map.defaults(), &mut Notes::default()) {
            Ok(reading) => reading.to_string(),
            Err(error) => error.to_string(),
        };
    assert_eq!(actual, expected);
}

#[test]
fn an_eastron_reports_watts_and_kilowatt_hours_in_floats() {
    let map = shipped("eastron-sdm630");
    // 321.5 W and 12.5 kWh in IEEE 754.
    check(&map, "total", &[(0x34, &[0x43a0, 0xc000]), (0x48, &[0x4148, 0])], "321.5 W, 45000000 J");
    check(&map, "L1", &[(0x0c, &[0x42c8, 0]), (0x00, &[0x4366, 0x3333])], "100 W, 230.1999969482422 V");
}

#[test]
fn a_schneider_reports_kilowatts_and_watt_hours_in_64_bits() {
    let map = shipped("schneider-iem3155");
    check(&map, "total", &[(0x0bf3, &[0x3f00, 0]), (0x0c83, &[0, 0, 0x0001, 0x0000])], "500 W, 235929600 J");
}

#[test]
fn not_a_number_is_no_reading_and_absent_is_absent() {
    let map = shipped("eastron-sdm630");
    check(&map, "total", &[(0x34, &[0x7fc0, 0])], "not ready: registers 0x0034, 0x0048 have no value");
    check(&map, "total", &[], "not ready: registers 0x0034, 0x0048 have no value");
    check(&map, "total", &[(0x34, &[0, 0]), (0x48, &[0x7fc0, 0])], "0 W");
    let map = shipped("schneider-iem3155");
    check(&map, "total", &[(0x0bf3, &[0x3f00, 0]), (0x0c83, &[0x8000, 0, 0, 0])], "500 W");
}

#[test]
fn every_kind_is_decoded_in_both_orders() {
    let check = |kind: NumberFormat, words: &[u16], expected: Option<f64>| {
        assert_eq!(kind.decode(words, WordOrder::Big), expected, "{kind:?} {words:x?}");
        let turned: Vec<_> = words.iter().rev().copied().collect();
        assert_eq!(kind.decode(&turned, WordOrder::Little), expected, "{kind:?} {words:x?}");
    };
    check(NumberFormat::U16, &[0xfffe], Some(65_534.0));
    check(NumberFormat::I16, &[0xfffe], Some(-2.0));
    check(NumberFormat::U32, &[0xffff, 0xfffe], Some(4_294_967_294.0));
    check(NumberFormat::I32, &[0xffff, 0xfffe], Some(-2.0));
    check(NumberFormat::U64, &[0, 1, 0, 0], Some(4_294_967_296.0));
    check(NumberFormat::I64, &[0xffff, 0xffff, 0xffff, 0xfffe], Some(-2.0));
    check(NumberFormat::F32, &[0xc000, 0], Some(-2.0));
    check(NumberFormat::F64, &[0xc000, 0, 0, 0], Some(-2.0));
    check(NumberFormat::U48, &[1, 0, 2], Some(4_294_967_298.0));
    check(NumberFormat::Bcd16, &[0x1234], Some(1234.0));
    check(NumberFormat::Bcd32, &[0x0012, 0x3456], Some(123_456.0));
    check(NumberFormat::U48, &[0xffff, 0xffff, 0xffff], None);
    check(NumberFormat::Bcd16, &[0x12a4], None);
    check(NumberFormat::Bcd32, &[0xffff, 0xffff], None);
    check(NumberFormat::U16, &[0xffff], None);
    check(NumberFormat::I16, &[0x8000], None);
    check(NumberFormat::I16, &[0x7fff], None);
    check(NumberFormat::I32, &[0x7fff, 0xffff], None);
    check(NumberFormat::I64, &[0x7fff, 0xffff, 0xffff, 0xffff], None);
    check(NumberFormat::I16, &[0x7ffe], Some(32_766.0));
    check(NumberFormat::I32, &[0x8000, 0], None);
    check(NumberFormat::F32, &[0x7f80, 0], None);
    check(NumberFormat::F32, &[0], None);
}

/// A map of one outlet whose power, or energy, is `field`.
fn of(field: &str) -> Map {
    let (kind, field) = if field.contains("resolution") { ("energy", field) } else { ("power", field) };
    Map::parse(&format!("name = \"m\"\nfunction = 3\n[outlets.total]\n{kind} = {{ {field} }}"))
        .expect("a map")
}

#[test]
fn a_scale_may_stand_in_a_register_of_its_own() {
    let map = of("at = 20, type = \"i16\", scale_register = 21");
    check(&map, "total", &[(20, &[97, 2])], "9700 W");
    check(&map, "total", &[(20, &[97, 0xffff])], "9.700000000000001 W");
    let missing = "not ready: registers 0x0014, 0x0015 have no value";
    check(&map, "total", &[(20, &[97])], missing);
    check(&map, "total", &[(20, &[97, 0x8000])], missing);
    check(&map, "total", &[(20, &[97, 400])], missing);
    let map = of("at = 20, type = \"u32\", scale_register = 22, unit = \"Wh\", resolution = 1.0");
    check(&map, "total", &[(20, &[0, 7, 2])], "2520000 J");
}

#[test]
fn registers_are_added_and_a_sum_without_a_part_is_none() {
    let map = of("at = [30, 32], type = \"u32\", unit = \"Wh\", resolution = 1.0");
    check(&map, "total", &[(30, &[0, 40, 0, 2])], "151200 J");
    check(&map, "total", &[(30, &[0, 40])], "not ready: registers 0x001E, 0x0020 have no value");
    let map = of("at = [1, 2, 3], type = \"i16\"");
    check(&map, "total", &[(1, &[100, 0xfff6, 10])], "100 W");
}

#[test]
fn what_a_map_calls_invalid_is_no_number() {
    let map = of("at = 1, type = \"i16\", scale = -1, invalid = [32765, 32766]");
    check(&map, "total", &[(1, &[32_765])], "not ready: registers 0x0001 have no value");
    check(&map, "total", &[(1, &[0xff38])], "200 W");
}

#[test]
fn a_field_may_have_a_function_and_an_order_of_its_own() {
    let text = "name = \"m\"\nfunction = 3\n[outlets.total]\n\
        power = { at = 5, type = \"u16\" }\n\
        energy = { at = 5, type = \"u32\", function = 4, word_order = \"little\", resolution = 1.0, unit = \"J\" }";
    let map = Map::parse(text).expect("a map");
    let blocks = map.requests(map.outlets.values());
    assert_eq!(blocks, [Block { function: 3, at: 5, count: 1 }, Block { function: 4, at: 5, count: 2 }]);
    let registers = [((3, 5), 60), ((4, 5), 9), ((4, 6), 1)].into_iter().collect();
    let read = map.outlets["total"].read("m", &registers, map.defaults(), &mut Notes::default());
    assert_eq!(read.expect("a reading").to_string(), "60 W, 65545 J");
}

#[test]
fn a_meter_that_feeds_back_continues_by_its_import_counter() {
    let text = "name = \"m\"\nfunction = 3\n[outlets.total]\npower = { at = 1, type = \"i16\" }\n\
        energy = { at = 2, type = \"u16\", unit = \"Wh\", resolution = 1.0 }";
    let map = Map::parse(text).expect("a map");
    check(&map, "total", &[(1, &[0xff38, 5])], "0 W, 18000 J");
    check(
        &map,
        "total",
        &[(1, &[0xff38])],
        "implausible: -200 W; check for a reversed current transformer or wiring",
    );
}

#[test]
fn a_float_that_has_grown_coarse_reports_it() {
    let map = shipped("eastron-sdm630");
    let energy = map.outlets["total"].energy.as_ref().expect("a counter");
    let resolution = |kwh: f32| {
        let words = words_of(kwh.to_be_bytes());
        let registers = (0x48..).zip(words).map(|(at, word)| ((4, at), word)).collect();
        energy.read(&registers, map.defaults()).expect("a count").expect("a counter").resolution.kwh()
    };
    assert!((resolution(12.5) - 0.01).abs() < 1e-9);
    assert!(resolution(1_000_000.0) > 0.1, "a single float counts eighths of a kWh there");
}

#[test]
fn neighbours_are_read_together_and_gaps_are_not() {
    let requests = |map: &Map| {
        let blocks = map.requests(map.outlets.values());
        blocks.iter().map(|block| (block.at, block.count)).collect::<Vec<_>>()
    };
    assert_eq!(requests(&shipped("eastron-sdm630")), [(0, 18), (0x34, 2), (0x48, 2), (0x15a, 6)]);
    assert_eq!(requests(&shipped("schneider-iem3155")), [(0xbb7, 6), (0xbd3, 6), (0xbed, 8), (0xc83, 4)]);
}

/// What a shipped map makes of registers that hold `power` and `energy` as the meter's manual shows them, on `total`.
#[test]
fn every_family_reports_its_watts_and_kilowatt_hours() {
    let f32 = |number: f32| words_of(number.to_be_bytes());
    let f64 = |number: f64| words_of(number.to_be_bytes());
    let check = |name: &str, power: (u16, &[u16]), energy: (u16, &[u16])| {
        check(&shipped(name), "total", &[power, energy], "1500 W, 45000000 J");
    };
    check("abb-b23", (0x5B14, &[2, 0x49f0]), (0x5000, &[0, 0, 0, 1250]));
    check("carlo-gavazzi-em24", (0x28, &[15_000, 0]), (0x3E, &[125, 0]));
    check("carlo-gavazzi-em24-e1", (0x28, &[15_000, 0]), (0x34, &[125, 0]));
    check("carlo-gavazzi-em340", (0x28, &[15_000, 0]), (0x34, &[125, 0]));
    check("eastron-sdm72", (0x34, &f32(1500.0)), (0x48, &f32(12.5)));
    check("janitza-umg", (19_026, &f32(1500.0)), (19_068, &f32(12_500.0)));
    check("pzem-004t", (3, &[15_000, 0]), (5, &[12_500, 0]));
    check("schneider-pm5xxx", (0x0BF3, &f32(1.5)), (0x0C83, &[0, 0, 0, 12_500]));
    // Two tariffs.
    check("siemens-pac2200", (65, &f32(1500.0)), (801, &[f64(12_000.0), f64(500.0)].concat()));
    check("socomec-countis", (0xC568, &[0, 150]), (0xC702, &[0, 1_250]));
    let registers = [(0x482C, &[0, 1_500][..]), (0x4D83, &[0, 12])];
    self::check(&shipped("socomec-diris-b30"), "total", &registers, "1500 W, 43200000 J");
    let registers = [(0xC570, &[0, 51][..]), (0xC558, &[0, 23_000]), (0xC560, &[0, 2_250])];
    self::check(&shipped("socomec-countis"), "L1", &registers, "510 W, 230 V, 2.25 A");
    let sunspec = shipped("sunspec-meter").moved(40_069).expect("room");
    let registers = [(40_087, &[150][..]), (40_091, &[1]), (40_115, &[0, 125]), (40_123, &[2])];
    self::check(&sunspec, "total", &registers, "1500 W, 45000000 J");
    let solaredge = shipped("solaredge-meter").moved(40_069).expect("room");
    let registers = [(40_087, &[0xff6a][..]), (40_091, &[1]), (40_115, &[0, 125]), (40_123, &[2])];
    self::check(&solaredge, "total", &registers, "1500 W, 45000000 J");
    let floats = shipped("sunspec-meter-float").moved(40_069).expect("room");
    let registers = [(40_097, &f32(1500.0)[..]), (40_137, &f32(12_500.0))];
    self::check(&floats, "total", &registers, "1500 W, 45000000 J");
    assert!(shipped("sunspec-meter").moved(65_500).is_none());
}

/// Models 203 and 213: `PhV` is the mean of the phases and stands before them; an `acc32` of 0 is not implemented.
#[test]
fn a_phase_of_a_sunspec_meter_has_its_own_volts_and_a_counter_only_where_it_counts() {
    let phase = |energy| {
        [
            (7, &[2300, 2290, 2310, 2301][..]),
            (15, &[0xffff]),
            (20, &[40]),
            (22, &[1]),
            (50, energy),
            (54, &[0]),
        ]
    };
    let map = shipped("sunspec-meter");
    check(&map, "L2", &phase(&[0, 12]), "400 W, 231 V, 43200 J");
    check(&map, "L2", &phase(&[0, 0]), "400 W, 231 V");
    let volts: Vec<u16> =
        [230.0_f32, 229.0, 231.0, 230.5].map(|volts| words_of(volts.to_be_bytes())).concat();
    let registers = [(10, &volts[..]), (32, &words_of(400.0_f32.to_be_bytes()))];
    check(&shipped("sunspec-meter-float"), "L2", &registers, "400 W, 231 V");
}

#[test]
fn what_a_meter_measures_behind_transformers_is_multiplied_by_their_ratios() {
    let f32 = |number: f32| words_of(number.to_be_bytes());
    let map = shipped("chint-dtsu666");
    let (power, energy) = (f32(15_000.0), f32(12.5));
    let check = |ratios: &[u16], expected: &str| {
        check(&map, "total", &[(6, ratios), (0x2012, &power), (0x101E, &energy)], expected);
    };
    check(&[1, 10], "1500 W, 45000000 J");
    check(&[20, 10], "30000 W, 900000000 J");
    check(&[20, 100], "300000 W, 9000000000 J");
    let missing = "not ready: registers 0x2012, 0x0006, 0x0007, 0x101E, 0x0006, 0x0007 have no value";
    check(&[], missing);
    check(&[0, 10], missing);
    let registers =
        [(6, &[20, 10][..]), (0x2006, &f32(2300.0)), (0x200C, &f32(500.0)), (0x2014, &f32(1150.0))];
    self::check(&map, "L1", &registers, "2300 W, 230 V, 10 A");
    let counter = map.outlets["total"].energy.as_ref().expect("a counter");
    let registers = [(6, 20), (7, 10), (0x101E, energy[0]), (0x101F, energy[1])];
    let registers = registers.map(|(at, word)| ((3, at), word)).into_iter().collect();
    let counter = counter.read(&registers, map.defaults()).expect("a count").expect("a counter");
    assert!((counter.resolution.kwh() - 0.2).abs() < 1e-9, "a tick is 20 ticks before the transformers");
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
        (good.replace("function = 3", "function = 6"), "function must be 3 or 4"),
        (good.replace("u16", "u17"), "unknown variant `u17`"),
        (good.replace("scale", "scael"), "unknown field `scael`"),
        (good.replace("at = 1", "at = 65535").replace("u16", "u32"), "beyond the last register"),
        (good.replace("power", "voltage"), "neither power nor energy"),
        (good.replace("0.1", "0.0"), "scale must be a number other than 0"),
        (good.replace("at = 1", "at = [1, 1]"), "a register is listed twice"),
        (good.replace("at = 1", "at = []"), "a sum takes 1 to 16 registers"),
        (good.replace("at = 1", "at = -1"), "a register from 0 to 65535"),
        (good.replace("scale = 0.1", "function = 5"), "function must be 3 or 4"),
        (
            good.replace("scale = 0.1", "ratios = [{ at = 2, scale = 0.0 }]"),
            "scale must be a number other than 0",
        ),
        (good.replace("scale = 0.1", "ratios = [6]"), "invalid type"),
    ] {
        std::fs::write(directory.path().join("bad.toml"), text).expect("room");
        let error = Map::load("bad", Some(directory.path())).expect_err(expected).to_string();
        assert!(error.contains(expected) && error.contains("bad.toml"), "{error}");
    }
    for name in ["../secret", "a/b", "sdm"] {
        assert_eq!(Map::load(name, Some(directory.path())).expect_err(name).key(), Some("map"));
    }
}

#[test]
fn the_last_registers_are_read_and_nothing_beyond() {
    let read = |at, count: u16| {
        let block = Block { function: 3, at, count };
        addressed(block, vec![7; count.into()]).map(|((_, at), _)| at).collect::<Vec<_>>()
    };
    assert_eq!(read(0xfffd, 2), [0xfffd, 0xfffe]);
    assert_eq!(read(0xfffe, 4), [0xfffe, 0xffff]);
}

proptest! {
    #[test]
    fn no_registers_panic(words in prop::collection::vec(any::<u16>(), 0..130), at in any::<u16>()) {
        let block = |function, at| Block { function, at, count: 0 };
        let registers: RegisterValues = [3, 4].into_iter().flat_map(|function| {
            addressed(block(function, at), words.clone()).chain(addressed(block(function, 0), vec![0xffff; 400]))
        }).collect();
        for (_, text) in SHIPPED {
            let map = Map::parse(text).expect("a map");
            for outlet in map.outlets.values() {
                _ = outlet.read("m", &registers, map.defaults(), &mut Notes::default());
            }
        }
    }
}
