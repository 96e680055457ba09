mod damage;
mod kills;
mod objects;
mod peers;
mod reading;
mod size;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kwapi_core::{Account, Accounting, Amperes, Energy, MeterTotal, ProbeId, Quality, Totals, Volts, Watts};
use kwapi_peers::Lab;

use super::*;
use crate::journal::{Credited, JournalConfig, Taken};

/// Midnight of a day, in Unix seconds.
const DAY: u64 = 20_700 * 86_400;
const HOUR: u64 = 3_600;

fn wall(second: u64) -> Timestamp {
    Timestamp::from_seconds(DAY + second)
}

/// Accounts, and what they credited.
#[derive(Default)]
struct World {
    accounts: BTreeMap<ProbeId, Account>,
    records: Vec<Credited>,
}

impl World {
    /// A message stamped so many milliseconds after midnight, of a session begun there.
    fn receive(&mut self, probe: &str, ms: u64, seq: u64, watts: f64, is_estimated: bool) {
        let id = ProbeId::new(probe).unwrap();
        let used = Energy::from_millijoules(ms * 70 + ms % 13);
        let mut totals = Totals { energy: used, measured_ms: ms, ..Totals::default() };
        if is_estimated {
            totals = Totals { estimated: used, measured_ms: 0, estimated_ms: ms, ..totals };
        }
        let accounting = Accounting {
            timestamp: wall(0).after(Duration::from_millis(ms)).after(Duration::from_micros(ms % 997)),
            session: wall(0),
            seq,
            totals,
            curve: None,
            meter: probe.ends_with('b').then_some(MeterTotal { energy: used, since: None }),
            quality: if is_estimated { Quality::Estimated } else { Quality::Measured },
        };
        let account = self.accounts.entry(id.clone()).or_default();
        let Ok(credit) = account.credit(&accounting, Duration::ZERO, Duration::from_secs(60)) else { return };
        let has_volts = probe.ends_with('a') && !seq.is_multiple_of(5);
        self.records.push(Credited {
            probe: id,
            at: accounting.timestamp,
            power: Watts(watts),
            voltage: has_volts.then_some(Volts(229.5 + (seq % 7) as f64 / 10.0)),
            current: has_volts.then_some(Amperes(watts / 230.0)),
            accounting: Some(accounting),
            taken: Some(Taken { decision: credit.decision, register: credit.totals }),
        });
    }

    /// Four probes over two hours and a half, some of them late now and then, across the ends of hours too.
    fn of_some_hours() -> Self {
        let mut world = Self::default();
        let mut late = Vec::new();
        for n in 0..300 {
            let ms = n * 30_000;
            world.receive("lyon.a", ms, n, 70.0 + (n % 9) as f64 / 10.0, false);
            world.receive("lyon.b", ms, n, (n * n % 311) as f64, false);
            world.receive("paris.c", ms + n % 17, n, 1.0 / (n + 3) as f64, true);
            if n % 7 == 3 {
                late.push((ms, n));
            } else {
                world.receive("lyon.late", ms, n, 12.0, false);
            }
            if n % 90 == 89 {
                late.drain(..).for_each(|(ms, n)| world.receive("lyon.late", ms, n, 9.5, false));
            }
        }
        world
    }

    fn truth(&self) -> Rows {
        sorted(self.records.iter().map(|record| (record.probe.clone(), SampleRow::of(record))).collect())
    }
}

type Rows = Vec<(ProbeId, SampleRow)>;

/// Reports the first difference alone.
#[track_caller]
fn assert_same(rows: &Rows, truth: &Rows, what: &str) {
    let differs = rows.iter().zip(truth).find(|(row, true_row)| row != true_row);
    assert_eq!((differs, rows.len()), (None, truth.len()), "{what}");
}

fn sorted(mut rows: Rows) -> Rows {
    rows.sort_by(|(left, one), (right, other)| {
        (left, one.at).cmp(&(right, other.at)).then(one.total.cmp(&other.total))
    });
    rows
}

fn journal(lab: &Lab) -> Journal {
    journal_with(lab, JournalConfig::default())
}

fn journal_with(lab: &Lab, config: JournalConfig) -> Journal {
    // A program that another test is just starting holds our locks until it is itself.
    kwapi_peers::wait_until("a directory nobody holds", Duration::from_secs(10), || {
        match Journal::open(lab.path(), config, wall(0)) {
            Err(OpenError::InUse(_)) => None,
            opened => Some(opened.unwrap().0),
        }
    })
}

fn open(journal: &Journal) -> Samples {
    Samples::open(SamplesConfig::default(), journal).unwrap()
}

