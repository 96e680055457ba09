//! The instance that a command means: the one that the configuration describes. Another may have bound the status port.

use std::net::SocketAddr;
use std::path::Path;

use super::client::fetch_status;
use crate::config::{Config, ConfiguredInstance};
use crate::stack::Roles;
use crate::stack::instance::{InstanceReport, Place};
use crate::stack::status::{INSTANCE, default_address};

/// The services of a machine, in the order in which they are looked for.
pub(super) const SERVICES: [Roles; 4] = [Roles::DRIVERS, Roles::FORWARDER, Roles::API, Roles::RRD];

/// The instance that is meant.
#[derive(Clone, Debug)]
pub(super) struct WantedInstance {
    /// The address that was named, is configured, or that of a driver manager.
    pub(super) address: SocketAddr,
    /// Whether nobody configured it: each service has one of its own then.
    pub(super) is_default: bool,
    /// `None`: whichever is at the address, since it was named, or nothing is configured.
    wanted: Option<Wanted>,
}

#[derive(Clone, Debug)]
struct Wanted {
    configuration: Place,
    state_directory: Place,
}

impl WantedInstance {
    /// The one at `address`, or else that of the configuration. A configuration that was broken after the start is no reason
    /// not to look for it.
    ///
    /// # Errors
    /// When the configuration that was named cannot be read, as one line.
    pub(super) fn new(address: Option<SocketAddr>, named: Option<&Path>) -> Result<Self, String> {
        if let Some(address) = address {
            return Ok(Self { address, is_default: false, wanted: None });
        }
        let default = default_address(Roles::DRIVERS);
        let anyone = Self { address: default, is_default: true, wanted: None };
        let Some(file) = Config::find(named) else { return Ok(anyone) };
        match crate::config::configured_instance(&file) {
            Ok(ConfiguredInstance { status, state_directory }) => {
                let address = status.unwrap_or(default);
                let wanted = Wanted {
                    configuration: Place::new(&file),
                    state_directory: Place::new(&state_directory),
                };
                Ok(Self { address, is_default: address == default, wanted: Some(wanted) })
            }
            Err(error) if !file.is_file() => Err(error.to_string()),
            Err(error) => {
                eprintln!("invalid configuration ({error}); using {default}");
                Ok(anyone)
            }
        }
    }

    /// The addresses at which a process of `roles` may be.
    pub(super) fn addresses(&self, roles: &[Roles]) -> Vec<SocketAddr> {
        let mut addresses = vec![self.address];
        if self.is_default {
            addresses.extend(roles.iter().copied().map(default_address).filter(|at| *at != self.address));
        }
        addresses
    }

    /// Why the process at `address` is not the one that is meant, as one line. A kwapi of before does not say what it serves,
    /// and is taken for it.
    pub(super) async fn mismatch(&self, address: SocketAddr) -> Option<String> {
        let wanted = self.wanted.as_ref()?;
        let report = report(address).await?;
        wanted.mismatch(address, &report)
    }

    /// Why the API on `port` of this machine is not that of the instance that is meant, as one line; `None` also where none of
    /// the status ports that this configuration and others have by default reports whose it is.
    pub(super) async fn api_mismatch(&self, port: u16) -> Option<String> {
        let wanted = self.wanted.as_ref()?;
        let addresses = [self.address].into_iter().chain(SERVICES.map(default_address));
        for address in addresses {
            let Some(report) = report(address).await else { continue };
            if report.api.is_some_and(|api| api.port() == port) {
                return wanted.mismatch(address, &report);
            }
        }
        None
    }
}

impl Wanted {
    fn mismatch(&self, address: SocketAddr, report: &InstanceReport) -> Option<String> {
        let has_configuration = report.configuration.as_ref().is_some_and(|own| own.is(&self.configuration));
        // Without the key it depends on the user; a service of systemd and a person read one file.
        if has_configuration || report.state_directory.is(&self.state_directory) {
            return None;
        }
        let of_its = report.configuration.as_ref();
        let of_its = of_its.map_or_else(String::new, |own| format!(" ({})", own.path.display()));
        Some(format!(
            "the kwapi at {address} serves another state directory, {}{of_its}, not {} ({})",
            report.state_directory.path.display(),
            self.state_directory.path.display(),
            self.configuration.path.display()
        ))
    }
}

/// What the process at `address` serves, where it reports that.
async fn report(address: SocketAddr) -> Option<InstanceReport> {
    let body = fetch_status(address, INSTANCE).await.ok()?;
    serde_json::from_slice(&body).ok()
}

/// Checks that the process at `address` serves `state_directory`.
///
/// # Errors
/// Which it serves, as one line.
pub(super) async fn check(address: SocketAddr, state_directory: &Path) -> Result<(), String> {
    let Some(report) = report(address).await else { return Ok(()) };
    if report.state_directory.is(&Place::new(state_directory)) {
        return Ok(());
    }
    Err(format!(
        "the kwapi at {address} serves another state directory, {}, not {}; use its configuration with --config, or omit --address",
        report.state_directory.path.display(),
        state_directory.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Place {
        Place { path: path.into(), inode: None }
    }

    #[track_caller]
    fn check(configuration: Option<&str>, state_directory: &str, expected: Option<&str>) {
        let report = InstanceReport {
            version: "1".to_owned(),
            configuration: configuration.map(place),
            state_directory: place(state_directory),
            api: None,
        };
        let wanted = Wanted { configuration: place("/etc/k.toml"), state_directory: place("/home/me/k") };
        let mismatch = wanted.mismatch(default_address(Roles::DRIVERS), &report);
        assert_eq!(mismatch.as_deref(), expected);
    }

    #[test]
    fn an_instance_is_meant_by_its_configuration_or_its_state_directory() {
        check(Some("/etc/k.toml"), "/home/me/k", None);
        // As systemd starts it, the same file without `state_directory` has another one.
        check(Some("/etc/k.toml"), "/var/lib/kwapi", None);
        // The services of a machine have files of their own.
        check(Some("/etc/drivers.toml"), "/home/me/k", None);
        check(None, "/home/me/k", None);
        check(
            Some("/etc/other.toml"),
            "/var/lib/kwapi",
            Some(
                "the kwapi at 127.0.0.1:5061 serves another state directory, /var/lib/kwapi (/etc/other.toml), not /home/me/k (/etc/k.toml)",
            ),
        );
        check(
            None,
            "/var/lib/kwapi",
            Some(
                "the kwapi at 127.0.0.1:5061 serves another state directory, /var/lib/kwapi, not /home/me/k (/etc/k.toml)",
            ),
        );
    }
}
