//! Publishers' descriptions of their probes: how long each may be silent, how accurate its meter is, its labels, its
//! driver.
//!
//! They come with measurements, verified as these are ([`Received::description`]), and are taken from those that are
//! credited. A new description is written down before the measurement it came with is in the journal, so that whoever
//! reads that again has as much as who read it first. Descriptions never decide who may see a probe or who is billed
//! for it (docs/adr/0048).

mod described;
mod file;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kwapi_bus::{DescriptionRefusal, Received};
use kwapi_core::{Description, Gaps, ProbeId};
use parking_lot::{Mutex, RwLock};

pub(crate) use described::Described;
use file::DescriptionsFile;

/// What all descriptions may take in memory, in bytes. Full: descriptions of further probes are refused and counted.
const BYTES_MAX: usize = 256 << 20;
/// Probes of one rack are often described alike, one after the other: so many are looked at for another like it.
const RECENT_MAX: usize = 32;
/// A file that could not be written is tried again this often.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// All descriptions. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct Descriptions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: RwLock<DescribedProbes>,
    gaps: Gaps,
    file: Mutex<Upkeep>,
    received: AtomicU64,
    refused: [AtomicU64; DescriptionRefusal::ALL.len()],
    writes_failed: AtomicU64,
}

#[derive(Debug, Default)]
struct DescribedProbes {
    all: HashMap<ProbeId, Arc<Described>>,
    /// Counted as if no two shared anything.
    bytes: usize,
    recent: VecDeque<Arc<Description>>,
}

/// The file, and when it was last tried to write a new one.
#[derive(Debug)]
struct Upkeep {
    file: Option<DescriptionsFile>,
    tried: Option<Duration>,
}

/// What has been received since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescriptionCounts {
    /// Probes that are described.
    pub probes: u64,
    /// Descriptions that were taken, those that stated the same as before included.
    pub received: u64,
    /// Descriptions that were not, by cause.
    pub refused: Vec<(DescriptionRefusal, u64)>,
    /// How often they could not be written down.
    pub writes_failed: u64,
}

impl Descriptions {
    /// Those that were written down in `directory`, and whose keys `is_accepted` accepts for their probes; `gaps`
    /// receives them. What the disk refuses prevents nothing: it is published again within half a minute.
    pub fn open(directory: &Path, gaps: Gaps, is_accepted: impl Fn(&ProbeId, Option<&str>) -> bool) -> Self {
        let mut table = DescribedProbes::default();
        let file = DescriptionsFile::open(directory, |probe, described| {
            _ = table.take(&probe, described);
        });
        let descriptions = Self::with(table, gaps, Some(file));
        descriptions.keep_accepted(is_accepted);
        let table = descriptions.0.table.read();
        table.all.iter().for_each(|(probe, of)| descriptions.0.gaps.describe(probe, of.description.max_gap));
        drop(table);
        descriptions
    }

    /// None yet, and none is written down.
    pub(crate) fn in_memory(gaps: Gaps) -> Self {
        Self::with(DescribedProbes::default(), gaps, None)
    }

    fn with(table: DescribedProbes, gaps: Gaps, file: Option<DescriptionsFile>) -> Self {
        Self(Arc::new(Inner {
            table: RwLock::new(table),
            gaps,
            file: Mutex::new(Upkeep { file, tried: None }),
            received: AtomicU64::new(0),
            refused: Default::default(),
            writes_failed: AtomicU64::new(0),
        }))
    }

    /// Forgets what was signed with a key that is not accepted any more for its probe.
    pub fn keep_accepted(&self, is_accepted: impl Fn(&ProbeId, Option<&str>) -> bool) {
        let mut table = self.0.table.write();
        let mut gone = Vec::new();
        table.all.retain(|probe, described| {
            let is_kept = is_accepted(probe, described.key.as_deref());
            if !is_kept {
                gone.push(probe.clone());
            }
            is_kept
        });
        if gone.is_empty() {
            return;
        }
        table.bytes = table.all.iter().map(|(probe, described)| described.bytes(probe)).sum();
        drop(table);
        gone.iter().for_each(|probe| self.0.gaps.forget(probe));
        let mut upkeep = self.0.file.lock();
        // The next description rewrites the file.
        upkeep.file.iter_mut().for_each(DescriptionsFile::outdate);
    }

