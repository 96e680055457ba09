//! One connection to a server, owned by whoever uses it. When it ends, its owner opens another: none is repaired.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls_pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::RESPONSE_TIMEOUT;
use super::address::NatsAddress;
use super::wire::{self, Message, ServerOp};

/// A connection on which nothing is received for so long is pinged; one that does not respond for as long again
/// is closed.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// What the addresses of all answers begin with.
pub(super) const INBOX: &str = "_INBOX";
/// What is read at a time.
const READ_BYTES: usize = 64 << 10;

trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A connection that stands, or did a moment ago.
pub(super) struct Connection {
    transport: Box<dyn Transport>,
    read: BytesMut,
    write: BytesMut,
    /// Came while something else was waited for.
    early: VecDeque<Event>,
    /// The address of responses to us, with a dot and a number; subscribed to at the first request. Of this connection alone:
    /// what a server still delivers for requests of an earlier one is older or newer than what this one is given, and not
    /// in its order.
    inbox: String,
    has_inbox: bool,
    next_number: u64,
    next_subscription: u64,
    /// When to ping, or to give up.
    ping_at: Instant,
    is_pinged: bool,
    /// The largest payload that the server takes.
    pub(super) payload_bytes_max: usize,
}

/// What comes.
#[derive(Debug)]
pub(super) enum Event {
    Message(Message),
    /// What the server will not let us do.
    Complaint(String),
}

/// What a server reports of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    nonce: String,
    tls_required: bool,
    max_payload: usize,
    /// The other servers of its cluster.
    pub(super) connect_urls: Vec<String>,
}

/// A server, and the name that its certificate is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) certified: String,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A server's message before it ends a connection, and what to do about it.
fn explained(complaint: &str) -> String {
    let lower = complaint.to_ascii_lowercase();
    let remedy = if lower.contains("expired") || lower.contains("revoked") {
        "; renew the login in `nats`"
    } else if lower.contains("auth") {
        return "authentication failed; check the login in `nats`".to_owned();
    } else if lower.contains("connections exceeded") {
        "; raise `max_connections` of the server or the account"
    } else if lower.contains("subscriptions exceeded") {
        "; raise `max_subscriptions` of the server or the account"
    } else {
        ""
    };
    format!("the server reports: {complaint}{remedy}")
}

impl Connection {
    /// Connects and logs in; answers to it go below `inbox`.
    ///
    /// # Errors
    /// Why that is not possible, as text.
    pub(super) async fn open(
        address: &NatsAddress,
        server: &Server,
        inbox: String,
    ) -> Result<(Self, Info), String> {
        let cannot_connect = |error: std::io::Error| format!("cannot connect: {error}");
        let mut tcp =
            TcpStream::connect((server.host.as_str(), server.port)).await.map_err(cannot_connect)?;
        tcp.set_nodelay(true).map_err(cannot_connect)?;
        let mut read = BytesMut::new();
        let info: Info = loop {
            match wire::next(&mut read).map_err(|error| format!("not a NATS server: {error}"))? {
                Some(ServerOp::Info(info)) => {
                    break serde_json::from_str(&info)
                        .map_err(|error| format!("not a NATS server: {error}"))?;
                }
                Some(_) => return Err("not a NATS server".to_owned()),
                None if tcp.read_buf(&mut read).await.map_err(cannot_connect)? == 0 => {
                    return Err("connection closed".to_owned());
                }
                None => {}
            }
        };
        let is_tls = address.is_tls || info.tls_required;
        let transport: Box<dyn Transport> = if is_tls {
            let tls = TlsConnector::from(Arc::new(address.config.tls()?));
            let name =
                ServerName::try_from(server.certified.clone()).map_err(|error| format!("TLS: {error}"))?;
            Box::new(tls.connect(name, tcp).await.map_err(|error| format!("TLS: {error}"))?)
        } else {
            Box::new(tcp)
        };
        let options = address.config.connect(&info.nonce, is_tls)?;
        let mut connection = Self {
            transport,
            read: BytesMut::new(),
            write: BytesMut::new(),
            early: VecDeque::new(),
            inbox,
            has_inbox: false,
            next_number: 0,
            next_subscription: 1,
            ping_at: Instant::now() + PING_INTERVAL,
            is_pinged: false,
            payload_bytes_max: info.max_payload,
        };
        connection.write.extend_from_slice(format!("CONNECT {options}\r\n").as_bytes());
        connection.settle().await?;
        Ok((connection, info))
    }

    /// Adds a message to what is sent next.
    pub(super) fn publish(&mut self, subject: &str, reply: Option<&str>, payload: &[u8]) {
        wire::publish(&mut self.write, subject, reply, payload);
    }

    /// Adds a message with one header to what is sent next.
    pub(super) fn publish_with(&mut self, subject: &str, reply: &str, header: (&str, &str), payload: &[u8]) {
        wire::publish_with(&mut self.write, subject, reply, header, payload);
    }

    /// Adds a subscription to what is sent next; returns its number.
    pub(super) fn subscribe(&mut self, subject: &str) -> u64 {
        let number = self.next_subscription;
        wire::subscribe(&mut self.write, subject, number);
        self.next_subscription += 1;
        number
    }

