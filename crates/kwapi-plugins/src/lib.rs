//! Kwapi's plugins: intake, API, metrics and web pages.

pub mod api;
pub mod http;
pub mod intake;
pub mod live;
pub mod metrics;
pub mod web;
