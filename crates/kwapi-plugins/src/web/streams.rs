//! The streams of open pages: what their probes measure, once a second, as Server-Sent Events.
//!
//! Streams that show the same share a view. One task looks at all views that somebody watches, encodes each once, and leaves
//! the newest there: a client that takes its time skips what lies between. Where nobody watches there is no task. A stream is
//! judged again while it lasts: it ends with the login, the scope or the configuration that it began with (ADR 0043).

mod answer;
mod nodes;
mod total;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::Site;
use crate::metrics::{Exposition, MetricSource};
use nodes::Nodes;
use total::Totals;
use view::{StreamFrame, StreamView};

pub(super) use answer::answer;
pub(super) use nodes::StreamNode;

/// How often views are looked at.
const TICK: Duration = Duration::from_secs(1);
/// A view that was looked at so lately has nothing new.
const SAME_INSTANT: Duration = Duration::from_millis(1);
/// Views at a time, watched or lately watched. Full: the one left for longest is dropped, else the new one is refused.
const VIEWS_MAX: usize = 512;
/// What a view showed last is kept for so long when the last client has left, so that who comes back receives what has
/// changed.
const KEPT: Duration = Duration::from_secs(60);
/// Of all streams, one caller may have one in so many.
const SHARE_OF_CALLER: usize = 3;

/// The streams of one server's pages: their bounds, and what is counted of them. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct LiveStreams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    streams_max: usize,
    open: Mutex<Open>,
    joined: Notify,
    encoded: AtomicU64,
    skipped: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    streams: usize,
    of_callers: HashMap<Arc<str>, usize>,
    views: HashMap<StreamView, KeptView>,
    has_task: bool,
}

/// A view, and where its newest is put.
type WatchedView = (StreamView, watch::Sender<Option<Arc<StreamFrame>>>);

/// A view and the newest of it.
#[derive(Debug)]
struct KeptView {
    frames: watch::Sender<Option<Arc<StreamFrame>>>,
    /// When its last client left, as far as somebody has looked.
    left: Option<Instant>,
}

/// One stream's place among those that may be; free again when dropped.
#[derive(Debug)]
struct StreamSeat {
    streams: LiveStreams,
    caller: Option<Arc<str>>,
}

/// Why there is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoStream {
    /// There are as many as may be, or as many views.
    Full,
    /// This caller has as many as one may have.
    FullOfCaller,
}

impl Default for LiveStreams {
    fn default() -> Self {
        Self::new(768)
    }
}

