//! Where the values of a probe come from, in words.

use std::time::Duration;

use kwapi_core::{Description, Energy, ProbeId, Quality, Timestamp};
use kwapi_graph::energy_text;

use super::super::super::overview::Seen;
use super::super::super::{Site, words};
use crate::directory::{AccuracySource, MeterNow, ProbeOrigin};

/// So much before the newest measurement a register is looked for: a device may not report it each time.
const REGISTER_AGE_MAX: Duration = Duration::from_secs(2);
/// So many samples at most are looked at.
const REGISTER_SAMPLES_MAX: usize = 10_000;
const UNREGISTERED: &str = "power over time; no register came with it";

/// A line: its name, its text, and where that leads.
#[derive(Debug)]
pub(in super::super) struct Fact {
    pub(in super::super) name: &'static str,
    pub(in super::super) text: String,
    pub(in super::super) href: Option<&'static str>,
}

impl Fact {
    fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, text: text.into(), href: None }
    }
}

/// What is known of a probe's meter, power and energy. Which meter it is, is shown to who sees everything.
pub(in super::super) fn facts(site: &Site, seen: &Seen, probe: &ProbeId, now: Timestamp) -> Vec<Fact> {
    let zone = &site.settings.zone;
    let latest = site.directory.now(probe);
    let register = latest.and_then(|latest| register(site, probe, latest.at));
    let mut facts = Vec::new();
    match site.directory.origin(probe) {
        Some(origin) => of_meter(&mut facts, origin, probe, seen, site, now),
        None if site.directory.is_sum(probe) => {
            facts.push(Fact::new("Power", "sum of other probes"));
            facts.push(Fact::new("Energy", "sum of other probes"));
        }
        None => {
            if seen.is_everything {
                facts.push(no_meter(site, latest.is_some_and(|latest| latest.is_silent)));
            }
            if let Some(described) = site.directory.described(probe) {
                of_publisher(&mut facts, &described.description, site, probe);
            }
            let is_estimated = latest.is_some_and(|latest| latest.quality == Quality::Estimated);
            let power = if is_estimated { "estimated by its driver" } else { "measured" };
            facts.extend(latest.map(|_| Fact::new("Power", power)));
            let energy = if register.is_some() { "register of the device" } else { UNREGISTERED };
            facts.extend(latest.map(|_| Fact::new("Energy", energy)));
        }
    }
    if let Some((energy, at)) = register {
        let at = words::instant(at, now, zone);
        facts.push(Fact::new("Register", format!("{} at {at}", energy_text(energy.kwh()))));
    }
    if let Some(account) = latest.and_then(|latest| latest.account) {
        facts.push(Fact::new("Counts since", words::range_instant(account.since, zone)));
    }
    if let Some((accuracy, source)) = site.directory.accuracy(probe) {
        let source = match source {
            AccuracySource::Configuration | AccuracySource::Device => "",
            AccuracySource::Publisher => ", according to its publisher",
        };
        facts.push(Fact::new("Accuracy", format!("±{accuracy}\u{a0}% of the reading{source}")));
    }
    facts
}

fn of_meter(
    facts: &mut Vec<Fact>,
    origin: ProbeOrigin,
    probe: &ProbeId,
    seen: &Seen,
    site: &Site,
    now: Timestamp,
) {
    let ProbeOrigin { meter, driver, state, since, latency, power, energy } = origin;
    if seen.is_everything {
        facts.push(Fact { href: Some("/meters/"), ..Fact::new("Meter", meter) });
        let since = words::since(since, now, &site.settings.zone);
        facts.push(Fact::new("State", format!("{state} since {since}")));
        if let Some(error) = site.directory.last_error(probe) {
            facts.push(Fact::new("Last error", error));
            facts.push(Fact { href: Some("/meters/"), ..Fact::new("Try", "what to try") });
        }
    }
    facts.push(Fact::new("Driver", driver));
    facts.push(Fact::new("Power", power.unwrap_or("none received yet")));
    facts.push(Fact::new("Energy", energy));
    if let Some(latency) = latency {
        facts.push(Fact::new("Response time", format!("{:.0}\u{a0}ms", latency.as_secs_f64() * 1e3)));
    }
}

/// What is shown where no meter of this process is known to have a probe: one that names its outlets itself, and has
/// not been read since the start, may be the one.
fn no_meter(site: &Site, is_silent: bool) -> Fact {
    let is_unread = |meter: &MeterNow| meter.last_reading.is_none();
    if is_silent && site.directory.meters().is_some_and(|meters| meters.iter().any(is_unread)) {
        let words = "read by another process, or not read since this one started";
        return Fact { href: Some("/meters/"), ..Fact::new("Meter", words) };
    }
    Fact::new("Meter", "read by another process")
}

/// What the publisher describes of a meter that another process reads.
fn of_publisher(facts: &mut Vec<Fact>, description: &Description, site: &Site, probe: &ProbeId) {
    let Description { driver, interval, .. } = description;
    if !driver.is_empty() {
        facts.push(Fact::new("Driver", driver));
    }
    facts.extend(interval.map(|interval| Fact::new("Interval", seconds(interval))));
    let gaps = &site.directory.live().config().gaps;
    facts.push(Fact::new("Unknown after", seconds(gaps.of(probe))));
}

fn seconds(duration: Duration) -> String {
    format!("{}\u{a0}s", duration.as_secs_f64())
}

/// What the device's own register showed last, and when.
fn register(site: &Site, probe: &ProbeId, at: Timestamp) -> Option<(Energy, Timestamp)> {
    let (from, to) = (at.before(REGISTER_AGE_MAX), at.after(Duration::from_micros(1)));
    let page = site.directory.samples()?.page(probe, from, to, REGISTER_SAMPLES_MAX).ok()?;
    page.samples.iter().rev().find_map(|sample| Some((sample.register?, sample.at)))
}
