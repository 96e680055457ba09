//! The file of the manager's state: a header and slots of one size, an entry each, written where they are.
//!
//! A slot is a line: eight hexadecimal digits of the CRC-32 of what follows the next space, JSON, blanks, a line feed. A
//! slot that is torn or damaged costs its own entry; an empty one is blank. Nothing is ever moved, so a full disk does
//! not hinder what is known already.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kwapi_core::{ProbeId, SessionEntry};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Of the header and of each slot, in bytes: the longest probe id, path and serial number fit.
const SLOT: usize = 1024;
/// How much of the file is read at once: a number of slots.
const READ_BYTES: usize = 256 * SLOT;
/// The first line.
const HEADER: &str = "kwapi-drivers state 1";
/// The file in the directory.
const NAME: &str = "sessions";
/// More entries are not kept: as many as a manager has probes at most, and as many again that were renamed.
const SLOTS_MAX: usize = 1 << 20;

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error("{path} cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0} is in use by another driver manager")]
    Locked(PathBuf),
}

/// One entry, and the meter it belongs to if that names its outlets by a template.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct StateEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) template: Option<Arc<str>>,
    pub(super) entry: SessionEntry,
}

/// What a slot is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct StateKey {
    pub(super) probe: ProbeId,
    /// Empty without a register.
    pub(super) path: String,
}

impl StateKey {
    pub(super) fn of(entry: &SessionEntry) -> Self {
        Self { probe: entry.probe.clone(), path: entry.path().unwrap_or_default().to_owned() }
    }
}

/// The file, open and locked.
#[derive(Debug)]
pub(super) struct StateFile {
    file: File,
    slots: Vec<Option<(StateKey, Option<Arc<str>>)>>,
    by_probe: HashMap<ProbeId, Indices>,
    by_path: HashMap<String, Indices>,
    free: Vec<usize>,
    /// The template of the latest entry, which all of a meter share.
    template: Option<Arc<str>>,
    /// Registers of which several probes are written.
    shared: BTreeSet<String>,
    /// Those of them not yet reported.
    newly_shared: Vec<String>,
}

/// A probe, with the template of its meter.
pub(super) type Sharer = (ProbeId, Option<Arc<str>>);

/// What was found in a file as it was opened.
#[derive(Debug, Default)]
pub(super) struct StateContents {
    pub(super) entries: Vec<SessionEntry>,
    pub(super) damaged: usize,
    /// A file of another version or of no sense, put aside under this name.
    pub(super) set_aside: Option<PathBuf>,
}

impl StateFile {
    /// Opens or makes the file in `directory`, and reads it whole.
    pub(super) fn open(directory: &Path) -> Result<(Self, StateContents), StateError> {
        let path = directory.join(NAME);
        let wrong = |source| StateError::Io { path: path.clone(), source };
        fs::create_dir_all(directory).map_err(wrong)?;
        let mut file = open_locked(&path)?;
        let mut buffer = vec![0; READ_BYTES];
        let mut slots = fill(&mut file, &mut buffer).map_err(wrong)?;
        let mut found = StateContents::default();
        let header = header();
        if !slots.is_empty() && !slots.starts_with(&header) {
            let aside = directory.join(format!("{NAME}.unreadable"));
            fs::rename(&path, &aside).map_err(wrong)?;
            found.set_aside = Some(aside);
            slots = &[];
            file = open_locked(&path)?;
        }
        let is_new = slots.is_empty();
        if is_new {
            file.write_all_at(&header, 0).map_err(wrong)?;
            file.sync_all().map_err(wrong)?;
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(wrong)?;
        }
        let mut state = Self {
            file,
            slots: Vec::new(),
            by_probe: HashMap::new(),
            by_path: HashMap::new(),
            free: Vec::new(),
            template: None,
            shared: BTreeSet::new(),
            newly_shared: Vec::new(),
        };
        // A piece at a time: a hundred thousand entries are 100 MB.
        let mut is_read = is_new;
        slots = slots.get(SLOT..).unwrap_or_default();
        while !is_read {
            for slot in slots.chunks(SLOT) {
                state.take_in(slot, &mut found);
            }
            slots = fill(&mut state.file, &mut buffer).map_err(wrong)?;
            is_read = slots.is_empty();
        }
        Ok((state, found))
    }

