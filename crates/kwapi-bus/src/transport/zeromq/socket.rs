//! A ZeroMQ socket at its endpoint, with every bound that libzmq has an option for.

use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use zmq::{Socket, SocketType};

use super::clients::ClientList;
use super::context::BusContext;
use super::curve::CurveConfig;
use super::zap::Admission;
use crate::endpoint::{Attach, EndpointConfig, check_url};
use crate::error::BusError;

/// A larger frame closes its connection, so that a peer cannot fill our memory. Frames between this and
/// `PAYLOAD_BYTES_MAX` of `message.rs` are counted as `too_large`. A message has at most four (`crates/zmq-sys/bounds`).
const FRAME_BYTES_MAX: i64 = 16_384;
/// The same for what listeners send, who only subscribe: a topic has at most 201 bytes, and the largest command of
/// CURVE's handshake (ZeroMQ RFC 26) some 600.
const LISTENER_FRAME_BYTES_MAX: i64 = 1_024;
/// How many subscriptions of a listener wait for us; until they are read, its connection is not.
const LISTENER_HIGH_WATER: i32 = 500;
/// A peer that has not sent its ZeroMQ greeting by then is disconnected, in milliseconds.
const HANDSHAKE_MS_MAX: i32 = 10_000;
/// A peer that came back is met after this, in milliseconds.
const RECONNECT_MS: i32 = 100;
/// A peer that stays away is retried at least this often.
const RECONNECT_MS_MAX: i32 = 2_000;
/// An attempt to connect that nobody answers is given up after this, in milliseconds: TCP by itself waits longer after each
/// packet that got lost, and would come back a minute after the network.
const CONNECT_MS_MAX: i32 = 3_000;
/// How often the receiving end pings its peer (ZMTP 3.1, `PING`), in milliseconds…
const HEARTBEAT_MS: i32 = 2_000;
/// …and how long it waits for anything at all before it reconnects.
const HEARTBEAT_MS_MAX: i32 = 6_000;
/// The time after which the peer is to take it for dead, in milliseconds: without a `PING`.
const HEARTBEAT_TTL_MS: i32 = 10_000;
/// After these seconds of silence TCP probes the peer, this often, this many times.
const KEEPALIVE_IDLE_S: i32 = 30;
const KEEPALIVE_INTERVAL_S: i32 = 10;
const KEEPALIVE_COUNT: i32 = 3;
/// How long to wait for an address to be free again when its socket is closed; a matter of microseconds.
const CLOSE_MS_MAX: i64 = 500;
/// The least and the most messages a socket keeps for a slow peer; never 0, which to libzmq means no bound.
const HIGH_WATER_MIN: usize = 2_000;
const HIGH_WATER_MAX: usize = 1_000_000;

/// Intervals of expected messages a socket keeps for a slow peer. libzmq learns only after half its mark that a peer has
/// read, so that of these four, two are sure to be free for the burst of one interval.
const HIGH_WATER_INTERVALS: usize = 4;

/// Messages of an interval to expect at least of an endpoint inside the process: nobody else listens there, and a
/// thread of ours that is kept from the processor for a second is no slow peer.
const INSIDE_MESSAGES_MIN: usize = 1 << 14;

/// How many messages a socket at `url` keeps for a slow peer, within reason.
pub(crate) fn high_water_at(url: &str, configured: Option<NonZeroU32>, messages_per_interval: usize) -> i32 {
    let is_inside = url.starts_with("inproc://");
    high_water(configured, messages_per_interval.max(if is_inside { INSIDE_MESSAGES_MIN } else { 0 }))
}

/// How many messages a socket keeps for a slow peer, within reason.
pub(crate) fn high_water(configured: Option<NonZeroU32>, messages_per_interval: usize) -> i32 {
    let messages = match configured {
        Some(messages) => usize::try_from(messages.get()).unwrap_or(HIGH_WATER_MAX).min(HIGH_WATER_MAX),
        None => {
            messages_per_interval.saturating_mul(HIGH_WATER_INTERVALS).clamp(HIGH_WATER_MIN, HIGH_WATER_MAX)
        }
    };
    i32::try_from(messages).unwrap_or(i32::MAX)
}

/// A socket at its endpoint.
pub(crate) struct OpenSocket {
    pub(crate) socket: Socket,
    context: BusContext,
    attach: Attach,
    high_water: i32,
    /// The addresses it is bound to, with the ports the system chose.
    bound: Vec<String>,
    /// Of those, the ones that could not be bound again after clients were dropped.
    unbound: Vec<String>,
    /// Where it is configured to attach.
    urls: Vec<String>,
    /// Lets the configured clients in for as long as the socket is there.
    admission: Option<Arc<Admission>>,
}

