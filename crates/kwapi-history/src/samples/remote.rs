//! Files of samples that are in object storage, as they are read: a block at a time, the last blocks kept.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// What is requested at once: of a thousand probes an hour is some thirty of these, and a query takes two or three.
const BLOCK_BYTES: u64 = 256 << 10;
/// Blocks that are kept, 16 MiB. More: the one that was not used for longest goes.
const BLOCKS_MAX: usize = 64;
/// After a failure nothing is requested for so long: a month of hours is not waited for one by one.
const PAUSE: Duration = Duration::from_secs(10);

/// Object storage, as far as samples are read from it.
pub trait ObjectReader: fmt::Debug + Send + Sync {
    /// Some bytes of the object `key`, all of them. Blocks, for a bounded time.
    ///
    /// # Errors
    /// `NotFound` where there is no such object; else whatever keeps it from being read.
    fn read(&self, key: &str, range: Range<u64>) -> io::Result<Bytes>;
}

/// The objects, with what was read of them last.
#[derive(Debug)]
pub(super) struct RemoteFiles {
    objects: Arc<dyn ObjectReader>,
    state: Mutex<RemoteState>,
}

#[derive(Debug, Default)]
struct RemoteState {
    /// By key and number; with when each was used last.
    blocks: HashMap<(Arc<str>, u64), (u64, Bytes)>,
    uses: u64,
    /// Why nothing is requested at the moment, and until when.
    pause: Option<(Instant, io::ErrorKind, String)>,
    reads: u64,
    failures: u64,
}

impl RemoteFiles {
    pub(super) fn new(objects: Arc<dyn ObjectReader>) -> Arc<Self> {
        Arc::new(Self { objects, state: Mutex::default() })
    }

    /// The object `key`, of so many bytes. Nothing is requested yet.
    pub(super) fn open(self: &Arc<Self>, key: &str, bytes: u64) -> RemoteFile {
        RemoteFile { files: Arc::clone(self), key: key.into(), bytes }
    }

    /// How many requests there were, and how often in vain.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.reads, state.failures)
    }

    fn block(&self, file: &RemoteFile, number: u64) -> io::Result<Bytes> {
        let key = (Arc::clone(&file.key), number);
        {
            let mut state = self.state.lock();
            state.uses += 1;
            let now = state.uses;
            if let Some((used, block)) = state.blocks.get_mut(&key) {
                *used = now;
                return Ok(block.clone());
            }
            if let Some((_, kind, cause)) = state.pause.as_ref().filter(|(until, ..)| Instant::now() < *until)
            {
                return Err(io::Error::new(*kind, cause.clone()));
            }
            state.reads += 1;
        }
        let begin = number.saturating_mul(BLOCK_BYTES);
        let range = begin..begin.saturating_add(BLOCK_BYTES).min(file.bytes);
        let length = range.end.saturating_sub(range.start);
        // Without the lock: others read meanwhile.
        let read = self.objects.read(&file.key, range);
        let short = || {
            let message = "the object is shorter than what was uploaded";
            io::Error::new(io::ErrorKind::InvalidData, message)
        };
        let read = read.and_then(|block| if block.len() as u64 == length { Ok(block) } else { Err(short()) });
        let mut state = self.state.lock();
        match read {
            Ok(block) => {
                state.pause = None;
                if state.blocks.len() >= BLOCKS_MAX {
                    let oldest = state.blocks.iter().min_by_key(|(_, (used, _))| *used);
                    let oldest = oldest.map(|(key, _)| key.clone());
                    oldest.map(|key| state.blocks.remove(&key));
                }
                let now = state.uses;
                state.blocks.insert(key, (now, block.clone()));
                Ok(block)
            }
            Err(error) => {
                state.failures += 1;
                // What is wrong with one object is so with no other.
                if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) {
                    state.pause = Some((Instant::now() + PAUSE, error.kind(), error.to_string()));
                }
                Err(error)
            }
        }
    }
}

/// An object, as a file.
#[derive(Clone, Debug)]
pub(super) struct RemoteFile {
    files: Arc<RemoteFiles>,
    key: Arc<str>,
    bytes: u64,
}

/// Where in an object somebody reads on.
#[derive(Debug)]
pub(super) struct RemoteRead {
    file: RemoteFile,
    at: u64,
}

impl Length for RemoteFile {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for RemoteFile {
    type T = RemoteRead;

