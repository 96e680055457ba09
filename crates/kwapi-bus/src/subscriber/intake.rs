//! The subscriber's thread: from a transport's frames to verified measurements in the queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kwapi_core::{Losses, Pattern, Timestamp};

use super::Shared;
use super::ack::Settled;
use super::stored::{StoredSource, note_order};
use crate::key::KeyPrints;
use crate::message::Verified;
use crate::received::Received;
use crate::refusal::{Refusal, RefusalCounters};
use crate::transport::{Arrival, Inlet, Token};
use crate::verify::{ArrivalTime, ClockWatch, Skews, Verification};

/// How many messages one source may deliver before the next has its turn.
const TURN_MAX: usize = 1_024;
/// The same while sources that keep their messages are read in the order of their stamps.
const ORDERED_TURN_MAX: usize = 64;
/// How long the thread rests when a source that keeps its messages is ahead of the plugin.
const HELD_BACK: Duration = Duration::from_millis(10);

/// A verified measurement on its way to the plugin.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) received: Received,
    /// Where its source keeps it, if that does.
    pub(super) place: Option<(usize, Token)>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) received: AtomicU64,
    pub(super) verified: AtomicU64,
    pub(super) unwanted: AtomicU64,
    pub(super) reserved: AtomicU64,
    pub(super) refused: RefusalCounters,
}

/// What the thread works with.
pub(super) struct Intake<I> {
    shared: Arc<Shared>,
    inlet: I,
    verifications: Vec<Verification>,
    probes: Vec<Pattern>,
    clocks: ClockWatch,
    /// Those that keep their messages.
    stored: Vec<StoredSource>,
    /// Verified in this turn and not handed over yet.
    fresh: Vec<Queued>,
    /// The keys, by their places among those of a source that keeps its messages, that have verified one.
    verified: BTreeSet<(usize, usize)>,
}

/// A source that shows the present ahead of the record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    /// The source that keeps the same messages.
    pub(super) of: usize,
    pub(super) live: usize,
}

/// Why a message goes no further.
enum PassedOver {
    Unwanted,
    Reserved,
    /// It was taken when the source was read before.
    Known,
    /// Older ones by its key come first.
    Withheld,
    Refused(Refusal),
}

impl<I: Inlet> Intake<I> {
    pub(super) fn new(
        shared: Arc<Shared>,
        inlet: I,
        verifications: Vec<Verification>,
        ahead: &[Ahead],
        probes: Vec<Pattern>,
        clocks: ClockWatch,
    ) -> Self {
        let fresh = Vec::with_capacity(TURN_MAX);
        let begun = clocks.monotonic();
        let stored = (0..verifications.len()).filter(|source| inlet.keeps(*source)).map(|source| {
            let live = ahead.iter().find(|ahead| ahead.of == source).map(|ahead| ahead.live);
            StoredSource::new(source, live, begun)
        });
        let stored = stored.collect();
        let verified = BTreeSet::new();
        Self { shared, inlet, verifications, probes, clocks, stored, fresh, verified }
    }

