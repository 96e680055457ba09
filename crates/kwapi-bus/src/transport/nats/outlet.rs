//! The publishing end: a bounded queue, and a thread that brings its messages to the server, in order, until each is
//! confirmed to be stored. Whoever fills the queue never waits.

pub(crate) mod listed;
mod spooled;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::address::NatsAddress;
use super::connection::{Connection, Event, Servers};
use super::jetstream::{
    ApiError, MESSAGE_TOO_LARGE, NOT_ENABLED, NOT_ENABLED_FOR_ACCOUNT, STREAM_NOT_FOUND, call, check, missing,
};
use super::link::{Link, NatsLink, NatsSide};
use super::outgoing::Outgoing;
use super::position::PositionKeys;
use super::wire::Message;
use super::{RESPONSE_TIMEOUT, RETRY_INTERVAL, SpoolReader, run, subject};
use crate::endpoint::EndpointConfig;
use crate::error::BusError;
use crate::queue::DropOldest;
use crate::spool::Spool;
use crate::worker::Worker;
use listed::ListedConsumers;
use spooled::{Progress, SpoolSender};

/// Messages under way to the server before their confirmations are waited for.
const WINDOW: usize = 1_024;
/// At a stop, how long what waits may take to be stored.
const STOP_GRACE: Duration = Duration::from_millis(800);

/// Messages on their way to one stream. Dropped, it stores what it can within [`STOP_GRACE`].
#[derive(Debug)]
pub(crate) struct NatsOutlet {
    messages: Messages,
    link: Arc<Link>,
    /// Held for its end.
    _worker: CloseThenJoin,
}

/// Where messages wait.
#[derive(Clone, Debug)]
enum Messages {
    /// In memory, until the server has confirmed them.
    Queue(Arc<DropOldest<Outgoing>>),
    /// On the disk, until the listed consumers have them.
    Spool(Spool, Arc<Mutex<ListedConsumers>>),
}

/// Ends what is to be sent before the thread that sends it is waited for.
#[derive(Debug)]
struct CloseThenJoin {
    messages: Messages,
    _worker: Worker,
}

impl Drop for CloseThenJoin {
    fn drop(&mut self) {
        match &self.messages {
            Messages::Queue(queue) => queue.close(),
            Messages::Spool(spool, _) => spool.close(),
        }
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
        let messages = Messages::Queue(queue);
        let worker = CloseThenJoin { messages: messages.clone(), _worker: worker };
        Ok(Self { messages, link, _worker: worker })
    }

    /// Starts the thread that sends what is in a spool, as its reader of this place, for the consumers that are listed.
    ///
    /// # Errors
    /// When the authority's file cannot be read, or the system gives no thread.
    pub(crate) fn start_with_spool(
        address: NatsAddress,
        consumers: &[String],
        spool: &Spool,
        reader: usize,
        keys: &Arc<PositionKeys>,
    ) -> Result<Self, BusError> {
        address.check_files()?;
        let link = Arc::new(Link::new(&address.endpoint, NatsSide::Publish));
        let listed = Arc::new(Mutex::new(ListedConsumers::new(spool.id().to_owned(), consumers)));
        let mut sender = SpoolSender {
            servers: Servers::new(address),
            link: link.clone(),
            spool: spool.clone(),
            reader,
            keys: keys.clone(),
            listed: listed.clone(),
            names: consumers.join(","),
            progress: Progress::default(),
        };
        let worker = Worker::start("nats-publisher", move |stop| run(stop, STOP_GRACE, sender.work()))?;
        let messages = Messages::Spool(spool.clone(), listed);
        let worker = CloseThenJoin { messages: messages.clone(), _worker: worker };
        Ok(Self { messages, link, _worker: worker })
    }

    /// Hands over messages; never waits. What is in a spool is there already.
    pub(crate) fn extend(&self, messages: impl IntoIterator<Item = Outgoing>) {
        if let Messages::Queue(queue) = &self.messages {
            queue.extend(messages);
        }
    }

    /// Whether it is handed its messages.
    pub(crate) fn has_queue(&self) -> bool {
        matches!(self.messages, Messages::Queue(_))
    }

    /// See [`Link::log_in_with`].
    pub(crate) fn log_in_with(&self, endpoints: &[EndpointConfig]) {
        self.link.log_in_with(endpoints);
    }

    /// How it is doing.
    pub(crate) fn link(&self) -> NatsLink {
        match &self.messages {
            Messages::Queue(queue) => {
                let mut link = self.link.snapshot(queue.dropped());
                link.waiting += queue.length() as u64;
                link
            }
            Messages::Spool(spool, listed) => {
                let waiting = spool.count_after(listed.lock().reached);
                NatsLink { waiting, ..self.link.snapshot(0) }
            }
        }
    }

