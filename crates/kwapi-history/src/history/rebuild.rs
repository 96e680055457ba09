//! Files made again from the journal: damaged ones, and those that were written while the clock was ahead.
//!
//! The journal is read once for all files that are made again at a time, and for so many probes at most: the files of
//! further ones begin empty, or lack the rows that the leap of the clock has overwritten.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kwapi_core::{PROGRAM_DATE, ProbeId};

use super::History;
use super::probe::{ProbeFiles, SAMPLES_MANY, Which};
use crate::journal::{Credited, Position};
use crate::rrd::{self, Rrd, RrdFileError};
use crate::store::{self, FileSample, Known};

/// For so many probes the journal is read again, in one process.
pub(super) const REBUILDS_MAX: u64 = 64;

/// A probe's files on their way from the journal.
#[derive(Debug)]
pub(super) struct Rebuild {
    /// Puts samples in order and determines their pace, as when they were new.
    probe: ProbeFiles,
    /// Samples before this one are taken: it waits for the files, with those after it.
    first: FileSample,
    files: Vec<File>,
    taken: usize,
}

#[derive(Debug)]
struct File {
    which: Which,
    /// At first the file as it was, unless it is damaged.
    rrd: Option<Rrd>,
    has_begun: bool,
}

impl Rebuild {
    /// Of `files`, each as it is to be rewound or `None` where nothing is left of it. `first` waits for them.
    pub(super) fn new(probe: &ProbeFiles, first: FileSample, files: Vec<(Which, Option<Rrd>)>) -> Self {
        let known = Known { probe: probe.id.clone(), since: probe.since };
        let files = files.into_iter().map(|(which, rrd)| File { which, rrd, has_begun: false }).collect();
        Self { probe: ProbeFiles::new(known, probe.number), first, files, taken: 0 }
    }

    /// Whether a record is one of those that the files are to have. What was stamped by a clock that had not been set yet
    /// (1970) is not, unless it never has been: it lies decades before the rest.
    fn requires(&self, record: &Credited) -> bool {
        let is_set = record.at >= PROGRAM_DATE || self.first.at < PROGRAM_DATE;
        is_set && record.at < self.first.at
    }

    fn take(&mut self, record: &Credited, max_gap: Duration) {
        _ = self.probe.keep(record, 0, max_gap);
        self.taken += 1;
        if self.taken.is_multiple_of(SAMPLES_MANY) {
            self.apply(max_gap);
        }
    }

    /// Puts into the files what was taken.
    fn apply(&mut self, max_gap: Duration) {
        let (samples, gone) = self.probe.waiting();
        for file in &mut self.files {
            if !std::mem::replace(&mut file.has_begun, true) {
                match &mut file.rrd {
                    Some(rrd) => {
                        let oldest = samples.iter().take(1).chain([&self.first]);
                        rrd.rewind(oldest.map(store::first_second).min().unwrap_or_default());
                    }
                    None => file.rrd = file.which.begin(&samples),
                }
            }
            if let Some(rrd) = &mut file.rrd {
                // A file of our own making takes any sample; another is found damaged when it is written.
                _ = file.which.apply(rrd, &samples, max_gap);
            }
        }
        self.probe.written(samples.len(), gone);
    }

    /// The file that was made, if it was to be and the journal or the file before has anything for it.
    pub(super) fn remove(&mut self, which: Which) -> Option<Rrd> {
        self.files.iter_mut().find(|file| file.which == which)?.rrd.take()
    }
}

impl History {
    /// Reads the journal once and puts what it has into the files of all `rebuilds`.
    pub(super) fn rebuild(&self, rebuilds: &mut HashMap<ProbeId, Rebuild>) {
        if rebuilds.is_empty() {
            return;
        }
        let gaps = &self.config.gaps;
        let replayed = self.replay(Position::default(), |record| {
            if let Some(rebuild) = rebuilds.get_mut(&record.probe).filter(|rebuild| rebuild.requires(record))
            {
                rebuild.take(record, gaps.of(&record.probe));
            }
        });
        let probes = rebuilds.len();
        match replayed {
            Ok(_) => tracing::info!(probes, "RRD files rebuilt from the journal"),
            Err(error) => tracing::warn!(probes, %error, "cannot read the journal"),
        }
        self.rebuild_without_journal(rebuilds.values_mut());
    }