    /// Until requested to stop, or the transport fails.
    pub(super) fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = self.inlet.wait() {
                tracing::error!(%error, "subscriber stopped");
                break;
            }
            self.settle();
            self.take_keys();
            let mut present = self.clocks.read();
            if present.is_wall_wrong() {
                let skews = self.verifications.iter().map(|verification| &**verification.skews());
                present.by_publishers = Skews::agreed(skews, present.monotonic);
            }
            let is_ordered = self.look_after_stored(&present);
            let (mut is_held_back, mut taken) = (false, 0);
            for source in 0..self.verifications.len() {
                if self.stored.iter().any(|stored| stored.live == Some(source)) {
                    self.turn_ahead(source, &present);
                    continue;
                }
                let stored = self.stored.iter().find(|stored| stored.source == source);
                // What is kept is judged by its age, and once: it waits until the clock is right.
                let is_held = stored.is_some_and(|stored| {
                    present.is_wall_wrong()
                        || stored.waits(present.monotonic)
                        || self.shared.queue.room() < TURN_MAX
                });
                if is_held {
                    is_held_back = true;
                } else {
                    let most = if is_ordered && stored.is_some() { ORDERED_TURN_MAX } else { TURN_MAX };
                    taken += self.turn(source, most, &present);
                }
            }
            if is_held_back && taken == 0 {
                thread::park_timeout(HELD_BACK);
            }
        }
        self.shared.queue.close();
        self.shared.ahead.close();
        self.settle();
    }

    /// Has messages verified with the keys that were accepted last, where none is under way that comes before.
    fn take_keys(&mut self) {
        let mut new = self.shared.new_verifications.lock();
        let all = std::mem::take(&mut *new);
        for (source, verification) in all {
            if !self.inlet.may_take_keys(source) {
                new.push((source, verification));
            } else if let Some(before) = self.verifications.get_mut(source) {
                *before = verification;
                self.verified.retain(|(of, _)| *of != source);
            }
        }
    }

    /// Passes on the plugin's acknowledgements of messages that are kept.
    fn settle(&mut self) {
        for Settled { source, places, is_safe } in self.shared.acknowledged.take() {
            if let Some(stored) = self.stored.iter_mut().find(|stored| stored.source == source) {
                stored.settles(&places, is_safe);
            }
            if is_safe {
                self.inlet.acknowledge(source, places);
            } else {
                self.inlet.release(source, places);
            }
        }
    }

    /// Checks how far the sources have been read that keep their messages, and whether the present is shown from
    /// others. Returns whether they are read in the order of their stamps.
    fn look_after_stored(&mut self, present: &ArrivalTime) -> bool {
        let wall = (!present.is_wall_wrong()).then_some(present.wall);
        for stored in &mut self.stored {
            let is_wanted = stored.look(self.inlet.keeping(stored.source), wall, present.monotonic);
            if let Some(until) = stored.read_until {
                self.inlet.note_read(stored.source, until);
            }
            if let Some(live) = stored.live {
                self.inlet.listen(live, is_wanted);
            }
        }
        note_order(&mut self.stored, present.monotonic)
    }

    /// Takes what shows the present ahead of the record. It is counted where it is kept, and verified again there.
    fn turn_ahead(&mut self, source: usize, present: &ArrivalTime) {
        let Some(verification) = self.verifications.get(source) else { return };
        let mut fresh = Vec::new();
        self.inlet.take(source, TURN_MAX, |delivery| {
            let judged = judge(&delivery, verification, &self.probes, present);
            fresh.extend(judged.map(|(received, _)| received));
        });
        let dropped = self.shared.ahead.extend(fresh);
        if dropped > 0 {
            self.inlet.note_dropped(source, dropped);
        }
    }

    /// Takes what a source has, up to its turn. Returns how much that was.
    fn turn(&mut self, source: usize, most: usize, present: &ArrivalTime) -> u64 {
        let Some(verification) = self.verifications.get(source) else { return 0 };
        let mut stored = self.stored.iter_mut().find(|stored| stored.source == source);
        let (fresh, probes) = (&mut self.fresh, self.probes.as_slice());
        let refused = &self.shared.counts.refused;
        let (mut unwanted, mut reserved, mut received, mut known) = (0, 0, 0, 0);
        let (mut all_refused, mut newest_refusal) = (0, None);
        // Of what is kept, and need not be.
        let mut passed_over: Vec<Token> = Vec::new();
        // Of what is kept, and another key may verify.
        let mut set_aside: Vec<Token> = Vec::new();
        let mut newly_verified: Vec<usize> = Vec::new();
        let verified = &mut self.verified;
        self.inlet.take(source, most, |delivery| {
            received += 1;
            let place = delivery.token.map(|token| (source, token));
            let mut is_aside = false;
            match judge(&delivery, verification, probes, present) {
                Ok((received, key)) => {
                    if let Some((stored, token)) = stored.as_mut().zip(delivery.token) {
                        newly_verified.extend(key.filter(|key| verified.insert((source, *key))));
                        stored.note_message(token, stamp(&received), delivery.later, present.monotonic);
                    }
                    return fresh.push(Queued { received, place });
                }
                Err(PassedOver::Unwanted) => unwanted += 1,
                Err(PassedOver::Reserved) => reserved += 1,
                Err(PassedOver::Known) => known += 1,
                Err(PassedOver::Withheld) => is_aside = true,
                Err(PassedOver::Refused(cause)) => {
                    refused.count(cause);
                    is_aside = cause.is_of_key();
                    all_refused += 1;
                    newest_refusal = Some(cause);
                }
            }
            if let Some(stored) = &mut stored {
                stored.passes_over(delivery.later, present.monotonic);
            }
            if is_aside { set_aside.extend(delivery.token) } else { passed_over.extend(delivery.token) }
        });
        let counts = &self.shared.counts;
        for (counter, count) in [
            (&counts.received, received),
            (&counts.verified, self.fresh.len() as u64),
            (&counts.unwanted, unwanted),
            (&counts.reserved, reserved),
        ] {
            if count > 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        }
        for print in newly_verified.into_iter().filter_map(|key| verification.print(key)) {
            self.inlet.note_verified(source, print);
        }
        for token in passed_over {
            self.inlet.acknowledge(source, token..=token);
        }
        for token in set_aside {
            self.inlet.set_aside(source, token);
        }
        if known > 0 {
            self.inlet.note_known(source, known);
        }
        if received > 0 {
            let is_any_verified = !self.fresh.is_empty();
            let dropped = self.shared.queue.extend(self.fresh.drain(..));
            self.note_losses(source, is_any_verified, (all_refused, newest_refusal), dropped);
        }
        received
    }

    /// Takes note of what was lost in a turn: refused, or dropped for what came after it.
    fn note_losses(
        &self,
        source: usize,
        is_any_verified: bool,
        (refused, newest): (u64, Option<Refusal>),
        dropped: u64,
    ) {
        let now = Instant::now();
        let mut losses = self.shared.losses.lock();
        losses.dropped.lose(dropped, "this machine does not keep up; the oldest are dropped", now);
        if dropped == 0 {
            losses.dropped.pass();
        }
        if losses.refused.len() <= source {
            losses.refused.resize_with(source + 1, Losses::default);
        }
        let Some(of_source) = losses.refused.get_mut(source) else { return };
        if is_any_verified {
            of_source.pass();
        } else if let Some(cause) = newest {
            of_source.lose(refused, cause.name(), now);
        }
    }
}

