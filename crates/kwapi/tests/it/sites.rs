//! Four sites and the links between them, as in the picture of the specification: a probe crosses a link once, and only if
//! somebody beyond it listens; links go and come back, processes die.
//!
//! ```text
//! Paris.A B C ─ Paris ──┐                          ┌─ [Lyon.*]
//!                    network A ─ Stuttgart ─ network B ─ Karlsruhe
//! Lyon.D E F ── Lyon ───┘           ├─ [Paris.A]   └─ [Lyon.E]
//!                                   └─ [Paris.B, Lyon.D]
//! ```
//!
//! The same story is told twice: over relays on loopback, which read along and always run, and between network namespaces,
//! where the kernel's counters say what crossed.

mod namespaces;
mod relays;

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, skip, wait_until};
use namespaces::Namespaces;
use relays::Relays;
use serde_json::Value;

use crate::harness::{self, Kwapi, PATIENCE};

const KILL: i32 = 9;
const TERMINATE: i32 = 15;
const STOP: i32 = 19;
const CONTINUE: i32 = 18;

/// Where processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Site {
    Paris,
    Lyon,
    Stuttgart,
    Karlsruhe,
}

impl Site {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Who listens, and to whom.
type Link = (Site, Site);

const TO_PARIS: Link = (Site::Stuttgart, Site::Paris);
const TO_LYON: Link = (Site::Stuttgart, Site::Lyon);
const TO_STUTTGART: Link = (Site::Karlsruhe, Site::Stuttgart);

/// What lies between the sites.
trait Network {
    /// The binary, to be run at a site.
    fn kwapi(&self, site: Site) -> Command;
    /// Where the forwarder of a site is listened to by other sites.
    fn publish(&self, site: Site) -> String;
    /// Where who listens over `link` connects to.
    fn url(&self, link: Link) -> String;
    /// The status listener of a site's forwarder.
    fn status(&self, site: Site) -> String;
    /// Bytes that have come over `link`, everything included.
    fn bytes(&self, link: Link) -> u64;
    /// What was read along of `link` since the last call, where that is possible: probe, session and seq of each message.
    fn messages(&self, link: Link) -> Option<Vec<(String, String)>>;
    /// Nothing passes any more, and nobody is told.
    fn cut(&self, link: Link);
    /// What connects from now on passes.
    fn heal(&self, link: Link);
}

/// All that runs.
struct Sites<'n, N> {
    network: &'n N,
    lab: Lab,
    drivers: Vec<(Site, Peer)>,
    forwarders: Vec<(Site, Peer)>,
    starts: usize,
}

/// What crossed a link in a while.
#[derive(Debug, PartialEq, Eq)]
struct Crossed {
    messages: u64,
    /// As many as there should be.
    expected: u64,
    /// The probes whose messages were read along, where that is possible.
    probes: Option<BTreeSet<String>>,
}

