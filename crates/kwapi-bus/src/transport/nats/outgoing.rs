//! A signed message as it goes to a server, from a queue or a spool.

use bytes::Bytes;

use crate::message::Wire;

/// A signed message on its way to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// The probe's id and a dot.
    topic: String,
    payload: Bytes,
}

impl Outgoing {
    /// A copy of what was signed.
    pub(crate) fn new(wire: &Wire) -> Self {
        let topic = String::from_utf8_lossy(&wire.topic).into_owned();
        Self { topic, payload: Bytes::copy_from_slice(&wire.payload) }
    }

    pub(crate) fn from_parts(topic: String, payload: Bytes) -> Self {
        Self { topic, payload }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// About what it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}
