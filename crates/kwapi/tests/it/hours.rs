//! Two hours of a service in two minutes: its clock passes over what lies between the ends of the hours. It is killed in
//! the middle of an hour and at the end of each, and continues. When the hours and their day are closed, files, answers
//! and commands report the same, and that is what was measured, as the journal has it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use kwapi_core::Timestamp;
use kwapi_history::journal::{Credited, Journal, JournalConfig, Position};
use kwapi_peers::{Lab, need, need_python, output, python_environment, wait_until};
use serde_json::Value;

use crate::fake_clock::{FakedClock, begin_at};
use crate::harness::{Kwapi, PATIENCE, get, kwapi, request};

/// A day that is still to come: the clock of a service that has passed it must not go back.
const DAY: &str = "2031-03-11";
/// Its begin, in Unix seconds.
const MIDNIGHT: u64 = 1_930_953_600;
/// When the service is started, up to which second of the day it lives, and of how many of the last sixty seconds RRD files
/// must show then: a start takes some, and the newest are open.
const LIVES: [(Life, usize); 3] = [
    (("2031-03-11 21:59:35", 22 * 3_600 + 8), 20),
    (("2031-03-11 22:00:30", 22 * 3_600 + 40), 36),
    (("2031-03-11 22:59:35", 23 * 3_600 + 8), 20),
];
/// The last life: the day is over, and so long ago that its files become one.
const AFTER: Life = ("2031-03-12 03:00:05", 86_400 + 3 * 3_600 + 10);
/// What each member of the hall draws, in watts.
const WATTS: f64 = 3_600.0;
const MEMBERS: [&str; 3] = ["hall.1", "hall.2", "hall.3"];

const SITE: &str = "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
    [rrd]\nlisten = '127.0.0.1:@WEB@'\nflush_interval_seconds = 3\n[ledger]\nwrite_interval_seconds = 1\n\
    [samples]\nwrite_interval_seconds = 1\n\
    [[meter]]\ndriver = 'dummy'\nprobe = 'hall.{outlet}'\noutlets = 3\nwatts = 3600\ninterval_seconds = 0.25\n\
    [[meter]]\ndriver = 'dummy'\nprobe = 'swing'\nwatts = 500\nswing_watts = 400\nswing_seconds = 7.3\ninterval_seconds = 0.2\n";

