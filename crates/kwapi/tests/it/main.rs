//! End to end: the binary as an operator runs it, between real devices and real readers.

#![allow(clippy::disallowed_methods, reason = "tests start the binary and its peers, and wait for them")]

mod fuzz;
mod harness;
