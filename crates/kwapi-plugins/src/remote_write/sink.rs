//! Reads the journal and sends what it has, batch by batch.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Gaps, Timestamp, WallClock};
use kwapi_history::journal::{Delivery, Journal, Need, Position, Reader};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::batch::{Batch, Piece, Tracker, by_probe, requests};
use super::server::{Answer, RemoteWriteServer};
use super::{RemoteWriteConfig, RemoteWriteConfigError};
use crate::metrics::{Exposition, Kind, MetricSource};

/// How long a batch waits for more.
const BATCH_WAIT: Duration = Duration::from_secs(1);
/// How long a stop may wait for the journal's reader to notice.
const NOTICE: Duration = Duration::from_millis(200);
/// How long is waited after a failure, at first and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A server that wants to be tried again at once is not.
const PAUSE_SHORTEST: Duration = Duration::from_millis(100);
/// Refusals are logged this often at most.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(600);

/// How a sink is doing. Clones are of the same.
#[derive(Clone, Debug)]
pub struct RemoteWrite {
    name: String,
    place: String,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    counters: Counters,
    /// The newest stamp that the server has.
    newest: Option<Timestamp>,
    trouble: Option<String>,
    refusal_logged: Option<Instant>,
    repeat_logged: Option<Instant>,
}

/// Samples are pairs of power and energy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) sent: u64,
    pub(super) refused: u64,
    /// Refused where an earlier attempt, or a process before this one, may have sent them already.
    pub(super) repeated: u64,
    pub(super) same_stamp: u64,
    pub(super) requests: u64,
    pub(super) failures: u64,
    pub(super) losses: u64,
}

/// A sink at work.
#[derive(Debug)]
pub struct RemoteWriteTask {
    /// How it is doing.
    pub remote_write: RemoteWrite,
    task: JoinHandle<()>,
}

impl RemoteWriteTask {
    /// Starts to read `journal` where the sink of this name has come to. A probe that is not heard for as long as `gaps` says is
    /// silent.
    ///
    /// # Errors
    /// With the key at fault.
    pub fn start(
        config: &RemoteWriteConfig,
        journal: &Journal,
        gaps: Gaps,
        clock: WallClock,
    ) -> Result<Self, RemoteWriteConfigError> {
        let sink = Sink::new(config, journal, gaps, clock)?;
        let remote_write = sink.told.clone();
        let task = tokio::spawn(sink.work());
        Ok(Self { remote_write, task })
    }
}

impl Drop for RemoteWriteTask {
    /// Stops it. What was not sent is read again by the next start.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RemoteWrite {
    /// What keeps it from sending, as a sentence.
    pub fn trouble(&self) -> Option<String> {
        self.state.lock().trouble.clone()
    }

    /// How many samples the server has taken since the start, each a power and an energy.
    pub fn sent(&self) -> u64 {
        self.state.lock().counters.sent
    }

    fn fail(&self, cause: &str) {
        let trouble = format!(
            "remote write {}: cannot send to {}: {cause}; measurements wait in the journal",
            self.name, self.place
        );
        let mut state = self.state.lock();
        state.counters.failures += 1;
        // The cause may change a little from one attempt to the next.
        let is_new = state.trouble.is_none();
        state.trouble = Some(trouble.clone());
        drop(state);
        if is_new {
            tracing::warn!("{trouble}");
        }
    }

    fn works(&self) {
        if self.state.lock().trouble.take().is_some() {
            tracing::info!(name = %self.name, server = %self.place, "remote write works again");
        }
    }

    fn count_sent(&self, pieces: &[Piece]) {
        let newest_ms = pieces.iter().flatten().map(|(_, sample)| sample.at_ms).max().unwrap_or_default();
        let newest = Timestamp::from_micros(newest_ms.saturating_mul(1_000));
        let mut state = self.state.lock();
        state.counters.sent += count(pieces);
        state.newest = state.newest.max(Some(newest));
    }

