//! The samples of a service that does not run, read as they lie: nothing is written, repaired or removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use kwapi_core::{ProbeId, Timestamp};

use super::buffer::SampleBuffer;
use super::elsewhere::{Elsewhere, UnreadableSamples};
use super::files::{SampleFiles, SamplePart};
use super::merge::named;
use super::remote::{ObjectReader, RemoteFiles};
use super::sample::{Hour, SampleRow, hour_of};
use super::seen::days_of;
use super::table::{SampleColumns, decode};
use super::uploads::UploadLog;
use super::{PLACE, PLACE_BEFORE, place};
use crate::columns::Wanted;
use crate::journal::{Position, replay_files};
use crate::tree::Day;

/// Of what the journal has beyond the files, so many bytes are taken into memory. Full: the rest is left out, and the energy
/// of its rows is taken in proportion to time.
const BEYOND_BYTES_MAX: usize = 256 << 20;

/// The samples in a directory of history that no process uses.
#[derive(Debug)]
pub struct StoppedSamples {
    files: SampleFiles,
    parts: BTreeMap<Hour, Vec<SamplePart>>,
    beyond: SampleBuffer,
    uploads: UploadLog,
    /// The days of which something is in object storage.
    uploaded: BTreeSet<Day>,
    remote: Option<Arc<RemoteFiles>>,
}

impl StoppedSamples {
    /// Reads what is there: the list of files, and what the journal has beyond them.
    ///
    /// Hold a [`StoppedLedger`](crate::StoppedLedger) of the directory meanwhile: it keeps a service from starting there.
    ///
    /// # Errors
    /// When the disk does not give what is there.
    pub fn open(home: &Path) -> io::Result<Self> {
        let files = SampleFiles::new(home, None);
        let mut place = None;
        for name in [PLACE, PLACE_BEFORE] {
            place = files.tree().read(name)?.and_then(|bytes| place::decode(&bytes));
            if place.is_some() {
                break;
            }
        }
        let (found, _) = files.list()?;
        // Without a place the next process takes from the journal again what it has.
        let place = place.unwrap_or_default();
        let mut parts: BTreeMap<Hour, Vec<SamplePart>> = BTreeMap::new();
        for part in found.into_iter().filter(|part| part.from < place) {
            parts.entry(part.hour).or_default().push(part);
        }
        let beyond = beyond(home, place)?;
        let uploads = UploadLog::new(home, None);
        let uploaded = uploads.days()?;
        Ok(Self { files, parts, beyond, uploads, uploaded, remote: None })
    }

    /// The same, with the object storage that has the files that are no longer here. Without it, or where it does not answer,
    /// answers name the hours.
    #[must_use]
    pub fn with_objects(mut self, objects: Arc<dyn ObjectReader>) -> Self {
        self.remote = Some(RemoteFiles::new(objects));
        self
    }

    /// Whether some of the files may be in object storage alone.
    pub fn has_uploads(&self) -> bool {
        !self.uploaded.is_empty()
    }

    /// See `Samples::kept_from`.
    pub(crate) fn kept_from(&self) -> Option<Timestamp> {
        let first = [self.parts.keys().next(), self.beyond.hours().first()];
        let first = first.into_iter().flatten().min().copied();
        first.map(|hour| Timestamp::from_seconds(hour.saturating_mul(3_600)))
    }

    /// See `Samples::energies`.
    pub(crate) fn energies(
        &self,
        probes: &[ProbeId],
        times: Range<u64>,
        mut each: impl FnMut(&ProbeId, SampleRow),
    ) -> Vec<UnreadableSamples> {
        let wanted = hour_of(times.start)..=hour_of(times.end.saturating_sub(1));
        if wanted.is_empty() {
            return Vec::new();
        }
        if self.beyond.hours().range(wanted.clone()).next().is_some() {
            for probe in probes {
                let samples = self.beyond.samples_of(probe).into_iter();
                let of_time = samples.filter(|sample| times.contains(&sample.at.micros()));
                of_time.for_each(|sample| each(probe, sample));
            }
        }
        let mut unreadable = Vec::new();
        let parts: Vec<SamplePart> =
            self.parts.range(wanted.clone()).flat_map(|(_, parts)| parts).copied().collect();
        for part in &parts {
            let path = self.files.path(part);
            let read = File::open(&path).and_then(|file| {
                decode(file, Wanted::Sorted(probes), &times, SampleColumns::Energy, &mut each)
            });
            if let Err(error) = read {
                let hour = Timestamp::from_seconds(part.hour.saturating_mul(3_600));
                unreadable.push(UnreadableSamples { hour, cause: named(&error, &path).to_string() });
            }
        }
        let days = self.uploaded.range(days_of(&wanted)).copied();
        let elsewhere = Elsewhere { log: &self.uploads, remote: self.remote.as_ref() };
        let columns = SampleColumns::Energy;
        unreadable.extend(elsewhere.read(days, &parts, probes, &times, columns, each));
        unreadable
    }
}

fn beyond(home: &Path, place: Position) -> io::Result<SampleBuffer> {
    let mut buffer = SampleBuffer::default();
    replay_files(home, place, |record| {
        if buffer.bytes() < BEYOND_BYTES_MAX {
            buffer.push(&record.probe, &SampleRow::of(record));
        }
    })?;
    Ok(buffer)
}
