//! File descriptors: as many as the system allows, shared out so that HTTP clients cannot take those that meters and
//! files need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Roles;
use crate::config::Config;

/// Listeners, timers, the log, the runtime, libzmq's own, the files a library opens.
const OWN: usize = 64;
/// The journal, RRD files being written and read, accounts, inventories being looked at.
const FILES: usize = 32;
/// A meter's connection, and the next one while that closes.
const OF_A_METER: usize = 2;
/// Peers of an endpoint of the bus, in usual sites.
const OF_AN_ENDPOINT: usize = 16;
/// HTTP connections that are worth having; with fewer, an operator gets a warning.
const CONNECTIONS_MIN: usize = 64;
/// HTTP connections there are in any case: an operator who looks for the cause needs one.
const CONNECTIONS_LEAST: usize = 8;

/// How a process shares out its descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// What the system allows.
    pub(crate) limit: usize,
    /// What meters, files, the bus and the process itself are to find free.
    pub(crate) reserve: usize,
    /// HTTP connections, of all servers together.
    pub(crate) connections: usize,
}

impl Descriptors {
    /// Shares out what the system allows now.
    pub(crate) fn of(config: &Config, roles: Roles) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        Self::share(limit, config, roles)
    }

    fn share(limit: usize, config: &Config, roles: Roles) -> Self {
        let meters = if roles.drivers { config.meters.len() } else { 0 };
        let endpoints = [
            (roles.drivers, config.drivers.publish.len()),
            (roles.forwarder, config.forwarder.publish.len() + config.forwarder.subscribe.len()),
            (roles.api, config.api.subscribe.len()),
            (roles.rrd, config.rrd.subscribe.len()),
        ];
        let endpoints: usize = endpoints.iter().filter(|(is_on, _)| *is_on).map(|(_, count)| count).sum();
        let files = if roles.listens() { FILES } else { 0 };
        let reserve = OWN + files + meters * OF_A_METER + endpoints * OF_AN_ENDPOINT;
        let servers = usize::from(roles.api) + usize::from(roles.rrd);
        let wanted = servers * config.api.config.connections_max + super::status::CONNECTIONS_MAX;
        let connections = wanted.min(limit.saturating_sub(reserve)).max(CONNECTIONS_LEAST);
        Self { limit, reserve, connections }
    }

    /// Logs how they are shared out.
    pub(crate) fn log(&self) {
        let Self { limit, reserve, connections } = self;
        if let Some(shortage) = self.shortage() {
            tracing::warn!("{shortage}");
        } else {
            tracing::info!(limit, reserve, "open files limit allows {connections} HTTP connections");
        }
    }

    /// The warning for the operator when HTTP clients get less than they should.
    pub(crate) fn shortage(&self) -> Option<String> {
        let Self { limit, reserve, connections } = self;
        (*connections < CONNECTIONS_MIN && *limit < reserve + CONNECTIONS_MIN).then(|| {
            format!(
                "the limit of {limit} open files leaves {connections} HTTP connections beside {reserve} for meters, files and the bus; raise it to {} or more (LimitNOFILE= of the unit, or ulimit -Hn)",
                reserve + CONNECTIONS_MIN
            )
        })
    }
}

/// Raises the soft limit of open files to the hard one. (It is low for the sake of programs that use `select`; none of
/// ours does.)
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!(?current, ?maximum, "raised the limit of open files"),
        Err(error) => tracing::warn!(?current, %error, "cannot raise the limit of open files"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> Config {
        let lab = tempfile::tempdir().unwrap();
        let file = lab.path().join("kwapi.toml");
        std::fs::write(&file, toml).unwrap();
        Config::read(&file).unwrap()
    }

    #[test]
    fn meters_and_files_keep_theirs_whatever_the_limit() {
        let mut toml = "[api]\nsubscribe = ['tcp://127.0.0.1:1']\n".to_owned();
        for number in 0..200 {
            toml += &format!("[[meter]]\ndriver = 'dummy'\nprobe = 'a{number}'\n");
        }
        let config = config(&toml);
        let plenty = Descriptors::share(1_000_000, &config, Roles::RUN);
        assert_eq!((plenty.reserve, plenty.connections), (64 + 32 + 400 + 16, 2 * 1_024 + 64));
        assert_eq!(plenty.shortage(), None);
        let tight = Descriptors::share(1_024, &config, Roles::RUN);
        assert_eq!((tight.connections, tight.shortage()), (512, None));
        let short = Descriptors::share(550, &config, Roles::RUN);
        assert_eq!(short.connections, 38);
        let shortage = short.shortage().unwrap();
        assert!(shortage.starts_with("the limit of 550 open files leaves 38 HTTP connections"), "{shortage}");
        assert!(shortage.contains("raise it to 576 or more"), "{shortage}");
        assert_eq!(Descriptors::share(100, &config, Roles::RUN).connections, CONNECTIONS_LEAST);
    }

    #[test]
    fn a_process_without_meters_reserves_none_for_them() {
        let config = config("[[meter]]\ndriver = 'dummy'\nprobe = 'a'\n");
        assert_eq!(Descriptors::share(1_024, &config, Roles::API).reserve, 96);
        assert_eq!(Descriptors::share(1_024, &config, Roles::FORWARDER).reserve, 64);
    }
}
