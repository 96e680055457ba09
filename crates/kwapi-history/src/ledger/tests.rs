mod damage;
mod kills;
mod peers;
mod reading;
mod size;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kwapi_core::{
    Account, Accounting, Energy, Increment, OpenRows, Quality, Totals, Trace, Watts, WrittenRow,
};
use kwapi_peers::Lab;

use super::*;
use crate::journal::{Credited, JournalConfig, Taken};

/// Midnight of a day, in Unix seconds.
const DAY: u64 = 20_700 * 86_400;
const HOUR: u64 = 3_600;

fn wall(second: u64) -> Timestamp {
    Timestamp::from_seconds(DAY + second)
}

/// A publisher's message: `second` of the day, of the session that began at `session`, with 70 W all the time.
fn message(session: u64, second: u64) -> Accounting {
    let used = (second - session) * 70_000;
    Accounting {
        timestamp: wall(second),
        session: wall(session),
        seq: (second - session) / 420,
        totals: Totals {
            energy: Energy::from_millijoules(used),
            measured_ms: (second - session) * 1_000,
            ..Totals::default()
        },
        curve: None,
        meter: None,
        quality: Quality::Measured,
    }
}

/// Accounts, and what they credited.
#[derive(Default)]
pub(crate) struct World {
    accounts: BTreeMap<ProbeId, Account>,
    pub(crate) records: Vec<Credited>,
}

impl World {
    fn receive(&mut self, probe: &str, message: Accounting) {
        let probe = ProbeId::new(probe).unwrap();
        let account = self.accounts.entry(probe.clone()).or_default();
        let Ok(credit) = account.credit(&message, Duration::ZERO, Duration::from_secs(60)) else { return };
        self.records.push(Credited {
            probe,
            at: message.timestamp,
            power: Watts((message.seq % 100) as f64),
            voltage: None,
            current: None,
            accounting: Some(message),
            taken: Some(Taken { decision: credit.decision, register: credit.totals }),
        });
    }

    /// Two probes over a day and some hours, every few minutes; one restarts, one is received late now and then.
    pub(crate) fn of_a_day() -> Self {
        let mut world = Self::default();
        let mut late = Vec::new();
        for (n, second) in (0..30 * HOUR).step_by(420).enumerate() {
            let session = if second < 9 * HOUR { 0 } else { 9 * HOUR };
            world.receive("lyon.a", message(session, second / 10 * 10));
            let message = message(0, second / 10 * 10 + 10);
            if n % 7 == 3 {
                late.push(message);
            } else {
                world.receive("lyon.b", message);
            }
            if n % 20 == 19 {
                late.drain(..).for_each(|message| world.receive("lyon.b", message));
            }
        }
        world
    }

    /// The rows, derived from nothing but the records.
    fn truth(&self) -> Sums {
        let mut probes: BTreeMap<&ProbeId, (Trace, OpenRows)> = BTreeMap::new();
        let (mut sums, mut pieces) = (Sums::new(), Vec::new());
        let mut add = |probe: &ProbeId, step, begin, increment: &Increment| {
            sums.entry((probe.clone(), step, begin)).or_default().add(increment, 1);
        };
        for record in &self.records {
            let (trace, open) = probes.entry(&record.probe).or_default();
            let taken = record.taken.unwrap();
            let message = record.accounting.as_ref();
            let traced = trace.take(record.at, message, &taken.decision, &taken.register, &mut pieces);
            let at = record.at.micros() / 1_000;
            open.take(at, record.power, &pieces, traced.cause, &mut |WrittenRow { step, row, .. }| {
                add(&record.probe, step, row.begin, &row.increment);
            });
        }
        for (probe, (_, open)) in probes {
            open.rows().for_each(|(step, row)| add(probe, step, row.begin, &row.increment));
        }
        sums.retain(|_, increment| !increment.is_zero());
        sums
    }
}

type Sums = BTreeMap<(ProbeId, RowStep, u64), Increment>;

fn journal(lab: &Lab) -> Journal {
    // A program that another test is just starting holds our locks until it is itself.
    kwapi_peers::wait_until("a directory nobody holds", Duration::from_secs(10), || {
        match Journal::open(lab.path(), JournalConfig::default(), wall(0)) {
            Err(OpenError::InUse(_)) => None,
            opened => Some(opened.unwrap().0),
        }
    })
}

fn open(journal: &Journal) -> Ledger {
    Ledger::open(LedgerConfig::default(), journal).unwrap()
}

