//! Kwapi's bus: the only crate that talks to one.

mod key;
mod message;
mod received;
mod refusal;

pub use key::{Key, KeyError, Scheme};
pub use message::{PAYLOAD_BYTES_MAX, Signer, Verified, Verifier, Wire};
pub use received::{Batch, Received};
pub use refusal::{Refusal, RefusalCounters};
