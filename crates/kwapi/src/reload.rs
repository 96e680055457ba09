//! Reload on SIGHUP or a changed file: a good configuration is applied, a broken one changes nothing and says why.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::config::Config;

/// How often the files' dates are looked at. An editor writes in several steps; a change is taken up once two looks agree.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Watches `files` for as long as it is polled, and gives each new configuration to `apply`. Without files (a
/// demonstration) there is nothing to watch.
pub(crate) async fn watch(files: &[PathBuf], mut apply: impl FnMut(Config) -> Result<(), String>) {
    let Some(main) = files.first().cloned() else { return std::future::pending().await };
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return std::future::pending().await };
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watched = files.to_vec();
    let mut applied = dates(&watched);
    let mut before = applied.clone();
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            _ = looks.tick() => false,
        };
        let now = dates(&watched);
        let settled = std::mem::replace(&mut before, now.clone()) == now;
        if !asked && (now == applied || !settled) {
            continue;
        }
        applied = now;
        match Config::read(&main).map_err(|error| error.to_string()).and_then(|config| {
            watched.clone_from(&config.files);
            apply(config)
        }) {
            Ok(()) => tracing::info!("configuration reloaded"),
            Err(error) => tracing::error!("configuration not reloaded, nothing has changed: {error}"),
        }
        applied = if watched.len() == applied.len() { applied } else { dates(&watched) };
        before = applied.clone();
    }
}

/// When each file was last written; `None` for one that is not there.
fn dates(files: &[PathBuf]) -> Vec<Option<SystemTime>> {
    files.iter().map(|file| std::fs::metadata(file).and_then(|meta| meta.modified()).ok()).collect()
}
