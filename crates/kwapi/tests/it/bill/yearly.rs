//! `kwapi report`: a year of which a month was measured, against what the meters were given.

use super::*;

const ROLES: &str =
    "[labels]\n\"rack\" = { role = \"facility\" }\n\"rack.gpu\" = { role = \"it\", metered_at = \"pdu\" }\n";

/// Runs `kwapi report` there.
fn report(folder: &Path, more: &[&str]) -> String {
    let mut command = kwapi();
    command.args(["report", "--year", "2025", "--state-directory", "state", "--config", "kwapi.toml"]);
    let output = command.args(more).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The line of a period.
#[track_caller]
fn line<'a>(csv: &'a str, period: &str) -> Vec<&'a str> {
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    lines.find(|line| line[0] == period).unwrap_or_else(|| panic!("{period}\n{csv}"))
}

#[test]
fn a_year_has_the_energy_of_its_roles_and_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    site(folder, UNTIL);
    std::fs::write(folder.join("kwapi.toml"), CONFIG.replace("[labels]\n", ROLES)).unwrap();
    let csv = report(folder, &["--format", "csv"]);
    let october = line(&csv, "2025-10");
    let gpu = |at: u64| watts(3, at) * 2;
    let rack = |at: u64| watts(0, at) + gpu(at) + 35;
    let quarters: Vec<u64> = (0..31 * 96 + 4).map(|quarter| OCTOBER + quarter * 900).collect();
    let joules =
        |of: &dyn Fn(u64) -> u64, at: u64| (0..3).map(|step| of(at + step * STEP) * STEP).sum::<u64>();
    let kwh = |of: &dyn Fn(u64) -> u64| quarters.iter().map(|at| joules(of, *at)).sum::<u64>() as f64 / 3.6e6;
    let (facility, it) = (kwh(&rack), kwh(&gpu));
    let peak = quarters.iter().map(|at| joules(&rack, *at)).max().unwrap() as f64 / 9e5;
    // A register counts whole watt-hours.
    for (cell, expected, margin) in [
        (october[2], facility, 0.003),
        (october[3], it, 0.003),
        (october[5], facility / it, 0.0006),
        (october[7], peak, 0.01),
    ] {
        let energy: f64 = cell.parse().unwrap();
        assert!((energy - expected).abs() < margin, "{energy} is not {expected}\n{csv}");
    }
    assert_eq!((october[1], october[6]), ("complete", "2"), "IT is metered at PDUs");
    for (period, state) in [("2025-05", "missing"), ("2025-11", "incomplete"), ("2025", "incomplete")] {
        assert_eq!(line(&csv, period)[1], state, "{csv}");
    }
    let table = report(folder, &[]);
    assert!(table.contains("PUE is of category 2 (EN 50600-4-2)."), "{table}");
    assert!(table.contains("  WIN: total water input, m3\n"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&report(folder, &["--format", "json"])).unwrap();
    let known = &json["delegated_regulation_2024_1364"]["known"];
    assert_eq!(known["PUE"], json["total"]["pue"]);
    assert!(known["ERES-OS"].is_null() && known["EDC"].as_f64() > known["EIT"].as_f64(), "{known}");
}
