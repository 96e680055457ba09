//! Messages that no accepted key verifies, and the way back to them (ADR 0057).
//!
//! They are acknowledged, so that none holds up others, and the stream keeps them as it keeps all. What is noted is the number
//! of the first, which of the accepted keys have verified messages since, and which have been tried on them. Once another
//! key is accepted, by a reload or a start, the stream is read again from that number: of what had been delivered by
//! then, measurements by keys that have verified before are passed over, as they are in the journal already.

mod noted;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::sites::write_positions;
use crate::key::KeyPrints;
use crate::transport::nats::link::Link;
use noted::{FILE_VERSION, Noted, Recall, read_file};

/// How long what was delivered may take to be settled before other keys are taken up that make the stream be read again: a
/// journal takes a fifth of a second.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(10);

/// What of one consumer was set aside.
#[derive(Debug)]
pub(crate) struct Aside {
    state: Mutex<AsideState>,
    file: Option<PathBuf>,
    link: Arc<Link>,
    /// Other keys were accepted.
    changed: Notify,
}

#[derive(Debug)]
struct AsideState {
    noted: Noted,
    /// Whether the file has something else.
    is_changed: bool,
    /// The keys that are accepted now, or once what is under way is settled.
    keys: KeyPrints,
    change: KeyChange,
    /// The number of the message that was taken apart last.
    newest: u64,
    /// The keys whose messages are set aside although they are accepted, as the stream cannot be read again yet: what is
    /// older comes first.
    withheld: Option<Arc<KeyPrints>>,
    /// Whether it may be possible now.
    is_retried: bool,
}

/// The keys of whose measurements something else becomes than of others'.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyLimits {
    /// See [`crate::transport::Arrival::taken`].
    pub(super) taken: Option<Arc<KeyPrints>>,
    /// See [`crate::transport::Arrival::withheld`].
    pub(super) withheld: Option<Arc<KeyPrints>>,
}

/// How far a change of keys is that makes the stream be read again: nothing is under way when the first message is verified with
/// the new keys, so that each probe's messages stay in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyChange {
    None,
    /// What is under way is judged with the keys from before.
    Due,
    /// Nothing is under way any more.
    Drained,
}

