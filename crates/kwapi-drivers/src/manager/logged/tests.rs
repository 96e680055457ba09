use super::*;

const START: u64 = 1_713_899_470;

fn meter(past: Vec<SessionEntry>) -> LoggedMeter {
    let limits =
        Limits { max_gap: Duration::from_secs(60), interval: Duration::from_secs(10), max_watts: None };
    let units = LogUnits { energy: EnergyUnit::WattHour, ..LogUnits::default() };
    LoggedMeter::new(ProbeId::new("a").unwrap(), limits, past, units)
}

/// Takes a row so many seconds after the start.
fn take(meter: &mut LoggedMeter, second: u64, row: LogRow<'_>) -> Result<Option<Measurement>, NoReading> {
    meter.take(Timestamp::from_seconds(START + second), row).map(|logged| match logged {
        Logged::New(measurement) => Some(measurement),
        Logged::Waits => None,
    })
}

/// Millijoules of the session so far, and of the curve.
fn energy(measurement: &Measurement) -> (u64, u64) {
    let accounting = measurement.accounting.unwrap();
    let session = accounting.totals.energy.millijoules();
    (session, session + accounting.curve.map_or(0, |curve| curve.begin.millijoules()))
}

#[test]
fn watts_are_integrated_and_stamped_as_the_log_reports() {
    let mut log = meter(Vec::new());
    let row = |watts| LogRow { power: Some(watts), register: None };
    take(&mut log, 0, row(100.0)).unwrap();
    let last = take(&mut log, 10, row(200.0)).unwrap().unwrap();
    assert_eq!(energy(&last).0, 2_000_000);
    let accounting = last.accounting.unwrap();
    assert_eq!(accounting.timestamp, Timestamp::from_seconds(START + 10));
    assert_eq!((accounting.session, accounting.seq), (Timestamp::from_seconds(START), 1));
    // A gap is a gap, as with a device.
    let last = take(&mut log, 1_000, row(200.0)).unwrap().unwrap();
    assert_eq!(last.accounting.unwrap().totals.unknown_ms, 990_000);
}

#[test]
fn a_register_reports_the_energy_and_its_digits_how_fine_it_is() {
    let mut log = meter(Vec::new());
    let mut last = None;
    for step in 0..=60_u32 {
        let printed = format!("{}", 18_299.5 + f64::from(step) * 0.5); // 0.5 Wh in 10 s: 180 W.
        last = take(&mut log, u64::from(step) * 10, LogRow { power: None, register: Some(&printed) })
            .unwrap()
            .or(last);
    }
    let last = last.unwrap();
    assert!((last.power.0 - 180.0).abs() < 1.0, "{}", last.power);
    let (joules, tick) = (energy(&last).0 / 1_000, 360);
    assert!(joules.abs_diff(60 * 1_800) <= tick, "{joules}");
}

#[test]
fn the_next_log_continues_where_this_one_ended() {
    let row = |printed| LogRow { power: Some(360.0), register: Some(printed) };
    let mut log = meter(Vec::new());
    for (second, printed) in [(0, "100"), (10, "101"), (20, "102"), (30, "103")] {
        take(&mut log, second, row(printed)).unwrap();
    }
    let mut next = meter(log.entry().into_iter().collect());
    let first = take(&mut next, 630, row("163")).unwrap().unwrap();
    let curve = first.accounting.unwrap().curve.unwrap();
    assert_eq!((curve.run, first.accounting.unwrap().totals.energy.millijoules()), (2, 0));
    assert!(curve.begin.millijoules().abs_diff(63 * 3_600_000) <= 3_600_000, "{curve:?}");
}

#[test]
fn a_reset_is_reported_once_and_the_begin_of_a_log_is_none() {
    let row = |printed| LogRow { power: Some(360.0), register: Some(printed) };
    let mut log = meter(Vec::new());
    for (second, printed) in [(0, "100"), (10, "101")] {
        take(&mut log, second, row(printed)).unwrap();
    }
    assert!(!log.take_upset());
    take(&mut log, 20, row("0")).unwrap();
    assert!(log.take_upset() && !log.take_upset());
}

#[test]
fn what_cannot_be_is_refused_and_counts_nothing() {
    let mut log = meter(Vec::new());
    take(&mut log, 0, LogRow { power: Some(100.0), register: Some("5") }).unwrap();
    for (power, register) in
        [(Some(-1.0), None), (Some(f64::NAN), None), (None, Some("x")), (None, Some("-3"))]
    {
        assert!(take(&mut log, 10, LogRow { power, register }).is_err(), "{power:?} {register:?}");
    }
    assert!(take(&mut log, 10, LogRow::default()).is_err(), "nothing to take");
    let last = take(&mut log, 10, LogRow { power: Some(100.0), register: Some("5") }).unwrap().unwrap();
    assert_eq!(energy(&last).0, 1_000_000);
}
