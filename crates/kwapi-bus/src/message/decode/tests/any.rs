//! Any measurement reads back as it was written, and noise is refused.

use proptest::prelude::*;

use super::*;

fn any_curve() -> impl Strategy<Value = Option<CurvePoint>> {
    prop::option::of((any::<u64>(), 1_u32.., any::<u64>())).prop_map(|curve| {
        curve.map(|(id, run, begin)| CurvePoint {
            id: Timestamp::from_micros(id),
            run,
            begin: Energy::from_millijoules(begin),
        })
    })
}

fn any_totals() -> impl Strategy<Value = Totals> {
    let counts = || prop_oneof![Just(0), any::<u64>()];
    (any::<u64>(), any::<[u64; 3]>(), counts(), counts(), counts()).prop_map(
        |(energy, times, a, b, bridged_ms)| {
            let estimated = a.min(energy);
            let [measured_ms, estimated_ms, unknown_ms] = times;
            Totals {
                energy: Energy::from_millijoules(energy),
                estimated: Energy::from_millijoules(estimated),
                bridged: Energy::from_millijoules(b.min(energy - estimated)),
                measured_ms,
                estimated_ms,
                bridged_ms,
                unknown_ms,
            }
        },
    )
}

prop_compose! {
    fn any_accounting()(
        counts in any::<[u64; 4]>(),
        totals in any_totals(),
        curve in any_curve(),
        meter in prop::option::of(any::<Option<u64>>()),
        estimated in any::<bool>(),
    ) -> Accounting {
        let [timestamp, session, seq, counter] = counts;
        Accounting {
            timestamp: Timestamp::from_micros(timestamp),
            session: Timestamp::from_micros(session),
            seq,
            totals,
            curve,
            meter: meter.map(|since| MeterTotal {
                energy: Energy::from_millijoules(counter),
                since: since.map(Timestamp::from_micros),
            }),
            quality: if estimated { Quality::Estimated } else { Quality::Measured },
        }
    }
}

prop_compose! {
    pub(super) fn any_measurement()(
        name in "[^\\p{Cc}]{1,40}",
        power in 0.0..=1e9_f64,
        voltage in prop::option::of(-1e300..1e300_f64),
        current in prop::option::of(-1e-300..1e-300_f64),
        accounting in prop::option::of(any_accounting()),
    ) -> Measurement {
        Measurement {
            probe: ProbeId::new(name).unwrap(),
            power: Watts(power),
            voltage: voltage.map(Volts),
            current: current.map(Amperes),
            accounting,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back_bit_for_bit(measurement in any_measurement()) {
        for scheme in [Scheme::Kwapi1, Scheme::Legacy, Scheme::None] {
            let expected = match (scheme, measurement.accounting) {
                (Scheme::Kwapi1, None) => Err(Refusal::Member),
                _ => Ok(measurement.clone()),
            };
            let wire = sign(scheme, &measurement);
            prop_assert_eq!(decode(scheme, &wire), expected);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&wire.payload).is_ok());
        }
    }

    #[test]
    fn noise_never_panics(topic in prop::collection::vec(any::<u8>(), 0..20), noise in prop::collection::vec(any::<u8>(), 0..300)) {
        for scheme in [Scheme::Kwapi1, Scheme::Legacy, Scheme::None] {
            prop_assert!(verifier(scheme).decode(&[&topic, &noise]).is_err());
        }
    }
}
