//! RRDtool itself is the referee: same updates, same bytes.

use std::path::Path;
use std::process::Command;

use kwapi_peers::{Lab, need, output};
use proptest::prelude::*;

use super::*;
use crate::store::{PEAKS, POWER};

mod foreign;

/// A Sunday in November 2023, three seconds after a ten-second boundary.
const START: u64 = 1_700_000_003;

type Update = (u64, Option<f64>);

fn micros(seconds: f64) -> u64 {
    START * 1_000_000 + (seconds * 1e6).round() as u64
}

fn rrdtool() -> Command {
    let mut command = Command::new("rrdtool");
    command.env("TZ", "UTC");
    command
}

/// What `rrdtool update` is given. Half a microsecond more, since it cuts what a double cannot hold.
fn argument((at, value): &Update) -> String {
    let value = value.map_or("U".to_owned(), format::value_text);
    format!("{}.{:06}5:{value}", at / 1_000_000, at % 1_000_000)
}

fn rrdtool_update(file: &Path, updates: &[Update]) {
    if !updates.is_empty() {
        output(rrdtool().arg("update").arg(file).args(updates.iter().map(argument)));
    }
}

fn our_update(file: &Path, updates: &[Update]) {
    amend(file, |rrd| {
        for (at, value) in updates {
            rrd.update(Timestamp::from_micros(*at), &[*value]).unwrap();
        }
    })
    .unwrap();
}

/// Which double this is, but for the sign of a NaN.
fn same_but_for_the_sign_of_nan(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.chunks(8).zip(right.chunks(8)).all(|(left, right)| {
            let nan = |bytes: &[u8]| bytes.try_into().map(f64::from_le_bytes).is_ok_and(f64::is_nan);
            left == right || nan(left) && nan(right)
        })
}

/// Gives both the same file and the same updates, ours in batches, and compares the files.
#[track_caller]
fn check(definition: &Definition<'_>, updates: &[Update]) {
    let lab = Lab::empty();
    let (ours, theirs) = (lab.join("ours.rrd"), lab.join("theirs.rrd"));
    create(&ours, &Rrd::new(definition, START)).unwrap();
    std::fs::copy(&ours, &theirs).unwrap();
    for batch in updates.chunks(7) {
        our_update(&ours, batch);
    }
    rrdtool_update(&theirs, updates);
    let (our_bytes, their_bytes) = (std::fs::read(&ours).unwrap(), std::fs::read(&theirs).unwrap());
    if !same_but_for_the_sign_of_nan(&our_bytes, &their_bytes) {
        let dump = |file| output(rrdtool().arg("dump").arg(file));
        let (ours, theirs) = (dump(&ours), dump(&theirs));
        for (our, their) in ours.lines().zip(theirs.lines()).filter(|(our, their)| our != their).take(10) {
            eprintln!("ours:   {our}\ntheirs: {their}");
        }
        let at = our_bytes.iter().zip(&their_bytes).position(|(our, their)| our != their);
        panic!("the files differ at byte {at:?} after {updates:?}");
    }
}

#[test]
fn a_new_file_is_the_one_rrdtool_creates() {
    if !need(&["rrdtool"]) {
        return;
    }
    for definition in [POWER, PEAKS] {
        let lab = Lab::empty();
        let (ours, theirs) = (lab.join("ours.rrd"), lab.join("theirs.rrd"));
        create(&ours, &Rrd::new(&definition, START)).unwrap();
        let archives = definition
            .archives
            .iter()
            .map(|(consolidation, steps, rows)| format!("RRA:{}:0.5:{steps}:{rows}", consolidation.name()));
        let start = START.to_string();
        output(
            rrdtool()
                .arg("create")
                .arg(&theirs)
                .args(["-b", &start, "-s", "1", "DS:w:GAUGE:600:0:U"])
                .args(archives),
        );
        let mut theirs = Rrd::parse(&std::fs::read(&theirs).unwrap()).unwrap();
        for archive in &mut theirs.archives {
            archive.newest = archive.rows - 1; // RRDtool begins at a random row.
        }
        let (ours, theirs) = (std::fs::read(&ours).unwrap(), theirs.to_bytes());
        let at = ours.iter().zip(&theirs).position(|(our, their)| our != their);
        assert_eq!((ours.len(), at), (theirs.len(), None));
    }
    assert_eq!(Rrd::new(&POWER, START).to_bytes().len(), 9_752);
}

#[test]
fn steady_updates_leave_the_bytes_rrdtool_leaves() {
    if !need(&["rrdtool"]) {
        return;
    }
    let steady = |every: f64, count: u32| -> Vec<Update> {
        (1..=count).map(|n| (micros(f64::from(n) * every), Some(f64::from(n * 37 % 101) + 0.25))).collect()
    };
    check(&POWER, &steady(1.0, 700));
    check(&POWER, &steady(0.73, 500));
    check(&POWER, &steady(7.3, 1_000));
    check(&POWER, &steady(599.5, 3_000));
    check(&PEAKS, &steady(1.0, 2_000));
    check(&PEAKS, &steady(61.7, 1_000));
}

