//! Kwapi's bus: the only crate that connects to one.
//!
//! A [`Publisher`] signs measurements and sends them, a [`Forwarder`] passes them between networks untouched, a
//! [`Subscriber`] verifies them and hands them on in batches. All of a process share one [`BusContext`]; each owns its
//! sockets on a thread of its own, keeps bounded queues that drop their oldest and count, and ends within a fraction of a
//! second of being dropped.

mod endpoint;
mod error;
mod forwarder;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod key;
mod message;
mod publisher;
mod queue;
mod received;
mod refusal;
mod spool;
mod subscriber;
mod transport;
mod verify;
mod worker;

pub use endpoint::{Attach, EndpointConfig};
pub use error::BusError;
pub use forwarder::{Forwarder, ForwarderConfig, ForwarderCounters, LinkCounters, LinkSide};
pub use key::{Key, KeyError, Scheme, key_instant};
pub use message::{DescriptionRefusal, Signer, Verified, Verifier, Wire};
pub use publisher::{Describe, Publisher, PublisherConfig, PublisherCounters};
pub use received::{Batch, Received};
pub use refusal::{Refusal, RefusalCounters};
pub use spool::{SpoolConfig, SpoolCounters};
pub use subscriber::{Ack, SourceConfig, Subscriber, SubscriberConfig, SubscriberCounters};
pub use transport::nats::{
    ConsumerBegin, NatsConfig, NatsLink, NatsReport, NatsSetup, NatsSide, NatsSite, NatsSiteLink,
    SpoolConsumer, SpoolReader, StreamLimits,
};
pub use transport::zeromq::{BusContext, BusCounters, CurveConfig, CurveError, CurvePair};
pub use verify::Skew;
