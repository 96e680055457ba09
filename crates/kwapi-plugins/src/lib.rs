//! Kwapi's plugins: collector, API, metrics and web pages.