impl Aside {
    /// Of a consumer whose messages are verified with `keys`, as `file` has it; nothing is kept without one.
    pub(in crate::transport::nats) fn new(keys: KeyPrints, file: Option<PathBuf>, link: Arc<Link>) -> Self {
        let noted = file.as_deref().map(read_file).transpose().unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                let file = file.as_deref().map(Path::display).map(|file| file.to_string());
                tracing::error!(%error, file, "cannot read which messages were set aside; a change of keys does not read them again");
            }
            None
        });
        let noted = noted.unwrap_or_default();
        link.note_aside(noted.count, Timestamp::from_micros(noted.since_us));
        let (change, withheld) = (KeyChange::None, None);
        let state =
            AsideState { noted, is_changed: false, keys, change, newest: 0, withheld, is_retried: false };
        Self { state: Mutex::new(state), file, link, changed: Notify::new() }
    }

    /// Takes note of a measurement that no accepted key verifies, of the message of this number.
    pub(super) fn note(&self, number: u64, now: Timestamp) {
        let mut state = self.state.lock();
        if state.noted.from.is_none() {
            tracing::warn!(
                endpoint = self.link.endpoint(),
                "NATS: messages that no accepted key verifies are left in the stream; they are read again once their key is \
                 accepted (`keys`)"
            );
            let AsideState { noted, keys, .. } = &mut *state;
            noted.tried.clone_from(keys);
            state.is_changed = true;
        }
        if state.noted.since_us == 0 {
            state.noted.since_us = now.micros();
        }
        let from = state.noted.from.map_or(number, |from| from.min(number));
        state.is_changed |= state.noted.from != Some(from);
        state.noted.from = Some(from);
        state.noted.count = state.noted.count.saturating_add(1);
        self.link.note_aside(state.noted.count, Timestamp::from_micros(state.noted.since_us));
    }

    /// Takes note that a key has verified a message.
    pub(super) fn note_verified(&self, print: &str) {
        let mut state = self.state.lock();
        if state.noted.taken.insert(print.to_owned()) {
            // It is not needed which have as long as nothing is set aside.
            state.is_changed |= state.noted.from.is_some();
        }
    }

    /// Takes up other keys.
    pub(crate) fn accept(&self, keys: KeyPrints) {
        let mut state = self.state.lock();
        let is_change = state.keys != keys;
        state.keys = keys;
        if is_change && state.wants_recall() {
            state.change = KeyChange::Due;
            self.changed.notify_one();
        }
    }

    /// Whether messages are to be verified with the keys that were accepted last.
    pub(super) fn may_take_keys(&self) -> bool {
        let mut state = self.state.lock();
        if state.change == KeyChange::Drained {
            state.change = KeyChange::None;
        }
        if state.change == KeyChange::None {
            state.remove_keys();
        }
        state.change == KeyChange::None
    }

    /// Waits until other keys are accepted that make the stream be read again.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether what is under way is to be settled first.
    pub(super) fn is_due(&self) -> bool {
        let state = self.state.lock();
        (state.change == KeyChange::Due || state.is_retried) && state.noted.recall.is_none()
    }

    /// Takes note that nothing is under way.
    pub(super) fn drained(&self) {
        let mut state = self.state.lock();
        state.is_retried = false;
        if state.change == KeyChange::Due {
            state.change = KeyChange::Drained;
        }
    }

    /// Whether the keys that were accepted last verify what comes from now on.
    pub(super) fn is_ready(&self) -> bool {
        self.state.lock().change == KeyChange::None
    }

    /// Takes note of the stream, by when it was created: what is noted of another is of no use.
    pub(super) fn meet(&self, stream: String) {
        let mut state = self.state.lock();
        if state.noted.stream == stream {
            return;
        }
        if !state.noted.stream.is_empty() {
            let taken = std::mem::take(&mut state.noted.taken);
            state.noted = Noted { taken, ..Noted::default() };
            state.is_changed = true;
            state.withheld = None;
            self.link.note_aside(0, Timestamp::EPOCH);
            self.link.note_aside_problem(None);
        }
        state.noted.stream = stream;
    }

    /// From which message the stream is to be read again, `under_way` being what the consumer is set back for; `None` where it
    /// is not, or is being read.
    pub(super) fn wanted(&self, under_way: Option<&str>) -> Option<u64> {
        let state = self.state.lock();
        let recall = state.noted.recall.as_ref();
        if state.change == KeyChange::None && state.wants_recall() {
            let from = state.noted.from?;
            return Some(recall.filter(|before| from <= before.until).map_or(from, |it| from.min(it.from)));
        }
        recall.filter(|recall| under_way != Some(&*recall.tag())).map(|recall| recall.from)
    }

    /// Sets aside the messages of the keys that the stream is to be read again for, since that is not possible yet for this
    /// `problem`. What the consumer is not set back for (`under_way`) is noted as it was before.
    pub(super) fn withhold(&self, under_way: Option<&str>, problem: String) {
        let mut state = self.state.lock();
        let not_begun = |recall: &mut Recall| under_way != Some(&*recall.tag());
        if let Some(recall) = state.noted.recall.take_if(not_begun) {
            let noted = &mut state.noted;
            noted.from = Some(noted.from.map_or(recall.from, |from| from.min(recall.from)));
            (noted.taken, noted.removed) = ((*recall.taken).clone(), recall.removed);
            noted.tried.clear();
            state.is_changed = true;
        }
        let keys: KeyPrints = state.new_keys().cloned().collect();
        let is_any = !keys.is_empty();
        state.withheld = is_any.then(|| Arc::new(keys));
        self.link.note_aside_problem(is_any.then_some(problem));
    }

    /// Whether messages of accepted keys are set aside.
    pub(super) fn is_withholding(&self) -> bool {
        self.state.lock().withheld.is_some()
    }

    /// Takes note that it may be possible by now to read the stream again.
    pub(super) fn try_again(&self) {
        self.state.lock().is_retried = true;
        self.changed.notify_one();
    }

    /// Takes note that nothing is to be read again but what is being read.
    pub(super) fn is_read(&self) {
        let mut state = self.state.lock();
        if state.change == KeyChange::None {
            state.withheld = None;
            self.link.note_aside_problem(None);
        }
    }

    /// What is to be read again, all up to `until` being settled; `None` where nothing is.
    pub(super) fn recall(&self, until: u64) -> Option<Recall> {
        let mut state = self.state.lock();
        if state.change == KeyChange::None && state.wants_recall() {
            let from = state.noted.from?;
            // What a recall that was not over had left is in it.
            let (from, taken, removed) = match &state.noted.recall {
                Some(before) if from <= before.until => {
                    (from.min(before.from), before.taken.clone(), before.removed.clone())
                }
                _ => (from, Arc::new(state.noted.taken.clone()), state.noted.removed.clone()),
            };
            tracing::info!(
                endpoint = self.link.endpoint(),
                messages = state.noted.count,
                "NATS: other keys are accepted; reading again what was left in the stream"
            );
            state.noted.recall = Some(Recall { from, until: until.max(from), taken, removed });
            let AsideState { noted, keys, .. } = &mut *state;
            noted.removed.retain(|key, _| !keys.contains(key));
            (state.noted.from, state.noted.count, state.noted.since_us) = (None, 0, 0);
            let AsideState { noted, keys, .. } = &mut *state;
            noted.tried.clone_from(keys);
            state.is_changed = true;
            self.link.note_aside(0, Timestamp::EPOCH);
        }
        state.withheld = None;
        self.link.note_aside_problem(None);
        state.noted.recall.clone()
    }

    /// What becomes of measurements in the message of this number, by their keys.
    pub(super) fn limits(&self, number: u64) -> KeyLimits {
        let mut state = self.state.lock();
        state.newest = number;
        KeyLimits { taken: state.taken(number), withheld: state.withheld.clone() }
    }

    /// Takes note that all messages before this number are settled.
    pub(super) fn settled(&self, number: u64) {
        let mut state = self.state.lock();
        if state.noted.recall.as_ref().is_some_and(|recall| recall.until < number) {
            state.noted.recall = None;
            state.is_changed = true;
            if state.change == KeyChange::Due {
                self.changed.notify_one();
            }
        }
    }

    /// Has how many measurements were set aside written at the end; after a kill the file has what there were when it was last
    /// written.
    pub(super) fn ends(&self) {
        let mut state = self.state.lock();
        state.is_changed |= state.noted.from.is_some();
    }

    /// Writes what has changed; it is on the disk then.
    ///
    /// # Errors
    /// When the disk refuses, as text.
    pub(super) async fn write(&self) -> Result<(), String> {
        let (file, noted) = {
            let mut state = self.state.lock();
            let Some(file) = self.file.clone().filter(|_| state.is_changed) else { return Ok(()) };
            state.is_changed = false;
            (file, Noted { version: FILE_VERSION, ..state.noted.clone() })
        };
        let text = serde_json::to_vec(&noted).unwrap_or_default();
        let written = tokio::task::spawn_blocking(move || write_positions(&file, &text)).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| {
            self.state.lock().is_changed = true;
            format!("cannot write which messages were left in the stream: {error}")
        })
    }
}