fn append(journal: &Journal, records: &[Credited]) {
    journal.append(&Arc::new(records.to_vec()), wall(0)).unwrap();
}

/// Everything, in files and in memory.
fn rows(samples: &Samples, world: &World) -> Rows {
    let mut rows = Rows::new();
    for probe in world.accounts.keys() {
        let page = samples.page(probe, Timestamp::EPOCH, wall(400 * 86_400), usize::MAX - 1).unwrap();
        assert_eq!((page.unreadable, page.next), (vec![], None));
        assert!(page.samples.is_sorted_by_key(|sample| sample.at));
        rows.extend(page.samples.into_iter().map(|sample| (probe.clone(), sample)));
    }
    sorted(rows)
}

/// The files, as anybody lists them.
fn parts(lab: &Lab) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for date in list(&lab.join("samples")) {
        for hour in list(&date) {
            // What begins with a dot is none of anybody's.
            let is_seen = |path: &PathBuf| !crate::tree::name_of(path).starts_with('.');
            found.extend(list(&hour).into_iter().filter(is_seen));
        }
    }
    found
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The rows of a file, which are in order.
fn rows_of(path: &Path) -> Rows {
    let mut rows = Rows::new();
    let file = std::fs::File::open(path).unwrap();
    let all = 0..u64::MAX;
    let each = |probe: &ProbeId, sample| rows.push((probe.clone(), sample));
    table::decode(file, crate::columns::Wanted::All, &all, table::SampleColumns::All, each).unwrap();
    assert!(rows.is_sorted_by_key(|(probe, sample)| (probe.clone(), sample.at)), "{path:?}");
    rows
}

fn rows_in_files(lab: &Lab) -> Rows {
    sorted(parts(lab).iter().flat_map(|path| rows_of(path)).collect())
}

#[test]
fn the_rows_are_those_of_the_journal_before_and_after_a_restart() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = journal(&lab);
    let samples = open(&journal);
    for (n, records) in world.records.chunks(170).enumerate() {
        append(&journal, records);
        samples.catch_up(wall(0));
        if n % 3 == 1 {
            samples.write(wall(0)).unwrap();
        }
    }
    assert_same(&rows(&samples, &world), &world.truth(), "requested");
    assert!(samples.counters().waiting > 0);
    drop(samples); // Killed: nothing was written at the end.
    let again = open(&journal);
    again.catch_up(wall(0));
    assert_same(&rows(&again, &world), &world.truth(), "requested");
    assert_eq!(again.position(), journal.end());
    again.write(wall(0)).unwrap();
    assert_same(&rows_in_files(&lab), &world.truth(), "in files");
    assert_eq!((again.counters().waiting, again.counters().files), (0, parts(&lab).len() as u64));
}

#[test]
fn a_sample_lies_in_the_folder_of_its_hour_also_when_it_came_late() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = journal(&lab);
    let samples = open(&journal);
    for records in world.records.chunks(200) {
        append(&journal, records);
        samples.catch_up(wall(0));
        samples.write(wall(0)).unwrap();
    }
    for path in parts(&lab) {
        let hour: u64 = files::SampleFiles::new(lab.path(), None)
            .open(Position { segment: u64::MAX, offset: 0 })
            .unwrap()
            .into_iter()
            .find_map(|(hour, parts)| {
                let is_here = parts.iter().any(|part| samples.files.path(part) == path);
                is_here.then_some(hour)
            })
            .unwrap();
        assert!(rows_of(&path).iter().all(|(_, sample)| hour_of(sample.at.micros()) == hour), "{path:?}");
    }
    assert!(parts(&lab).len() > 6, "late ones have files of their own");
}

#[test]
fn an_hour_that_is_over_becomes_one_file_with_the_same_rows() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = journal(&lab);
    let samples = open(&journal);
    for records in world.records.chunks(100) {
        append(&journal, records);
        samples.catch_up(wall(0));
        samples.write(wall(0)).unwrap();
    }
    let before = samples.counters().files;
    // A part is merged once even the older place has it.
    let mut later = World::default();
    later.receive("lyon.later", 5 * HOUR * 1_000, 0, 1.0, false);
    append(&journal, &later.records);
    samples.catch_up(wall(0));
    samples.write(wall(0)).unwrap();
    for _ in 0..10 {
        samples.merge_one(wall(2 * HOUR + 1_200));
    }
    let counters = samples.counters();
    // Two hours are over by more than a quarter, the third is not.
    let of_third = parts(&lab).iter().filter(|path| path.to_str().unwrap().contains("hour=02")).count();
    assert!(of_third > 1 && before > 9, "{before} files; of the third hour {of_third}");
    assert_eq!(counters.files as usize, 2 + of_third + 1, "{counters:?}");
    let mut truth = world.truth();
    assert_same(&rows(&samples, &world), &truth, "merged");
    assert_eq!(list(&lab.join("samples/merging")), Vec::<PathBuf>::new());
    drop(samples);
    let again = open(&journal);
    again.catch_up(wall(0));
    assert_same(&rows(&again, &world), &truth, "opened again");
    truth.extend(later.truth());
    again.write(wall(0)).unwrap();
    assert_same(&rows_in_files(&lab), &sorted(truth), "in files");
}

