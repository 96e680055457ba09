//! The state directory, before anything in it is opened.

use std::path::Path;

use kwapi_core::Timestamp;
use kwapi_history::upgrade::{self, StateTaken};
use kwapi_plugins::intake::accounts::Kept;

use crate::config::chain;

/// Makes a state directory this version's, and logs what that took.
///
/// # Errors
/// When a later version wrote it, or no copy of the records of an older one can be kept, as one line.
pub(crate) fn take_state(directory: &Path, now: Timestamp) -> Result<(), String> {
    super::feed::finish_restore(directory)?;
    let StateTaken { from, copy, trouble } =
        upgrade::take(directory, now, Kept::position_in).map_err(|error| chain(&error))?;
    let directory = directory.display();
    if let Some(why) = trouble {
        tracing::warn!(%directory, "cannot note the version in the state directory: {why}");
    } else if let (Some(from), Some(copy)) = (from, copy) {
        tracing::info!(%directory, %from, copy = %copy.display(), "state directory upgraded; the records from before are kept");
    }
    Ok(())
}