    fn count_refused(&self, pieces: &[Piece], words: &str, is_repeat: bool) {
        let samples = count(pieces);
        let now = Instant::now();
        let mut state = self.state.lock();
        let State { counters, refusal_logged, repeat_logged, .. } = &mut *state;
        let (counter, logged) = if is_repeat {
            (&mut counters.repeated, repeat_logged)
        } else {
            (&mut counters.refused, refusal_logged)
        };
        *counter += samples;
        if logged.is_some_and(|at| now.duration_since(at) < REFUSAL_LOG_INTERVAL) {
            return;
        }
        *logged = Some(now);
        drop(state);
        let (name, server) = (&self.name, &self.place);
        if is_repeat {
            tracing::info!(%name, %server, samples, "samples refused that the server may have from an earlier attempt: {words}");
        } else {
            tracing::warn!(%name, %server, samples, "samples refused by the server, and dropped: {words}");
        }
    }
}

impl MetricSource for RemoteWrite {
    fn collect(&self, out: &mut Exposition) {
        let State { counters, newest, trouble, .. } = self.state.lock().clone();
        let name = ("name", self.name.as_str());
        let samples = out.family(
            "kwapi_remote_write_samples",
            Kind::Counter,
            "Samples, each a power and an energy, by what became of them.",
        );
        for (result, count) in [
            ("sent", counters.sent),
            ("refused", counters.refused),
            ("repeated", counters.repeated),
            ("same_stamp", counters.same_stamp),
        ] {
            samples.count(&[name, ("result", result)], count);
        }
        for (family, help, count) in [
            ("kwapi_remote_write_requests", "Requests to the remote write server.", counters.requests),
            (
                "kwapi_remote_write_failures",
                "Failed requests to the remote write server, which are repeated, and failed reads of the journal.",
                counters.failures,
            ),
            (
                "kwapi_remote_write_losses",
                "Stretches of the journal that were gone before they were sent.",
                counters.losses,
            ),
        ] {
            out.family(family, Kind::Counter, help).count(&[name], count);
        }
        let up = f64::from(u8::from(trouble.is_none()));
        out.family("kwapi_remote_write_up", Kind::Gauge, "Whether the last request was answered.")
            .sample(&[name], up);
        if let Some(newest) = newest {
            out.family(
                "kwapi_remote_write_newest_timestamp_seconds",
                Kind::Gauge,
                "Stamp of the newest sample that the remote write server has taken since the start, Unix time.",
            )
            .sample(&[name], newest.seconds_f64());
        }
    }
}

