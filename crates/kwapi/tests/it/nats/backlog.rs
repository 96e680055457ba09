//! Six hours of a site, whose driver was restarted ten times, wait for a history that was away. It shows what is published
//! before it has read them, is killed in the middle, and has each message once, every row filled, and the energy that was
//! used.

use std::ops::Range;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{SystemTime, UNIX_EPOCH};

use kwapi_bus::{BusContext, EndpointConfig, Key, NatsSide, Publisher, PublisherConfig, Scheme};
use kwapi_core::{
    Clocks, Energy, Limits, Measurement, MeterCounter, PROGRAM_DATE, ProbeId, Quality, Register, Sample,
    SampleOutcome, Session, Watts,
};
use kwapi_history::{Ledger, LedgerConfig};
use kwapi_peers::{need, output};

use super::*;
use crate::fake_clock::FakedClock;
use crate::harness::request;

const HOURS_SECONDS: u64 = 6 * 3_600;
/// The driver stops so often, each time for a few seconds.
const RESTARTS: u64 = 10;
pub(super) const STOP_SECONDS: u64 = 5;
pub(super) const MEMBERS: [&str; 5] = ["hall.1", "hall.2", "hall.3", "hall.4", "hall.5"];
/// A tick of a register, in millijoules; what a total may differ from the truth by.
pub(super) const TICK: u64 = 1_000;
pub(super) const TICKS_MAX: u64 = 3;

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What a member draws in a second.
fn watts(member: usize, second: u64) -> u64 {
    100 * (member as u64 + 1) + 60 * (second / 600 % 2)
}

/// What all seconds before one come to, in millijoules.
pub(super) fn used(member: usize, second: u64) -> u64 {
    let (whole, part) = (second / 1_200, second % 1_200);
    let varying = whole * 600 + part.saturating_sub(600);
    1_000 * (watts(member, 0) * second + 60 * varying)
}

/// A site whose meters are read once a second; a second is counted from its begin.
pub(super) struct Site {
    /// When it began, in Unix seconds.
    begun: u64,
    next: u64,
    /// Which of [`MEMBERS`] are its own.
    members: Range<usize>,
    sessions: Vec<Session>,
    publisher: Publisher,
    pub(super) published: u64,
}

fn session(past: Vec<kwapi_core::SessionEntry>) -> Session {
    let second = Duration::from_secs(1);
    let limits = Limits { max_gap: 10 * second, interval: second, max_watts: None };
    Session::new(limits, PROGRAM_DATE, past)
}

fn probe(member: usize) -> ProbeId {
    ProbeId::new(MEMBERS[member]).unwrap()
}

impl Site {
    fn new(url: &str) -> Self {
        Self::of(url, 0..MEMBERS.len(), now() - HOURS_SECONDS)
    }

    /// One of these members, which began at `begun`.
    pub(super) fn of(url: &str, members: Range<usize>, begun: u64) -> Self {
        let config = PublisherConfig {
            // One by one: in batches, six hours are read before anybody has looked.
            endpoints: vec![EndpointConfig { batch_messages_max: Some(1), ..EndpointConfig::new(url) }],
            signature: Scheme::Kwapi1,
            keys: vec![Key::new("lyon", "a secret of sixteen bytes or more")],
            high_water: None,
        };
        let publisher = Publisher::start(&BusContext::new(), &config, MEMBERS.len()).unwrap();
        let sessions = members.clone().map(|_| session(Vec::new())).collect();
        Self { begun, next: 0, members, sessions, publisher, published: 0 }
    }

    /// Reads and publishes all seconds before one.
    pub(super) fn pass(&mut self, until: u64) {
        while self.next < until {
            self.read();
            self.next += 1;
            let run = HOURS_SECONDS / (RESTARTS + 1);
            let is_stop = self.next.is_multiple_of(run) && self.next / run <= RESTARTS;
            if is_stop {
                for (member, running) in self.members.clone().zip(&mut self.sessions) {
                    let stopped = std::mem::replace(running, session(Vec::new()));
                    *running = session(stopped.into_entries(&probe(member), "boot"));
                }
                self.next += STOP_SECONDS;
            }
        }
    }

