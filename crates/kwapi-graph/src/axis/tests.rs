use super::*;

/// 2026-11-23 10:00:00 UTC.
const NOW: u64 = 1_795_428_000;

/// A power axis as text.
#[track_caller]
fn check_axis(peak: f64, fixed: Option<f64>, expected: &str) {
    let axis = power_axis(peak, fixed, 4);
    let text: Vec<_> = axis.ticks.into_iter().map(|(_, text)| text).collect();
    assert_eq!(text.join(", "), expected, "for {peak} {fixed:?}");
}

#[test]
fn a_power_axis_has_round_lines_and_names_its_unit_once() {
    check_axis(97.0, None, "0, 50, 100, 150 W");
    check_axis(0.0, None, "0, 0.25, 0.50, 0.75, 1.00 W");
    check_axis(0.003, None, "0, 0.001, 0.002, 0.003, 0.004 W");
    check_axis(1_450.0, None, "0, 0.5, 1.0, 1.5, 2.0 kW");
    check_axis(960.0, None, "0, 250, 500, 750, 1000 W");
}

#[test]
fn a_fixed_axis_ends_where_configured() {
    let axis = power_axis(20.0, Some(250.0), 4);
    assert_eq!(axis.max, 250.0);
    assert_eq!(axis.ticks.last().unwrap().1, "200 W");
}

/// The labels of a time axis.
#[track_caller]
fn check_times(start: u64, seconds: u64, zone: &str, lines_max: u64, expected: &str) {
    let zone = TimeZone::get(zone).unwrap();
    let ticks = time_axis(start, start + seconds, &zone, lines_max);
    let text: Vec<_> = ticks.into_iter().map(|(_, text)| text).collect();
    assert_eq!(text.join(" "), expected);
}

#[test]
fn time_lines_stand_on_round_times_of_the_zone() {
    check_times(NOW - 3_600, 3_600, "UTC", 6, "09:00 09:10 09:20 09:30 09:40 09:50 10:00");
    check_times(NOW - 7_200, 7_200, "Asia/Kolkata", 4, "13:30 14:00 14:30 15:00 15:30");
    check_times(
        NOW - 604_800,
        604_800,
        "Europe/Paris",
        7,
        "Tue 17 Wed 18 Thu 19 Fri 20 Sat 21 Sun 22 Mon 23",
    );
    check_times(NOW - 604_800, 604_800, "UTC", 5, "Tue 17 Thu 19 Sat 21 Mon 23");
    check_times(NOW - 518_400, 604_800, "UTC", 5, "Thu 19 Sat 21 Mon 23");
    check_times(NOW - 31_622_400, 31_622_400, "UTC", 6, "2026 Mar May Jul Sep Nov");
}

#[test]
fn a_day_of_25_hours_keeps_its_lines_on_round_times() {
    // Paris set its clocks back at 2026-10-25 01:00 UTC.
    let midnight = 1_792_879_200;
    check_times(midnight, 90_000, "Europe/Paris", 4, "00:00 06:00 12:00 18:00 00:00");
    check_times(midnight, 90_000, "Europe/Paris", 9, "00:00 03:00 06:00 09:00 12:00 15:00 18:00 21:00 00:00");
}
