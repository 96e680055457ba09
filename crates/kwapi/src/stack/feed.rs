//! The bus feed: one subscriber, and what it hears handed to whoever keeps it, each message once.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use kwapi_bus::{Received, Subscriber};
use kwapi_core::{Account, Pattern, ProbeId, Timestamp};
use kwapi_history::History;
use kwapi_history::journal::{Credited, Journal, Position, Taken};
use kwapi_history::store::DirectoryLock;
use kwapi_plugins::collector::{Collector, StoreError};
use kwapi_plugins::metrics::Metrics;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::{Process, Roles, metrics, readiness};
use crate::config::{Config, Endpoint, chain};

/// Measurements on their way in.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) collector: Collector,
    /// Two processes on one record would each undo the other's.
    _lock: DirectoryLock,
    feed: JoinHandle<()>,
    upkeep: JoinHandle<()>,
}

impl Feed {
    /// Opens the accounts below the state directory and starts listening.
    ///
    /// # Errors
    /// When the accounts or an endpoint cannot be opened, as one line.
    pub(super) fn start(
        process: &Process,
        config: &Config,
        roles: Roles,
        inside: &[Endpoint],
        history: Option<Arc<History>>,
        all: &mut Metrics,
    ) -> Result<Self, String> {
        let plugin = if roles.api { "api" } else { "rrd" };
        let state = config.state_directory.join(plugin);
        std::fs::create_dir_all(&state).map_err(|error| format!("{}: {error}", state.display()))?;
        let lock = DirectoryLock::take(&state).map_err(|error| chain(&error))?;
        let collector_config = config.api.config.collector(Some(&state), config.max_gap());
        let collector = Collector::open(collector_config, process.clock.clone(), process.monotonic.clone())
            .map_err(|error: StoreError| chain(&error))?;
        let heard = patterns(config, roles);
        let subscriber_config = config.bus.subscriber(&roles.sources(config, inside), &heard);
        let expected = super::drivers::expected_probes(config);
        let subscriber = Subscriber::start(&process.bus, &subscriber_config, process.clock.clone(), expected)
            .map_err(|error| chain(&error))?;
        let subscriber = Arc::new(subscriber);
        all.add(metrics::subscriber(subscriber.clone(), plugin));
        readiness::subscriber(all, "bus", subscriber.clone());
        readiness::directory(all, "state_directory", state);
        all.add(collector.clone());
        let journal = readiness::LastWrite::default();
        if history.is_some() {
            journal.watch(all, "journal");
        }
        let kept = config.rrd.probes.clone();
        let journalled =
            history.map(|history| Journalled::open(history.journal(), config.max_gap())).transpose()?;
        let wall = process.clock.clone();
        let feed = {
            let collector = collector.clone();
            tokio::spawn(async move {
                while let Some((batch, ack)) = subscriber.recv().await {
                    collector.feed(&batch);
                    if let Some(journalled) = journalled.clone() {
                        let (kept, now) = (kept.clone(), wall.now());
                        let recorded = tokio::task::spawn_blocking(move || {
                            let is_kept =
                                |probe| kept.is_empty() || kept.iter().any(|pattern| pattern.matches(probe));
                            let heard = batch.measurements.iter();
                            let heard = heard.filter(|received| is_kept(&received.measurement.probe));
                            journalled.lock().record(heard, now)
                        });
                        note(&journal, recorded.await);
                    }
                    ack.confirm();
                }
            })
        };
        // Until it is stopped: what comes last is recorded there, after the feed has ended.
        let upkeep = tokio::spawn(collector.clone().keep(std::future::pending()));
        Ok(Self { collector, _lock: lock, feed, upkeep })
    }

    /// Puts everything on record.
    pub(super) async fn stop(self) {
        self.feed.abort();
        self.upkeep.abort();
        let collector = self.collector;
        _ = tokio::task::spawn_blocking(move || collector.maintain(true)).await;
    }
}

/// What is heard, credited for the journal.
struct Journalled {
    journal: Journal,
    accounts: HashMap<ProbeId, Account>,
    max_gap: Duration,
}

impl Journalled {
    fn open(journal: &Journal, max_gap: Duration) -> Result<Arc<Mutex<Self>>, String> {
        let mut accounts: HashMap<ProbeId, Account> = HashMap::new();
        let replayed = journal.replay(Position::default(), |record| {
            let account = accounts.entry(record.probe.clone()).or_default();
            match (&record.taken, &record.accounting) {
                (Some(taken), accounting) => {
                    account.replay(record.at, accounting.as_ref(), &taken.decision);
                }
                // A version before this one wrote it.
                (None, Some(accounting)) => _ = account.credit(accounting, Duration::ZERO, max_gap),
                (None, None) => {
                    _ = account.credit_legacy(record.power, record.at, Duration::ZERO, max_gap);
                }
            }
        });
        replayed.map_err(|error| chain(&error))?;
        Ok(Arc::new(Mutex::new(Self { journal: journal.clone(), accounts, max_gap })))
    }

    /// Credits to copies, appends, and takes the copies when that went well.
    fn record<'a>(&mut self, heard: impl Iterator<Item = &'a Received>, now: Timestamp) -> io::Result<()> {
        let mut drafts: HashMap<ProbeId, Account> = HashMap::new();
        let mut records = Vec::new();
        for Received { measurement, arrived, heard, .. } in heard {
            let probe = &measurement.probe;
            let draft = drafts
                .entry(probe.clone())
                .or_insert_with(|| self.accounts.get(probe).cloned().unwrap_or_default());
            let credit = match &measurement.accounting {
                Some(accounting) => draft.credit(accounting, *heard, self.max_gap),
                None => draft.credit_legacy(measurement.power, *arrived, *heard, self.max_gap),
            };
            if let Ok(credit) = credit {
                let taken = Taken { decision: credit.decision, register: credit.totals };
                records.push(Credited::of(measurement, *arrived, taken));
            }
        }
        self.journal.append(&Arc::new(records), now)?;
        self.accounts.extend(drafts);
        Ok(())
    }
}

/// The probes that any of the roles is to hear; none: all.
fn patterns(config: &Config, roles: Roles) -> Vec<Pattern> {
    let wanted = [(roles.api, &config.api.probes), (roles.rrd, &config.rrd.probes)];
    let mut all: Vec<Pattern> = Vec::new();
    for (_, patterns) in wanted.into_iter().filter(|(is_on, _)| *is_on) {
        if patterns.is_empty() {
            return Vec::new();
        }
        all.extend(patterns.iter().cloned());
    }
    all
}

fn note<T>(journal: &readiness::LastWrite, recorded: Result<std::io::Result<T>, tokio::task::JoinError>) {
    match recorded {
        Ok(Ok(_)) => {
            if journal.succeeded() {
                tracing::info!("the journal takes measurements again");
            }
        }
        Ok(Err(error)) => {
            if journal.failed(chain(&error)) {
                tracing::error!(%error, "the journal cannot be written; measurements are kept in memory");
            }
        }
        Err(error) => tracing::error!(%error, "a batch was not recorded"),
    }
}
