//! Commands about the keys of the bus.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kwapi_core::{Pattern, Timestamp};

#[derive(Args, Debug)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a CURVE key pair: the secret key goes to a file, the public key is printed.
    Curve(KeyFileArgs),
    /// Make a secret to sign measurements with, and print what to configure.
    Signing(SigningArgs),
    /// Print the public key that belongs to a file with a secret CURVE key.
    Public(KeyFileArgs),
    /// Print which keys the configuration signs with, accepts, and lets in, without any secret.
    List,
}

#[derive(Args, Debug)]
pub(crate) struct KeyFileArgs {
    /// File of the secret key. A new one is never written over an old one.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct SigningArgs {
    /// File of the secret. A new one is never written over an old one.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Id of the key in messages, logs and metrics: letters, digits, `-`, `_` and `.`.
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,
    /// The probes it is valid for: an id, `lyon.*`, or all.
    #[arg(long, value_name = "PATTERN", default_value = "*", value_parser = Pattern::new)]
    pub(crate) probes: Pattern,
    /// Instant from which it is valid, such as `2026-12-01T00:00:00Z`, or a date in UTC.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) valid_from: Option<Timestamp>,
    /// Instant from which it is no longer valid.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) valid_until: Option<Timestamp>,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    kwapi_bus::key_instant(text)
        .ok_or_else(|| "must be an instant such as 2026-12-01T00:00:00Z, or a date".to_owned())
}
