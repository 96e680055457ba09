//! What is counted of samples, here and in object storage.

use std::sync::Arc;

use kwapi_history::Samples;
use kwapi_plugins::metrics::{Exposition, MetricSource};

/// What is kept of samples.
pub(in super::super) fn samples(samples: Arc<Samples>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = samples.counters();
        out.counts(
            &[],
            [
                ("kwapi_samples_written", counters.written),
                ("kwapi_samples_waiting", counters.waiting),
                ("kwapi_samples_files", counters.files),
                ("kwapi_samples_bytes", counters.bytes),
                ("kwapi_samples_merges", counters.merges),
                ("kwapi_samples_files_damaged", counters.files_damaged),
                ("kwapi_samples_hours_removed", counters.hours_removed),
                ("kwapi_samples_losses", counters.losses),
                ("kwapi_samples_failures", counters.failures),
                ("kwapi_samples_places_damaged", counters.places_damaged),
                ("kwapi_samples_uploads", counters.uploads),
                ("kwapi_samples_uploaded_bytes", counters.upload_bytes),
                ("kwapi_samples_upload_failures", counters.upload_failures),
                ("kwapi_samples_files_not_uploaded", counters.not_uploaded),
                ("kwapi_samples_bytes_not_uploaded", counters.not_uploaded_bytes),
                ("kwapi_samples_object_reads", counters.object_reads),
                ("kwapi_samples_object_read_failures", counters.object_read_failures),
            ],
        );
    }
}
