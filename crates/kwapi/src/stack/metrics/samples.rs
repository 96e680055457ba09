//! What is counted of samples, here and in object storage.

use std::sync::Arc;

use kwapi_history::Samples;
use kwapi_plugins::metrics::{Exposition, Kind, MetricSource};

/// What is kept of samples.
pub(in super::super) fn samples(samples: Arc<Samples>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = samples.counters();
        for (name, kind, help, count) in [
            ("kwapi_samples_written", Kind::Counter, "Samples written to files.", counters.written),
            ("kwapi_samples_waiting", Kind::Gauge, "Samples waiting to be written.", counters.waiting),
            ("kwapi_samples_files", Kind::Gauge, "Files of samples.", counters.files),
            ("kwapi_samples_bytes", Kind::Gauge, "Size of the files of samples.", counters.bytes),
            ("kwapi_samples_merges", Kind::Counter, "Files of samples merged with others.", counters.merges),
            (
                "kwapi_samples_files_damaged",
                Kind::Counter,
                "Files of samples that could not be read when they were to be merged.",
                counters.files_damaged,
            ),
            (
                "kwapi_samples_hours_removed",
                Kind::Counter,
                "Hours of samples removed, for age or size.",
                counters.hours_removed,
            ),
            (
                "kwapi_samples_losses",
                Kind::Counter,
                "Stretches of the journal missing from the samples.",
                counters.losses,
            ),
            (
                "kwapi_samples_failures",
                Kind::Counter,
                "Failed writes of samples and failed reads of the journal.",
                counters.failures,
            ),
            (
                "kwapi_samples_places_damaged",
                Kind::Gauge,
                "Files of the samples' position found damaged at the start.",
                counters.places_damaged,
            ),
            (
                "kwapi_samples_uploads",
                Kind::Counter,
                "Files of samples uploaded to object storage and verified there.",
                counters.uploads,
            ),
            (
                "kwapi_samples_uploaded_bytes",
                Kind::Counter,
                "Size of the files of samples uploaded to object storage.",
                counters.upload_bytes,
            ),
            (
                "kwapi_samples_upload_failures",
                Kind::Counter,
                "Failed uploads of samples to object storage.",
                counters.upload_failures,
            ),
            (
                "kwapi_samples_files_not_uploaded",
                Kind::Gauge,
                "Files of samples that are not in object storage, where that is configured.",
                counters.not_uploaded,
            ),
            (
                "kwapi_samples_bytes_not_uploaded",
                Kind::Gauge,
                "Size of the files of samples that are not in object storage, where that is configured.",
                counters.not_uploaded_bytes,
            ),
            (
                "kwapi_samples_object_reads",
                Kind::Counter,
                "Requests for samples to object storage.",
                counters.object_reads,
            ),
            (
                "kwapi_samples_object_read_failures",
                Kind::Counter,
                "Failed requests for samples to object storage.",
                counters.object_read_failures,
            ),
        ] {
            out.family(name, kind, help).count(&[], count);
        }
    }
}
