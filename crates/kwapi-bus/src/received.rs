//! What a subscriber hands to a plugin.

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Description, Measurement, Timestamp};

use crate::message::DescriptionRefusal;

/// A verified measurement as it arrived. Nothing else reaches a plugin: what fails verification is counted by cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// What was sent.
    pub measurement: Measurement,
    /// The id of the key that signed it; `None` on an endpoint without signatures.
    pub key: Option<Arc<str>>,
    /// When it arrived, to label a legacy message and to measure the publisher's skew.
    pub arrived: Timestamp,
    /// When it arrived on this process's monotonic clock, to measure silence.
    pub received_at: Duration,
    /// Its description of its probe, if it has one: signed, in time and within its key's pattern, as the
    /// measurement is.
    pub description: Option<Result<Box<Description>, DescriptionRefusal>>,
}

/// Verified measurements in order of arrival, some hundreds at most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The measurements.
    pub measurements: Vec<Received>,
}
