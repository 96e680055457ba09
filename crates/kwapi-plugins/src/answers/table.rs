//! An answer as text: JSON or CSV, line by line as it comes. Names and units are a promise; the manual, `api.md`,
//! defines what they mean.

use jiff::tz::TimeZone;
use kwapi_core::{ProbeId, Timestamp, Watts};
use kwapi_history::{EnergySpan, PowerSpan, UnreadableRows, UnreadableSamples};

use super::question::{EnergyBy, EnergyFormat, EnergyQuestion};
use super::when::rfc3339;
use crate::json;

/// The columns of CSV after the first, which states what a line is about; members of a row in JSON.
const COLUMNS: [&str; 20] = [
    "start",
    "end",
    "joules",
    "kwh",
    "measured_joules",
    "estimated_joules",
    "bridged_joules",
    "rrd_joules",
    "measured_seconds",
    "estimated_seconds",
    "bridged_seconds",
    "rrd_seconds",
    "unknown_seconds",
    "absent_seconds",
    "mean_watts",
    "peak_watts",
    "source",
    "is_interpolated",
    "is_incomplete",
    "corrections",
];

/// Columns of a row with power, after its begin and end.
const POWER_COLUMNS: [&str; 5] =
    ["watts_min", "watts_mean", "watts_max", "watts_known_share", "watts_source"];
/// How many columns hold a row's time.
const TIME_COLUMNS: usize = 2;

