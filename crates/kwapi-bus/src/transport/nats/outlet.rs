//! The publishing end: a bounded queue, and a thread that brings its messages to the server, in order, until each is
//! confirmed to be stored. Whoever fills the queue never waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::timeout;

use super::address::NatsAddress;
use super::connection::{Connection, Event, Servers};
use super::jetstream::{
    MESSAGE_TOO_LARGE, NOT_ENABLED, NOT_ENABLED_FOR_ACCOUNT, STREAM_NOT_FOUND, call, check, missing,
};
use super::link::{Link, NatsLink, NatsSide};
use super::wire::Message;
use super::{RESPONSE_TIMEOUT, RETRY_INTERVAL, run, subject};
use crate::endpoint::EndpointConfig;
use crate::error::BusError;
use crate::message::Wire;
use crate::queue::DropOldest;
use crate::worker::Worker;

/// Messages under way to the server before their confirmations are waited for.
const WINDOW: usize = 1_024;
/// At a stop, how long what waits may take to be stored.
const STOP_GRACE: Duration = Duration::from_millis(800);

/// A signed message on its way to the server.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// The probe's id and a dot.
    topic: String,
    payload: Bytes,
}

impl Outgoing {
    /// A copy of what was signed.
    pub(crate) fn new(wire: &Wire) -> Self {
        let topic = String::from_utf8_lossy(&wire.topic).into_owned();
        Self { topic, payload: Bytes::copy_from_slice(&wire.payload) }
    }
}

/// Messages on their way to one stream. Dropped, it stores what it can within [`STOP_GRACE`].
#[derive(Debug)]
pub(crate) struct NatsOutlet {
    queue: Arc<DropOldest<Outgoing>>,
    link: Arc<Link>,
    /// Held for its end.
    _worker: CloseThenJoin,
}

/// Ends the queue before the thread that reads it is waited for.
#[derive(Debug)]
struct CloseThenJoin {
    queue: Arc<DropOldest<Outgoing>>,
    _worker: Worker,
}

impl Drop for CloseThenJoin {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl NatsOutlet {
    /// Starts the thread; up to `capacity` messages wait for the server.
    ///
    /// # Errors
    /// When the authority's file cannot be read, or the system gives no thread.
    pub(crate) fn start(address: NatsAddress, capacity: usize) -> Result<Self, BusError> {
        address.check_files()?;
        let queue = Arc::new(DropOldest::new(capacity));
        let link = Arc::new(Link::new(&address.endpoint, NatsSide::Publish));
        let servers = Servers::new(address);
        let mut sender =
            Sender { servers, queue: queue.clone(), link: link.clone(), unsent: VecDeque::new() };
        let worker = Worker::start("nats-publisher", move |stop| run(stop, STOP_GRACE, sender.work()))?;
        let worker = CloseThenJoin { queue: queue.clone(), _worker: worker };
        Ok(Self { queue, link, _worker: worker })
    }

    /// Hands over messages; never waits.
    pub(crate) fn extend(&self, messages: impl IntoIterator<Item = Outgoing>) {
        self.queue.extend(messages);
    }

    /// See [`Link::log_in_with`].
    pub(crate) fn log_in_with(&self, endpoints: &[EndpointConfig]) {
        self.link.log_in_with(endpoints);
    }