impl LiveStreams {
    /// At most `streams_max` streams at a time, a third of them of one login. Full: the new one is refused and counted, and its
    /// page renews itself as without a stream.
    pub fn new(streams_max: usize) -> Self {
        Self(Arc::new(Inner {
            streams_max,
            open: Mutex::default(),
            joined: Notify::new(),
            encoded: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// Takes a place for a stream of `caller`, where it is known who that is.
    fn take(&self, caller: Option<Arc<str>>) -> Result<StreamSeat, NoStream> {
        let mut open = self.0.open.lock();
        let of_caller = caller.as_ref().and_then(|caller| open.of_callers.get(caller)).copied();
        let of_caller_max = (self.0.streams_max / SHARE_OF_CALLER).max(1);
        if open.streams >= self.0.streams_max || of_caller.is_some_and(|count| count >= of_caller_max) {
            drop(open);
            self.refuse();
            let is_callers = of_caller.is_some_and(|count| count >= of_caller_max);
            return Err(if is_callers { NoStream::FullOfCaller } else { NoStream::Full });
        }
        open.streams += 1;
        if let Some(caller) = &caller {
            *open.of_callers.entry(Arc::clone(caller)).or_default() += 1;
        }
        drop(open);
        Ok(StreamSeat { streams: self.clone(), caller })
    }

    fn refuse(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn skipped(&self, frames: u64) {
        self.0.skipped.fetch_add(frames, Ordering::Relaxed);
    }

    /// Joins those who watch `view`, and has it looked at unless somebody does already.
    fn join(
        &self,
        site: &Arc<Site>,
        view: StreamView,
    ) -> Result<watch::Receiver<Option<Arc<StreamFrame>>>, NoStream> {
        let mut open = self.0.open.lock();
        open.drop_left(Instant::now());
        if open.views.len() >= VIEWS_MAX && !open.views.contains_key(&view) && !open.make_room() {
            drop(open);
            self.refuse();
            return Err(NoStream::Full);
        }
        let new = || KeptView { frames: watch::Sender::new(None), left: None };
        let kept = open.views.entry(view).or_insert_with(new);
        kept.left = None;
        let frames = kept.frames.subscribe();
        if !open.has_task {
            open.has_task = true;
            tokio::spawn(look(self.clone(), Arc::clone(site)));
        }
        drop(open);
        self.0.joined.notify_one();
        Ok(frames)
    }

    /// The views that somebody watches. With none, the task that queries ends.
    fn watched(&self) -> Vec<WatchedView> {
        let mut open = self.0.open.lock();
        open.drop_left(Instant::now());
        let watched = open.views.iter().filter(|(_, kept)| kept.frames.receiver_count() > 0);
        let watched: Vec<_> = watched.map(|(view, kept)| (view.clone(), kept.frames.clone())).collect();
        open.has_task = !watched.is_empty();
        watched
    }

    /// Encodes the views that are due, each once.
    fn look_at(
        &self,
        watched: Vec<WatchedView>,
        is_tick: bool,
        (totals, nodes): &mut (Totals, Nodes),
        site: &Site,
    ) {
        let now = site.clock.now();
        totals.begin(site, watched.iter().filter_map(|(view, _)| view.total.as_ref()));
        nodes.begin(site, watched.iter().filter_map(|(view, _)| view.nodes.as_ref()));
        for (view, frames) in watched {
            let before = frames.borrow().clone();
            // Who has just come is served with what others are shown.
            let age = if is_tick { SAME_INSTANT } else { TICK };
            if before.as_ref().is_some_and(|before| before.is_of(now, age)) {
                continue;
            }
            let frame = StreamFrame::new(&view, before.as_deref(), (totals, nodes), site, now);
            self.0.encoded.fetch_add(1, Ordering::Relaxed);
            frames.send_replace(Some(Arc::new(frame)));
        }
    }
}

impl Open {
    /// Drops views that nobody has watched for long.
    fn drop_left(&mut self, now: Instant) {
        self.views.retain(|_, kept| {
            if kept.frames.receiver_count() > 0 {
                return true;
            }
            now.duration_since(*kept.left.get_or_insert(now)) < KEPT
        });
    }

    /// Drops the view that was left first, if nobody watches one of them.
    fn make_room(&mut self) -> bool {
        let left = self.views.iter().filter_map(|(view, kept)| Some((kept.left?, view)));
        let Some(first) = left.min_by_key(|(left, _)| *left).map(|(_, view)| view.clone()) else {
            return false;
        };
        self.views.remove(&first).is_some()
    }
}

impl Drop for StreamSeat {
    fn drop(&mut self) {
        let mut open = self.streams.0.open.lock();
        open.streams = open.streams.saturating_sub(1);
        let Some(caller) = &self.caller else { return };
        if let Some(count) = open.of_callers.get_mut(caller) {
            *count -= 1;
            if *count == 0 {
                open.of_callers.remove(caller);
            }
        }
    }
}

/// The task that looks at views. Should it end before its time, the next who comes has another.
struct Looking(Option<LiveStreams>);

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(streams) = &self.0 {
            streams.0.open.lock().has_task = false;
        }
    }
}

/// Looks at all views that somebody watches, once a second and for who has just come, until nobody does.
async fn look(streams: LiveStreams, site: Arc<Site>) {
    let mut looking = Looking(Some(streams.clone()));
    let mut ticks = tokio::time::interval(TICK);
    let mut sums = (Totals::new(&site), Nodes::new(&site));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_tick = tokio::select! {
            biased;
            _ = ticks.tick() => true,
            () = streams.0.joined.notified() => false,
        };
        let watched = streams.watched();
        if watched.is_empty() {
            // Whoever comes now has a task of their own.
            looking.0 = None;
            return;
        }
        let (streams, looked_at) = (streams.clone(), Arc::clone(&site));
        // A probe that was not received since the start is read from its file.
        let looked = tokio::task::spawn_blocking(move || {
            streams.look_at(watched, is_tick, &mut sums, &looked_at);
            sums
        });
        sums = match looked.await {
            Ok(sums) => sums,
            Err(error) => {
                tracing::error!(%error, "cannot look at what open pages show");
                (Totals::new(&site), Nodes::new(&site))
            }
        };
    }
}

impl MetricSource for LiveStreams {
    fn collect(&self, out: &mut Exposition) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (open, views) = {
            let open = self.0.open.lock();
            let watched = open.views.values().filter(|kept| kept.frames.receiver_count() > 0).count();
            (open.streams, watched)
        };
        out.count("kwapi_web_streams", &[], open as u64);
        out.count("kwapi_web_stream_views", &[], views as u64);
        out.count("kwapi_web_stream_encodings", &[], load(&self.0.encoded));
        out.count("kwapi_web_stream_skipped", &[], load(&self.0.skipped));
        out.count("kwapi_web_streams_refused", &[], load(&self.0.refused));
    }
}