/// What the rows that follow are about.
#[derive(Debug)]
pub(super) enum EnergySubject<'a> {
    /// A probe, since when the ledger has it, and its newest measurement in the answer.
    Probe { probe: &'a ProbeId, since: Option<Timestamp>, until: Option<Timestamp> },
    /// A sum of so many probes; without a name it is all, or those without the label.
    Sum { name: Option<&'a str>, probes: usize },
}

/// An answer being written.
#[derive(Debug)]
pub(super) struct EnergyTable {
    format: EnergyFormat,
    has_power: bool,
    zone: TimeZone,
    /// What JSON calls the subject.
    kind: &'static str,
    position: Option<String>,
    out: Vec<u8>,
    /// The first column of CSV.
    name: Vec<u8>,
    subjects: usize,
    rows: usize,
}

impl EnergyTable {
    pub(super) fn new(question: &EnergyQuestion, position: Option<String>) -> Self {
        let (kind, first) = match &question.by {
            EnergyBy::Probe => ("probe", "probe"),
            EnergyBy::Total => ("total", "total"),
            EnergyBy::Label(key) => ("label", key.as_str()),
            EnergyBy::Group => ("group", "group"),
        };
        let mut out = Vec::new();
        match question.format {
            EnergyFormat::Csv => {
                csv_field(&mut out, first);
                for column in columns(question.has_power) {
                    out.push(b',');
                    out.extend_from_slice(column.as_bytes());
                }
                out.push(b'\n');
            }
            EnergyFormat::Json => {
                out.extend_from_slice(b"{\"start\":");
                json::string(&mut out, &rfc3339(question.start, &question.zone));
                out.extend_from_slice(b",\"end\":");
                json::string(&mut out, &rfc3339(question.end, &question.zone));
                out.extend_from_slice(b",\"step\":");
                optional_text(&mut out, question.step_text.as_deref());
                out.extend_from_slice(b",\"by\":");
                json::string(&mut out, first);
                out.extend_from_slice(if question.has_power { b",\"series\":[" } else { b",\"energy\":[" });
            }
        }
        let (format, zone, has_power) = (question.format, question.zone.clone(), question.has_power);
        Self { format, has_power, zone, kind, position, out, name: Vec::new(), subjects: 0, rows: 0 }
    }

    /// How many bytes are waiting.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// What is waiting.
    pub(super) fn part(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Begins the rows of another subject.
    pub(super) fn subject(&mut self, subject: &EnergySubject<'_>) {
        if self.format == EnergyFormat::Csv {
            self.name.clear();
            match subject {
                EnergySubject::Probe { probe, .. } => csv_field(&mut self.name, probe.as_str()),
                EnergySubject::Sum { name, .. } => csv_field(&mut self.name, name.unwrap_or_default()),
            }
            return;
        }
        if self.subjects > 0 {
            self.out.extend_from_slice(b"]},");
        }
        self.out.extend_from_slice(b"\n{\"");
        self.out.extend_from_slice(self.kind.as_bytes());
        self.out.extend_from_slice(b"\":");
        match subject {
            EnergySubject::Probe { probe, since, until } => {
                json::string(&mut self.out, probe.as_str());
                for (name, at) in [("since", since), ("until", until)] {
                    self.member(name);
                    optional_text(&mut self.out, at.map(|at| rfc3339(at, &self.zone)).as_deref());
                }
            }
            EnergySubject::Sum { name, probes } => {
                optional_text(&mut self.out, *name);
                self.member("probes");
                self.out.extend_from_slice(probes.to_string().as_bytes());
            }
        }
        self.out.extend_from_slice(b",\"rows\":[");
        (self.subjects, self.rows) = (self.subjects + 1, 0);
    }

    fn member(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Adds a row of the subject.
    pub(super) fn row(&mut self, span: &EnergySpan, power: Option<&PowerSpan>) {
        let [measured_mj, estimated_mj, bridged_mj] = span.known.mj;
        let [measured_ms, estimated_ms, bridged_ms] = span.known.ms;
        let unsigned = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let known_ms = span.known_ms();
        // What may lack rows, or has no time in it, is not reported as if it were all.
        let energy = (known_ms > 0 && !span.is_incomplete).then(|| span.energy_mj());
        let of_status = |mj: i64, ms: i64| (ms != 0 || mj != 0).then_some(mj);
        let values = [
            Value::Text(Some(rfc3339(span.start, &self.zone))),
            Value::Text(Some(rfc3339(span.end, &self.zone))),
            Value::Thousandths(energy),
            Value::Float(energy.map(|mj| mj as f64 / 3.6e9)),
            Value::Thousandths(of_status(measured_mj, measured_ms)),
            Value::Thousandths(of_status(estimated_mj, estimated_ms)),
            Value::Thousandths(of_status(bridged_mj, bridged_ms)),
            Value::Thousandths(of_status(span.rrd_mj, unsigned(span.rrd_ms))),
            Value::Thousandths(Some(measured_ms)),
            Value::Thousandths(Some(estimated_ms)),
            Value::Thousandths(Some(bridged_ms)),
            Value::Thousandths(Some(unsigned(span.rrd_ms))),
            Value::Thousandths(Some(unsigned(span.unknown_ms))),
            Value::Thousandths(Some(unsigned(span.absent_ms))),
            Value::Float(energy.and(span.mean_watts())),
            Value::Float(span.peak.map(|peak| peak.0)),
            Value::Text(source(span).map(str::to_owned)),
            Value::Flag(span.is_interpolated),
            Value::Flag(span.is_incomplete),
            Value::Count(span.corrections),
        ];
        let mut values = Vec::from(values);
        if self.has_power {
            let power = power.copied().unwrap_or_default();
            let watts = |watts: Option<Watts>| Value::Float(watts.map(|watts| watts.0));
            let more = [
                watts(power.min),
                watts(power.mean),
                watts(power.max),
                Value::Float(Some(power.known_share)),
                Value::Text(power_source(&power).map(str::to_owned)),
            ];
            values.splice(TIME_COLUMNS..TIME_COLUMNS, more);
        }
        match self.format {
            EnergyFormat::Csv => {
                self.out.extend_from_slice(&self.name);
                for value in values {
                    self.out.push(b',');
                    value.csv(&mut self.out);
                }
                self.out.push(b'\n');
            }
            EnergyFormat::Json => {
                self.out.extend_from_slice(if self.rows > 0 { b",\n {" } else { b"\n {" });
                for (index, (name, value)) in columns(self.has_power).zip(values).enumerate() {
                    self.out.extend_from_slice(if index > 0 { b",\"" } else { b"\"" });
                    self.out.extend_from_slice(name.as_bytes());
                    self.out.extend_from_slice(b"\":");
                    value.json(&mut self.out);
                }
                self.out.push(b'}');
            }
        }
        self.rows += 1;
    }

    /// Ends the answer. Where a file lies is for operators.
    pub(super) fn end(
        &mut self,
        unreadable: &[UnreadableRows],
        without_samples: &[Timestamp],
        samples: &[UnreadableSamples],
        shows_causes: bool,
    ) {
        if self.format == EnergyFormat::Csv {
            return;
        }
        self.out.extend_from_slice(if self.subjects > 0 { b"]}\n]" } else { b"]" });
        self.member("position");
        let position = self.position.take();
        optional_text(&mut self.out, position.as_deref());
        self.member("unreadable");
        self.out.push(b'[');
        for (index, file) in unreadable.iter().enumerate() {
            self.out.extend_from_slice(if index > 0 { b",{\"start\":" } else { b"{\"start\":" });
            json::string(&mut self.out, &rfc3339(file.start, &self.zone));
            self.member("end");
            json::string(&mut self.out, &rfc3339(file.end, &self.zone));
            self.member("cause");
            let cause = if shows_causes { &file.cause } else { "a file of the ledger cannot be read" };
            json::string(&mut self.out, cause);
            self.out.push(b'}');
        }
        self.out.push(b']');
        self.member("without_samples");
        self.out.push(b'[');
        for (index, hour) in without_samples.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            json::string(&mut self.out, &rfc3339(*hour, &self.zone));
        }
        if self.has_power {
            self.out.push(b']');
            self.member("unreadable_samples");
            self.out.push(b'[');
            for (index, file) in samples.iter().enumerate() {
                self.out.extend_from_slice(if index > 0 { b",{\"hour\":" } else { b"{\"hour\":" });
                json::string(&mut self.out, &rfc3339(file.hour, &self.zone));
                self.member("cause");
                let cause = if shows_causes { &file.cause } else { "a file of samples cannot be read" };
                json::string(&mut self.out, cause);
                self.out.push(b'}');
            }
        }
        self.out.extend_from_slice(b"]}\n");
    }
}

/// The columns after the first.
fn columns(has_power: bool) -> impl Iterator<Item = &'static str> {
    let (time, energy) = COLUMNS.split_at(TIME_COLUMNS);
    let power: &[&str] = if has_power { &POWER_COLUMNS } else { &[] };
    time.iter().chain(power).chain(energy).copied()
}

/// Where a row's power comes from; nothing where none is known.
fn power_source(power: &PowerSpan) -> Option<&'static str> {
    match (power.has_samples, power.has_rrd) {
        (true, false) => Some("samples"),
        (true, true) => Some("samples+rrd"),
        (false, true) => Some("rrd"),
        (false, false) => None,
    }
}

