//! The bus feed: one subscriber, and the intake that takes what it receives, each message once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kwapi_bus::{BusError, SourceConfig, Subscriber, SubscriberConfig};
use kwapi_core::{Account, Gaps, MonotonicClock, Pattern, ProbeId, ProcessClocks, Timestamp};
use kwapi_history::journal::{Journal, JournalConfig};
use kwapi_history::store::DirectoryLock;
use kwapi_history::{Ledger, Samples};
use kwapi_plugins::descriptions::Descriptions;
use kwapi_plugins::intake::accounts::{Keeper, Kept};
use kwapi_plugins::intake::{Append, Intake, Running};
use kwapi_plugins::live::Live;
use kwapi_plugins::metrics::Metrics;
use kwapi_plugins::peers::Adopted;
use tokio::task::JoinHandle;

use super::backlog::Backlog;
use super::peers::Peers;
use super::process::{clock_not_before, clock_trouble};
use super::{Process, Roles, metrics, readiness};
use crate::config::{BusSection, Config, Endpoint, chain};

/// Measurements on their way in.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) live: Live,
    descriptions: Descriptions,
    running: Running,
    pub(super) subscriber: Arc<Subscriber>,
    roles: Roles,
    inside: Vec<Endpoint>,
    upkeep: Option<JoinHandle<()>>,
    /// Where there are other instances of the API.
    pub(super) peers: Option<Peers>,
    /// Two processes on one record would each undo the other's. (Where there is a journal, it has the lock.)
    _lock: Option<DirectoryLock>,
}

/// The journal, and the accounts that are its fold.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) journal: Journal,
    pub(crate) accounts: Vec<(ProbeId, Account)>,
}

impl Folded {
    /// Opens the journal of the state directory and folds the accounts from it, before anything new is received.
    ///
    /// # Errors
    /// When the directory is in use, or what is there cannot be read, as one line.
    pub(super) fn open(process: &Process, config: &Config, roles: Roles) -> Result<Self, String> {
        Self::read(&config.state_directory, roles.api, process.clock.now())
    }

    /// The same, of any state directory, at `now`. `has_api`: whether the API of its service has accounts from before there
    /// was a journal.
    ///
    /// # Errors
    /// As [`Folded::open`].
    pub(crate) fn read(state_directory: &Path, has_api: bool, now: Timestamp) -> Result<Self, String> {
        let directory = state_directory.join("history");
        let cannot_read = |error: std::io::Error| format!("cannot read the accounts: {error}");
        // The version before kept accounts by themselves: of the API, or of the pages where they were alone.
        let former = state_directory.join(if has_api { "api" } else { "rrd" }).join("accounts.log");
        let journal_config = JournalConfig {
            known: Kept::position_in(&directory)
                .max(Ledger::position_in(&directory))
                .max(Samples::position_in(&directory)),
            ..JournalConfig::default()
        };
        let (journal, _) = Journal::open(&directory, journal_config, now).map_err(|error| chain(&error))?;
        let kept = Kept::read(&directory, &former).map_err(cannot_read)?;
        let accounts = kept.fold(&journal).map_err(|error| chain(&error))?;
        Ok(Self { journal, accounts })
    }
}

impl Feed {
    /// Starts listening. `folded` are the journal and its accounts, where there is one; otherwise accounts are recorded
    /// below the state directory. `backlog` learns of what is kept for it.
    ///
    /// # Errors
    /// When the accounts or an endpoint cannot be opened, as one line.
    pub(super) fn start(
        process: &Process,
        config: &Config,
        descriptions: &Descriptions,
        roles: Roles,
        inside: &[Endpoint],
        (folded, backlog): (Option<Folded>, &Backlog),
        all: &mut Metrics,
    ) -> Result<Self, String> {
        let plugin = if roles.api { "api" } else { "rrd" };
        let state = config.state_directory.join(plugin);
        let (journal, accounts) = match folded {
            Some(Folded { journal, accounts }) => (Some(journal), accounts),
            None => (None, Vec::new()),
        };
        let record = journal.is_none().then_some(state.as_path());
        let lock = record.map(lock).transpose()?;
        let live_config = config.api.config.live(record, descriptions.gaps().clone());
        let wanted = patterns(config, roles);
        let mut subscriber_config = config.bus.subscriber(&roles.sources(config, inside), &wanted);
        let clocks =
            ProcessClocks { monotonic: silence_clock(process, &subscriber_config), ..process.clocks() };
        let live = Live::open(live_config, accounts, clocks.wall.clone(), clocks.monotonic.clone());
        // What is reported as on the disk is in this journal: it goes, or is restored, with it.
        subscriber_config.positions = journal.as_ref().map(|journal| journal.home().to_owned());
        subscriber_config.clock_not_before = clock_not_before(live.newest_recorded());
        let expected = super::drivers::expected_messages(config, live.probes());
        let subscriber = Subscriber::start(&process.bus, &subscriber_config, &clocks, expected)
            .map_err(|error| chain(&error))?;
        let subscriber = Arc::new(subscriber);
        let append = journal
            .clone()
            .map(|journal| -> Append { Box::new(move |records, now| journal.append(records, now)) });
        let mut intake = Intake::new(live.clone(), append).with_descriptions(descriptions.clone());
        all.add(metrics::descriptions(descriptions.clone(), plugin));
        let mut peers = None;
        // Where there is a journal, the accounts are made of that alone.
        if roles.api && !roles.rrd && !config.api.config.peers.is_empty() {
            let (adopter, adopted) = Adopted::channel();
            intake = intake.with_peers(adopted);
            peers = Some(Peers::start(config, live.clone(), &adopter, &wanted, all)?);
        }
        watch_clock(process, live.newest_recorded(), all);
        all.add(metrics::subscriber(subscriber.clone(), plugin));
        readiness::subscriber(all, "bus", subscriber.clone());
        let links = subscriber.clone();
        readiness::nats(all, "nats_subscribe", move || links.nats_links());
        let links = subscriber.clone();
        all.add(metrics::nats(move || links.nats_links(), process.clock.clone()));
        backlog.watch(&subscriber, all);
        if record.is_some() {
            readiness::directory(all, "state_directory", state.clone());
            let live = live.clone();
            all.add_readiness("accounts", move || live.trouble().map_or(Ok(()), Err));
        } else {
            let (intake, journal) = (intake.trouble(), journal.clone());
            all.add_readiness("journal", move || {
                let trouble = || journal.as_ref().and_then(Journal::trouble);
                intake.now().or_else(trouble).map_or(Ok(()), Err)
            });
        }
        // Until it is stopped: what comes last is recorded there, after the intake has ended.
        let upkeep = record.map(|_| tokio::spawn(live.clone().keep(std::future::pending())));
        let keeper = journal
            .map(|journal| Keeper::start(journal, process.clock.clone()))
            .transpose()
            .map_err(|error| chain(&error))?;
        let running = Running::start(intake, subscriber.clone(), keeper).map_err(|error| chain(&error))?;
        let descriptions = descriptions.clone();
        Ok(Self {
            live,
            descriptions,
            running,
            subscriber,
            roles,
            inside: inside.to_vec(),
            upkeep,
            peers,
            _lock: lock,
        })
    }