    /// Adds the end of a subscription to what is sent next. Some of its messages may be under way.
    pub(super) fn unsubscribe(&mut self, number: u64) {
        wire::unsubscribe(&mut self.write, number);
    }

    /// An address for an answer: its number, and the text.
    pub(super) fn reply_address(&mut self) -> (u64, String) {
        if !std::mem::replace(&mut self.has_inbox, true) {
            self.subscribe(&format!("{}.*", self.inbox));
        }
        self.next_number += 1;
        (self.next_number, format!("{}.{}", self.inbox, self.next_number))
    }

    /// The number of the address that a message was sent to, if it is one of ours.
    pub(super) fn reply_number(&self, subject: &str) -> Option<u64> {
        subject.strip_prefix(self.inbox.as_str())?.strip_prefix('.')?.parse().ok()
    }

    /// Sends what was added. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(super) async fn flush(&mut self) -> Result<(), String> {
        let lost = |error: std::io::Error| format!("connection lost: {error}");
        while !self.write.is_empty() {
            if self.transport.write_buf(&mut self.write).await.map_err(lost)? == 0 {
                return Err("connection lost".to_owned());
            }
        }
        self.transport.flush().await.map_err(lost)
    }

    /// Sends what was added and waits until the server has read it. What comes meanwhile comes later.
    ///
    /// # Errors
    /// When the connection ends, or the server does not let us in.
    pub(super) async fn settle(&mut self) -> Result<(), String> {
        self.write.extend_from_slice(b"PING\r\n");
        self.flush().await?;
        loop {
            match self.next_op().await? {
                ServerOp::Pong => return Ok(()),
                other => {
                    let event = self.event(other)?;
                    self.early.extend(event);
                }
            }
        }
    }

    /// Whether something came early.
    pub(super) fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// What comes next. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(super) async fn next(&mut self) -> Result<Event, String> {
        if let Some(event) = self.early.pop_front() {
            return Ok(event);
        }
        loop {
            self.flush().await?;
            let op = self.next_op().await?;
            if let Some(event) = self.event(op)? {
                return Ok(event);
            }
        }
    }

    fn event(&mut self, op: ServerOp) -> Result<Option<Event>, String> {
        match op {
            ServerOp::Message(message) => Ok(Some(Event::Message(message))),
            ServerOp::Ping => {
                self.write.extend_from_slice(b"PONG\r\n");
                Ok(None)
            }
            ServerOp::Error(complaint)
                if complaint.to_ascii_lowercase().starts_with("permissions violation") =>
            {
                // The same of each connection, so that it is logged once.
                Ok(Some(Event::Complaint(complaint.replace(&self.inbox, INBOX))))
            }
            ServerOp::Error(complaint) => Err(explained(&complaint)),
            ServerOp::Info(info) => {
                // After the login, with the limit of the account; and when the server's configuration is reloaded.
                let max = serde_json::from_str(&info).map_or(0, |Info { max_payload, .. }| max_payload);
                if max > 0 {
                    self.payload_bytes_max = max;
                }
                Ok(None)
            }
            ServerOp::Pong | ServerOp::Ok => Ok(None),
        }
    }

    /// Reads; pings the other end when nothing is received.
    async fn next_op(&mut self) -> Result<ServerOp, String> {
        loop {
            if let Some(op) = wire::next(&mut self.read)? {
                return Ok(op);
            }
            self.read.reserve(READ_BYTES);
            let count = tokio::select! {
                count = self.transport.read_buf(&mut self.read) => {
                    count.map_err(|error| format!("connection lost: {error}"))?
                }
                () = sleep_until(self.ping_at) => {
                    if std::mem::replace(&mut self.is_pinged, true) {
                        return Err("connection lost: no response".to_owned());
                    }
                    self.ping_at = Instant::now() + PING_INTERVAL;
                    self.write.extend_from_slice(b"PING\r\n");
                    self.flush().await?;
                    continue;
                }
            };
            if count == 0 {
                return Err("connection closed by the server".to_owned());
            }
            (self.ping_at, self.is_pinged) = (Instant::now() + PING_INTERVAL, false);
        }
    }

    /// Sends a request and waits for the response; `None` where nobody responds to such a request. What else is
    /// received meanwhile is returned later.
    ///
    /// # Errors
    /// When there is none, as text.
    pub(super) async fn request(&mut self, subject: &str, payload: &[u8]) -> Result<Option<Bytes>, String> {
        let (_, reply) = self.reply_address();
        self.publish(subject, Some(&reply), payload);
        let answer = async {
            loop {
                self.flush().await?;
                let op = self.next_op().await?;
                match self.event(op)? {
                    Some(Event::Message(message)) if message.subject == reply => {
                        let has_answer = message.status.is_none_or(|(code, _)| code != 503);
                        return Ok(has_answer.then_some(message.payload));
                    }
                    Some(Event::Complaint(complaint)) => {
                        return Err(format!("the server reports: {complaint}"));
                    }
                    other => self.early.extend(other),
                }
            }
        };
        timeout(RESPONSE_TIMEOUT, answer)
            .await
            .unwrap_or_else(|_| Err(format!("no response within {} s", RESPONSE_TIMEOUT.as_secs())))
    }
}
