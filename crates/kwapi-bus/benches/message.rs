//! What a message costs the publisher and the subscriber: written, signed, read and verified.

#![expect(clippy::expect_used, reason = "a bench that cannot begin may end")]
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kwapi_bus::{Key, Scheme, Signer, Verifier, Wire};
use kwapi_core::{
    Accounting, Amperes, Energy, Measurement, ProbeId, Quality, Timestamp, Totals, Volts, Watts,
};

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

criterion_group!(benches, message);
criterion_main!(benches);
