//! Energy after a power failure of the server, with the site and the centre killed beside it: what `/v1/`, `/v2/` and
//! `kwapi energy` show is what was used.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::spool::{copy, keeping, until_stored};
use super::*;

/// What the meter with a register draws, in watts; it counts in joules.
const WATTS: u64 = 200;
/// What the meter without one draws.
const PLAIN_WATTS: f64 = 100.0;
/// Of the register's resolution, what a curve may differ from the truth by (docs/energy-rules.md).
pub(super) const TICKS_MAX: f64 = 3.0;

/// A meter with a register, over HTTP: it continues counting whoever is killed. It ends with the process.
pub(super) struct RegisterMeter {
    port: u16,
    register: Arc<Mutex<Register>>,
}

struct Register {
    begun: Instant,
    /// What it showed first, in joules.
    first: Option<u64>,
    /// What it stays at.
    stopped: Option<u64>,
}

impl Register {
    fn joules(&self) -> u64 {
        self.stopped.unwrap_or_else(|| {
            1_000_000 + WATTS * u64::try_from(self.begun.elapsed().as_millis()).unwrap() / 1_000
        })
    }

    /// What it answers to a reading.
    fn read(&mut self) -> String {
        let joules = self.joules();
        self.first.get_or_insert(joules);
        let watts = if self.stopped.is_some() { 0 } else { WATTS };
        format!("{{\"watts\":{watts},\"joules\":{joules}}}")
    }
}

impl RegisterMeter {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let register = Register { begun: Instant::now(), first: None, stopped: None };
        let register = Arc::new(Mutex::new(register));
        let shared = register.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                if !matches!(stream.read(&mut [0; 4_096]), Ok(1..)) {
                    continue;
                }
                let body = shared.lock().unwrap().read();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ";
                _ = write!(stream, "{head}{}\r\n\r\n{body}", body.len());
            }
        });
        Self { port, register }
    }

    /// Nothing is used from now on. Returns what was since the first reading, in joules.
    pub(super) fn stop(&self) -> f64 {
        let mut register = self.register.lock().unwrap();
        let joules = register.joules();
        register.stopped = Some(joules);
        (joules - register.first.expect("a reading")) as f64
    }
}

/// Of a site's configuration, with that meter and one without a register.
pub(super) fn metered(site: &str, meter: &RegisterMeter) -> String {
    let toml = site.replace("'lyon.{outlet}'\noutlets = 5\n", "'lyon.plain'\n");
    format!(
        "{toml}[[meter]]\ndriver = 'http_json'\nurl = 'http://127.0.0.1:{}/'\nprobe = 'lyon.register'\n\
         values = {{ power = '/watts', energy = '/joules', energy_unit = 'J' }}\n",
        meter.port
    )
}

pub(super) fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no {key}: {value}"))
}

/// The seconds of a row by status; that they add up to the row.
fn seconds(row: &Value) -> f64 {
    let statuses = ["measured", "estimated", "bridged", "rrd", "unknown", "absent"];
    statuses.iter().map(|status| number(row, &format!("{status}_seconds"))).sum()
}

/// The energy of each probe, by `kwapi energy` with these further words.
fn energy(centre: &Kwapi, words: &[&str]) -> Value {
    let mut command = crate::harness::kwapi();
    command.args(["energy", "--format", "json", "--zone", "UTC"]).args(words).arg("--config");
    serde_json::from_str(&kwapi_peers::output(command.arg(centre.file("kwapi.toml")))).unwrap()
}

fn rows<'a>(answer: &'a Value, list: &str, probe: &str) -> &'a Vec<Value> {
    let of_probe = answer[list].as_array().unwrap().iter().find(|of| of["probe"] == probe);
    of_probe.unwrap_or_else(|| panic!("no {probe}: {answer}"))["rows"].as_array().unwrap()
}

