//! What the fuzz targets call: the parser of requests, which must return, whatever it is given.

/// A request as it reaches the simulated rack's agent.
pub fn snmp_request(bytes: &[u8]) {
    _ = crate::snmp::parse_request(bytes);
}
