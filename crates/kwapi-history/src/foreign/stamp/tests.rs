use super::*;

fn stamps(format: &str, zone: &str) -> Stamps {
    Stamps { format: format.parse().unwrap(), zone: TimeZone::get(zone).ok() }
}

/// Unix seconds, with both where there are two.
fn read(stamps: &Stamps, cell: &Cell) -> Result<Vec<f64>, String> {
    let instants = stamps.read(cell).map_err(|error| error.to_string())?;
    Ok([Some(instants.first), instants.second].into_iter().flatten().map(Timestamp::seconds_f64).collect())
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

#[test]
fn a_stamp_with_its_zone_is_read_as_programs_write_it() {
    let stamps = stamps("auto", "none");
    for written in [
        "2024-04-23T21:11:10.500000000+0200",
        "2024-04-23T21:11:10.5+02:00",
        "2024-04-23 19:11:10.5Z",
        "1713899470.5",
        "1713899470500",
        "1713899470500000",
        "1713899470500000000",
    ] {
        assert_eq!(read(&stamps, &text(written)), Ok(vec![1_713_899_470.5]), "{written}");
    }
    assert_eq!(read(&stamps, &Cell::Integer(1_713_899_470)), Ok(vec![1_713_899_470.0]));
    assert_eq!(read(&stamps, &Cell::Number(1_713_899_470.25)), Ok(vec![1_713_899_470.25]));
    assert_eq!(read(&stamps, &Cell::Instant(1_713_899_470_250_000)), Ok(vec![1_713_899_470.25]));
}

#[test]
fn local_time_needs_a_zone_and_the_hour_that_happens_twice_is_two() {
    let local = text("2026-10-25 02:30:00");
    assert_eq!(
        read(&stamps("auto", "none"), &local),
        Err("\"2026-10-25 02:30:00\" has no zone; use --zone".to_owned())
    );
    let berlin = stamps("auto", "Europe/Berlin");
    let first = 1_792_888_200.0;
    assert_eq!(read(&berlin, &local), Ok(vec![first, first + 3_600.0]));
    assert_eq!(read(&berlin, &text("2026-10-25 03:30:00")), Ok(vec![first + 7_200.0]));
    assert_eq!(
        read(&berlin, &text("2026-03-29 02:30:00")),
        Err("2026-03-29T02:30:00 does not exist in this zone".to_owned())
    );
    let civil = Cell::Civil(1_792_897_200_000_000); // 2026-10-25 03:00 in no zone.
    assert_eq!(read(&berlin, &civil), Ok(vec![first + 5_400.0]));
}

#[test]
fn a_pattern_reads_what_others_write() {
    let stamps = stamps("%d.%m.%Y %H:%M:%S", "Europe/Berlin");
    assert_eq!(read(&stamps, &text("23.04.2024 21:11:10")), Ok(vec![1_713_899_470.0]));
    assert_eq!(
        read(&stamps, &text("2024-04-23 21:11:10")),
        Err("\"2024-04-23 21:11:10\" is no time in this format".to_owned())
    );
    assert!("%d".parse::<TimeFormat>().is_ok() && "seconds".parse::<TimeFormat>().is_err());
}

#[test]
fn a_clock_that_was_never_set_and_another_unit_are_refused() {
    let seconds = stamps("unix", "UTC");
    for wrong in [text("12"), text("1713899470500"), Cell::Number(f64::NAN), Cell::Integer(-5), Cell::Empty] {
        assert!(read(&seconds, &wrong).is_err(), "{wrong:?}");
    }
    let any = stamps("auto", "UTC");
    for wrong in [text("yesterday"), text("1970-01-01T00:00:12Z"), text("12"), text("1e300"), text("nan")] {
        assert!(read(&any, &wrong).is_err(), "{wrong:?}");
    }
}
