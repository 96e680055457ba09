//! What the fuzz targets call: the parsers of files, each of which must return, whatever it is given.

use kwapi_core::Timestamp;

/// A segment of the journal.
pub fn journal(bytes: &[u8]) {
    crate::journal::exercise(bytes);
}

/// An RRD file, which is then updated at `at`.
pub fn rrd(bytes: &[u8], at: Timestamp) {
    crate::rrd::exercise(bytes, at);
}
