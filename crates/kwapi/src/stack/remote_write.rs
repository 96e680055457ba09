//! The servers that measurements are sent to.

use kwapi_core::{Gaps, chain};
use kwapi_plugins::metrics::Metrics;
use kwapi_plugins::remote_write::RemoteWriteTask;

use super::backlog::Backlog;
use super::feed::Folded;
use crate::config::Config;

/// Starts a reader of the journal for each that is configured. Series of probes that are silent wait for the backlog.
///
/// # Errors
/// When a key is wrong or a file cannot be read, as one line.
pub(super) fn start(
    backlog: &Backlog,
    config: &Config,
    gaps: &Gaps,
    folded: &Folded,
    all: &mut Metrics,
) -> Result<Vec<RemoteWriteTask>, String> {
    let mut tasks = Vec::new();
    for remote_write in &config.remote_writes {
        let task = RemoteWriteTask::start(
            remote_write,
            &folded.journal,
            &folded.accounts,
            gaps.clone(),
            backlog.clock(),
        )
        .map_err(|error| chain(&error))?;
        all.add(task.remote_write.clone());
        tasks.push(task);
    }
    Ok(tasks)
}
