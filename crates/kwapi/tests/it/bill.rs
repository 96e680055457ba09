//! `kwapi bill`: a month with everything that is hard, made again by Python and `DuckDB` from the ledger's files; and what an
//! operator gets wrong.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use kwapi_core::Timestamp;
use kwapi_history::journal::{Journal, JournalConfig};
use kwapi_history::{Ledger, LedgerConfig};

use crate::harness::{kwapi, run};

mod closed;
mod yearly;

const RECOMPUTE: &str = include_str!("bill.py");

/// 2025-09-29 and 2025-11-02, midnight UTC: October in Paris and some more. The clock is set back on the 26th.
const FROM: u64 = 1_759_104_000;
const UNTIL: u64 = 1_762_041_600;
/// 2025-10-01, midnight in Paris.
const OCTOBER: u64 = 1_759_269_600;
const STEP: u64 = 300;
/// Six hours about noon of Wednesday the 15th, when the price changes.
const OUTAGE: std::ops::Range<u64> = 1_760_511_900..1_760_533_500;

const CONFIG: &str = r#"
state_directory = "state"

[bill]
zone = "Europe/Paris"
currency = "EUR"
shares = "shares.csv"

[labels]
"rack.web" = { department = [{ value = "physics", share = 0.6 }, { value = "biology", share = "0.3" }] }
"db" = { department = "biology" }

[[tariff]]
name = "energy"
price_per_kwh = 0.2134
until = "2025-10-15 12:00"
weekdays = ["mon-fri"]
hours = ["06:00-22:00"]
[[tariff]]
name = "energy"
price_per_kwh = "0.1587"
until = 2025-10-15T12:00:00
weekdays = ["mon-fri"]
hours = ["22:00-06:00"]
[[tariff]]
name = "energy"
price_per_kwh = "0.1587"
until = "2025-10-15T10:00:00Z"
weekdays = ["sat-sun"]
[[tariff]]
name = "energy"
price_per_kwh = 0.2345678
from = "2025-10-15 12:00"

[[tariff]]
name = "spot"
price_per_kwh = { csv = "spot.csv" }

[[tariff]]
name = "base"
price_per_month = "118.50"
[[tariff]]
name = "peak"
price_per_peak_kw = 3.7
[[tariff]]
name = "pue"
pue = 1.35
until = "2025-10-15 12:00"
[[tariff]]
name = "pue"
pue = 1.2
from = "2025-10-15 12:00"
[[tariff]]
name = "co2"
co2_grams_per_kwh = 56
"#;

/// Watts at a time: by the hour, the day and something odd.
fn watts(probe: u64, at: u64) -> u64 {
    let hour = at / 3_600 % 24;
    180 + probe * 71 + hour * 9 + at / STEP * 37 % 113
}

/// What meters have logged: the rack and what is in it, with registers; another without one, in a second file from `late` on.
fn log(folder: &Path, late: u64) {
    let mut of_registers = "time,probe,power,energy\n".to_owned();
    let mut of_watts = "time,probe,power\n".to_owned();
    let mut of_late = of_watts.clone();
    let mut joules = [40_000_000_u64, 7_654_321, 990_000_000];
    for row in 0..(UNTIL - FROM) / STEP {
        let at = FROM + row * STEP;
        let (web, gpu) = (watts(0, at), watts(3, at) * 2);
        let drawn = [web + gpu + 35, web, gpu];
        for ((probe, power), joules) in ["rack", "rack.web", "rack.gpu"].iter().zip(drawn).zip(&mut joules) {
            // One is not received in the outage; its register gives the energy.
            if *probe != "rack.web" || !OUTAGE.contains(&at) {
                writeln!(of_registers, "{at},{probe},{power},{}", *joules / 3_600).unwrap();
            }
            *joules += power * STEP;
        }
        if !OUTAGE.contains(&at) {
            let file = if at < late { &mut of_watts } else { &mut of_late };
            writeln!(file, "{at},db,{}", watts(5, at)).unwrap();
        }
    }
    std::fs::write(folder.join("registers.csv"), of_registers).unwrap();
    std::fs::write(folder.join("watts.csv"), of_watts).unwrap();
    std::fs::write(folder.join("late.csv"), of_late).unwrap();
}

/// A state directory with that log but for what is late, a configuration beside it, and the ledger's files.
fn site(folder: &Path, late: u64) {
    log(folder, late);
    std::fs::write(folder.join("kwapi.toml"), CONFIG).unwrap();
    let mut shares = "probe,label,value,share,from,until\n# It moves on a Monday.\n".to_owned();
    shares += "rack.gpu,department,physics,,,2025-10-20\nrack.gpu,department,biology,1,2025-10-20,\n";
    std::fs::write(folder.join("shares.csv"), shares).unwrap();
    let mut spot = "begin,value\n".to_owned();
    for quarter in 0..31 * 96 + 4 {
        let (at, price) = (OCTOBER + quarter * 900, quarter * 7_919 % 26_000);
        let instant = jiff::Timestamp::from_second(at.cast_signed()).unwrap();
        let sign = if quarter % 29 == 0 { "-" } else { "" };
        writeln!(spot, "{instant},{sign}0.{price:05}").unwrap();
    }
    std::fs::write(folder.join("spot.csv"), spot).unwrap();
    imports(folder, "registers.csv --register energy --register-unit Wh --tick 1");
    imports(folder, "watts.csv");
}

/// Imports a file, and has the ledger's files written.
fn imports(folder: &Path, file: &str) {
    let keys = "--into state --time time --time-format unix --probe {probe} --power power --max-watts 3000";
    let (is_well, output) = run(&format!("import {file} {keys}").split(' ').collect::<Vec<_>>(), folder);
    assert!(is_well, "{output}");
    let now = Timestamp::from_seconds(UNTIL);
    let (journal, _) = Journal::open(&folder.join("state/history"), JournalConfig::default(), now).unwrap();
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    ledger.catch_up(now);
    ledger.write(now).unwrap();
}