/// All there is, in files and in memory.
fn everything(ledger: &Ledger) -> (Vec<(ProbeId, SeenRow)>, seen::Seen) {
    let (probes, mut rows) = (ledger.probes(), Vec::new());
    let ranges = RowStep::ALL.map(|step| (step, 0, u64::MAX));
    let sight = ledger.sight(&probes, 0, u64::MAX);
    let seen = sight.rows(&probes, &ranges, |probe, row| rows.push((probe.clone(), row)));
    (rows, seen)
}

/// Its sums.
fn rows(ledger: &Ledger) -> Sums {
    let (rows, seen) = everything(ledger);
    assert_eq!(seen.unreadable, []);
    let mut sums = Sums::new();
    for (probe, SeenRow { step, row, .. }) in rows {
        sums.entry((probe, step, row.begin)).or_default().add(&row.increment, 1);
    }
    sums.retain(|_, increment| !increment.is_zero());
    sums
}

/// The rows of a file.
fn decoded(bytes: impl Into<Bytes>, wanted: table::Wanted<'_>) -> std::io::Result<Vec<LedgerRow>> {
    let (begins, mut rows) = (table::Begins::of(std::iter::once(0..u64::MAX)), Vec::new());
    let read = table::decode(bytes.into(), wanted, &begins)?;
    read.each(&begins, |probe, read| rows.push(LedgerRow::of(probe, read)));
    Ok(rows)
}

/// The rows in files, as anybody reads them.
fn rows_in_files(lab: &Lab) -> Vec<(RowStep, LedgerRow)> {
    let mut rows = Vec::new();
    for step in RowStep::ALL {
        for folder in list(&lab.join(format!("ledger/step={}", files::step_name(step)))) {
            for path in list(&folder) {
                assert!(path.extension().is_some_and(|extension| extension == "parquet"), "{path:?}");
                let bytes = std::fs::read(&path).unwrap();
                let read = decoded(bytes, table::Wanted::All).unwrap();
                rows.extend(read.into_iter().map(|row| (step, row)));
            }
        }
    }
    rows
}

