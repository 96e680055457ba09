//! What a measurement comes to, for people and programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kwapi_core::{ProbeId, Timestamp};
use serde::Serialize;

use super::level::{Verdict, judge};
use super::tally::{Parts, Used};
use crate::commands::counted;

/// Probes that the text lists.
const PROBES_LISTED_MAX: usize = 40;

/// All that is known beside what the probes used.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) command: String,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) exit_status: Option<u8>,
    pub(super) peak_watts: Option<f64>,
    pub(super) currency: String,
    pub(super) price_per_kwh: f64,
    /// Accuracy of each probe's meter, in percent.
    pub(super) accuracy: BTreeMap<ProbeId, f64>,
    pub(super) is_register: Option<bool>,
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    command: String,
    start: f64,
    end: f64,
    seconds: f64,
    exit_status: Option<u8>,
    joules: f64,
    kwh: f64,
    mean_watts: f64,
    peak_watts: Option<f64>,
    #[serde(flatten)]
    parts: Parts,
    accuracy_percent: Option<f64>,
    cost: f64,
    currency: String,
    eehpcwg: Verdict,
    probes: BTreeMap<ProbeId, Used>,
}

impl Report {
    pub(super) fn new(facts: Facts, probes: BTreeMap<ProbeId, Used>) -> Self {
        let seconds = facts.end.since(facts.start).as_secs_f64();
        let used: Vec<Used> = probes.values().copied().collect();
        let joules = used.iter().map(|used| used.joules).sum::<f64>();
        let accuracy = accuracy(&facts, &probes);
        let kwh = joules / 3.6e6;
        Self {
            command: facts.command,
            start: facts.start.seconds_f64(),
            end: facts.end.seconds_f64(),
            seconds,
            exit_status: facts.exit_status,
            joules,
            kwh,
            mean_watts: if seconds > 0.0 { joules / seconds } else { 0.0 },
            peak_watts: facts.peak_watts,
            parts: Parts::each(|part| used.iter().map(|used| part(&used.parts)).sum()),
            accuracy_percent: accuracy,
            cost: kwh * facts.price_per_kwh,
            currency: facts.currency,
            eehpcwg: judge(&used, seconds, accuracy, facts.is_register),
            probes,
        }
    }

    pub(super) fn json(&self) -> Result<String, String> {
        serde_json::to_string(self).map(|text| text + "\n").map_err(|error| error.to_string())
    }

    pub(super) fn text(&self) -> String {
        let mut text =
            format!("\n Energy of {} on {}:\n\n", self.command, counted(self.probes.len(), "probe"));
        let mut line = |value: String, unit: &str, what: &str| {
            _ = writeln!(text, " {value:>16} {unit:<4} {what}");
        };
        let accuracy =
            self.accuracy_percent.map_or_else(String::new, |percent| format!("  (± {percent:.2} %)"));
        line(format!("{:.3}", self.joules), "J", &format!("energy, {:.6} kWh{accuracy}", self.kwh));
        line(format!("{:.3}", self.mean_watts), "W", "mean power");
        if let Some(peak) = self.peak_watts {
            line(format!("{peak:.3}"), "W", "peak power");
        }
        line(format!("{:.6}", self.cost), &self.currency, "cost");
        line(format!("{:.3}", self.seconds), "s", "elapsed");
        let parts = &self.parts;
        let all =
            parts.measured_seconds + parts.estimated_seconds + parts.bridged_seconds + parts.unknown_seconds;
        for (status, seconds, joules) in [
            ("measured", parts.measured_seconds, Some(parts.measured_joules)),
            ("estimated", parts.estimated_seconds, Some(parts.estimated_joules)),
            ("bridged", parts.bridged_seconds, Some(parts.bridged_joules)),
            ("unknown", parts.unknown_seconds, None),
        ] {
            let energy = joules.map_or_else(String::new, |joules| format!(", {joules:.3} J"));
            if seconds > 0.0005 {
                let percent = 100.0 * seconds / all;
                let percent = if percent < 0.05 { "< 0.1".to_owned() } else { format!("{percent:.1}") };
                line(percent, "%", &format!("of the time {status}{energy}"));
            }
        }
        if self.probes.len() > 1 {
            text.push('\n');
            for (probe, used) in self.probes.iter().take(PROBES_LISTED_MAX) {
                let peak = used.peak_watts.map_or_else(String::new, |peak| format!(", peak {peak:.1} W"));
                let unknown = used.parts.unknown_seconds;
                let unknown =
                    if unknown > 0.0005 { format!(", {unknown:.1} s unknown") } else { String::new() };
                _ = writeln!(text, " {:>16.3} J    {probe}{peak}{unknown}", used.joules);
            }
            if self.probes.len() > PROBES_LISTED_MAX {
                _ = writeln!(text, "{:>18} and {} more", "", self.probes.len() - PROBES_LISTED_MAX);
            }
        }
        let level = &self.eehpcwg;
        let met = if level.level == 0 { "no level".to_owned() } else { format!("level {}", level.level) };
        _ = writeln!(text, "\n EEHPCWG power measurement: {met} met, as far as the readings show");
        for lack in &level.lacks {
            _ = writeln!(text, "   for level {} it lacks {lack}", level.level + 1);
        }
        for open in &level.open {
            _ = writeln!(text, "   open: {open}");
        }
        text
    }
}

