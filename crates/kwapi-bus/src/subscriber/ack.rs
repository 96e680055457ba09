//! Acknowledgements: which messages a plugin confirms as safe.

use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::transport::Token;

/// To be confirmed once a batch is where it will not be lost. It names the messages of its batch by their places in
/// what each source keeps; of a source that keeps nothing, as ZeroMQ's, it names none. Dropped unconfirmed, it has
/// its messages delivered again.
#[derive(Debug)]
#[must_use = "a transport that stores messages sends them again until they are acknowledged"]
pub struct Ack {
    pub(super) places: Vec<(usize, RangeInclusive<Token>)>,
    acknowledged: Arc<Acknowledged>,
}

/// What was confirmed and the subscriber's thread has not passed on yet: at most what is under way.
#[derive(Debug, Default)]
pub(super) struct Acknowledged(Mutex<Vec<Settled>>);

/// Messages of one source that are settled.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) source: usize,
    pub(super) places: RangeInclusive<Token>,
    /// Whether they are safe; otherwise they are to be delivered again.
    pub(super) is_safe: bool,
}

impl Ack {
    pub(super) fn new(acknowledged: &Arc<Acknowledged>) -> Self {
        Self { places: Vec::new(), acknowledged: acknowledged.clone() }
    }

    /// Adds a message, later than those of its source before it.
    pub(super) fn cover(&mut self, source: usize, token: Token) {
        match self.places.iter_mut().rev().find(|(of, _)| *of == source) {
            Some((_, range)) if range.end().checked_add(1) == Some(token) => *range = *range.start()..=token,
            _ => self.places.push((source, token..=token)),
        }
    }

    /// Whether a source keeps messages of the batch until it is confirmed, and delivers them again otherwise.
    pub fn is_awaited(&self) -> bool {
        !self.places.is_empty()
    }

    /// Confirms that the batch is safe.
    pub fn confirm(mut self) {
        self.settle(true);
    }

    fn settle(&mut self, is_safe: bool) {
        if !self.places.is_empty() {
            let settled = self.places.drain(..).map(|(source, places)| Settled { source, places, is_safe });
            self.acknowledged.0.lock().extend(settled);
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.settle(false);
    }
}

impl Acknowledged {
    pub(super) fn take(&self) -> Vec<Settled> {
        std::mem::take(&mut *self.0.lock())
    }
}
