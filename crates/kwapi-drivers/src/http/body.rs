//! The body of an answer, within bounds: of bytes, also unpacked, and of time where only its beginning matters.

use std::io::Read;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use reqwest::Response;
use tokio::time::timeout;

use crate::driver::DriverError;

/// A collection of a large chassis fits; what is longer is cut off and refused as malformed.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;
/// So much of a refusal's body is read, and for so long, as it only explains.
const BEGINNING_BYTES_MAX: usize = 16 << 10;
const BEGINNING_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no whole body.
#[derive(Debug)]
pub(super) enum BodyError {
    /// The connection ended.
    Lost(reqwest::Error),
    /// More than [`BODY_BYTES_MAX`].
    TooLong,
}

/// All of a body.
pub(super) async fn whole(response: &mut Response) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Lost)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// As much of a body as comes at once.
pub(super) async fn beginning(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = BEGINNING_BYTES_MAX - body.len();
            body.extend(chunk.iter().take(room));
            if body.len() >= BEGINNING_BYTES_MAX {
                break;
            }
        }
    };
    _ = timeout(BEGINNING_TIMEOUT, read).await;
    body
}

/// The body as it was before the device packed it. We request no packing; some cards do it nevertheless.
///
/// # Errors
/// `Malformed` for what cannot be unpacked or is too long then, where `is_needed`.
pub(super) fn decoded(
    coding: &str,
    body: Vec<u8>,
    request_line: &str,
    is_needed: bool,
) -> Result<Vec<u8>, DriverError> {
    if !matches!(coding.trim().to_ascii_lowercase().as_str(), "gzip" | "x-gzip") {
        return Ok(body);
    }
    let mut unpacked = Vec::new();
    let limit = u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let result = MultiGzDecoder::new(body.as_slice()).take(limit).read_to_end(&mut unpacked);
    match result {
        Ok(_) if unpacked.len() > BODY_BYTES_MAX => Err(too_long(request_line)),
        Ok(_) => Ok(unpacked),
        Err(_) if !is_needed => Ok(unpacked),
        Err(error) => Err(DriverError::Malformed { what: "gzip", input: format!("{request_line}: {error}") }),
    }
}

/// The error for a body without a reasonable end.
pub(super) fn too_long(request_line: &str) -> DriverError {
    DriverError::Malformed {
        what: "answer",
        input: format!("{request_line}: more than {BODY_BYTES_MAX} bytes"),
    }
}
