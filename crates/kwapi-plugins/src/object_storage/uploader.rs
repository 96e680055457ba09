//! Puts closed files of samples into a bucket, one after the other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kwapi_core::WallClock;
use kwapi_history::{SampleUpload, Samples};

use super::bucket::{Checksums, S3Bucket, S3Error, Sameness};

/// How often is looked for files that are to go.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long is waited after a failure, at first and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A larger file is not taken into memory. One of ours has some 64 MiB at most.
const BYTES_MAX: u64 = 1 << 30;

/// Puts closed files of samples into the bucket for as long as it is polled. May be dropped at any moment: what was begun is
/// done again.
pub async fn upload_samples(samples: Arc<Samples>, bucket: Arc<S3Bucket>, clock: WallClock) {
    let mut pause = PAUSE_MIN;
    loop {
        match step(&samples, &bucket, &clock).await {
            Ok(has_done_something) => {
                pause = PAUSE_MIN;
                if !has_done_something {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            }
            Err(cause) => {
                samples.upload_failed(&cause);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Does one thing, where there is one to be done.
async fn step(samples: &Arc<Samples>, bucket: &S3Bucket, clock: &WallClock) -> Result<bool, String> {
    if samples.needs_listing() {
        list(samples, bucket).await?;
        samples.upload_works();
    }
    let now = clock.now();
    let next = on_disk(samples, move |samples| samples.next_upload(now)).await?;
    let Some(upload) = next else { return Ok(false) };
    upload_one(samples, bucket, upload).await?;
    Ok(true)
}

async fn upload_one(samples: &Arc<Samples>, bucket: &S3Bucket, upload: SampleUpload) -> Result<(), String> {
    if upload.bytes > BYTES_MAX {
        samples.upload_refused(&upload, "it is too large");
        return Ok(());
    }
    let path = upload.path.clone();
    let (contents, checksums) = on_disk(samples, move |_| {
        let contents = std::fs::read(path)?;
        let checksums = Checksums::of(&contents);
        Ok((Bytes::from(contents), checksums))
    })
    .await?;
    let text = |error: S3Error| error.to_string();
    // A kill may have come between an upload and the record of it, and a name has one content for ever.
    if let Some(head) = bucket.head(&upload.key).await.map_err(text)? {
        if verify(bucket, &upload.key, &checksums, checksums.compare(&head)).await? {
            return stored(samples, upload, &checksums).await;
        }
        let cause =
            "the bucket has another object of its name; does another Kwapi upload to the same prefix?";
        samples.upload_refused(&upload, cause);
        return Ok(());
    }
    bucket.put(&upload.key, contents, &checksums).await.map_err(text)?;
    let head = bucket.head(&upload.key).await.map_err(text)?;
    let head = head.ok_or("the server took an object and does not have it")?;
    if !verify(bucket, &upload.key, &checksums, checksums.compare(&head)).await? {
        return Err(format!("the server has something else as {} than was uploaded", upload.key));
    }
    stored(samples, upload, &checksums).await
}

/// Whether an object is what was uploaded. Where its size is all that the server reports, it is read.
pub(super) async fn verify(
    bucket: &S3Bucket,
    key: &str,
    checksums: &Checksums,
    sameness: Sameness,
) -> Result<bool, String> {
    match sameness {
        Sameness::Same => Ok(true),
        Sameness::Other => Ok(false),
        Sameness::Open => {
            let contents = bucket.get(key, 0..checksums.bytes()).await.map_err(|error| error.to_string())?;
            let is_same = tokio::task::spawn_blocking(move || Checksums::of(&contents)).await;
            Ok(is_same.is_ok_and(|read| read == *checksums))
        }
    }
}

async fn stored(samples: &Arc<Samples>, upload: SampleUpload, checksums: &Checksums) -> Result<(), String> {
    let sha256 = checksums.sha256();
    on_disk(samples, move |samples| samples.upload_stored(&upload, &sha256)).await
}

/// Takes down which objects the bucket has.
async fn list(samples: &Arc<Samples>, bucket: &S3Bucket) -> Result<(), String> {
    on_disk(samples, Samples::begin_listing).await?;
    let mut next = None;
    loop {
        let page = bucket.list(next.as_deref()).await.map_err(|error| error.to_string())?;
        let objects = page.objects;
        on_disk(samples, move |samples| samples.list_objects(&objects)).await?;
        next = page.next;
        if next.is_none() {
            return on_disk(samples, Samples::end_listing).await;
        }
    }
}

/// Does something that may take the disk a while.
async fn on_disk<T: Send + 'static>(
    samples: &Arc<Samples>,
    work: impl FnOnce(&Samples) -> std::io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let samples = Arc::clone(samples);
    let done = tokio::task::spawn_blocking(move || work(&samples)).await;
    done.map_err(|error| error.to_string())?.map_err(|error| format!("this disk: {error}"))
}
