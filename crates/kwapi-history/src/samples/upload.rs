//! Which files of samples are to go to object storage, and what is known of those that have gone.
//!
//! A file goes once its hour is over and nothing of it is to be merged. From the begin of its upload on it stays as it is,
//! here and there; what comes late is a further file. Retention removes an hour from this disk when all of its files are
//! stored there, and not before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kwapi_core::Timestamp;
use parking_lot::Mutex;

use super::Samples;
use super::files::{HOURS_OF_DAY, SamplePart};
use super::merge::is_over;
use super::remote::{ObjectReader, RemoteFiles};
use super::sample::Hour;
use super::table::count;
use super::uploads::{UploadLine, UploadLog, UploadState};
use crate::journal::Position;
use crate::tree::Day;

/// A file that is to be in object storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleUpload {
    /// The object's key: `date=2026-11-26/hour=17/part-….parquet`.
    pub key: String,
    /// The file. It is there, and the same, until it is stored.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    part: SamplePart,
}

/// What is known of uploads while the process runs.
#[derive(Debug, Default)]
pub(super) struct UploadsKnown {
    /// Of files that are here.
    parts: BTreeMap<(Hour, Position), UploadState>,
    /// Days of which anything is in object storage.
    days: BTreeSet<Day>,
    /// Files that cannot go as they are, and the first cause. They are tried again by the next process.
    refused: BTreeMap<(Hour, Position), String>,
    /// Why the last upload failed.
    trouble: Option<String>,
    stored: u64,
    stored_bytes: u64,
    failures: u64,
}

impl UploadsKnown {
    /// Whether a file may be merged with others.
    pub(super) fn may_be_merged(&self, part: &SamplePart) -> bool {
        !self.parts.contains_key(&(part.hour, part.from))
    }

    fn is_stored(&self, part: &SamplePart) -> bool {
        self.parts.get(&(part.hour, part.from)) == Some(&UploadState::Stored)
    }

    /// Whether all of these are in object storage.
    pub(super) fn are_stored(&self, parts: &[SamplePart]) -> bool {
        parts.iter().all(|part| self.is_stored(part))
    }

    /// Forgets the files of an hour, which are here no longer.
    pub(super) fn forget_here(&mut self, hour: Hour) {
        self.parts.retain(|(of, _), _| *of != hour);
        self.refused.retain(|(of, _), _| *of != hour);
    }

    /// The days of a range with anything in object storage.
    pub(super) fn days(&self, days: std::ops::RangeInclusive<Day>) -> Vec<Day> {
        if days.is_empty() { Vec::new() } else { self.days.range(days).copied().collect() }
    }
}

/// Object storage, as far as the samples need of it.
#[derive(Debug)]
pub(super) struct Uploads {
    pub(super) log: UploadLog,
    /// Taken last.
    pub(super) known: Mutex<UploadsKnown>,
    /// Where closed files go, where that is configured.
    pub(super) remote: Option<Arc<RemoteFiles>>,
}

impl Uploads {
    /// What `log` has of the files that are here.
    pub(super) fn open(log: UploadLog, here: &BTreeMap<Hour, Vec<SamplePart>>) -> io::Result<Self> {
        let uploads = Self { log, known: Mutex::default(), remote: None };
        uploads.read(here)?;
        Ok(uploads)
    }

    fn read(&self, here: &BTreeMap<Hour, Vec<SamplePart>>) -> io::Result<()> {
        let days = self.log.days()?;
        let days_here: BTreeSet<Day> = here.keys().map(|hour| hour / HOURS_OF_DAY).collect();
        let mut parts = BTreeMap::new();
        for day in days.intersection(&days_here) {
            for UploadLine { state, part } in self.log.day(*day)?.iter() {
                let is_here =
                    here.get(&part.hour).is_some_and(|here| here.iter().any(|of| of.from == part.from));
                if is_here {
                    parts.insert((part.hour, part.from), *state);
                }
            }
        }
        let mut known = self.known.lock();
        (known.parts, known.days) = (parts, days);
        Ok(())
    }
}

impl Samples {
    /// With object storage: closed files go there ([`Samples::next_upload`]), retention waits for that, and what is no longer
    /// here is read from `objects`.
    #[must_use]
    pub fn with_objects(mut self, objects: Arc<dyn ObjectReader>) -> Self {
        self.uploads.remote = Some(RemoteFiles::new(objects));
        self
    }

    /// The next file that is to be in object storage, the oldest first. Whoever gets it puts it there, verifies it, and
    /// calls [`Samples::upload_stored`], or otherwise [`Samples::upload_failed`] and calls this again, or
    /// [`Samples::upload_refused`].
    ///
    /// # Errors
    /// When the disk refuses to keep that an upload begins: none does, then.
    pub fn next_upload(&self, wall: Timestamp) -> io::Result<Option<SampleUpload>> {
        while let Some((part, is_begun)) = self.choose_upload(wall) {
            let path = self.files.path(&part);
            let upload = SampleUpload { key: part.key(), path, bytes: part.bytes, part };
            if let Err(error) = File::open(&upload.path).and_then(count) {
                self.upload_refused(&upload, &format!("it is damaged: {error}"));
                continue;
            }
            let line = UploadLine { state: UploadState::Begun, part };
            if !is_begun && let Err(error) = self.uploads.log.append(&line, None) {
                self.uploads.known.lock().parts.remove(&(part.hour, part.from));
                return Err(error);
            }
            return Ok(Some(upload));
        }
        Ok(None)
    }

