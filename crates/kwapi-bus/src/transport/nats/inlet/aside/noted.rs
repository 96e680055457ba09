//! What is kept of messages that were set aside, as it is in a file.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::key::KeyPrints;

pub(super) const FILE_VERSION: u32 = 1;
/// A larger file is not ours.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// As it is kept in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Noted {
    pub(super) version: u32,
    /// When the stream was created: another one has other numbers.
    pub(super) stream: String,
    /// The number of the first message that was set aside, how many measurements were, and since when, in Unix microseconds.
    pub(super) from: Option<u64>,
    pub(super) count: u64,
    pub(super) since_us: u64,
    /// The keys that have verified a message.
    pub(super) taken: KeyPrints,
    /// Of those, the ones that are no longer accepted, and up to which message they were.
    #[serde(default)]
    pub(super) removed: BTreeMap<String, u64>,
    /// The keys that have been tried.
    pub(super) tried: KeyPrints,
    pub(super) recall: Option<Recall>,
}

/// A stretch of the stream that is read again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in super::super) struct Recall {
    /// The numbers of its first and its last message.
    pub(in super::super) from: u64,
    pub(super) until: u64,
    /// The keys whose messages in it have been taken, some only up to a message.
    pub(super) taken: Arc<KeyPrints>,
    #[serde(default)]
    pub(super) removed: BTreeMap<String, u64>,
}

impl Recall {
    /// Distinguishes it from others, in what the server keeps of the consumer.
    pub(in super::super) fn tag(&self) -> String {
        format!("{}-{}", self.from, self.until)
    }
}

/// Reads the file.
///
/// # Errors
/// When there is none, or it is not ours.
pub(super) fn read_file(file: &Path) -> io::Result<Noted> {
    let mut text = Vec::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    let noted: Noted = serde_json::from_slice(&text)?;
    if noted.version != FILE_VERSION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "another version wrote it"));
    }
    Ok(noted)
}
