//! Sends what is in the spool: in its order, each message with its place, from what the server has. The server is queried
//! at each connection whether it still has what it confirmed last: where it does not, what the listed consumers lack is sent
//! again, before anything newer. A consumer that misses something reports that, and is sent it again as well.

mod progress;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::batching::Batching;
use super::listed::{Listed, ListedConsumers};
use super::rejected::Rejections;
use super::sending::{SendOutcome, Sent, confirmed, explained};
use super::{TOO_LARGE, WINDOW, look_up, note_refused, note_rejected, note_stored};
use crate::spool::{Spool, Spooled, put};
use crate::transport::nats::RETRY_INTERVAL;
use crate::transport::nats::connection::{Connection, Event};
use crate::transport::nats::jetstream::call;
use crate::transport::nats::link::Link;
use crate::transport::nats::position::{self, HEADER, Placed, PositionKeys, SentPosition};
use crate::transport::nats::servers::Servers;
use crate::transport::nats::wire::{self, Message};
use progress::Confirmed;
pub(super) use progress::Progress;

/// How often is noted how far things are.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);
/// Room for the header with the place.
const HEAD_BYTES: usize = 1_200;
/// Messages that the server will never take, which are passed over when all is sent again.
const REJECTED_MAX: usize = 4_096;
const NOTES_VERSION: u32 = 1;
/// Larger notes are not ours.
const NOTES_BYTES_MAX: u64 = 64 << 10;

/// The sender of one stream.
pub(super) struct SpoolSender {
    pub(super) servers: Servers,
    pub(super) link: Arc<Link>,
    pub(super) spool: Spool,
    /// Which of the spool's readers it is.
    pub(super) reader: usize,
    pub(super) keys: Arc<PositionKeys>,
    pub(super) listed: Arc<Mutex<ListedConsumers>>,
    /// Their names with commas between.
    pub(super) names: String,
    pub(super) progress: Progress,
    pub(super) batching: Batching,
    pub(super) rejections: Rejections,
}

/// How far things are, in a file, so that it is on record what need not be sent again.
#[derive(Debug, Deserialize, Serialize)]
struct Notes {
    version: u32,
    endpoint: String,
    spool: String,
    confirmed: Confirmed,
    consumers: Vec<Listed>,
}

/// A message that is sent: its number, and that of the one before it.
type Place = (Arc<Spooled>, u64);

impl SpoolSender {
    /// Until the spool is closed and all of it is stored.
    pub(super) async fn work(&mut self) {
        self.read_notes();
        self.progress.pass = self.now().micros();
        let mut readable = self.spool.watch();
        loop {
            let mut connection = self.servers.open(&self.link).await;
            let ended = match self.begin(&mut connection).await {
                Ok(()) => self.send_all(&mut connection, &mut readable).await,
                Err(problem) => Err(problem),
            };
            self.note();
            match ended {
                Ok(()) => return,
                Err(problem) => self.link.fails(problem),
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    fn now(&self) -> kwapi_core::Timestamp {
        self.spool.config().clock.now()
    }

    /// Listens to the consumers, and finds from where to send.
    async fn begin(&mut self, connection: &mut Connection) -> Result<(), String> {
        let stream = self.servers.address().stream.clone();
        let is_there = look_up(connection, &stream).await?;
        connection.subscribe(&position::subjects(self.spool.id()));
        // Once it has read that, it has reported what it does not allow.
        connection.settle().await?;
        self.listed.lock().trouble = None;
        while connection.has_early() {
            match connection.next().await? {
                Event::Complaint(complaint) => self.positions_refused(&complaint),
                Event::Message(message) => _ = self.receive(&message),
            }
        }
        let durable = self.listed.lock().durable();
        let has_confirmed = match self.progress.confirmed_beyond(durable) {
            Some(confirmed) => self.is_stored(connection, &stream, confirmed).await,
            None => false,
        };
        self.progress.resume(durable, has_confirmed);
        self.listed.lock().reached = self.progress.before;
        if is_there && self.spool.newest() <= self.progress.before {
            self.link.works();
        }
        Ok(())
    }

    /// Reports of the listed consumers cannot be received: nothing is ever released.
    fn positions_refused(&self, complaint: &str) {
        let endpoint = &self.servers.address().endpoint;
        tracing::error!(endpoint, "NATS: cannot receive the positions of the listed consumers: {complaint}");
        self.listed.lock().trouble =
            Some(format!("cannot receive the positions of the listed consumers: {complaint}"));
    }

    /// Whether the server still has what it has confirmed last.
    async fn is_stored(&self, connection: &mut Connection, stream: &str, confirmed: Confirmed) -> bool {
        let Confirmed { number, sequence } = confirmed;
        let request = json!({ "seq": sequence });
        let found = match call(connection, &format!("STREAM.MSG.GET.{stream}"), &request).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, stream, "NATS: cannot find what was stored last; sending again what consumers lack");
                return false;
            }
        };
        let head = found.get("message").and_then(|message| message.get("hdrs")).and_then(Value::as_str);
        let head = head.and_then(|head| STANDARD.decode(head).ok()).unwrap_or_default();
        let place = format!("{} {number} ", self.spool.id());
        let is_it = wire::header(&head, HEADER).is_some_and(|header| header.starts_with(&place));
        if !is_it {
            tracing::warn!(
                stream,
                "NATS: the server has lost messages that it had confirmed; sending them again"
            );
        }
        is_it
    }

