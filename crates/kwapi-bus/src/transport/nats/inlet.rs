//! The receiving end: a thread that fetches messages of one stream, and the subscriber's side of it, which records what
//! was handed on and not acknowledged yet.
//!
//! A message may hold many measurements ([`batch`](super::batch)): here they are taken apart, each with a token of its own.
//!
//! With a consumer, each message is delivered until it is acknowledged, and none beyond what there is room for is
//! fetched. Without one it is a plain subscription: what is published is received, and what was missed is gone. Such a
//! subscription stands beside a consumer as well, to show the present while what is stored is read: it is read only
//! then.

pub(crate) mod aside;
mod fetch;
mod fetched;
mod open;
pub(super) mod sites;

use std::collections::VecDeque;
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
use super::batch::Contents;
use super::consumer::{ConsumerPlan, UNACKNOWLEDGED_MAX};
use super::link::{Link, NatsSide};
use super::position::{Placed, PositionKeys, SentPosition, SignedPosition};
use super::{run, subject};
use crate::error::BusError;
use crate::transport::wake::Waker;
use crate::transport::{Arrival, Keeping, Token};
use crate::worker::Worker;
use aside::{Aside, KeyLimits};
use fetch::{Fetcher, Reporting};
use fetched::{Fetched, FetchedReceiver, Place};
use open::Open;
use sites::{Judgement, SitePositions};

/// While no more than this waits at the server, nothing that was sent again is among it: a moment's, in batches or not.
const LAST_MESSAGES: u64 = 256;
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
    /// What sites sign their positions with, and what a consumer signs its reports of them with.
    pub(crate) keys: Arc<PositionKeys>,
    /// The directory where a consumer keeps where it stands at each site; none: it is forgotten at the end.
    pub(crate) positions: Option<PathBuf>,
    pub(crate) clocks: ProcessClocks,
}

/// A measurement that is to be taken.
#[derive(Debug)]
struct Ready {
    /// Topic and payload; `None`: of a batch that is none.
    frames: Option<(String, Bytes)>,
    token: Option<Token>,
    later: u64,
    limits: KeyLimits,
}

/// The subscriber's side.
pub(crate) struct NatsInlet {
    stream: String,
    keeps: bool,
    fetched: FetchedReceiver,
    /// What was taken out of that and not handed on yet: of one message.
    ready: VecDeque<Ready>,
    /// Dropped before the thread is joined: that ends it.
    acknowledged: mpsc::UnboundedSender<Place>,
    open: Open,
    /// Where the consumer stands at each site.
    sites: Option<Arc<Mutex<SitePositions>>>,
    /// What of the consumer was set aside.
    aside: Option<Arc<Aside>>,
    keys: Arc<PositionKeys>,
    clocks: ProcessClocks,
    link: Arc<Link>,
    /// Whether it is to be listened to.
    is_wanted: watch::Sender<bool>,
    _worker: Worker,
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
        let (sender, fetched) = fetched::channel();
        let (acknowledged, acknowledgements) = mpsc::unbounded_channel();
        let side = if is_ahead { NatsSide::Live } else { NatsSide::Subscribe };
        let link = Arc::new(Link::new(&address.endpoint, side));
        let (is_wanted, wanted) = watch::channel(true);
        let filters = subject::filters(&address.stream, &probes);
        let (stream, keeps) = (address.stream.clone(), consumer.is_some());
        // Of a cluster by its first server, so that others can be added.
        let place = address.servers.first().map(|(host, port)| format!("{host}:{port}")).unwrap_or_default();
        let file = |kind: &str| {
            let (folder, name) = positions.as_ref().zip(consumer.as_ref())?;
            Some(folder.join(format!("{name}@{place}:{stream}.{kind}")))
        };
        let aside = consumer.as_ref().map(|_| {
            let aside = Aside::new(keys.prints(), file("aside"), link.clone());
            Arc::new(aside)
        });
        let file = file("positions");
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
        fetcher.aside.clone_from(&aside);
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
            ready: VecDeque::new(),
            acknowledged,
            open,
            sites,
            aside,
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

    /// What of its consumer was set aside.
    pub(crate) fn aside(&self) -> Option<Arc<Aside>> {
        self.aside.clone()
    }

    /// How it is doing.
    pub(crate) fn link(&self) -> Arc<Link> {
        self.link.clone()
    }

    /// Whether there is something to take.
    pub(crate) fn has_some(&self) -> bool {
        let is_empty = self.ready.is_empty() && self.fetched.is_empty();
        !is_empty && !self.is_full()
    }

    /// Whether no more is handed on before some of it is acknowledged.
    fn is_full(&self) -> bool {
        self.open.length() >= UNACKNOWLEDGED_MAX
    }