/// Prints what two programs find in the files of the day: `program step probe begin-s energy-mJ measured-ms`, and of samples
/// `program samples probe hour count sum-of-times-us sum-of-milliwatts`.
const READ: &str = r#"
import sys, duckdb, pandas
root, day = sys.argv[1:]
for step in ("minute", "quarter", "day"):
    files = f"{root}/ledger/step={step}/date={day}/*.parquet"
    for row in duckdb.sql(f"""select probe, (epoch_ms(begin) // 1000)::bigint, sum(measured_mj + estimated_mj + bridged_mj)::bigint,
            sum(measured_ms)::bigint from read_parquet('{files}') group by all""").fetchall():
        print("duckdb", step, *row)
    frame = pandas.read_parquet(f"{root}/ledger/step={step}/date={day}")
    frame["mj"] = frame.eval("measured_mj + estimated_mj + bridged_mj")
    for (probe, begin), of in frame.groupby(["probe", "begin"]):
        print("pandas", step, probe, begin.value // 10**9, of["mj"].sum(), of["measured_ms"].sum())
files = f"{root}/samples/date={day}/*/*.parquet"
for row in duckdb.sql(f"""select probe, hour, count(*), sum(epoch_us(time))::hugeint, sum(round(power_w * 1000)::bigint)::bigint
        from read_parquet('{files}', hive_partitioning = true) group by all""").fetchall():
    print("duckdb", "samples", row[0], int(row[1]), *row[2:])
frame = pandas.read_parquet(f"{root}/samples/date={day}")
for (probe, hour), of in frame.groupby(["probe", "hour"], observed = True):
    times = sum(int(time.value) // 1000 for time in of["time"])
    print("pandas", "samples", probe, int(hour), len(of), times, (of["power_w"] * 1000).round().astype("int64").sum())
"#;

/// When a service is started, and up to which second after midnight it lives.
type Life = (&'static str, u64);
/// Energy in millijoules and measured time in milliseconds, of each probe and begin of a row, in Unix seconds.
type Rows = BTreeMap<(String, u64), (i64, i64)>;
/// Of a probe and hour: how many samples, the sum of their stamps in microseconds, that of their power in milliwatts.
type Sums = BTreeMap<(String, u64), (u64, u128, i64)>;

/// Starts the service, waits until it has measured up to a second of the day, has `look` look at it, and kills it.
fn live(lab: Lab, (begin, until): Life, look: impl FnOnce(&Kwapi)) -> Lab {
    let service = Kwapi::start_at(lab, begin, &["run"], SITE);
    let _faked = FakedClock(service.process.id());
    let patience = PATIENCE + Duration::from_secs(40);
    wait_until("the end of this life", patience, || {
        let (_, body) = get(service.api, "/v1/probes/")?;
        let probes: Value = serde_json::from_str(&body).ok()?;
        let newest = probes["probes"]["hall.1"]["timestamp"].as_f64()?;
        (newest >= (MIDNIGHT + until) as f64).then_some(())
    });
    look(&service);
    service.process.signal(9);
    let Kwapi { process, lab, .. } = service;
    process.ended(PATIENCE);
    lab
}

/// The rows of a second in an RRD file of the service, of the last minute.
fn seconds(service: &Kwapi, path: &str, until: u64) -> Vec<f64> {
    let get = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (status, _, rrd) = request(service.web, &get).unwrap();
    assert_eq!(status, 200, "{path}");
    let file = service.file("fetched.rrd");
    std::fs::write(&file, rrd).unwrap();
    let [from, to] = [until - 60, until].map(|second| (MIDNIGHT + second).to_string());
    let fetch = ["AVERAGE", "-r", "1", "-s", &from, "-e", &to];
    let fetched = output(Command::new("rrdtool").arg("fetch").arg(&file).args(fetch));
    fetched
        .lines()
        .filter_map(|line| line.split_once(": ")?.1.trim().parse().ok())
        .filter(|watts: &f64| watts.is_finite())
        .collect()
}

/// What RRDtool finds in the files of a probe and of its group.
fn check_rrd(service: &Kwapi, until: u64, seconds_min: usize) {
    for (path, watts) in [("/rrd/hall.2/", WATTS), ("/rrd/group/hall/", 3.0 * WATTS)] {
        let rows = seconds(service, path, until - 1);
        assert!(rows.iter().all(|row| (row - watts).abs() < 1e-6), "{path}: {rows:?}");
        assert!(rows.len() >= seconds_min, "{path}: {} seconds", rows.len());
    }
}

/// All files of the day are merged: the folders that have more than one.
fn unmerged(lab: &Lab) -> Vec<String> {
    let home = lab.join("state/history");
    let steps = ["minute", "quarter", "day"].map(|step| home.join(format!("ledger/step={step}/date={DAY}")));
    let hours = [21, 22, 23].map(|hour| home.join(format!("samples/date={DAY}/hour={hour}")));
    let is_part = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("part-");
    let parts = |folder: &std::path::PathBuf| {
        std::fs::read_dir(folder)
            .map_or(0, |files| files.flatten().filter(|file| is_part(&file.file_name())).count())
    };
    steps
        .iter()
        .chain(&hours)
        .filter(|folder| parts(folder) != 1)
        .map(|folder| folder.display().to_string())
        .collect()
}

/// Thousandths of a number of few.
#[expect(clippy::cast_possible_truncation, reason = "what a day of a few probes comes to fits")]
fn thousandths(number: f64) -> i64 {
    (number * 1e3).round() as i64
}

/// The rows of an answer of `/v2/energy` or `kwapi energy` in which energy is known.
fn rows_of(answer: &Value) -> Rows {
    let mut rows = Rows::new();
    assert_eq!(
        (&answer["unreadable"], &answer["without_samples"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
    for of in answer["energy"].as_array().unwrap() {
        for row in of["rows"].as_array().unwrap().iter().filter(|row| !row["joules"].is_null()) {
            let thousandths = |name: &str| thousandths(row[name].as_f64().unwrap());
            let begin: jiff::Timestamp = row["start"].as_str().unwrap().parse().unwrap();
            let key = (of["probe"].as_str().unwrap().to_owned(), begin.as_second().unsigned_abs());
            rows.insert(key, (thousandths("joules"), thousandths("measured_seconds")));
        }
    }
    rows
}

/// What `kwapi energy` reports of the minutes of both hours, of the running service or of the files of one that is not.
fn rows(lab: &Lab) -> Rows {
    let mut command = kwapi();
    let [start, end] = ["21:59:00Z", "23:01:00Z"].map(|time| format!("{DAY}T{time}"));
    command.args([
        "energy", "--start", &start, "--end", &end, "--step", "minute", "--format", "json", "--zone", "UTC",
    ]);
    command.arg("--config").arg(lab.join("kwapi.toml"));
    rows_of(&serde_json::from_str(&output(begin_at(&mut command, "2031-03-12 03:01:30"))).unwrap())
}

/// What a program found in the files: rows by step, and samples.
#[derive(Debug, Default, PartialEq)]
struct Found {
    steps: BTreeMap<String, Rows>,
    samples: Sums,
}

fn found(lab: &Lab) -> BTreeMap<String, Found> {
    let python = python_environment("ledger");
    let text = output(Command::new(python).args(["-c", READ]).arg(lab.join("state/history")).arg(DAY));
    let mut all: BTreeMap<String, Found> = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| fields[place].parse::<i64>().unwrap();
        let of = all.entry(fields[0].to_owned()).or_default();
        let key = (fields[2].to_owned(), number(3).unsigned_abs());
        if fields[1] == "samples" {
            of.samples.insert(key, (number(4).unsigned_abs(), fields[5].parse().unwrap(), number(6)));
        } else if number(4) != 0 || number(5) != 0 {
            of.steps.entry(fields[1].to_owned()).or_default().insert(key, (number(4), number(5)));
        }
    }
    all
}

/// What was measured, by the journal alone: each probe's records of the day, in order.
fn measured(lab: &Lab) -> BTreeMap<String, Vec<Credited>> {
    let now = Timestamp::from_seconds(MIDNIGHT + 100_000);
    let (journal, _) = Journal::open(&lab.join("state/history"), JournalConfig::default(), now).unwrap();
    let mut records: BTreeMap<String, Vec<Credited>> = BTreeMap::new();
    let replayed = journal.replay(Position::default(), |record| {
        if record.at.seconds() < MIDNIGHT + 86_400 {
            records.entry(record.probe.to_string()).or_default().push(record.clone());
        }
    });
    assert_eq!(replayed.unwrap().lost_count, 0);
    records
}

/// What minutes come to by the journal: what a register rose from one record to the next, evenly between the milliseconds of
/// the two, as rows are in whole ones.
fn minutes(records: &[Credited]) -> BTreeMap<u64, (f64, f64)> {
    let mut minutes: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for pair in records.windows(2) {
        let [before, after] = [&pair[0], &pair[1]].map(|record| record.taken.unwrap().register);
        let [from, to] = [&pair[0], &pair[1]].map(|record| (record.at.micros() / 1_000) as f64);
        let energy = (after.energy.millijoules() - before.energy.millijoules()) as f64;
        let time = (after.measured_ms - before.measured_ms) as f64;
        for minute in pair[0].at.seconds() / 60..=pair[1].at.seconds() / 60 {
            let [begin, end] = [minute, minute + 1].map(|minute| minute as f64 * 6e4);
            let share = (to.min(end) - from.max(begin)).max(0.0) / (to - from);
            let of = minutes.entry(minute * 60).or_default();
            *of = (of.0 + share * energy, of.1 + share * time);
        }
    }
    minutes.retain(|_, (energy, time)| *energy > 0.0 || *time > 0.0);
    minutes
}

/// The files of the day against the journal.
fn check_files(of: &Found, records: &BTreeMap<String, Vec<Credited>>) {
    for (probe, records) in records {
        let rows = |step: &str| -> BTreeMap<u64, (i64, i64)> {
            let of_probe = of.steps[step].iter().filter(|((id, _), _)| id == probe);
            of_probe.map(|((_, begin), row)| (*begin, *row)).collect()
        };
        let in_all = |rows: &BTreeMap<u64, (i64, i64)>| {
            rows.values().fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
        };
        let register = records.last().unwrap().taken.unwrap().register;
        let total = (register.energy.millijoules().cast_signed(), register.measured_ms.cast_signed());
        for step in ["minute", "quarter", "day"] {
            assert_eq!(in_all(&rows(step)), total, "{probe}: rows of a {step}, and its register");
        }
        let mut quarters: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
        for (begin, row) in rows("minute") {
            let quarter = quarters.entry(begin - begin % 900).or_default();
            *quarter = (quarter.0 + row.0, quarter.1 + row.1);
        }
        assert_eq!(rows("quarter"), quarters, "{probe}");
        let wanted = minutes(records);
        assert_eq!(rows("minute").keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{probe}");
        for ((begin, row), (energy, time)) in rows("minute").iter().zip(wanted.values()) {
            let is_near = (row.0 as f64 - energy).abs() <= 2.0 && (row.1 as f64 - time).abs() <= 2.0;
            assert!(is_near, "{probe} at {begin}: {row:?}, measured {energy} mJ in {time} ms");
        }
        let mut samples: Sums = Sums::new();
        for record in records {
            let hour = record.at.seconds() % 86_400 / 3_600;
            let sum = samples.entry((probe.clone(), hour)).or_default();
            let milliwatts = thousandths(record.power.0);
            *sum = (sum.0 + 1, sum.1 + u128::from(record.at.micros()), sum.2 + milliwatts);
        }
        let of_probe = of.samples.iter().filter(|((id, _), _)| id == probe);
        let found: Sums = of_probe.map(|(key, sums)| (key.clone(), *sums)).collect();
        assert_eq!(found, samples);
    }
}

#[test]
fn two_hours_between_kills_are_closed_as_they_were_measured_and_all_report_the_same() {
    if !need(&["faketime", "rrdtool"]) || !need_python("ledger") {
        return;
    }
    let mut lab = Lab::empty();
    for (life, seconds_min) in LIVES {
        lab = live(lab, life, |service| check_rrd(service, life.1, seconds_min));
    }
    let mut answers: Vec<(&str, Rows)> = Vec::new();
    let mut of_files = BTreeMap::new();
    let mut while_it_runs = None;
    lab = live(lab, AFTER, |service| {
        wait_until("merged files", PATIENCE, || unmerged(&service.lab).is_empty().then_some(()));
        of_files = found(&service.lab);
        let question = format!("/v2/energy?start={DAY}T21:59:00Z&end={DAY}T23:01:00Z&step=minute");
        answers.push((
            "/v2/energy",
            rows_of(&serde_json::from_str(&get(service.api, &question).unwrap().1).unwrap()),
        ));
        while_it_runs = Some(rows(&service.lab));
    });
    answers.extend(while_it_runs.map(|rows| ("kwapi energy, of the service", rows)));
    answers.push(("kwapi energy, of its files", rows(&lab)));
    assert!(unmerged(&lab).is_empty());
    let (duckdb, pandas) = (&of_files["duckdb"], &of_files["pandas"]);
    assert_eq!(duckdb, pandas);
    for (who, rows) in &answers {
        assert_eq!(rows, &duckdb.steps["minute"], "{who}");
    }
    let records = measured(&lab);
    let probes: BTreeSet<&str> = records.keys().map(String::as_str).collect();
    assert_eq!(probes, MEMBERS.into_iter().chain(["swing"]).collect());
    check_files(duckdb, &records);
    // Each end of an hour was lived through, and each life is in the files.
    let hours: BTreeSet<u64> = duckdb.samples.keys().map(|(_, hour)| *hour).collect();
    assert_eq!(hours, BTreeSet::from([21, 22, 23]));
    let minutes: BTreeSet<u64> =
        duckdb.steps["minute"].keys().map(|(_, begin)| (begin - MIDNIGHT) / 60).collect();
    assert_eq!(minutes, BTreeSet::from([21 * 60 + 59, 22 * 60, 22 * 60 + 59, 23 * 60]));
}