    /// How the consumers that messages are kept for are doing, where any are.
    pub(crate) fn spool_reader(&self) -> Option<SpoolReader> {
        let Messages::Spool(spool, listed) = &self.messages else { return None };
        let listed = listed.lock();
        Some(SpoolReader::new(self.link.endpoint(), spool, &listed))
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
    /// With this number.
    Stored(u64),
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
        // Where something could not be sent, the next attempt tells.
        if look_up(connection, &self.servers.address().stream).await? && self.unsent.is_empty() {
            self.link.works();
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
            if message.payload().len() > connection.payload_bytes_max {
                *fate = Some(Fate::Rejected("message too large for the server"));
                continue;
            }
            let id = message.topic().strip_suffix('.').unwrap_or(message.topic());
            connection.publish(
                &subject::of(&self.servers.address().stream, id),
                Some(&reply),
                message.payload(),
            );
        }
        let confirmed = confirm(connection, first.unwrap_or_default(), &mut fates, |_| ());
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
                Some(Fate::Stored(_)) => _ = self.link.messages.fetch_add(1, Ordering::Relaxed),
                Some(Fate::Rejected(why)) => {
                    self.link.rejected.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(
                        endpoint = self.servers.address().endpoint,
                        topic = message.topic(),
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
        problem.map_or(Ok(()), |problem| Err(explained(problem, &self.servers.address().stream)))
    }
}

/// Looks whether a stream is there; false where that may not be asked.
///
/// # Errors
/// When it is not.
async fn look_up(connection: &mut Connection, stream: &str) -> Result<bool, String> {
    match call(connection, &format!("STREAM.INFO.{stream}"), &Value::Null).await {
        Ok(_) => Ok(true),
        Err(error) if error.is(STREAM_NOT_FOUND) => Err(missing(stream)),
        Err(error) if error.is(NOT_ENABLED) || error.is(NOT_ENABLED_FOR_ACCOUNT) => Err(error.to_string()),
        // Nor would confirmations be heard: what is sent would be stored again and again.
        Err(ApiError::NoResponse(why)) if why.to_ascii_lowercase().contains("violation for subscription") => {
            Err(why)
        }
        // A publisher need not be allowed to ask.
        Err(error) => {
            tracing::debug!(%error, "cannot look up stream {stream}");
            Ok(false)
        }
    }
}

/// What to do about it, where nobody takes what is sent.
fn explained(problem: String, stream: &str) -> String {
    if problem == NOBODY { nobody_stores(stream) } else { problem }
}

/// Of a server where nobody takes a subject.
const NOBODY: &str = "no responders";

/// What that means: the next connection looks which, as far as it may.
fn nobody_stores(stream: &str) -> String {
    format!(
        "no server stores messages of stream {stream}: it was not created, JetStream is not enabled, or a cluster has no leader now"
    )
}

/// Reads the confirmations of messages that were numbered from `first` on, until each has one. What is no confirmation is
/// for `other`.
///
/// # Errors
/// When some will not come; why.
async fn confirm(
    connection: &mut Connection,
    first: u64,
    fates: &mut [Option<Fate>],
    mut other: impl FnMut(&Message),
) -> Result<(), String> {
    let mut left = fates.iter().filter(|fate| fate.is_none()).count();
    while left > 0 {
        match connection.next().await? {
            Event::Complaint(complaint) => return Err(format!("the server reports: {complaint}")),
            Event::Message(message) => {
                let number = connection.reply_number(&message.subject);
                if number.is_none() {
                    other(&message);
                }
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
        Ok(()) => Fate::Stored(stored_as(&message.payload)),
        Err(error) if error.is(MESSAGE_TOO_LARGE) => Fate::Rejected("message too large for the stream"),
        Err(error) => Fate::Unknown(format!("cannot store messages: {error}")),
    }
}

/// The number in the stream that a confirmation names; 0 where it does not.
fn stored_as(confirmation: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Stored {
        #[serde(default)]
        seq: u64,
    }
    serde_json::from_slice(confirmation).map_or(0, |Stored { seq }| seq)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn only_what_the_server_confirms_is_stored_and_only_what_it_never_takes_is_given_up() {
        let fate = |status: Option<u16>, payload: &'static str| {
            let status = status.map(|code| (code, String::new()));
            let payload = Bytes::from_static(payload.as_bytes());
            fate_of(&Message { subject: String::new(), reply: None, status, head: Bytes::new(), payload })
        };
        assert_eq!(fate(None, r#"{"stream":"power","seq":7}"#), Fate::Stored(7));
        assert_eq!(fate(Some(503), ""), Fate::Unknown(NOBODY.to_owned()));
        assert!(matches!(fate(None, r#"{"error":{"err_code":10054}}"#), Fate::Rejected(_)));
        for other in [r#"{"error":{"err_code":10077,"description":"maximum bytes exceeded"}}"#, "", "OK"] {
            assert!(matches!(fate(None, other), Fate::Unknown(_)), "{other}");
        }
    }
}
