//! What a process is made of. A command names [`Roles`]; the parts they need are put together here, once, each with its
//! metrics, its readiness, its routes, what it takes up from a reload, and its stop.

mod api;
pub(crate) mod backlog;
mod descriptors;
pub(crate) mod drivers;
mod feed;
mod forwarder;
pub(crate) mod instance;
mod keys;
mod listeners;
mod meters;
mod metrics;
mod pages;
mod peers;
mod process;
mod readiness;
mod remote_write;
mod roles;
pub(crate) mod spool;
mod state;
pub(crate) mod status;
pub(crate) mod streams;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwapi_bus::{Forwarder, SubscriberCounters};
use kwapi_core::Gaps;
use kwapi_history::History;
use kwapi_plugins::Scope;
use kwapi_plugins::audit::{AuditEvent, AuditLog};
use kwapi_plugins::auth::{Auth, Logins};
use kwapi_plugins::bills::Bills;
use kwapi_plugins::directory::Directory;
use kwapi_plugins::live::Live;
use kwapi_plugins::metrics::Metrics;
use kwapi_plugins::remote_write::{RemoteWrite, RemoteWriteTask};

use crate::config::{Config, Endpoint, chain};
use crate::reload;
use crate::shutdown::{STOP_LIMIT, Shutdown};

pub(crate) use api::configured;
pub(crate) use descriptors::{Descriptors, raise_limit};
pub(crate) use feed::Folded;
pub(crate) use listeners::{AddressInUse, Listeners, tunnel};
pub(crate) use pages::{history_config, ledger_config};
pub(crate) use process::{Process, clocks, host_name, wall_clock};
pub(crate) use roles::{Roles, needs_key};
pub(crate) use state::take_state;

use backlog::Backlog;
use drivers::Drivers;
use feed::Feed;
use instance::Instance;
use keys::BusKeys;
use listeners::Server;
use meters::MeterLooks;
use pages::Pages;
use peers::Peers;

/// How long before all is left behind the last RRD file is begun.
const STOP_RESERVE: Duration = Duration::from_millis(300);

/// A running process.
#[derive(Debug)]
pub(crate) struct Stack {
    drivers: Option<Drivers>,
    forwarder: Option<Arc<Forwarder>>,
    feed: Option<Feed>,
    pages: Option<Pages>,
    remote_writes: Vec<RemoteWriteTask>,
    gaps: Gaps,
    directory: Directory,
    auth: Option<Auth>,
    bills: Bills,
    logins: Option<Logins>,
    audit: AuditLog,
    keys: BusKeys,
    servers: Vec<Server>,
}

/// Who may look, and where that is recorded.
struct Access {
    audit: AuditLog,
    auth: Option<Auth>,
    logins: Option<Logins>,
}

impl Access {
    /// Of those servers that `listeners` are for.
    fn new(
        process: &Process,
        config: &Config,
        listeners: &Listeners,
        directory: &Directory,
        all: &mut Metrics,
    ) -> Result<Self, String> {
        let audit = AuditLog::new(config.state_directory.join("audit.log"), process.clock.clone());
        let has_login = listeners.web.is_some() && config.rrd.auth.is_some();
        let auth = if listeners.api.is_some() || has_login {
            api::auth(process, config, directory, all)?
        } else {
            None
        };
        auth.iter().flat_map(Auth::keys).for_each(|key| record(&audit, &key));
        let logins = match &config.rrd.auth {
            Some(login) if has_login => {
                Some(pages::logins(process, config, login, auth.clone(), directory, &audit)?)
            }
            Some(_) | None => None,
        };
        Ok(Self { audit, auth, logins })
    }
}

