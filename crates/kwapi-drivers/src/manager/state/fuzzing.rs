//! What the fuzz target of the state calls.

use std::time::Duration;

use kwapi_core::{
    Clocks, Energy, Limits, MeterCounter, Quality, Register, Sample, Session, Timestamp, Watts,
};

use super::file::{StateEntry, decode, encode};

/// Reads a slot, or the entry in it, and continues the session it is of.
pub(crate) fn exercise_entry(bytes: &[u8]) {
    let of_slot = decode(bytes).ok().flatten();
    // A slot is guarded by its checksum; see what the session makes of one that is not.
    let Some(kept) = of_slot.or_else(|| serde_json::from_slice::<StateEntry>(bytes).ok()) else { return };
    let second = Duration::from_secs(1);
    let limits = Limits { max_gap: 10 * second, interval: second, max_watts: Some(Watts(3_680.0)) };
    let register = Register { path: kept.entry.path().map(str::to_owned), ..Register::default() };
    let (probe, path) = (kept.entry.probe.clone(), std::sync::Arc::new(register));
    let mut session = Session::new(limits, Timestamp::EPOCH, vec![kept.entry]);
    for round in 0..4_u32 {
        let wall = Timestamp::from_seconds(1_800_000_000 + u64::from(round));
        let clocks = Clocks { wall, boottime: second * (1_000 + round), boot: "boot" };
        let value = Energy::from_watt_hours(7 + u64::from(round));
        let sample = Sample {
            at: clocks.boottime,
            timestamp: wall,
            power: Some(Watts(100.0)),
            is_counted: false,
            quality: Quality::Measured,
            counter: Some(MeterCounter::new(value, Energy::from_watt_hours(1))),
            register: path.clone(),
        };
        _ = session.record(&sample, &clocks);
        _ = session.keep(&probe, &clocks);
        _ = session.publish(Quality::Measured);
    }
    for entry in session.into_entries(&probe, "boot") {
        _ = encode(&StateEntry { template: None, entry });
    }
}
