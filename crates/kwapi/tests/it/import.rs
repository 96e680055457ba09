//! `kwapi import`: files of registers and watts with a known answer, once, twice, in pieces and killed on the way.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::Timestamp;
use kwapi_history::journal::{Journal, JournalConfig, Position};
use kwapi_history::{EnergyRequest, EnergyStep, Ledger, LedgerConfig, Query};

use crate::harness::{Kwapi, PATIENCE, get, kwapi, run};

/// 2024-04-23 19:10:00 UTC.
const START: u64 = 1_713_899_400;
/// A log of two hours, each five seconds.
const ROWS: u64 = 1_440;
const STEP: u64 = 5;
/// The stretch that is requested.
const CORE: (u64, u64) = (START + 1_800, START + 5_400);
const OWN: &str = "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
    [status]\nlisten = '127.0.0.1:@STATUS@'\n[drivers]\ninterval_seconds = 0.2\n[[meter]]\ndriver = 'dummy'\nprobe = 'live'\n";

/// Eight racks' power units of two meters each, as a machine's PDUs log them: local time with its offset, registers of tenths
/// of a watt-hour, some readings missing.
struct Log {
    csv: String,
    /// Of each meter, what the register showed and when.
    registers: Vec<Vec<(f64, f64)>>,
}

/// Watts of a meter in the five seconds that begin `second` seconds after the start.
fn watts(meter: u64, second: u64) -> u64 {
    let share = 90 + 7 * meter;
    let load = if (1_700..5_500).contains(&second) { 17_000 + second % 300 } else { 8_000 };
    load * share / 100
}

impl Log {
    fn new() -> Self {
        let mut log = Self { csv: "time,rack,num,energy\n".to_owned(), registers: vec![Vec::new(); 16] };
        let mut joules: Vec<u64> = (0..16).map(|meter| 65_878_200_000 + meter * 977_123_456).collect();
        for row in 0..ROWS {
            let (second, at) = (row * STEP, START + row * STEP);
            let local = 21 * 3_600 + 10 * 60 + second;
            let time = format!("2024-04-23T{:02}:{:02}:{:02}", local / 3_600, local / 60 % 60, local % 60);
            for meter in 0..16 {
                let joules = &mut joules[usize::try_from(meter).unwrap()];
                let tenths = *joules / 360;
                *joules += watts(meter, second) * STEP;
                if (row * 31 + meter * 17) % 97 == 0 {
                    continue; // A time-out.
                }
                let (wh, tenth) = (tenths / 10, tenths % 10);
                writeln!(log.csv, "{time}.000000000+0200,{},{},{wh}.{tenth}", 100 + meter / 2, meter % 2)
                    .unwrap();
                log.registers[usize::try_from(meter).unwrap()].push((at as f64, tenths as f64 / 10.0));
            }
        }
        log
    }

    /// Mean power of a stretch by the rule of the Energy Efficient HPC Working Group: of each meter what its register has
    /// gained between its first and last reading in the stretch, over the time between these.
    fn mean(&self, stretch: (u64, u64)) -> f64 {
        self.registers.iter().map(|rows| by_rule(rows, stretch)).sum()
    }

    /// What all registers have gained, in kilowatt-hours.
    fn kwh(&self) -> f64 {
        self.registers.iter().map(|rows| (rows.last().unwrap().1 - rows[0].1) / 1e3).sum()
    }
}

/// The same of one meter: stamps and watt-hours.
fn by_rule(rows: &[(f64, f64)], (from, to): (u64, u64)) -> f64 {
    let within: Vec<_> = rows.iter().filter(|(at, _)| (from as f64..=to as f64).contains(at)).collect();
    let [first, .., last] = within.as_slice() else { return 0.0 };
    (last.1 - first.1) * 3_600.0 / (last.0 - first.0)
}

/// What is on record in a state directory.
struct Recorded {
    query: Query,
    journal: Journal,
}

impl Recorded {
    fn open(state: &Path) -> Self {
        let now = Timestamp::from_seconds(1);
        let (journal, _) = Journal::open(&state.join("history"), JournalConfig::default(), now).unwrap();
        let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
        ledger.catch_up(now);
        Self { query: Query::new(ledger, None), journal }
    }

