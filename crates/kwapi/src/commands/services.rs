//! `kwapi drivers | forwarder | api | rrd`: the seed's services, a process each.

use std::path::Path;

use kwapi_bus::Scheme;
use kwapi_plugins::http::Listen;
use kwapi_plugins::metrics::Metrics;
use kwapi_plugins::web::Sums;

use crate::config::{Config, chain};
use crate::reload;
use crate::service::api::Collecting;
use crate::service::drivers::Drivers;
use crate::service::rrd::Recording;
use crate::service::status::Kind;
use crate::service::{Process, Server, api, bind, forwarder, notify_ready, rrd, status};
use crate::shutdown::{STOP_LIMIT, Shutdown};

/// Prints every driver with what it reads.
pub(crate) fn list_drivers() {
    for driver in kwapi_drivers::registry::DRIVERS {
        println!("{:<12} {}", driver.name, driver.summary);
    }
}

/// Reads meters and publishes.
///
/// # Errors
/// When something cannot start, as one line.
pub(crate) async fn drivers(named: Option<&Path>) -> Result<(), String> {
    let (shutdown, config) = begin(named)?;
    if config.drivers.publish.is_empty() {
        return Err("nobody could listen: set `publish` in [drivers], for example \
            publish = [\"ipc:///run/kwapi/drivers\"]"
            .to_owned());
    }
    needs_key(&config)?;
    let listener = status::bind(status_address(&config, Kind::Drivers))?;
    let process = Process::new();
    let mut all = Metrics::new();
    let drivers = Drivers::start(&process, &config, &[]).map_err(|error| chain(&error))?;
    drivers.add_metrics(&mut all);
    for endpoint in &config.drivers.publish {
        tracing::info!(endpoint = endpoint.url(), "publishing");
    }
    let router = status::router(kwapi_plugins::metrics::router(all), Some(drivers.manager()));
    let server = Server::start(listener, router, ended(&shutdown));
    notify_ready();
    let reloading = reload::watch(&config, |config| drivers.apply(&config).map_err(|error| chain(&error)));
    tokio::select! {
        () = shutdown.begun() => {}
        () = reloading => {}
    }
    within_limit(async {
        drivers.stop().await;
        server.ended().await;
    })
    .await;
    Ok(())
}

/// Forwards.
///
/// # Errors
/// When something cannot start, as one line.
pub(crate) async fn forwarder(named: Option<&Path>) -> Result<(), String> {
    let (shutdown, config) = begin(named)?;
    reload::restart_only();
    if config.forwarder.subscribe.is_empty() || config.forwarder.publish.is_empty() {
        return Err(
            "[forwarder] needs `subscribe` (drivers or forwarders) and `publish` (where it is listened to)"
                .to_owned(),
        );
    }
    let listener = status::bind(status_address(&config, Kind::Forwarder))?;
    let process = Process::new();
    let mut all = Metrics::new();
    let forwarder = forwarder::start(&process, &config, &mut all).map_err(|error| chain(&error))?;
    let server =
        Server::start(listener, status::router(kwapi_plugins::metrics::router(all), None), ended(&shutdown));
    notify_ready();
    shutdown.begun().await;
    within_limit(server.ended()).await;
    drop(forwarder);
    Ok(())
}

/// Serves the API.
///
/// # Errors
/// When something cannot start, as one line.
pub(crate) async fn api(named: Option<&Path>) -> Result<(), String> {
    let (shutdown, config) = begin(named)?;
    needs_endpoints(config.api.subscribe.is_empty(), "api")?;
    let listener = bind(&config.api.config.listen().map_err(|error| chain(&error))?, "api.listen")?;
    let status_listener = status::bind(status_address(&config, Kind::Api))?;
    let process = Process::new();
    let mut all = Metrics::new();
    let subscriber = config.bus.subscriber(&config.api.subscribe, &config.api.probes);
    let collecting = Collecting::start(&process, &config, &subscriber, "api", &mut all)?;
    all.add(listener.metrics());
    let auth = api::auth(&process, &config, &mut all)?;
    let metrics = kwapi_plugins::metrics::router(all);
    let labels = api::Labelling::new(&config);
    let facts = api::facts(labels.clone(), |_| None);
    let router = api::router(&config, &collecting.collector, facts, auth, metrics.clone());
    tracing::info!("API at {}://{}/v1/probes/", listener.scheme(), listener.address());
    let servers = [
        Server::start(listener, router, ended(&shutdown)),
        Server::start(status_listener, status::router(metrics, None), ended(&shutdown)),
    ];
    notify_ready();
    let reloading = reload::watch(&config, |config| {
        labels.replace(&config);
        Ok(())
    });
    tokio::select! {
        () = shutdown.begun() => {}
        () = reloading => {}
    }
    within_limit(async {
        collecting.stop().await;
        for server in servers {
            server.ended().await;
        }
    })
    .await;
    Ok(())
}