impl OpenSocket {
    /// Opens a socket of `kind` and attaches it.
    pub(crate) fn open(
        context: &BusContext,
        kind: SocketType,
        endpoint: &EndpointConfig,
        default: Attach,
        high_water: i32,
    ) -> Result<Self, BusError> {
        Self::open_with(context, kind, endpoint, default, high_water, None)
    }

    /// The same, in place of a socket that was closed: who may connect is in the `list` of that one, which may have changed
    /// since.
    pub(crate) fn open_with(
        context: &BusContext,
        kind: SocketType,
        endpoint: &EndpointConfig,
        default: Attach,
        high_water: i32,
        list: Option<ClientList>,
    ) -> Result<Self, BusError> {
        let attach = endpoint.attach.unwrap_or(default);
        let url = &endpoint.url;
        check_url(url)?;
        let socket = context.zmq().socket(kind).map_err(BusError::system(url))?;
        let ipv6 = endpoint.ipv6 || url.contains('[');
        set_options(&socket, kind, ipv6, high_water).map_err(BusError::system(url))?;
        let admission = match (&endpoint.curve, attach) {
            (None, _) => None,
            (Some(curve), Attach::Bind) => Some(serve(curve, context, &socket, url, list)?),
            (Some(curve), Attach::Connect) => join(curve, &socket, url).map(|()| None)?,
        };
        let context = context.clone();
        let (bound, unbound, urls) = (Vec::new(), Vec::new(), Vec::new());
        let mut open = Self { socket, context, attach, high_water, bound, unbound, urls, admission };
        open.attach(url)?;
        Ok(open)
    }

    /// Attaches the same socket to one more address.
    pub(crate) fn attach(&mut self, url: &str) -> Result<(), BusError> {
        check_url(url)?;
        let attached = match self.attach {
            Attach::Bind => {
                check_socket_file(url)?;
                self.socket.bind(url)
            }
            Attach::Connect => self.socket.connect(url),
        };
        attached.map_err(|source| match source {
            zmq::Error::EADDRINUSE => BusError::AddressInUse { url: url.to_owned() },
            source => BusError::System { url: url.to_owned(), source },
        })?;
        if let (Attach::Bind, Ok(Ok(bound))) = (self.attach, self.socket.get_last_endpoint()) {
            self.bound.push(bound);
        }
        self.urls.push(url.to_owned());
        Ok(())
    }

    /// The list of who may connect, if it has one, to be changed by others than the thread that owns the socket.
    pub(crate) fn client_list(&self) -> Option<ClientList> {
        let admission = self.admission.clone()?;
        Some(ClientList { urls: self.urls.clone(), admission })
    }

    /// Drops all connections where a client was removed from the list of those that may connect: libzmq cannot drop one. The
    /// others are back at once. To be called after each wait of the thread that owns the socket.
    pub(crate) fn drop_removed(&mut self) {
        if self.admission.as_ref().is_some_and(|admission| admission.take_removed()) {
            for url in &self.bound {
                match self.unbind(url) {
                    Ok(()) => self.unbound.push(url.clone()),
                    Err(error) => {
                        tracing::error!(url, %error, "cannot drop the connections of a removed key");
                    }
                }
            }
        }
        let is_first = self.unbound.len() == self.bound.len();
        self.unbound.retain(|url| match self.socket.bind(url) {
            Ok(()) => false,
            Err(error) if is_first => {
                tracing::error!(url, %error, "cannot bind again after a key was removed; trying on");
                true
            }
            Err(_) => true,
        });
    }

    /// The addresses it is bound to, with the ports the system chose.
    pub(crate) fn bound(&self) -> &[String] {
        &self.bound
    }

    /// How many messages it keeps for a slow peer as it was opened.
    pub(super) fn high_water(&self) -> i32 {
        self.high_water
    }

    /// Whether others come to it, and from outside of this process.
    pub(super) fn is_open_to_all(&self) -> bool {
        self.bound.iter().any(|url| !url.starts_with("inproc://"))
    }

