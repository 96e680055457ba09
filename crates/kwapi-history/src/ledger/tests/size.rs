//! How small a year of the ledger is.

use super::*;

const PROBES: usize = 24;

/// A day and three hours of a rack whose machines rest and work, reported every half minute to a tenth of a watt.
fn rack() -> World {
    let mut world = World::default();
    let mut state: u64 = 7;
    let mut chance = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31)
    };
    let mut loads: Vec<f64> = (0..PROBES).map(|_| 80.0 + 200.0 * chance()).collect();
    let mut used = [0; PROBES];
    for second in (0..27 * HOUR + 60).step_by(30) {
        for outlet in 0..PROBES {
            if chance() < 0.01 {
                loads[outlet] = 80.0 + 200.0 * chance();
            }
            let tenths = ((loads[outlet] + 4.0 * chance()) * 10.0) as u64;
            used[outlet] += tenths * 100 * 30;
            let energy = Energy::from_millijoules(used[outlet]);
            let totals = Totals { energy, measured_ms: second * 1_000, ..Totals::default() };
            let message = Accounting { totals, seq: second / 30, ..message(0, second) };
            world.receive(&format!("lyon.rack3.pdu1.{outlet:02}"), message);
        }
    }
    world
}

#[test]
fn a_year_of_a_thousand_probes_takes_less_than_a_gigabyte() {
    let (lab, world) = (Lab::empty(), rack());
    let journal = journal(&lab);
    let ledger = open(&journal);
    for records in world.records.chunks(world.records.len().div_ceil(9)) {
        journal.append(&Arc::new(records.to_vec()), wall(0)).unwrap();
        ledger.catch_up(wall(0));
        ledger.write(wall(0)).unwrap();
    }
    let bytes_a_day = |step: RowStep| {
        let folder = lab.join(format!(
            "ledger/step={}/date={}",
            files::step_name(step),
            crate::tree::date(DAY / 86_400)
        ));
        let sizes = list(&folder).into_iter().map(|path| path.metadata().unwrap().len());
        sizes.sum::<u64>() as f64 / PROBES as f64
    };
    let apart = bytes_a_day(RowStep::Minute);
    assert!((0..10).all(|_| ledger.merge_one(wall(27 * HOUR + 60))));
    let [minute, quarter, day] = [RowStep::Minute, RowStep::Quarter, RowStep::Day].map(bytes_a_day);
    assert!(minute < apart, "{minute} of {apart} bytes a probe and day: merged");
    let year = 1_000.0 * (7.0 * minute + 365.0 * (quarter + day));
    println!(
        "a probe and day: minutes {minute:.0} bytes, quarter hours {quarter:.0}, the day {day:.0}; {:.0} MB a year",
        year / 1e6
    );
    // A file of a day has two kilobytes besides its rows, of 24 probes here.
    assert!(
        year < 1e9,
        "{:.0} MB: minutes {minute:.0} bytes a probe and day, quarter hours {quarter:.0}, the day {day:.0}",
        year / 1e6
    );
}