#[test]
fn old_hours_go_by_age_and_by_bytes() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = journal(&lab);
    append(&journal, &world.records);
    let config = SamplesConfig { kept: Duration::from_secs(86_400), ..SamplesConfig::default() };
    let mut samples = Samples::open(config, &journal).unwrap();
    samples.catch_up(wall(0));
    samples.write(wall(0)).unwrap();
    assert_eq!(samples.counters().files, 3);
    // A clock that is years ahead removes nothing that the journal's own stamps do not.
    samples.retain(wall(4_000 * 86_400));
    assert_eq!(samples.counters().hours_removed, 0);
    let mut later = World::default();
    later.receive("lyon.a", (86_400 + HOUR) * 1_000 + 5, 0, 1.0, false);
    append(&journal, &later.records);
    samples.catch_up(wall(0));
    samples.retain(wall(86_400 + HOUR + 10));
    assert_eq!((samples.counters().hours_removed, parts(&lab).len()), (1, 2));
    samples.config.bytes_max = samples.counters().bytes - 1;
    samples.retain(wall(0));
    assert_eq!((samples.counters().hours_removed, parts(&lab).len()), (2, 1));
    samples.config.bytes_max = 1;
    samples.retain(wall(0));
    assert_eq!(parts(&lab).len(), 1, "the newest hour stays");
}

#[test]
fn what_comes_at_once_of_many_hours_is_written_as_it_is_taken() {
    let (lab, mut world) = (Lab::empty(), World::default());
    for n in 0..100 {
        world.receive("lyon.a", n * HOUR * 1_000, n, 5.0, false);
    }
    let journal = journal(&lab);
    world.records.chunks(10).for_each(|records| append(&journal, records));
    let samples = open(&journal);
    samples.catch_up(wall(0));
    assert!(samples.counters().waiting < 40, "{:?}", samples.counters());
    assert_same(&rows(&samples, &world), &world.truth(), "requested");
}

#[test]
fn what_waits_is_bounded_and_a_full_disk_stops_the_reading_instead() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = journal(&lab);
    world.records.chunks(40).for_each(|records| append(&journal, records));
    let config = SamplesConfig { waiting_bytes_max: 4_000, ..SamplesConfig::default() };
    let is_full = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let theirs = Arc::clone(&is_full);
    let gate: Gate = Arc::new(move || {
        let is_full = theirs.load(std::sync::atomic::Ordering::Relaxed);
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let samples = Samples::open_through(config, &journal, Some(gate)).unwrap();
    for _ in 0..5 {
        samples.catch_up(wall(0));
        samples.follow(Duration::ZERO, &|| wall(0));
    }
    // A batch more than the bound at most.
    assert!(samples.buffer.read().bytes() < 5_500, "{:?}", samples.counters());
    assert!(samples.trouble().unwrap().contains("samples cannot be written"), "{:?}", samples.trouble());
    is_full.store(false, std::sync::atomic::Ordering::Relaxed);
    samples.catch_up(wall(0));
    assert_eq!((samples.position(), samples.trouble()), (journal.end(), None));
    assert!(samples.counters().files > 4, "{:?}", samples.counters());
    assert_same(&rows(&samples, &world), &world.truth(), "requested");
}

#[test]
fn a_stop_writes_what_is_there() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = journal(&lab);
    let samples = Arc::new(open(&journal));
    let clock = kwapi_core::WallClock::new(|| wall(0));
    let writer = SamplesWriter::start(Arc::clone(&samples), || Duration::ZERO, clock).unwrap();
    append(&journal, &world.records);
    assert!(writer.stop_by(Instant::now() + Duration::from_secs(60)));
    assert_eq!((samples.position(), samples.counters().waiting), (journal.end(), 0));
    drop(samples);
    let again = open(&journal);
    assert_eq!(again.position(), journal.end(), "nothing is to be taken again");
    assert_same(&rows(&again, &world), &world.truth(), "requested");
}
