//! `kwapi bill --close` and `--correct`: a closed month keeps its bytes; what comes late or is corrected makes a document.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::*;

/// 2025-10-22, noon in Paris: the readings of one probe from then on are received after the month is closed.
const LATE: u64 = 1_761_127_200;
const FORMATS: [&[&str]; 6] = [
    &[],
    &["--format", "csv"],
    &["--format", "json"],
    &["--format", "html"],
    &["--profile"],
    &["--format", "ocmf"],
];

fn october(folder: &Path, more: &[&str]) -> (bool, String, String) {
    bill(folder, &[&OCTOBER_BY_DEPARTMENT[..], more].concat())
}

#[track_caller]
fn october_printed(folder: &Path, more: &[&str]) -> String {
    let (is_well, printed, complaint) = october(folder, more);
    assert!(is_well, "{complaint}");
    printed
}

#[track_caller]
fn refused(folder: &Path, more: &[&str], complaint: &str) {
    let (is_well, printed, stderr) = october(folder, more);
    assert!(!is_well && stderr.contains(complaint), "{more:?}: {printed} {stderr}");
}

/// The bill as all of it would be made now.
fn open_bill(folder: &Path, more: &[&str]) -> String {
    october_printed(folder, &[&["--probes", "*"], more].concat())
}

/// An amount in cents, or kilowatt-hours in watt-hours.
fn thousandths(text: &str) -> i64 {
    text.replace('.', "").parse().unwrap_or_else(|_| panic!("{text:?}"))
}

/// Watt-hours and cents of each line of a CSV, by the cells that name it.
fn sums(csv: &str, lines: &[&str], names: &[&str]) -> std::collections::BTreeMap<String, (i64, i64)> {
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let cell =
        |row: &[&str], name: &str| row[header.iter().position(|column| *column == name).unwrap()].to_owned();
    let mut sums = std::collections::BTreeMap::<String, (i64, i64)>::new();
    for row in rows.filter(|row| lines.contains(&cell(row, "line").as_str())) {
        let name: Vec<_> = names.iter().map(|name| cell(&row, name)).collect();
        let sum = sums.entry(name.join("/")).or_default();
        let kwh = cell(&row, "kwh");
        sum.0 += if kwh.is_empty() { 0 } else { thousandths(&kwh) };
        sum.1 += thousandths(&cell(&row, "amount"));
    }
    sums.retain(|_, sum| *sum != (0, 0));
    sums
}

const OF_BILL: [&str; 3] = ["probe", "month", "peak"];
const NAMES: [&str; 2] = ["department", "probe"];

/// What a bill and a correction of it come to together.
fn corrected(bill: &str, corrections: &[&str]) -> std::collections::BTreeMap<String, (i64, i64)> {
    let mut all = sums(bill, &OF_BILL, &NAMES);
    for correction in corrections {
        for (name, (wh, cents)) in sums(correction, &["change"], &NAMES) {
            let sum = all.entry(name).or_default();
            *sum = (sum.0 + wh, sum.1 + cents);
        }
    }
    all.retain(|_, sum| *sum != (0, 0));
    all
}

/// Has a verifier of others check the signed readings of a document.
fn verify(folder: &Path, document: &[&str]) {
    let records = october_printed(folder, &[document, &["--format", "ocmf"]].concat());
    let json: Value =
        serde_json::from_str(&october_printed(folder, &[document, &["--format", "json"]].concat())).unwrap();
    let key = json["document"]["public_key"].as_str().unwrap();
    // One that changes hands is read then as well.
    assert_eq!(records.lines().count(), 5, "{records}");
    if !kwapi_peers::need_python("ocmf") {
        return;
    }
    std::fs::write(folder.join("readings.ocmf"), &records).unwrap();
    std::fs::write(folder.join("ocmf.py"), VERIFY).unwrap();
    let mut python = Command::new(kwapi_peers::python_environment("ocmf"));
    python.current_dir(folder).args(["ocmf.py", "readings.ocmf", key]);
    let output = kwapi_peers::output(&mut python);
    assert!(output.contains("5 records are genuine"), "{output}");
}

const VERIFY: &str = include_str!("ocmf.py");