/// Where a row's energy comes from; nothing where there is none.
fn source(span: &EnergySpan) -> Option<&'static str> {
    let is_known = |ms: i64| ms != 0;
    match (span.known.ms.into_iter().any(is_known), span.rrd_ms > 0) {
        (true, false) => Some("ledger"),
        (true, true) => Some("ledger+rrd"),
        (false, true) => Some("rrd"),
        (false, false) => None,
    }
}

/// A field of a row; what is not known is `null`, or nothing in CSV.
#[derive(Debug)]
enum Value {
    Text(Option<String>),
    /// Exact: whole thousandths of the unit.
    Thousandths(Option<i64>),
    Float(Option<f64>),
    Flag(bool),
    Count(u64),
}

impl Value {
    fn json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => optional_text(out, text.as_deref()),
            Self::Thousandths(None) | Self::Float(None) => out.extend_from_slice(b"null"),
            Self::Thousandths(Some(_)) | Self::Float(Some(_)) | Self::Flag(_) | Self::Count(_) => {
                self.csv(out);
            }
        }
    }

    fn csv(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => csv_field(out, text.as_deref().unwrap_or_default()),
            Self::Thousandths(Some(number)) => {
                let (sign, number) = (if *number < 0 { "-" } else { "" }, number.unsigned_abs());
                out.extend_from_slice(format!("{sign}{}.{:03}", number / 1_000, number % 1_000).as_bytes());
            }
            Self::Float(Some(number)) => json::float(out, *number),
            Self::Thousandths(None) | Self::Float(None) => {}
            Self::Flag(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Self::Count(count) => out.extend_from_slice(count.to_string().as_bytes()),
        }
    }
}

fn optional_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => json::string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// A field of CSV (RFC 4180).
fn csv_field(out: &mut Vec<u8>, text: &str) {
    if !text.contains(['"', ',', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}