/// When a message was measured.
fn stamp(received: &Received) -> Timestamp {
    received.measurement.accounting.as_ref().map_or(received.arrived, |accounting| accounting.timestamp)
}

/// The measurement, and the place of the key that verified it among those of its source.
fn judge(
    delivery: &Arrival<'_>,
    verification: &Verification,
    probes: &[Pattern],
    present: &ArrivalTime,
) -> Result<(Received, Option<usize>), PassedOver> {
    if let [topic, ..] = delivery.frames
        && topic.first() == Some(&0)
    {
        return Err(PassedOver::Reserved);
    }
    if let [topic, _] = delivery.frames
        && !is_wanted(probes, topic)
    {
        return Err(PassedOver::Unwanted);
    }
    let Verified { measurement, key, description } =
        verification.verify(delivery.frames, present, delivery.is_live).map_err(PassedOver::Refused)?;
    let (place, key) = key.unzip();
    let print = place.and_then(|place| verification.print(place));
    let is_of = |keys: Option<&KeyPrints>| keys.zip(print).is_some_and(|(keys, print)| keys.contains(print));
    if is_of(delivery.taken) {
        return Err(PassedOver::Known);
    }
    if is_of(delivery.withheld) {
        return Err(PassedOver::Withheld);
    }
    // What has no stamp has been refused by now, if there is no time to stamp it with.
    let arrived = present.label().unwrap_or(present.wall);
    let mut received_at = present.monotonic;
    if !delivery.is_live
        && let Some(accounting) = &measurement.accounting
    {
        // It was stored on the way. Its value was current then, and is not the present.
        received_at = received_at.saturating_sub(arrived.since(accounting.timestamp));
    }
    Ok((Received { measurement, key, arrived, received_at, description }, place))
}

/// Whether anybody subscribed to this probe: ZeroMQ's prefix match on `C.` also takes `C.1.`, and a batch of NATS has
/// others.
fn is_wanted(probes: &[Pattern], topic: &[u8]) -> bool {
    let Some(id) = topic.strip_suffix(b".") else { return true }; // Refused, by its cause.
    probes.iter().any(|pattern| match pattern {
        Pattern::All => true,
        Pattern::Exact(probe) => probe.as_str().as_bytes() == id,
        Pattern::Below(root) => {
            id.strip_prefix(root.as_str().as_bytes()).is_some_and(|rest| rest.first() == Some(&b'.'))
        }
    })
}
