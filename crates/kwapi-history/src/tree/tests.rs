//! What the tests of both trees need of a disk that fails.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

/// A gate that lets so many steps pass, and none after.
pub(crate) fn gate(steps: i64) -> (Gate, Arc<AtomicI64>) {
    let left = Arc::new(AtomicI64::new(steps));
    let theirs = Arc::clone(&left);
    let gate: Gate = Arc::new(move || {
        if theirs.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { Err(io::Error::other("killed")) }
    });
    (gate, left)
}
