//! The message `prometheus.WriteRequest` in protobuf (remote write 1.0, "Protobuf message"), of which this is all:
//! `WriteRequest { repeated TimeSeries timeseries = 1; }`, `TimeSeries { repeated Label labels = 1; repeated Sample samples = 2; }`,
//! `Label { string name = 1; string value = 2; }`, `Sample { double value = 1; int64 timestamp = 2; }`.

use std::collections::BTreeMap;

use kwapi_core::ProbeId;

/// Where a series ends until its next sample (remote write 1.0, "Staleness markers"): a NaN that no computation gives.
pub(super) const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
/// Fields that hold bytes, of wire type 2, by their number…
const FIRST: u8 = 1 << 3 | 2;
const SECOND: u8 = 2 << 3 | 2;
/// …and those of a sample: 64 bits and a varint.
const VALUE: u8 = 1 << 3 | 1;
const STAMP: u8 = 2 << 3;

/// What a probe measured at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Unix milliseconds.
    pub(super) at_ms: u64,
    /// In watts.
    pub(super) power: f64,
    /// The probe's total in joules, where it is to be sent.
    pub(super) energy: Option<f64>,
}

/// Labels as they stand in each series, by name.
#[derive(Clone, Debug)]
pub(super) struct SeriesLabels(Vec<(String, Label)>);

#[derive(Clone, Debug)]
enum Label {
    Metric,
    Probe,
    Fixed(String),
}

impl SeriesLabels {
    /// With those that are configured. A receiver may insist on their order.
    pub(super) fn new(configured: &BTreeMap<String, String>) -> Self {
        let mut all: Vec<_> = configured
            .iter()
            .map(|(name, value)| (name.clone(), Label::Fixed(value.clone())))
            .chain([("__name__".to_owned(), Label::Metric), ("probe".to_owned(), Label::Probe)])
            .collect();
        all.sort_by(|(left, _), (right, _)| left.cmp(right));
        Self(all)
    }

    fn put(&self, metric: &str, probe: &ProbeId, out: &mut Vec<u8>) {
        for (name, label) in &self.0 {
            let value = match label {
                Label::Metric => metric,
                Label::Probe => probe.as_str(),
                Label::Fixed(value) => value,
            };
            let mut inner = Vec::with_capacity(name.len() + value.len() + 8);
            put_bytes(FIRST, name.as_bytes(), &mut inner);
            put_bytes(SECOND, value.as_bytes(), &mut inner);
            put_bytes(FIRST, &inner, out);
        }
    }
}

/// The message, of two series a probe. The samples of a probe are in the order of their stamps.
pub(super) fn encode(labels: &SeriesLabels, probes: &[(ProbeId, Vec<Sample>)]) -> Vec<u8> {
    let (mut out, mut series) = (Vec::new(), Vec::new());
    for (probe, samples) in probes {
        for (metric, of) in METRICS {
            series.clear();
            labels.put(metric, probe, &mut series);
            let head = series.len();
            for sample in samples {
                if let Some(value) = of(sample) {
                    put_sample(value, sample.at_ms, &mut series);
                }
            }
            if series.len() > head {
                put_bytes(FIRST, &series, &mut out);
            }
        }
    }
    out
}

/// What a series has of a sample.
type SampleValue = fn(&Sample) -> Option<f64>;

/// The series of a probe, as `/metrics` names them.
const METRICS: [(&str, SampleValue); 2] = [
    ("kwapi_probe_power_watts", |sample| Some(sample.power)),
    ("kwapi_probe_energy_joules_total", |sample| sample.energy),
];

fn put_sample(value: f64, at_ms: u64, out: &mut Vec<u8>) {
    let mut inner = Vec::with_capacity(20);
    inner.push(VALUE);
    inner.extend(value.to_le_bytes());
    inner.push(STAMP);
    put_varint(at_ms, &mut inner);
    put_bytes(SECOND, &inner, out);
}

fn put_bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(field);
    put_varint(bytes.len() as u64, out);
    out.extend(bytes);
}

/// Seven bits a byte, the lowest first.
fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests;
