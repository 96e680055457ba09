//! `kwapi nats-setup`: the streams and consumers of the configuration, made at their servers; or configurations for these.

mod server;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use kwapi_bus::{ConsumerBegin, EndpointConfig, NatsReport, NatsSetup, StreamLimits};
use kwapi_core::Pattern;

use super::counted;
use crate::cli::{NatsFrom, NatsSetupArgs};
use crate::config::{Config, chain};
use crate::stack::wall_clock;
use server::{ServerFile, ServerFiles};

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
    if arguments.print || arguments.write.is_some() {
        let ServerFiles { configurations, passwords } =
            server::files(&streams, &arguments.sites, arguments.sync_seconds)?;
        if let Some(directory) = &arguments.write {
            return configurations.iter().chain(&passwords).try_for_each(|file| write(directory, file));
        }
        let texts: Vec<_> = configurations.iter().map(|file| file.text.as_str()).collect();
        print!("{}", texts.join("\n"));
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
    let (probes, now) = (probes(&config), wall_clock().now());
    let print_line = |what: &str, endpoint: &EndpointConfig, report: &NatsReport| {
        let messages = counted(usize::try_from(report.messages).unwrap_or(usize::MAX), "message");
        println!("{what:<9} {:<16} {} ({messages}) at {}", report.name, report.done, endpoint.url);
    };
    for (endpoint, consumers) in &streams {
        let mut setup = NatsSetup::connect(endpoint).await.map_err(|error| chain(&error))?;
        let stream = setup.stream(limits, &arguments.sites, now).await.map_err(|error| chain(&error))?;
        print_line("stream", endpoint, &stream);
        for site in setup.unreached().await.map_err(|error| chain(&error))? {
            println!(
                "site {site}: not reached yet; what it stores is taken once its server has connected to this one"
            );
        }
        for name in consumers {
            let consumer = setup.consumer(name, &probes, begin).await.map_err(|error| chain(&error))?;
            print_line("consumer", endpoint, &consumer);
        }
    }
    Ok(())
}

/// What a history with this configuration listens to. That of `kwapi run` may require more, which it reports itself.
fn probes(config: &Config) -> Vec<Pattern> {
    if config.rrd.probes.is_empty() { vec![Pattern::All] } else { config.rrd.probes.clone() }
}

/// Writes a configuration, which has passwords, for its owner alone.
fn write(directory: &Path, file: &ServerFile) -> Result<(), String> {
    let path = directory.join(&file.name);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(directory).map_err(failed)?;
    let mut options = std::fs::OpenOptions::new();
    let mut opened = options.write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    opened.write_all(file.text.as_bytes()).map_err(failed)?;
    println!("{}", path.display());
    Ok(())
}