#[test]
fn a_closed_month_keeps_its_bytes_and_what_comes_later_is_a_correction() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    site(folder, LATE);
    refused(folder, &["--correct"], "the bill of 2025-10 by department is not closed; close it with --close");
    refused(
        folder,
        &["--format", "ocmf"],
        "is not closed; readings are signed when it is closed with --close",
    );
    let november =
        ["--month", "2025-11", "--by", "department", "--state-directory", "state", "--format", "csv"];
    let november_before = printed(folder, &november);
    // Killed at any moment it is closed or not.
    let mut kills = 0;
    for delay in [1, 20, 60, 150, 400, 900] {
        let mut command = kwapi();
        command.arg("bill").args(OCTOBER_BY_DEPARTMENT).args(["--close", "--config", "kwapi.toml"]);
        let mut closing = command.current_dir(folder).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        kills += usize::from(closing.try_wait().unwrap().is_none());
        _ = closing.kill();
        closing.wait().unwrap();
        october_printed(folder, &[]);
    }
    assert!(kills > 0);
    if !folder.join("state/bills/2025-10/1.json").exists() {
        october_printed(folder, &["--close"]);
    }
    refused(folder, &["--close"], "the bill of 2025-10 by department was closed 20");
    let before: Vec<String> = FORMATS.iter().map(|format| october_printed(folder, format)).collect();
    let [table, closed, ..] = before.as_slice() else { panic!("{before:?}") };
    assert!(table.contains("\nClosed 20") && table.contains("; document "), "{table}");
    let of_late = |csv: &str| sums(csv, &["probe"], &["probe"])["db"];
    assert!(of_late(closed).0 > 0);

    verify(folder, &[]);

    // A logger's file, after the close.
    imports(folder, "late.csv");
    let now = open_bill(folder, &["--format", "csv"]);
    assert!(of_late(&now).0 > of_late(closed).0);
    let first = october_printed(folder, &["--correct", "--format", "csv"]);
    assert_eq!(corrected(closed, &[&first]), sums(&now, &OF_BILL, &NAMES));
    let reasons = sums(&first, &["change"], &["reason"]);
    assert_eq!(reasons.keys().collect::<Vec<_>>(), ["readings"]);
    std::fs::write(folder.join("bill.csv"), &now).unwrap();
    std::fs::write(folder.join("profile.csv"), open_bill(folder, &["--profile"])).unwrap();
    recompute(folder);
    verify(folder, &["--correction", "1"]);
    let (_, nothing, stderr) = october(folder, &["--correct"]);
    assert!(nothing.is_empty() && stderr.contains("nothing to correct"), "{nothing} {stderr}");

    // A tariff and a share that were wrong.
    let config = CONFIG.replace("0.2345678", "0.2445").replace("share = 0.6 }", "share = \"0.5\" }");
    std::fs::write(folder.join("kwapi.toml"), config).unwrap();
    let second = october_printed(folder, &["--correct", "--format", "csv"]);
    let now = open_bill(folder, &["--format", "csv"]);
    assert_eq!(corrected(closed, &[&first, &second]), sums(&now, &OF_BILL, &NAMES));
    let reasons = sums(&second, &["change"], &["reason"]);
    assert_eq!(reasons.keys().collect::<Vec<_>>(), ["shares", "tariffs"]);
    assert_eq!(reasons["tariffs"].0, 0, "a price moves no energy");
    let json: Value =
        serde_json::from_str(&october_printed(folder, &["--correction", "2", "--format", "json"])).unwrap();
    let cents = |name: &str| thousandths(json[name]["amount"].as_str().unwrap());
    assert_eq!(cents("before") + cents("difference"), cents("now"));
    assert_eq!(cents("now"), sums(&now, &["total"], &["line"])["total"].1);
    let table = october_printed(folder, &["--correction", "2"]);
    assert!(table.contains("Corrected tariffs\n") && table.contains("\nDifference "), "{table}");
    let audit = std::fs::read_to_string(folder.join("state/audit.log")).unwrap();
    let line = "\"event\":\"bill_closed\"";
    // A close that was killed may have left its document alone.
    assert!(
        (2..=3).contains(&audit.matches(line).count()) && audit.contains("2025-10 by department"),
        "{audit}"
    );
    assert!(
        october_printed(folder, &["--correction", "1", "--format", "html"]).contains("Readings received")
    );
    refused(folder, &["--correction", "3"], "the bill of 2025-10 by department has no correction 3");

    // The open past has the new price; the closed month has its bytes.
    assert_ne!(printed(folder, &november), november_before);
    let (_, again, stderr) = october(folder, &[]);
    assert_eq!(again, before[0]);
    assert!(stderr.contains("has 2 corrections; print them with --correction NUMBER"), "{stderr}");
    for (format, before) in FORMATS.iter().zip(&before) {
        assert_eq!(&october_printed(folder, format), before);
    }
    let (_, _, stderr) = bill(folder, &["--month", "2025-10", "--state-directory", "state"]);
    assert!(stderr.contains("2025-10 is closed by department; what is printed is made of"), "{stderr}");

    // A backup has them, and what is not as it was written is no bill.
    let (is_well, output) = run(&["backup", "copy", "--from", "state"], folder);
    assert!(is_well, "{output}");
    let (is_well, output) = run(&["restore", "copy", "--into", "other"], folder);
    assert!(is_well, "{output}");
    let of_other = ["--month", "2025-10", "--by", "department", "--state-directory", "other"];
    assert_eq!(printed(folder, &of_other), before[0]);
    let path = folder.join("other/bills/2025-10/1.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"energy_wh\":", "\"energy_wh\":1", 1)).unwrap();
    let (is_well, _, stderr) = bill(folder, &of_other);
    assert!(!is_well && stderr.contains("1.json is corrupt; restore it from a backup"), "{stderr}");
}
