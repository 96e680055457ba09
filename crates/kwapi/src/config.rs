//! `kwapi.toml`: found, read, checked and expanded before anything starts.

mod document;
mod meters;
mod names;
mod ranges;
mod secrets;
