mod damage;
mod format;
mod readers;
mod retention;

use kwapi_core::{
    Accounting, Amperes, CurvePoint, Decision, Energy, MeterTotal, ProbeId, Quality, SegmentKind, Totals,
    Volts, Watts,
};
use kwapi_peers::Lab;
use proptest::prelude::*;

use super::segment::HEADER_BYTES;
use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// What a publisher that began at `NOW` sends in its message `seq`, as an account took it.
fn credited(probe: &str, seq: u64, watts: f64) -> Credited {
    let at = NOW.after(Duration::from_millis(seq * 1_003));
    let energy = Energy::from_millijoules(seq * 97_123);
    let totals = Totals { energy, measured_ms: seq * 1_003, unknown_ms: 12, ..Totals::default() };
    let accounting = Accounting {
        timestamp: at,
        session: NOW,
        seq,
        totals,
        curve: None,
        meter: None,
        quality: Quality::Measured,
    };
    Credited {
        probe: ProbeId::new(probe).unwrap(),
        at,
        power: Watts(watts),
        voltage: None,
        current: None,
        accounting: Some(accounting),
        taken: Some(Taken { decision: Decision::Continue, register: totals }),
    }
}

/// A program that another test is just starting holds our locks until it is itself; so try again.
fn open_with(lab: &Lab, config: JournalConfig, now: Timestamp) -> (Journal, Opened) {
    kwapi_peers::wait_until("a directory nobody holds", Duration::from_secs(10), || {
        match Journal::open(lab.path(), config, now) {
            Err(OpenError::InUse(_)) => None,
            opened => Some(opened.unwrap()),
        }
    })
}

fn open(lab: &Lab) -> Journal {
    open_with(lab, JournalConfig::default(), NOW).0
}

fn append(journal: &Journal, records: &[Credited]) -> Position {
    journal.append(&Arc::new(records.to_vec()), NOW).unwrap()
}

fn read_from(journal: &Journal, from: Position) -> (Vec<Credited>, Replayed) {
    let mut records = Vec::new();
    let replayed = journal.replay(from, |record| records.push(record.clone())).unwrap();
    assert_eq!(replayed.records, records.len() as u64);
    (records, replayed)
}

fn read_all(journal: &Journal) -> Vec<Credited> {
    read_from(journal, Position::default()).0
}

/// All that a reader gets now.
fn drain(reader: &mut Reader) -> (Vec<Credited>, Vec<Lost>) {
    let (mut records, mut lost) = (Vec::new(), Vec::new());
    while let Some(delivery) = reader.next(Duration::ZERO).unwrap() {
        match delivery {
            Delivery::Records(batch, _) => records.extend(batch.iter().cloned()),
            Delivery::Lost(stretch) => lost.push(stretch),
        }
    }
    (records, lost)
}

fn folder(lab: &Lab) -> PathBuf {
    lab.join(FOLDER)
}
