//! Samples of files that are in object storage alone.

use std::collections::HashSet;
use std::io;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use kwapi_core::{ProbeId, Timestamp};

use super::files::{HOURS_OF_DAY, SamplePart};
use super::remote::RemoteFiles;
use super::sample::{Hour, SampleRow, hour_of};
use super::table::{SampleColumns, decode};
use super::uploads::{UploadLog, UploadState};
use crate::columns::Wanted;
use crate::journal::Position;
use crate::tree::Day;

/// A file of samples that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnreadableSamples {
    /// The begin of the hour that it is of.
    pub hour: Timestamp,
    /// Which, and why.
    pub cause: String,
}

/// What is in object storage, and how it is read there, where that is configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elsewhere<'a> {
    pub(super) log: &'a UploadLog,
    pub(super) remote: Option<&'a Arc<RemoteFiles>>,
}

impl Elsewhere<'_> {
    /// Hands over the samples of `probes` (in order of their ids) of some time, from the files of `days` that are not `here`.
    /// Returns which cannot be read, and why.
    pub(super) fn read(
        self,
        days: impl IntoIterator<Item = Day>,
        here: &[SamplePart],
        probes: &[ProbeId],
        times: &Range<u64>,
        columns: SampleColumns,
        mut each: impl FnMut(&ProbeId, SampleRow),
    ) -> Vec<UnreadableSamples> {
        let wanted = hour_of(times.start)..=hour_of(times.end.saturating_sub(1));
        let mut unreadable = Vec::new();
        let mut note = |hour: Hour, cause: String| {
            let hour = Timestamp::from_seconds(hour.saturating_mul(3_600));
            unreadable.push(UnreadableSamples { hour, cause });
        };
        for day in days {
            let objects = match self.objects(day, &wanted, here) {
                Ok(objects) => objects,
                Err(error) => {
                    let of_day = day * HOURS_OF_DAY..(day + 1) * HOURS_OF_DAY;
                    let cause = format!("what is in object storage cannot be read: {error}");
                    of_day.filter(|hour| wanted.contains(hour)).for_each(|hour| note(hour, cause.clone()));
                    continue;
                }
            };
            for part in objects {
                let Some(remote) = self.remote else {
                    let cause = format!("{} is in object storage, which is not configured", part.key());
                    note(part.hour, cause);
                    continue;
                };
                let file = remote.open(&part.key(), part.bytes);
                if let Err(error) = decode(file, Wanted::Sorted(probes), times, columns, &mut each) {
                    note(part.hour, format!("{} in object storage: {error}", part.key()));
                }
            }
        }
        unreadable
    }

    /// The files of some hours of a day that are in object storage alone.
    fn objects(
        self,
        day: Day,
        hours: &RangeInclusive<Hour>,
        here: &[SamplePart],
    ) -> io::Result<Vec<SamplePart>> {
        let here: HashSet<(Hour, Position)> = here.iter().map(|part| (part.hour, part.from)).collect();
        let lines = self.log.day(day)?;
        let stored = lines.iter().filter(|line| line.state == UploadState::Stored).map(|line| line.part);
        let is_elsewhere =
            |part: &SamplePart| hours.contains(&part.hour) && !here.contains(&(part.hour, part.from));
        Ok(stored.filter(is_elsewhere).collect())
    }
}
