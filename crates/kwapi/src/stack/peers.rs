//! Other instances of the API, with which totals are held the same.

use kwapi_core::Pattern;
use kwapi_plugins::live::Live;
use kwapi_plugins::metrics::Metrics;
use kwapi_plugins::peers::{self, Adopter, ApiPeer, PeerIdentity, PeerKeys, PeerServer, PeerTask};

use crate::config::{BusSection, Config};

/// The exchange with all of them, at work. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) server: PeerServer,
    tasks: Vec<PeerTask>,
}

impl Peers {
    /// Starts to exchange with each that is configured, about the probes of `wanted` (none: all).
    ///
    /// # Errors
    /// When an address makes no sense or a file cannot be read, as one line.
    pub(super) fn start(
        config: &Config,
        live: Live,
        adopter: &Adopter,
        wanted: &[Pattern],
        all: &mut Metrics,
    ) -> Result<Self, String> {
        let server = PeerServer::new(live, PeerIdentity::draw()?, keys(&config.bus));
        all.add(server.clone());
        let tasks = config.api.config.peers.iter();
        let tasks: Vec<PeerTask> =
            tasks.map(|peer| peers::start(peer, &server, adopter, wanted)).collect::<Result<_, _>>()?;
        let started: Vec<ApiPeer> = tasks.iter().map(|task| task.peer.clone()).collect();
        started.iter().for_each(|peer| all.add(peer.clone()));
        let untried = started.clone();
        // Before a peer was queried, totals may be behind what it has shown. Once it is known to be unreachable,
        // nothing is.
        all.add_readiness("peers", move || match untried.iter().find(|peer| !peer.is_tried()) {
            Some(peer) => Err(format!("totals have not been compared with {} yet", peer.place())),
            None => Ok(()),
        });
        all.add_warning("peers", move || {
            let troubles: Vec<String> = started.iter().filter_map(ApiPeer::trouble).collect();
            if troubles.is_empty() { Ok(()) } else { Err(troubles.join("; ")) }
        });
        Ok(Self { server, tasks })
    }

    /// Takes up the keys of a configuration.
    pub(super) fn verify_with(&self, bus: &BusSection) {
        self.server.verify_with(keys(bus));
    }

    /// How the exchange with each is doing.
    pub(super) fn states(&self) -> Vec<ApiPeer> {
        self.tasks.iter().map(|task| task.peer.clone()).collect()
    }
}

fn keys(bus: &BusSection) -> PeerKeys {
    PeerKeys::new(&bus.key)
}