    /// Joules, seconds covered and seconds unknown of all imported probes in a stretch.
    fn energy(&self, (from, to): (u64, u64)) -> (f64, f64, f64) {
        let mut probes = self.query.probes();
        probes.retain(|probe| probe.as_str().starts_with("rwth."));
        let at = Timestamp::from_seconds;
        let request = EnergyRequest {
            probes,
            start: at(from),
            end: at(to),
            step: EnergyStep::Whole,
            is_to_now: false,
            now: at(to),
        };
        let answer = self.query.energy(&request).unwrap();
        assert!(answer.unreadable.is_empty(), "{answer:?}");
        let spans = answer.probes.iter().map(|probe| probe.spans[0]);
        spans.fold((0.0, 0.0, 0.0), |(joules, covered, unknown), span| {
            let known = span.known.known_ms() as f64 / 1e3;
            (joules + span.energy_mj() as f64 / 1e3, covered + known, unknown + span.unknown_ms as f64 / 1e3)
        })
    }

    /// By the rule, from the registers of the accounts in the journal.
    fn mean(&self, stretch: (u64, u64)) -> f64 {
        let mut rows = std::collections::BTreeMap::<_, Vec<(f64, f64)>>::new();
        let replayed = self.journal.replay(Position::default(), |record| {
            let wh = record.taken.unwrap().register.energy.joules() / 3_600.0;
            rows.entry(record.probe.clone()).or_default().push((record.at.seconds_f64(), wh));
        });
        assert_eq!(replayed.unwrap().lost_count, 0);
        rows.values().map(|rows| by_rule(rows, stretch)).sum()
    }
}

const KEYS: &str = "import --time time --register energy --register-unit Wh --probe rwth.rack{rack}.{num}";

fn import(folder: &Path, files: &[&str], into: &str) -> (bool, String) {
    let mut arguments: Vec<&str> = KEYS.split(' ').collect();
    arguments.extend(["--into", into]);
    arguments.extend(files);
    run(&arguments, folder)
}

#[track_caller]
fn imports(folder: &Path, files: &[&str], into: &str) -> String {
    let (is_well, output) = import(folder, files, into);
    assert!(is_well, "{output}");
    output
}

/// The total that a summary ends with.
fn total(output: &str) -> f64 {
    let line =
        output.lines().find(|line| line.trim().starts_with("total")).unwrap_or_else(|| panic!("{output}"));
    line.split_whitespace().last().unwrap().parse().unwrap()
}

#[test]
fn registers_with_a_known_answer_give_it_and_twice_gives_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new();
    std::fs::write(folder.path().join("pdus.csv"), &log.csv).unwrap();
    let output = imports(folder.path(), &["pdus.csv"], "state");
    assert!(output.contains("rows of 16 probes imported into state"), "{output}");
    assert!(output.contains("one row every 5 s"), "{output}");
    let recorded = Recorded::open(&folder.path().join("state"));
    // A meter's first message is that of its fourth row: until then it is unknown what its outlet draws.
    let lost = 16.0 * 0.065;
    assert!((total(&output) - log.kwh()).abs() < lost, "{} of {} kWh\n{output}", total(&output), log.kwh());
    let expected = log.mean(CORE);
    let (joules, covered, unknown) = recorded.energy(CORE);
    let mean = joules / 3_600.0;
    assert!((mean / expected - 1.0).abs() < 1e-4, "{mean} W by the ledger, {expected} W");
    assert!(
        (covered - 16.0 * 3_600.0).abs() < 1e-3 && unknown < 1e-3,
        "{covered} s known, {unknown} s unknown"
    );
    let by_rule = recorded.mean(CORE);
    assert!((by_rule / expected - 1.0).abs() < 1e-9, "{by_rule} W by the journal, {expected} W");
    let end = recorded.journal.end();
    drop(recorded);
    let again = imports(folder.path(), &["pdus.csv"], "state");
    assert!(
        again.contains("0 rows of 0 probes imported")
            && again.contains("rows skipped: already in the records"),
        "{again}"
    );
    let recorded = Recorded::open(&folder.path().join("state"));
    assert_eq!(recorded.energy(CORE).0.to_bits(), joules.to_bits());
    assert!(recorded.mean(CORE).to_bits() == by_rule.to_bits() && recorded.journal.end() >= end);
}

