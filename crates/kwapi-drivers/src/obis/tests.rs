//! Telegrams of our own making, in the shape that meters give them.

mod damage;
mod encrypted;
mod sml;

use kwapi_core::ProbeId;
use proptest::prelude::*;

use super::reader::{Damage, Telegram};
use super::text::crc;
use super::*;
use crate::driver::Readings;
use crate::outlets::Outlets;
use crate::testing::{by_key, lines};

/// A telegram of these lines with the checksum of DSMR 4 and 5, which is right by `the_checksums_are_those_of_the_books`.
fn checked(lines: &[&str]) -> Vec<u8> {
    let text = format!("{}\r\n!", lines.join("\r\n"));
    format!("{text}{:04X}\r\n", crc(text.as_bytes())).into_bytes()
}

fn plain(lines: &[&str]) -> Vec<u8> {
    format!("{}\r\n!\r\n", lines.join("\r\n")).into_bytes()
}

const DUTCH: [&str; 21] = [
    "/QQQ5\\2P1-TEST",
    "",
    "1-3:0.2.8(50)",
    "0-0:1.0.0(261126223000W)",
    "0-0:96.1.1(4B57415049303031)",
    "1-0:1.8.1(001500.250*kWh)",
    "1-0:1.8.2(002500.500*kWh)",
    "1-0:2.8.1(000100.000*kWh)",
    "1-0:2.8.2(000000.125*kWh)",
    "0-0:96.14.0(0002)",
    "1-0:1.7.0(00.734*kW)",
    "1-0:2.7.0(00.000*kW)",
    "1-0:99.97.0(1)(0-0:96.7.19)(250101000000W)(0000000301*s)",
    "1-0:32.7.0(231.4*V)",
    "1-0:52.7.0(230.9*V)",
    "1-0:31.7.0(002*A)",
    "1-0:51.7.0(001*A)",
    "1-0:21.7.0(00.510*kW)",
    "1-0:41.7.0(00.224*kW)",
    "0-1:24.1.0(003)",
    "0-1:24.2.1(261126220000W)(00123.456*m3)",
];

fn outlets(keys: &[&str]) -> Outlets {
    by_key(keys.iter().map(|key| (*key, *key)))
}

/// All telegrams in `bytes`, as they come in pieces of `piece` bytes.
fn telegrams(expects: Expects, bytes: &[u8], piece: usize) -> Vec<Result<Telegram, Damage>> {
    telegrams_of(LineBuffer::new(expects, None), bytes, piece)
}

fn telegrams_of(mut reader: LineBuffer, bytes: &[u8], piece: usize) -> Vec<Result<Telegram, Damage>> {
    let mut found = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.feed(piece);
        while let Some(telegram) = reader.next() {
            found.push(telegram);
        }
    }
    found
}

/// What a meter with these outlets reads from the telegrams in `bytes`; what is damaged is reported by its reason.
fn read_text(expects: Expects, bytes: &[u8], keys: &[&str]) -> String {
    read_through(LineBuffer::new(expects, None), bytes, keys)
}

fn read_through(reader: LineBuffer, bytes: &[u8], keys: &[&str]) -> String {
    let mut meter = TelegramMeter::new(&outlets(keys)).unwrap();
    let mut outcome = Vec::new();
    for telegram in telegrams_of(reader, bytes, 7) {
        let mut readings = Readings::default();
        match telegram {
            Ok(telegram) => meter.take(telegram.registers, &mut readings),
            Err(Damage::Telegram(why, _)) => outcome.push(why.to_owned()),
            Err(other) => outcome.push(into_error(other).to_string()),
        }
        outcome.extend(lines(&mut readings));
    }
    outcome.join("; ")
}

#[track_caller]
fn check(bytes: &[u8], keys: &[&str], expected: &str) {
    assert_eq!(read_text(Expects::P1, bytes, keys), expected);
}

