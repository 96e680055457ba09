//! `kwapi run`: everything in one process.

use std::path::Path;

use kwapi_bus::{Key, Scheme};
use kwapi_plugins::http::{Listen, Listener};
use kwapi_plugins::metrics::Metrics;
use kwapi_plugins::web::Sums;

use crate::cli::Run;
use crate::config::{Config, Endpoint};
use crate::demo::Demo;
use crate::reload;
use crate::service::api::Collecting;
use crate::service::drivers::{Drivers, Problems};
use crate::service::rrd::Recording;
use crate::service::{Process, Server, api, bind, rrd, status};
use crate::shutdown::{STOP_LIMIT, Shutdown};

/// Where the plugins of this process find its drivers.
const INSIDE: &str = "inproc://kwapi-drivers";

/// Runs until told to stop.
///
/// # Errors
/// When something cannot start, as one line.
pub(crate) async fn run(arguments: &Run, named: Option<&Path>) -> Result<(), String> {
    let shutdown = Shutdown::on_signals().map_err(|error| format!("no signal handlers: {error}"))?;
    let file = Config::find(named).filter(|_| !arguments.demo);
    let mut demo = None;
    let mut config = if let Some(file) = &file {
        Config::read(file).map_err(|error| error.to_string())?
    } else {
        let running = Demo::start().await?;
        let config = running.configuration()?;
        demo = Some(running);
        config
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    override_addresses(&mut config, arguments);
    sign_inside(&mut config)?;

    // What can fail at the start fails before the first meter is touched.
    let listen = config.api.config.listen().map_err(|error| crate::config::chain(&error))?;
    let is_demo = demo.is_some();
    let api_listener = bind_or_any(&listen, "api.listen", is_demo)?;
    let routes = kwapi_plugins::web::ROUTES;
    let web_listen = Listen { address: config.rrd.listen, tls: None, routes, ..listen };
    let web_listener = bind_or_any(&web_listen, "rrd.listen", is_demo)?;
    let status_address = config.status.listen.unwrap_or(status::Kind::Drivers.default_address());
    let status_listener = bind_or_any(&status::listen(status_address), "status.listen", is_demo)?;
    let status_address = status_listener.address();

    let process = Process::new();
    let mut all = Metrics::new();
    let inside = [Endpoint::new(INSIDE)];
    let listening = |more: &[Endpoint]| [&inside[..], more].concat();
    let subscriber = config.bus.subscriber(&listening(&config.api.subscribe), &config.api.probes);
    let collecting = Collecting::start(&process, &config, &subscriber, "api", &mut all)?;
    let subscriber = config.bus.subscriber(&listening(&config.rrd.subscribe), &config.rrd.probes);
    let recording = Recording::start(&process, &config, &subscriber, &mut all)?;
    let drivers = Drivers::start(&process, &config, &inside).map_err(|error| crate::config::chain(&error))?;
    drivers.add_metrics(&mut all);
    all.add(api_listener.metrics());
    all.add(web_listener.metrics());
    let auth = api::auth(&process, &config, &mut all)?;
    let metrics = kwapi_plugins::metrics::router(all);

    let manager = drivers.manager();
    let labels = api::Labelling::new(&config);
    let sums: Sums = rrd::sums(&config).into_iter().collect();
    let problems = Problems::new(manager.clone());
    let facts = api::facts(labels.clone(), move |probe| problems.of(probe));
    let (api_address, api_scheme) = (api_listener.address(), api_listener.scheme());
    let web_address = web_listener.address();
    let api_router = api::router(&config, &collecting.collector, facts, auth, metrics.clone());
    let history = recording.history.clone();
    let web_router =
        rrd::router(&process, &config, history, collecting.collector.clone(), sums.clone(), labels.clone());
    let ended = |shutdown: &Shutdown| {
        let shutdown = shutdown.clone();
        async move { shutdown.begun().await }
    };
    let servers = [
        Server::start(api_listener, api_router, ended(&shutdown)),
        Server::start(web_listener, web_router, ended(&shutdown)),
        Server::start(status_listener, status::router(metrics, Some(manager)), ended(&shutdown)),
    ];
    println!("web pages   http://{web_address}/");
    println!("API         {api_scheme}://{api_address}/v1/probes/");
    let asking = if status_address == status::Kind::Drivers.default_address() {
        String::new()
    } else {
        format!(" --address {status_address}")
    };
    println!("status      http://{status_address}/metrics   (or: kwapi status{asking})");
    if demo.is_some() {
        println!("{}", Demo::introduction());
    }
    if config.api.config.auth.is_none() {
        tracing::info!("the API has no authentication: [api.auth] brings it");
    }
    crate::service::notify_ready();

    let reloading = reload::watch(&config, |config| {
        drivers.apply(&config).map_err(|error| crate::config::chain(&error))?;
        labels.replace(&config);
        sums.replace(rrd::sums(&config));
        Ok(())
    });
    tokio::select! {
        () = shutdown.begun() => {}
        () = reloading => {}
    }
    let stopping = async {
        drivers.stop().await;
        collecting.stop().await;
        recording.stop().await;
        for server in servers {
            server.ended().await;
        }
    };
    if tokio::time::timeout(STOP_LIMIT, stopping).await.is_err() {
        tracing::warn!("not everything ended within {} s", STOP_LIMIT.as_secs_f64());
    }
    drop(demo);
    Ok(())
}

/// Binds a listener. Whoever tries the demonstration did not choose the address: where it is taken, any will do.
fn bind_or_any(listen: &Listen, key: &str, is_demo: bool) -> Result<Listener, String> {
    match bind(listen, key) {
        Err(taken) if is_demo => {
            let anywhere = Listen { address: (listen.address.ip(), 0).into(), ..listen.clone() };
            let listener = bind(&anywhere, key)?;
            println!(
                "{}: this demonstration uses port {} instead",
                taken_by(&taken),
                listener.address().port()
            );
            Ok(listener)
        }
        result => result,
    }
}

/// The complaint without the advice, which is for those with a configuration.
fn taken_by(complaint: &str) -> &str {
    complaint.split(';').next().unwrap_or_default()
}

fn override_addresses(config: &mut Config, arguments: &Run) {
    if let Some(address) = arguments.api {
        config.api.config.listen = address;
    }
    if let Some(address) = arguments.web {
        config.rrd.listen = address;
    }
    config.status.listen = arguments.status.or(config.status.listen);
}

/// Signs with a key of this process alone where none is configured: what travels inside is verified like anything else.
///
/// # Errors
/// When others are to listen: they could verify nothing signed with it.
fn sign_inside(config: &mut Config) -> Result<(), String> {
    if !config.drivers.publish.is_empty() {
        super::services::needs_key(config)?;
    }
    if config.bus.key.is_none() && config.bus.signature == Scheme::Kwapi1 {
        let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        config.bus.key = Some(Key::new("inside", secret));
    }
    Ok(())
}