impl Stack {
    /// Puts together and starts what `roles` need. `inside` are endpoints of this process besides the configured ones.
    ///
    /// # Errors
    /// When something cannot start, as one line; what has started by then ends.
    pub(crate) fn start(
        process: &Process,
        config: &Config,
        roles: Roles,
        inside: &[Endpoint],
        listeners: Listeners,
        shutdown: &Shutdown,
    ) -> Result<Self, String> {
        if roles.keeps_state() {
            take_state(&config.state_directory, process.clock.now())?;
        }
        let mut all = Metrics::new();
        all.add(metrics::bus(process.bus.clone()));
        let gaps = Gaps::configured(config.gaps());
        // Whoever keeps comes before whoever sends, so that nothing is sent that nobody receives.
        let folded = if roles.rrd { Some(Folded::open(process, config, roles)?) } else { None };
        // Before the journal is read again: how long each probe may be silent is as it was then.
        let descriptions = roles.listens().then(|| feed::descriptions(config, &gaps, roles, inside));
        let backlog = Backlog::new(process.clock.clone(), config, &roles.sources(config, inside));
        let pages = match &folded {
            Some(folded) => Some(Pages::open(process, config, &gaps, &folded.journal, &backlog, &mut all)?),
            None => None,
        };
        let remote_writes = match &folded {
            Some(folded) => remote_write::start(&backlog, config, &gaps, folded, &mut all)?,
            None => Vec::new(),
        };
        let feed = descriptions
            .as_ref()
            .map(|known| Feed::start(process, config, known, roles, inside, (folded, &backlog), &mut all))
            .transpose()?;
        let forwarder = roles.forwarder.then(|| forwarder::start(process, config, &mut all)).transpose();
        let forwarder = forwarder.map_err(|error| chain(&error))?;
        let live = feed.as_ref().map(|feed| &feed.live);
        let drivers =
            roles.drivers.then(|| Drivers::start(process, config, inside, live, &mut all)).transpose();
        let drivers = drivers.map_err(|error| chain(&error))?;
        let manager = drivers.as_ref().map(Drivers::manager);
        let history = pages.as_ref().map(|pages| &pages.history);
        let looks = manager.clone().map(|manager| MeterLooks::new(manager, process.clock.clone()));
        let directory = api::directory(config, live, history, descriptions, looks, &mut all);
        let Access { audit, auth, logins } = Access::new(process, config, &listeners, &directory, &mut all)?;
        let keys = BusKeys::new(config, &audit);
        let instance = Instance::new(config, listeners.addresses().api.map(|(_, address)| address));
        let Listeners { api: api_listener, web: web_listener, status: status_listener } = listeners;
        let bound = [&api_listener, &web_listener, &status_listener];
        bound.into_iter().flatten().for_each(|listener| all.add(listener.metrics()));
        let streams = pages::streams(process, config);
        if web_listener.is_some() {
            all.add(streams.clone());
        }
        let query = pages.as_ref().and_then(|pages| pages.query.clone());
        let rests = query.clone().map(|query| api::watch_rests(process, query, &directory, shutdown));
        rests.iter().for_each(|rests| all.add(rests.clone()));
        let all = Arc::new(all);
        let bills = Bills::new(config.bill.clone(), &config.state_directory);
        let mut routers = Vec::new();
        if let Some(listener) = api_listener.filter(|_| live.is_some()) {
            let (query, samples) = (query.clone(), pages.as_ref().and_then(Pages::samples));
            let sources = api::ApiSources { query, samples, bills: bills.clone() };
            let peers = feed.as_ref().and_then(|feed| feed.peers.as_ref()).map(|peers| &peers.server);
            let router = api::router(config, directory.clone(), sources, auth.clone(), peers, &all);
            routers.push((listener, router));
        }
        if let (Some(listener), Some(pages)) = (web_listener, &pages) {
            let sources = pages.sources(&directory, &bills, feed.as_ref());
            routers.push((listener, pages::router(process, config, sources, streams, logins.clone())));
        }
        if let Some(listener) = status_listener {
            let metrics = kwapi_plugins::metrics::router(all.clone(), Scope::All);
            let energy = live.map(|_| api::operators(directory.clone(), query));
            let sources = status::StatusSources {
                instance,
                manager: manager.clone(),
                publisher: drivers.as_ref().map(Drivers::publisher),
                forwarder: forwarder.clone(),
                subscriber: feed.as_ref().map(|feed| feed.subscriber.clone()),
                live: live.cloned(),
                samples: pages.as_ref().and_then(Pages::samples),
                rests,
                remote_writes: remote_writes.iter().map(|task| task.remote_write.clone()).collect(),
                peers: feed.as_ref().and_then(|feed| feed.peers.as_ref()).map(Peers::states),
                backlog: roles.rrd.then_some(backlog),
                parts: all,
            };
            let router = status::router(metrics, manager, energy, sources, process.clock.clone());
            routers.push((listener, router));
        }
        let servers = routers
            .into_iter()
            .map(|(listener, router)| {
                let shutdown = shutdown.clone();
                Server::start(listener, router, async move { shutdown.begun().await })
            })
            .collect();
        Ok(Self {
            drivers,
            forwarder,
            feed,
            pages,
            remote_writes,
            gaps,
            directory,
            auth,
            bills,
            logins,
            audit,
            keys,
            servers,
        })
    }