    /// Chooses a file and marks it, so that it is not merged meanwhile; returns whether it was marked before.
    fn choose_upload(&self, wall: Timestamp) -> Option<(SamplePart, bool)> {
        let cannot_merge = self.upkeep.lock().merge_again.is_some();
        let state = self.state.lock();
        let mut known = self.uploads.known.lock();
        for (hour, parts) in &state.parts {
            let is_settled = is_over(*hour, wall) && (cannot_merge || state.looked_at.contains(hour));
            for part in parts {
                let place = (part.hour, part.from);
                if known.refused.contains_key(&place) {
                    continue;
                }
                match known.parts.get(&place) {
                    Some(UploadState::Begun) => return Some((*part, true)),
                    // Even the older place has it: no start will remove it.
                    None if is_settled && part.from < state.committed_before => {
                        known.parts.insert(place, UploadState::Begun);
                        return Some((*part, false));
                    }
                    Some(UploadState::Stored) | None => {}
                }
            }
        }
        None
    }

    /// Takes down that a file is in object storage, its size and `sha256` (in hexadecimal) verified there.
    ///
    /// # Errors
    /// When the disk refuses: the upload is to be looked at again.
    pub fn upload_stored(&self, upload: &SampleUpload, sha256: &str) -> io::Result<()> {
        let part = upload.part;
        self.uploads.log.append(&UploadLine { state: UploadState::Stored, part }, Some(sha256))?;
        let mut known = self.uploads.known.lock();
        known.parts.insert((part.hour, part.from), UploadState::Stored);
        known.days.insert(part.hour / HOURS_OF_DAY);
        known.stored += 1;
        known.stored_bytes = known.stored_bytes.saturating_add(upload.bytes);
        drop(known);
        self.upload_works();
        Ok(())
    }

    /// Notes that object storage does what is requested.
    pub fn upload_works(&self) {
        if self.uploads.known.lock().trouble.take().is_some() {
            tracing::info!("samples are uploaded to object storage again");
        }
    }

    /// Notes why nothing can be uploaded at the moment; the files stay here.
    pub fn upload_failed(&self, cause: &str) {
        let mut known = self.uploads.known.lock();
        known.failures += 1;
        if known.trouble.as_deref() != Some(cause) {
            tracing::error!(
                "samples cannot be uploaded to object storage: {cause}; they are kept on this disk"
            );
        }
        known.trouble = Some(cause.to_owned());
    }

    /// Notes why one file cannot be uploaded as things are; others are, and this one stays here.
    pub fn upload_refused(&self, upload: &SampleUpload, cause: &str) {
        let mut known = self.uploads.known.lock();
        known.failures += 1;
        tracing::error!(file = %upload.path.display(), "a file of samples is not uploaded: {cause}; it is kept on this disk");
        known.refused.insert((upload.part.hour, upload.part.from), format!("{}: {cause}", upload.key));
    }

    /// What keeps samples from object storage, for the operator.
    pub fn upload_trouble(&self) -> Option<String> {
        let known = self.uploads.known.lock();
        if let Some(trouble) = &known.trouble {
            return Some(format!("samples cannot be uploaded to object storage: {trouble}"));
        }
        let (count, first) = (known.refused.len(), known.refused.values().next()?);
        Some(format!("{count} files of samples cannot be uploaded to object storage: {first}"))
    }

    /// Whether it is not known what object storage has: on the first start with it, or when `samples-uploaded` was lost.
    pub fn needs_listing(&self) -> bool {
        !self.uploads.log.exists()
    }

    /// Begins to take down which objects there are.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin_listing(&self) -> io::Result<()> {
        self.uploads.log.begin_listing()
    }

    /// Takes down some objects, by key and size. Those of files that are here are left to be compared with them; others
    /// than samples are left out.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn list_objects(&self, objects: &[(String, u64)]) -> io::Result<()> {
        let parts = objects.iter().filter_map(|(key, bytes)| SamplePart::of_key(key, *bytes));
        let mut parts: Vec<SamplePart> = {
            let state = self.state.lock();
            let is_here = |part: &SamplePart| {
                state.parts.get(&part.hour).is_some_and(|here| here.iter().any(|of| of.from == part.from))
            };
            parts.filter(|part| !is_here(part)).collect()
        };
        parts.sort_unstable();
        self.uploads.log.list(&parts)
    }

    /// Takes what was listed for all there is.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn end_listing(&self) -> io::Result<()> {
        self.uploads.log.end_listing()?;
        let here = self.state.lock().parts.clone();
        self.uploads.read(&here)
    }

    /// What the uploads count, for [`Samples::counters`].
    pub(super) fn count_uploads(&self, counters: &mut super::SamplesCounters, parts: &[SamplePart]) {
        let known = self.uploads.known.lock();
        (counters.uploads, counters.upload_bytes) = (known.stored, known.stored_bytes);
        counters.upload_failures = known.failures;
        if let Some(remote) = &self.uploads.remote {
            (counters.object_reads, counters.object_read_failures) = remote.counts();
            let not_stored = || parts.iter().filter(|part| !known.is_stored(part));
            counters.not_uploaded = not_stored().count() as u64;
            counters.not_uploaded_bytes = not_stored().map(|part| part.bytes).sum();
        }
    }
}
