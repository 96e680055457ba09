//! One UDP socket for all cards of the process, and which session waits for which card's datagrams.
//!
//! A datagram is handed to the session it names, if it comes from that session's card. One socket (one per address
//! family) serves them all: a card answers to whatever port the request came from, so a port per card would buy nothing
//! but descriptors and wake-ups.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, OnceCell};
use tokio::task::AbortHandle;

use super::packet::{self, Addressee};

/// More sessions than this in one process are a mistake of configuration; one more is refused.
pub(super) const SESSIONS_MAX: usize = 65_536;
/// Datagrams waiting for one session, which has one request in flight. Full: the oldest is dropped and counted.
const INBOX_MAX: usize = 4;
/// Longer than any answer (255 bytes of message and its headers); a longer datagram is cut and so refused later.
const DATAGRAM_BYTES_MAX: usize = 1_024;
/// Kernel queue: room for the answers of thousands of cards while this process is off the processor. The system may
/// grant less; an answer that is lost so is requested again.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// The sockets of the process, one an address family, made when the first card of it is queried.
#[derive(Debug, Default)]
pub(super) struct Ports {
    ipv4: OnceCell<Port>,
    ipv6: OnceCell<Port>,
    routes: Arc<Routes>,
}

impl Ports {
    /// A socket and an inbox for one session with `card`.
    pub(super) async fn connect(
        &self,
        card: SocketAddr,
    ) -> io::Result<(Arc<UdpSocket>, Arc<Routes>, Arc<Inbox>)> {
        let port = if card.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        let port = port.get_or_try_init(|| async { Port::bind(card.is_ipv4(), &self.routes) }).await?;
        let inbox = self.routes.add(card)?;
        Ok((Arc::clone(&port.socket), Arc::clone(&self.routes), inbox))
    }
}

/// A bound socket and the task that empties it.
#[derive(Debug)]
struct Port {
    socket: Arc<UdpSocket>,
    receiver: AbortHandle,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

/// Which session waits for which card's datagrams.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Most cards have one session; two while a meter is replaced on reload.
    inboxes: RwLock<HashMap<SocketAddr, Vec<Arc<Inbox>>>>,
    /// Datagrams that no session waited for.
    strays: AtomicU64,
}

/// Where one session's datagrams wait.
#[derive(Debug)]
pub(super) struct Inbox {
    /// The session's id on our side, by which the card addresses us in RMCP+.
    pub(super) console: u32,
    /// The session's id in IPMI 1.5, which the card chooses; 0 in RMCP+.
    pub(super) legacy: AtomicU32,
    queue: Mutex<VecDeque<Box<[u8]>>>,
    arrived: Notify,
}

impl Inbox {
    fn put(&self, datagram: &[u8]) {
        let mut queue = self.queue.lock();
        if queue.len() >= INBOX_MAX {
            queue.pop_front();
        }
        queue.push_back(datagram.into());
        drop(queue);
        self.arrived.notify_one();
    }

    /// The next datagram.
    pub(super) async fn take(&self) -> Box<[u8]> {
        loop {
            if let Some(datagram) = self.queue.lock().pop_front() {
                return datagram;
            }
            self.arrived.notified().await;
        }
    }

    /// Forgets answers that came after their request was given up.
    pub(super) fn clear(&self) {
        self.queue.lock().clear();
    }
}

impl Routes {
    /// Hands a datagram to whom it is for; what is for nobody is counted and dropped.
    fn deliver(&self, from: SocketAddr, datagram: &[u8]) {
        let inboxes = self.inboxes.read();
        let waiting = inboxes.get(&from).map(Vec::as_slice).unwrap_or_default();
        let mut is_delivered = false;
        match packet::addressee(datagram) {
            Some(Addressee::Session(id)) => {
                let is_for =
                    |inbox: &&Arc<Inbox>| inbox.console == id || inbox.legacy.load(Ordering::Relaxed) == id;
                if let Some(inbox) = waiting.iter().find(is_for) {
                    inbox.put(datagram);
                    is_delivered = true;
                }
            }
            // What cannot be read goes to whoever waits, so that a card that sends noise is not reported as silent.
            Some(Addressee::Anyone) | None => {
                for inbox in waiting {
                    inbox.put(datagram);
                    is_delivered = true;
                }
            }
        }
        if !is_delivered {
            self.strays.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn add(&self, card: SocketAddr) -> io::Result<Arc<Inbox>> {
        let mut inboxes = self.inboxes.write();
        if inboxes.len() >= SESSIONS_MAX {
            return Err(io::Error::other(format!("limit of {SESSIONS_MAX} open IPMI sessions reached")));
        }
        let siblings = inboxes.entry(card).or_default();
        let console = loop {
            // 0 means "no session" (13.17), and an id in use would mix two sessions up.
            let id = rand::random();
            if id != 0 && siblings.iter().all(|sibling| sibling.console != id) {
                break id;
            }
        };
        let inbox = Arc::new(Inbox {
            console,
            legacy: AtomicU32::new(0),
            queue: Mutex::default(),
            arrived: Notify::new(),
        });
        siblings.push(Arc::clone(&inbox));
        Ok(inbox)
    }

    pub(super) fn remove(&self, card: SocketAddr, inbox: &Arc<Inbox>) {
        let mut inboxes = self.inboxes.write();
        if let Some(siblings) = inboxes.get_mut(&card) {
            siblings.retain(|sibling| !Arc::ptr_eq(sibling, inbox));
            if siblings.is_empty() {
                inboxes.remove(&card);
            }
        }
    }
}

impl Port {
    fn bind(is_ipv4: bool, routes: &Arc<Routes>) -> io::Result<Self> {
        let (domain, any): (_, SocketAddr) = if is_ipv4 {
            (Domain::IPV4, (Ipv4Addr::UNSPECIFIED, 0).into())
        } else {
            (Domain::IPV6, (Ipv6Addr::UNSPECIFIED, 0).into())
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES) {
            tracing::debug!(%error, "cannot enlarge the receive buffer of the IPMI socket");
        }
        socket.set_nonblocking(true)?;
        socket.bind(&any.into())?;
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        let receiver = tokio::spawn(receive(Arc::clone(&socket), Arc::clone(routes))).abort_handle();
        Ok(Self { socket, receiver })
    }
}

async fn receive(socket: Arc<UdpSocket>, routes: Arc<Routes>) {
    let mut buffer = [0; DATAGRAM_BYTES_MAX];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => routes.deliver(from, buffer.get(..length).unwrap_or_default()),
            Err(error) => {
                // A network interface that went away is reported once per datagram sent; the socket stays good.
                tracing::debug!(%error, "error while receiving from BMCs");
                tokio::task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
