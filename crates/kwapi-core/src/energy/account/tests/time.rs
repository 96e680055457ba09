//! Time by status adds up to the span, to the millisecond, though stamps are microseconds.

use super::*;
use crate::CurvePoint;

/// What the time up to a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Measured,
    Estimated,
    Bridged,
    /// The manager was down: the next run of the curve begins.
    Stop,
}

/// A publisher whose readings come at any microsecond.
struct Publisher {
    at: u64,
    session: u64,
    run: u32,
    seq: u64,
    /// Measured, estimated, bridged in this run, in microseconds.
    sums: [u64; 3],
}

const BEGIN: u64 = 1_800_000_000_000_321;

impl Publisher {
    fn new() -> Self {
        Self { at: BEGIN, session: BEGIN, run: 1, seq: 0, sums: [0; 3] }
    }

    fn next(&mut self, part: Part, elapsed: u64) -> Accounting {
        self.at += elapsed;
        match part {
            Part::Measured => self.sums[0] += elapsed,
            Part::Estimated => self.sums[1] += elapsed,
            Part::Bridged => self.sums[2] += elapsed,
            Part::Stop => {
                *self = Self { session: self.at, run: self.run + 1, ..Self { at: self.at, ..Self::new() } }
            }
        }
        let message = self.message();
        self.seq += 1;
        message
    }

    fn message(&self) -> Accounting {
        // Parts are rounded down, each by itself, as the source does.
        let [measured_ms, estimated_ms, bridged_ms] = self.sums.map(|us| us / 1_000);
        Accounting {
            timestamp: Timestamp::from_micros(self.at),
            session: Timestamp::from_micros(self.session),
            seq: self.seq,
            totals: Totals { measured_ms, estimated_ms, bridged_ms, ..Totals::default() },
            curve: Some(CurvePoint {
                id: Timestamp::from_micros(BEGIN),
                run: self.run,
                begin: Energy::from_millijoules((self.at - BEGIN) / 1_000),
            }),
            meter: None,
            quality: Quality::Measured,
        }
    }
}

fn parts() -> impl Strategy<Value = Vec<(Part, u64)>> {
    let part = prop_oneof![
        8 => Just(Part::Measured),
        1 => Just(Part::Estimated),
        1 => Just(Part::Bridged),
        1 => Just(Part::Stop),
    ];
    prop::collection::vec((part, 1_000_u64..30_000_000), 1..60)
}

fn known_ms(totals: &Totals) -> u64 {
    totals.measured_ms + totals.estimated_ms + totals.bridged_ms
}

proptest! {
    #[test]
    fn of_a_probe_without_gaps_no_millisecond_is_unknown(parts in parts()) {
        let (mut account, mut publisher) = (Account::default(), Publisher::new());
        for (part, elapsed) in parts {
            let message = publisher.next(part, elapsed);
            account.credit(&message, Duration::ZERO, MAX_GAP).unwrap();
            let totals = account.totals();
            let span = message.timestamp.micros() / 1_000 - account.since().micros() / 1_000;
            prop_assert_eq!((totals.unknown_ms, known_ms(&totals)), (0, span), "{:?}", totals);
            prop_assert_eq!(totals, account.fold_whole());
        }
    }

    #[test]
    fn where_a_run_is_of_one_status_no_time_is_ever_taken_back(
        parts in prop::collection::vec((any::<bool>(), 1_000_u64..30_000_000), 1..60),
    ) {
        let (mut account, mut publisher) = (Account::default(), Publisher::new());
        let mut before = Totals::default();
        for (is_stop, elapsed) in parts {
            let message = publisher.next(if is_stop { Part::Stop } else { Part::Measured }, elapsed);
            account.credit(&message, Duration::ZERO, MAX_GAP).unwrap();
            let totals = account.totals();
            prop_assert_eq!(totals.max(&before), totals);
            before = totals;
        }
    }
}