    fn read(&mut self) {
        let wall = Timestamp::from_seconds(self.begun + self.next);
        let boottime = Duration::from_secs(1_000 + self.next);
        for (member, session) in self.members.clone().zip(&mut self.sessions) {
            let power = Watts(watts(member, self.next) as f64);
            let shown = used(member, self.next) / TICK * TICK;
            let register = Register { path: Some(format!("outlet {member}")), ..Register::default() };
            let sample = Sample {
                at: boottime,
                timestamp: wall,
                power: Some(power),
                is_counted: false,
                quality: Quality::Measured,
                counter: Some(MeterCounter::new(
                    Energy::from_millijoules(shown),
                    Energy::from_millijoules(TICK),
                )),
                register: Arc::new(register),
            };
            let clocks = Clocks { wall, boottime, boot: "boot" };
            assert!(matches!(session.record(&sample, &clocks), SampleOutcome::Counted(_)));
            self.publisher.publish(Measurement {
                probe: probe(member),
                power,
                voltage: None,
                current: None,
                accounting: session.publish(Quality::Measured),
            });
            self.published += 1;
        }
    }

    /// Waits until all that was published is stored.
    pub(super) fn stored(&self) {
        wait_until("all is stored", PATIENCE, || {
            let links = self.publisher.nats_links();
            let link = links.iter().find(|link| link.side == NatsSide::Publish)?;
            assert_eq!((link.dropped, link.rejected), (0, 0));
            (link.messages == self.published && link.waiting == 0).then_some(())
        });
    }

    /// Continues by the clock, until it is requested to stop.
    fn run_until(mut self, stop: Arc<AtomicBool>) -> JoinHandle<Self> {
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                self.pass(now() - self.begun);
                sleep(Duration::from_millis(50));
            }
            self.stored();
            self
        })
    }
}

