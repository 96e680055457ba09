//! ZeroMQ: live only. What it does not bound itself, `crates/zmq-sys` does.

mod clients;
mod context;
mod curve;
mod inlet;
mod queues;
mod socket;
mod zap;

pub(crate) use clients::{ClientList, ClientLists};
pub use context::{BusContext, BusCounters};
pub use curve::{CurveConfig, CurveError, CurvePair};
pub(crate) use inlet::Sockets;
pub(crate) use queues::ListenerQueues;
pub(crate) use socket::{OpenSocket, high_water, high_water_at};
