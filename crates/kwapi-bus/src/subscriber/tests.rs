//! The subscriber on a transport that keeps its messages.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::time::Duration;

use kwapi_core::{
    Accounting, Measurement, MonotonicClock, PROGRAM_DATE, ProbeId, Quality, Timestamp, Totals, WallClock,
    Watts,
};
use parking_lot::Mutex;

use super::config::STORED_AGE_MAX_SECONDS;
use super::*;
use crate::Scheme;
use crate::message::{Signer, Wire};
use crate::transport::{Arrival, Token};

const NOW: u64 = 1_790_000_000;

/// Keeps each message until it is acknowledged, and delivers each once unless reset.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    kept: BTreeMap<Token, (Vec<u8>, Vec<u8>)>,
    next: Token,
    /// The most that was requested in a turn while messages waited.
    turns: u64,
}

impl Inlet for Store {
    type Failure = Infallible;

    fn wait(&mut self) -> Result<(), Infallible> {
        std::thread::yield_now();
        Ok(())
    }

    fn take(&mut self, _source: usize, count: usize, mut each: impl FnMut(Arrival<'_>)) {
        let mut state = self.0.lock();
        let State { kept, next, turns } = &mut *state;
        *turns += 1;
        for (token, (topic, payload)) in kept.range(*next..).take(count) {
            let frames: &[&[u8]] = &[topic, payload];
            each(Arrival {
                frames,
                is_live: false,
                token: Some(*token),
                later: 0,
                taken: None,
                withheld: None,
            });
            *next = token + 1;
        }
    }

    fn keeps(&self, _source: usize) -> bool {
        true
    }

    fn acknowledge(&mut self, _source: usize, places: RangeInclusive<Token>) {
        self.0.lock().kept.retain(|token, _| !places.contains(token));
    }
}

impl Store {
    fn put(&self, token: Token, topic: &str) {
        let measurement = Measurement {
            probe: ProbeId::new("A").unwrap(),
            power: Watts(1.0),
            voltage: None,
            current: None,
            accounting: Some(Accounting {
                timestamp: Timestamp::from_seconds(NOW - STORED_AGE_MAX_SECONDS),
                session: Timestamp::from_seconds(1),
                seq: token,
                totals: Totals::default(),
                curve: None,
                meter: None,
                quality: Quality::Measured,
            }),
        };
        let mut wire = Wire::default();
        Signer::new(Scheme::None, None).unwrap().encode(&measurement, &mut wire);
        self.0.lock().kept.insert(token, (topic.into(), wire.payload));
    }

    fn kept(&self) -> Vec<Token> {
        self.0.lock().kept.keys().copied().collect()
    }

    fn subscriber(&self, queue_length: usize) -> Subscriber {
        let clocks = ProcessClocks {
            wall: WallClock::new(|| Timestamp::from_seconds(NOW)),
            monotonic: MonotonicClock::new(|| Duration::ZERO),
        };
        let age_max = AgeLimits { live: Duration::ZERO, stored: Duration::from_secs(STORED_AGE_MAX_SECONDS) };
        let verification = Verification::new("x".into(), Scheme::None, [], age_max).unwrap();
        let probes = vec![Pattern::Exact(ProbeId::new("A").unwrap())];
        let clocks = ClockWatch::new(clocks, PROGRAM_DATE);
        Subscriber::read(self.clone(), vec![verification], &[], probes, clocks, queue_length, Vec::new())
            .unwrap()
    }

    /// Waits until what is kept is as `expected`.
    #[track_caller]
    fn await_kept(&self, expected: &[Token]) {
        for _ in 0..100_000_000 {
            if self.kept() == expected {
                return;
            }
            std::thread::yield_now();
        }
        panic!("{:?} is kept, not {expected:?}", self.kept());
    }
}

async fn receive(subscriber: &Subscriber) -> (Vec<u64>, Ack) {
    let (batch, ack) = subscriber.recv().await.unwrap();
    let seqs = batch.measurements.iter().filter_map(|received| received.measurement.accounting);
    (seqs.map(|accounting| accounting.seq).collect(), ack)
}

#[tokio::test]
async fn what_is_confirmed_is_let_go_and_nothing_else() {
    let store = Store::default();
    (0..600).for_each(|token| store.put(token * 2, "A."));
    let subscriber = store.subscriber(10_000);
    let (mut first, ack) = receive(&subscriber).await;
    let mut acks = vec![ack];
    while first.len() < 600 {
        let (more, ack) = receive(&subscriber).await;
        first.extend(more);
        acks.push(ack);
    }
    assert_eq!(store.kept().len(), 600, "nothing is let go before it is confirmed");
    let last = acks.pop().unwrap();
    drop(acks); // Lost on the way to the disk.
    let covered: Vec<_> = last.places.iter().flat_map(|(_, places)| places.clone()).collect();
    last.confirm();
    let left: Vec<_> = (0..600).map(|token| token * 2).filter(|token| !covered.contains(token)).collect();
    assert!(!covered.is_empty() && !left.is_empty());
    store.await_kept(&left);
}

#[tokio::test]
async fn what_nobody_requests_or_trusts_is_dropped_at_once() {
    let store = Store::default();
    for (token, topic) in [(1, "A."), (2, "B."), (3, "\0own"), (4, "A"), (5, "A.")] {
        store.put(token, topic);
    }
    let subscriber = store.subscriber(10_000);
    store.await_kept(&[1, 5]);
    let (seqs, ack) = receive(&subscriber).await;
    assert_eq!(seqs, [1, 5]);
    assert_eq!(ack.places, [(0, 1..=1), (0, 5..=5)]);
    let counters = subscriber.counters();
    assert_eq!((counters.received, counters.verified, counters.unwanted, counters.reserved), (5, 2, 1, 1));
    assert_eq!(counters.refused.iter().map(|(_, count)| count).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_source_that_keeps_its_messages_waits_for_the_plugin_and_loses_none() {
    let store = Store::default();
    (0..20_000).for_each(|token| store.put(token, "A."));
    let subscriber = store.subscriber(3_000);
    let mut received = Vec::new();
    while received.len() < 20_000 {
        let (seqs, ack) = receive(&subscriber).await;
        received.extend(seqs);
        ack.confirm();
    }
    assert_eq!(received, (0..20_000).collect::<Vec<_>>());
    assert_eq!(subscriber.counters().dropped, 0);
    store.await_kept(&[]);
}