fn list(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn append(journal: &Journal, records: &[Credited]) {
    journal.append(&Arc::new(records.to_vec()), wall(0)).unwrap();
}

#[test]
fn the_rows_are_those_of_the_journal_before_and_after_a_restart() {
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let journal = journal(&lab);
    let ledger = open(&journal);
    for (n, records) in world.records.chunks(50).enumerate() {
        append(&journal, records);
        ledger.catch_up(wall(0));
        if n % 3 == 1 {
            ledger.write(wall(0)).unwrap();
        }
    }
    assert_eq!(rows(&ledger), world.truth());
    assert!(ledger.counters().corrections > 10, "{:?}", ledger.counters());
    drop(ledger); // Killed: nothing was written at the end.
    let again = open(&journal);
    again.catch_up(wall(0));
    assert_eq!(rows(&again), world.truth());
    assert_eq!(again.position(), journal.end());
}

#[test]
fn a_correction_gives_the_reason_and_has_a_number_of_its_own() {
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let journal = journal(&lab);
    append(&journal, &world.records);
    let ledger = open(&journal);
    ledger.catch_up(wall(0));
    ledger.write(wall(0)).unwrap();
    let rows = rows_in_files(&lab);
    let mut numbers: Vec<u64> = Vec::new();
    for (step, row) in &rows {
        assert_eq!(row.correction > 0, row.cause.is_some(), "{step:?} {row:?}");
        assert!(row.row.begin % step.milliseconds() == 0);
        numbers.extend((row.correction > 0).then_some(row.correction));
    }
    numbers.sort_unstable();
    let count = numbers.len() as u64;
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
    // A closed row is there once.
    let mut closed: Vec<_> = rows
        .iter()
        .filter(|(_, row)| row.correction == 0)
        .map(|(step, row)| (*step, row.probe.clone(), row.row.begin))
        .collect();
    let all = closed.len();
    closed.sort();
    closed.dedup();
    assert_eq!(closed.len(), all);
}

#[test]
fn a_day_that_has_ended_becomes_one_file_with_the_same_rows() {
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let journal = journal(&lab);
    let ledger = open(&journal);
    for records in world.records.chunks(40) {
        append(&journal, records);
        ledger.catch_up(wall(0));
        ledger.write(wall(0)).unwrap();
    }
    let before = ledger.counters().files;
    // The first day is over by more than three hours, the second is not.
    for _ in 0..10 {
        ledger.merge_one(wall(28 * HOUR));
    }
    let counters = ledger.counters();
    assert!((2..=3).contains(&counters.merges), "{counters:?}");
    assert!(counters.files < before / 2, "{before} files, then {}", counters.files);
    assert_eq!(rows(&ledger), world.truth());
    assert_eq!(list(&lab.join("ledger/merging")), Vec::<std::path::PathBuf>::new());
    drop(ledger);
    let again = open(&journal);
    again.catch_up(wall(0));
    assert_eq!(rows(&again), world.truth());
}

#[test]
fn minutes_are_kept_for_a_week_and_quarter_hours_for_longer() {
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let journal = journal(&lab);
    append(&journal, &world.records);
    let ledger = open(&journal);
    ledger.catch_up(wall(0));
    ledger.write(wall(0)).unwrap();
    let count = |lab: &Lab, step: &str| list(&lab.join(format!("ledger/step={step}"))).len();
    // A clock that is years ahead removes nothing that the journal's own stamps do not.
    ledger.retain(wall(4_000 * 86_400));
    assert_eq!((count(&lab, "minute"), count(&lab, "quarter")), (2, 2));
    let mut later = World::default();
    later.receive("lyon.c", message(8 * 86_400 + 10, 8 * 86_400 + 10));
    append(&journal, &later.records);
    ledger.catch_up(wall(0));
    ledger.retain(wall(8 * 86_400 + 20));
    assert_eq!((count(&lab, "minute"), count(&lab, "quarter"), count(&lab, "day")), (1, 2, 1));
}

#[test]
fn a_week_that_comes_at_once_is_written_as_it_is_taken() {
    let (lab, mut world) = (Lab::empty(), World::default());
    let week = 7 * 86_400 - 600;
    let probes: Vec<String> = (0..20).map(|n| format!("rack{n:02}")).collect();
    for second in [0, week] {
        for probe in &probes {
            world.receive(probe, message(0, second));
        }
    }
    let journal = journal(&lab);
    append(&journal, &world.records);
    let ledger = open(&journal);
    while ledger.take(Duration::ZERO) != Took::Full {}
    assert!(ledger.counters().waiting < 2 * WAITING_MAX as u64, "{:?}", ledger.counters());
    ledger.catch_up(wall(week));
    assert_eq!((ledger.position(), ledger.counters().waiting < WAITING_MAX as u64), (journal.end(), true));
    assert_eq!(rows(&ledger), world.truth());
}

#[test]
fn a_stop_writes_what_is_there() {
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let journal = journal(&lab);
    let ledger = Arc::new(open(&journal));
    let clock = kwapi_core::WallClock::new(|| wall(0));
    let writer = LedgerWriter::start(Arc::clone(&ledger), || Duration::ZERO, clock).unwrap();
    append(&journal, &world.records);
    assert!(writer.stop_by(Instant::now() + Duration::from_secs(60)));
    assert_eq!((ledger.position(), ledger.counters().waiting), (journal.end(), 0));
    drop(ledger);
    let again = open(&journal);
    assert_eq!(again.position(), journal.end(), "nothing is to be taken again");
    assert_eq!(rows(&again), world.truth());
}

/// A publisher counts on its own clock, whatever its wall clock shows.
#[test]
fn a_clock_that_jumps_an_hour_either_way_moves_no_joule_and_makes_none() {
    for jump in [3_600_i64, -3_600] {
        let (lab, mut world) = (Lab::empty(), World::default());
        for n in 0..=700_u64 {
            // Wrong for a while, and set right again.
            let is_wrong = (500..600).contains(&n);
            let second = (4 * HOUR + n * 10).checked_add_signed(if is_wrong { jump } else { 0 }).unwrap();
            world.receive(
                "lyon.a",
                Accounting { timestamp: wall(second), seq: n, ..message(4 * HOUR, 4 * HOUR + n * 10) },
            );
        }
        let journal = journal(&lab);
        append(&journal, &world.records);
        let ledger = open(&journal);
        ledger.catch_up(wall(0));
        ledger.write(wall(0)).unwrap();
        let register = world.records.last().unwrap().taken.unwrap().register;
        assert_eq!(register.energy, Energy::from_millijoules(7_000 * 70_000), "{jump}");
        assert_eq!(rows(&ledger), world.truth());
        for step in RowStep::ALL {
            let of_step = rows(&ledger).into_iter().filter(|((_, of, _), _)| *of == step);
            let mj: i64 = of_step.map(|(_, increment)| increment.energy_mj()).sum();
            assert_eq!(mj, 7_000 * 70_000, "{jump} {step:?}");
        }
        // In no minute is much more than it can have used: it is laid twice where the clock passed twice.
        let minutes = rows(&ledger).into_iter().filter(|((_, of, _), _)| *of == RowStep::Minute);
        for ((_, _, begin), increment) in minutes {
            assert!((0..=3 * 60 * 70_000).contains(&increment.energy_mj()), "{jump} {begin}: {increment:?}");
        }
    }
}