    /// Continues after this number.
    fn go_to(&mut self, number: u64) {
        self.progress.go_to(number);
        self.listed.lock().reached = number;
    }

    /// Sends what comes, until there will be no more.
    ///
    /// # Errors
    /// When the connection is to be reopened; why.
    async fn send_all(
        &mut self,
        connection: &mut Connection,
        readable: &mut watch::Receiver<()>,
    ) -> Result<(), String> {
        loop {
            if self.progress.noted_at.is_none_or(|at| at.elapsed() >= NOTE_INTERVAL) {
                self.note();
            }
            let waiting = self.spool.readable().saturating_sub(self.progress.cursor.after);
            let waiting = usize::try_from(waiting).unwrap_or(usize::MAX);
            if let Some(until) = self.batching.linger_until(waiting, WINDOW) {
                sleep_until(until).await;
            }
            // Before what is read: what comes meanwhile is looked for again.
            let (end, is_ended) = (self.spool.readable(), self.spool.is_ended());
            let spooled = self.spool.read(&mut self.progress.cursor, WINDOW);
            if spooled.is_empty() {
                self.listed.lock().reached = end;
                if is_ended {
                    return Ok(());
                }
                tokio::select! {
                    changed = readable.changed() => if changed.is_err() { return Ok(()) },
                    event = connection.next() => {
                        if let Event::Message(message) = event?
                            && let Some(number) = self.receive(&message)
                        {
                            self.go_to(number);
                        }
                    }
                    () = sleep(NOTE_INTERVAL) => {}
                }
                continue;
            }
            let window = self.placed(spooled, connection.payload_bytes_max);
            if !window.is_empty() {
                self.send_window(connection, &window).await?;
                self.link.works();
            }
        }
    }

    /// Each message with the number of the one before it; those that the server does not take are left out.
    fn placed(&mut self, spooled: Vec<Arc<Spooled>>, bytes_max: usize) -> Vec<Place> {
        let mut window = Vec::with_capacity(spooled.len());
        let mut again = 0;
        for spooled in spooled {
            let number = spooled.number;
            if spooled.message.payload().len() + HEAD_BYTES > bytes_max {
                self.reject(&spooled, TOO_LARGE);
            }
            again += u64::from(number <= self.progress.sent);
            if let Some(before) = self.progress.place(number) {
                window.push((spooled, before));
            }
        }
        self.link.repeated.fetch_add(again, Ordering::Relaxed);
        self.listed.lock().repeated += again;
        window
    }

    /// Passes a message over, from now on.
    fn reject(&mut self, spooled: &Spooled, why: &'static str) {
        if !self.progress.rejected.insert(spooled.number) {
            return;
        }
        if self.progress.rejected.len() > REJECTED_MAX {
            self.progress.rejected.pop_first();
        }
        note_rejected(&self.link, &mut self.rejections, &spooled.message, why);
    }

