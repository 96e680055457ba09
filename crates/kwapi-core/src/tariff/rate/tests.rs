use jiff::tz::TimeZone;

use super::*;

fn at(text: &str) -> u64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as u64
}

fn entry(valid: Range<u64>, weekdays: &str, hours: &str, price: &str) -> RateEntry {
    let list = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    let value = RateValue::Constant(price.parse().unwrap());
    RateEntry { valid, hours: WeekHours::new(&list(weekdays), &list(hours)).unwrap(), value }
}

const EVER: Range<u64> = 0..u64::MAX;

#[track_caller]
fn check(rate: &Rate, zone: &str, when: &str, expected: &str) {
    let zone = TimeZone::get(zone).unwrap();
    let begin = at(when);
    let found = rate.at(begin, QuarterOfWeek::of(begin, &zone).unwrap());
    let shown = found.map_or_else(|| "none".to_owned(), |(place, price)| format!("{place}: {price}"));
    assert_eq!(shown, expected, "{when}");
}

#[test]
fn a_price_that_changes_on_a_wednesday_at_noon_changes_with_that_quarter_hour() {
    let noon = at("2026-10-14T12:00:00+02:00");
    let rate = Rate::new(
        "energy",
        RateUnit::Kwh,
        vec![entry(0..noon, "", "", "0.20"), entry(noon..u64::MAX, "", "", "0.25")],
    )
    .unwrap();
    check(&rate, "Europe/Paris", "2026-10-14T11:45:00+02:00", "0: 0.2");
    check(&rate, "Europe/Paris", "2026-10-14T12:00:00+02:00", "1: 0.25");
}

#[test]
fn hours_are_those_of_the_zone_also_when_its_clock_shows_them_twice_or_never() {
    let rate = Rate::new(
        "energy",
        RateUnit::Kwh,
        vec![entry(EVER, "", "02:00-03:00", "1"), entry(EVER, "", "03:00-02:00", "2")],
    )
    .unwrap();
    for (when, expected) in [
        ("2026-10-25T01:45:00+02:00", "1: 2"),
        ("2026-10-25T02:45:00+02:00", "0: 1"),
        ("2026-10-25T02:00:00+01:00", "0: 1"),
        ("2026-10-25T03:00:00+01:00", "1: 2"),
        ("2026-03-29T01:45:00+01:00", "1: 2"),
        ("2026-03-29T03:00:00+02:00", "1: 2"),
    ] {
        check(&rate, "Europe/Paris", when, expected);
    }
    check(&rate, "Asia/Kathmandu", "2026-10-25T20:15:00Z", "0: 1");
    check(&rate, "Asia/Kathmandu", "2026-10-25T21:15:00Z", "1: 2");
    check(&rate, "Asia/Kolkata", "2026-10-25T20:30:00Z", "0: 1");
}

#[test]
fn a_series_reports_nothing_where_it_has_no_row() {
    let values = [("2026-10-01T00:00:00Z", "0.10"), ("2026-10-01T00:15:00Z", "-0.02")];
    let values = values.map(|(when, price)| (at(when), price.parse().unwrap()));
    let series = RateSeries::new(QUARTER_MS, values.into());
    let value = RateValue::Series(series);
    let entry = RateEntry { valid: EVER, hours: WeekHours::default(), value };
    let rate = Rate::new("spot", RateUnit::Kwh, vec![entry]).unwrap();
    check(&rate, "UTC", "2026-09-30T23:45:00Z", "none");
    check(&rate, "UTC", "2026-10-01T00:00:00Z", "0: 0.1");
    check(&rate, "UTC", "2026-10-01T00:15:00Z", "0: -0.02");
    check(&rate, "UTC", "2026-10-01T00:30:00Z", "none");
}

#[test]
fn what_applies_within_a_span_is_the_same_there_and_nothing_elsewhere() {
    let values = (0..8_u64).map(|hour| (at("2026-10-01T00:00:00Z") + hour * 4 * QUARTER_MS, Decimal::ONE));
    let value = RateValue::Series(RateSeries::new(4 * QUARTER_MS, values.collect()));
    let series = RateEntry { valid: EVER, hours: WeekHours::default(), value };
    let span = at("2026-10-01T02:30:00Z")..at("2026-10-01T04:15:00Z");
    let rate = Rate::new("spot", RateUnit::Kwh, vec![series]).unwrap().within(&span);
    check(&rate, "UTC", "2026-10-01T02:15:00Z", "none");
    check(&rate, "UTC", "2026-10-01T02:30:00Z", "0: 1");
    check(&rate, "UTC", "2026-10-01T04:00:00Z", "0: 1");
    check(&rate, "UTC", "2026-10-01T04:15:00Z", "none");
    let [RateEntry { value: RateValue::Series(series), .. }] = rate.entries() else { panic!("{rate:?}") };
    assert_eq!(series.values.len(), 3);
    let before = Rate::new("flat", RateUnit::Kwh, vec![entry(0..span.start, "", "", "1")]).unwrap();
    assert_eq!(before.within(&span).entries(), []);
}

#[track_caller]
fn refused(unit: RateUnit, entries: Vec<RateEntry>, expected: &RateError) {
    assert_eq!(Rate::new("x", unit, entries).unwrap_err(), *expected);
}

#[test]
fn entries_that_make_no_rate_are_refused_by_their_place() {
    let day = |hours: &str| entry(EVER, "", hours, "1");
    refused(RateUnit::Kwh, vec![day("06:00-22:00"), day("21:45-06:00")], &RateError::Overlap(0, 1));
    let weekdays = vec![entry(EVER, "mon-fri", "", "1"), entry(EVER, "sat-sun", "", "2")];
    assert!(Rate::new("x", RateUnit::Kwh, weekdays).is_ok());
    let noon = at("2026-10-14T12:00:00Z");
    refused(RateUnit::Kwh, vec![entry(0..noon + 60_000, "", "", "1")], &RateError::WithinQuarter(0));
    refused(RateUnit::Kwh, vec![day(""), entry(noon..noon, "", "", "1")], &RateError::Reversed(1));
    refused(RateUnit::Month, vec![day("06:00-22:00")], &RateError::NotConstant(0));
    refused(RateUnit::Pue, vec![entry(EVER, "", "", "0.99")], &RateError::TooSmall(RateUnit::Pue, 0));
    refused(RateUnit::Co2, vec![entry(EVER, "", "", "-1")], &RateError::TooSmall(RateUnit::Co2, 0));
    let series = |step, begin| RateEntry {
        value: RateValue::Series(RateSeries::new(step, [(begin, Decimal::ONE)].into())),
        ..day("")
    };
    refused(RateUnit::PeakKw, vec![series(QUARTER_MS, noon)], &RateError::NotConstant(0));
    refused(RateUnit::Kwh, vec![series(QUARTER_MS, noon + 1)], &RateError::WithinQuarter(0));
    refused(RateUnit::Kwh, vec![series(600_000, noon)], &RateError::WithinQuarter(0));
}

#[test]
fn a_quarter_hour_that_is_none_in_its_zone_is_reported() {
    // Local mean time: no offset of whole quarter hours.
    let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(561).unwrap());
    assert_eq!(QuarterOfWeek::of(at("2026-10-14T12:00:00Z"), &zone), None);
}
