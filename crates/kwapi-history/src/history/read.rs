//! What pages and graphs request.

use kwapi_core::{Gaps, Period, ProbeId, Series, Timestamp, Watts};

use super::History;
use super::probe::Which;
use crate::rrd::{Consolidation, Rows, Rrd, RrdFileError};

/// The newest sample of a probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latest {
    /// When it was measured.
    pub at: Timestamp,
    /// Power then.
    pub power: Watts,
}

impl History {
    /// All probes ever seen here, in order of their ids.
    pub fn probes(&self) -> Vec<ProbeId> {
        let mut probes: Vec<_> = self.probes.read().keys().cloned().collect();
        probes.sort_unstable();
        probes
    }

    /// The newest sample, if it is known; that of an earlier process comes from the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last(&self, probe: &ProbeId) -> Result<Option<Latest>, RrdFileError> {
        let Some(probe) = self.probes.read().get(probe).cloned() else { return Ok(None) };
        let open = self.open_samples(&probe.id).last().map(|open| (open.at, open.watts));
        if let Some((at, watts)) = open.or_else(|| probe.newest()) {
            return Ok(Some(Latest { at, power: Watts(watts) }));
        }
        let newest = self.newest_in_file(&probe)?;
        Ok(newest.map(|(at, watts)| Latest { at, power: Watts(watts) }))
    }

    /// The Unix second in which a probe was first seen; `None` where its file was there before.
    pub(crate) fn since(&self, probe: &ProbeId) -> Option<u64> {
        self.probes.read().get(probe).and_then(|probe| probe.since)
    }

    /// Average power over the period that ends with the row `now` is in; that row is there too, made of what is known
    /// of it. `None` for a probe never seen.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn fetch(
        &self,
        probe: &ProbeId,
        period: Period,
        now: Timestamp,
    ) -> Result<Option<Series>, RrdFileError> {
        let Some(probe) = self.probes.read().get(probe).cloned() else { return Ok(None) };
        let Some(rrd) = self.present(&probe, Which::Power)? else { return Ok(None) };
        let mut series = series(&rrd, Consolidation::Average, period, now);
        if let Some(since) = probe.since {
            series.begins(since);
        }
        Ok(Some(series))
    }

    /// The least and the most over the whole period, of the seconds of which more than averages are kept; `None` where
    /// nothing finer than [`History::fetch`] is known.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn extremes(
        &self,
        probe: &ProbeId,
        period: Period,
        now: Timestamp,
    ) -> Result<Option<(Watts, Watts)>, RrdFileError> {
        let Some(rrd) = self.read(probe, Which::Peaks)? else { return Ok(None) };
        let kept = |consolidation| series(&rrd, consolidation, period, now).watts.into_iter().flatten();
        let (min, max) =
            (kept(Consolidation::Min).reduce(f64::min), kept(Consolidation::Max).reduce(f64::max));
        Ok(min.map(Watts).zip(max.map(Watts)))
    }

    /// The least and the most power of each row of a period, of the seconds of which more than averages are kept; `None` where
    /// nothing finer than [`History::fetch`] is known.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn peaks(
        &self,
        probe: &ProbeId,
        period: Period,
        now: Timestamp,
    ) -> Result<Option<(Series, Series)>, RrdFileError> {
        let Some(rrd) = self.read(probe, Which::Peaks)? else { return Ok(None) };
        let kept = |consolidation| series(&rrd, consolidation, period, now);
        Ok(Some((kept(Consolidation::Min), kept(Consolidation::Max))))
    }

    /// For how long each probe may be silent before its power is unknown.
    pub(crate) fn gaps(&self) -> &Gaps {
        &self.config.gaps
    }

    /// The RRD file of a probe, with everything known by now in it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn rrd_bytes(&self, probe: &ProbeId) -> Result<Option<Vec<u8>>, RrdFileError> {
        let Some(probe) = self.probes.read().get(probe).cloned() else { return Ok(None) };
        self.flushed_bytes(&probe)
    }

    fn read(&self, probe: &ProbeId, which: Which) -> Result<Option<Rrd>, RrdFileError> {
        let Some(probe) = self.probes.read().get(probe).cloned() else { return Ok(None) };
        self.present(&probe, which)
    }
}

/// The rows of one period; of the next finer archive where a file has none of that step.
fn series(rrd: &Rrd, consolidation: Consolidation, period: Period, now: Timestamp) -> Series {
    let finer = || {
        let candidates = rrd.archives().iter().enumerate();
        let candidates = candidates.filter(|(_, archive)| {
            archive.consolidation() == consolidation && rrd.row_seconds(archive) < period.step_seconds()
        });
        candidates.max_by_key(|(_, archive)| rrd.row_seconds(archive)).map(|(number, _)| number)
    };
    let number = rrd.archive(consolidation, period.step_seconds()).or_else(finer);
    let step = number
        .and_then(|number| rrd.archives().get(number))
        .map_or(period.step_seconds(), |archive| rrd.row_seconds(archive).max(1));
    let count = period.seconds().div_ceil(step);
    let end = now.seconds().div_ceil(step).saturating_mul(step);
    let start = end.saturating_sub(count * step);
    let count = usize::try_from(count).unwrap_or(period.rows());
    let rows = number.and_then(|number| rrd.rows(number, start, count, Some(now.seconds())));
    rows.map_or_else(|| Series::whole(start, step, vec![None; count]), series_of)
}

fn series_of(rows: Rows) -> Series {
    let partial = rows.in_progress.into_iter().collect();
    Series { start: rows.start, step: rows.step, watts: rows.values, partial }
}
