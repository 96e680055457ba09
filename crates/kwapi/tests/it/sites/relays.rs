//! Links that are relays on loopback, which count and read what passes.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use kwapi_peers::free_port;

use super::{Link, Network, Site, TO_LYON, TO_PARIS, TO_STUTTGART};
use crate::harness;

/// All sites, on this machine.
pub(super) struct Relays {
    publish: HashMap<Site, u16>,
    status: HashMap<Site, u16>,
    links: HashMap<Link, Relay>,
}

struct Relay {
    port: u16,
    passed: Arc<Passed>,
}

/// What has passed a relay.
#[derive(Default)]
struct Passed {
    bytes: AtomicU64,
    messages: Mutex<Vec<(String, String)>>,
    /// Connections of an earlier cut pass nothing any more, those made while it is odd neither.
    cuts: AtomicU64,
}

impl Relays {
    pub(super) fn new() -> Self {
        let sites = [Site::Paris, Site::Lyon, Site::Stuttgart, Site::Karlsruhe];
        let ports = || sites.into_iter().map(|site| (site, free_port())).collect::<HashMap<_, _>>();
        let (publish, status) = (ports(), ports());
        let links = [TO_PARIS, TO_LYON, TO_STUTTGART];
        let links = links.into_iter().map(|link| (link, Relay::start(publish[&link.1]))).collect();
        Self { publish, status, links }
    }
}

impl Network for Relays {
    fn kwapi(&self, _site: Site) -> Command {
        harness::kwapi()
    }

    fn publish(&self, site: Site) -> String {
        format!("tcp://127.0.0.1:{}", self.publish[&site])
    }

    fn url(&self, link: Link) -> String {
        format!("tcp://127.0.0.1:{}", self.links[&link].port)
    }

    fn status(&self, site: Site) -> String {
        format!("127.0.0.1:{}", self.status[&site])
    }

    fn bytes(&self, link: Link) -> u64 {
        self.links[&link].passed.bytes.load(Ordering::SeqCst)
    }

    fn messages(&self, link: Link) -> Option<Vec<(String, String)>> {
        Some(std::mem::take(&mut *self.links[&link].passed.messages.lock().unwrap()))
    }

    fn cut(&self, link: Link) {
        self.links[&link].passed.cuts.fetch_add(1, Ordering::SeqCst);
    }

    fn heal(&self, link: Link) {
        self.links[&link].passed.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

impl Relay {
    /// Relays to whoever is at `target`; its threads end with the test's process.
    fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let passed = Arc::<Passed>::default();
        let of_thread = passed.clone();
        thread::spawn(move || {
            for listening in listener.incoming().flatten() {
                // Nobody there: the listener is sent away, and comes again.
                let Ok(source) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let life = of_thread.cuts.load(Ordering::SeqCst);
                let ends = || (listening.try_clone().unwrap(), source.try_clone().unwrap());
                let (to, from) = ends();
                let passed = of_thread.clone();
                thread::spawn(move || pass(from, to, life, &passed, true));
                let (from, to) = ends();
                let passed = of_thread.clone();
                thread::spawn(move || pass(from, to, life, &passed, false));
            }
        });
        Self { port, passed }
    }
}

/// Passes bytes on until an end closes, or the link is cut: then the connection stays, and is silent for ever.
fn pass(mut from: TcpStream, mut to: TcpStream, life: u64, passed: &Passed, is_read: bool) {
    from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let (mut chunk, mut text) = (vec![0; 65_536], Vec::new());
    loop {
        if life % 2 == 1 || passed.cuts.load(Ordering::SeqCst) != life {
            loop {
                thread::park(); // Holds both ends open.
            }
        }
        match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                if is_read {
                    passed.bytes.fetch_add(count as u64, Ordering::SeqCst);
                    text.extend_from_slice(&chunk[..count]);
                    passed.messages.lock().unwrap().extend(messages(&mut text));
                }
                if to.write_all(&chunk[..count]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    _ = from.shutdown(std::net::Shutdown::Both);
    _ = to.shutdown(std::net::Shutdown::Both);
}

/// Takes the messages that are whole out of what has passed: the probe of each, and its session and seq.
fn messages(text: &mut Vec<u8>) -> Vec<(String, String)> {
    let find = |text: &[u8], what: &str| text.windows(what.len()).position(|it| it == what.as_bytes());
    let mut found = Vec::new();
    while let Some(begin) = find(text, "{\"probe_id\":\"") {
        let Some(length) = find(&text[begin..], "}") else { break };
        let message = String::from_utf8_lossy(&text[begin..begin + length]).into_owned();
        text.drain(..begin + length);
        let between = |open: &str, close: &str| {
            let (_, rest) = message.split_once(open).unwrap_or_else(|| panic!("{open} in {message}"));
            rest.split_once(close).unwrap().0.to_owned()
        };
        found.push((between("\"probe_id\":\"", "\""), between("\"session\":", ",\"energy_mj\"")));
    }
    found
}