#[test]
fn the_next_file_continues_from_the_register_and_a_service_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new();
    // The second file begins an hour after the first has ended, and with ten minutes of it.
    let lines: Vec<&str> = log.csv.lines().collect();
    let (head, rows) = lines.split_first().unwrap();
    let minute = |row: &&str| {
        let field = |from: usize| row[from..from + 2].parse::<u32>().unwrap();
        (field(11) - 21) * 60 + field(14) - 10
    };
    let of = |is_in: &dyn Fn(u32) -> bool| {
        let chosen: Vec<&str> = rows.iter().filter(|row| is_in(minute(row))).copied().collect();
        format!("{head}\n{}\n", chosen.join("\n"))
    };
    std::fs::write(folder.path().join("1.csv"), of(&|minute| minute < 40)).unwrap();
    std::fs::write(folder.path().join("2.csv"), of(&|minute| (30..40).contains(&minute) || minute >= 100))
        .unwrap();
    let first = total(&imports(folder.path(), &["1.csv"], "state"));
    let output = imports(folder.path(), &["2.csv"], "state");
    assert!(output.contains("rows skipped: already in the records"), "{output}");
    let bridged = output.lines().find(|line| line.trim().starts_with("bridged")).unwrap();
    assert!(bridged.contains("16.0"), "16 probe hours are bridged: {bridged}");
    let whole = first + total(&output);
    assert!((whole - log.kwh()).abs() < 16.0 * 0.065, "{whole} of {} kWh", log.kwh());

    // The service that the records belong to starts with them, and what it measures comes on top.
    let lab = kwapi_peers::Lab::empty();
    std::fs::rename(folder.path().join("state"), lab.join("state")).unwrap();
    let service = Kwapi::start_in(lab, &["run"], OWN);
    service.probe("live");
    kwapi_peers::wait_until("readiness", PATIENCE, || {
        get(service.status, "/readyz").filter(|(status, _)| *status == 200)
    });
    let (is_well, output) = import(service.lab.path(), &["none.csv"], "state");
    assert!(!is_well && output.contains("none.csv"), "{output}");
    std::fs::write(service.file("1.csv"), of(&|minute| minute < 40)).unwrap();
    let (is_well, output) = import(service.lab.path(), &["1.csv"], "state");
    assert!(!is_well && output.contains("in use by another kwapi"), "{output}");
    service.process.signal(15);
    let Kwapi { process, lab, .. } = service;
    process.ended(PATIENCE);
    let recorded = Recorded::open(&lab.join("state"));
    let (joules, ..) = recorded.energy((START, START + 7_200));
    assert!((joules / 3.6e6 - whole).abs() < 1e-5, "{joules} J on record, {whole} kWh imported");
    assert!(recorded.query.probes().iter().any(|probe| probe.as_str() == "live"));
}

#[test]
fn wrong_rows_are_reported_by_number_and_cost_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "at;id;W\n2024-04-23 21:10:00;a;100\nyesterday;a;100\n2024-04-23 21:10:10;a;-5\n2024-04-23 21:10:10;a;1,5\n\
        2024-04-23 21:10:10;a;abc\n2024-04-23 21:10:05;a;100\n2024-04-23 21:10:20;a;100;9\n2024-04-23 21:10:20;a;\n\
        2024-04-23 21:10:30;;7\n2024-04-23 21:10:20;a;200\n";
    std::fs::write(folder.path().join("w.csv"), csv).unwrap();
    let arguments =
        "import w.csv --into state --time at --zone Europe/Berlin --power W --probe x.{id} --decimal-comma";
    let (is_well, output) = run(&arguments.split(' ').collect::<Vec<_>>(), folder.path());
    assert!(is_well, "{output}");
    for expected in [
        "w.csv:3: \"yesterday\" is no time in this format",
        "w.csv:4: implausible: -5 W; check for a reversed current transformer or wiring",
        "w.csv:6: \"abc\" is no number",
        "w.csv:7: not later than the row before of this probe",
        "w.csv:8: 4 fields; the first line has 3",
        "w.csv:10: column \"id\" is empty",
        "3 rows of 1 probe imported",
        "1 row skipped: without power and register",
        "6 rows skipped: invalid",
    ] {
        assert!(output.contains(expected), "{expected}:\n{output}");
    }
    // 1.5 W for ten seconds and 200 W for ten.
    assert!((total(&output) - 2_015.0 / 3.6e6).abs() < 1e-6, "{output}");
    let without_zone = arguments.replace(" --zone Europe/Berlin", "").replace("state", "other");
    let (is_well, output) = run(&without_zone.split(' ').collect::<Vec<_>>(), folder.path());
    assert!(!is_well && output.contains("has no zone; use --zone"), "{output}");
}