/// Keeps history and serves the pages.
///
/// # Errors
/// When something cannot start, as one line.
pub(crate) async fn rrd(named: Option<&Path>) -> Result<(), String> {
    let (shutdown, config) = begin(named)?;
    needs_endpoints(config.rrd.subscribe.is_empty(), "rrd")?;
    let connections_max = config.api.config.connections_max;
    let (address, routes) = (config.rrd.listen, kwapi_plugins::web::ROUTES);
    let listen = Listen { address, tls: None, connections_max, access_log: false, routes };
    let listener = bind(&listen, "rrd.listen")?;
    let status_listener = status::bind(status_address(&config, Kind::Rrd))?;
    let process = Process::new();
    let mut all = Metrics::new();
    let subscriber = config.bus.subscriber(&config.rrd.subscribe, &config.rrd.probes);
    let collecting = Collecting::start(&process, &config, &subscriber, "rrd", &mut all)?;
    let recording = Recording::start(&process, &config, &subscriber, &mut all)?;
    all.add(listener.metrics());
    let sums: Sums = rrd::sums(&config).into_iter().collect();
    let labels = api::Labelling::new(&config);
    let history = recording.history.clone();
    let router =
        rrd::router(&process, &config, history, collecting.collector.clone(), sums.clone(), labels.clone());
    tracing::info!("web pages at http://{}/", listener.address());
    let servers = [
        Server::start(listener, router, ended(&shutdown)),
        Server::start(
            status_listener,
            status::router(kwapi_plugins::metrics::router(all), None),
            ended(&shutdown),
        ),
    ];
    notify_ready();
    let reloading = reload::watch(&config, |config| {
        sums.replace(rrd::sums(&config));
        labels.replace(&config);
        Ok(())
    });
    tokio::select! {
        () = shutdown.begun() => {}
        () = reloading => {}
    }
    within_limit(async {
        collecting.stop().await;
        recording.stop().await;
        for server in servers {
            server.ended().await;
        }
    })
    .await;
    Ok(())
}

fn begin(named: Option<&Path>) -> Result<(Shutdown, Config), String> {
    let shutdown = Shutdown::on_signals().map_err(|error| format!("no signal handlers: {error}"))?;
    Ok((shutdown, super::configuration(named)?))
}

fn status_address(config: &Config, kind: Kind) -> std::net::SocketAddr {
    config.status.listen.unwrap_or(kind.default_address())
}

pub(super) fn needs_key(config: &Config) -> Result<(), String> {
    if config.bus.key.is_some() || config.bus.signature == Scheme::None {
        return Ok(());
    }
    Err("there is nothing to sign with: give [bus] a key, \
        key = { id = \"lyon\", secret = { file = \"/etc/kwapi/bus.secret\" } }, or signature = \"none\""
        .to_owned())
}

fn needs_endpoints(missing: bool, section: &str) -> Result<(), String> {
    if missing {
        return Err(format!(
            "nothing to listen to: set `subscribe` in [{section}], for example subscribe = [\"ipc:///run/kwapi/drivers\"]"
        ));
    }
    Ok(())
}

async fn within_limit(stopping: impl Future<Output = ()>) {
    if tokio::time::timeout(STOP_LIMIT, stopping).await.is_err() {
        tracing::warn!("not everything ended within {} s", STOP_LIMIT.as_secs_f64());
    }
}

fn ended(shutdown: &Shutdown) -> impl Future<Output = ()> + Send + 'static {
    let shutdown = shutdown.clone();
    async move { shutdown.begun().await }
}
