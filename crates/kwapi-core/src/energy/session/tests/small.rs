//! A small world: a load of 100 W, a reading each ten seconds, `max_gap` 25 s.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::super::scenarios::Message;
use super::super::super::worlds::{Instant, Load, Meter, State, T0, WorldSource};
use super::super::Limits;
use super::properties::credited;
use crate::{ProbeId, Watts};

pub(super) struct Small {
    pub(super) load: Load,
    pub(super) meter: Meter,
    pub(super) state: State,
    pub(super) source: Option<WorldSource>,
    pub(super) max_watts: Option<Watts>,
    /// Seconds.
    pub(super) offset: i64,
    pub(super) boot: u64,
    pub(super) booted: u64,
    pub(super) log: Vec<(u64, Message)>,
}

pub(super) fn id(probe: &str) -> ProbeId {
    ProbeId::new(probe).expect("an id")
}

impl Small {
    pub(super) fn new(meter: Meter) -> Self {
        let load = Load::new([(0, 100)]);
        let state = State::default();
        let log = Vec::new();
        Self { load, meter, state, source: None, max_watts: None, offset: 0, boot: 0, booted: 0, log }
    }

    pub(super) fn read(&mut self, seconds: impl IntoIterator<Item = u64>) {
        seconds.into_iter().for_each(|second| self.read_as("p", second, 100.0));
    }

    pub(super) fn read_as(&mut self, probe: &str, second: u64, watts: f64) {
        let limits = Limits {
            max_gap: Duration::from_secs(25),
            interval: Duration::from_secs(10),
            max_watts: self.max_watts,
        };
        let source = self.source.get_or_insert_with(|| WorldSource::new(&id(probe), &self.state, limits));
        let now = Instant {
            wall: T0 + (second as i64 + self.offset) * 1000,
            boottime: (second - self.booted) * 1000,
            boot: self.boot.to_string(),
        };
        let counter = self.meter.counter(&self.load, second * 1000);
        let (register, keys) = (self.meter.register(), BTreeSet::from([id(probe)]));
        let message = source.take(Watts(watts), counter, &register, &now, &mut self.state, &keys);
        self.log.extend(message.map(|message| (second, message)));
    }

    pub(super) fn stop(&mut self) {
        self.source.take().expect("a process").stop(&mut self.state);
    }

    pub(super) fn kill(&mut self) {
        self.source = None;
    }

    pub(super) fn boot(&mut self, second: u64) {
        (self.source, self.boot, self.booted) = (None, self.boot + 1, second);
    }

    /// In joules.
    pub(super) fn credited(&self) -> u64 {
        credited(self.log.iter().map(|(_, message)| message)) / 1000
    }

    pub(super) fn curves(&self) -> usize {
        let curves = self.log.iter().filter_map(|(_, message)| message.accounting.curve);
        curves.map(|curve| curve.id).collect::<BTreeSet<_>>().len()
    }
}