#[test]
fn both_tariffs_are_one_counter_and_export_is_an_outlet_of_its_own() {
    check(&checked(&DUTCH), &["total"], "total: 734 W, 14402700000 J");
    check(&checked(&DUTCH), &["1", "export"], "1: 734 W, 14402700000 J; export: 0 W, 360450000 J");
    check(
        &checked(&DUTCH),
        &["L1", "L2", "L3"],
        "L1: 510 W, 231.4 V, 2 A; L2: 224 W, 230.9 V, 1 A; L3: not available: no power or energy of L3 in the telegram",
    );
}

#[test]
fn the_meters_own_serial_number_names_its_register() {
    let mut meter = TelegramMeter::new(&outlets(&["total"])).unwrap();
    let mut readings = Readings::default();
    let telegram = telegrams(Expects::P1, &checked(&DUTCH), 1_000).remove(0).unwrap();
    assert!(telegram.is_dsmr && !telegram.is_sml);
    meter.take(telegram.registers, &mut readings);
    let reading = readings.drain().next().unwrap().1.unwrap();
    let register = reading.register.unwrap();
    assert_eq!(
        (register.serial.as_deref(), register.path.as_deref()),
        (Some("KWAPI001"), Some("1.8.1+1.8.2"))
    );
    assert!(!register.is_in_host && !register.is_of_session);
    assert_eq!(reading.counter.unwrap().resolution.joules(), 3_600.0);
    let findings = meter.findings();
    assert_eq!((findings[0].what.as_str(), findings[0].value.as_str()), ("meter QQQ5\\2P1-TEST", "KWAPI001"));
    assert_eq!(findings[1].why, "energy from the sum of 1.8.1 and 1.8.2");
}

#[test]
fn a_meter_that_feeds_back_draws_nothing_and_its_import_continues() {
    let lines = [
        "/KFM5KAIFA-TEST",
        "",
        "1-3:0.2.8(42)",
        "1-0:1.8.1(000010.000*kWh)",
        "1-0:1.8.2(000020.000*kWh)",
        "1-0:2.8.1(000001.000*kWh)",
        "1-0:2.8.2(000002.000*kWh)",
        "1-0:1.7.0(00.000*kW)",
        "1-0:2.7.0(01.250*kW)",
        "1-0:21.7.0(00.000*kW)",
        "1-0:22.7.0(01.250*kW)",
    ];
    let expected = "total: 0 W, 108000000 J; export: 1250 W, 10800000 J; L1: 0 W";
    check(&checked(&lines), &["total", "export", "L1"], expected);
}

#[test]
fn belgian_swedish_and_luxembourgish_telegrams_are_read() {
    let belgian = [
        "/FLU5\\253769484_A",
        "",
        "0-0:96.1.4(50217)",
        "0-0:96.1.1(3153414733313031)",
        "1-0:1.8.1(000000.034*kWh)",
        "1-0:1.8.2(000015.758*kWh)",
        "1-0:1.4.0(02.351*kW)",
        "1-0:1.6.0(200509134558S)(02.589*kW)",
        "1-0:1.7.0(00.100*kW)",
    ];
    check(&checked(&belgian), &["total"], "total: 100 W, 56851200 J");
    let swedish = [
        "/LGF5E360",
        "",
        "0-0:1.0.0(261126223000W)",
        "1-0:1.8.0(00012345.678*kWh)",
        "1-0:2.8.0(00000000.000*kWh)",
        "1-0:3.8.0(00000021.988*kvarh)",
        "1-0:1.7.0(0001.727*kW)",
        "1-0:21.8.0(00004000.000*kWh)",
        "1-0:21.7.0(0001.023*kW)",
    ];
    check(&checked(&swedish), &["total", "L1"], "total: 1727 W, 44444440800 J; L1: 1023 W, 14400000000 J");
    let luxembourgish = [
        "/Lux5\\253663629_D",
        "",
        "1-3:0.2.8(42)",
        "0-0:42.0.0(53414731303330373030303030303030)",
        "1-0:1.8.0(000123.456*kWh)",
        "1-0:1.7.0(00.329*kW)",
    ];
    check(&checked(&luxembourgish), &["total"], "total: 329 W, 444441600 J");
}

