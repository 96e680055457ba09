//! Starts the real programs that tests run against. Programs we did not write are the judges of what we did.
//!
//! `install` beside this crate's manifest fetches them; `./test` runs it. A test begins with [`need`] for each program it
//! uses: where one is missing the test is skipped, which `./test` shows in its summary, and fails under `CI=true` unless
//! `may-be-skipped` lists it with a reason ([`skip`]).
//! Each peer gets a scratch directory, a free loopback port and a [`Peer`] guard that ends it.

#![allow(
    clippy::disallowed_methods,
    reason = "starting programs is what this crate is for; no product code uses it"
)]

pub mod devices;
pub mod ipmi;
mod lab;
pub mod nats;
pub mod nvml;
pub mod objects;
pub mod openstack;
mod process;
mod relay;
mod skip;
mod systemd;

pub use lab::{Lab, debian, debian_with_systemd, python_environment};
pub use process::{Peer, free_port, free_udp_port, output, wait_until};
pub use relay::Relay;
pub use skip::skip;
pub use systemd::Booted;

use std::path::{Path, PathBuf};

/// Where a program is, by its name on the search path or in Debian's places off it.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/lib/nut", "/usr/lib/nut"].map(PathBuf::from))
        .chain(postgresql())
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// Where Debian has the programs of each `PostgreSQL` that is installed, the newest first.
fn postgresql() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path()).collect();
    versions.sort_by_key(|version| std::cmp::Reverse(number(version)));
    versions.iter().map(|version| version.join("bin")).collect()
}

/// The version that a folder of `/usr/lib/postgresql` is named after.
fn number(version: &Path) -> Option<u32> {
    version.file_name()?.to_str()?.parse().ok()
}

/// Whether `programs` are all here. If not, the test is skipped ([`skip`]).
#[must_use]
pub fn need(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).collect();
    present_or_skip(missing.is_empty(), &format!("{missing:?}"))
}

/// Whether the Python environment `name` (`python`, `openmetrics`, `ledger`, `objects`, `nats`, `axe`, `keystone`, `ceilometer`, `gnocchi`) is installed, as [`need`].
#[must_use]
pub fn need_python(name: &str) -> bool {
    present_or_skip(python_environment(name).is_file(), &format!("the Python environment {name:?}"))
}

fn present_or_skip(present: bool, what: &str) -> bool {
    if !present {
        skip(&format!("{what} is missing: run crates/kwapi-peers/install"));
    }
    present
}
