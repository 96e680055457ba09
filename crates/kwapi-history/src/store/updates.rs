//! How samples become updates of an RRD, with unknown time written where nobody measured.

use std::time::Duration;

use kwapi_core::Timestamp;

use crate::rrd::{Rrd, UpdateError};

/// One sample on its way to the files.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FileSample {
    pub(crate) at: Timestamp,
    pub(crate) watts: f64,
    /// How long it is known to have held: since the sample before, or for the usual interval after a gap. Only used
    /// after a gap.
    pub(crate) held: Duration,
    /// Whether others before it may have been lost: then nothing is known of the time before it held.
    pub(crate) is_after_loss: bool,
}

/// The whole second from which `sample` holds, before its stamp in any case.
pub(crate) fn first_second(sample: &FileSample) -> u64 {
    let held = u64::try_from(sample.held.as_micros()).unwrap_or(u64::MAX);
    let from = sample.at.micros().saturating_sub(held).div_ceil(1_000_000);
    let last_before = sample.at.micros().saturating_sub(1) / 1_000_000;
    from.min(last_before)
}

/// The end of the whole second that `sample` is of.
pub(crate) fn second_of(sample: &FileSample) -> u64 {
    sample.at.micros().div_ceil(1_000_000)
}

/// Updates the file of averages. Samples not after its last update are in it already and are passed over. Returns how
/// many were taken.
///
/// # Errors
/// When the file cannot take updates of one value at all.
pub(crate) fn apply(rrd: &mut Rrd, samples: &[FileSample], max_gap: Duration) -> Result<usize, UpdateError> {
    let mut taken = 0;
    for sample in samples {
        taken += usize::from(update(rrd, sample, max_gap)?);
    }
    Ok(taken)
}

/// Updates the file of peaks, which sees whole seconds: the mean of each second's samples over the time that they held. So a peak of one second
/// keeps its height whatever its phase, and one shorter than a second is averaged over it.
///
/// # Errors
/// As [`apply`].
pub(crate) fn apply_peaks(
    rrd: &mut Rrd,
    samples: &[FileSample],
    max_gap: Duration,
) -> Result<usize, UpdateError> {
    let mut taken = 0;
    for second in samples.chunk_by(|left, right| second_of(left) == second_of(right)) {
        let Some(last) = second.last() else { continue };
        let sample = FileSample {
            at: Timestamp::from_seconds(second_of(last)),
            watts: mean(second),
            held: last.held,
            is_after_loss: second.iter().any(|sample| sample.is_after_loss),
        };
        taken += usize::from(update(rrd, &sample, max_gap)?);
    }
    Ok(taken)
}

fn mean(samples: &[FileSample]) -> f64 {
    let held: f64 = samples.iter().map(|sample| sample.held.as_secs_f64()).sum();
    match samples {
        [one] => one.watts,
        _ if held > 0.0 => {
            samples.iter().map(|sample| sample.watts * sample.held.as_secs_f64()).sum::<f64>() / held
        }
        _ => samples.iter().map(|sample| sample.watts).sum::<f64>() / samples.len() as f64,
    }
}

fn update(rrd: &mut Rrd, sample: &FileSample, max_gap: Duration) -> Result<bool, UpdateError> {
    if sample.is_after_loss || sample.at.since(rrd.last_update()) > max_gap {
        unknown_until(rrd, first_second(sample))?;
    }
    match rrd.update(sample.at, &[Some(sample.watts)]) {
        Ok(()) => Ok(true),
        Err(UpdateError::NotAfterLast) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes unknown time up to a whole second. One unknown is not enough: RRDtool would let the second, and each row,
/// that was in progress when the gap began reach over all of it, so each of those is ended first.
fn unknown_until(rrd: &mut Rrd, second: u64) -> Result<(), UpdateError> {
    let begin = rrd.last_update().micros().div_ceil(1_000_000);
    let mut ends: Vec<u64> = rrd.archives().iter().map(|archive| rrd.row_seconds(archive)).collect();
    ends.push(rrd.step());
    for end in &mut ends {
        *end = begin.div_ceil(*end).saturating_mul(*end);
    }
    ends.retain(|end| *end < second);
    ends.push(second);
    ends.sort_unstable();
    for end in ends {
        match rrd.update(Timestamp::from_seconds(end), &[None]) {
            Ok(()) | Err(UpdateError::NotAfterLast) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
