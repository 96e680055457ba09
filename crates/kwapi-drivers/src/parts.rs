//! A reading put together part by part: a part that makes no sense costs itself alone, and is reported once.
//!
//! Meters give signed watts. A hair below zero is the noise of an idle socket. More than that is power that flows
//! back: the meter's import counter, which stands still meanwhile, shows that nothing is drawn. Without such a counter
//! it is as likely a current transformer the wrong way round, and no reading.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kwapi_core::{Energy, Measurement, MeterCounter, NoReading, ProbeId, Reading, Watts};
use tokio::time::Instant;

use crate::driver::{Finding, Readings};
use crate::outlets::{Outlet, Outlets};

/// Watts this little below zero are the noise of a meter without a load. Less than one: −1 is a device's way to report
/// "not available" (`SNMP`, `NUT`).
const NOISE_WATTS: f64 = 1.0;
/// More parts of one device in trouble are not distinguished.
const NOTES_MAX: usize = 64;
/// A device's own names are cut here.
const NAME_CHARS_MAX: usize = 60;
/// More probes of one meter are not remembered.
const LISTED_MAX: usize = 10_000;
/// A probe whose outlet has been gone for so long is no longer reported.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Parts of outlets that make no sense, each logged once and shown by `kwapi probe`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(BTreeMap<(String, String), String>);

impl Notes {
    /// Notes what is wrong with a part of an outlet; logs it if nothing was wrong with it before.
    pub(crate) fn add(&mut self, outlet: &str, part: &str, why: impl Into<String>) {
        let (outlet, why) = (&printable(outlet), why.into());
        let key = (outlet.clone(), part.to_owned());
        if let Some(known) = self.0.get_mut(&key) {
            *known = why;
        } else if self.0.len() < NOTES_MAX {
            tracing::warn!(outlet, part, why, "part of the response ignored");
            self.0.insert(key, why);
        }
    }

    /// A part is well again.
    pub(crate) fn clear(&mut self, outlet: &str, part: &str) {
        if !self.0.is_empty() {
            self.0.remove(&(printable(outlet), part.to_owned()));
        }
    }

    /// A line for each part that is left out.
    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding> + '_ {
        self.0.iter().map(|((outlet, part), why)| Finding {
            what: format!("{outlet}: {part}"),
            value: "ignored".to_owned(),
            is_used: false,
            why: why.clone(),
        })
    }
}

/// The probes that a template made of a device's outlets. One whose outlet is gone has no reading for a while, which
/// shows that, instead of a last value that stands; then it is forgotten, since names come and go.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListedProbes(HashMap<ProbeId, Instant>);

impl ListedProbes {
    /// Adds to a round what is missing of earlier ones. Nothing is missing from a round in which nothing was received.
    pub(crate) fn complete(&mut self, readings: &mut Readings) {
        if readings.is_empty() {
            return;
        }
        let now = Instant::now();
        for probe in readings.probes() {
            let has_room = self.0.len() < LISTED_MAX;
            match self.0.get_mut(probe) {
                Some(seen) => *seen = now,
                None if has_room => _ = self.0.insert(probe.clone(), now),
                None => {}
            }
        }
        self.0.retain(|_, seen| now.saturating_duration_since(*seen) <= FORGOTTEN_AFTER);
        let mut gone: Vec<_> = self.0.iter().filter(|(_, seen)| **seen != now).collect();
        gone.sort();
        for (probe, seen) in gone {
            let seconds = now.saturating_duration_since(*seen).as_secs();
            readings.push(probe, Err(NoReading::NotAvailable(format!("not listed for {seconds} s"))));
        }
    }

    /// Hands out what a device's outlets have measured, each by its place: to the probes that the template makes of those
    /// that are `listed` (place, key and name), or to those that are named, whose place `find` returns, or why there is
    /// none.
    pub(crate) fn hand_out<'a>(
        &mut self,
        outlets: &Outlets,
        listed: impl IntoIterator<Item = (usize, &'a str, Option<&'a str>)>,
        find: impl Fn(&str) -> Result<usize, String>,
        mut reading: impl FnMut(usize) -> Result<Reading, NoReading>,
        readings: &mut Readings,
    ) {
        if outlets.selects_all() {
            let listed: Vec<_> = listed.into_iter().collect();
            let probes = outlets.probes(listed.iter().map(|(_, key, name)| (*key, *name)));
            for (probe, (place, ..)) in probes.into_iter().zip(listed) {
                if let Some(probe) = probe {
                    readings.push(&probe, reading(place));
                }
            }
            self.complete(readings);
        }
        for Outlet { key, probe } in outlets.named() {
            readings.push(probe, find(key).map_err(NoReading::NoSuchOutlet).and_then(&mut reading));
        }
    }
}

/// Of an outlet that the device no longer lists.
pub(crate) fn not_listed() -> Result<Reading, NoReading> {
    Err(NoReading::NoSuchOutlet("not listed".to_owned()))
}

/// A device's own word, fit for a message and a terminal.
pub(crate) fn printable(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(NAME_CHARS_MAX).collect()
}

