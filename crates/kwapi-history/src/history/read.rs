//! What pages and graphs ask.

use kwapi_core::{ProbeId, Timestamp, Watts};

use super::History;
use super::probe::Which;
use crate::rrd::{Consolidation, Rrd, RrdFileError};
use crate::{Period, Series, Usage};

/// The newest sample of a probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latest {
    /// When it was measured.
    pub at: Timestamp,
    /// Power then.
    pub power: Watts,
}

/// The least and the most in each row of a period; the same rows as [`History::fetch`] gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peaks {
    /// The least second of each row.
    pub min: Series,
    /// The most.
    pub max: Series,
}

impl History {
    /// All probes ever seen here, in order of their ids.
    pub fn probes(&self) -> Vec<ProbeId> {
        let mut probes: Vec<_> = self.probes.read().keys().cloned().collect();
        probes.sort_unstable();
        probes
    }

    /// Whether this probe has ever been seen here.
    pub fn knows(&self, probe: &ProbeId) -> bool {
        self.probes.read().contains_key(probe)
    }

    /// The newest sample, if it is known; that of an earlier process comes from the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last(&self, probe: &ProbeId) -> Result<Option<Latest>, RrdFileError> {
        let Some(probe) = self.probes.read().get(probe).cloned() else { return Ok(None) };
        if let Some(newest) = probe.newest() {
            return Ok(Some(Latest { at: newest.at, power: Watts(newest.watts) }));
        }
        let newest = self.newest_in_file(&probe)?;
        Ok(newest.map(|(at, watts)| Latest { at, power: Watts(watts) }))
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
        if let Some(since) = probe.since() {
            series.begins(since);
        }
        Ok(Some(series))
    }

    /// The least and the most in each row of [`History::fetch`], so that short peaks show. Where only averages are
    /// known (rows of one second; the time before this kept peaks), those.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn peaks(
        &self,
        probe: &ProbeId,
        period: Period,
        now: Timestamp,
    ) -> Result<Option<Peaks>, RrdFileError> {
        let Some(averages) = self.fetch(probe, period, now)? else { return Ok(None) };
        let mut peaks = Peaks { min: averages.clone(), max: averages };
        if let Some(rrd) = self.read(probe, Which::Peaks)? {
            for (consolidation, target) in
                [(Consolidation::Min, &mut peaks.min), (Consolidation::Max, &mut peaks.max)]
            {
                let kept = series(&rrd, consolidation, period, now);
                if (kept.start, kept.step) == (target.start, target.step) {
                    for (slot, watts) in target.watts.iter_mut().zip(kept.watts) {
                        *slot = watts.or(*slot);
                    }
                }
            }
        }
        Ok(Some(peaks))
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
        let kept = |consolidation| Usage::of(&series(&rrd, consolidation, period, now), now);
        Ok(kept(Consolidation::Min).min.zip(kept(Consolidation::Max).max))
    }

    /// What a legend says of one probe and period: least and most are real ones, not those of averages.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn usage(
        &self,
        probe: &ProbeId,
        period: Period,
        now: Timestamp,
    ) -> Result<Option<Usage>, RrdFileError> {
        let Some(averages) = self.fetch(probe, period, now)? else { return Ok(None) };
        let usage = Usage::of(&averages, now);
        Ok(Some(match self.extremes(probe, period, now)? {
            Some((min, max)) => usage.reaching(min, max),
            None => usage,
        }))
    }

    /// Average power between two instants, in the finest rows that reach back to `from`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn fetch_range(
        &self,
        probe: &ProbeId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Option<Series>, RrdFileError> {
        let Some(rrd) = self.read(probe, Which::Power)? else { return Ok(None) };
        let last = rrd.last_update().seconds();
        let mut archives: Vec<_> = rrd.archives().iter().enumerate().collect();
        archives.retain(|(_, archive)| archive.consolidation() == Consolidation::Average);
        archives.sort_by_key(|(_, archive)| rrd.row_seconds(archive));
        let reaches = |archive| {
            let step = rrd.row_seconds(archive);
            let kept = step.saturating_mul(archive.rows() as u64);
            (last - last % step).saturating_sub(kept) <= from.seconds()
        };
        let found = archives.iter().find(|(_, archive)| reaches(archive)).or(archives.last());
        let Some((number, archive)) = found else { return Ok(Some(Series { step: 1, ..Series::default() })) };
        let step = rrd.row_seconds(archive);
        let start = from.seconds() - from.seconds() % step;
        let count = to.seconds().saturating_sub(start).div_ceil(step);
        // More rows than the archive has are all unknown.
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(archive.rows().saturating_mul(2));
        Ok(rrd.rows(*number, start, count, Some(to.seconds())).map(Series::from))
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
    rows.map_or_else(|| Series::whole(start, step, vec![None; count]), Series::from)
}
