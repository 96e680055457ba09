//! The publishing end: a bounded queue, and a thread that delivers its messages to the server, in order, until each is
//! confirmed to be stored. Whoever fills the queue never waits. What waits together is sent in [batches](batching).

mod batching;
pub(crate) mod listed;
mod rejected;
mod sending;
mod spooled;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::address::NatsAddress;
use super::connection::Connection;
use super::jetstream::{ApiError, NOT_ENABLED, NOT_ENABLED_FOR_ACCOUNT, STREAM_NOT_FOUND, call, missing};
use super::link::{Link, NatsLink, NatsSide};
use super::outgoing::Outgoing;
use super::position::PositionKeys;
use super::servers::Servers;
use super::{RETRY_INTERVAL, SpoolReader, run};
use crate::endpoint::EndpointConfig;
use crate::error::BusError;
use crate::queue::DropOldest;
use crate::spool::Spool;
use crate::worker::Worker;
use batching::{Batching, Run};
use listed::ListedConsumers;
use rejected::Rejections;
use sending::{SendOutcome, Sent, confirmed, explained};
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
    /// Starts the thread; up to `capacity` messages wait for the server. `keys` are what messages are signed with.
    ///
    /// # Errors
    /// When the authority's file cannot be read, or the system gives no thread.
    pub(crate) fn start(
        address: NatsAddress,
        batch_max: usize,
        capacity: usize,
        keys: &Arc<PositionKeys>,
    ) -> Result<Self, BusError> {
        address.check_files()?;
        let queue = Arc::new(DropOldest::new(capacity));
        let link = Arc::new(Link::new(&address.endpoint, NatsSide::Publish));
        let servers = Servers::new(address);
        let (rejections, batching) = (Rejections::default(), Batching::new(batch_max));
        let (keys, unsent) = (keys.clone(), VecDeque::new());
        let (queue_of, link_of) = (queue.clone(), link.clone());
        let mut sender =
            Sender { servers, queue: queue_of, link: link_of, keys, unsent, batching, rejections };
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
        (address, batch_max): (NatsAddress, usize),
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
            batching: Batching::new(batch_max),
            rejections: Rejections::default(),
        };
        let worker = Worker::start("nats-publisher", move |stop| run(stop, STOP_GRACE, sender.work()))?;
        let messages = Messages::Spool(spool.clone(), listed);
        let worker = CloseThenJoin { messages: messages.clone(), _worker: worker };
        Ok(Self { messages, link, _worker: worker })
    }

    /// Hands over messages; never waits. What is in a spool is there already.
    pub(crate) fn extend(&self, messages: impl IntoIterator<Item = Outgoing>) {
        if let Messages::Queue(queue) = &self.messages {
            self.link.loses(
                queue.extend(messages),
                "more wait for the server than are kept; the oldest are dropped",
            );
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

/// Why a message was rejected that the server's connections do not carry.
const TOO_LARGE: &str = "message too large for the server; raise `max_payload` in its configuration";

/// What the thread works with.
struct Sender {
    servers: Servers,
    queue: Arc<DropOldest<Outgoing>>,
    link: Arc<Link>,
    keys: Arc<PositionKeys>,
    /// Taken from the queue and not confirmed yet, in order.
    unsent: VecDeque<Outgoing>,
    batching: Batching,
    rejections: Rejections,
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

    /// Checks whether the stream exists, as far as permissions allow: also while there is nothing to send.
    async fn check(&self, connection: &mut Connection) -> Result<(), String> {
        // Where something could not be sent, the next attempt reports it.
        if look_up(connection, &self.servers.address().stream).await? && self.unsent.is_empty() {
            self.link.works();
        }
        Ok(())
    }

    /// Sends what comes, until there will be no more.
    ///
    /// # Errors
    /// When the connection is to be reopened; why.
    async fn send_all(&mut self, connection: &mut Connection) -> Result<(), String> {
        loop {
            if self.unsent.is_empty() {
                let linger = self.batching.linger_until(self.queue.length(), WINDOW);
                let take = async {
                    if let Some(until) = linger {
                        sleep_until(until).await;
                    }
                    self.queue.take(WINDOW).await
                };
                let taken = tokio::select! {
                    taken = take => taken,
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
        let bytes_max = connection.payload_bytes_max;
        let (fits, giants) = std::mem::take(&mut self.unsent)
            .into_iter()
            .partition::<VecDeque<_>, _>(|message| message.payload().len() <= bytes_max);
        self.unsent = fits;
        giants.iter().for_each(|message| self.reject(message, TOO_LARGE));
        let stream = self.servers.address().stream.clone();
        let window = (0_u64..).zip(&self.unsent);
        let runs = self.batching.runs(window, &self.keys.probes(), bytes_max, Instant::now());
        let (mut first, mut sent) = (None, Vec::with_capacity(runs.len()));
        let mut messages = self.unsent.iter();
        for run in &runs {
            let (number, reply) = connection.reply_address();
            first = first.or(Some(number));
            let subject = run.subject(&stream);
            let payload = run.payload(messages.by_ref().take(run.count));
            connection.publish(&subject, Some(&reply), &payload);
            sent.push(Sent::new(subject, run.is_batch()));
        }
        let mut problem = confirmed(connection, first.unwrap_or_default(), &mut sent, |_| ()).await;
        let mut all = std::mem::take(&mut self.unsent);
        for (run, sent) in runs.iter().zip(sent) {
            let rest = all.split_off(run.count.min(all.len()));
            let messages = std::mem::replace(&mut all, rest);
            match sent.outcome {
                Some(SendOutcome::Stored(_)) => note_stored(&self.link, &mut self.batching, run),
                Some(SendOutcome::Rejected(why)) => {
                    messages.iter().for_each(|message| self.reject(message, why));
                }
                Some(SendOutcome::Refused(why)) => {
                    self.unsent.extend(messages);
                    note_refused(&self.link, &mut self.batching, &why);
                }
                Some(SendOutcome::Unknown(why)) => {
                    self.unsent.extend(messages);
                    problem = problem.or(Some(why));
                }
                None => self.unsent.extend(messages),
            }
        }
        problem.map_or(Ok(()), |problem| Err(explained(problem, &stream)))
    }

    fn reject(&mut self, message: &Outgoing, why: &'static str) {
        note_rejected(&self.link, &mut self.rejections, message, why);
    }
}

/// Takes note that the server has stored what was sent as one.
fn note_stored(link: &Link, batching: &mut Batching, run: &Run) {
    link.messages.fetch_add(run.count as u64, Ordering::Relaxed);
    link.stores();
    if run.is_batch() {
        link.batches.fetch_add(1, Ordering::Relaxed);
        batching.works(Instant::now());
    }
}

/// Takes note that the server does not take batches: their messages are sent one by one.
fn note_refused(link: &Link, batching: &mut Batching, why: &str) {
    if let Some(wait) = batching.refused(Instant::now()) {
        let (endpoint, seconds) = (link.endpoint(), wait.as_secs());
        tracing::warn!(endpoint, "NATS: batches refused; sending single messages for {seconds} s: {why}");
    }
}

/// Takes note of a message that the server will never take.
fn note_rejected(link: &Link, rejections: &mut Rejections, message: &Outgoing, why: &'static str) {
    link.rejected.fetch_add(1, Ordering::Relaxed);
    link.loses(1, why);
    if let Some(messages) = rejections.note(Instant::now()) {
        let (endpoint, topic) = (link.endpoint(), message.topic());
        tracing::warn!(endpoint, topic, messages, "NATS: rejected, the last of them: {why}");
    }
}

/// Checks whether a stream exists; false where the permissions do not allow the query.
///
/// # Errors
/// When it is not.
async fn look_up(connection: &mut Connection, stream: &str) -> Result<bool, String> {
    match call(connection, &format!("STREAM.INFO.{stream}"), &Value::Null).await {
        Ok(_) => Ok(true),
        Err(error) if error.is(STREAM_NOT_FOUND) => Err(missing(stream)),
        Err(error) if error.is(NOT_ENABLED) || error.is(NOT_ENABLED_FOR_ACCOUNT) => Err(error.to_string()),
        // Nor would confirmations be received: what is sent would be stored again and again.
        Err(ApiError::NoResponse(why)) if why.to_ascii_lowercase().contains("violation for subscription") => {
            Err(why)
        }
        // A publisher need not have permission to query it.
        Err(error) => {
            tracing::debug!(%error, "cannot look up stream {stream}");
            Ok(false)
        }
    }
}