impl AsideState {
    /// Takes note of the keys that are no longer accepted.
    fn remove_keys(&mut self) {
        let Self { noted, keys, newest, .. } = self;
        if noted.from.is_none() {
            noted.taken.retain(|key| keys.contains(key));
            return;
        }
        for key in noted.taken.iter().filter(|key| !keys.contains(*key)) {
            noted.removed.entry(key.clone()).or_insert(*newest);
        }
        // What comes of any of them from now on is to be read once it is accepted again.
        let count = noted.tried.len();
        noted.tried.retain(|key| keys.contains(key));
        self.is_changed |= count != noted.tried.len();
    }

    /// Whether a key is accepted that may verify what was set aside.
    fn wants_recall(&self) -> bool {
        self.new_keys().next().is_some()
    }

    /// The keys that are accepted and may.
    fn new_keys(&self) -> impl Iterator<Item = &String> {
        let Noted { from, tried, taken, removed, .. } = &self.noted;
        let is_new =
            |key: &&String| !tried.contains(*key) && (!taken.contains(*key) || removed.contains_key(*key));
        self.keys.iter().filter(|_| from.is_some()).filter(is_new)
    }

    /// The keys whose measurements in the message of this number have been taken; `None` where it is not read again.
    fn taken(&self, number: u64) -> Option<Arc<KeyPrints>> {
        let recall = self.noted.recall.as_ref().filter(|recall| number <= recall.until)?;
        let is_past = |print: &String| recall.removed.get(print).is_some_and(|until| *until < number);
        if recall.removed.keys().any(is_past) {
            return Some(Arc::new(recall.taken.iter().filter(|print| !is_past(print)).cloned().collect()));
        }
        Some(recall.taken.clone())
    }
}

/// Waits until keys are accepted with which the stream is to be read again; for ever, where there is no consumer.
pub(super) async fn changed(aside: Option<&Aside>) {
    match aside {
        Some(aside) => aside.changed().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
