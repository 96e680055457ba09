//! What a publisher counts.

/// What a publisher has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublisherCounters {
    /// Measurements signed and handed to the sockets.
    pub published: u64,
    /// Those of them that describe their probe.
    pub described: u64,
    /// Measurements dropped, oldest first, because the publisher's thread did not keep up.
    pub dropped: u64,
    /// Measurements not sent, because no key was valid when they were taken.
    pub unsigned: u64,
    /// Sends that a socket refused.
    pub failed: u64,
}
