//! What a probe costs in memory. A test program of its own, since it weighs the whole process.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "all of this is test code")]

use std::time::Duration;

use kwapi_bus::{Batch, Received};
use kwapi_core::{
    Accounting, Measurement, MonotonicClock, ProbeId, Quality, Timestamp, Totals, WallClock, Watts,
};
use kwapi_plugins::intake::Intake;
use kwapi_plugins::live::{Live, LiveConfig};

/// The process's resident memory in bytes (proc(5): second field of `statm`, in pages of 4 096 bytes).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

#[test]
fn a_probe_takes_less_than_512_bytes() {
    const PROBES: usize = 100_000;
    let wall = WallClock::new(|| Timestamp::from_seconds(1_800_000_000));
    let clock = MonotonicClock::new(|| Duration::from_secs(1));
    let live = Live::open(LiveConfig::default(), Vec::new(), wall, clock);
    let mut intake = Intake::new(live.clone(), None);
    let before = resident();
    for number in 0..PROBES {
        let stamp = Timestamp::from_seconds(1_700_000_000);
        let accounting = Accounting {
            timestamp: stamp,
            session: stamp,
            seq: 0,
            totals: Totals::default(),
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        let measurement = Measurement {
            probe: ProbeId::new(format!("r{:02}.n{number:06}", number % 40)).unwrap(),
            power: Watts(97.5),
            voltage: None,
            current: None,
            accounting: Some(accounting),
        };
        let received_at = Duration::from_secs(1);
        let received = Received { measurement, key: None, description: None, arrived: stamp, received_at };
        intake.take(Batch { measurements: vec![received] }, Box::new(|| ()));
    }
    live.maintain(true); // Puts the newcomers into their places.
    let each = (resident() - before) / PROBES;
    assert_eq!(live.probes(), PROBES);
    println!("{each} bytes a probe, its name of 10 included");
    assert!(each < 512, "{each} bytes");
}
