//! Kwapi's bus: the only crate that talks to one.

mod received;

pub use received::{Batch, Received};