    fn take_in(&mut self, slot: &[u8], found: &mut StateContents) {
        let index = self.slots.len();
        self.slots.push(None);
        match decode(slot) {
            Ok(Some(kept)) => {
                self.enter(index, StateKey::of(&kept.entry), kept.template);
                found.entries.push(kept.entry);
            }
            Ok(None) => self.free.push(index),
            Err(Damaged) => {
                found.damaged += 1;
                self.free.push(index);
            }
        }
    }

    /// Writes an entry over the one of its key, or into a free slot.
    pub(super) fn write(&mut self, kept: &StateEntry) -> io::Result<()> {
        let key = StateKey::of(&kept.entry);
        let line = encode(kept)?;
        let known = self.by_probe.get(&key.probe).into_iter().flat_map(Indices::iter).find(|index| {
            matches!(self.slots.get(*index), Some(Some((other, template)))
                if *other == key && *template == kept.template)
        });
        if let Some(index) = known {
            self.file.write_all_at(&line, offset(index))?;
            self.note_shared(&key.path);
            return Ok(());
        }
        self.delete_where(&key);
        let index = self.free.last().copied().unwrap_or(self.slots.len());
        if index >= SLOTS_MAX {
            return Err(io::Error::other(format!("more than {SLOTS_MAX} entries")));
        }
        self.file.write_all_at(&line, offset(index))?;
        if index == self.slots.len() {
            self.slots.push(None);
        } else {
            self.free.pop();
        }
        self.enter(index, key.clone(), kept.template.clone());
        self.note_shared(&key.path);
        Ok(())
    }

    /// Whoever begins on a register deletes what others had of it: two that both write of it both read it.
    fn note_shared(&mut self, path: &str) {
        let is_shared = self.by_path.get(path).is_some_and(|indices| !indices.others.is_empty());
        if is_shared && !self.shared.contains(path) {
            self.shared.insert(path.to_owned());
            self.newly_shared.push(path.to_owned());
        }
    }

    /// The probes of each register that several have begun to share since the last call; and of all such registers.
    pub(super) fn shared(&mut self) -> (Vec<Vec<Sharer>>, Vec<Vec<Sharer>>) {
        let newly = std::mem::take(&mut self.newly_shared);
        (
            newly.iter().map(|path| self.sharers(path)).collect(),
            self.shared.iter().map(|path| self.sharers(path)).collect(),
        )
    }

    fn sharers(&self, path: &str) -> Vec<Sharer> {
        let indices = self.by_path.get(path).into_iter().flat_map(Indices::iter);
        let slots = indices.filter_map(|index| self.slots.get(index)?.as_ref());
        slots.map(|(key, template)| (key.probe.clone(), template.clone())).collect()
    }

    /// Deletes every other entry of the key's probe, and every entry of its register under another probe; returns which.
    pub(super) fn keep_alone(&mut self, key: &StateKey) -> io::Result<Vec<StateKey>> {
        let of_probe = self.by_probe.get(&key.probe).into_iter().flat_map(Indices::iter);
        let of_path = self.by_path.get(&key.path).into_iter().flat_map(Indices::iter);
        let others: Vec<usize> = of_probe.chain(of_path).collect();
        self.delete(others, |other, _| other != key)
    }

    /// Deletes the entries of which `is_wanted` returns false; returns which those were.
    pub(super) fn retain(
        &mut self,
        is_wanted: impl Fn(&ProbeId, Option<&str>) -> bool,
    ) -> io::Result<Vec<StateKey>> {
        self.delete((0..self.slots.len()).collect(), |key, template| !is_wanted(&key.probe, template))
    }