/// The value of one series.
fn series(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// When the power of a member that is shown was measured, and its energy, as long as that is older.
fn shown(history: &Kwapi, member: &str) -> Option<(f64, Option<f64>)> {
    let (_, metrics) = get(history.status, "/metrics")?;
    let of = |what: &str| series(&metrics, &format!("kwapi_probe_{what}_seconds{{probe=\"{member}\"}}"));
    Some((of("timestamp")?, of("recorded_timestamp")))
}

/// Rows of a file that the service has, as RRDtool reads them, with their ends.
pub(super) fn rows(history: &Kwapi, path: &str, resolution: u64, (from, to): (u64, u64)) -> Vec<(u64, f64)> {
    let get = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (status, _, rrd) = request(history.web, &get).unwrap();
    assert_eq!(status, 200, "{path}");
    let file = history.file("fetched.rrd");
    std::fs::write(&file, rrd).unwrap();
    let [resolution, from, to] = [resolution, from, to].map(|number| number.to_string());
    let fetch = ["AVERAGE", "-r", &resolution, "-s", &from, "-e", &to];
    let fetched = output(Command::new("rrdtool").arg("fetch").arg(&file).args(fetch));
    let parsed = fetched.lines().filter_map(|line| {
        let (at, value) = line.split_once(": ")?;
        Some((at.trim().parse().ok()?, value.trim().parse().unwrap_or(f64::NAN)))
    });
    parsed.collect()
}

/// That the files of a member and of its group have a value in each row, and the right ones.
fn check_files(history: &Kwapi, begun: u64) {
    // Rows that are whole within the six hours, and before the seconds of groups that are open.
    let hours = (begun.next_multiple_of(900), (begun + HOURS_SECONDS - 900) / 900 * 900);
    let last = (begun + HOURS_SECONDS - 3_000, begun + HOURS_SECONDS - 300);
    let sum = |second: u64, members: Range<usize>| {
        members.map(|member| used(member, second)).sum::<u64>() as f64 / 1e3
    };
    for (path, members) in [("/rrd/hall.2/", 1..2), ("/rrd/group/hall/", 0..MEMBERS.len())] {
        for (resolution, span) in [(900, hours), (10, last)] {
            let rows = rows(history, path, resolution, span);
            assert!(rows.len() as u64 >= (span.1 - span.0) / resolution, "{path}: {} rows", rows.len());
            for (end, watts) in rows.into_iter().filter(|(end, _)| (span.0 + 900..=span.1).contains(end)) {
                let [before, after] = [end - resolution, end].map(|at| sum(at - begun, members.clone()));
                let truth = (after - before) / resolution as f64;
                // A sample states what held since the one before: a step comes a second early.
                let step = 60.0 * members.len() as f64 * (1.0 + STOP_SECONDS as f64) / resolution as f64;
                assert!(
                    (watts - truth).abs() <= step + 1e-6,
                    "{path} {resolution} s to {end}: {watts}, not {truth}"
                );
            }
        }
    }
}

#[test]
fn six_hours_with_ten_restarts_are_read_behind_the_present_and_all_of_them_is_kept() {
    if !need(&["rrdtool"]) || !kwapi_peers::need_python("nats") {
        return;
    }
    let lab = Lab::empty();
    let server = NatsServer::start(&lab, free_port(), "");
    let url = server.url("power");
    let centre = centre(&url).replace("[rrd]\n", "[rrd]\nflush_interval_seconds = 1\n")
        + "[ledger]\nwrite_interval_seconds = 1\n";
    succeeds(&["nats-setup", "-c", &written(&lab, "centre.toml", &centre)], lab.path());
    let mut site = Site::new(&url);
    let begun = site.begun;
    for hour in 1..=6 {
        site.pass(hour * 3_600);
        site.stored();
    }
    assert_eq!(site.next, HOURS_SECONDS);
    let end = (begun + HOURS_SECONDS) as f64;
    let stop = Arc::new(AtomicBool::new(false));
    let site = site.run_until(Arc::clone(&stop));

    let history = Kwapi::start(&["rrd"], &centre);
    let is_ahead = |(present, recorded): (f64, Option<f64>)| {
        // Some hours are recorded, and some are not.
        let part = begun as f64..end - 900.0;
        present >= end && recorded.is_some_and(|recorded| part.contains(&recorded))
    };
    let problem = wait_until("the present is shown ahead of the record", PATIENCE, || {
        shown(&history, "hall.3").filter(|shown| is_ahead(*shown))?;
        let [(ready, problem), (_, troubles), (_, page)] =
            [(history.status, "/readyz"), (history.status, "/troubles"), (history.web, "/probe/hall.3/")]
                .map(|(port, path)| get(port, path).unwrap());
        // Still so: they are of one moment.
        shown(&history, "hall.3").filter(|shown| is_ahead(*shown))?;
        Some((ready, problem, troubles, page))
    });
    let (ready, warnings, troubles, page) = problem;
    assert!(ready == 200 && warnings.contains("\"backlog\":"), "{ready} {warnings}");
    assert!(troubles.contains("history is being read: up to "), "{troubles}");
    assert!(page.contains("recorded up to"), "{page}");
    // Killed in the middle, with what it had not acknowledged.
    let Kwapi { process, lab: home, .. } = history;
    process.signal(9);
    process.ended(PATIENCE);

    let history = Kwapi::start_in(home, &["rrd"], &centre);
    wait_until("the backlog is read", Duration::from_secs(120), || {
        let (present, recorded) = shown(&history, "hall.3")?;
        let lag = metric(history.status, "kwapi_nats_lag_seconds{")?;
        (present >= end && recorded.is_none() && lag < 5.0).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    let site = site.join().unwrap();
    wait_until("all of it", PATIENCE, || {
        let (present, recorded) = shown(&history, "hall.5")?;
        (present == (begun + site.next - 1) as f64 && recorded.is_none()).then_some(())
    });
    let (_, metrics) = get(history.status, "/metrics").unwrap();
    let counted = |name: &str| {
        let lines = metrics.lines().filter(|line| line.starts_with(name) && !line.contains("duplicate"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>()
    };
    for none in [
        "kwapi_bus_refused_total{",
        "kwapi_collector_refused_total{",
        "kwapi_collector_late_total{",
        "kwapi_ledger_corrections_total",
        "kwapi_groups_late_total",
        "kwapi_collector_lost_messages",
    ] {
        assert_eq!(counted(none), 0.0, "{none}");
    }
    wait_until("files", PATIENCE, || {
        let path = "/rrd/group/hall/";
        let last = rows(&history, path, 10, (begun + HOURS_SECONDS - 320, begun + HOURS_SECONDS - 300));
        last.first().filter(|(_, watts)| watts.is_finite()).copied()
    });
    check_files(&history, begun);
    let Kwapi { process, lab: home, .. } = history;
    process.stop(libc::SIGTERM, PATIENCE);

    check_journal(&home, &site);
    check_ledger(&home, &site);
}

/// How many corrections the ledger has when a site's second minutes come sixty hours late, of which its history knew that
/// they may come.
fn corrections(stored_wait_max: &str) -> u64 {
    let lab = Lab::empty();
    let mut server = NatsServer::start(&lab, free_port(), "");
    let url = server.url("power");
    let centre = centre(&url).replace("[bus]\n", &format!("[bus]\n{stored_wait_max}\n"))
        + "[ledger]\nwrite_interval_seconds = 1\n";
    succeeds(&["nats-setup", "-c", &written(&lab, "centre.toml", &centre)], lab.path());
    let mut site = Site::new(&url);
    site.pass(130);
    site.stored();
    let has = |history: &Kwapi, messages: u64| {
        wait_until("messages", PATIENCE, || {
            let credited = metric(history.status, "kwapi_collector_messages_total{")?;
            (credited >= messages as f64).then_some(())
        });
    };
    let history = Kwapi::start(&["rrd"], &centre);
    has(&history, site.published);
    let Kwapi { process, lab: home, .. } = history;
    process.stop(libc::SIGTERM, PATIENCE);
    let before = site.published;
    site.pass(300);
    site.stored();

    server.kill();
    let later = jiff::Timestamp::from_second((now() + 60 * 3_600).cast_signed()).unwrap();
    let history = Kwapi::start_at(home, &later.strftime("%F %T").to_string(), &["rrd"], &centre);
    let _faked = FakedClock(history.process.id());
    wait_until("the history", PATIENCE, || waiting(history.status)?.get("nats_subscribe").cloned());
    // The ledger is written once a second, and ends then what is over.
    sleep(Duration::from_secs(3));
    server.restart();
    has(&history, site.published - before);
    let Kwapi { process, lab: home, .. } = history;
    process.stop(libc::SIGTERM, PATIENCE);
    let home = home.join("state/history");
    let (journal, _) = Journal::open(&home, JournalConfig::default(), Timestamp::from_seconds(1)).unwrap();
    Ledger::open(LedgerConfig::default(), &journal).unwrap().counters().corrections
}

#[test]
fn no_row_is_closed_by_the_clock_while_a_stream_may_have_more_of_it() {
    if !need(&["faketime"]) || !kwapi_peers::need_python("nats") {
        return;
    }
    assert!(corrections("stored_wait_max_seconds = 0") > 0, "nothing would have closed them");
    assert_eq!(corrections("stored_wait_max_seconds = 400000"), 0);
}

/// What comes of closing the month when it has just ended, while the server of a history is away.
fn closed(stored_wait_max: &str) -> String {
    let centre = centre(&format!("nats://127.0.0.1:{}/power", free_port()))
        .replace("[bus]\n", &format!("[bus]\n{stored_wait_max}\n"))
        + "[bill]\nzone = 'UTC'\n";
    let today = jiff::Timestamp::from_second(now().cast_signed()).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    let next = today.first_of_month().unwrap().checked_add(jiff::Span::new().months(1)).unwrap();
    let instant = next.strftime("%F 02:00:00").to_string();
    let history = Kwapi::start_at(Lab::empty(), &instant, &["rrd"], &centre);
    let _faked = FakedClock(history.process.id());
    wait_until("the history", PATIENCE, || waiting(history.status));
    let mut command = crate::harness::kwapi();
    command.args(["bill", "--close", "--month", &today.strftime("%Y-%m").to_string(), "--address"]);
    command.arg(format!("127.0.0.1:{}", history.status)).arg("--config").arg(history.file("kwapi.toml"));
    let output = crate::fake_clock::begin_at(&mut command, &instant).output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_month_is_not_closed_while_a_stream_may_have_more_of_it() {
    if !need(&["faketime"]) {
        return;
    }
    let refused = closed("");
    assert!(
        refused.contains("history is being read: up to ") && refused.contains("when it has been read"),
        "{refused}"
    );
    let allowed = closed("stored_wait_max_seconds = 3600");
    assert!(!allowed.contains("history is being read"), "{allowed}");
}

/// Each message once, and the energy that was used.
fn check_journal(home: &Lab, site: &Site) {
    let all = numbers(&home.join("state/history"));
    assert_eq!(all.len() as u64, (RESTARTS + 1) * MEMBERS.len() as u64, "sessions");
    assert_eq!(all.values().map(|numbers| numbers.len() as u64).sum::<u64>(), site.published);
    let home = home.join("state/history");
    let (journal, _) = Journal::open(&home, JournalConfig::default(), Timestamp::from_seconds(1)).unwrap();
    let mut totals = BTreeMap::new();
    journal
        .replay(Position::default(), |record| {
            totals.insert(record.probe.to_string(), record.taken.unwrap().register);
        })
        .unwrap();
    for (member, name) in MEMBERS.iter().enumerate() {
        let truth = used(member, site.next - 1);
        let total = &totals[*name];
        let energy = total.energy.millijoules();
        assert!(energy.abs_diff(truth) <= TICKS_MAX * TICK, "{name}: {energy} mJ, not {truth}");
        assert_eq!(total.measured_ms + total.bridged_ms, (site.next - 1) * 1_000, "{name}: none is unknown");
        assert_eq!(total.bridged_ms, RESTARTS * (STOP_SECONDS + 1) * 1_000, "{name}");
    }
}

/// Each minute is there, and is what was used in it.
fn check_ledger(home: &Lab, site: &Site) {
    let mut command = crate::harness::kwapi();
    // Up to the last measurements: a row that begins with them has no energy yet.
    let [start, end] = [site.begun, site.begun + site.next - 1].map(|at| at.to_string());
    command.args(["energy", "--start", &start, "--end", &end, "--step", "minute", "--format", "json"]);
    command.args(["--zone", "UTC", "--config"]).arg(home.join("kwapi.toml"));
    let answer: Value = serde_json::from_str(&output(&mut command)).unwrap();
    for (member, name) in MEMBERS.iter().enumerate() {
        let of = answer["energy"].as_array().unwrap().iter().find(|of| of["probe"] == *name).unwrap();
        let rows = of["rows"].as_array().unwrap();
        assert!(rows.len() as u64 >= HOURS_SECONDS / 60, "{name}: {} minutes", rows.len());
        let mut sum = 0.0;
        for row in rows {
            let at = |name: &str| row[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
            let [from, to] = [at("start"), at("end")]
                .map(|at| at.unsigned_abs().clamp(site.begun, site.begun + site.next - 1) - site.begun);
            let truth = (used(member, to) - used(member, from)) as f64 / 1e3;
            let joules = row["joules"].as_f64().unwrap_or_else(|| panic!("{name}: {row} has none"));
            // Watts and register meet to within a tick at each end; a stop is spread evenly.
            let bound = 2.0 * TICKS_MAX as f64 + 60.0 * (1.0 + STOP_SECONDS as f64);
            assert!((joules - truth).abs() <= bound, "{name}: {row}, not {truth}");
            sum += joules;
        }
        let truth = used(member, site.next - 1) as f64 / 1e3;
        assert!((sum - truth).abs() <= TICKS_MAX as f64 + 0.1, "{name}: {sum} J, not {truth}");
    }
}