    /// Takes what a measurement that was credited states of its probe, if anything.
    pub(crate) fn note(&self, received: &Received) {
        let (Some(description), Some(accounting)) = (&received.description, &received.measurement.accounting)
        else {
            return;
        };
        let probe = &received.measurement.probe;
        let taken = match description {
            Ok(description) => {
                let (at, key) = (accounting.timestamp, received.key.clone());
                let described =
                    Described { description: Arc::new((**description).clone()), since: at, at, key };
                self.0.table.write().take(probe, described)
            }
            Err(cause) => Err(*cause),
        };
        match taken {
            Ok(news) => {
                self.0.received.fetch_add(1, Ordering::Relaxed);
                if let Some(described) = &news {
                    self.0.gaps.describe(probe, described.description.max_gap);
                }
                self.write(probe, news.as_deref(), received.received_at);
            }
            Err(cause) => {
                if let Some(count) = self.0.refused.get(cause as usize) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Writes news down; where that is not possible, all of it, once it is again.
    fn write(&self, probe: &ProbeId, news: Option<&Described>, now: Duration) {
        let mut upkeep = self.0.file.lock();
        let Upkeep { file: Some(file), tried } = &mut *upkeep else { return };
        let written = match news {
            Some(described) => file.append(probe, described),
            None => Ok(()),
        };
        let is_time = tried.is_none_or(|tried| now.saturating_sub(tried) >= RETRY_INTERVAL);
        let written = if file.is_due_again() && (is_time || !file.has_failed()) {
            *tried = Some(now);
            let table = self.0.table.read();
            file.write_again(table.all.iter().map(|(probe, described)| (probe, &**described)))
        } else {
            written
        };
        if let Err(error) = written {
            self.0.writes_failed.fetch_add(1, Ordering::Relaxed);
            file.note_failure(&error);
        }
    }

    /// For how long each probe may be silent, by descriptions and what is configured.
    pub fn gaps(&self) -> &Gaps {
        &self.0.gaps
    }

    /// The description of a probe.
    pub(crate) fn of(&self, probe: &ProbeId) -> Option<Arc<Described>> {
        self.0.table.read().all.get(probe).cloned()
    }

    /// What has been received.
    pub fn counts(&self) -> DescriptionCounts {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DescriptionCounts {
            probes: self.0.table.read().all.len() as u64,
            received: count(&self.0.received),
            refused: DescriptionRefusal::ALL.into_iter().zip(self.0.refused.iter().map(count)).collect(),
            writes_failed: count(&self.0.writes_failed),
        }
    }
}

impl DescribedProbes {
    /// Takes the description of a probe. Returns it where it differs from the one before.
    fn take(
        &mut self,
        probe: &ProbeId,
        described: Described,
    ) -> Result<Option<Arc<Described>>, DescriptionRefusal> {
        let before = self.all.get_mut(probe);
        if let Some(before) = &before
            && described.at <= before.at
        {
            // A batch that could not be recorded is tried again.
            return if described.at == before.at { Ok(None) } else { Err(DescriptionRefusal::Older) };
        }
        if let Some(before) = before
            && before.description == described.description
            && before.key == described.key
        {
            Arc::make_mut(before).at = described.at;
            return Ok(None);
        }
        let freed = self.all.get(probe).map_or(0, |before| before.bytes(probe));
        let bytes = self.bytes - freed.min(self.bytes) + described.bytes(probe);
        if bytes > BYTES_MAX {
            return Err(DescriptionRefusal::Full);
        }
        self.bytes = bytes;
        let description = self.shared(&described.description);
        let described = Arc::new(Described { description, ..described });
        self.all.insert(probe.clone(), Arc::clone(&described));
        Ok(Some(described))
    }

    /// The same description, as another of late has it.
    fn shared(&mut self, description: &Arc<Description>) -> Arc<Description> {
        if let Some(like) = self.recent.iter().find(|like| *like == description) {
            return Arc::clone(like);
        }
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Arc::clone(description));
        Arc::clone(description)
    }
}

#[cfg(test)]
mod tests;