#[test]
fn a_telegram_of_dsmr_2_and_3_has_parity_alone() {
    let lines = [
        "/ISk5\\2MT382-TEST",
        "",
        "0-0:96.1.1(4B57)",
        "1-0:1.8.1(00608.400*kWh)",
        "1-0:1.8.2(00490.342*kWh)",
        "1-0:1.7.0(0001.51*kW)",
    ];
    let plain = plain(&lines);
    check(&plain, &["total"], "total: 1510 W, 3955471200 J");
    let even = |byte: &u8| if byte.count_ones().is_multiple_of(2) { *byte } else { byte | 0x80 };
    let mut parity: Vec<u8> = plain.iter().map(even).collect();
    check(&parity, &["total"], "total: 1510 W, 3955471200 J");
    let digit = parity.len() - 9;
    parity[digit] ^= 1;
    check(&parity, &["total"], "wrong parity");
}

#[test]
fn volts_and_amperes_are_handed_over_where_a_phase_has_no_watts() {
    let lines =
        ["/XMX5TEST", "", "1-3:0.2.8(50)", "1-0:32.7.0(230.0*V)", "1-0:31.7.0(001.5*A)", "1-0:1.7.0(0.3*kW)"];
    check(&checked(&lines), &["L1"], "L1: 230 V, 1.5 A");
}

#[test]
fn the_text_of_an_optical_head_is_read_and_what_it_stored_is_not() {
    let iskra = [
        "/ISk5MT174-0001",
        "\u{2}0.0.0(00263477)",
        "1.8.0(0012345.6*kWh)",
        "1.8.0*01(0011111.1*kWh)",
        "2.8.0(0000007.0*kWh)",
        "16.7.0(-00.120*kW)",
        "32.7.0(231*V)",
        "0.9.1(223000)",
    ];
    let text = format!("{}\r\n!\r\n\u{3}", iskra.join("\r\n"));
    let block = text.bytes().skip_while(|byte| *byte != 2).skip(1).fold(0, |check, byte| check ^ byte);
    let mut bytes = text.into_bytes();
    bytes.push(block);
    let expected = "total: 0 W, 44444160000 J; export: 120 W, 25200000 J";
    assert_eq!(read_text(Expects::Any, &bytes, &["total", "export"]), expected);
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(read_text(Expects::Any, &bytes, &["total"]), "wrong block check");
}

#[test]
fn a_sum_without_one_of_its_tariffs_is_no_reset() {
    let whole = plain(&["/X5", "1-0:1.8.1(1*kWh)", "1-0:1.8.2(2*kWh)", "1-0:1.7.0(1*kW)"]);
    let cut = plain(&["/X5", "1-0:1.8.1(1*kWh)", "1-0:1.7.0(1*kW)"]);
    let bytes = [cut.clone(), whole.clone(), cut].concat();
    let expected = "total: 1000 W, 3600000 J; total: 1000 W, 10800000 J; total: 1000 W";
    check(&bytes, &["total"], expected);
}

#[test]
fn an_outlet_that_no_meter_has_is_refused() {
    let error = TelegramMeter::new(&outlets(&["L4"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "refused: `probes`: unknown outlet \"L4\"; available: total, L1, L2, L3, export"
    );
    let mut all = TelegramMeter::new(&Outlets::all("house.{outlet}")).unwrap();
    let mut readings = Readings::default();
    all.take(telegrams(Expects::P1, &checked(&DUTCH), 99).remove(0).unwrap().registers, &mut readings);
    let probes: Vec<_> = readings.probes().map(ProbeId::to_string).collect();
    assert_eq!(probes, ["house.total"], "phases are parts of it");
}
