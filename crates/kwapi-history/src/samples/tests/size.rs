//! How small samples become.

use super::*;

/// A number from 0 to 1 that looks like chance and is always the same.
fn chance(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as f64 / f64::from(1_u32 << 31)
}

/// An hour of a PDU at 1 Hz, as its driver stamps it: all outlets are reported in one response, some milliseconds after
/// the tick. Each machine rests and works for a while, and its power is reported to a tenth of a watt.
fn pdu(outlets: usize, seconds: u64, step: f64) -> World {
    let mut world = World::default();
    let mut state = 7;
    let mut loads: Vec<f64> = (0..outlets).map(|_| 80.0 + 200.0 * chance(&mut state)).collect();
    let mut used = vec![0.0; outlets];
    let mut accounts = vec![Account::default(); outlets];
    let mut before = 0;
    for second in 0..seconds {
        let jitter = 3_000.0 + 1_500.0 * chance(&mut state) * chance(&mut state);
        let micros = second * 1_000_000 + jitter as u64;
        for outlet in 0..outlets {
            if chance(&mut state) < 0.003 {
                loads[outlet] = 80.0 + 200.0 * chance(&mut state);
            }
            let noise = 4.0 * (chance(&mut state) + chance(&mut state) + chance(&mut state) - 1.5);
            let power = ((loads[outlet] + noise) / step).round() * step;
            used[outlet] += power * (micros - before) as f64 / 1e3;
            let accounting = Accounting {
                timestamp: wall(0).after(Duration::from_micros(micros)),
                session: wall(0),
                seq: second,
                totals: Totals {
                    energy: Energy::from_millijoules(used[outlet] as u64),
                    measured_ms: micros / 1_000,
                    ..Totals::default()
                },
                curve: None,
                meter: None,
                quality: Quality::Measured,
            };
            let Ok(credit) = accounts[outlet].credit(&accounting, Duration::ZERO, Duration::from_secs(60))
            else {
                continue;
            };
            world.records.push(Credited {
                probe: ProbeId::new(format!("lyon.rack3.pdu1.{outlet:02}")).unwrap(),
                at: accounting.timestamp,
                power: Watts(power),
                voltage: None,
                current: None,
                accounting: Some(accounting),
                taken: Some(Taken { decision: credit.decision, register: credit.totals }),
            });
        }
        before = micros;
    }
    world
}

/// Bytes of a sample, in files written every five minutes and once these are merged.
fn bytes_a_sample(world: &World, writes: usize) -> (f64, f64) {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let samples = open(&journal);
    for records in world.records.chunks(world.records.len().div_ceil(writes)) {
        records.chunks(5_000).for_each(|records| append(&journal, records));
        samples.catch_up(wall(0));
        samples.write(wall(0)).unwrap();
    }
    let of = |samples: &Samples| samples.counters().bytes as f64 / world.records.len() as f64;
    let apart = of(&samples);
    // All are settled once there is a place after the last one, which a sample of another hour makes.
    let later = World::of_some_hours();
    append(&journal, &later.records[later.records.len() - 1..]);
    samples.catch_up(wall(0));
    samples.write(wall(0)).unwrap();
    let files = samples.counters().files;
    assert!((0..files).all(|_| samples.merge_one(wall(5 * HOUR))));
    assert_eq!(rows_in_files(&lab).len(), world.records.len() + 1);
    (apart, of(&samples))
}

#[test]
fn a_file_of_several_row_groups_is_whole() {
    let lab = Lab::empty();
    let (journal, world) = (journal(&lab), pdu(24, HOUR - 1, 1.0));
    let samples = open(&journal);
    for records in world.records.chunks(5_000) {
        append(&journal, records);
        samples.catch_up(wall(0));
    }
    samples.write(wall(0)).unwrap();
    let longest = parts(&lab).iter().map(|path| rows_of(path).len()).max();
    assert!(longest > Some(1 << 16), "{longest:?} rows at most are in one group");
    assert_same(&rows_in_files(&lab), &world.truth(), "in files");
}

#[test]
fn a_sample_of_a_pdu_takes_less_than_three_bytes() {
    for step in [1.0, 0.1] {
        let (apart, merged) = bytes_a_sample(&pdu(24, HOUR - 1, step), 12);
        println!("to {step} W: {apart:.2} bytes a sample, merged {merged:.2}");
        assert!(merged < apart && apart < 3.0, "{step}: {apart} bytes a sample, merged {merged}");
    }
}

/// The PDUs of a published measurement (racks of a supercomputer, a register each), as a driver would report them.
fn published(folder: &Path) -> World {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use crate::columns::{doubles, integers, texts};

    let file = std::fs::File::open(folder.join("pdus.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let mut world = World::default();
    let mut before: BTreeMap<ProbeId, (Timestamp, u64, u64)> = BTreeMap::new();
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index).unwrap();
        let rows = group.metadata().num_rows() as usize;
        let times = texts(group.as_ref(), 0, rows).unwrap();
        let [racks, numbers] = [1, 2].map(|column| integers(group.as_ref(), column, rows).unwrap());
        let registers = doubles(group.as_ref(), 3, rows).unwrap();
        for row in 0..rows {
            let time: jiff::Timestamp = times[row].as_ref().unwrap().as_utf8().unwrap().parse().unwrap();
            let at = Timestamp::from_micros(time.as_microsecond() as u64);
            let probe = ProbeId::new(format!("rwth.{}.{}", racks[row], numbers[row])).unwrap();
            // Watt-hours.
            let register = (registers[row].unwrap() * 3_600_000.0).round() as u64;
            let known = before.insert(probe.clone(), (at, register, 0));
            let Some((then, register_then, total_then)) = known else { continue };
            let total = total_then + register.saturating_sub(register_then);
            before.insert(probe.clone(), (at, register, total));
            let seconds = at.since(then).as_secs_f64();
            let watts = (total - total_then) as f64 / 1e3 / seconds;
            let totals = Totals { energy: Energy::from_millijoules(total), ..Totals::default() };
            let accounting = Accounting {
                timestamp: at,
                session: then,
                seq: 0,
                totals,
                curve: None,
                meter: Some(MeterTotal { energy: Energy::from_millijoules(register), since: None }),
                quality: Quality::Measured,
            };
            let decision = kwapi_core::Decision::Continue;
            world.records.push(Credited {
                probe,
                at,
                power: Watts((watts * 1e3).round() / 1e3),
                voltage: None,
                current: None,
                accounting: Some(accounting),
                taken: Some(Taken { decision, register: totals }),
            });
        }
    }
    world
}

#[test]
fn a_published_trace_with_registers_takes_less_than_three_bytes_a_sample() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/eehpc");
    let folder = std::env::var_os("KWAPI_EEHPC").map_or(beside, PathBuf::from);
    if !folder.join("pdus.parquet").is_file() {
        return; // They carry no licence, and lie beside the project at most.
    }
    let world = published(&folder);
    let (apart, merged) = bytes_a_sample(&world, 12);
    println!("{} samples: {apart:.2} bytes each, merged {merged:.2}", world.records.len());
    assert!(merged < 3.0, "{apart} bytes a sample, merged {merged}");
}