/// The accuracy of the sum, in percent: that of each meter, weighed by its energy, as of meters that err independently.
/// `None` where one is not known.
fn accuracy(facts: &Facts, probes: &BTreeMap<ProbeId, Used>) -> Option<f64> {
    let (mut squares, mut all) = (0.0, 0.0);
    for (probe, used) in probes {
        let percent = *facts.accuracy.get(probe)?;
        squares += (percent * used.joules).powi(2);
        all += used.joules;
    }
    if all > 0.0 { Some(squares.sqrt() / all) } else { facts.accuracy.values().copied().reduce(f64::max) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(probes: &[(&str, f64, Option<f64>)]) -> Report {
        let id = |name: &str| ProbeId::new(name).unwrap();
        let facts = Facts {
            command: "job".to_owned(),
            start: Timestamp::from_seconds(1_800_000_000),
            end: Timestamp::from_seconds(1_800_000_100),
            exit_status: Some(0),
            peak_watts: Some(5.0),
            currency: "€".to_owned(),
            price_per_kwh: 0.5,
            accuracy: probes.iter().filter_map(|(name, _, percent)| Some((id(name), (*percent)?))).collect(),
            is_register: Some(true),
        };
        let used = |joules: f64| Used { joules, readings: 100, longest_gap_seconds: 1.0, ..Used::default() };
        Report::new(facts, probes.iter().map(|(name, joules, _)| (id(name), used(*joules))).collect())
    }

    #[test]
    fn equal_meters_are_more_accurate_together_and_one_unknown_makes_all_unknown() {
        let equal = [("a", 3.6e6, Some(3.0)), ("b", 3.6e6, Some(3.0)), ("c", 3.6e6, Some(3.0))];
        let three = report(&equal);
        assert!((three.accuracy_percent.unwrap() - 3.0 / 3.0_f64.sqrt()).abs() < 1e-9);
        assert_eq!((three.kwh, three.cost, three.mean_watts), (3.0, 1.5, 108_000.0));
        assert_eq!(report(&[("a", 1.0, Some(1.0)), ("b", 1.0, None)]).accuracy_percent, None);
        assert_eq!(report(&[("a", 5.0, Some(1.0))]).eehpcwg.level, 3);
    }

    #[test]
    fn the_text_reports_energy_and_what_the_next_level_lacks() {
        let mut two = report(&[("a", 1_000.0, Some(1.5)), ("b", 500.0, Some(1.5))]);
        two.parts = Parts {
            measured_joules: 1_500.0,
            measured_seconds: 199.97,
            unknown_seconds: 0.03,
            ..Parts::default()
        };
        let text = two.text();
        for expected in [
            "1500.000 J    energy",
            "15.000 W    mean power",
            "100.0 %    of the time measured, 1500.000 J",
            "< 0.1 %    of the time unknown",
            "1000.000 J    a",
            "level 2 met",
            "for level 3 it lacks meters of 1 %",
        ] {
            assert!(text.contains(expected), "{expected}:\n{text}");
        }
        let json: serde_json::Value =
            serde_json::from_str(&report(&[("a", 1.0, None)]).json().unwrap()).unwrap();
        assert_eq!((json["joules"].as_f64(), json["eehpcwg"]["level"].as_u64()), (Some(1.0), Some(0)));
        assert_eq!(json["probes"]["a"]["readings"].as_u64(), Some(100));
    }
}
