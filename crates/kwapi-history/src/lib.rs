//! Kwapi's history: the journal, RRD files and graphs. Pure but for its files.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "tests start the programs that judge them, and know the sizes of their numbers"
    )
)]

#[allow(
    unreachable_pub,
    dead_code,
    missing_docs,
    clippy::pedantic,
    reason = "the journal before, until RRD files read the new one"
)]
mod former;
pub mod graph;
mod history;
pub mod journal;
mod period;
pub mod rrd;
mod series;
pub mod store;
mod usage;

pub use history::{
    Arrival, Flusher, History, HistoryConfig, HistoryCounters, Latest, OpenError, Peaks, Recorded,
};
pub use period::Period;
pub use series::Series;
pub use usage::Usage;