fn count(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

/// What became of a request.
#[derive(Debug)]
enum Sent {
    Taken,
    /// With the server's words, and whether an attempt before may have been taken.
    Refused(String, bool),
}

#[derive(Debug)]
struct Sink {
    reader: Reader,
    journal: Journal,
    tracker: Tracker,
    batch: Batch,
    /// When the batch got its first records.
    begun: Option<Instant>,
    /// Up to where all is sent, until that is committed.
    sent: Option<Position>,
    /// When was last looked for silent probes.
    looked: Option<Instant>,
    server: RemoteWriteServer,
    told: RemoteWrite,
    clock: WallClock,
    /// Until it is sent, the server may have what a process before this one sent and did not commit.
    is_first_batch: bool,
    /// Whether the last request was refused with every piece of it: the next is not tried piece by piece.
    was_all_refused: bool,
}

impl Sink {
    fn new(
        config: &RemoteWriteConfig,
        journal: &Journal,
        gaps: Gaps,
        clock: WallClock,
    ) -> Result<Self, RemoteWriteConfigError> {
        let server = RemoteWriteServer::new(config)?;
        let need = Need::Optional { bytes_max: u64::from(config.megabytes_max) * 1_000_000 };
        // A few, once a process.
        let reader: &'static str = String::leak(format!("remote-write-{}", config.name));
        let told = RemoteWrite { name: config.name.clone(), place: server.place(), state: Arc::default() };
        Ok(Self {
            reader: journal.reader(reader, need),
            journal: journal.clone(),
            tracker: Tracker::new(config.probes.clone(), gaps),
            batch: Batch::default(),
            begun: None,
            sent: None,
            looked: None,
            server,
            told,
            clock,
            is_first_batch: true,
            was_all_refused: false,
        })
    }

    async fn work(mut self) {
        let told = self.told.clone();
        let mut pause = PAUSE_MIN;
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let read = self.read();
                (self, read)
            });
            let Ok((sink, read)) = read.await else {
                return told.fail("its thread ended; see the log");
            };
            self = sink;
            if let Err(error) = read {
                told.fail(&format!("cannot read the journal: {error}"));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
                continue;
            }
            if pause > PAUSE_MIN {
                pause = PAUSE_MIN;
                told.works();
            }
            if self.is_due() || self.batch.is_full() {
                self.send().await;
            }
        }
    }

    /// Commits what is sent, and takes into the batch what the journal has; waits for it for a moment.
    fn read(&mut self) -> io::Result<()> {
        if let Some(sent) = self.sent.take()
            && let Err(error) = self.reader.commit(sent)
        {
            // The next batch's place will do; until then a restart sends more again.
            self.told.fail(&format!("cannot write its position: {error}"));
        }
        while !self.batch.is_full() && !self.is_due() {
            match self.reader.next(NOTICE)? {
                Some(Delivery::Records(records, end)) => self.batch.add(&records, end, &mut self.tracker),
                Some(Delivery::Lost(lost)) => {
                    self.told.state.lock().counters.losses += 1;
                    tracing::warn!(name = %self.told.name, cause = ?lost.cause, "part of the journal lost before remote write had sent it");
                    self.batch.push(self.tracker.lost());
                    self.batch.end = Some(lost.to);
                }
                None => break,
            }
            self.begin();
        }
        let is_time = self.looked.is_none_or(|looked| looked.elapsed() >= BATCH_WAIT);
        if is_time && self.reader.position() >= self.journal.end() {
            self.looked = Some(Instant::now());
            self.batch.push(self.tracker.silent(self.clock.now()));
            self.begin();
        }
        Ok(())
    }

    fn begin(&mut self) {
        if self.begun.is_none() && !self.batch.is_empty() {
            self.begun = Some(Instant::now());
        }
    }

    fn is_due(&self) -> bool {
        self.begun.is_some_and(|begun| begun.elapsed() >= BATCH_WAIT)
    }

    /// Sends the batch, however long that takes.
    async fn send(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.begun = None;
        for request in requests(&batch.pieces).into_iter().chain(requests(&batch.late)) {
            self.send_request(request).await;
        }
        self.is_first_batch = false;
        self.told.state.lock().counters.same_stamp += batch.same_stamp;
        self.sent = batch.end;
    }

    /// Sends pieces together; where they are refused, one by one, as far as that can save some.
    async fn send_request(&mut self, pieces: &[Piece]) {
        let (words, is_repeat) = match self.deliver(pieces).await {
            Sent::Taken => {
                self.was_all_refused = false;
                return self.told.count_sent(pieces);
            }
            Sent::Refused(words, is_repeat) => (words, is_repeat || self.is_first_batch),
        };
        if pieces.len() == 1 || (self.was_all_refused && !is_repeat) {
            self.was_all_refused = true;
            return self.told.count_refused(pieces, &words, is_repeat);
        }
        self.was_all_refused = true;
        for piece in pieces.chunks(1) {
            match self.deliver(piece).await {
                Sent::Taken => {
                    self.was_all_refused = false;
                    self.told.count_sent(piece);
                }
                Sent::Refused(words, again) => self.told.count_refused(piece, &words, is_repeat || again),
            }
        }
    }

    /// Sends one request until there is a word on it.
    async fn deliver(&self, pieces: &[Piece]) -> Sent {
        let request = match self.server.request(&by_probe(pieces)) {
            Ok(request) => request,
            Err(error) => return Sent::Refused(error, false),
        };
        let (mut pause, mut is_repeat) = (PAUSE_MIN, false);
        loop {
            self.told.state.lock().counters.requests += 1;
            match self.server.send(request.clone()).await {
                Answer::Taken => {
                    self.told.works();
                    return Sent::Taken;
                }
                Answer::Refused(words) => {
                    self.told.works();
                    return Sent::Refused(words, is_repeat);
                }
                Answer::NotNow { cause, retry_after, may_be_taken } => {
                    is_repeat |= may_be_taken;
                    self.told.fail(&cause);
                    tokio::time::sleep(retry_after.unwrap_or(pause).max(PAUSE_SHORTEST)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