#[test]
fn gaps_leave_the_bytes_rrdtool_leaves() {
    if !need(&["rrdtool"]) {
        return;
    }
    let weeks = 604_800.0;
    let updates = [
        (micros(1.5), Some(100.0)),
        (micros(2.25), None),
        (micros(2.75), Some(3.0)),
        (micros(400.0), Some(50.0)),
        (micros(1_000.5), None),
        (micros(1_600.6), Some(7.0)),
        (micros(2.5 * weeks), Some(8.0)),
        (micros(2.5 * weeks + 1.0), Some(9.0)),
        (micros(80.0 * weeks), Some(10.0)),
        (micros(80.0 * weeks + 600.0), Some(11.0)),
    ];
    check(&POWER, &updates);
    check(&PEAKS, &updates);
}

#[test]
fn odd_values_leave_the_bytes_rrdtool_leaves() {
    if !need(&["rrdtool"]) {
        return;
    }
    let values = [0.0, 1e9, 1e-1, 123_456_789.12, -1.0, 0.01, 999_999_999.99, 12.0];
    let updates: Vec<Update> =
        values.iter().enumerate().map(|(n, value)| (micros(n as f64 * 3.3 + 1.0), Some(*value))).collect();
    check(&POWER, &updates);
}

/// Spacings from microseconds to a month, values and unknowns. At most two decimals: RRDtool 1.7 reads more of them
/// an ulp off.
fn updates() -> impl Strategy<Value = Vec<Update>> {
    let spacing = prop_oneof![
        4 => Just(1_000_000_u64),
        4 => 1_u64..3_000_000,
        2 => 1_u64..900_000_000,
        1 => 1_u64..3_000_000_000_000,
        1 => (1_u64..2_000).prop_map(|seconds| seconds * 1_000_000),
    ];
    let value = prop_oneof![6 => (0..500_000_i32).prop_map(|hundredths| Some(f64::from(hundredths) / 100.0)), 1 => Just(None), 1 => Just(Some(-5.0))];
    prop::collection::vec((spacing, value), 1..120).prop_map(|steps| {
        let mut at = START * 1_000_000;
        steps
            .into_iter()
            .map(|(spacing, value)| {
                at += spacing;
                (at, value)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_updates_leave_the_bytes_rrdtool_leaves(updates in updates()) {
        if need(&["rrdtool"]) {
            check(&POWER, &updates);
            check(&PEAKS, &updates);
        }
    }
}

proptest! {
    #[test]
    fn noise_is_no_rrd_and_never_panics(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Rrd::parse(&noise).is_err());
    }

    #[test]
    fn a_damaged_file_never_panics(damage in prop::collection::vec((0_usize..3_000, any::<u8>()), 1..8),
            keep in 0_usize..9_752, seconds in 1_u64..100_000) {
        let mut bytes = Rrd::new(&POWER, START).to_bytes();
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..keep]] {
            exercise(bytes, Timestamp::from_seconds(START + seconds));
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = Rrd::new(&POWER, START).to_bytes();
    for keep in 0..bytes.len() {
        assert!(Rrd::parse(&bytes[..keep]).is_err(), "{keep} bytes");
    }
}

#[test]
fn an_update_not_after_the_last_is_refused_and_changes_nothing() {
    let mut rrd = Rrd::new(&POWER, START);
    rrd.update(Timestamp::from_micros(micros(5.5)), &[Some(1.0)]).unwrap();
    let before = rrd.to_bytes();
    for seconds in [5.5, 5.4, 0.0] {
        let refused = rrd.update(Timestamp::from_micros(micros(seconds)), &[Some(2.0)]);
        assert_eq!(refused, Err(UpdateError::NotAfterLast));
    }
    assert!(rrd.update(Timestamp::from_micros(micros(9.0)), &[]).is_err());
    assert_eq!(rrd.to_bytes(), before);
}

#[test]
fn each_continues_a_file_of_the_other() {
    if !need(&["rrdtool"]) {
        return;
    }
    let lab = Lab::empty();
    let (mixed, pure) = (lab.join("mixed.rrd"), lab.join("pure.rrd"));
    create(&mixed, &Rrd::new(&POWER, START)).unwrap();
    std::fs::copy(&mixed, &pure).unwrap();
    let updates: Vec<Update> =
        (1..400).map(|n| (micros(f64::from(n) * 1.3), Some(f64::from(n % 17) / 10.0))).collect();
    for (turn, batch) in updates.chunks(50).enumerate() {
        if turn % 2 == 0 {
            our_update(&mixed, batch);
        } else {
            rrdtool_update(&mixed, batch);
        }
        rrdtool_update(&pure, batch);
    }
    assert!(same_but_for_the_sign_of_nan(&std::fs::read(&mixed).unwrap(), &std::fs::read(&pure).unwrap()));
}

/// `rrdtool fetch`, as (end of row, value).
fn rrdtool_fetch(
    file: &Path,
    consolidation: &str,
    step: u64,
    start: u64,
    end: u64,
) -> Vec<(u64, Option<f64>)> {
    let (step, start, end) = (step.to_string(), start.to_string(), end.to_string());
    let text =
        output(rrdtool().arg("fetch").arg(file).args([consolidation, "-r", &step, "-s", &start, "-e", &end]));
    text.lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(end, value)| {
            (end.parse().unwrap(), value.parse().ok().filter(|value: &f64| value.is_finite()))
        })
        .collect()
}

#[test]
fn rows_are_those_rrdtool_fetches() {
    if !need(&["rrdtool"]) {
        return;
    }
    let lab = Lab::empty();
    for (definition, step) in [(POWER, 1), (POWER, 10), (POWER, 900), (PEAKS, 10), (PEAKS, 900)] {
        let file = lab.join("fetched.rrd");
        create(&file, &Rrd::new(&definition, START)).unwrap();
        let updates: Vec<Update> = (1..900)
            .map(|n| (micros(f64::from(n) * 2.6), (n % 50 != 0).then(|| f64::from(n % 23))))
            .collect();
        our_update(&file, &updates);
        let rrd = read(&file).unwrap();
        for (number, archive) in rrd.archives().iter().enumerate() {
            if rrd.row_seconds(archive) != step {
                continue;
            }
            let end = rrd.last_update().seconds() / step * step;
            let count = if step == 1 { 300 } else { 5 };
            let start = end - count * step;
            let ours = rrd.rows(number, start, count as usize, None).unwrap();
            let theirs = rrdtool_fetch(&file, archive.consolidation.name(), step, start, end - 1);
            assert_eq!(theirs.len(), ours.values.len(), "{step}");
            for ((end, their), (index, our)) in theirs.iter().zip(ours.values.iter().enumerate()) {
                assert_eq!(*end, ours.start + (index as u64 + 1) * step);
                assert_eq!(their.is_some(), our.is_some(), "at {end}");
                let difference = their.unwrap_or(0.0) - our.unwrap_or(0.0);
                assert!(
                    difference.abs() <= 1e-9 * our.unwrap_or(1.0).abs(),
                    "{their:?} and {our:?} at {end}"
                );
            }
        }
    }
}

#[test]
fn rrdtool_graphs_a_file_of_ours() {
    if !need(&["rrdtool"]) {
        return;
    }
    let lab = Lab::empty();
    let (file, picture) = (lab.join("graphed.rrd"), lab.join("graph.png"));
    create(&file, &Rrd::new(&POWER, START)).unwrap();
    our_update(&file, &(1..300).map(|n| (micros(f64::from(n)), Some(100.0))).collect::<Vec<_>>());
    let definition = format!("DEF:w={}:w:AVERAGE", file.display());
    let (start, end) = (START.to_string(), (START + 300).to_string());
    output(
        rrdtool()
            .args(["graph", &picture.display().to_string(), "-s", &start, "-e", &end, &definition])
            .args(["LINE1:w#0000FF", "PRINT:w:AVERAGE:%lf"]),
    );
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn a_row_in_progress_shows_what_is_known_until_it_should_have_ended() {
    let mut rrd = Rrd::new(&POWER, 1_700_000_100); // A multiple of 900 less 600.
    for second in 1..=20 {
        rrd.update(Timestamp::from_seconds(1_700_000_100 + second), &[Some(50.0)]).unwrap();
    }
    let quarter = rrd.archive(Consolidation::Average, 900).unwrap();
    let start = 1_700_000_100 / 900 * 900;
    let rows = |as_of| rrd.rows(quarter, start, 1, as_of).unwrap().values;
    assert_eq!(rows(None), [None]);
    assert_eq!(rows(Some(1_700_000_121)), [Some(50.0)]);
    assert_eq!(rows(Some(start + 900)), [None]);
}

#[test]
fn a_locked_file_is_left_for_later() {
    if !need(&["python3"]) {
        return;
    }
    let lab = Lab::empty();
    let (file, held) = (lab.join("locked.rrd"), lab.join("held"));
    create(&file, &Rrd::new(&POWER, START)).unwrap();
    let script = "import fcntl,sys,time\nf=open(sys.argv[1],'r+b')\nfcntl.lockf(f,fcntl.LOCK_EX)\nopen(sys.argv[2],'w')\ntime.sleep(60)";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(&file).arg(&held);
    let holder = kwapi_peers::Peer::start(&mut command, lab.join("log"))
        .ready(std::time::Duration::from_secs(10), || held.exists());
    assert!(matches!(amend(&file, |_| ()), Err(RrdFileError::Locked(_))));
    drop(holder);
    assert!(amend(&file, |_| ()).is_ok());
}
