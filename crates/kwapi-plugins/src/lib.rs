//! Kwapi's plugins: intake, API, who may read it, metrics and web pages.

pub mod api;
pub mod auth;
pub mod directory;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod http;
pub mod intake;
pub mod live;
pub mod metrics;
mod scope;
pub mod web;

pub use scope::{Scope, Selection};
