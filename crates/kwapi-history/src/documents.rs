//! Documents that are never changed, such as closed bills: files below `bills` in the state directory, in folders, numbered
//! from 1 on. A file is on the disk, whole, before it has its name; no other takes that name.
//!
//! A file is a JSON object of two members: `sha256` of the text of the other one, `document`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use kwapi_core::hex;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest as _, Sha256};

use crate::tree::sync_folder;

/// The folder in a state directory.
pub(crate) const BILLS: &str = "bills";
/// How a file's name ends.
pub(crate) const ENDING: &str = "json";
/// What stands before, between and behind checksum and document.
const PARTS: [&str; 3] = ["{\"sha256\":\"", "\",\"document\":", "}\n"];

/// The documents of a state directory.
#[derive(Clone, Debug)]
pub struct Documents {
    root: PathBuf,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDocument {
    /// JSON.
    pub text: Vec<u8>,
    /// Of the text, in hexadecimal digits.
    pub sha256: String,
}

/// Why a document cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum DocumentsError {
    /// The disk refuses.
    #[error("{0}")]
    Io(PathBuf, #[source] io::Error),
    /// It is not as it was written.
    #[error("{0} is corrupt; restore it from a backup")]
    Corrupt(PathBuf),
    /// Another one was kept meanwhile.
    #[error("{0} was written by another process meanwhile; try again")]
    Taken(PathBuf),
}

impl Documents {
    /// Those of the state directory `state`.
    pub fn new(state: &Path) -> Self {
        Self { root: state.join(BILLS) }
    }

    /// The folders that there are, in order of their names.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn folders(&self) -> Result<Vec<String>, DocumentsError> {
        let entries = crate::tree::entries(&self.root).map_err(at(&self.root))?;
        let mut names: Vec<String> = entries
            .iter()
            .filter(|path| path.is_dir())
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// How many a folder has.
    pub fn count(&self, folder: &str) -> usize {
        (0..usize::MAX).take_while(|before| self.path(folder, *before).exists()).count()
    }

    /// All of a folder, which is a plain name, in the order in which they were kept.
    ///
    /// # Errors
    /// When one cannot be read or is corrupt.
    pub fn read(&self, folder: &str) -> Result<Vec<StoredDocument>, DocumentsError> {
        let mut documents = Vec::new();
        loop {
            let path = self.path(folder, documents.len());
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(documents),
                Err(error) => return Err(at(&path)(error)),
            };
            documents.push(stored(&bytes).ok_or(DocumentsError::Corrupt(path))?);
        }
    }

    /// Keeps a document, JSON, behind the `before` that the folder has. It is on the disk when this returns.
    ///
    /// # Errors
    /// When the folder has more by now, or the disk refuses; nothing is kept then.
    pub fn add(&self, folder: &str, before: usize, text: &[u8]) -> Result<StoredDocument, DocumentsError> {
        let path = self.path(folder, before);
        let home = self.root.join(folder);
        fs::create_dir_all(&home).map_err(at(&home))?;
        let sha256 = hex::encode(&Sha256::digest(text));
        let [open, middle, end] = PARTS;
        // Two processes that do this at once don't write the same file.
        let unfinished = home.join(format!(".{}.new", std::process::id()));
        let write = || {
            let mut file = File::create(&unfinished)?;
            for part in [open.as_bytes(), sha256.as_bytes(), middle.as_bytes(), text, end.as_bytes()] {
                file.write_all(part)?;
            }
            file.sync_all()?;
            renameat_with(CWD, &unfinished, CWD, &path, RenameFlags::NOREPLACE)?;
            [Some(&*home), Some(&*self.root), self.root.parent()]
                .into_iter()
                .flatten()
                .try_for_each(sync_folder)
        };
        write().map_err(|error: io::Error| {
            // What is left of it has no name that anybody reads.
            _ = fs::remove_file(&unfinished);
            match error.kind() {
                io::ErrorKind::AlreadyExists => DocumentsError::Taken(path.clone()),
                _ => at(&path)(error),
            }
        })?;
        Ok(StoredDocument { text: text.to_owned(), sha256 })
    }

    fn path(&self, folder: &str, before: usize) -> PathBuf {
        self.root.join(folder).join(format!("{}.{ENDING}", before.saturating_add(1)))
    }
}

/// The document that the bytes of a file are; `None` where they are none, or not as they were written.
fn stored(bytes: &[u8]) -> Option<StoredDocument> {
    let [open, middle, end] = PARTS;
    let (sha256, rest) = bytes.strip_prefix(open.as_bytes())?.split_at_checked(64)?;
    let text = rest.strip_prefix(middle.as_bytes())?.strip_suffix(end.as_bytes())?;
    let sum = hex::encode(&Sha256::digest(text));
    (sum.as_bytes() == sha256).then(|| StoredDocument { text: text.to_owned(), sha256: sum })
}

fn at(path: &Path) -> impl Fn(io::Error) -> DocumentsError + use<> {
    let path = path.to_owned();
    move |error| DocumentsError::Io(path.clone(), error)
}

#[cfg(test)]
mod tests;