    /// How it is doing.
    pub(crate) fn link(&self) -> NatsLink {
        let mut link = self.link.snapshot(self.queue.dropped());
        link.waiting += self.queue.length() as u64;
        link
    }
}

/// What the thread works with.
struct Sender {
    servers: Servers,
    queue: Arc<DropOldest<Outgoing>>,
    link: Arc<Link>,
    /// Taken from the queue and not confirmed yet, in order.
    unsent: VecDeque<Outgoing>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Stored,
    /// The server will never take it.
    Rejected(&'static str),
    /// It may be stored, or not: it is sent again.
    Unknown(String),
}

impl Sender {
    /// Until the queue is closed and all of it is stored.
    async fn work(&mut self) {
        loop {
            let mut connection = self.servers.open(&self.link).await;
            let ended = match self.check(&mut connection).await {
                Ok(()) => self.send_all(&mut connection).await,
                Err(problem) => Err(problem),
            };
            match ended {
                Ok(()) => return,
                Err(problem) => self.link.fails(problem),
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// Looks whether the stream is there, as far as it may be asked: who has nothing to send is to know too.
    async fn check(&self, connection: &mut Connection) -> Result<(), String> {
        let stream = &self.servers.address().stream;
        match call(connection, &format!("STREAM.INFO.{stream}"), &Value::Null).await {
            // Where something could not be sent, the next attempt tells.
            Ok(_) if self.unsent.is_empty() => self.link.works(),
            Ok(_) => {}
            Err(error) if error.is(STREAM_NOT_FOUND) => return Err(missing(stream)),
            Err(error) if error.is(NOT_ENABLED) || error.is(NOT_ENABLED_FOR_ACCOUNT) => {
                return Err(error.to_string());
            }
            // A publisher need not be allowed to ask.
            Err(error) => tracing::debug!(%error, "cannot look up stream {stream}"),
        }
        Ok(())
    }

    /// Sends what comes, until there will be no more.
    ///
    /// # Errors
    /// When the connection is to be made anew; why.
    async fn send_all(&mut self, connection: &mut Connection) -> Result<(), String> {
        loop {
            if self.unsent.is_empty() {
                let taken = tokio::select! {
                    taken = self.queue.take(WINDOW) => taken,
                    event = connection.next() => {
                        // Late confirmations; and the end of the connection.
                        event?;
                        continue;
                    }
                };
                let Some(taken) = taken else { return Ok(()) };
                self.unsent.extend(taken);
            } else {
                self.link.repeated.fetch_add(self.unsent.len() as u64, Ordering::Relaxed);
            }
            self.link.waiting.store(self.unsent.len() as u64, Ordering::Relaxed);
            let sent = self.send_window(connection).await;
            self.link.waiting.store(self.unsent.len() as u64, Ordering::Relaxed);
            sent?;
            self.link.works();
        }
    }

    /// Sends what is unsent and waits for the confirmations; what is left was not confirmed.
    ///
    /// # Errors
    /// When something is left; why.
    async fn send_window(&mut self, connection: &mut Connection) -> Result<(), String> {
        let mut fates: Vec<Option<Fate>> = vec![None; self.unsent.len()];
        let mut first = None;
        for (message, fate) in self.unsent.iter().zip(&mut fates) {
            let (number, reply) = connection.reply_address();
            first = first.or(Some(number));
            if message.payload.len() > connection.payload_bytes_max {
                *fate = Some(Fate::Rejected("message too large for the server"));
                continue;
            }
            let id = message.topic.strip_suffix('.').unwrap_or(&message.topic);
            connection.publish(
                &subject::of(&self.servers.address().stream, id),
                Some(&reply),
                &message.payload,
            );
        }
        let confirmed = confirm(connection, first.unwrap_or_default(), &mut fates);
        let mut problem = match timeout(RESPONSE_TIMEOUT, confirmed).await {
            Ok(Ok(())) => None,
            Ok(Err(problem)) => Some(problem),
            Err(_) => Some(
                "the server does not confirm messages; see its log (after a full disk, it takes a restart)"
                    .to_owned(),
            ),
        };
        for (message, fate) in std::mem::take(&mut self.unsent).into_iter().zip(fates) {
            match fate {
                Some(Fate::Stored) => _ = self.link.messages.fetch_add(1, Ordering::Relaxed),
                Some(Fate::Rejected(why)) => {
                    self.link.rejected.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(
                        endpoint = self.servers.address().endpoint,
                        topic = message.topic,
                        "NATS: {why}"
                    );
                }
                Some(Fate::Unknown(why)) => {
                    self.unsent.push_back(message);
                    problem = problem.or(Some(why));
                }
                None => self.unsent.push_back(message),
            }
        }
        problem.map_or(Ok(()), |problem| {
            let stream = &self.servers.address().stream;
            Err(if problem == NOBODY { nobody_stores(stream) } else { problem })
        })
    }
}

/// Of a server where nobody takes a subject.
const NOBODY: &str = "no responders";

/// What that means: the next connection looks which, as far as it may.
fn nobody_stores(stream: &str) -> String {
    format!(
        "no server stores messages of stream {stream}: it was not created, JetStream is not enabled, or a cluster has no leader now"
    )
}

/// Reads the confirmations of messages that were numbered from `first` on, until each has one.
///
/// # Errors
/// When some will not come; why.
async fn confirm(connection: &mut Connection, first: u64, fates: &mut [Option<Fate>]) -> Result<(), String> {
    let mut left = fates.iter().filter(|fate| fate.is_none()).count();
    while left > 0 {
        match connection.next().await? {
            Event::Complaint(complaint) => return Err(format!("the server reports: {complaint}")),
            Event::Message(message) => {
                let number = connection.reply_number(&message.subject);
                let place = number.and_then(|number| usize::try_from(number.checked_sub(first)?).ok());
                if let Some(fate @ None) = place.and_then(|place| fates.get_mut(place)) {
                    *fate = Some(fate_of(&message));
                    left -= 1;
                }
            }
        }
    }
    Ok(())
}

fn fate_of(message: &Message) -> Fate {
    if message.status.as_ref().is_some_and(|(code, _)| *code == 503) {
        return Fate::Unknown(NOBODY.to_owned());
    }
    match check(&message.payload) {
        Ok(()) => Fate::Stored,
        Err(error) if error.is(MESSAGE_TOO_LARGE) => Fate::Rejected("message too large for the stream"),
        Err(error) => Fate::Unknown(format!("cannot store messages: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_confirms_is_stored_and_only_what_it_never_takes_is_given_up() {
        let fate = |status: Option<u16>, payload: &'static str| {
            let status = status.map(|code| (code, String::new()));
            let payload = Bytes::from_static(payload.as_bytes());
            fate_of(&Message { subject: String::new(), reply: None, status, payload })
        };
        assert_eq!(fate(None, r#"{"stream":"power","seq":7}"#), Fate::Stored);
        assert_eq!(fate(Some(503), ""), Fate::Unknown(NOBODY.to_owned()));
        assert!(matches!(fate(None, r#"{"error":{"err_code":10054}}"#), Fate::Rejected(_)));
        for other in [r#"{"error":{"err_code":10077,"description":"maximum bytes exceeded"}}"#, "", "OK"] {
            assert!(matches!(fate(None, other), Fate::Unknown(_)), "{other}");
        }
    }
}