    /// Takes up the keys of a configuration: what messages may be signed with, and who may connect.
    ///
    /// # Errors
    /// When a key is unfit; nothing has changed then.
    pub(super) fn verify_with(&self, config: &Config, bus: &BusSection) -> Result<(), BusError> {
        self.peers.iter().for_each(|peers| peers.verify_with(bus));
        let sources = self.roles.sources(config, &self.inside);
        let endpoints = bus.subscriber(&sources, &[]).endpoints;
        self.subscriber.verify_with(&endpoints)?;
        self.descriptions.keep_accepted(|probe, key| is_accepted(&endpoints, probe, key));
        Ok(())
    }

    /// Takes what has come by now, and puts everything on record.
    pub(super) async fn stop(self) {
        let Self { live, running, subscriber, upkeep, peers, .. } = self;
        drop((subscriber, peers));
        let has_record = upkeep.is_some();
        upkeep.inspect(JoinHandle::abort);
        let stopped = tokio::task::spawn_blocking(move || {
            running.stop();
            if has_record {
                live.maintain(true);
            }
        });
        _ = stopped.await;
    }
}

/// What publishers have described of their probes by now.
pub(super) fn descriptions(config: &Config, gaps: &Gaps, roles: Roles, inside: &[Endpoint]) -> Descriptions {
    let directory = config.state_directory.join(if roles.rrd { "history" } else { "api" });
    let endpoints = config.bus.subscriber(&roles.sources(config, inside), &[]).endpoints;
    Descriptions::open(&directory, gaps.clone(), |probe, key| is_accepted(&endpoints, probe, key))
}

/// Whether what a key has signed of a probe is accepted at any of these endpoints; without a key, whether that is.
fn is_accepted(endpoints: &[SourceConfig], probe: &ProbeId, key: Option<&str>) -> bool {
    endpoints.iter().any(|endpoint| match key {
        Some(id) => endpoint.keys.iter().any(|key| key.id == id && key.probes.matches(probe)),
        None => endpoint.keys.is_empty(),
    })
}

/// The clock that silence is measured on. What NATS has stored may be older than this process, and counts as received
/// when it was measured: on a clock that began as long ago as anything stored may be.
fn silence_clock(process: &Process, config: &SubscriberConfig) -> MonotonicClock {
    let clock = process.monotonic.clone();
    if config.endpoints.iter().all(|source| source.consumer.is_none()) {
        return clock;
    }
    let before = Duration::from_secs(config.stored_age_max_seconds);
    MonotonicClock::new(move || clock.now().saturating_add(before))
}

/// Reports a wall clock that is wrong: what is stamped now would be laid into the past.
fn watch_clock(process: &Process, newest: Timestamp, all: &mut Metrics) {
    if let Some(trouble) = clock_trouble(process.clock.now(), newest) {
        tracing::error!("{trouble}");
    }
    let clock = process.clock.clone();
    all.add(metrics::clock(move || clock_trouble(clock.now(), newest).is_some()));
    let clock = process.clock.clone();
    all.add_readiness("clock", move || clock_trouble(clock.now(), newest).map_or(Ok(()), Err));
}

/// Ends a restore that was killed, before anything is opened.
pub(super) fn finish_restore(state_directory: &Path) -> Result<(), String> {
    if kwapi_history::finish_restore(state_directory).map_err(|error| chain(&error))? {
        tracing::warn!(directory = %state_directory.display(), "a restore was interrupted; finished it");
    }
    Ok(())
}

/// Takes a directory, which is made if need be.
fn lock(directory: &Path) -> Result<DirectoryLock, String> {
    std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    DirectoryLock::take(directory).map_err(|error| chain(&error))
}

/// The probes that any of the roles is to receive; none: all.
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