/// Each meter of the log is on one curve, however often the import was killed: no energy twice, none lost but ticks.
#[test]
fn an_import_that_is_killed_and_run_again_counts_nothing_twice_and_loses_no_register() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new();
    std::fs::write(folder.path().join("pdus.csv"), &log.csv).unwrap();
    let mut kills = 0;
    for round in 1..=30_u64 {
        let mut command = kwapi();
        command.args(KEYS.split(' ')).args(["--into", "state", "pdus.csv"]).current_dir(folder.path());
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + round * 37 % 400));
        kills += u64::from(child.try_wait().unwrap().is_none());
        _ = child.kill();
        child.wait().unwrap();
    }
    assert!(kills > 0, "none was killed on the way");
    imports(folder.path(), &["pdus.csv"], "state");
    let recorded = Recorded::open(&folder.path().join("state"));
    let (joules, ..) = recorded.energy((START, START + 7_200));
    let (kwh, ticks) = (joules / 3.6e6, 16.0 * 3.0 * 0.1e-3);
    // The first rows, and once more where it was killed before it had kept where the registers stood.
    let begin = 16.0 * 0.15;
    assert!(
        kwh <= log.kwh() + ticks && kwh >= log.kwh() - begin,
        "{kwh} of {} kWh after {kills} kills",
        log.kwh()
    );
    let mean = recorded.energy(CORE).0 / 3_600.0;
    assert!((mean / log.mean(CORE) - 1.0).abs() < 1e-3, "{mean} W of {} W", log.mean(CORE));
}

/// The folder of the published registers, where there is one.
fn published() -> Option<PathBuf> {
    let named = std::env::var_os("KWAPI_EEHPC").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/eehpc");
    named.or_else(|| usual.is_dir().then_some(usual))
}

/// The raw registers of a Green500 submission, published with its results by the Energy Efficient HPC Working Group
/// (EEHPCWG/PowerMeasurementMethodology, example-rwth-claix-2023). They are read where they lie.
#[test]
fn published_registers_give_the_published_mean() {
    let Some(data) = published() else {
        kwapi_peers::skip("no published registers here; ./test --long eehpc prints how to have them");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let pdus = data.join("pdus.parquet").display().to_string();
    let output = imports(folder.path(), &[&pdus], "state");
    assert!(
        output.contains("208155 rows of 37 probes") || output.contains("of 37 probes imported"),
        "{output}"
    );
    let meter = data.join("powermeter.parquet").display().to_string();
    let arguments =
        "import --time time --register energy --register-unit Wh --probe rwth.meter.{channel} --into state";
    let mut arguments: Vec<&str> = arguments.split(' ').collect();
    arguments.push(&meter);
    let (is_well, output) = run(&arguments, folder.path());
    assert!(is_well, "{output}");
    let recorded = Recorded::open(&folder.path().join("state"));
    for (name, from, to, published) in [
        ("core phase", 1_713_899_524, 1_713_915_848, 676_445.479),
        ("idle", 1_713_920_400, 1_713_927_600, 322_175.861),
    ] {
        let by_rule = recorded.mean((from, to));
        let (joules, covered, unknown) = recorded.energy((from, to));
        let by_ledger = joules / (to - from) as f64;
        let off = |watts: f64| (watts / published - 1.0) * 100.0;
        println!(
            "{name}: published {published} W; by its rule {by_rule:.3} W ({:+.5} %); ledger {by_ledger:.3} W ({:+.5} %), \
             {covered:.0} probe seconds known, {unknown:.0} unknown",
            off(by_rule),
            off(by_ledger)
        );
        assert!(off(by_rule).abs() < 0.01, "{name}: {by_rule} W, published {published} W");
        // Within its first and last minute the ledger has only the minute's mean.
        assert!(off(by_ledger).abs() < 0.03, "{name}: {by_ledger} W, published {published} W");
    }
}
