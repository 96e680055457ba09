//! Reload on SIGHUP or a changed file: a good configuration is applied, a broken one changes nothing and the reason is
//! logged.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::notify;

/// How often the files are looked at. An editor writes in several steps; a change is taken up once two looks agree.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Watches the files that `started` was made from (included ones, secrets, inventories, and what its meters read when
/// they are opened) for as long as it is polled, and gives each new configuration to `apply`. Without files (a demonstration) there is nothing to watch.
pub(crate) async fn watch(started: &Config, mut apply: impl FnMut(Config) -> Result<(), String>) {
    let Some(main) = started.files.first() else { return std::future::pending().await };
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return std::future::pending().await };
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sources = started.sources.clone();
    let mut taken_up = started.looks.clone();
    let mut before = taken_up.clone();
    loop {
        let is_requested = tokio::select! {
            _ = hangup.recv() => true,
            _ = looks.tick() => false,
        };
        let now = sources.look();
        let settled = std::mem::replace(&mut before, now.clone()) == now;
        if !is_requested && (now == taken_up || !settled) {
            continue;
        }
        let (config, read_from) = Config::read_with_sources(main);
        // A broken configuration may name new files, whose mending is a change as well.
        sources = read_from;
        taken_up = sources.look();
        before = taken_up.clone();
        let applied = config.map_err(|error| error.to_string()).and_then(|config| {
            let fixed = config.fixed_differences(started);
            let warnings = config.warnings.clone();
            apply(config).map(|()| (fixed, warnings))
        });
        match applied {
            Ok((fixed, warnings)) => {
                tracing::info!("configuration reloaded");
                notify::status("");
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                if !fixed.is_empty() {
                    tracing::warn!("changed, but a restart is required to apply it: {}", fixed.join(", "));
                }
            }
            Err(error) => {
                let line = format!("configuration not reloaded, keeping the current one: {error}");
                tracing::error!("{line}");
                notify::status(&line);
            }
        }
    }
}
