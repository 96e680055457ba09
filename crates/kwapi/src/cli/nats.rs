//! What an operator types about NATS.

use std::path::PathBuf;

use clap::Args;
use kwapi_bus::NatsSite;
use kwapi_core::Timestamp;

#[derive(Args, Debug)]
pub(crate) struct NatsSetupArgs {
    /// Servers of a cluster that keep a copy of each message.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5), value_name = "N")]
    pub(crate) replicas: u8,
    /// Days that messages are kept.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=36_500), value_name = "N")]
    pub(crate) days: u32,
    /// Size of a stream in megabytes; beyond it the oldest messages are removed [default: no limit].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub(crate) megabytes_max: Option<u32>,
    /// Recreate the consumers, so that a history is given what was stored since this instant, or `all`.
    ///
    /// For a new history, or one restored from a backup. What it has already is recognised. Stop its service first.
    #[arg(long, value_name = "INSTANT", value_parser = from)]
    pub(crate) from: Option<NatsFrom>,
    /// Take the stream from the server of this site, a leaf node whose JetStream domain is NAME. Its probes are NAME.*, or
    /// as given. Once for each site; earlier ones stay.
    #[arg(long = "site", value_name = "NAME[=PROBES]", value_parser = NatsSite::new)]
    pub(crate) sites: Vec<NatsSite>,
    /// Print a configuration for nats-server, with users and what each may do, and connect to nothing.
    #[arg(long)]
    pub(crate) print: bool,
    /// As --print, into files of this directory: centre.conf, and one for each site; the password of each user besides.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "print")]
    pub(crate) write: Option<PathBuf>,
    /// Have servers force what they store to the disk every N seconds, instead of each message before it is confirmed.
    ///
    /// For more messages than a disk can take one by one, some 1 000 a second. A power failure of a server costs what it had
    /// stored since.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=120), value_name = "N")]
    pub(crate) sync_seconds: Option<u16>,
}

/// Where consumers begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NatsFrom {
    /// With the oldest message there is.
    All,
    /// With what was stored then, or later.
    At(Timestamp),
}

fn from(text: &str) -> Result<NatsFrom, String> {
    if text == "all" {
        return Ok(NatsFrom::All);
    }
    kwapi_bus::key_instant(text)
        .map(NatsFrom::At)
        .ok_or_else(|| "must be `all`, an instant such as 2026-12-01T00:00:00Z, or a date".to_owned())
}
