//! The receiving end: a thread that fetches messages of one stream, and the subscriber's side of it, which knows what was
//! handed on and not acknowledged yet.
//!
//! With a consumer, each message is brought until it is acknowledged, and none beyond what there is room for is fetched.
//! Without one it is a plain subscription: what is published is heard, and what was missed is gone. Such a one stands beside
//! a consumer as well, to show the present while what is stored is read: it is listened to only then.

mod fetch;
pub(super) mod sites;

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use kwapi_core::{Pattern, ProcessClocks, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::address::{NatsAddress, is_name};
use super::consumer::ConsumerPlan;
use super::link::{Link, NatsSide};
use super::position::{PositionKeys, SentPosition};
use super::{run, subject};
use crate::error::BusError;
use crate::transport::wake::Waker;
use crate::transport::{Arrival, Keeping, Token};
use crate::worker::Worker;
use fetch::{Fetcher, Reporting};
use sites::{Judgement, SitePositions};

/// Messages that were fetched and the subscriber has not taken yet.
const FETCHED_MAX: usize = 4_096;
/// While no more than this waits at the server, nothing that was sent again is among it.
const LAST_MESSAGES: u64 = 4_096;
/// At a stop, how long the last acknowledgements may take to be sent.
const STOP_GRACE: Duration = Duration::from_millis(300);

/// What is read from where.
#[derive(Debug)]
pub(crate) struct NatsInletConfig {
    pub(crate) address: NatsAddress,
    /// Which probes.
    pub(crate) probes: Vec<Pattern>,
    /// The consumer; none: live only.
    pub(crate) consumer: Option<String>,
    /// Whether it is live only since a consumer stands beside it.
    pub(crate) is_ahead: bool,
    /// What sites sign their positions with, and what a consumer says of them is signed with.
    pub(crate) keys: Arc<PositionKeys>,
    /// The directory where a consumer keeps where it stands at each site; none: it is forgotten at the end.
    pub(crate) positions: Option<PathBuf>,
    pub(crate) clocks: ProcessClocks,
}

/// A message as it was fetched.
#[derive(Debug)]
struct Fetched {
    subject: String,
    payload: Bytes,
    place: Option<Place>,
    /// Its place at its site, as its header says.
    position: Option<String>,
    /// How many more wait for the consumer.
    later: u64,
}

/// Where a message stands in a stream, and where to acknowledge it.
#[derive(Clone, Debug)]
struct Place {
    sequence: Sequence,
    /// The connection that it came on: no other acknowledges it. A server that has lost its newest messages gives their numbers
    /// to others.
    connection: u64,
    reply: String,
}

/// What tells a message of a stream from others: which stream of this name, as one can be deleted and made again, the number
/// there, and the end of its payload, which is of its signature.
type Sequence = (u64, u64, [u8; TAIL_BYTES]);

/// Bytes of a payload that are looked at.
const TAIL_BYTES: usize = 24;

/// The last bytes of a payload.
fn tail(payload: &[u8]) -> [u8; TAIL_BYTES] {
    payload.last_chunk().copied().unwrap_or_else(|| {
        let mut tail = [0; TAIL_BYTES];
        tail.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
        tail
    })
}

/// The subscriber's side.
pub(crate) struct NatsInlet {
    stream: String,
    keeps: bool,
    fetched: mpsc::Receiver<Fetched>,
    /// Dropped before the thread is waited for: that tells it to end.
    acknowledged: mpsc::UnboundedSender<Place>,
    open: Open,
    /// Where the consumer stands at each site.
    sites: Option<Arc<Mutex<SitePositions>>>,
    keys: Arc<PositionKeys>,
    clocks: ProcessClocks,
    link: Arc<Link>,
    /// Whether it is to be listened to.
    is_wanted: watch::Sender<bool>,
    _worker: Worker,
}

/// What was handed on and not acknowledged yet: at most what the server brings unacknowledged.
#[derive(Debug, Default)]
struct Open {
    next: Token,
    places: BTreeMap<Token, Place>,
    tokens: HashMap<Sequence, Token>,
}

impl NatsInlet {
    /// Starts the thread; `waker` is called when there is something to take.
    ///
    /// # Errors
    /// When the consumer's name is none, the authority's file cannot be read, or the system gives no thread.
    pub(crate) fn start(config: NatsInletConfig, waker: Waker) -> Result<Self, BusError> {
        let NatsInletConfig { address, probes, consumer, is_ahead, keys, positions, clocks } = config;
        if consumer.as_ref().is_some_and(|name| !is_name(name)) {
            let reason = "`consumer` must be 1 to 64 letters, digits, - or _";
            return Err(BusError::config(&address.endpoint, reason));
        }
        address.check_files()?;
        let (sender, fetched) = mpsc::channel(FETCHED_MAX);
        let (acknowledged, acknowledgements) = mpsc::unbounded_channel();
        let side = if is_ahead { NatsSide::Live } else { NatsSide::Subscribe };
        let link = Arc::new(Link::new(&address.endpoint, side));
        let (is_wanted, wanted) = watch::channel(true);
        let filters = subject::filters(&address.stream, &probes);
        let (stream, keeps) = (address.stream.clone(), consumer.is_some());
        // Of a cluster by its first server, so that others can be added.
        let place = address.servers.first().map(|(host, port)| format!("{host}:{port}")).unwrap_or_default();
        let file = |name: &String| format!("{name}@{place}:{stream}.positions");
        let file = positions.zip(consumer.as_ref()).map(|(folder, name)| folder.join(file(name)));
        let takes_all = probes.contains(&Pattern::All);
        let sites = consumer.as_ref().map(|name| {
            let mut sites = SitePositions::new(name.clone(), takes_all);
            file.iter().for_each(|file| sites.read(file));
            Arc::new(Mutex::new(sites))
        });
        let reporting = sites.clone().map(|sites| Reporting {
            sites,
            file,
            keys: keys.clone(),
            clock: clocks.wall.clone(),
            stored: Vec::new(),
        });
        let plan =
            consumer.map(|name| ConsumerPlan { stream: stream.clone(), name, filters: filters.clone() });
        let mut fetcher =
            Fetcher::new(address, filters, sender, acknowledgements, waker, link.clone(), reporting);
        let worker = Worker::start("nats-subscriber", move |stop| {
            run(stop, STOP_GRACE, async move {
                match plan {
                    Some(plan) => fetcher.fetch_stored(&plan).await,
                    None => fetcher.fetch_live(wanted, is_ahead).await,
                }
            });
        })?;
        let open = Open::default();
        Ok(Self {
            stream,
            keeps,
            fetched,
            acknowledged,
            open,
            sites,
            keys,
            clocks,
            link,
            is_wanted,
            _worker: worker,
        })
    }

    /// What sites sign their positions with.
    pub(crate) fn keys(&self) -> Arc<PositionKeys> {
        self.keys.clone()
    }

    /// How it is doing.
    pub(crate) fn link(&self) -> Arc<Link> {
        self.link.clone()
    }

    /// Whether there is something to take.
    pub(crate) fn has_some(&self) -> bool {
        !self.fetched.is_empty()
    }

    /// See [`crate::transport::Inlet::take`].
    pub(crate) fn take(&mut self, count: usize, mut each: impl FnMut(Arrival<'_>)) {
        for _ in 0..count {
            let Ok(fetched) = self.fetched.try_recv() else { return };
            let token = match fetched.place.clone().map(|place| self.open.begin(place)) {
                None => None,
                Some(Some(token)) => Some(token),
                // It is under way to the journal already.
                Some(None) => continue,
            };
            let topic = subject::topic(&self.stream, &fetched.subject);
            if let (Some(token), Some(topic)) = (token, &topic)
                && !self.is_next(token, topic, &fetched)
            {
                self.acknowledge(&(token..=token));
                continue;
            }
            // Of no probe: for the verification to refuse.
            let topic = topic.as_deref().unwrap_or(&fetched.subject).as_bytes();
            let (is_live, later) = (!self.keeps, fetched.later);
            each(Arrival { frames: &[topic, &fetched.payload], is_live, token, later });
        }
    }

    /// Whether a message is the next of its site, as far as that can be told.
    fn is_next(&self, token: Token, topic: &str, fetched: &Fetched) -> bool {
        let (Some(sites), Some(position)) = (&self.sites, &fetched.position) else { return true };
        let Some(signed) = SentPosition::read(position, &self.keys, topic, &fetched.payload) else {
            // The message has a signature of its own.
            self.link.misplaced.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let (now, wall) = (self.clocks.monotonic.now(), self.clocks.wall.now());
        match sites.lock().judge(&signed, token, fetched.later <= LAST_MESSAGES, now, wall) {
            Judgement::Take => return true,
            Judgement::Known => self.link.known.fetch_add(1, Ordering::Relaxed),
            Judgement::Early => self.link.early.fetch_add(1, Ordering::Relaxed),
        };
        false
    }

    /// See [`crate::transport::Inlet::keeps`].
    pub(crate) fn keeps(&self) -> bool {
        self.keeps
    }

    /// See [`crate::transport::Inlet::keeping`].
    pub(crate) fn keeping(&self) -> Keeping {
        let waiting = self.link.waiting.load(Ordering::Relaxed);
        let fetched = self.fetched.len() as u64;
        let lacking_for = self.link.lacking_for(Instant::now());
        Keeping { works: self.link.is_working(), waiting, fetched, lacking_for }
    }

    /// See [`crate::transport::Inlet::note_read`].
    pub(crate) fn note_read(&self, until: Timestamp) {
        self.link.note_read(until);
    }

    /// See [`crate::transport::Inlet::listen`].
    pub(crate) fn listen(&self, is_wanted: bool) {
        self.is_wanted.send_if_modified(|now| std::mem::replace(now, is_wanted) != is_wanted);
    }

    /// See [`crate::transport::Inlet::note_dropped`].
    pub(crate) fn note_dropped(&self, count: u64) {
        self.link.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// See [`crate::transport::Inlet::acknowledge`].
    pub(crate) fn acknowledge(&mut self, tokens: &RangeInclusive<Token>) {
        self.settle(tokens, true);
        for place in self.open.end(tokens) {
            // The thread has ended: it will be brought again.
            _ = self.acknowledged.send(place);
        }
    }

    /// See [`crate::transport::Inlet::release`].
    pub(crate) fn release(&mut self, tokens: &RangeInclusive<Token>) {
        self.settle(tokens, false);
        self.open.end(tokens);
    }

    fn settle(&self, tokens: &RangeInclusive<Token>, is_durable: bool) {
        if let Some(sites) = &self.sites {
            sites.lock().settle(tokens, is_durable);
        }
    }
}

impl Open {
    /// The token of a message; `None` where it is under way already, and is acknowledged as it came last.
    fn begin(&mut self, place: Place) -> Option<Token> {
        if let Some(known) = self.tokens.get(&place.sequence).and_then(|token| self.places.get_mut(token)) {
            *known = place;
            return None;
        }
        let token = self.next;
        self.next += 1;
        self.tokens.insert(place.sequence, token);
        self.places.insert(token, place);
        Some(token)
    }

    fn end(&mut self, tokens: &RangeInclusive<Token>) -> Vec<Place> {
        let ended: Vec<_> = self.places.range(tokens.clone()).map(|(token, _)| *token).collect();
        let places = ended.into_iter().filter_map(|token| self.places.remove(&token));
        places.inspect(|place| _ = self.tokens.remove(&place.sequence)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(stream: u64, number: u64, reply: &str) -> Place {
        Place { sequence: (stream, number, tail(b"{}")), connection: 1, reply: reply.into() }
    }

    fn replies(places: &[Place]) -> Vec<&str> {
        places.iter().map(|place| place.reply.as_str()).collect()
    }

    #[test]
    fn a_message_under_way_is_handed_on_once_and_acknowledged_as_it_came_last() {
        let mut open = Open::default();
        assert_eq!(open.begin(place(1, 7, "first")), Some(0));
        assert_eq!(open.begin(place(1, 8, "other")), Some(1));
        assert_eq!(open.begin(place(1, 7, "again")), None);
        assert_eq!(replies(&open.end(&(0..=0))), ["again"]);
        assert_eq!(replies(&open.end(&(0..=0))), [""; 0]);
        assert_eq!(open.begin(place(1, 7, "later")), Some(2), "no longer under way");
        assert_eq!(replies(&open.end(&(0..=9))), ["other", "later"]);
        assert!(open.tokens.is_empty() && open.places.is_empty());
    }

    #[test]
    fn another_message_that_was_given_the_number_of_a_lost_one_is_handed_on() {
        let mut open = Open::default();
        assert_eq!(open.begin(place(1, 7, "before")), Some(0));
        let other = Place { sequence: (1, 7, tail(b"another")), ..place(1, 7, "after") };
        assert_eq!(open.begin(other), Some(1));
        assert_eq!(tail(&[b'x'; 100]), [b'x'; TAIL_BYTES]);
    }

    #[test]
    fn the_numbers_of_another_stream_of_the_same_name_are_others() {
        let mut open = Open::default();
        assert_eq!(open.begin(place(1, 7, "before")), Some(0));
        assert_eq!(open.begin(place(2, 7, "after")), Some(1));
    }
}
