//! Reports to sites of where the consumer stands, once that is in its file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::WallClock;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::super::sites::{SitePositions, write_positions};
use crate::transport::nats::connection::Connection;
use crate::transport::nats::position::{PositionKeys, Standing};

/// How often a consumer reports its position.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What reports are made of.
pub(in super::super) struct Reporting {
    pub(in super::super) sites: Arc<Mutex<SitePositions>>,
    /// Where it is kept.
    pub(in super::super) file: Option<PathBuf>,
    pub(in super::super) keys: Arc<PositionKeys>,
    pub(in super::super) clock: WallClock,
    /// As it was kept last.
    pub(in super::super) stored: Vec<u8>,
}

/// What is to be reported once the file is written.
pub(super) type Report = (Vec<(Standing, String)>, JoinHandle<()>);

/// Waits until a report can be published, and returns it; waits for ever, where there is none.
pub(super) async fn written(report: &mut Option<Report>) -> Vec<(Standing, String)> {
    let Some((_, written)) = report else { return std::future::pending().await };
    _ = written.await;
    report.take().map(|(standings, _)| standings).unwrap_or_default()
}

impl Reporting {
    /// Takes note of where the consumer stands, and begins to write that.
    pub(super) fn begin(&mut self) -> Report {
        let (standings, stored) = {
            let sites = self.sites.lock();
            (sites.standings(self.clock.now()), sites.stored())
        };
        let file = self.file.clone().filter(|_| stored != self.stored && !standings.is_empty());
        self.stored.clone_from(&stored);
        let written = tokio::task::spawn_blocking(move || {
            if let Some(file) = file
                && let Err(error) = write_positions(&file, &stored)
            {
                // All it holds is true; after a restart less is on record, and more is sent again.
                tracing::warn!(%error, file = %file.display(), "cannot write the positions of this consumer");
            }
        });
        (standings, written)
    }

    pub(super) fn publish(&self, connection: &mut Connection, standings: &[(Standing, String)]) {
        for (standing, key) in standings {
            if let Some(text) = standing.write(&self.keys, key) {
                connection.publish(&standing.subject(), None, text.as_bytes());
            }
        }
    }
}