/// A probe as `/v2/` has it.
pub(super) fn probe(centre: &Kwapi, name: &str) -> Value {
    let (status, body) = get(centre.api, &format!("/v2/probes/{name}/")).unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn after_a_power_failure_and_kills_at_both_ends_energy_is_what_was_used_and_all_time_is_accounted_for() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let (lab, meter) = (Lab::empty(), RegisterMeter::start());
    let mut server = NatsServer::start(&lab, free_port(), "");
    let url = server.url("power");
    let toml = centre(&url) + "[ledger]\nwrite_interval_seconds = 1\n";
    succeeds(&["nats-setup", "-c", &written(&lab, "centre.toml", &toml)], lab.path());
    let first = Kwapi::start(&["drivers"], &metered(&keeping(&url), &meter));
    let centre = Kwapi::start(&["run"], &toml);
    for name in ["lyon.plain", "lyon.register"] {
        centre.probe(name);
    }
    // From then on it has a position.
    wait_until("the centre is received from", PATIENCE, || {
        get(first.status, "/metrics").filter(|(_, text)| text.contains("kwapi_spool_heard_seconds{"))
    });
    let Kwapi { lab: centre_home, process, .. } = centre;
    drop(process);
    // The manager has the register's state on its disk, which is written every five seconds.
    until_stored(&first, 150.0);
    server.signal(libc::SIGSTOP);
    copy(&lab.join("nats"), &lab.join("kept"));
    server.signal(libc::SIGCONT);
    // Confirmed, and lost with the server's power; the site is killed beside it.
    until_stored(&first, 40.0);
    let Kwapi { lab: site_home, process, .. } = first;
    drop(process);
    server.kill();
    std::fs::remove_dir_all(lab.join("nats")).unwrap();
    copy(&lab.join("kept"), &lab.join("nats"));
    let second = Kwapi::start_in(site_home, &["drivers"], &metered(&keeping(&url), &meter));
    server.restart();
    let centre = Kwapi::start_in(centre_home, &["run"], &toml);
    until_stored(&second, 40.0);
    let used = meter.stop();

    let shown = wait_until("/v1/ has all that was used", PATIENCE, || {
        let (status, body) = get(centre.api, "/v1/probes/").filter(|(status, _)| *status == 200)?;
        let all: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status} {body}"));
        let joules = all["probes"]["lyon.register"]["kwh"].as_f64()? * 3.6e6;
        (joules >= used - TICKS_MAX).then_some(joules)
    });
    assert!((shown - used).abs() <= TICKS_MAX, "/v1/ has {shown} J, not {used}");
    second.process.stop(libc::SIGTERM, PATIENCE);
    // By the server: what the history reports is of the last message that it received.
    let setup = ["nats-setup", "-c", &written(&lab, "centre.toml", &toml)];
    wait_until("all is acknowledged", PATIENCE, || {
        let is_read = succeeds(&setup, lab.path()).contains("centre           unchanged (0 messages)");
        (is_read && waiting(centre.status)?.get("nats_subscribe").is_none()).then_some(())
    });
    let registered = probe(&centre, "lyon.register");
    let joules = number(&registered, "joules");
    assert!((joules - used).abs() <= TICKS_MAX, "/v2/ has {joules} J, not {used}");
    assert_eq!(number(&registered["time"], "unknown_seconds"), 0.0, "the register bridges it: {registered}");
    let plain = probe(&centre, "lyon.plain");
    assert!(number(&plain["time"], "unknown_seconds") > 0.0, "nothing shows the kill: {plain}");
    check_plain(&plain);
    assert_eq!(number(&plain, "messages_lost") + number(&registered, "messages_lost"), 0.0);
    check_rows(&centre, &plain, &registered, used);
}

/// That the meter without a register has its power for the time that was measured. Times are whole milliseconds of each run.
pub(super) fn check_plain(plain: &Value) {
    let over = number(plain, "joules") - PLAIN_WATTS * number(&plain["time"], "measured_seconds");
    assert!(over.abs() <= PLAIN_WATTS * 0.003, "{over} J more than was measured: {plain}");
}

/// That rows of a minute add up to the totals, statuses to the time, and each second has its power.
fn check_rows(centre: &Kwapi, plain: &Value, registered: &Value, used: f64) {
    let measured = [plain, registered].map(|of| [number(of, "since"), number(of, "energy_timestamp")]);
    let [[begun, end], [other_begun, other_end]] = measured;
    // From the minute before: a row in which one of them was not measured is always there, as where they begin in different
    // minutes.
    let span =
        [begun.min(other_begun).floor() - 60.0, end.max(other_end).ceil()].map(|at| format!("{at:.0}"));
    let span = ["--start", &span[0], "--end", &span[1]];
    // The clock is past the end.
    let (total, minutes) = wait_until("the end is past", PATIENCE, || {
        let words = [&span[..], &["--step", "minute"]].concat();
        run_until(centre, &span).zip(run_until(centre, &words))
    });
    let all = [("lyon.plain", number(plain, "joules")), ("lyon.register", used)];
    for ((name, expected), [since, until]) in all.into_iter().zip(measured) {
        let (of_total, of_minutes) = (rows(&total, "energy", name), rows(&minutes, "energy", name));
        assert_eq!(of_total.len(), 1);
        let joules = number(&of_total[0], "joules");
        assert!((joules - expected).abs() <= TICKS_MAX, "{name}: {joules} J, not {expected}");
        let sum: f64 = of_minutes.iter().filter_map(|row| row["joules"].as_f64()).sum();
        assert!((joules - sum).abs() < 0.002, "{name}: {sum} J by minute, {joules} in all");
        for row in of_minutes.iter().chain(of_total) {
            let at = |key: &str| row[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
            let (start, length) = (at("start").as_second() as f64, at("end").duration_since(at("start")));
            let length = length.as_secs_f64();
            assert!((seconds(row) - length).abs() < 0.002, "{name}: {length} s: {row}");
            let is_measured = start < until && start + length > since;
            assert_eq!(row["joules"].is_number(), is_measured, "{name}, {since} to {until}: {row}");
        }
        assert!(of_minutes[0]["joules"].is_null(), "{name}: {of_minutes:?}");
    }
    let path = format!("/v2/series?probe=lyon.plain&start={:.0}&end={:.0}&step=1", begun.floor(), end.ceil());
    let (status, body) = get(centre.api, &path).unwrap();
    assert_eq!(status, 200, "{body}");
    let series: Value = serde_json::from_str(&body).unwrap();
    let rows = rows(&series, "series", "lyon.plain");
    let is_filled =
        |row: &&Value| row["watts_mean"].as_f64().is_some_and(|watts| (watts - PLAIN_WATTS).abs() < 0.01);
    let empty = rows.len() - rows.iter().filter(is_filled).count();
    let unknown = number(&plain["time"], "unknown_seconds");
    assert!(rows.len() > 5 && empty as f64 <= unknown, "{empty} empty seconds of {unknown}: {body}");
}

/// The answer of `kwapi energy`, once its instants are past.
fn run_until(centre: &Kwapi, words: &[&str]) -> Option<Value> {
    let end = words.iter().skip_while(|word| **word != "--end").nth(1)?.parse::<i64>().ok()?;
    (jiff::Timestamp::now().as_second() > end).then(|| energy(centre, words))
}
