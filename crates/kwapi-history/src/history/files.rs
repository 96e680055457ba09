//! Writing and reading the files of a probe.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use kwapi_core::{Timestamp, chain};

use super::History;
use super::probe::{ProbeFiles, Which};
use crate::rrd::{self, Rrd, RrdFileError};
use crate::store::{self, FileSample, Known};

impl History {
    /// Writes the files of one probe. One that is damaged is noted, for [`History::mend_damaged`]; the samples wait for it.
    pub(super) fn flush_probe(&self, probe: &ProbeFiles) -> Result<(), RrdFileError> {
        let _files = probe.files.lock();
        let (samples, gone) = probe.waiting();
        if samples.is_empty() {
            return Ok(());
        }
        if self.is_file_ahead(probe, &samples) {
            return Ok(());
        }
        let mut is_damaged = false;
        for which in [Which::Power, Which::Peaks] {
            let damage = self.write_file(probe, which, &samples).inspect_err(|_| {
                self.counts.flush_failures.fetch_add(1, Ordering::Relaxed);
            })?;
            if let Some(cause) = damage {
                is_damaged = true;
                self.note_damaged(probe, which, &cause);
            }
        }
        if !is_damaged {
            let freed = probe.written(samples.len(), gone);
            self.waiting_bytes.fetch_sub(freed, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) fn path(&self, probe: &ProbeFiles, which: Which) -> PathBuf {
        match which {
            Which::Power => store::power_path(&self.rrd_directory, probe.stem),
            Which::Peaks => store::peaks_path(&self.rrd_directory, probe.stem),
        }
    }

    /// Writes one file. Answers why it cannot take samples at all, if it cannot.
    fn write_file(
        &self,
        probe: &ProbeFiles,
        which: Which,
        samples: &[FileSample],
    ) -> Result<Option<String>, RrdFileError> {
        let path = self.path(probe, which);
        let max_gap = self.config.gaps.of(&probe.id);
        match rrd::amend(&path, |rrd| which.apply(rrd, samples, max_gap)) {
            Ok(Ok(_)) => return Ok(None),
            Ok(Err(refused)) => return Ok(Some(refused.to_string())),
            Err(RrdFileError::Unusable(_, cause)) => return Ok(Some(cause.to_string())),
            Err(RrdFileError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                self.notice_removal();
            }
            Err(error) => return Err(error),
        }
        let Some(mut rrd) = which.begin(samples) else { return Ok(None) };
        // A file of our own making takes any sample.
        _ = which.apply(&mut rrd, samples, max_gap);
        rrd::create(&path, &rrd).map(|()| None)
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
        // Before what waits: what is closed between the two is in both, and counts once.
        let open = self.open_samples(&probe.id);
        let _files = probe.files.lock();
        let (mut samples, _) = probe.waiting();
        samples.extend(open);
        let read = match rrd::read(&self.path(probe, which)) {
            Ok(rrd) => Some(rrd),
            Err(RrdFileError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.notice_unreadable(probe, &error);
                return Err(error);
            }
        };
        let Some(mut rrd) = read.or_else(|| which.begin(&samples)) else { return Ok(None) };
        _ = which.apply(&mut rrd, &samples, self.config.gaps.of(&probe.id));
        Ok(Some(rrd))
    }

    /// Counts a file that could not be read on request, and warns of the probe once.
    fn notice_unreadable(&self, probe: &ProbeFiles, error: &RrdFileError) {
        self.counts.read_failures.fetch_add(1, Ordering::Relaxed);
        let mut reported = self.unreadable.lock();
        if reported.len() < UNREADABLE_MAX && reported.insert(probe.id.clone()) {
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

/// Probes of which it is remembered that their file could not be read, so that it is reported once.
const UNREADABLE_MAX: usize = 10_000;
