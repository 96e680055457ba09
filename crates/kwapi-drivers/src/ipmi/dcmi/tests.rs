//! The first answer is `ipmi_sim`'s with its DCMI module; the others are what users report of their cards.

use proptest::prelude::*;

use super::*;

/// Data of an answer: watts now, minimum, maximum, average; stamp; period; state.
fn data(watts: [u16; 4], stamp: u32, period_ms: u32, state: u8) -> Vec<u8> {
    let mut data = vec![0xDC];
    data.extend(watts.into_iter().flat_map(u16::to_le_bytes));
    data.extend(stamp.to_le_bytes());
    data.extend(period_ms.to_le_bytes());
    data.push(state);
    data
}

/// What a card's answer comes to.
pub(in super::super) fn shown(power: Option<PowerReading>) -> String {
    match power.map(|power| power.reading()) {
        Some(Ok(reading)) => reading.to_string(),
        Some(Err(reason)) => reason.to_string(),
        None => "malformed".to_owned(),
    }
}

#[track_caller]
fn check(data: &[u8], expected: &str) {
    assert_eq!(shown(parse(data)), expected, "{data:02x?}");
}

#[test]
fn watts_are_little_endian() {
    let captured = [
        0xdc, 0xec, 0x00, 0xec, 0x00, 0xec, 0x00, 0xec, 0x00, 0x6a, 0x1d, 0x03, 0x67, 0x40, 0x1f, 0x00, 0x00,
        0x40,
    ];
    check(&captured, "236 W");
    check(&data([0x1234, 0, 0x1300, 0x1200], 1_700_000_000, 1000, 0x40), "4660 W");
}

#[test]
fn right_watts_of_a_card_that_reports_inactive_are_an_estimate() {
    check(&data([360, 0, 0, 0], 0, 0, 0x00), "360 W (estimated)");
}

#[test]
fn a_zero_that_is_not_measured_is_no_zero() {
    check(
        &data([0, 0, 0, 0], 0, 0, 0x00),
        "not available: the BMC reports 0 W and that power measurement is not active",
    );
    check(
        &data([0, 0, 0, 0], 0, 0, 0x40),
        "not available: the BMC reports 0 W over a period of 0 s; power is not measured",
    );
}

#[test]
fn a_measured_zero_is_zero() {
    check(&data([0, 0, 200, 100], 1_700_000_000, 60_000, 0x40), "0 W");
}

#[test]
fn a_clock_near_1970_and_no_period_do_no_harm() {
    check(&data([150, 100, 200, 140], 42, 0, 0x40), "150 W");
    assert_eq!(parse(&data([150, 0, 0, 0], 42, 0, 0x40)).unwrap().reading().unwrap().measured_at, None);
}

#[test]
fn ten_times_the_maximum_is_implausible_but_no_maximum_is_none() {
    check(
        &data([2001, 90, 200, 110], 1, 1, 0x40),
        "implausible: 2001 W is over 10 times the BMC's own maximum of 200 W",
    );
    check(&data([2000, 90, 200, 110], 1, 1, 0x40), "2000 W");
    check(&data([2001, 0, 0, 0], 1, 1, 0x40), "2001 W");
}

#[test]
fn a_cut_answer_or_another_group_s_is_malformed() {
    let whole = data([236, 1, 300, 236], 1, 1, 0x40);
    for length in 0..whole.len() {
        check(&whole[..length], "malformed");
    }
    check(&[&[0x00], &whole[1..]].concat(), "malformed");
    check(&[&whole[..], &[0, 0]].concat(), "236 W");
}

/// Observes readings given as (second, stamp, watts) and returns at which seconds the card was found stale.
fn stale_at(readings: impl IntoIterator<Item = (u64, u32, u16)>) -> Vec<u64> {
    let start = Instant::now();
    let mut freshness = Freshness::default();
    let mut found = Vec::new();
    for (second, stamp, watts) in readings {
        let power = parse(&data([watts, 1, 300, 236], stamp, 0, 0x40)).unwrap();
        if freshness.observe(power, start + Duration::from_secs(second)).is_some() {
            found.push(second);
        }
    }
    found
}

#[test]
fn a_card_whose_stamp_stops_is_stale_after_a_minute() {
    let moving = (0..10).map(|second| (second, 1_000 + u32::try_from(second).unwrap(), 236));
    let stopped = (10..80).map(|second| (second, 1_009, 236));
    assert_eq!(stale_at(moving.chain(stopped)).first(), Some(&70));
}

#[test]
fn an_even_load_or_a_clock_that_stands_is_not_stale() {
    assert!(
        stale_at((0..1_000).map(|second| (second, 1_000 + u32::try_from(second).unwrap(), 236))).is_empty()
    );
    assert!(stale_at((0..1_000).map(|second| (second, 0, 236))).is_empty());
    // The stamp moves once in a quarter of an hour.
    assert!(
        stale_at((0..9_000).map(|second| (second, u32::try_from(second / 900).unwrap(), 236))).is_empty()
    );
}

#[test]
fn a_card_that_recovers_is_fresh_again() {
    let moving = |from: u64| (from..from + 5).map(|second| (second, u32::try_from(second).unwrap(), 236));
    let readings = moving(0).chain([(100, 4, 236)]).chain(moving(101));
    assert_eq!(stale_at(readings), [100]);
}

proptest! {
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..40)) {
        super::super::fuzzing::answer(&noise);
    }

    #[test]
    fn no_answer_yields_more_watts_than_it_reports(noise in any::<[u8; 18]>()) {
        if let Some(Ok(reading)) = parse(&noise).map(|power| power.reading()) {
            prop_assert_eq!(reading.power, Some(Watts(f64::from(u16::from_le_bytes([noise[1], noise[2]])))));
        }
    }
}
