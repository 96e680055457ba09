//! All that a subscriber reads from: sockets of ZeroMQ first, then streams of NATS; each a source by its place.

use std::ops::RangeInclusive;

use kwapi_core::Timestamp;
use zmq::PollItem;

use super::nats::NatsInlet;
use super::wake::Alarm;
use super::zeromq::Sockets;
use super::{Arrival, Inlet, Keeping, Token};
use crate::worker::STOP_POLL_MS;

pub(crate) struct Inlets {
    sockets: Sockets,
    streams: Vec<NatsInlet>,
    alarm: Alarm,
}

impl Inlets {
    pub(crate) fn new(sockets: Sockets, streams: Vec<NatsInlet>, alarm: Alarm) -> Self {
        Self { sockets, streams, alarm }
    }

    fn stream(&mut self, source: usize) -> Option<&mut NatsInlet> {
        self.streams.get_mut(source.checked_sub(self.sockets.count())?)
    }
}

impl Inlet for Inlets {
    type Failure = zmq::Error;

    fn wait(&mut self) -> Result<(), zmq::Error> {
        let has_some = self.streams.iter().any(NatsInlet::has_some);
        let others = PollItem::from_fd(self.alarm.descriptor(), zmq::POLLIN);
        self.sockets.wait(if has_some { 0 } else { STOP_POLL_MS }, others)?;
        if !self.streams.is_empty() {
            self.alarm.clear();
        }
        Ok(())
    }

    fn take(&mut self, source: usize, count: usize, each: impl FnMut(Arrival<'_>)) {
        match self.stream(source) {
            Some(stream) => stream.take(count, each),
            None => self.sockets.take(source, count, each),
        }
    }

    fn keeps(&self, source: usize) -> bool {
        let place = source.checked_sub(self.sockets.count());
        place.and_then(|place| self.streams.get(place)).is_some_and(NatsInlet::keeps)
    }

    fn acknowledge(&mut self, source: usize, places: RangeInclusive<Token>) {
        if let Some(stream) = self.stream(source) {
            stream.acknowledge(&places);
        }
    }

    fn set_aside(&mut self, source: usize, place: Token) {
        if let Some(stream) = self.stream(source) {
            stream.set_aside(place);
        }
    }

    fn note_verified(&mut self, source: usize, key: &str) {
        if let Some(stream) = self.stream(source) {
            stream.note_verified(key);
        }
    }

    fn note_known(&mut self, source: usize, count: u64) {
        if let Some(stream) = self.stream(source) {
            stream.note_known(count);
        }
    }

    fn may_take_keys(&mut self, source: usize) -> bool {
        self.stream(source).is_none_or(|stream| stream.may_take_keys())
    }

    fn release(&mut self, source: usize, places: RangeInclusive<Token>) {
        if let Some(stream) = self.stream(source) {
            stream.release(&places);
        }
    }

    fn keeping(&self, source: usize) -> Keeping {
        let place = source.checked_sub(self.sockets.count());
        place.and_then(|place| self.streams.get(place)).map_or_else(Keeping::default, NatsInlet::keeping)
    }

    fn note_read(&mut self, source: usize, until: Timestamp) {
        if let Some(stream) = self.stream(source) {
            stream.note_read(until);
        }
    }

    fn listen(&mut self, source: usize, is_wanted: bool) {
        if let Some(stream) = self.stream(source) {
            stream.listen(is_wanted);
        }
    }

    fn note_dropped(&mut self, source: usize, count: u64) {
        if let Some(stream) = self.stream(source) {
            stream.note_dropped(count);
        }
    }
}