    /// Sends messages and waits for the confirmations.
    ///
    /// # Errors
    /// When some were not confirmed; why. What follows the first of them is sent again.
    async fn send_window(&mut self, connection: &mut Connection, window: &[Place]) -> Result<(), String> {
        let stream = self.servers.address().stream.clone();
        let (spool, now) = (self.spool.id().to_owned(), self.now());
        let of_window = window.iter().map(|(spooled, _)| (spooled.number, &spooled.message));
        let bytes_max = connection.payload_bytes_max.saturating_sub(HEAD_BYTES);
        let runs = self.batching.runs(of_window, &self.keys.probes(), bytes_max, Instant::now());
        let (mut first, mut sent) = (None, Vec::with_capacity(runs.len()));
        let mut rest = window;
        for run in &runs {
            let (places, after) = rest.split_at(run.count.min(rest.len()));
            rest = after;
            let (Some((_, before)), Some((last, _))) = (places.first(), places.last()) else { continue };
            let (number, reply) = connection.reply_address();
            first = first.or(Some(number));
            let subject = run.subject(&stream);
            let payload = run.payload(places.iter().map(|(spooled, _)| &spooled.message));
            let position = SentPosition {
                spool: &spool,
                number: last.number,
                before: *before,
                pass: self.progress.pass,
                consumers: &self.names,
            };
            let (is_batch, count) = (run.is_batch(), run.count as u64);
            let placed = Placed { topic: &run.begin, payload: &payload, is_batch, count };
            match position.write(&self.keys, now, placed) {
                Some(header) => connection.publish_with(&subject, &reply, (HEADER, &header), &payload),
                None => connection.publish(&subject, Some(&reply), &payload),
            }
            sent.push(Sent::new(subject, run.is_batch()));
        }
        let mut lacks = None;
        let mut problem = confirmed(connection, first.unwrap_or_default(), &mut sent, |message| {
            lacks = self.receive(message).or(lacks);
        })
        .await;
        // After which message of the spool to continue, where one was not confirmed.
        let mut unconfirmed = None;
        let mut rest = window;
        for (run, sent) in runs.iter().zip(sent) {
            let (places, after) = rest.split_at(run.count.min(rest.len()));
            rest = after;
            let (Some((_, before)), Some((last, _))) = (places.first(), places.last()) else { continue };
            match sent.outcome {
                Some(SendOutcome::Stored(sequence)) => {
                    note_stored(&self.link, &mut self.batching, run);
                    if unconfirmed.is_none() {
                        self.progress.confirm(last.number, sequence);
                        self.listed.lock().reached = last.number;
                    }
                    continue;
                }
                Some(SendOutcome::Rejected(why)) => {
                    places.iter().for_each(|(spooled, _)| self.reject(spooled, why));
                    continue;
                }
                Some(SendOutcome::Refused(why)) => note_refused(&self.link, &mut self.batching, &why),
                Some(SendOutcome::Unknown(why)) => problem = problem.or(Some(why)),
                None => {}
            }
            unconfirmed = unconfirmed.or(Some(*before));
        }
        // A batch that was refused is sent again on this connection, one by one.
        let unconfirmed = unconfirmed.filter(|_| problem.is_none());
        if let Some(number) = lacks.into_iter().chain(unconfirmed).min() {
            self.go_to(number);
        }
        problem.map_or(Ok(()), |problem| Err(explained(problem, &stream)))
    }

    /// Receives a report of a consumer's position; returns the number after which it lacks something.
    fn receive(&self, message: &Message) -> Option<u64> {
        if !position::is_standing(&message.subject) {
            return None;
        }
        let (now, newest) = (self.now(), self.spool.newest());
        let mut listed = self.listed.lock();
        let received = listed.receive(&message.payload, &self.keys, now, self.progress.pass, newest);
        self.spool.release(self.reader, listed.durable());
        received.unwrap_or_else(|cause| {
            tracing::debug!(cause = cause.name(), "NATS: position refused");
            None
        })
    }

    fn notes_file(&self) -> String {
        format!("server-{:08x}.json", crc32fast::hash(self.servers.address().endpoint.as_bytes()))
    }

    /// Notes how far things are, if that has changed. Where it cannot, more is sent again after a restart.
    fn note(&mut self) {
        self.progress.noted_at = Some(Instant::now());
        let notes = Notes {
            version: NOTES_VERSION,
            endpoint: self.servers.address().endpoint.clone(),
            spool: self.spool.id().to_owned(),
            confirmed: self.progress.confirmed,
            consumers: self.listed.lock().all().to_vec(),
        };
        let text = serde_json::to_vec(&notes).unwrap_or_default();
        if text == self.progress.noted {
            return;
        }
        match put(&self.spool.config().directory, &self.notes_file(), &text, false) {
            Ok(()) => self.progress.noted = text,
            Err(error) => tracing::debug!(%error, "cannot note how far the spool is sent"),
        }
    }

    /// Takes up what an earlier process noted, of this spool and endpoint.
    fn read_notes(&mut self) {
        use std::io::Read as _;
        let path = self.spool.config().directory.join(self.notes_file());
        let mut text = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(NOTES_BYTES_MAX).read_to_end(&mut text));
        let Some(notes) = read.ok().and_then(|_| serde_json::from_slice::<Notes>(&text).ok()) else { return };
        let is_ours = notes.version == NOTES_VERSION
            && notes.endpoint == self.servers.address().endpoint
            && notes.spool == self.spool.id();
        if !is_ours {
            return;
        }
        self.progress.confirmed = notes.confirmed;
        let mut listed = self.listed.lock();
        listed.remember(&notes.consumers);
        listed.reached = notes.confirmed.number.max(listed.durable());
        self.spool.release(self.reader, listed.durable());
    }
}

#[cfg(test)]
mod tests;
