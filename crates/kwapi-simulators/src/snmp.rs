//! A rack PDU with an SNMP v1 and v2c agent, whose outlets feed simulated servers.
//!
//! Its objects are a Raritan PX2's: per outlet a name, active power in tenths of a watt, an energy counter in
//! watt-hours, and the digits that define that; the same for its inlet. The codec is this crate's own.

mod agent;
mod ber;
mod objects;
mod rack;
mod server;

pub use agent::AgentFault;
#[cfg(feature = "fuzzing")]
pub(crate) use agent::parse_request;
pub use rack::{Datagrams, Rack, RackSettings};
pub use server::ServerModel;
