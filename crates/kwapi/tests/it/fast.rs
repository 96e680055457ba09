//! A thousand values a second, of a meter that sends them in blocks and of one that measures by itself: none that was measured
//! is lost on the way, what was missed is counted, and their energy is what the curve comes to.

use std::f64::consts::TAU;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;

use kwapi_peers::{Lab, wait_until};
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get};

const RATE: u64 = 1_000;
const SECONDS: u64 = 6;
const SITE: &str = "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
    [status]\nlisten = '127.0.0.1:@STATUS@'\n[samples]\nwrite_interval_seconds = 1\n";

/// A sine: its mean and how far it swings, in watts, and how long a swing takes, in microseconds; rising at instant 0.
#[derive(Clone, Copy)]
struct Curve {
    mean: f64,
    swing: f64,
    period: u64,
}

const CURVE: Curve = Curve { mean: 240.0, swing: 160.0, period: 700_000 };

impl Curve {
    /// Watts at an instant, in milliwatts as a meter shows them…
    fn watts(self, micros: u64) -> f64 {
        ((self.mean + self.swing * self.phase(micros).sin()) * 1e3).round() / 1e3
    }

    /// …and joules from one to another.
    fn joules(self, from: u64, to: u64) -> f64 {
        let swung = self.phase(from).cos() - self.phase(to).cos();
        self.mean * (to - from) as f64 / 1e6 + self.swing * self.period as f64 / 1e6 / TAU * swung
    }

    fn phase(self, micros: u64) -> f64 {
        TAU * (micros % self.period) as f64 / self.period as f64
    }
}

fn get_json(service: &Kwapi, path: &str) -> Option<Value> {
    let (status, body) = get(service.api, path)?;
    serde_json::from_str(&body).ok().filter(|_| status == 200)
}

