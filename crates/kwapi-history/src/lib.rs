//! Kwapi's history: the journal, RRD files and graphs. Pure but for its files.

pub mod graph;
mod period;
mod series;

pub use period::Period;
pub use series::Series;
