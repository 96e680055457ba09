//! Metrics as text: OpenMetrics 1.0 and Prometheus's older format (0.0.4), which differ in little but must differ there.
//!
//! Source: OpenMetrics 1.0, sections "Text format" and "Data model"; Prometheus, "Exposition formats".

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kwapi_core::ProbeId;

use super::families::{self, Kind};
use crate::scope::Scope;

/// The samples of one name.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    lines: String,
}

/// A collection of families.
#[derive(Debug, Default)]
pub struct Exposition {
    families: BTreeMap<&'static str, Family>,
    scope: Scope,
}

/// Units that a name may end with, as OpenMetrics requires them.
const UNITS: [&str; 5] = ["seconds", "bytes", "joules", "watts", "ratio"];

impl Exposition {
    /// One that is to name no probe outside `scope`.
    pub fn limited_to(scope: Scope) -> Self {
        Self { scope, ..Self::default() }
    }

    /// Whether a probe may be named.
    pub(crate) fn may_name(&self, probe: &ProbeId) -> bool {
        self.scope.allows(probe)
    }

    /// The family of a name, without `_total`; made if need be, so that several sources can fill one.
    pub fn family(&mut self, name: &'static str) -> &mut Family {
        let (kind, help) = families::find(name);
        self.defined(name, kind, help)
    }

    /// The same of a family that no line defines.
    pub(super) fn defined(&mut self, name: &'static str, kind: Kind, help: &'static str) -> &mut Family {
        self.families.entry(name).or_insert(Family { name, kind, help, lines: String::new() })
    }

    /// Adds a count to the family of a name.
    pub fn count(&mut self, name: &'static str, labels: &[(&str, &str)], count: u64) {
        self.family(name).count(labels, count);
    }

    /// Adds a count to each of these families.
    pub fn counts<const N: usize>(&mut self, labels: &[(&str, &str)], families: [(&'static str, u64); N]) {
        for (name, count) in families {
            self.count(name, labels, count);
        }
    }

    /// Adds a sample to the family of a name.
    pub fn sample(&mut self, name: &'static str, labels: &[(&str, &str)], value: f64) {
        self.family(name).sample(labels, value);
    }

    /// OpenMetrics 1.0.
    pub(crate) fn open_metrics(&self) -> String {
        let mut out = String::new();
        for family in self.families.values().filter(|family| !family.lines.is_empty()) {
            let Family { name, help, kind, .. } = family;
            _ = writeln!(out, "# TYPE {name} {}", kind.name());
            if let Some(unit) = UNITS.iter().find(|unit| name.ends_with(&format!("_{unit}"))) {
                _ = writeln!(out, "# UNIT {name} {unit}");
            }
            _ = writeln!(out, "# HELP {name} {help}");
            out.push_str(&family.lines);
        }
        out.push_str("# EOF\n");
        out
    }

    /// Prometheus's format 0.0.4, where a counter's family has the name of its samples.
    pub fn prometheus(&self) -> String {
        let mut out = String::new();
        for family in self.families.values().filter(|family| !family.lines.is_empty()) {
            let (name, suffix) = (family.name, family.kind.suffix());
            _ = writeln!(out, "# HELP {name}{suffix} {}", family.help);
            _ = writeln!(out, "# TYPE {name}{suffix} {}", family.kind.name());
            out.push_str(&family.lines);
        }
        out
    }
}

impl Family {
    /// Adds a sample. A set of labels occurs once in a family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        let suffix = self.kind.suffix();
        self.line(suffix, labels, value);
        self
    }

    /// Adds a histogram: how many values were up to each of `bounds` but above the one before, at last how many were
    /// above all, and the sum of all values.
    pub fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        bounds: &[&str],
        counts: &[u64],
        sum: f64,
    ) -> &mut Self {
        let mut total = 0;
        for (bound, count) in bounds.iter().copied().chain(["+Inf"]).zip(counts) {
            total += count;
            self.line("_bucket", &[labels, &[("le", bound)]].concat(), total as f64);
        }
        self.line("_count", labels, total as f64);
        self.line("_sum", labels, sum);
        self
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.lines.push_str(self.name);
        self.lines.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.lines.push_str(if index == 0 { "{" } else { "," });
            self.lines.push_str(name);
            self.lines.push_str("=\"");
            escape(&mut self.lines, value);
            self.lines.push('"');
        }
        if !labels.is_empty() {
            self.lines.push('}');
        }
        _ = writeln!(self.lines, " {value}");
    }

    /// Adds a sample of a plain count.
    pub fn count(&mut self, labels: &[(&str, &str)], count: u64) -> &mut Self {
        self.sample(labels, count as f64)
    }
}

fn escape(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            _ => out.push(character),
        }
    }
}