    /// Works until `shutdown`, applying changes of the configuration's files, and stops.
    pub(crate) async fn work(self, config: &Config, shutdown: &Shutdown) {
        let reloading = reload::watch(config, |config| self.reload(&config));
        tokio::select! {
            () = shutdown.begun() => {}
            () = reloading => {}
        }
        self.stop().await;
    }

    /// Takes up what a new configuration changes without a restart.
    fn reload(&self, config: &Config) -> Result<(), String> {
        let bus = self.keys.section(config);
        if let Some(feed) = &self.feed {
            feed.verify_with(config, &bus).map_err(|error| chain(&error))?;
        }
        if let Some(forwarder) = &self.forwarder {
            forwarder::let_in(forwarder, config, &bus).map_err(|error| chain(&error))?;
        }
        if let Some(drivers) = &self.drivers {
            drivers.sign_with(config, &bus).map_err(|error| chain(&error))?;
        }
        self.keys.replace(config, &self.audit);
        if let Some(drivers) = &self.drivers {
            drivers.apply(config).map_err(|error| chain(&error))?;
        }
        self.gaps.configure(config.gaps());
        self.directory.replace(api::configured(config));
        self.bills.replace(config.bill.clone());
        if let Some(pages) = &self.pages {
            pages.apply(config);
        }
        if let (Some(auth), Some(new)) = (&self.auth, &config.api.config.auth) {
            let changes = auth.replace(new).map_err(|error| chain(&error))?;
            changes.iter().for_each(|change| record(&self.audit, change));
        }
        if let (Some(logins), Some(new)) = (&self.logins, &config.rrd.auth) {
            logins.replace(new).map_err(|error| chain(&error))?;
        }
        Ok(())
    }

    /// Ends every part, those that send before those that keep; what has not ended in time is left behind.
    pub(crate) async fn stop(self) {
        let Self { drivers, forwarder, feed, pages, remote_writes, servers, .. } = self;
        let deadline = Instant::now() + STOP_LIMIT.saturating_sub(STOP_RESERVE);
        let stopping = async {
            if let Some(drivers) = drivers {
                drivers.stop().await;
            }
            drop(forwarder);
            // What was not sent is read again by the next start.
            drop(remote_writes);
            if let Some(feed) = feed {
                feed.stop().await;
            }
            if let Some(pages) = pages {
                pages.stop(deadline).await;
            }
            for server in servers {
                server.ended().await;
            }
        };
        within_limit(stopping).await;
    }

    /// The meters and the publisher, where there are any.
    pub(crate) fn drivers(&self) -> Option<&Drivers> {
        self.drivers.as_ref()
    }

    /// What is live, where measurements are received.
    pub(crate) fn live(&self) -> Option<&Live> {
        self.feed.as_ref().map(|feed| &feed.live)
    }

    /// What the bus has delivered, where measurements are received.
    pub(crate) fn received(&self) -> Option<SubscriberCounters> {
        self.feed.as_ref().map(|feed| feed.subscriber.counters())
    }

    /// What sends measurements to other servers.
    pub(crate) fn remote_writes(&self) -> impl Iterator<Item = &RemoteWrite> {
        self.remote_writes.iter().map(|task| &task.remote_write)
    }

    /// History, where it is kept.
    pub(crate) fn history(&self) -> Option<&Arc<History>> {
        self.pages.as_ref().map(|pages| &pages.history)
    }
}

/// Records what happened; that it could not be is logged.
fn record(audit: &AuditLog, event: &AuditEvent) {
    if let Err(error) = audit.append(event) {
        tracing::error!(%error, "cannot write the audit log");
    }
}

async fn within_limit(stopping: impl Future<Output = ()>) {
    if tokio::time::timeout(STOP_LIMIT, stopping).await.is_err() {
        tracing::warn!("shutdown incomplete after {} s", STOP_LIMIT.as_secs_f64());
    }
}
