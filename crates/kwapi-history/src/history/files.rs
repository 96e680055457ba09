//! Writing and reading the files of a probe.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use kwapi_core::{Timestamp, chain};

use super::History;
use super::probe::{AHEAD_MIN, Lag, ProbeFiles, SAMPLES_MANY, Which};
use crate::journal::Position;
use crate::rrd::{self, Rrd, RrdFileError};
use crate::store::{self, FileSample, Known};

/// Each rebuild reads the whole journal: where more files than this are broken, the others begin empty; where more were
/// written under a clock that was ahead, the others lack the rows that the leap has overwritten.
const REBUILDS_MAX: u64 = 64;
/// Samples behind their file must be of so much time before the file is rewound: one stray sample is no evidence.
const BEHIND_SPAN_MIN: Duration = Duration::from_secs(300);

impl History {
    /// Writes the files of one probe.
    pub(super) fn flush_probe(&self, probe: &ProbeFiles) -> Result<(), RrdFileError> {
        let _files = probe.files.lock();
        let (samples, gone) = probe.waiting();
        if samples.is_empty() {
            return Ok(());
        }
        if self.is_file_ahead(probe, &samples) {
            return Ok(());
        }
        for which in [Which::Power, Which::Peaks] {
            self.write_file(probe, which, &samples).inspect_err(|_| {
                self.counts.flush_failures.fetch_add(1, Ordering::Relaxed);
            })?;
        }
        let freed = probe.written(samples.len(), gone);
        self.waiting_bytes.fetch_sub(freed, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn path(&self, probe: &ProbeFiles, which: Which) -> PathBuf {
        match which {
            Which::Power => store::power_path(&self.rrd_directory, probe.stem),
            Which::Peaks => store::peaks_path(&self.rrd_directory, probe.stem),
        }
    }

    fn write_file(
        &self,
        probe: &ProbeFiles,
        which: Which,
        samples: &[FileSample],
    ) -> Result<(), RrdFileError> {
        let path = self.path(probe, which);
        let max_gap = self.config.max_gap;
        let mut set_aside = false;
        let amended = rrd::amend(&path, |rrd| which.apply(rrd, samples, max_gap));
        match amended {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(refused)) => {
                tracing::error!(probe = %probe.id, path = %path.display(), %refused, "renamed: not an RRD file of power");
                self.set_aside(&path)?;
                set_aside = true;
            }
            Err(RrdFileError::Unusable(_, cause)) => {
                tracing::error!(probe = %probe.id, path = %path.display(), %cause, "renamed: unusable RRD file");
                self.set_aside(&path)?;
                set_aside = true;
            }
            Err(RrdFileError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                self.notice_removal();
            }
            Err(error) => return Err(error),
        }
        let rebuilt = if set_aside { self.rebuild(probe, which) } else { None };
        let Some(mut rrd) = rebuilt.or_else(|| which.begin(samples)) else { return Ok(()) };
        // A file of our own making takes any sample.
        _ = which.apply(&mut rrd, samples, max_gap);
        rrd::create(&path, &rrd)
    }

    /// Makes a file again from what the journal still has of its probe.
    fn rebuild(&self, probe: &ProbeFiles, which: Which) -> Option<Rrd> {
        if self.counts.files_set_aside.load(Ordering::Relaxed) > REBUILDS_MAX {
            return None;
        }
        self.again_from_journal(probe, which, None, |samples| which.begin(samples))
    }

    /// The file that `begin` makes for the first samples, with what the journal still has of its probe, of before `before`.
    fn again_from_journal(
        &self,
        probe: &ProbeFiles,
        which: Which,
        before: Option<Timestamp>,
        mut begin: impl FnMut(&[FileSample]) -> Option<Rrd>,
    ) -> Option<Rrd> {
        let again = ProbeFiles::new(Known { probe: probe.id.clone(), since: probe.since }, probe.number);
        let mut rrd: Option<Rrd> = None;
        let mut take_up = |again: &ProbeFiles| {
            let (samples, gone) = again.waiting();
            if rrd.is_none() {
                rrd = begin(&samples);
            }
            if let Some(rrd) = &mut rrd {
                _ = which.apply(rrd, &samples, self.config.max_gap);
            }
            again.written(samples.len(), gone);
        };
        let mut kept = 0_usize;
        let replayed = self.journal.replay(Position::default(), |record| {
            if record.probe == probe.id && before.is_none_or(|before| record.at < before) {
                _ = again.keep(record, 0, self.config.max_gap);
                kept += 1;
                if kept.is_multiple_of(SAMPLES_MANY) {
                    take_up(&again);
                }
            }
        });
        take_up(&again);
        match replayed {
            Ok(_) => tracing::info!(probe = %probe.id, "RRD file rebuilt from the journal"),
            Err(error) => tracing::warn!(probe = %probe.id, %error, "cannot read the journal"),
        }
        rrd
    }

    /// Whether the file was last updated long after the samples that wait for it, under a clock that was ahead; then they
    /// wait for that, or ours, to be mended. Looked at once: for the first samples of this process.
    fn is_file_ahead(&self, probe: &ProbeFiles, samples: &[FileSample]) -> bool {
        if !probe.is_first_flush() {
            return false;
        }
        let Some((newest, Ok(rrd))) =
            samples.last().map(|last| (last, rrd::read(&self.path(probe, Which::Power))))
        else {
            return false;
        };
        let is_ahead = rrd.last_update().since(newest.at) >= AHEAD_MIN;
        if is_ahead {
            probe.is_behind(rrd.last_update());
            self.has_behind.store(true, Ordering::Relaxed);
        }
        is_ahead
    }

    /// Looks after the probes whose samples are behind their files: those whose clock was not set back within ten minutes
    /// have files that were written under a clock that was ahead, and these are rewound. Says what is waited for.
    pub(super) fn look_after_behind(&self, now: Duration) -> Option<String> {
        if !self.has_behind.load(Ordering::Relaxed) {
            return None;
        }
        let probes: Vec<_> = self.probes.read().values().cloned().collect();
        let mut waits: Option<(usize, Lag)> = None;
        for probe in probes {
            let Some(lag) = probe.lag(now) else { continue };
            if lag.lasts >= AHEAD_MIN && lag.span >= BEHIND_SPAN_MIN {
                match self.rewind_files(&probe) {
                    Ok(()) => continue,
                    Err(error) => {
                        self.counts.flush_failures.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!(probe = %probe.id, error = %chain(&error), "cannot rewind RRD files");
                    }
                }
            }
            let (count, longest) = waits.unwrap_or((0, lag));
            waits = Some((count + 1, if lag.ahead > longest.ahead { lag } else { longest }));
        }
        self.has_behind.store(waits.is_some(), Ordering::Relaxed);
        waits.map(|(count, lag)| {
            format!(
                "RRD files of {count} probes have a last update up to {} s in the future; waiting up to 10 minutes for the clock to be set",
                lag.ahead.as_secs()
            )
        })
    }

    /// Takes back in a probe's files what is later than its samples. The bytes are kept beside them.
    fn rewind_files(&self, probe: &ProbeFiles) -> Result<(), RrdFileError> {
        self.flush_probe(probe)?; // What came before the clock was set belongs to what is kept.
        let _files = probe.files.lock();
        let samples = probe.behind();
        let Some(first) = samples.first() else { return Ok(()) };
        for which in [Which::Power, Which::Peaks] {
            let path = self.path(probe, which);
            let read = match rrd::read(&path) {
                Ok(rrd) => Some(rrd),
                Err(RrdFileError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            let is_ahead = read.as_ref().is_some_and(|rrd| rrd.last_update() >= first.at);
            let Some(mut rrd) = read.or_else(|| which.begin(&samples)) else { continue };
            if is_ahead {
                let aside = free_name(&path, "ahead");
                std::fs::copy(&path, &aside).map_err(|error| RrdFileError::Io(aside, error))?;
                rrd = self.rewound(probe, which, &rrd, first);
            }
            // What no file of power takes is set aside at the next flush.
            _ = which.apply(&mut rrd, &samples, self.config.max_gap);
            rrd::create(&path, &rrd)?;
        }
        let [before, after] = probe.went_back(samples.len());
        self.waiting_bytes.fetch_add(after, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(before, Ordering::Relaxed);
        if self.counts.files_rewound.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!(
                probe = %probe.id,
                "RRD files were written while the clock was ahead; rows in the future removed, the original files are kept as *.rrd.ahead-N"
            );
        }
        Ok(())
    }

    /// A file that was written under a clock that was ahead, as it was before `first`. The rows that the leap ahead has
    /// overwritten are taken from the journal, as far as it goes back.
    fn rewound(&self, probe: &ProbeFiles, which: Which, rrd: &Rrd, first: &FileSample) -> Rrd {
        let back_to = |begin: &FileSample| {
            let mut rewound = rrd.clone();
            rewound.rewind(store::first_second(begin).min(store::first_second(first)));
            rewound
        };
        let is_one_of_many = self.counts.files_rewound.load(Ordering::Relaxed) >= REBUILDS_MAX;
        let from_journal =
            || self.again_from_journal(probe, which, Some(first.at), |samples| samples.first().map(back_to));
        let rebuilt = if is_one_of_many { None } else { from_journal() };
        rebuilt.unwrap_or_else(|| back_to(first))
    }

    /// Renames a file out of the way; an older one of the same fate is kept.
    fn set_aside(&self, path: &Path) -> Result<(), RrdFileError> {
        std::fs::rename(path, free_name(path, "unusable"))
            .map_err(|error| RrdFileError::Io(path.to_owned(), error))?;
        self.counts.files_set_aside.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the directory again where somebody removed it, and writes down in it whose the files will be.
    fn notice_removal(&self) {
        if self.rrd_directory.exists() {
            return;
        }
        tracing::error!(
            directory = %self.rrd_directory.display(),
            "RRD files were removed while running; their data is lost, creating new ones"
        );
        self.counts.directories_removed.fetch_add(1, Ordering::Relaxed);
        let made = std::fs::create_dir_all(&self.rrd_directory).and_then(|()| {
            self.relock();
            let probes = self.probes.read();
            let known = probes.values().map(|probe| Known { probe: probe.id.clone(), since: probe.since });
            self.index.lock().begin_again(known.collect::<Vec<_>>())
        });
        if let Err(error) = made {
            tracing::error!(%error, "cannot recreate the RRD directory");
        }
    }

    /// The file as it will be once what waits is written; `None` when there is neither file nor sample.
    pub(super) fn present(&self, probe: &ProbeFiles, which: Which) -> Result<Option<Rrd>, RrdFileError> {
        let _files = probe.files.lock();
        let (samples, _) = probe.waiting();
        let read = match rrd::read(&self.path(probe, which)) {
            Ok(rrd) => Some(rrd),
            Err(RrdFileError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.notice_unreadable(probe, &error);
                return Err(error);
            }
        };
        let Some(mut rrd) = read.or_else(|| which.begin(&samples)) else { return Ok(None) };
        _ = which.apply(&mut rrd, &samples, self.config.max_gap);
        Ok(Some(rrd))
    }

    /// Counts a file that could not be read for somebody who asked, and warns of the probe once.
    fn notice_unreadable(&self, probe: &ProbeFiles, error: &RrdFileError) {
        self.counts.read_failures.fetch_add(1, Ordering::Relaxed);
        let mut told = self.unreadable.lock();
        if told.len() < UNREADABLE_MAX && told.insert(probe.id.clone()) {
            tracing::warn!(probe = %probe.id, error = %chain(error), "cannot read the history of a probe");
        }
    }

    /// The bytes of a file that has everything.
    pub(super) fn flushed_bytes(&self, probe: &ProbeFiles) -> Result<Option<Vec<u8>>, RrdFileError> {
        self.flush_probe(probe)?;
        Ok(self.present(probe, Which::Power)?.map(|rrd| rrd.to_bytes()))
    }

    /// The stamp and value of the newest update in the file.
    pub(super) fn newest_in_file(
        &self,
        probe: &ProbeFiles,
    ) -> Result<Option<(Timestamp, f64)>, RrdFileError> {
        let rrd = self.present(probe, Which::Power)?;
        Ok(rrd.and_then(|rrd| Some((rrd.last_update(), rrd.last_value()?))))
    }
}

/// A name beside `path` that no file has yet.
fn free_name(path: &Path, why: &str) -> PathBuf {
    let names = (0_u32..).map(|number| path.with_extension(format!("rrd.{why}-{number}")));
    names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| path.with_extension(why))
}

/// Probes of which it is remembered that their file could not be read, so that it is told once.
const UNREADABLE_MAX: usize = 10_000;