    fn get_read(&self, start: u64) -> Result<RemoteRead, ParquetError> {
        Ok(RemoteRead { file: self.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let wanted = length as u64;
        // Lengths come from a file that may be spoiled.
        if start.checked_add(wanted).is_none_or(|end| end > self.bytes) {
            return Err(ParquetError::EOF("beyond the end of the object".to_owned()));
        }
        let within = usize::try_from(start % BLOCK_BYTES).unwrap_or(usize::MAX);
        let first = self.files.block(self, start / BLOCK_BYTES)?;
        if let Some(part) = within.checked_add(length).filter(|end| *end <= first.len()) {
            return Ok(first.slice(within..part));
        }
        let mut bytes = Vec::with_capacity(length);
        self.get_read(start)?.take(wanted).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

impl Read for RemoteRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.file.bytes || out.is_empty() {
            return Ok(0);
        }
        let block = self.file.files.block(&self.file, self.at / BLOCK_BYTES)?;
        let within = usize::try_from(self.at % BLOCK_BYTES).unwrap_or(usize::MAX);
        let read = block.get(within..).unwrap_or_default().read(out)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    /// An object of bytes that encode their place.
    #[derive(Debug, Default)]
    struct Shelf {
        reads: AtomicU64,
        is_away: AtomicBool,
    }

    impl ObjectReader for Shelf {
        fn read(&self, key: &str, range: Range<u64>) -> io::Result<Bytes> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            if key == "none" {
                return Err(io::ErrorKind::NotFound.into());
            }
            if self.is_away.load(Ordering::Relaxed) {
                return Err(io::Error::new(io::ErrorKind::HostUnreachable, "the server is away"));
            }
            Ok(range.map(byte_at).collect::<Vec<u8>>().into())
        }
    }

    fn byte_at(place: u64) -> u8 {
        (place % 251) as u8
    }

    fn open(bytes: u64) -> (Arc<Shelf>, RemoteFile) {
        let shelf = Arc::new(Shelf::default());
        (Arc::clone(&shelf), RemoteFiles::new(shelf).open("key", bytes))
    }

    #[test]
    fn bytes_are_those_of_the_object_wherever_they_lie() {
        let (shelf, file) = open(3 * BLOCK_BYTES + 77);
        for (start, length) in [
            (0, 0),
            (0, 9),
            (BLOCK_BYTES - 4, 4),
            (BLOCK_BYTES - 4, 8),
            (5, 3 * BLOCK_BYTES as usize),
            (3 * BLOCK_BYTES + 70, 7),
        ] {
            let wanted: Vec<u8> = (start..start + length as u64).map(byte_at).collect();
            assert!(file.get_bytes(start, length).unwrap() == wanted, "{length} from {start}");
        }
        assert_eq!(shelf.reads.load(Ordering::Relaxed), 4, "each block once");
        for (start, length) in [(file.len(), 1), (0, usize::MAX), (u64::MAX, 2)] {
            assert!(file.get_bytes(start, length).is_err(), "{length} from {start}");
        }
        let mut rest = Vec::new();
        file.get_read(file.len() - 5).unwrap().read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len(), 5);
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_was_used_last_stays() {
        let (shelf, file) = open(BLOCK_BYTES * 2 * BLOCKS_MAX as u64);
        for block in 0..2 * BLOCKS_MAX as u64 {
            file.get_bytes(block * BLOCK_BYTES, 1).unwrap();
            file.get_bytes(0, 1).unwrap();
        }
        assert_eq!(file.files.state.lock().blocks.len(), BLOCKS_MAX);
        assert_eq!(
            shelf.reads.load(Ordering::Relaxed),
            2 * BLOCKS_MAX as u64,
            "the first was requested once"
        );
    }

    #[test]
    fn a_server_that_is_away_is_queried_once() {
        let (shelf, file) = open(BLOCK_BYTES * 9);
        shelf.is_away.store(true, Ordering::Relaxed);
        for block in 0..9 {
            let error = file.get_bytes(block * BLOCK_BYTES, 1).unwrap_err();
            assert!(error.to_string().contains("the server is away"), "{error}");
        }
        assert_eq!(shelf.reads.load(Ordering::Relaxed), 1);
        // An object that is not there shows nothing about the others.
        let (shelf, file) = open(BLOCK_BYTES);
        let none = file.files.open("none", 5);
        assert!(none.get_bytes(0, 5).is_err());
        assert!(file.get_bytes(0, 5).is_ok());
        assert_eq!((shelf.reads.load(Ordering::Relaxed), file.files.counts()), (2, (2, 1)));
    }
}