    /// Leaves `url` and waits until the address is free.
    fn unbind(&self, url: &str) -> Result<(), zmq::Error> {
        let events = format!("inproc://{}", self.context.unique("closing"));
        self.socket.monitor(&events, zmq::SocketEvent::CLOSED as i32)?;
        let closed = self.context.zmq().socket(SocketType::PAIR)?;
        closed.set_linger(0)?;
        closed.connect(&events)?;
        self.socket.unbind(url)?;
        if !url.starts_with("inproc://") && closed.poll(zmq::POLLIN, CLOSE_MS_MAX)? == 0 {
            tracing::warn!(url, "address not released yet");
        }
        Ok(())
    }
}

impl Drop for OpenSocket {
    /// libzmq closes in the background: whoever binds the same address next, after a reload, would find it in use.
    fn drop(&mut self) {
        for url in &self.bound {
            if let Err(error) = self.unbind(url) {
                tracing::warn!(url, %error, "cannot release the address now; released later");
            }
        }
    }
}

/// Makes `socket`, not bound yet, let in the configured clients and nobody else.
fn serve(
    curve: &CurveConfig,
    context: &BusContext,
    socket: &Socket,
    url: &str,
    list: Option<ClientList>,
) -> Result<Arc<Admission>, BusError> {
    let (secret, clients) = curve.server(url)?;
    let admission = match list {
        Some(list) => list.admission,
        None => Arc::new(context.admit(clients)?),
    };
    let options = || {
        socket.set_zap_domain(admission.domain())?;
        socket.set_curve_server(true)?;
        socket.set_curve_secretkey(&secret)
    };
    options().map_err(BusError::system(url))?;
    Ok(admission)
}

/// Makes `socket`, not connected yet, connect to the configured server and no other.
fn join(curve: &CurveConfig, socket: &Socket, url: &str) -> Result<(), BusError> {
    let keys = curve.client(url)?;
    let options = || {
        socket.set_curve_serverkey(&keys.server)?;
        socket.set_curve_publickey(&keys.public)?;
        socket.set_curve_secretkey(&keys.secret)
    };
    options().map_err(BusError::system(url))
}

fn set_options(socket: &Socket, kind: SocketType, ipv6: bool, high_water: i32) -> Result<(), zmq::Error> {
    let is_publishing = matches!(kind, SocketType::PUB | SocketType::XPUB);
    let (frame_bytes_max, incoming) = if is_publishing {
        (LISTENER_FRAME_BYTES_MAX, LISTENER_HIGH_WATER)
    } else {
        (FRAME_BYTES_MAX, high_water)
    };
    socket.set_linger(0)?;
    socket.set_ipv6(ipv6)?;
    socket.set_sndhwm(high_water)?;
    socket.set_rcvhwm(incoming)?;
    socket.set_maxmsgsize(frame_bytes_max)?;
    socket.set_handshake_ivl(HANDSHAKE_MS_MAX)?;
    socket.set_reconnect_ivl(RECONNECT_MS)?;
    socket.set_reconnect_ivl_max(RECONNECT_MS_MAX)?;
    socket.set_connect_timeout(CONNECT_MS_MAX)?;
    if !is_publishing {
        // Only this side pings: libzmq 4.0 and 4.1, which listen to us elsewhere, take a `PING` and respond to none.
        socket.set_heartbeat_ivl(HEARTBEAT_MS)?;
        socket.set_heartbeat_timeout(HEARTBEAT_MS_MAX)?;
        socket.set_heartbeat_ttl(HEARTBEAT_TTL_MS)?;
    }
    socket.set_tcp_keepalive(1)?;
    socket.set_tcp_keepalive_idle(KEEPALIVE_IDLE_S)?;
    socket.set_tcp_keepalive_intvl(KEEPALIVE_INTERVAL_S)?;
    socket.set_tcp_keepalive_cnt(KEEPALIVE_COUNT)
}

/// libzmq removes whatever stands where it is to bind an `ipc` socket, be it the socket of a living process or a file
/// of the operator's. Only the leftover of a dead process may go.
fn check_socket_file(url: &str) -> Result<(), BusError> {
    let Some(path) = url.strip_prefix("ipc://").filter(|path| !path.starts_with(['@', '*'])) else {
        return Ok(());
    };
    let path = Path::new(path);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
                Err(BusError::config(url, format!("directory {} does not exist", parent.display())))
            }
            Some(_) | None => Ok(()),
        },
        Err(error) => Err(BusError::config(url, error.to_string())),
        Ok(file) if !file.file_type().is_socket() => {
            Err(BusError::config(url, "file exists and is not a socket"))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(BusError::AddressInUse { url: url.to_owned() }),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(BusError::config(url, error.to_string())),
        },
    }
}

#[cfg(test)]
mod tests;
