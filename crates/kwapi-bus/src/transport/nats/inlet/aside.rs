//! Messages that no accepted key verifies, and the way back to them (ADR 0057).
//!
//! They are acknowledged, so that none holds up others, and the stream keeps them as it keeps all. What is noted is the number
//! of the first, which of the accepted keys have verified messages since, and which have been tried on them. Once another
//! key is accepted, by a reload or a start, the stream is read again from that number: of what had been delivered by
//! then, measurements by keys that have verified before are passed over, as they are in the journal already.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::sites::write_positions;
use crate::key::KeyPrints;
use crate::transport::nats::link::Link;

const FILE_VERSION: u32 = 1;
/// A larger file is not ours.
const FILE_BYTES_MAX: u64 = 4 << 20;

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

/// As it is kept in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Noted {
    version: u32,
    /// When the stream was created: another one has other numbers.
    stream: String,
    /// The number of the first message that was set aside, how many measurements were, and since when, in Unix microseconds.
    from: Option<u64>,
    count: u64,
    since_us: u64,
    /// The keys that have verified a message.
    taken: KeyPrints,
    /// Of those, the ones that are no longer accepted, and up to which message they were.
    #[serde(default)]
    removed: BTreeMap<String, u64>,
    /// The keys that have been tried.
    tried: KeyPrints,
    recall: Option<Recall>,
}

/// A stretch of the stream that is read again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::transport::nats) struct Recall {
    /// The numbers of its first and its last message.
    pub(in crate::transport::nats) from: u64,
    pub(in crate::transport::nats) until: u64,
    /// The keys whose messages in it have been taken, some only up to a message.
    taken: Arc<KeyPrints>,
    #[serde(default)]
    removed: BTreeMap<String, u64>,
}

impl Recall {
    /// Distinguishes it from others, in what the server keeps of the consumer.
    pub(in crate::transport::nats) fn tag(&self) -> String {
        format!("{}-{}", self.from, self.until)
    }
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
        let state = AsideState { noted, is_changed: false, keys, change: KeyChange::None, newest: 0 };
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
            state.noted.since_us = now.micros();
            state.is_changed = true;
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
        state.keys = keys;
        if state.wants_recall() {
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
        state.change == KeyChange::Due && state.noted.recall.is_none()
    }

    /// Takes note that nothing is under way.
    pub(super) fn drained(&self) {
        let mut state = self.state.lock();
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
            self.link.note_aside(0, Timestamp::EPOCH);
        }
        state.noted.stream = stream;
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
        state.noted.recall.clone()
    }

    /// The keys whose measurements in the message of this number have been taken; `None` where it is not read again.
    pub(super) fn taken(&self, number: u64) -> Option<Arc<KeyPrints>> {
        let mut state = self.state.lock();
        state.newest = number;
        let recall = state.noted.recall.as_ref().filter(|recall| number <= recall.until)?;
        let is_past = |print: &String| recall.removed.get(print).is_some_and(|until| *until < number);
        if recall.removed.keys().any(is_past) {
            return Some(Arc::new(recall.taken.iter().filter(|print| !is_past(print)).cloned().collect()));
        }
        Some(recall.taken.clone())
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
        let Noted { from, tried, taken, removed, .. } = &self.noted;
        let is_new =
            |key: &String| !tried.contains(key) && (!taken.contains(key) || removed.contains_key(key));
        from.is_some() && self.keys.iter().any(is_new)
    }
}

/// Waits until keys are accepted with which the stream is to be read again; for ever, where there is no consumer.
pub(super) async fn changed(aside: Option<&Aside>) {
    match aside {
        Some(aside) => aside.changed().await,
        None => std::future::pending().await,
    }
}

fn read_file(file: &Path) -> io::Result<Noted> {
    let mut text = Vec::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    let noted: Noted = serde_json::from_slice(&text)?;
    if noted.version != FILE_VERSION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "another version wrote it"));
    }
    Ok(noted)
}

#[cfg(test)]
mod tests;
