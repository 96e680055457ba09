//! The processes of the sites, and what crosses between them.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, wait_until};
use serde_json::Value;

use super::{KILL, Link, Network, Site, TO_LYON, TO_PARIS, TO_STUTTGART};
use crate::harness::PATIENCE;

const TERMINATE: i32 = 15;
const STOP: i32 = 19;
const CONTINUE: i32 = 18;

/// All that runs.
pub(super) struct Sites<'n, N> {
    network: &'n N,
    lab: Lab,
    pub(super) drivers: Vec<(Site, Peer)>,
    forwarders: Vec<(Site, Peer)>,
    starts: usize,
}

/// What crossed a link in a while.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crossed {
    messages: u64,
    /// As many as there should be.
    expected: u64,
    /// The probes whose messages were read along, where that is possible.
    probes: Option<BTreeSet<String>>,
}

impl<'n, N: Network> Sites<'n, N> {
    pub(super) fn start(network: &'n N) -> Self {
        let mut sites =
            Self { network, lab: Lab::empty(), drivers: Vec::new(), forwarders: Vec::new(), starts: 0 };
        // Who listens is there first: all that comes later is found.
        for site in [Site::Karlsruhe, Site::Stuttgart, Site::Lyon, Site::Paris] {
            sites.start_forwarder(site);
        }
        for site in [Site::Lyon, Site::Paris] {
            sites.start_drivers(site);
        }
        sites
    }

    pub(super) fn file(&mut self, name: &str) -> std::path::PathBuf {
        self.starts += 1;
        self.lab.join(format!("{name}-{}", self.starts))
    }

    pub(super) fn ipc(&self, name: &str) -> String {
        format!("ipc://{}", self.lab.join(name).display())
    }

    pub(super) fn start_process(&mut self, site: Site, role: &str, toml: &str) -> Peer {
        let config = self.file("kwapi.toml");
        std::fs::write(&config, toml).unwrap();
        let log = self.file(&format!("{}-{role}.log", site.name()));
        Peer::start(self.network.kwapi(site).args([role, "--config"]).arg(config), log)
    }

    pub(super) fn start_drivers(&mut self, site: Site) {
        let (name, probes) = match site {
            Site::Paris => ("paris", "'Paris.A', 'Paris.B', 'Paris.C'"),
            _ => ("lyon", "'Lyon.D', 'Lyon.E', 'Lyon.F'"),
        };
        let toml = format!(
            "state_directory = '{}'\n[bus]\nkey = {{ id = '{name}', secret = '0123456789abcdef' }}\n\
             [drivers]\npublish = ['{}']\n[status]\nlisten = '127.0.0.1:{}'\n\
             [[meter]]\ndriver = 'dummy'\ninterval_seconds = 0.05\nprobes = [{probes}]\n",
            self.lab.join(format!("{name}-state")).display(),
            self.ipc(&format!("{name}-drivers")),
            kwapi_peers::free_port(),
        );
        let process = self.start_process(site, "drivers", &toml);
        self.drivers.push((site, process));
    }

    pub(super) fn start_forwarder(&mut self, site: Site) {
        let upstream = match site {
            Site::Paris | Site::Lyon => vec![self.ipc(&format!("{}-drivers", site.name()))],
            Site::Stuttgart => vec![self.network.url(TO_PARIS), self.network.url(TO_LYON)],
            Site::Karlsruhe => vec![self.network.url(TO_STUTTGART)],
        };
        let toml = format!(
            "[forwarder]\nsubscribe = {upstream:?}\npublish = ['{}', '{}']\n[status]\nlisten = '{}'\n",
            self.ipc(&site.name()),
            self.network.publish(site),
            self.network.status(site),
        );
        let process = self.start_process(site, "forwarder", &toml);
        self.forwarders.push((site, process));
    }

    /// Listens to a site's forwarder.
    pub(super) fn plugin(&mut self, site: Site, patterns: &[&str]) -> Plugin {
        let log = self.file(&format!("{}-plugin.log", site.name()));
        let endpoint = self.ipc(&site.name());
        let mut command = self.network.kwapi(site);
        command.args(["tail", "--json", "--endpoint", &endpoint]).args(patterns);
        Plugin(Peer::start(&mut command, log))
    }

    pub(super) fn kill(&mut self, site: Site) {
        let at = self.forwarders.iter().position(|(other, _)| *other == site).unwrap();
        self.forwarders.remove(at).1.stop(KILL, PATIENCE);
    }

    pub(super) fn signal_drivers(&self, signal: i32) {
        self.drivers.iter().for_each(|(_, drivers)| drivers.signal(signal));
    }

    /// Waits until nothing moves any more. The drivers are stopped by then.
    pub(super) fn settle(&self) {
        let all = || [TO_PARIS, TO_LYON, TO_STUTTGART].map(|link| self.counted(link));
        wait_until("everything has arrived", PATIENCE, || {
            let before = all();
            thread::sleep(Duration::from_millis(200));
            (all() == before).then_some(())
        });
    }

