//! What a message costs the publisher and the subscriber: written, signed, read and verified; and what reading it would cost
//! with `serde_json` (ADR 0042).

#![expect(clippy::expect_used, reason = "a bench that cannot begin may end")]
use std::borrow::Cow;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kwapi_bus::{Key, Scheme, Signer, Verifier, Wire};
use kwapi_core::{
    Accounting, Amperes, CurvePoint, Energy, Measurement, MeterTotal, ProbeId, Quality, Timestamp, Totals,
    Volts, Watts,
};
use serde::Deserialize;

fn measurement() -> Measurement {
    Measurement {
        probe: ProbeId::new("lyon.rack3.taurus-7").expect("a probe id"),
        power: Watts(97.5),
        voltage: Some(Volts(230.1)),
        current: Some(Amperes(0.421_739_130_434)),
        accounting: Some(Accounting {
            timestamp: Timestamp::from_micros(1_795_393_618_857_424),
            session: Timestamp::from_micros(1_795_393_600_000_000),
            seq: 86_400,
            totals: Totals {
                energy: Energy::from_millijoules(8_424_000_000),
                measured_ms: 86_400_000,
                estimated_ms: 0,
                unknown_ms: 1_000,
                ..Totals::default()
            },
            curve: None,
            meter: None,
            quality: Quality::Measured,
        }),
    }
}

fn message(criterion: &mut Criterion) {
    let measurement = measurement();
    for (name, scheme) in [("kwapi-1", Scheme::Kwapi1), ("legacy", Scheme::Legacy), ("none", Scheme::None)] {
        let key = (scheme != Scheme::None).then(|| Key::new("lyon-1", "Change This Or Be Hacked"));
        let signer = Signer::new(scheme, key.as_ref()).expect("a key");
        let verifier = Verifier::new(scheme, key).expect("a key");
        let mut wire = Wire::default();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        group.bench_function("encode", |bencher| bencher.iter(|| signer.encode(&measurement, &mut wire)));
        group.bench_function("decode", |bencher| {
            bencher.iter(|| verifier.decode(&[&wire.topic, &wire.payload]).expect("our own message"));
        });
        group.finish();
    }
}

/// A message as `serde_json` would read it. A second member of a name that stands here is an error of `serde`'s; one of
/// another name, which the product refuses as well, passes: that is to its advantage.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    probe_id: Cow<'a, str>,
    w: f64,
    v: Option<f64>,
    a: Option<f64>,
    timestamp_us: u64,
    session: u64,
    seq: u64,
    energy_mj: u64,
    measured_ms: u64,
    estimated_ms: u64,
    unknown_ms: u64,
    #[serde(default)]
    estimated_mj: u64,
    #[serde(default)]
    bridged_mj: u64,
    #[serde(default)]
    bridged_ms: u64,
    curve: Option<u64>,
    run: Option<u32>,
    curve_mj: Option<u64>,
    meter_energy_mj: Option<u64>,
    meter_since_us: Option<u64>,
    q: Option<Cow<'a, str>>,
}

/// What the product makes of an unsigned message, by `serde_json`. `last` is the probe of the message before, whose name is
/// not made again.
fn by_serde(topic: &[u8], payload: &[u8], last: &mut Option<ProbeId>) -> Option<Measurement> {
    let members: Members<'_> = serde_json::from_slice(payload).ok()?;
    if topic.strip_suffix(b".") != Some(members.probe_id.as_bytes()) {
        return None;
    }
    let probe = match last.take() {
        Some(probe) if probe.as_str() == members.probe_id => probe,
        _ => ProbeId::new(&members.probe_id).ok()?,
    };
    *last = Some(probe.clone());
    let totals = Totals {
        energy: Energy::from_millijoules(members.energy_mj),
        estimated: Energy::from_millijoules(members.estimated_mj),
        bridged: Energy::from_millijoules(members.bridged_mj),
        measured_ms: members.measured_ms,
        estimated_ms: members.estimated_ms,
        bridged_ms: members.bridged_ms,
        unknown_ms: members.unknown_ms,
    };
    let curve = match (members.curve, members.run, members.curve_mj) {
        (None, None, None) => None,
        (Some(id), Some(run @ 1..), Some(begin)) => {
            Some(CurvePoint { id: Timestamp::from_micros(id), run, begin: Energy::from_millijoules(begin) })
        }
        _ => return None,
    };
    let since = members.meter_since_us.map(Timestamp::from_micros);
    let meter =
        members.meter_energy_mj.map(|energy| MeterTotal { energy: Energy::from_millijoules(energy), since });
    let quality = match members.q.as_deref() {
        None => Quality::Measured,
        Some("estimated") => Quality::Estimated,
        Some(_) => return None,
    };
    let power = Watts(members.w);
    if !totals.is_sound() || !Measurement::power_is_valid(power) {
        return None;
    }
    let accounting = Accounting {
        timestamp: Timestamp::from_micros(members.timestamp_us),
        session: Timestamp::from_micros(members.session),
        seq: members.seq,
        totals,
        curve,
        meter,
        quality,
    };
    let (voltage, current) = (members.v.map(Volts), members.a.map(Amperes));
    Some(Measurement { probe, power, voltage, current, accounting: Some(accounting) })
}

/// The readers side by side, without signatures, which cost any of them the same: of a message as our publisher writes it, and
/// of the same message with a blank in it.
fn readers(criterion: &mut Criterion) {
    let signer = Signer::new(Scheme::None, None).expect("no key");
    let verifier = Verifier::new(Scheme::None, None).expect("no key");
    let mut wire = Wire::default();
    signer.encode(&measurement(), &mut wire);
    let mut blank = wire.payload.clone();
    let comma = blank.iter().position(|byte| *byte == b',').expect("a second member");
    blank.insert(comma + 1, b' ');
    let mut group = criterion.benchmark_group("readers");
    group.throughput(Throughput::Elements(1));
    for (name, payload) in [("our form", &wire.payload), ("any form", &blank)] {
        let mut last = None;
        let ours = verifier.decode(&[&wire.topic, payload]).expect("a message").measurement;
        assert_eq!(by_serde(&wire.topic, payload, &mut last).as_ref(), Some(&ours), "they read the same");
        group.bench_function(format!("{name}, product"), |bencher| {
            bencher.iter(|| verifier.decode(&[&wire.topic, payload]).expect("a message"));
        });
        group.bench_function(format!("{name}, serde_json"), |bencher| {
            bencher.iter(|| by_serde(&wire.topic, payload, &mut last).expect("a message"));
        });
    }
    group.finish();
}

criterion_group!(benches, message, readers);
criterion_main!(benches);
