//! What there is of some time: the samples in files, here and in object storage, and those that wait to be written.

use std::fs::File;
use std::io;
use std::ops::{Range, RangeInclusive};

use kwapi_core::{ProbeId, Timestamp};

use super::Samples;
use super::elsewhere::{Elsewhere, UnreadableSamples};
use super::files::{HOURS_OF_DAY, SamplePart};
use super::merge::named;
use super::sample::{Hour, SampleRow, hour_of};
use super::table::{PartWriter, SampleColumns, decode};
use crate::columns::Wanted;
use crate::journal::Position;
use crate::tree::Day;

/// Samples of one probe, in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplesPage {
    /// All before this position in the journal was looked at.
    pub position: Position,
    /// The samples.
    pub samples: Vec<SampleRow>,
    /// Where it continues, where there are more than were requested.
    pub next: Option<Timestamp>,
    /// Files that could not be read: their samples are missing.
    pub unreadable: Vec<UnreadableSamples>,
}

/// Why there are no samples to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplesError {
    /// The question ends before it begins, or there.
    #[error("the end must be after the start")]
    Reversed,
    /// More than go into one file.
    #[error("more than {max} samples, the limit of one file: request less time")]
    TooMany {
        /// How many do.
        max: u64,
    },
    /// They cannot be encoded.
    #[error("cannot encode the samples as Parquet")]
    NotEncoded,
}

/// Samples of one probe as a Parquet file, with the columns of the files that are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplesFile {
    /// The file.
    pub bytes: Vec<u8>,
    /// How many samples are in it.
    pub rows: u64,
    /// Files that could not be read: their samples are missing.
    pub unreadable: Vec<UnreadableSamples>,
}

impl Samples {
    /// Samples of a probe from `start` on, until before `end`, no more than `limit`. Reads files, and may take a while.
    ///
    /// # Errors
    /// See [`SamplesError`].
    pub fn page(
        &self,
        probe: &ProbeId,
        start: Timestamp,
        end: Timestamp,
        limit: usize,
    ) -> Result<SamplesPage, SamplesError> {
        if end <= start {
            return Err(SamplesError::Reversed);
        }
        let probes = std::slice::from_ref(probe);
        let mut page = SamplesPage { position: self.position(), ..SamplesPage::default() };
        for hour in self.hours(start.micros()..end.micros()) {
            let mut of_hour = Vec::new();
            page.unreadable
                .extend(self.read(probes, hour, SampleColumns::All, |_, sample| of_hour.push(sample)));
            of_hour.sort_by_key(|sample| sample.at);
            page.samples.append(&mut of_hour);
            if page.samples.len() > limit {
                page.next = page.samples.get(limit).map(|sample| sample.at);
                page.samples.truncate(limit);
                break;
            }
        }
        Ok(page)
    }

    /// The samples of a probe from `start` on, until before `end`, as a Parquet file of at most `rows_max` of them. Reads files,
    /// an hour at a time, and may take a while.
    ///
    /// # Errors
    /// See [`SamplesError`].
    pub fn parquet(
        &self,
        probe: &ProbeId,
        start: Timestamp,
        end: Timestamp,
        rows_max: u64,
    ) -> Result<SamplesFile, SamplesError> {
        if end <= start {
            return Err(SamplesError::Reversed);
        }
        let mut file = SamplesFile::default();
        let mut writer = PartWriter::new(&mut file.bytes);
        for hour in self.hours(start.micros()..end.micros()) {
            let mut of_hour = Vec::new();
            let each = |_: &ProbeId, sample| of_hour.push(sample);
            file.unreadable.extend(self.read(std::slice::from_ref(probe), hour, SampleColumns::All, each));
            of_hour.sort_by_key(|sample| sample.at);
            file.rows = file.rows.saturating_add(of_hour.len() as u64);
            if file.rows > rows_max {
                return Err(SamplesError::TooMany { max: rows_max });
            }
            for sample in &of_hour {
                writer.push(probe, sample).map_err(|_| SamplesError::NotEncoded)?;
            }
        }
        writer.finish().map_err(|_| SamplesError::NotEncoded)?;
        Ok(file)
    }

    /// The begin of the oldest hour of which samples are kept; `None` where there are none.
    pub(crate) fn kept_from(&self) -> Option<Timestamp> {
        let buffer = self.buffer.read();
        let state = self.state.lock();
        let first = [state.parts.keys().next(), buffer.hours().first()].into_iter().flatten().min().copied();
        first.map(|hour| Timestamp::from_seconds(hour.saturating_mul(3_600)))
    }