/// An instant in Unix seconds, exactly.
fn instant(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Stamps in microseconds and watts of all samples since an instant, once there are as many as that.
fn samples(service: &Kwapi, start: u64, count: u64) -> Vec<(u64, f64)> {
    let path = format!("/v2/samples?probe=fast&start={}&limit=100000", instant(start));
    let all = wait_until("all samples", PATIENCE, || {
        let all = get_json(service, &path)?["samples"].as_array()?.clone();
        (all.len() as u64 >= count).then_some(all)
    });
    let number = |sample: &Value, key: &str| sample[key].as_f64().unwrap();
    all.iter().map(|sample| (micros(number(sample, "timestamp")), number(sample, "watts"))).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an instant of this century")]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

/// The joules that `/v2/energy` has between two instants.
fn energy(service: &Kwapi, from: u64, to: u64) -> f64 {
    let path = format!("/v2/energy?probe=fast&start={}&end={}", instant(from), instant(to));
    let answer = get_json(service, &path).unwrap();
    answer["energy"][0]["rows"][0]["joules"].as_f64().unwrap_or_else(|| panic!("{answer}"))
}

/// Nothing was dropped, whoever might have.
fn assert_nothing_dropped(service: &Kwapi) {
    let (_, metrics) = get(service.status, "/metrics").unwrap();
    let names = [
        "kwapi_bus_publish_dropped_total",
        "kwapi_history_samples_dropped_total",
        "kwapi_collector_dropped_total",
    ];
    for name in names {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        assert!(line.ends_with(" 0"), "{line}");
    }
}

#[test]
fn a_thousand_stamped_values_a_second_are_all_kept_and_come_to_the_curve() {
    let meter =
        "[[meter]]\ndriver = 'push'\nlisten = 'unix:@DIR@/fast.sock'\nprobe = 'fast'\nmax_gap_seconds = 60\n";
    let service = Kwapi::start(&["run"], &format!("{SITE}{meter}"));
    let mut socket =
        wait_until("the meter's socket", PATIENCE, || UnixStream::connect(service.file("fast.sock")).ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // In whole milliseconds, so that a stamp is the same however it is written.
    let start = (u64::try_from(now.as_millis()).unwrap() - SECONDS * 1_000) * 1_000;
    let at = |value: u64| start + value * 1_000_000 / RATE;
    let mut lines = String::new();
    for value in 0..SECONDS * RATE {
        lines += &format!("{{\"watts\":{},\"timestamp\":{}}}\n", CURVE.watts(at(value)), instant(at(value)));
    }
    socket.write_all(lines.as_bytes()).unwrap();
    let samples = samples(&service, start, SECONDS * RATE);
    assert_eq!(samples.len() as u64, SECONDS * RATE);
    for (value, (stamp, watts)) in (0_u64..).zip(&samples) {
        assert!(stamp.abs_diff(at(value)) <= 1, "{value}: {stamp}");
        assert_eq!(*watts, CURVE.watts(at(value)), "{value}");
    }
    // Between instants that are no multiples of anything, within minutes.
    for (from, to) in [(100, 5_900), (1_234, 4_321)] {
        let (from, to) = (at(from), at(to));
        let (total, truth) = (energy(&service, from, to), CURVE.joules(from, to));
        // A value counts from the one before it: half an interval of what the power has changed by.
        let allowed = truth * 1e-4 + (CURVE.watts(to) - CURVE.watts(from)).abs() * 0.5e-3;
        assert!((total - truth).abs() < allowed, "{total} J of {truth} J");
    }
    assert_nothing_dropped(&service);
}

#[test]
fn a_meter_read_a_thousand_times_a_second_loses_nothing_that_it_measured() {
    let meter = "[[meter]]\nname = 'fast'\ndriver = 'dummy'\nprobe = 'fast'\ninterval_seconds = 0.001\nwatts = 240.0\n\
        swing_watts = 160.0\nswing_seconds = 0.7\n";
    let service = Kwapi::start(&["run"], &format!("{SITE}{meter}"));
    let all = samples(&service, 0, SECONDS * RATE);
    let meters: Value = serde_json::from_str(&get(service.status, "/meters").unwrap().1).unwrap();
    let missed = meters[0]["ticks_missed"].as_u64().unwrap();
    let (from, to) = (all[0].0, all[all.len() - 1].0);
    // What was due was measured or is counted; it may have missed some more since.
    let due = (to - from + 500) / 1_000 + 1;
    assert!(
        (all.len() as u64..=all.len() as u64 + missed).contains(&due),
        "{due} due, {} measured",
        all.len()
    );
    for (stamp, watts) in &all {
        assert!((watts - CURVE.watts(*stamp)).abs() < 0.5, "{watts} W at {stamp}");
    }
    let (total, truth) = (energy(&service, from, to), CURVE.joules(from, to));
    let allowed = truth * 1e-4 + 320.0 * (0.5 + missed as f64) / 1e3;
    assert!((total - truth).abs() < allowed, "{total} J of {truth} J, {missed} missed");
    assert_nothing_dropped(&service);
    let Kwapi { process, lab, .. } = service;
    process.signal(15);
    assert!(process.ended(PATIENCE).success(), "SIGTERM is a clean end");
    let mut command = crate::harness::kwapi();
    command.args(["energy", "--probes", "fast", "--format", "json", "--start", &instant(from)]);
    command.args(["--end", &instant(to), "--config"]).arg(lab.join("kwapi.toml"));
    let output = kwapi_peers::output(&mut command);
    let answer: Value = serde_json::from_str(&output).unwrap();
    let from_files = answer["energy"][0]["rows"][0]["joules"].as_f64().unwrap_or_else(|| panic!("{output}"));
    assert!((from_files - total).abs() < 0.01, "{from_files} J in the files, {total} J before");
    if kwapi_peers::need_python("ledger") {
        others_read_it(&lab, &all);
    }
}

/// `DuckDB` finds each sample in the files, once.
fn others_read_it(lab: &Lab, all: &[(u64, f64)]) {
    const READ: &str = r#"
import sys, duckdb
folder, begin, end = sys.argv[1:]
rows = duckdb.sql(f"select epoch_us(time), power_w from read_parquet('{folder}/*/*/*.parquet', hive_partitioning = true) where probe = 'fast' and epoch_us(time) between {begin} and {end}").fetchall()
print(len(rows), len({row[0] for row in rows}), f"{sum(row[1] for row in rows):.3f}")
"#;
    let mut command = Command::new(kwapi_peers::python_environment("ledger"));
    command.args(["-c", READ]).arg(lab.join("state/history/samples"));
    command.args([all[0].0, all[all.len() - 1].0].map(|stamp| stamp.to_string()));
    let watts: f64 = all.iter().map(|(_, watts)| watts).sum();
    let wanted = format!("{0} {0} {watts:.3}", all.len());
    assert_eq!(kwapi_peers::output(&mut command).trim(), wanted);
}
