//! The sockets a subscriber reads from, one for all endpoints that are alike.

use std::collections::BTreeSet;

use zmq::{Message, PollItem, SocketType};

use super::clients::ClientLists;
use super::context::BusContext;
use super::socket::OpenSocket;
use crate::endpoint::{Attach, EndpointConfig};
use crate::error::BusError;
use crate::transport::Arrival;

/// Sockets that listen, each a source by its place.
pub(crate) struct Sockets {
    open: Vec<OpenSocket>,
    readable: Vec<bool>,
    frames: [Message; 2],
}

impl Sockets {
    /// Opens a socket for each of `groups`, whose endpoints are alike but for their addresses, so that a thousand
    /// drivers take one. All listen to the topics that begin with one of `prefixes`.
    pub(crate) fn open(
        context: &BusContext,
        groups: &[Vec<EndpointConfig>],
        prefixes: &BTreeSet<String>,
        high_water: impl Fn(&str) -> i32,
    ) -> Result<Self, BusError> {
        let mut sockets = Vec::with_capacity(groups.len());
        for group in groups {
            let Some((first, others)) = group.split_first() else { continue };
            let most = high_water(&first.url);
            let mut open = OpenSocket::open(context, SocketType::SUB, first, Attach::Connect, most)?;
            for endpoint in others {
                open.attach(&endpoint.url)?;
            }
            for prefix in prefixes {
                open.socket.set_subscribe(prefix.as_bytes()).map_err(BusError::system(&first.url))?;
            }
            sockets.push(open);
        }
        let readable = vec![false; sockets.len()];
        Ok(Self { open: sockets, readable, frames: [Message::new(), Message::new()] })
    }

    /// The addresses they are bound to, with the ports the system chose.
    pub(crate) fn bound(&self) -> Vec<String> {
        self.open.iter().flat_map(OpenSocket::bound).cloned().collect()
    }

    /// Who may connect to those that are bound.
    pub(crate) fn client_lists(&self) -> ClientLists {
        ClientLists::new(self.open.iter().filter_map(OpenSocket::client_list))
    }
}

impl Sockets {
    /// How many sources there are.
    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// Waits for messages, or for `other` to be readable, `limit` milliseconds at most.
    ///
    /// # Errors
    /// When there will be no more messages.
    pub(crate) fn wait(&mut self, limit: i64, other: PollItem<'_>) -> Result<(), zmq::Error> {
        let mut items: Vec<_> = self.open.iter().map(|open| open.socket.as_poll_item(zmq::POLLIN)).collect();
        items.push(other);
        match zmq::poll(&mut items, limit) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(error),
        }
        self.readable.clear();
        self.readable.extend(items.iter().take(self.open.len()).map(PollItem::is_readable));
        self.open.iter_mut().for_each(OpenSocket::drop_removed);
        Ok(())
    }

    /// Hands on what one source has, `count` messages at most.
    pub(crate) fn take(&mut self, source: usize, count: usize, mut each: impl FnMut(Arrival<'_>)) {
        let Some(open) = self.open.get(source) else { return };
        if !self.readable.get(source).copied().unwrap_or(false) {
            return;
        }
        for _ in 0..count {
            let Ok(count) = receive(&open.socket, &mut self.frames) else { return };
            let [topic, payload] = &self.frames;
            let frames: [&[u8]; 3] = [topic, payload, b""];
            // Those past the second have been dropped; that they were there is enough to refuse the message.
            let frames = frames.get(..count).unwrap_or(&frames);
            each(Arrival { frames, is_live: true, token: None, later: 0, taken: None, withheld: None });
        }
    }
}

/// Receives one message and returns how many frames it had; those past the second are dropped.
fn receive(socket: &zmq::Socket, frames: &mut [Message; 2]) -> Result<usize, zmq::Error> {
    let [topic, payload] = frames;
    socket.recv(topic, zmq::DONTWAIT)?;
    if !topic.get_more() {
        return Ok(1);
    }
    socket.recv(payload, zmq::DONTWAIT)?;
    let mut count = 2;
    let mut more = payload.get_more();
    let mut excess = Message::new();
    while more {
        socket.recv(&mut excess, zmq::DONTWAIT)?;
        more = excess.get_more();
        count += 1;
    }
    Ok(count)
}
