//! The routes as `facts` has them of the original, over a history made up here.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{Response, StatusCode};
use bytes::Bytes;
use kwapi_bus::{Batch, Received};
use kwapi_core::{Accounting, Energy, Measurement, MonotonicClock, Period, Quality, Series, Totals, Watts};
use kwapi_history::Latest;
use tower::ServiceExt;

use super::*;
use crate::directory::{ConfiguredProbes, Labels, PowerHistory, Unreadable};
use crate::intake::Intake;
use crate::live::{Live, LiveConfig};

mod axe;
mod bills;
mod browser;
mod caching;
mod driver;
mod first_look;
mod flow;
mod graphs;
mod groups;
mod keys;
mod legend;
mod listing;
mod live;
mod logging_in;
mod marks;
mod of_groups;
mod probe;
mod ranges;
mod ranges_of_sums;
mod routes;
mod stored;
mod streams;
mod table;
mod tenants;
mod tree;
mod troubles;
mod weight;

/// 2026-11-23 10:00:00 UTC.
const NOW: u64 = 1_795_428_000;
/// Ids that break whatever does not encode them.
const AWKWARD: [&str; 5] = ["a/b", "it's \"7\" <b>&amp;", "nœud-é-🔌", "100%25", "a;b=c|d ~e?f#g"];

/// Probes whose power is a function of their name; those in `silent` stopped ten minutes ago.
struct Fixture {
    probes: Vec<ProbeId>,
    silent: BTreeSet<&'static str>,
    now: Arc<AtomicU64>,
}

impl Fixture {
    fn of(names: &[&str]) -> Self {
        let probes = names.iter().map(|name| ProbeId::new(name).unwrap()).collect();
        Self { probes, silent: BTreeSet::new(), now: Arc::new(AtomicU64::new(NOW)) }
    }

    fn last(&self, probe: &ProbeId) -> u64 {
        let now = self.now.load(Ordering::Relaxed);
        if self.silent.contains(probe.as_str()) { NOW - 600 } else { now }
    }

    fn clock(&self) -> WallClock {
        let now = Arc::clone(&self.now);
        WallClock::new(move || Timestamp::from_seconds(now.load(Ordering::Relaxed)))
    }

    /// What is live of these probes: each has used 1.5 kWh in the last day, 400 s of which are unknown.
    fn live(&self) -> Live {
        let now = Arc::clone(&self.now);
        let clock = MonotonicClock::new(move || Duration::from_secs(now.load(Ordering::Relaxed)));
        let live_config = LiveConfig { cleaning_interval: None, ..LiveConfig::default() };
        let live = Live::open(live_config, Vec::new(), self.clock(), clock);
        let mut intake = Intake::new(live.clone(), None);
        let totals = Totals {
            energy: Energy::from_watt_hours(1_500),
            measured_ms: 86_000_000,
            unknown_ms: 400_000,
            ..Totals::default()
        };
        for probe in &self.probes {
            let (last, begin) = (self.last(probe), NOW - 86_400);
            let minute = self.fetch(probe, Period::Minute, last).unwrap().unwrap().watts;
            let Some(watts) = minute.into_iter().rev().flatten().next() else { continue };
            let power = (Watts(watts), Quality::Measured);
            // Both are received at the end: the probe's own interval is not a day.
            receive(&mut intake, probe, 0, begin, last, power, Totals::default());
            receive(&mut intake, probe, 1, last, last, power, totals);
        }
        live
    }
}

/// A message of a session that began a day before [`NOW`].
fn receive(
    intake: &mut Intake,
    probe: &ProbeId,
    seq: u64,
    at: u64,
    received_at: u64,
    (power, quality): (Watts, Quality),
    totals: Totals,
) {
    let timestamp = Timestamp::from_seconds(at);
    let session = Timestamp::from_seconds(NOW - 86_400);
    let accounting = Accounting { timestamp, session, seq, totals, curve: None, meter: None, quality };
    let measurement = Measurement {
        probe: probe.clone(),
        power,
        voltage: None,
        current: None,
        accounting: Some(accounting),
    };
    let received = Received {
        measurement,
        key: None,
        description: None,
        arrived: timestamp,
        received_at: Duration::from_secs(received_at),
    };
    intake.take(Batch { measurements: vec![received] }, Box::new(|| ()));
}

impl PowerHistory for Fixture {
    fn probes(&self) -> Vec<ProbeId> {
        self.probes.clone()
    }

    fn fetch(&self, probe: &ProbeId, period: Period, now: u64) -> Result<Option<Series>, Unreadable> {
        if !self.probes.contains(probe) {
            return Ok(None);
        }
        let step = period.step_seconds();
        let start = now / step * step - step * period.rows() as u64;
        let last = self.last(probe);
        let base = probe.as_str().bytes().fold(60_u64, |sum, byte| (sum * 31 + u64::from(byte)) % 180);
        let row = |row: usize| {
            let at = start + step * row as u64;
            let swing =
                ((at / step + base * 7) as f64 / 17.0).sin() * 12.0 + ((at * 7_919 + base) % 9) as f64;
            let is_lost = (at / step).is_multiple_of(173) || (150..158).contains(&((at / step) % 300));
            (at + step <= last && !(is_lost && base % 3 == 0)).then_some(60.0 + base as f64 + swing)
        };
        Ok(Some(Series::whole(start, step, (0..period.rows()).map(row).collect())))
    }

    fn extremes(&self, probe: &ProbeId, period: Period, _: u64) -> Option<(Watts, Watts)> {
        (probe.as_str() == "A" && period == Period::Day).then_some((Watts(3.5), Watts(2_222.2)))
    }

    fn rrd_file(&self, probe: &ProbeId) -> Result<Option<Vec<u8>>, Unreadable> {
        Ok(self.probes.contains(probe).then(|| b"RRD\0".to_vec()))
    }

    fn last(&self, probe: &ProbeId) -> Option<Latest> {
        let at = Timestamp::from_seconds(Fixture::last(self, probe));
        self.probes.contains(probe).then_some(Latest { at, power: Watts(0.0) })
    }
}

fn settings() -> Settings {
    let tariff = Tariff { currency: "EUR".to_owned(), price_per_kwh: 0.25 };
    Settings { tariff: Some(tariff), refresh_interval: Duration::from_secs(1), ..Settings::default() }
}

fn serve(fixture: Fixture) -> Router {
    serve_as(fixture, Directory::default())
}

/// The pages of probes that are configured as in `directory`.
fn serve_as(fixture: Fixture, directory: Directory) -> Router {
    let (clock, live) = (fixture.clock(), fixture.live());
    router(directory.with_live(live).with_history(Arc::new(fixture)), settings(), clock, None)
}

/// Probes A, B, C.1 and the awkward ones.
fn site() -> Router {
    serve(Fixture::of(&[&["A", "B", "C.1"][..], &AWKWARD].concat()))
}

async fn send(site: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = site.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let is_stream = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
    let body = if is_stream && method != "HEAD" {
        // It has no end: its first event stands for it.
        streams::OpenStream::of(body).next().await.unwrap_or_default()
    } else {
        to_bytes(body, usize::MAX).await.unwrap()
    };
    Response::from_parts(parts, body)
}

async fn get(site: &Router, path: &str) -> Response<Bytes> {
    send(site, "GET", path, &[]).await
}

async fn page(site: &Router, path: &str) -> String {
    String::from_utf8(get(site, path).await.into_body().to_vec()).unwrap()
}

fn header_of<'a>(answer: &'a Response<Bytes>, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}