    /// The hours with samples of some time (Unix microseconds), each as far as it belongs to that; of days in object storage
    /// all hours.
    fn hours(&self, times: Range<u64>) -> Vec<Range<u64>> {
        let buffer = self.buffer.read();
        let state = self.state.lock();
        let wanted = hour_of(times.start)..=hour_of(times.end.saturating_sub(1));
        let mut hours: Vec<Hour> = state.parts.range(wanted.clone()).map(|(hour, _)| *hour).collect();
        hours.extend(buffer.hours().range(wanted.clone()));
        for day in self.uploads.known.lock().days(days_of(&wanted)) {
            let of_day = day * HOURS_OF_DAY..(day + 1) * HOURS_OF_DAY;
            hours.extend(of_day.filter(|hour| wanted.contains(hour)));
        }
        hours.sort_unstable();
        hours.dedup();
        let length = 3_600_000_000;
        let within = |hour: u64| {
            let begin = hour.saturating_mul(length);
            begin.max(times.start)..begin.saturating_add(length).min(times.end)
        };
        hours.into_iter().map(within).collect()
    }

    /// Hands over the samples of `probes` (in order of their ids) of some time, in no order. Returns which files cannot
    /// be read, and why.
    pub(crate) fn energies(
        &self,
        probes: &[ProbeId],
        times: Range<u64>,
        each: impl FnMut(&ProbeId, SampleRow),
    ) -> Vec<UnreadableSamples> {
        self.read(probes, times, SampleColumns::Energy, each)
    }

    fn read(
        &self,
        probes: &[ProbeId],
        times: Range<u64>,
        columns: SampleColumns,
        mut each: impl FnMut(&ProbeId, SampleRow),
    ) -> Vec<UnreadableSamples> {
        let mut files = Vec::new();
        // A merge may take a file away between the list and its opening, and retention one that is elsewhere by now: then
        // all is listed again.
        let (mut waiting, mut parts) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            files.clear();
            (waiting, parts) = self.look(probes, &times);
            files.extend(parts.iter().map(|part| {
                let path = self.files.path(part);
                let file = File::open(&path);
                (part.hour, path, file)
            }));
            let is_gone = |file: &io::Result<File>| {
                file.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            };
            if !files.iter().any(|(.., file)| is_gone(file)) {
                break;
            }
        }
        waiting.iter().for_each(|(probe, sample)| each(probe, *sample));
        let mut unreadable = Vec::new();
        let mut note = |hour: Hour, cause: String| {
            unreadable
                .push(UnreadableSamples { hour: Timestamp::from_seconds(hour.saturating_mul(3_600)), cause });
        };
        for (hour, path, file) in files {
            let read = file.and_then(|file| decode(file, Wanted::Sorted(probes), &times, columns, &mut each));
            if let Err(error) = read {
                note(hour, named(&error, &path).to_string());
            }
        }
        let wanted = hour_of(times.start)..=hour_of(times.end.saturating_sub(1));
        let days = self.uploads.known.lock().days(days_of(&wanted));
        let elsewhere = Elsewhere { log: &self.uploads.log, remote: self.uploads.remote.as_ref() };
        unreadable.extend(elsewhere.read(days, &parts, probes, &times, columns, each));
        unreadable
    }

    /// What is in memory, and the files that have the rest.
    fn look(&self, probes: &[ProbeId], times: &Range<u64>) -> (Vec<(ProbeId, SampleRow)>, Vec<SamplePart>) {
        let buffer = self.buffer.read();
        let wanted = hour_of(times.start)..=hour_of(times.end.saturating_sub(1));
        let mut waiting = Vec::new();
        if !wanted.is_empty() && buffer.hours().range(wanted.clone()).next().is_some() {
            for probe in probes {
                let samples = buffer.samples_of(probe).into_iter();
                let of_time = samples.filter(|sample| times.contains(&sample.at.micros()));
                waiting.extend(of_time.map(|sample| (probe.clone(), sample)));
            }
        }
        let state = self.state.lock();
        let of_hours = if wanted.is_empty() { None } else { Some(state.parts.range(wanted)) };
        let parts = of_hours.into_iter().flatten().flat_map(|(_, parts)| parts).copied().collect();
        (waiting, parts)
    }
}

/// The days that have hours.
pub(super) fn days_of(hours: &RangeInclusive<Hour>) -> RangeInclusive<Day> {
    hours.start() / HOURS_OF_DAY..=hours.end() / HOURS_OF_DAY
}