/// Runs `kwapi bill` there: whether it succeeded, what it printed, and what it complained of.
fn bill(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    let mut command = kwapi();
    command.arg("bill").args(arguments).current_dir(folder).args(["--config", "kwapi.toml"]);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let (is_well, printed, complaint) = bill(folder, arguments);
    assert!(is_well, "{complaint}");
    printed
}

const OCTOBER_BY_DEPARTMENT: [&str; 6] =
    ["--month", "2025-10", "--by", "department", "--state-directory", "state"];

#[test]
fn a_month_is_billed_as_python_and_duckdb_bill_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    site(folder, UNTIL);
    let with = |more: &[&str]| printed(folder, &[&OCTOBER_BY_DEPARTMENT[..], more].concat());
    let csv = with(&["--format", "csv"]);
    std::fs::write(folder.join("bill.csv"), &csv).unwrap();
    std::fs::write(folder.join("profile.csv"), with(&["--profile"])).unwrap();
    let table = with(&[]);
    assert!(table.starts_with("Bill of 2025-10 by department, 2025-10-01T00:00:00+02:00 to 2025-11-01T00:00:00+01:00 (Europe/Paris)\nNote: allocation of cost, not calibrated metering.\n"), "{table}");
    let of_table =
        |amount: &str| table.lines().any(|line| line.starts_with("Total") && line.ends_with(amount));
    let total = csv.lines().last().unwrap().split(',').collect::<Vec<_>>();
    assert!(of_table(&format!("  {}", total[8])), "{table}\n{csv}");
    let json: serde_json::Value = serde_json::from_str(&with(&["--format", "json"])).unwrap();
    assert_eq!(json["amount"], total[8]);
    let names: Vec<_> =
        json["values"].as_array().unwrap().iter().map(|value| value["value"].clone()).collect();
    assert_eq!(names, [serde_json::json!("biology"), serde_json::json!("physics"), serde_json::Value::Null]);
    // Whoever owns what, energy costs the same.
    let all = printed(folder, &["--month", "2025-10", "--state-directory", "state", "--format", "csv"]);
    let energy = |csv: &str| {
        let lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let cents = lines.filter(|cells| cells[2] == "probe").map(|cells| cells[8].replace('.', ""));
        cents.map(|cents| cents.parse::<i64>().unwrap()).sum::<i64>()
    };
    assert_eq!(energy(&all), energy(&csv));
    let (is_well, _, stderr) =
        bill(folder, &["--month", "2025-10", "--by", "departmnt", "--state-directory", "state"]);
    assert!(!is_well && stderr.contains("no probe has the label \"departmnt\" in this month"), "{stderr}");
    recompute(folder);
}

/// Has Python and `DuckDB` make the bill again that is in `bill.csv` and `profile.csv`.
fn recompute(folder: &Path) {
    if !kwapi_peers::need_python("ledger") {
        return;
    }
    let script = folder.join("bill.py");
    std::fs::write(&script, RECOMPUTE).unwrap();
    let mut python = Command::new(kwapi_peers::python_environment("ledger"));
    python.arg(script).arg(folder.join("state/history/ledger"));
    python.args(["bill.csv", "profile.csv", "spot.csv"].map(|name| folder.join(name)));
    let output = kwapi_peers::output(&mut python);
    assert!(output.contains("numbers agree"), "{output}");
    println!("{output}");
}

#[test]
fn what_is_wrong_with_a_question_or_a_tariff_is_reported_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(
        folder.join("kwapi.toml"),
        "state_directory = 'state'\n[status]\nlisten = '127.0.0.1:1'\n",
    )
    .unwrap();
    for (arguments, complaint) in [
        (&["--month", "october"][..], "\"october\" is not a month; write for example 2026-10"),
        (&["--month", "2199-01"], "no quarter hour of 2199-01 is over yet"),
        (&["--month", "2025-10", "--state-directory", "nowhere"], "nowhere"),
        (&["--month", "2025-10"], "cannot connect to http://127.0.0.1:1"),
        (&["--month", "2025-10", "--profile", "--format", "json"], "cannot be used with"),
    ] {
        let (is_well, printed, stderr) = bill(folder, arguments);
        assert!(!is_well && stderr.contains(complaint), "{arguments:?}: {printed} {stderr}");
    }
    let check = |name: &str| run(&["check", "--config", name], folder);
    std::fs::write(
        folder.join("shares.csv"),
        "probe,label,value,share,from,until\na,d,x,0.7,,\na,d,y,0.4,,\n",
    )
    .unwrap();
    std::fs::write(folder.join("wrong.toml"), "[bill]\nshares = 'shares.csv'\n").unwrap();
    let (is_well, output) = check("wrong.toml");
    assert!(
        !is_well && output.contains("shares.csv:3: `d` of `a`: shares add up to more than 1"),
        "{output}"
    );
    std::fs::write(folder.join("spot.csv"), "begin,value\n2025-10-01 00:00,0.1\n2025-10-01 00:10,0.2\n")
        .unwrap();
    let tariff =
        "[bill]\nzone = 'Europe/Paris'\n[[tariff]]\nname = 'spot'\nprice_per_kwh = { csv = 'spot.csv' }\n";
    std::fs::write(folder.join("wrong.toml"), tariff).unwrap();
    let (is_well, output) = check("wrong.toml");
    assert!(
        !is_well && output.contains("spot.csv:3: \"2025-10-01 00:10\" is within a quarter hour"),
        "{output}"
    );
}
