//! A world of a site, a server that loses what it has confirmed, and consumers that are killed: whatever happens, each
//! consumer comes to have each message once, in order, by itself or in batches.

use bytes::Bytes;
use kwapi_core::{Timestamp, WallClock};
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::batching::Run;
use super::*;
use crate::key::Key;
use crate::spool::{SpoolConfig, SpoolWriter};
use crate::transport::nats::Outgoing;
use crate::transport::nats::batch::Contents;
use crate::transport::nats::inlet::sites::{Judgement, SitePositions};
use crate::transport::nats::position::SignedPosition;

const NAMES: [&str; 2] = ["centre", "spare"];
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// A message at the server.
#[derive(Clone, Debug)]
struct Stored {
    subject: String,
    header: String,
    payload: Bytes,
}

/// A history: what is in its journal, and what is under way to it.
struct History {
    name: &'static str,
    sites: SitePositions,
    /// As in its file.
    file: Vec<u8>,
    next_token: u64,
    /// What it received and has not acknowledged: place in the stream, token, message.
    open: Vec<(usize, u64, u64)>,
    journal: Vec<u64>,
    /// The next message of the stream, and the first that is not acknowledged.
    next: usize,
    floor: usize,
}

struct World {
    folder: TempDir,
    writer: Option<SpoolWriter>,
    keys: PositionKeys,
    listed: ListedConsumers,
    progress: Progress,
    noted: (Confirmed, Vec<Listed>),
    server: Vec<Stored>,
    /// What the server has on its disk.
    synced: usize,
    histories: Vec<History>,
    published: u64,
    reported: u64,
}

impl History {
    fn new(name: &'static str) -> Self {
        let (sites, file) = (SitePositions::new(name.to_owned(), true), Vec::new());
        let (open, journal) = (Vec::new(), Vec::new());
        Self { name, sites, file, next_token: 0, open, journal, next: 0, floor: 0 }
    }

    /// Killed and started again: what was under way is lost.
    fn restart(&mut self) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("positions");
        std::fs::write(&file, &self.file).unwrap();
        self.sites = SitePositions::new(self.name.to_owned(), true);
        if !self.file.is_empty() {
            self.sites.read(&file);
        }
        self.open.clear();
        self.next = self.floor;
    }

    fn take(&mut self, server: &[Stored], keys: &PositionKeys, count: usize) {
        for _ in 0..count {
            let Some(stored) = server.get(self.next) else { return };
            let place = self.next;
            self.next += 1;
            let Contents { topic, is_batch, measurements } =
                Contents::read("k", &stored.subject, &stored.payload).unwrap();
            let count = measurements.len() as u64;
            let placed = Placed { topic: &topic.unwrap(), payload: &stored.payload, is_batch, count };
            let signed = SentPosition::read(&stored.header, keys, placed).unwrap();
            for (at, (topic, payload)) in (0..count).zip(measurements) {
                let token = self.next_token;
                self.next_token += 1;
                let sent = signed.sent.before_last(count - 1 - at, at == 0);
                let signed = SignedPosition { sent, ..signed.clone() };
                if self.sites.judge(&signed, token, false, Duration::ZERO, NOW) == Judgement::Take {
                    let message = String::from_utf8(payload.to_vec()).unwrap().parse().unwrap();
                    assert_eq!(topic, topic_of(message));
                    self.open.push((place, token, message));
                }
            }
        }
    }

    /// The stream ends after `left` messages: what is acknowledged of those behind it moves nothing.
    fn lose(&mut self, left: usize) {
        (self.floor, self.next) = (self.floor.min(left), self.next.min(left));
        self.open.iter_mut().for_each(|(place, ..)| *place = (*place).min(left));
    }

    /// The journal is forced to the disk, with the first so many of what is under way: that may end within a batch.
    fn sync(&mut self, count: usize) {
        for (_, token, message) in self.open.drain(..count.min(self.open.len())) {
            // What comes again after a restart is known to the account, which stands after all it has seen.
            let newest = self.journal.last().copied();
            if newest.is_none_or(|newest| message > newest) {
                self.journal.push(message);
            } else {
                assert!(self.journal.contains(&message), "{message} came after {newest:?}");
            }
            self.sites.settle(&(token..=token), true);
        }
        self.floor = self.open.first().map_or(self.next, |(place, ..)| *place);
    }
}

