//! Kwapi's plugins: intake, API, who may read it, metrics and web pages.

pub mod answers;
pub mod api;
pub mod audit;
pub mod auth;
pub mod bills;
mod choice;
pub mod descriptions;
pub mod directory;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod groups;
pub mod http;
pub mod intake;
mod json;
pub mod live;
pub mod metrics;
pub mod object_storage;
pub mod peers;
pub mod remote_write;
pub mod report;
mod scope;
mod upstream;
pub mod web;

pub use scope::{Scope, Selection};
