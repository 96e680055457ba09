//! `kwapi nats-setup`: the streams and consumers of the configuration, made at their servers; or a configuration for one.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use kwapi_bus::{ConsumerBegin, EndpointConfig, NatsReport, NatsSetup, StreamLimits};
use kwapi_core::{Pattern, hex};

use super::counted;
use crate::cli::{NatsFrom, NatsSetupArgs};
use crate::config::{Config, chain};

const DAY: Duration = Duration::from_secs(86_400);

/// Makes what is missing, or prints what a server needs.
///
/// # Errors
/// When the configuration names no stream, or a server cannot be reached or refuses, as one line.
pub(crate) async fn nats_setup(arguments: &NatsSetupArgs, named: Option<&Path>) -> Result<(), String> {
    let config = super::configuration(named)?;
    let streams = config.nats_streams();
    if streams.is_empty() {
        return Err("no nats:// endpoint is configured; set `publish` in [drivers] or `subscribe` in [rrd]"
            .to_owned());
    }
    if arguments.print {
        print!("{}", server_configuration(&streams));
        return Ok(());
    }
    let limits = StreamLimits {
        replicas: usize::from(arguments.replicas),
        bytes_max: arguments.megabytes_max.map(|megabytes| u64::from(megabytes) * 1_000_000),
        age_max: DAY.saturating_mul(arguments.days),
    };
    let begin = match arguments.from {
        None => ConsumerBegin::Now,
        Some(NatsFrom::All) => ConsumerBegin::All,
        Some(NatsFrom::At(at)) => ConsumerBegin::At(at),
    };
    let probes = probes(&config);
    let told = |what: &str, endpoint: &EndpointConfig, report: &NatsReport| {
        let messages = counted(usize::try_from(report.messages).unwrap_or(usize::MAX), "message");
        println!("{what:<9} {:<16} {} ({messages}) at {}", report.name, report.done, endpoint.url);
    };
    for (endpoint, consumers) in &streams {
        let mut setup = NatsSetup::connect(endpoint).await.map_err(|error| chain(&error))?;
        let stream = setup.stream(limits).await.map_err(|error| chain(&error))?;
        told("stream", endpoint, &stream);
        for name in consumers {
            let consumer = setup.consumer(name, &probes, begin).await.map_err(|error| chain(&error))?;
            told("consumer", endpoint, &consumer);
        }
    }
    Ok(())
}

/// What a history with this configuration listens to. That of `kwapi run` may want more, which it says itself.
fn probes(config: &Config) -> Vec<Pattern> {
    if config.rrd.probes.is_empty() { vec![Pattern::All] } else { config.rrd.probes.clone() }
}

/// A configuration for a server: who may do what.
fn server_configuration(streams: &[(EndpointConfig, Vec<&str>)]) -> String {
    let names: BTreeSet<String> = streams.iter().map(|(endpoint, _)| stream_of(endpoint)).collect();
    let mut users = vec![user("setup", &["$JS.API.>".to_owned()], &["_INBOX.>".to_owned()])];
    for name in &names {
        let publish = [format!("{name}.>"), format!("$JS.API.STREAM.INFO.{name}")];
        users.push(user(&format!("{name}-drivers"), &publish, &["_INBOX.>".to_owned()]));
        users.push(user(&format!("{name}-live"), &[], &[format!("{name}.>")]));
    }
    for (endpoint, consumers) in streams {
        let stream = stream_of(endpoint);
        for consumer in consumers {
            let publish = [
                format!("$JS.API.STREAM.INFO.{stream}"),
                format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"),
                format!("$JS.API.CONSUMER.CREATE.{stream}.{consumer}"),
                format!("$JS.API.CONSUMER.CREATE.{stream}.{consumer}.>"),
                format!("$JS.API.CONSUMER.RESET.{stream}.{consumer}"),
                format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
                format!("$JS.ACK.{stream}.{consumer}.>"),
            ];
            // What is published as well: the present is shown while a backlog is read.
            let subscribe = ["_INBOX.>".to_owned(), format!("{stream}.>")];
            users.push(user(&format!("{stream}-{consumer}"), &publish, &subscribe));
        }
    }
    format!(
        "# nats-server -c FILE. Each user can do what its part of kwapi needs, and no more; the passwords were\n\
         # generated for this output. Between hosts, add a `tls` block and use tls:// in kwapi's configuration.\n\
         listen: \"0.0.0.0:4222\"\n\n\
         jetstream {{\n  store_dir: \"/var/lib/nats\"\n  \
         # A message is on the disk before it is confirmed. Without this, a power failure of the server costs what\n  \
         # was stored within the last two minutes.\n  sync_interval: always\n}}\n\n\
         authorization {{\n  users = [\n{}  ]\n}}\n",
        users.concat()
    )
}

/// A user with a password of its own.
fn user(name: &str, publish: &[String], subscribe: &[String]) -> String {
    let list = |subjects: &[String]| {
        if subjects.is_empty() {
            return "{ deny: \">\" }".to_owned();
        }
        let quoted: Vec<_> = subjects.iter().map(|subject| format!("\"{subject}\"")).collect();
        format!("[{}]", quoted.join(", "))
    };
    let password = hex::encode(&rand::random::<[u8; 16]>());
    format!(
        "    {{ user: \"{name}\", password: \"{password}\", permissions: {{\n        publish: {}\n        \
         subscribe: {}\n    }} }}\n",
        list(publish),
        list(subscribe)
    )
}

/// The stream of an endpoint that was checked.
fn stream_of(endpoint: &EndpointConfig) -> String {
    endpoint.nats_stream().unwrap_or_default()
}