impl<'n, N: Network> Sites<'n, N> {
    fn start(network: &'n N) -> Self {
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

    fn file(&mut self, name: &str) -> std::path::PathBuf {
        self.starts += 1;
        self.lab.join(format!("{name}-{}", self.starts))
    }

    fn ipc(&self, name: &str) -> String {
        format!("ipc://{}", self.lab.join(name).display())
    }

    fn start_process(&mut self, site: Site, role: &str, toml: &str) -> Peer {
        let config = self.file("kwapi.toml");
        std::fs::write(&config, toml).unwrap();
        let log = self.file(&format!("{}-{role}.log", site.name()));
        Peer::start(self.network.kwapi(site).args([role, "--config"]).arg(config), log)
    }

    fn start_drivers(&mut self, site: Site) {
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

    fn start_forwarder(&mut self, site: Site) {
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
    fn plugin(&mut self, site: Site, patterns: &[&str]) -> Plugin {
        let log = self.file(&format!("{}-plugin.log", site.name()));
        let endpoint = self.ipc(&site.name());
        let mut command = self.network.kwapi(site);
        command.args(["tail", "--json", "--endpoint", &endpoint]).args(patterns);
        Plugin(Peer::start(&mut command, log))
    }

    fn kill(&mut self, site: Site) {
        let at = self.forwarders.iter().position(|(other, _)| *other == site).unwrap();
        self.forwarders.remove(at).1.stop(KILL, PATIENCE);
    }

    fn signal_drivers(&self, signal: i32) {
        self.drivers.iter().for_each(|(_, drivers)| drivers.signal(signal));
    }

    /// Waits until nothing moves any more. The drivers are stopped by then.
    fn settle(&self) {
        let all = || [TO_PARIS, TO_LYON, TO_STUTTGART].map(|link| self.counted(link));
        wait_until("everything has arrived", PATIENCE, || {
            let before = all();
            thread::sleep(Duration::from_millis(200));
            (all() == before).then_some(())
        });
    }

    /// Messages and bytes of `link`, as the forwarder that listens there counts them.
    fn counted(&self, (listener, source): Link) -> (u64, u64) {
        let mut command = self.network.kwapi(listener);
        let status = self.network.status(listener);
        let told = kwapi_peers::output(command.args(["status", "--json", "--address", &status]));
        let links: Value = serde_json::from_str(&told).unwrap();
        let url = self.network.url((listener, source));
        let link = links.as_array().unwrap().iter().find(|link| link["endpoint"] == url.as_str()).unwrap();
        (link["messages"].as_u64().unwrap(), link["bytes"].as_u64().unwrap())
    }

    /// Lets every probe be measured some twenty times, and checks links meanwhile: that nothing crosses twice, whoever counts.
    fn window(&self, expected: &[Expected<'_>]) -> Vec<Crossed> {
        let heard = || {
            let all = expected.iter().flat_map(|(_, clocks)| clocks.iter());
            all.map(|(_, clock)| clock.heard()).collect::<Vec<_>>()
        };
        let look = || {
            let links = expected.iter().map(|(link, _)| {
                (self.counted(*link), self.network.bytes(*link), self.network.messages(*link))
            });
            (heard(), links.collect::<Vec<_>>())
        };
        self.signal_drivers(STOP);
        self.settle();
        let (heard_before, before) = look();
        self.signal_drivers(CONTINUE);
        wait_until("twenty more measurements", PATIENCE, || {
            heard().iter().zip(&heard_before).all(|(heard, before)| *heard >= before + 20).then_some(())
        });
        self.signal_drivers(STOP);
        self.settle();
        let (heard_after, after) = look();
        self.signal_drivers(CONTINUE);
        let mut ticks = heard_after.iter().zip(&heard_before).map(|(after, before)| after - before);
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
    fn check(&self, expected: &[Expected<'_>]) {
        // The drivers may be stopped between two probes of a round: then the next look has the rest.
        let crosses = || {
            let crossed = self.window(expected);
            crossed.iter().all(|link| link.messages == link.expected).then_some(crossed)
        };
        wait_until("the links carry what is wanted", PATIENCE, crosses);
        let crossed = wait_until("the links go on to", PATIENCE, crosses);
        for ((link, clocks), crossed) in expected.iter().zip(crossed) {
            if let Some(read) = crossed.probes {
                let probes = clocks.iter().map(|(probes, _)| probes).sum::<u64>();
                assert_eq!(read.len() as u64, probes, "{link:?}: {read:?}");
            }
        }
    }
}

/// A link, how many probes of a site should cross it, and who hears one of them.
type Expected<'p> = (Link, &'p [(u64, &'p Plugin)]);

/// Somebody who listens.
struct Plugin(Peer);

impl Plugin {
    fn lines(&self) -> Vec<Value> {
        self.0.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How many messages it has heard.
    fn heard(&self) -> u64 {
        self.lines().len() as u64
    }

    fn probes(&self) -> BTreeSet<String> {
        self.lines().iter().map(|line| line["probe_id"].as_str().unwrap().to_owned()).collect()
    }

    fn hears_more(&self, what: &str) {
        let before = self.heard();
        wait_until(what, PATIENCE, || (self.heard() > before + 3).then_some(()));
    }

    fn leave(self) {
        self.0.stop(TERMINATE, PATIENCE);
    }
}

fn story(network: &impl Network) {
    let mut sites = Sites::start(network);
    let paris_a = sites.plugin(Site::Stuttgart, &["Paris.A"]);
    let both = sites.plugin(Site::Stuttgart, &["Paris.B", "Lyon.D"]);
    let lyon = sites.plugin(Site::Karlsruhe, &["Lyon.*"]);
    let lyon_e = sites.plugin(Site::Karlsruhe, &["Lyon.E"]);
    let all = [&paris_a, &both, &lyon, &lyon_e];
    all.iter().for_each(|plugin| plugin.hears_more("everybody hears"));

    // The picture.
    let lyon_clock: &[_] = &[(3, &lyon_e)];
    let picture: [Expected<'_>; 3] =
        [(TO_PARIS, &[(2, &paris_a)]), (TO_LYON, lyon_clock), (TO_STUTTGART, lyon_clock)];
    sites.check(&picture);
    // More who want the same take nothing more; who wants everything, does, until they leave.
    let more = [Site::Stuttgart, Site::Stuttgart].map(|site| sites.plugin(site, &["Paris.A"]));
    more.iter().for_each(|plugin| plugin.hears_more("more hear"));
    sites.check(&picture);
    let everything = sites.plugin(Site::Karlsruhe, &["*"]);
    wait_until("all probes", PATIENCE, || (everything.probes().len() == 6).then_some(()));
    sites.check(&[(TO_PARIS, &[(3, &paris_a)]), (TO_STUTTGART, &[(3, &lyon_e), (3, &paris_a)])]);
    everything.leave();
    more.into_iter().for_each(Plugin::leave);
    sites.check(&picture);

    // Links that fall silent without a word, and come back.
    for (link, beyond) in [(TO_PARIS, &paris_a), (TO_LYON, &lyon_e), (TO_STUTTGART, &lyon)] {
        network.cut(link);
        wait_until("nothing comes", PATIENCE, || {
            let before = beyond.heard();
            thread::sleep(Duration::from_secs(1));
            (beyond.heard() == before).then_some(())
        });
        network.heal(link);
        beyond.hears_more("the link is back");
    }
    // Processes that die, in several orders.
    for killed in [
        &[Site::Stuttgart][..],
        &[Site::Lyon, Site::Paris],
        &[Site::Karlsruhe, Site::Paris, Site::Stuttgart, Site::Lyon],
    ] {
        killed.iter().for_each(|site| sites.kill(*site));
        killed.iter().for_each(|site| sites.start_forwarder(*site));
        all.iter().for_each(|plugin| plugin.hears_more(&format!("all is well after {killed:?}")));
    }
    for (_, drivers) in sites.drivers.drain(..) {
        drivers.stop(KILL, PATIENCE);
    }
    sites.start_drivers(Site::Lyon);
    sites.start_drivers(Site::Paris);
    all.iter().for_each(|plugin| plugin.hears_more("the drivers are back"));
    // And all is as it was.
    sites.check(&picture);
    let expected =
        [vec!["Paris.A"], vec!["Lyon.D", "Paris.B"], vec!["Lyon.D", "Lyon.E", "Lyon.F"], vec!["Lyon.E"]];
    for (plugin, expected) in all.into_iter().zip(expected) {
        assert!(plugin.probes().iter().eq(&expected), "{:?}", plugin.probes());
    }
}

#[test]
fn a_probe_crosses_each_link_once_over_relays() {
    eprintln!("over relays on loopback");
    story(&Relays::new());
}

#[test]
fn a_probe_crosses_each_link_once_between_network_namespaces() {
    match Namespaces::new() {
        Ok(network) => {
            eprintln!("between network namespaces");
            network.check_isolation();
            story(&network);
        }
        Err(why) => skip(&format!("no network namespaces here: {why}")),
    }
}

#[test]
fn the_status_of_a_forwarder_shows_its_links_and_a_loop() {
    let port = kwapi_peers::free_port();
    let forwarder = Kwapi::start(
        &["forwarder"],
        &format!(
            "[forwarder]\nsubscribe = ['tcp://127.0.0.1:{port}', 'ipc://@DIR@/nobody']\n\
             publish = ['tcp://127.0.0.1:{port}']\n[status]\nlisten = '127.0.0.1:@STATUS@'\n"
        ),
    );
    let address = format!("127.0.0.1:{}", forwarder.status);
    let status = |more: &[&str]| {
        let arguments = [&["status", "--address", &address], more].concat();
        harness::run(&arguments, forwarder.lab.path())
    };
    let text = wait_until("the loop is cut", PATIENCE, || {
        let (is_good, text) = status(&[]);
        (is_good && text.contains("3 links, 1 cut")).then_some(text)
    });
    let trouble = format!(
        "trouble: tcp://127.0.0.1:{port}: loop of forwarders, link cut; remove one `subscribe` of the loop"
    );
    assert!(text.contains(&trouble) && text.contains("downstream"), "{text}");
    let (_, troubled) = status(&["--troubled"]);
    assert!(troubled.contains("cut") && !troubled.contains("nobody"), "{troubled}");
    let (_, json) = status(&["--json"]);
    let links: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(links[0]["is_cut"], true, "{json}");
    let (_, metrics) = harness::get(forwarder.status, "/metrics").unwrap();
    let line =
        format!("kwapi_forwarder_link_cuts_total{{endpoint=\"tcp://127.0.0.1:{port}\",side=\"upstream\"}} 1");
    assert!(metrics.contains(&line), "{metrics}");
    assert!(forwarder.process.log().contains("loop of forwarders: our own beacon came back"));
}
