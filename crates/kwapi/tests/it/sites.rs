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
//! The same course is run twice: over relays on loopback, which read along and always run, and between network
//! namespaces, where the kernel's counters show what crossed.

mod namespaces;
mod processes;
mod relays;

use std::process::Command;
use std::thread;
use std::time::Duration;

use kwapi_peers::{skip, wait_until};
use namespaces::Namespaces;
use processes::{Expected, Plugin, Sites};
use relays::Relays;
use serde_json::Value;

use crate::harness::{self, Kwapi, PATIENCE};

const KILL: i32 = 9;

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
    /// Nothing passes any more, and nobody is notified.
    fn cut(&self, link: Link);
    /// What connects from now on passes.
    fn heal(&self, link: Link);
}

fn story(network: &impl Network) {
    let mut sites = Sites::start(network);
    let paris_a = sites.plugin(Site::Stuttgart, &["Paris.A"]);
    let both = sites.plugin(Site::Stuttgart, &["Paris.B", "Lyon.D"]);
    let lyon = sites.plugin(Site::Karlsruhe, &["Lyon.*"]);
    let lyon_e = sites.plugin(Site::Karlsruhe, &["Lyon.E"]);
    let all = [&paris_a, &both, &lyon, &lyon_e];
    all.iter().for_each(|plugin| plugin.check_received("everybody receives"));

    // The picture.
    let lyon_clock: &[_] = &[(3, &lyon_e)];
    let picture: [Expected<'_>; 3] =
        [(TO_PARIS, &[(2, &paris_a)]), (TO_LYON, lyon_clock), (TO_STUTTGART, lyon_clock)];
    sites.check(&picture);
    // More subscribers to the same take nothing more; subscribers to everything do, until they leave.
    let more = [Site::Stuttgart, Site::Stuttgart].map(|site| sites.plugin(site, &["Paris.A"]));
    more.iter().for_each(|plugin| plugin.check_received("more receive"));
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
            let before = beyond.received();
            thread::sleep(Duration::from_secs(1));
            (beyond.received() == before).then_some(())
        });
        network.heal(link);
        beyond.check_received("the link is back");
    }
    // Processes that die, in several orders.
    for killed in [
        &[Site::Stuttgart][..],
        &[Site::Lyon, Site::Paris],
        &[Site::Karlsruhe, Site::Paris, Site::Stuttgart, Site::Lyon],
    ] {
        killed.iter().for_each(|site| sites.kill(*site));
        killed.iter().for_each(|site| sites.start_forwarder(*site));
        all.iter().for_each(|plugin| plugin.check_received(&format!("all is well after {killed:?}")));
    }
    for (_, drivers) in sites.drivers.drain(..) {
        drivers.stop(KILL, PATIENCE);
    }
    sites.start_drivers(Site::Lyon);
    sites.start_drivers(Site::Paris);
    all.iter().for_each(|plugin| plugin.check_received("the drivers are back"));
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
