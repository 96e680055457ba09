//! `kwapi tail`: measurements as they pass on the bus, and how their meters are doing.

mod states;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use kwapi_bus::{BusContext, Received, Scheme, SourceConfig, Subscriber, SubscriberConfig};
use kwapi_core::Quality;

use crate::cli::TailArgs;
use crate::config::Config;
use crate::shutdown::Shutdown;
use crate::stack::clocks;

/// Measurements a second to expect, to size queues by.
const MESSAGES_EXPECTED: usize = 10_000;

/// After so long without a measurement, somebody wonders why.
const SILENCE: Duration = Duration::from_secs(5);

/// Prints until requested to stop, or `--count` are printed.
///
/// # Errors
/// When there is nothing to listen to or an endpoint cannot be opened, as one line.
pub(crate) async fn tail(arguments: &TailArgs, named: Option<&Path>) -> Result<(), String> {
    let shutdown =
        Shutdown::on_signals().map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let subscriber_config = subscriber_config(arguments, named)?;
    let bus = BusContext::new();
    let subscriber = Subscriber::start(&bus, &subscriber_config, &clocks(), MESSAGES_EXPECTED)
        .map_err(|error| crate::config::chain(&error))?;
    if arguments.endpoint.is_empty() {
        tokio::spawn(states::watch(super::status::address(None, named)?, arguments.json));
    }
    let mut left = arguments.count.unwrap_or(u64::MAX);
    let mut out = std::io::stdout().lock();
    let silence = tokio::time::sleep(SILENCE);
    tokio::pin!(silence);
    let mut is_silent = true;
    while left > 0 {
        let batch = tokio::select! {
            batch = subscriber.recv() => batch,
            () = shutdown.begun() => None,
            () = &mut silence, if is_silent => {
                is_silent = false;
                eprintln!("{}", nothing_yet(&subscriber_config, &subscriber));
                continue;
            }
        };
        let Some((batch, ack)) = batch else { break };
        ack.confirm();
        is_silent &= batch.measurements.is_empty();
        for received in batch.measurements.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            left -= 1;
            let line = if arguments.json { json(received) } else { text(received) };
            // A reader that went away (head, less) ends us quietly.
            if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                return Ok(());
            }
        }
    }
    drop(out);
    if let Some(refused) = refused(&subscriber) {
        eprintln!("refused: {refused}");
    }
    Ok(())
}

/// What is wrong when nothing can be shown.
fn nothing_yet(config: &SubscriberConfig, subscriber: &Subscriber) -> String {
    let endpoints: Vec<&str> = config.endpoints.iter().map(|source| source.url.as_str()).collect();
    let endpoints = endpoints.join(", ");
    match refused(subscriber) {
        Some(refused) => {
            format!("messages from {endpoints} all failed verification ({refused}); check the keys in [bus]")
        }
        None => format!("no data received from {endpoints} yet; check that it publishes these probes"),
    }
}

/// What was refused, by cause.
fn refused(subscriber: &Subscriber) -> Option<String> {
    let counters = subscriber.counters();
    let refused: Vec<String> = counters
        .refused
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(cause, count)| format!("{count} {}", cause.name()))
        .collect();
    (!refused.is_empty()).then(|| refused.join(", "))
}

fn subscriber_config(arguments: &TailArgs, named: Option<&Path>) -> Result<SubscriberConfig, String> {
    if !arguments.endpoint.is_empty() {
        let sources =
            arguments.endpoint.iter().map(|url| SourceConfig::new(url, Scheme::None, Vec::new())).collect();
        let mut config = SubscriberConfig::new(sources);
        config.probes.clone_from(&arguments.patterns);
        return Ok(config);
    }
    let config: Config = super::configuration(named)?;
    let endpoints =
        [&config.api.subscribe, &config.rrd.subscribe, &config.drivers.publish, &config.forwarder.publish];
    let Some(endpoints) = endpoints.into_iter().find(|endpoints| !endpoints.is_empty()) else {
        return Err(
            "no external endpoint is configured; set `publish` in [drivers], or use --endpoint".to_owned()
        );
    };
    // Of a stream of NATS, what is stored for a history stays there.
    let endpoints: Vec<_> = endpoints.iter().map(|endpoint| endpoint.clone().live()).collect();
    Ok(config.bus.subscriber(&endpoints, &arguments.patterns))
}

fn text(received: &Received) -> String {
    let measurement = &received.measurement;
    let mut line = format!("{:<40} {:>10.1} W", measurement.probe.to_string(), measurement.power.0);
    if let Some(accounting) = &measurement.accounting {
        let totals = accounting.totals;
        _ = write!(line, "  {:>12.6} kWh  #{}", totals.energy.kwh(), accounting.seq);
        if accounting.quality == Quality::Estimated {
            line += "  estimated";
        }
        if totals.unknown_ms > 0 {
            _ = write!(line, "  {:.1} s unknown", totals.unknown_ms as f64 / 1e3);
        }
    }
    line
}

fn json(received: &Received) -> String {
    let measurement = &received.measurement;
    let accounting = measurement.accounting.as_ref();
    serde_json::json!({
        "probe_id": measurement.probe,
        "w": measurement.power,
        "v": measurement.voltage,
        "a": measurement.current,
        "timestamp": accounting.map_or(received.arrived, |it| it.timestamp).seconds_f64(),
        "session": accounting.map(|it| it.session),
        "seq": accounting.map(|it| it.seq),
        "energy_joules": accounting.map(|it| it.totals.energy.joules()),
        "quality": accounting.map(|it| it.quality),
        "key": received.key.as_deref(),
    })
    .to_string()
}
