//! Kwapi's plugins: collector, API, metrics and web pages.

pub mod api;
pub mod collector;
pub mod http;
pub mod metrics;
pub mod web;
