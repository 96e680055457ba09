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

pub mod graph;
mod history;
pub mod journal;
mod period;
pub mod rrd;
mod series;
pub mod store;

pub use history::{Flusher, History, HistoryConfig, HistoryCounters, Latest};
pub use journal::OpenError;
pub use period::Period;
pub use series::Series;