/// Active power and counter of an `outlet`: what makes sense of them. `watts` are signed.
///
/// # Errors
/// When neither makes sense: what is wrong with the first, or `absent` where both are missing.
pub(crate) fn power_and_counter(
    outlet: &str,
    watts: Option<Result<f64, NoReading>>,
    counter: Option<Result<MeterCounter, NoReading>>,
    absent: impl FnOnce() -> NoReading,
    notes: &mut Notes,
) -> Result<(Option<Watts>, Option<MeterCounter>), NoReading> {
    let (counter, counter_problem) = split(counter);
    let power = watts.map(|watts| watts.and_then(|watts| drawn(watts, counter.as_ref())));
    let (power, power_problem) = split(power);
    // A counter that has counted nothing does not stand in for watts that make no sense; nor do volts and amperes, which
    // have no sign.
    let stands_in = |counter: &MeterCounter| power_problem.is_none() || counter.value > Energy::ZERO;
    if power.is_none() && !counter.as_ref().is_some_and(stands_in) {
        return Err(power_problem.or(counter_problem).unwrap_or_else(absent));
    }
    for (part, problem) in [("power", power_problem), ("energy", counter_problem)] {
        match problem {
            Some(problem) => notes.add(outlet, part, problem.to_string()),
            None => notes.clear(outlet, part),
        }
    }
    Ok((power, counter))
}

fn split<T>(part: Option<Result<T, NoReading>>) -> (Option<T>, Option<NoReading>) {
    match part {
        Some(Ok(value)) => (Some(value), None),
        Some(Err(problem)) => (None, Some(problem)),
        None => (None, None),
    }
}

/// What an outlet draws when its meter reports `watts` and its import counter stands at `counter`.
///
/// # Errors
/// [`NoReading::Implausible`] for what no outlet draws.
pub(crate) fn drawn(watts: f64, counter: Option<&MeterCounter>) -> Result<Watts, NoReading> {
    let counts_import = counter.is_some_and(|counter| counter.value > Energy::ZERO);
    let is_valid = |watts: f64| Measurement::power_is_valid(Watts(watts));
    match watts {
        watts if is_valid(watts) => Ok(Watts(watts)),
        watts if watts < 0.0 && (watts > -NOISE_WATTS || counts_import && is_valid(-watts)) => Ok(Watts(0.0)),
        watts if watts < 0.0 => Err(NoReading::Implausible(format!(
            "{}; check for a reversed current transformer or wiring",
            Watts(watts)
        ))),
        watts => Err(NoReading::Implausible(Watts(watts).to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(joules: f64) -> MeterCounter {
        MeterCounter::new(Energy::from_joules(joules).expect("a count"), Energy::from_millijoules(1))
    }

    #[track_caller]
    fn check(watts: f64, counter: Option<MeterCounter>, expected: &str) {
        let actual = drawn(watts, counter.as_ref());
        assert_eq!(actual.map_or_else(|error| error.to_string(), |watts| watts.to_string()), expected);
    }

    #[test]
    fn a_hair_below_zero_is_zero() {
        check(-0.4, None, "0 W");
        check(-0.99, Some(counter(0.0)), "0 W");
        check(3.5, None, "3.5 W");
    }

    #[test]
    fn what_flows_back_draws_nothing_where_an_import_counter_reports_it() {
        check(-812.5, Some(counter(7200.0)), "0 W");
        let reversed = "implausible: -812.5 W; check for a reversed current transformer or wiring";
        check(-812.5, None, reversed);
        check(-812.5, Some(counter(0.0)), reversed);
        check(-1.0, None, "implausible: -1 W; check for a reversed current transformer or wiring");
    }

    #[test]
    fn what_nothing_draws_is_implausible_whatever_the_counter_reports() {
        for watts in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3e9, -3e9] {
            assert!(matches!(drawn(watts, Some(&counter(1.0))), Err(NoReading::Implausible(_))), "{watts}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_outlet_is_gone_has_no_reading_and_is_forgotten_later() {
        let id = |name: &str| ProbeId::new(name).expect("an id");
        let mut listed = ListedProbes::default();
        let mut round = |outlets: &[&str]| {
            let mut readings = Readings::default();
            for outlet in outlets {
                readings.push(&id(outlet), Ok(kwapi_core::Reading::watts(1.0)));
            }
            listed.complete(&mut readings);
            let lines = readings.drain().map(|(probe, reading)| {
                reading
                    .map_or_else(|error| format!("{probe}: {error}"), |reading| format!("{probe}: {reading}"))
            });
            lines.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(round(&["a", "b"]), "a: 1 W, b: 1 W");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(round(&["b"]), "b: 1 W, a: not available: not listed for 5 s");
        assert_eq!(round(&[]), "");
        tokio::time::advance(FORGOTTEN_AFTER).await;
        assert_eq!(round(&["b"]), "b: 1 W");
        assert_eq!(round(&["a", "b"]), "a: 1 W, b: 1 W");
    }

    #[test]
    fn a_bad_part_costs_itself_alone_and_is_noted() {
        let bad = || Err(NoReading::Implausible("a word".to_owned()));
        let absent = || NoReading::NotAvailable("nothing".to_owned());
        let mut notes = Notes::default();
        let mut both = |watts, counter| power_and_counter("d", watts, counter, absent, &mut notes);
        assert_eq!(both(Some(Ok(5.0)), Some(bad())), Ok((Some(Watts(5.0)), None)));
        assert_eq!(both(Some(bad().map(|_| 0.0)), Some(Ok(counter(0.0)))), bad().map(|_| (None, None)));
        assert_eq!(both(None, Some(Ok(counter(0.0)))), Ok((None, Some(counter(0.0)))));
        assert_eq!(both(Some(bad().map(|_| 0.0)), Some(Ok(counter(9.0)))), Ok((None, Some(counter(9.0)))));
        assert_eq!(both(None, None), Err(absent()));
        assert_eq!(both(Some(bad().map(|_| 0.0)), Some(Err(absent()))), bad().map(|_| (None, None)));
        notes.add("a\u{1b}[2Jb", "c", "x");
        notes.clear("a\u{1b}[2Jb", "c");
        let noted: Vec<_> =
            notes.findings().map(|finding| format!("{} {}", finding.what, finding.why)).collect();
        assert_eq!(noted, ["d: power implausible: a word"], "the counter is well again");
    }
}