    /// See [`crate::transport::Inlet::take`].
    pub(crate) fn take(&mut self, count: usize, mut each: impl FnMut(Arrival<'_>)) {
        for _ in 0..count {
            if self.is_full() {
                return;
            }
            if self.ready.is_empty() {
                let Some(fetched) = self.fetched.try_recv() else { return };
                self.take_apart(fetched);
            }
            let Some(Ready { frames, token, later, limits }) = self.ready.pop_front() else { continue };
            let (is_live, taken, withheld) =
                (!self.keeps, limits.taken.as_deref(), limits.withheld.as_deref());
            let arrival = Arrival { frames: &[], is_live, token, later, taken, withheld };
            match &frames {
                Some((topic, payload)) => each(Arrival { frames: &[topic.as_bytes(), payload], ..arrival }),
                // For the verification to refuse.
                None => each(arrival),
            }
        }
    }

    /// Takes a message apart. What is under way to the journal already, and what is not the next of its site, goes no further.
    fn take_apart(&mut self, fetched: Fetched) {
        let Fetched { subject, payload, place, position, later } = fetched;
        let contents = Contents::read(&self.stream, &subject, &payload);
        let count = contents.as_ref().map_or(1, |contents| contents.measurements.len() as u64);
        let number = place.as_ref().map(|place| place.sequence.1);
        let limits = self.aside.as_ref().zip(number).map(|(aside, number)| aside.limits(number));
        let limits = limits.unwrap_or_default();
        let first = match place.map(|place| self.open.begin(place, count)) {
            None => None,
            Some(Some(token)) => Some(token),
            Some(None) => return,
        };
        let Ok(contents) = contents else {
            self.ready.push_back(Ready { frames: None, token: first, later, limits });
            return;
        };
        let keys = self.keys.clone();
        let signed = self.signed(position.as_deref(), &contents, &payload, &keys);
        for (place, frames) in (0_u64..).zip(contents.measurements) {
            let after = count - 1 - place;
            let (token, later) = (first.map(|first| first + place), later.saturating_add(after));
            if let (Some(signed), Some(token)) = (&signed, token) {
                let sent = signed.sent.before_last(after, place == 0);
                let is_read_again = limits.taken.is_some();
                if !self.is_next(&SignedPosition { sent, ..signed.clone() }, token, later, is_read_again) {
                    self.acknowledge(&(token..=token));
                    continue;
                }
            }
            self.ready.push_back(Ready { frames: Some(frames), token, later, limits: limits.clone() });
        }
    }

    /// The place of a message at its site, where it has one.
    fn signed<'a>(
        &self,
        position: Option<&'a str>,
        contents: &Contents,
        payload: &[u8],
        keys: &PositionKeys,
    ) -> Option<SignedPosition<'a>> {
        let (position, topic) = position.filter(|_| self.sites.is_some()).zip(contents.topic.as_deref())?;
        let count = contents.measurements.len() as u64;
        let placed = Placed { topic, payload, is_batch: contents.is_batch, count };
        let signed = SentPosition::read(position, keys, placed);
        if signed.is_none() {
            // Each measurement has a signature of its own.
            self.link.misplaced.fetch_add(count, Ordering::Relaxed);
        }
        signed
    }

    /// Whether a measurement is the next of its site, as far as that can be determined. What is read again has had its place,
    /// whether it was verified then or not: which has is decided by the key.
    fn is_next(&self, signed: &SignedPosition<'_>, token: Token, later: u64, is_read_again: bool) -> bool {
        let Some(sites) = &self.sites else { return true };
        let (now, wall) = (self.clocks.monotonic.now(), self.clocks.wall.now());
        match sites.lock().judge(signed, token, later <= LAST_MESSAGES, now, wall) {
            Judgement::Take => return true,
            Judgement::Known if is_read_again => return true,
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
        let fetched = (self.fetched.length() + self.ready.len()) as u64;
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
        for place in self.open.end(tokens, true) {
            // The thread has ended: it will be delivered again.
            _ = self.acknowledged.send(place);
        }
    }

    /// See [`crate::transport::Inlet::set_aside`].
    pub(crate) fn set_aside(&mut self, token: Token) {
        if let Some((aside, number)) = self.aside.as_ref().zip(self.open.number(token)) {
            aside.note(number, self.clocks.wall.now());
        }
        self.acknowledge(&(token..=token));
    }

    /// See [`crate::transport::Inlet::note_verified`].
    pub(crate) fn note_verified(&self, key: &str) {
        if let Some(aside) = &self.aside {
            aside.note_verified(key);
        }
    }

    /// See [`crate::transport::Inlet::note_known`].
    pub(crate) fn note_known(&self, count: u64) {
        self.link.known.fetch_add(count, Ordering::Relaxed);
    }

    /// See [`crate::transport::Inlet::may_take_keys`].
    pub(crate) fn may_take_keys(&self) -> bool {
        self.aside.as_ref().is_none_or(|aside| aside.may_take_keys())
    }

    /// See [`crate::transport::Inlet::release`].
    pub(crate) fn release(&mut self, tokens: &RangeInclusive<Token>) {
        self.settle(tokens, false);
        self.open.end(tokens, false);
    }

    fn settle(&self, tokens: &RangeInclusive<Token>, is_durable: bool) {
        if let Some(sites) = &self.sites {
            sites.lock().settle(tokens, is_durable);
        }
    }
}