    /// Ends rebuilds with what they have.
    pub(super) fn rebuild_without_journal<'a>(&self, rebuilds: impl IntoIterator<Item = &'a mut Rebuild>) {
        for rebuild in rebuilds {
            rebuild.apply(self.config.gaps.of(&rebuild.probe.id));
        }
    }

    /// Notes that a file can take no samples, for the next [`History::mend_damaged`].
    pub(super) fn note_damaged(&self, probe: &ProbeFiles, which: Which, cause: &str) {
        if self.damaged.lock().insert((probe.id.clone(), which)) {
            let path = self.path(probe, which);
            tracing::error!(probe = %probe.id, path = %path.display(), %cause, "unusable RRD file; recreating it");
        }
    }

    /// Renames what was noted as damaged and makes those files again.
    ///
    /// # Errors
    /// That of the last file that could not be made: it is tried again when its samples are next written.
    pub(super) fn mend_damaged(&self) -> Result<(), RrdFileError> {
        let mut damaged: HashMap<ProbeId, Vec<Which>> = HashMap::new();
        for (probe, which) in self.damaged.lock().drain() {
            damaged.entry(probe).or_default().push(which);
        }
        if damaged.is_empty() {
            return Ok(());
        }
        let set_aside = self.counts.files_set_aside.load(Ordering::Relaxed);
        let room = usize::try_from(REBUILDS_MAX.saturating_sub(set_aside)).unwrap_or(0);
        let probes: Vec<(Arc<ProbeFiles>, Vec<Which>)> = {
            let probes = self.probes.read();
            damaged
                .into_iter()
                .filter_map(|(id, files)| Some((Arc::clone(probes.get(&id)?), files)))
                .collect()
        };
        let begin = |(probe, files): &(Arc<ProbeFiles>, Vec<Which>)| {
            let (samples, _) = probe.waiting();
            let files = files.iter().map(|which| (*which, None)).collect();
            Some((probe.id.clone(), Rebuild::new(probe, *samples.first()?, files)))
        };
        let mut rebuilds = probes.iter().take(room).filter_map(begin).collect();
        self.rebuild(&mut rebuilds);
        let mut failed = None;
        for (probe, files) in &probes {
            let rebuild = rebuilds.remove(&probe.id);
            if let Err(error) = self.replace(probe, files, rebuild).and_then(|()| self.flush_probe(probe)) {
                self.counts.flush_failures.fetch_add(1, Ordering::Relaxed);
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Renames damaged files, and puts those that were made again in their places.
    fn replace(
        &self,
        probe: &ProbeFiles,
        files: &[Which],
        rebuild: Option<Rebuild>,
    ) -> Result<(), RrdFileError> {
        let _files = probe.files.lock();
        let mut rebuild = rebuild;
        for which in files {
            let path = self.path(probe, *which);
            self.set_aside(&path)?;
            if let Some(rrd) = rebuild.as_mut().and_then(|rebuild| rebuild.remove(*which)) {
                rrd::create(&path, &rrd)?;
            }
        }
        Ok(())
    }

    /// Renames a file out of the way; an older one of the same fate is kept.
    pub(super) fn set_aside(&self, path: &Path) -> Result<(), RrdFileError> {
        std::fs::rename(path, free_name(path, "unusable"))
            .map_err(|error| RrdFileError::Io(path.to_owned(), error))?;
        self.counts.files_set_aside.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A name beside `path` that no file has yet.
pub(super) fn free_name(path: &Path, why: &str) -> PathBuf {
    let names = (0_u32..).map(|number| path.with_extension(format!("rrd.{why}-{number}")));
    names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| path.with_extension(why))
}
