//! Files whose last update is long after the samples that they are to take: whether they were written while the clock was
//! ahead, or the clock is behind now, is decided later.
//!
//! Samples that are behind wait for ten minutes. Where the clock is not set forward again by then, it is the files that
//! were ahead, and they are **rewound**: copied aside, and made as they were before.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kwapi_core::chain;

use super::History;
use super::probe::{AHEAD_MIN, Lag, ProbeFiles, Which};
use super::rebuild::{REBUILDS_MAX, Rebuild, free_name};
use crate::rrd::{self, RrdFileError};
use crate::store::FileSample;

/// Samples behind their file must be of so much time before the file is rewound: one stray sample is no evidence.
const BEHIND_SPAN_MIN: Duration = Duration::from_secs(300);

/// What became of the probes whose samples are behind their files.
#[derive(Debug, Default)]
pub(super) struct LookedAfter {
    /// What is waited for, if anything is.
    pub(super) waits: Option<String>,
    /// Of how many probes the files were rewound.
    pub(super) rewound: usize,
}

impl History {
    /// Whether the file was last updated long after the samples that wait for it, under a clock that was ahead; then they
    /// wait for that, or ours, to be mended. Looked at once: for the first samples of this process.
    pub(super) fn is_file_ahead(&self, probe: &ProbeFiles, samples: &[FileSample]) -> bool {
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
            probe.note_file_ahead(rrd.last_update());
            self.has_behind.store(true, Ordering::Relaxed);
        }
        is_ahead
    }

    /// Looks after the probes whose samples are behind their files: the files of those whose clock was not set forward within
    /// ten minutes are rewound.
    pub(super) fn look_after_behind(&self, now: Duration) -> LookedAfter {
        if !self.has_behind.load(Ordering::Relaxed) {
            return LookedAfter::default();
        }
        let probes: Vec<_> = self.probes.read().values().cloned().collect();
        let lags = probes.into_iter().filter_map(|probe| probe.lag(now).map(|lag| (probe, lag)));
        let is_due = |(_, lag): &(_, Lag)| lag.lasts >= AHEAD_MIN && lag.span >= BEHIND_SPAN_MIN;
        let (due, mut waiting): (Vec<_>, Vec<_>) = lags.partition(is_due);
        let due_count = due.len();
        let failed = self.rewind(due);
        let rewound = due_count - failed.len();
        waiting.extend(failed);
        self.has_behind.store(!waiting.is_empty(), Ordering::Relaxed);
        let furthest = waiting.iter().map(|(_, lag)| lag.ahead).max();
        let waits = furthest.map(|ahead| {
            format!(
                "RRD files of {} probes have a last update up to {} s in the future; waiting up to 10 minutes for the clock to be set",
                waiting.len(),
                ahead.as_secs()
            )
        });
        LookedAfter { waits, rewound }
    }

    /// Takes back in the files of probes what is later than their samples. The rows that the leap ahead has overwritten are
    /// taken from the journal, as far as it goes back. Answers the probes of which that failed.
    fn rewind(&self, probes: Vec<(Arc<ProbeFiles>, Lag)>) -> Vec<(Arc<ProbeFiles>, Lag)> {
        let rewound = self.counts.files_rewound.load(Ordering::Relaxed);
        let room = usize::try_from(REBUILDS_MAX.saturating_sub(rewound)).unwrap_or(0);
        let begin = |(probe, _): &(Arc<ProbeFiles>, _)| {
            // One that cannot be read now is tried again below, and reported there.
            Some((probe.id.clone(), self.begin_rewinding(probe).ok()??))
        };
        let mut rebuilds: HashMap<_, _> = probes.iter().take(room).filter_map(begin).collect();
        self.rebuild(&mut rebuilds);
        let mut rewind_one = |probe: &ProbeFiles| {
            let rebuild = match rebuilds.remove(&probe.id) {
                Some(rebuild) => Some(rebuild),
                None => self.begin_rewinding(probe)?.map(|mut rebuild| {
                    self.rebuild_without_journal([&mut rebuild]);
                    rebuild
                }),
            };
            rebuild.map_or(Ok(()), |rebuild| self.end_rewinding(probe, rebuild))
        };
        let mut failed = Vec::new();
        for (probe, lag) in probes {
            if let Err(error) = rewind_one(&probe) {
                self.counts.flush_failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(probe = %probe.id, error = %chain(&error), "cannot rewind RRD files");
                failed.push((probe, lag));
            }
        }
        failed
    }

    /// The files of a probe that are ahead of its samples; none where no sample is behind any more.
    fn begin_rewinding(&self, probe: &ProbeFiles) -> Result<Option<Rebuild>, RrdFileError> {
        self.flush_probe(probe)?; // What came before the clock was set belongs to what is kept.
        let _files = probe.files.lock();
        let Some(first) = probe.behind().first().copied() else { return Ok(None) };
        let mut files = Vec::new();
        for which in [Which::Power, Which::Peaks] {
            let path = self.path(probe, which);
            match rrd::read(&path) {
                Ok(rrd) if rrd.last_update() >= first.at => files.push((which, Some(rrd))),
                Ok(_) => {}
                Err(RrdFileError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(RrdFileError::Unusable(..)) => {
                    self.set_aside(&path)?;
                    files.push((which, None));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Rebuild::new(probe, first, files)))
    }

    /// Puts rewound files in their places, with the samples that were behind. The bytes of those before are kept beside them.
    fn end_rewinding(&self, probe: &ProbeFiles, rebuild: Rebuild) -> Result<(), RrdFileError> {
        let _files = probe.files.lock();
        let mut rebuild = rebuild;
        let samples = probe.behind();
        if samples.is_empty() {
            return Ok(()); // The clock was set forward meanwhile.
        }
        // The file of averages shows the next process whether there is anything to rewind: it is the last to be.
        for which in [Which::Peaks, Which::Power] {
            let path = self.path(probe, which);
            let rewound = match rebuild.remove(which) {
                Some(rrd) => {
                    if path.exists() {
                        let aside = free_name(&path, "ahead");
                        std::fs::copy(&path, &aside).map_err(|error| RrdFileError::Io(aside, error))?;
                    }
                    Some(rrd)
                }
                None => match rrd::read(&path) {
                    Ok(rrd) => Some(rrd),
                    Err(RrdFileError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                        which.begin(&samples)
                    }
                    Err(error) => return Err(error),
                },
            };
            let Some(mut rrd) = rewound else { continue };
            // What no file of power takes is set aside at the next flush.
            _ = which.apply(&mut rrd, &samples, self.config.gaps.of(&probe.id));
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
}