/// Several of one probe, several of one site, and one that has nothing in common with them.
fn topic_of(message: u64) -> &'static str {
    match message / 3 % 5 {
        0 => "lyon.a.",
        1 => "lyon.b.",
        2 | 3 => "lyon.r.c.",
        _ => "nice.a.",
    }
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = PositionKeys::new(&[Key::new("lyon", "a secret of Lyon's")]).unwrap();
        let writer = SpoolWriter::start(config(&folder), 1).unwrap();
        let listed = ListedConsumers::new(writer.spool().id().to_owned(), &NAMES.map(str::to_owned));
        let mut world = Self {
            folder,
            writer: Some(writer),
            keys,
            listed,
            progress: Progress::default(),
            noted: (Confirmed::default(), Vec::new()),
            server: Vec::new(),
            synced: 0,
            histories: NAMES.map(History::new).into(),
            published: 0,
            reported: NOW.micros(),
        };
        // A history is there before its site, so that it has a place in the stream.
        world.connect();
        world
    }

    fn spool(&self) -> Spool {
        self.writer.as_ref().unwrap().spool().clone()
    }

    fn publish(&mut self, count: u64) {
        let message =
            |number: u64| Outgoing::from_parts(topic_of(number).to_owned(), Bytes::from(number.to_string()));
        let spool = self.spool();
        spool.extend((self.published..self.published + count).map(message));
        while spool.readable() < spool.newest() {
            std::thread::yield_now();
        }
        self.published += count;
    }

    /// The connection of the site ends, and is made again.
    fn connect(&mut self) {
        let durable = self.listed.durable();
        let has_confirmed = self.progress.confirmed_beyond(durable).is_some_and(|confirmed| {
            let at = usize::try_from(confirmed.sequence).unwrap().checked_sub(1);
            let stored = at.and_then(|at| self.server.get(at));
            let place = format!("{} {} ", self.spool().id(), confirmed.number);
            stored.is_some_and(|stored| stored.header.starts_with(&place))
        });
        self.progress.resume(durable, has_confirmed);
    }

    /// A window is sent, in batches of `batch_max`. The server confirms so many of its messages; of the others none is stored
    /// where it refuses them, which the site goes back for, or all are, where its answer is lost with the connection.
    fn send(&mut self, count: usize, batch_max: usize, confirmed: usize, is_refused: bool) {
        let spool = self.spool();
        let spooled = spool.read(&mut self.progress.cursor, count);
        let names = NAMES.join(",");
        let window: Vec<Place> = spooled
            .into_iter()
            .map(|spooled| (spooled.clone(), self.progress.place(spooled.number).unwrap()))
            .collect();
        let of_window = window.iter().map(|(spooled, _)| (spooled.number, &spooled.message));
        let runs: Vec<Run> =
            Batching::new(batch_max).runs(of_window, &self.keys.probes(), 10_000, Instant::now());
        let (mut unconfirmed, mut rest) = (None, window.as_slice());
        for (at, run) in runs.iter().enumerate() {
            let (places, after) = rest.split_at(run.count);
            rest = after;
            let (number, before) = (places.last().unwrap().0.number, places[0].1);
            let sent = SentPosition {
                spool: spool.id(),
                number,
                before,
                pass: self.progress.pass,
                consumers: &names,
            };
            let payload = run.payload(places.iter().map(|(spooled, _)| &spooled.message));
            let (is_batch, count) = (run.is_batch(), run.count as u64);
            let placed = Placed { topic: &run.begin, payload: &payload, is_batch, count };
            let header = sent.write(&self.keys, NOW, placed).unwrap();
            // A server may refuse one and take the next.
            if !(is_refused && at == confirmed) {
                self.server.push(Stored { subject: run.subject("k"), header, payload });
            }
            if at >= confirmed {
                unconfirmed = unconfirmed.or(Some(before));
            } else if unconfirmed.is_none() {
                self.progress.confirm(number, self.server.len() as u64);
            }
        }
        match unconfirmed {
            Some(before) if is_refused => self.progress.go_to(before),
            Some(_) => self.connect(),
            None => {}
        }
    }

    /// Killed and started again; what it noted may be outdated.
    fn restart_site(&mut self) {
        drop(self.writer.take());
        let writer = SpoolWriter::start(config(&self.folder), 1).unwrap();
        self.listed = ListedConsumers::new(writer.spool().id().to_owned(), &NAMES.map(str::to_owned));
        self.listed.remember(&self.noted.1);
        writer.spool().release(0, self.listed.durable());
        self.writer = Some(writer);
        let (confirmed, pass) = (self.noted.0, self.progress.pass + 1_000);
        self.progress = Progress { pass, confirmed, ..Progress::default() };
        self.connect();
    }

    /// The server's machine loses power: what it had not on its disk is gone, and all connections end.
    fn cut(&mut self) {
        self.server.truncate(self.synced);
        for history in &mut self.histories {
            history.lose(self.synced);
            history.next = history.floor;
        }
        self.connect();
    }

    /// The newest messages are lost at the server, and no connection ends.
    fn lose(&mut self, count: usize) {
        let left = self.server.len().saturating_sub(count);
        self.server.truncate(left);
        self.synced = self.synced.min(left);
        self.histories.iter_mut().for_each(|history| history.lose(left));
    }

    /// Every consumer reports its position; some of it may be lost.
    fn report(&mut self, is_received: bool) {
        for at in 0..self.histories.len() {
            self.reported += 1;
            let history = &mut self.histories[at];
            history.file = history.sites.stored();
            for (standing, key) in history.sites.standings(Timestamp::from_micros(self.reported)) {
                let text = standing.write(&self.keys, &key).unwrap();
                let (pass, newest) = (self.progress.pass, self.spool().newest());
                let now = Timestamp::from_micros(self.reported);
                if !is_received {
                    continue;
                }
                let received = self.listed.receive(text.as_bytes(), &self.keys, now, pass, newest).unwrap();
                if let Some(number) = received {
                    self.progress.go_to(number);
                }
                self.spool().release(0, self.listed.durable());
            }
        }
    }

    fn turn(&mut self, what: u8, count: u8) {
        let count = usize::from(count) + 1;
        match what {
            0 | 1 => self.publish(count as u64),
            2 => self.send(count, 1, usize::MAX, false),
            3 => self.send(count, 1 + count % 7, usize::MAX, false),
            4 => self.send(count, 1 + count % 3, count / 5, count % 2 == 0),
            5 => self.synced = self.server.len(),
            6 => self.cut(),
            7 => self.restart_site(),
            8 => self.noted = (self.progress.confirmed, self.listed.all().to_vec()),
            9 => self.report(true),
            10 => self.report(false),
            11 => self.histories[count % 2].restart(),
            12 => self.histories[count % 2].sync(count),
            13 => self.lose(count),
            _ => {
                let (server, keys) = (self.server.clone(), &self.keys);
                self.histories[count % 2].take(&server, keys, count);
            }
        }
    }

    /// All works from now on, and the site continues publishing.
    fn finish(&mut self) {
        self.connect();
        self.publish(1);
        for _ in 0..40 {
            self.send(1_000, 100, usize::MAX, false);
            for history in &mut self.histories {
                history.take(&self.server, &self.keys, usize::MAX >> 1);
                history.sync(usize::MAX);
            }
            self.report(true);
        }
    }
}

fn config(folder: &TempDir) -> SpoolConfig {
    SpoolConfig {
        directory: folder.path().to_owned(),
        bytes_max: 1 << 20,
        age_max: Duration::from_secs(86_400),
        clock: WallClock::new(|| NOW),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn each_consumer_comes_to_have_each_message_once_and_in_order(
        turns in prop::collection::vec((0_u8..18, any::<u8>()), 0..120),
    ) {
        let mut world = World::new();
        // Each has received something of the site and noted that, before anything goes wrong: to one that has not, it
        // is new.
        world.publish(1);
        world.send(1, 1, 1, false);
        for history in &mut world.histories {
            history.take(&world.server, &world.keys, 1);
            history.sync(1);
        }
        world.report(true);
        for (what, count) in turns {
            world.turn(what, count);
        }
        world.finish();
        for history in &world.histories {
            prop_assert_eq!(&history.journal, &(0..world.published).collect::<Vec<_>>(), "{}", history.name);
        }
    }
}
