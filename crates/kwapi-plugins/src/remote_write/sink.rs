//! Reads the journal and sends what it has, batch by batch.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Account, Gaps, ProbeId, Timestamp, WallClock};
use kwapi_history::journal::{Delivery, Journal, Need, Position, Reader};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::batch::{Batch, Piece, Tracker, by_probe, requests};
use super::progress::RemoteWrite;
use super::server::{Answer, RemoteWriteServer};
use super::{RemoteWriteConfig, RemoteWriteConfigError};

/// How long a batch waits for more.
const BATCH_WAIT: Duration = Duration::from_secs(1);
/// How long a stop may wait for the journal's reader to notice.
const NOTICE: Duration = Duration::from_millis(200);
/// How long is waited after a failure, at first and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A server that requests to be tried again at once is not.
const PAUSE_SHORTEST: Duration = Duration::from_millis(100);

/// A sink at work.
#[derive(Debug)]
pub struct RemoteWriteTask {
    /// How it is doing.
    pub remote_write: RemoteWrite,
    task: JoinHandle<()>,
}

impl RemoteWriteTask {
    /// Starts to read `journal` where the sink of this name has come to. A probe that is not received for as long as
    /// `gaps` states is silent; `accounts` are those of all probes there were before the start.
    ///
    /// # Errors
    /// With the key at fault.
    pub fn start(
        config: &RemoteWriteConfig,
        journal: &Journal,
        accounts: &[(ProbeId, Account)],
        gaps: Gaps,
        clock: WallClock,
    ) -> Result<Self, RemoteWriteConfigError> {
        let before = accounts.iter().map(|(probe, account)| (probe.clone(), account.last())).collect();
        let sink = Sink { before: Some((before, journal.end())), ..Sink::new(config, journal, gaps, clock)? };
        let remote_write = sink.remote_write.clone();
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
    /// Probes there were before the start, when each was measured last, and where the journal ended then. None, once it has been
    /// read up to there.
    before: Option<(Vec<(ProbeId, Timestamp)>, Position)>,
    batch: Batch,
    /// When the batch got its first records.
    begun: Option<Instant>,
    /// Up to where all is sent, until that is committed.
    sent: Option<Position>,
    /// When was last looked for silent probes.
    looked: Option<Instant>,
    server: RemoteWriteServer,
    remote_write: RemoteWrite,
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
        let remote_write =
            RemoteWrite { name: config.name.clone(), place: server.place(), state: Arc::default() };
        Ok(Self {
            reader: journal.reader(reader, need),
            journal: journal.clone(),
            tracker: Tracker::new(config.probes.clone(), gaps),
            before: None,
            batch: Batch::default(),
            begun: None,
            sent: None,
            looked: None,
            server,
            remote_write,
            clock,
            is_first_batch: true,
            was_all_refused: false,
        })
    }

    async fn work(mut self) {
        let remote_write = self.remote_write.clone();
        let mut pause = PAUSE_MIN;
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let read = self.read();
                (self, read)
            });
            let Ok((sink, read)) = read.await else {
                return remote_write.fail("its thread ended; see the log");
            };
            self = sink;
            if let Err(error) = read {
                remote_write.fail(&format!("cannot read the journal: {error}"));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
                continue;
            }
            if pause > PAUSE_MIN {
                pause = PAUSE_MIN;
                remote_write.works();
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
            self.remote_write.fail(&format!("cannot write its position: {error}"));
        }
        while !self.batch.is_full() && !self.is_due() {
            match self.reader.next(NOTICE)? {
                Some(Delivery::Records(records, end)) => self.batch.add(&records, end, &mut self.tracker),
                Some(Delivery::Lost(lost)) => {
                    self.remote_write.state.lock().counters.losses += 1;
                    tracing::warn!(name = %self.remote_write.name, cause = ?lost.cause, "part of the journal lost before remote write had sent it");
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
            let now = self.clock.now();
            if let Some((before, _)) = self.before.take_if(|(_, end)| self.reader.position() >= *end) {
                self.tracker.resume(before, now);
            }
            self.batch.push(self.tracker.silent(now));
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
        self.remote_write.state.lock().counters.same_stamp += batch.same_stamp;
        self.sent = batch.end;
    }

    /// Sends pieces together; where they are refused, one by one, as far as that can save some.
    async fn send_request(&mut self, pieces: &[Piece]) {
        let (words, is_repeat) = match self.deliver(pieces).await {
            Sent::Taken => {
                self.was_all_refused = false;
                return self.remote_write.count_sent(pieces);
            }
            Sent::Refused(words, is_repeat) => (words, is_repeat || self.is_first_batch),
        };
        if pieces.len() == 1 || (self.was_all_refused && !is_repeat) {
            self.was_all_refused = true;
            return self.remote_write.count_refused(pieces, &words, is_repeat);
        }
        self.was_all_refused = true;
        for piece in pieces.chunks(1) {
            match self.deliver(piece).await {
                Sent::Taken => {
                    self.was_all_refused = false;
                    self.remote_write.count_sent(piece);
                }
                Sent::Refused(words, again) => {
                    self.remote_write.count_refused(piece, &words, is_repeat || again);
                }
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
            self.remote_write.state.lock().counters.requests += 1;
            match self.server.send(request.clone()).await {
                Answer::Taken => {
                    self.remote_write.works();
                    return Sent::Taken;
                }
                Answer::Refused(words) => {
                    self.remote_write.works();
                    return Sent::Refused(words, is_repeat);
                }
                Answer::NotNow { cause, retry_after, may_be_taken } => {
                    is_repeat |= may_be_taken;
                    self.remote_write.fail(&cause);
                    tokio::time::sleep(retry_after.unwrap_or(pause).max(PAUSE_SHORTEST)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
