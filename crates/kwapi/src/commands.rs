//! What each command does; wiring only.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod bill;
pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod discover;
pub(crate) mod energy;
pub(crate) mod import;
pub(crate) mod import_config;
mod instance;
pub(crate) mod keys;
pub(crate) mod keystone_register;
pub(crate) mod manual;
pub(crate) mod measure;
pub(crate) mod nats_setup;
mod owner;
pub(crate) mod probe;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod services;
pub(crate) mod simulate;
pub(crate) mod status;
pub(crate) mod tail;

use std::path::Path;

use crate::config::Config;

/// The configuration that was named or found.
///
/// # Errors
/// When there is none, or it is wrong, as one line.
pub(crate) fn configuration(named: Option<&Path>) -> Result<Config, String> {
    let Some(file) = Config::find(named) else {
        return Err("no configuration found; create kwapi.toml here or in /etc/kwapi, or use --config (`kwapi run` without one is a demonstration)"
            .to_owned());
    };
    Config::read(&file).map_err(|error| error.to_string())
}

/// "1 probe", "2 probes".
pub(crate) fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}
