//! Many probes with all that is made of the journal, over hours that pass in seconds. A test program of its own, since it
//! weighs the whole process.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "all of this is test code")]

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{
    Accounting, Decision, Energy, Measurement, ProbeId, Quality, SegmentKind, Timestamp, Totals, Watts,
};
use kwapi_history::journal::{Credited, Journal, JournalConfig, Taken};
use kwapi_history::{
    EnergyRequest, EnergySpan, EnergyStep, History, HistoryConfig, JournalConsumer, Ledger, LedgerConfig,
    Query, Samples, SamplesConfig,
};

const PROBES: usize = 4_000;
/// An hour and more of stamps, a minute a turn: the first hour's files become one.
const TURNS: u64 = 100;
const TURN_SECONDS: u64 = 60;
/// The begin of an hour.
const BEGIN: u64 = 1_800_000_000;
/// What a process takes however many probes there are: records in memory for readers, buffers of files that are written.
const PROCESS_BYTES: usize = 24 << 20;

/// The process's resident memory in bytes (proc(5): second field of `statm`, in pages of 4 096 bytes).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

fn wall(turn: u64) -> Timestamp {
    Timestamp::from_seconds(BEGIN + turn * TURN_SECONDS)
}

/// A probe between two messages.
struct Metered {
    id: ProbeId,
    used_mj: u64,
}

impl Metered {
    /// Its message of a turn, with tenths of watts that change from one to the next.
    fn measure(&mut self, number: usize, turn: u64) -> Credited {
        let tenths = 1_500 + (turn * 7_919 + number as u64 * 104_729) % 1_000;
        if turn > 0 {
            self.used_mj += tenths * 100 * TURN_SECONDS;
        }
        let accounting = Accounting {
            timestamp: wall(turn).after(Duration::from_micros(number as u64 % 500 * 7)),
            session: wall(0),
            seq: turn,
            totals: Totals {
                energy: Energy::from_millijoules(self.used_mj),
                measured_ms: turn * TURN_SECONDS * 1_000,
                ..Totals::default()
            },
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        let measurement = Measurement {
            probe: self.id.clone(),
            power: Watts(tenths as f64 / 10.0),
            voltage: None,
            current: None,
            accounting: Some(accounting),
        };
        let decision = if turn == 0 {
            Decision::Begin { kind: SegmentKind::First, begin: wall(0), base: Energy::ZERO }
        } else {
            Decision::Continue
        };
        Credited::of(&measurement, wall(turn), Taken { decision, register: accounting.totals })
    }
}

#[test]
fn nothing_is_lost_of_many_probes_over_hours_and_a_probe_takes_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), JournalConfig::default(), wall(0)).unwrap();
    let config = HistoryConfig { flush_interval: Duration::from_secs(40), ..HistoryConfig::default() };
    let history = History::open(config, &journal).unwrap();
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    let config = SamplesConfig { write_interval: Duration::from_secs(12), ..SamplesConfig::default() };
    let samples = Arc::new(Samples::open(config, &journal).unwrap());
    let id = |number: usize| ProbeId::new(format!("site.rack-{}.node-{number}", number / 40)).unwrap();
    let mut all: Vec<Metered> = (0..PROBES).map(|number| Metered { id: id(number), used_mj: 0 }).collect();
    let before = resident();
    let mut most = 0;
    for turn in 0..TURNS {
        for (rack, metered) in all.chunks_mut(500).enumerate() {
            let numbered = metered.iter_mut().enumerate();
            let batch = numbered.map(|(number, metered)| metered.measure(rack * 500 + number, turn));
            journal.append(&Arc::new(batch.collect()), wall(turn)).unwrap();
            history.catch_up();
            ledger.catch_up(wall(turn));
            samples.catch_up(wall(turn));
        }
        let now = Duration::from_secs(turn);
        history.tick(now, wall(turn));
        ledger.tick(now, wall(turn));
        samples.tick(now, wall(turn));
        most = most.max(resident());
    }
    let each = most.saturating_sub(before + PROCESS_BYTES) / PROBES;
    println!("{each} bytes a probe");
    assert!(each < 1_536, "{each} bytes a probe");

    assert!(history.flush_all() && ledger.finish(wall(TURNS)) && samples.finish(wall(TURNS)));
    let (recorded, kept, written) = (history.counters(), ledger.counters(), samples.counters());
    let sent = PROBES as u64 * TURNS;
    assert_eq!(
        (recorded.recorded, recorded.late, recorded.losses, recorded.samples_dropped),
        (sent, 0, 0, 0)
    );
    assert_eq!((kept.probes, kept.losses, kept.corrections), (PROBES as u64, 0, 0));
    assert_eq!((written.written, written.waiting, written.losses), (sent, 0, 0));
    assert!(written.merges > 0, "{written:?}");
    assert_eq!((ledger.position(), samples.position()), (journal.end(), journal.end()));

    // What is reported of all of it is what was sent, to the millijoule.
    let query = Query::new(ledger, None).with_samples(Some(samples));
    let probes = all.iter().map(|metered| metered.id.clone()).collect();
    let (step, now) = (EnergyStep::Whole, wall(TURNS + 1));
    let request = EnergyRequest { probes, start: wall(0), end: now, step, is_to_now: false, now };
    let answer = query.energy(&request).unwrap();
    assert_eq!((answer.unreadable.len(), answer.without_samples.len()), (0, 0));
    let total_mj: i64 = answer.probes.iter().flat_map(|probe| &probe.spans).map(EnergySpan::energy_mj).sum();
    assert_eq!(total_mj.cast_unsigned(), all.iter().map(|metered| metered.used_mj).sum::<u64>());
}