    /// When it returns, all that was written survives a loss of power.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn delete_where(&mut self, key: &StateKey) {
        let of_probe = self.by_probe.get(&key.probe).into_iter().flat_map(Indices::iter).collect();
        _ = self.delete(of_probe, |other, _| other == key);
    }

    fn delete(
        &mut self,
        indices: Vec<usize>,
        is_doomed: impl Fn(&StateKey, Option<&str>) -> bool,
    ) -> io::Result<Vec<StateKey>> {
        let mut deleted = Vec::new();
        for index in indices {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            let Some((key, _)) = slot.take_if(|(key, template)| is_doomed(key, template.as_deref())) else {
                continue;
            };
            self.file.write_all_at(&blank(), offset(index))?;
            forget(&mut self.by_probe, &key.probe, index);
            if !key.path.is_empty() {
                forget(&mut self.by_path, &key.path, index);
                if self.by_path.get(&key.path).is_none_or(|indices| indices.others.is_empty()) {
                    self.shared.remove(&key.path);
                }
            }
            self.free.push(index);
            deleted.push(key);
        }
        Ok(deleted)
    }

    fn enter(&mut self, index: usize, key: StateKey, mut template: Option<Arc<str>>) {
        enter_in(&mut self.by_probe, key.probe.clone(), index);
        if !key.path.is_empty() {
            enter_in(&mut self.by_path, key.path.clone(), index);
        }
        if template == self.template {
            template.clone_from(&self.template);
        } else {
            self.template.clone_from(&template);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some((key, template));
        }
    }
}

/// Which slots are of one probe or register: nearly always one, so that a hundred thousand take no vector each.
#[derive(Clone, Debug)]
struct Indices {
    first: usize,
    others: Vec<usize>,
}

impl Indices {
    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }
}

fn enter_in<K: std::hash::Hash + Eq>(by: &mut HashMap<K, Indices>, key: K, index: usize) {
    match by.entry(key) {
        Entry::Occupied(mut known) => known.get_mut().others.push(index),
        Entry::Vacant(new) => _ = new.insert(Indices { first: index, others: Vec::new() }),
    }
}

fn forget<K: std::hash::Hash + Eq>(by: &mut HashMap<K, Indices>, key: &K, index: usize) {
    let Some(indices) = by.get_mut(key) else { return };
    indices.others.retain(|other| *other != index);
    if indices.first == index {
        match indices.others.pop() {
            Some(other) => indices.first = other,
            None => _ = by.remove(key),
        }
    }
}

/// Reads on until `buffer` is full or the file ends; what was read.
fn fill<'a>(file: &mut File, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer.get(..filled).unwrap_or_default())
}

fn open_locked(path: &Path) -> Result<File, StateError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let wrong = |source| StateError::Io { path: path.to_owned(), source };
    let file = options.open(path).map_err(wrong)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Locked(path.to_owned())),
        Err(error) => Err(wrong(error.into())),
    }
}

fn offset(index: usize) -> u64 {
    (index as u64 + 1) * SLOT as u64
}

fn blank() -> Vec<u8> {
    padded(String::new()).unwrap_or_default()
}

fn header() -> Vec<u8> {
    padded(HEADER.to_owned()).unwrap_or_default()
}

/// A line of the size of a slot; `None` if the text does not fit.
fn padded(text: String) -> Option<Vec<u8>> {
    let mut line = text.into_bytes();
    if line.len() >= SLOT {
        return None;
    }
    line.resize(SLOT - 1, b' ');
    line.push(b'\n');
    Some(line)
}

pub(super) fn encode(kept: &StateEntry) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(kept)?;
    let line = format!("{:08x} {json}", crc32fast::hash(json.as_bytes()));
    padded(line).ok_or_else(|| io::Error::other("entry too long for its slot"))
}

/// A slot that holds no entry, though something was written there.
pub(super) struct Damaged;

pub(super) fn decode(slot: &[u8]) -> Result<Option<StateEntry>, Damaged> {
    let text = std::str::from_utf8(slot).map_err(|_| Damaged)?.trim_end();
    if text.trim_matches('\0').is_empty() {
        return Ok(None);
    }
    let (sum, json) = text.split_once(' ').ok_or(Damaged)?;
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(json.as_bytes())) {
        return Err(Damaged);
    }
    serde_json::from_str(json).map(Some).map_err(|_| Damaged)
}

#[cfg(test)]
pub(super) mod tests;