    /// Messages and bytes of `link`, as the forwarder that listens there counts them.
    pub(super) fn counted(&self, (listener, source): Link) -> (u64, u64) {
        let mut command = self.network.kwapi(listener);
        let status = self.network.status(listener);
        let text = kwapi_peers::output(command.args(["status", "--json", "--address", &status]));
        let links: Value = serde_json::from_str(&text).unwrap();
        let url = self.network.url((listener, source));
        let link = links.as_array().unwrap().iter().find(|link| link["endpoint"] == url.as_str()).unwrap();
        (link["messages"].as_u64().unwrap(), link["bytes"].as_u64().unwrap())
    }

    /// Lets every probe be measured some twenty times, and checks links meanwhile: that nothing crosses twice, whoever counts.
    pub(super) fn window(&self, expected: &[Expected<'_>]) -> Vec<Crossed> {
        let received = || {
            let all = expected.iter().flat_map(|(_, clocks)| clocks.iter());
            all.map(|(_, clock)| clock.received()).collect::<Vec<_>>()
        };
        let look = || {
            let links = expected.iter().map(|(link, _)| {
                (self.counted(*link), self.network.bytes(*link), self.network.messages(*link))
            });
            (received(), links.collect::<Vec<_>>())
        };
        self.signal_drivers(STOP);
        self.settle();
        let (received_before, before) = look();
        self.signal_drivers(CONTINUE);
        wait_until("twenty more measurements", PATIENCE, || {
            received()
                .iter()
                .zip(&received_before)
                .all(|(received, before)| *received >= before + 20)
                .then_some(())
        });
        self.signal_drivers(STOP);
        self.settle();
        let (received_after, after) = look();
        self.signal_drivers(CONTINUE);
        let mut ticks = received_after.iter().zip(&received_before).map(|(after, before)| after - before);
        let mut all = Vec::new();
        for (((link, clocks), before), after) in expected.iter().zip(before).zip(after) {
            let ((counted, bytes, _), (counted_after, bytes_after, read)) = (before, after);
            let (messages, of_messages) = (counted_after.0 - counted.0, counted_after.1 - counted.1);
            let crossed = bytes_after - bytes;
            // Headers of TCP, ZeroMQ's frames, heartbeats: a second copy would be as much again.
            assert!(
                (of_messages..of_messages * 8 / 5 + 4_096).contains(&crossed),
                "{link:?}: {crossed} bytes crossed, of {messages} messages with {of_messages}"
            );
            if let Some(read) = &read {
                let distinct: BTreeSet<_> = read.iter().collect();
                assert_eq!(distinct.len(), read.len(), "{link:?}: a message crossed twice");
                assert_eq!(read.len() as u64, messages, "{link:?}");
            }
            all.push(Crossed {
                messages,
                expected: clocks.iter().map(|(probes, _)| probes * ticks.next().unwrap()).sum(),
                probes: read.map(|read| read.into_iter().map(|(probe, _)| probe).collect()),
            });
        }
        all
    }

    /// Waits until as many probes cross each link as expected, and looks once more then.
    pub(super) fn check(&self, expected: &[Expected<'_>]) {
        // The drivers may be stopped between two probes of a round: then the next look has the rest.
        let crosses = || {
            let crossed = self.window(expected);
            crossed.iter().all(|link| link.messages == link.expected).then_some(crossed)
        };
        wait_until("the links carry what is wanted", PATIENCE, crosses);
        let crossed = wait_until("the links continue to", PATIENCE, crosses);
        for ((link, clocks), crossed) in expected.iter().zip(crossed) {
            if let Some(read) = crossed.probes {
                let probes = clocks.iter().map(|(probes, _)| probes).sum::<u64>();
                assert_eq!(read.len() as u64, probes, "{link:?}: {read:?}");
            }
        }
    }
}

/// A link, how many probes of a site should cross it, and who receives one of them.
pub(super) type Expected<'p> = (Link, &'p [(u64, &'p Plugin)]);

/// Somebody who listens.
pub(super) struct Plugin(Peer);

impl Plugin {
    pub(super) fn lines(&self) -> Vec<Value> {
        self.0.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How many messages it has received.
    pub(super) fn received(&self) -> u64 {
        self.lines().len() as u64
    }

    pub(super) fn probes(&self) -> BTreeSet<String> {
        self.lines().iter().map(|line| line["probe_id"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn check_received(&self, what: &str) {
        let before = self.received();
        wait_until(what, PATIENCE, || (self.received() > before + 3).then_some(()));
    }

    pub(super) fn leave(self) {
        self.0.stop(TERMINATE, PATIENCE);
    }
}
