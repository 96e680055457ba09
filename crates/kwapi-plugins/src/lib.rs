//! Kwapi's plugins: collector, API, metrics and web pages.

pub mod web;
