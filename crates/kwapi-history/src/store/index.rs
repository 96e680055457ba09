//! Which file is whose. The original names a file by a one-way function of its probe's id, so ids are written down
//! beside the files, one JSON object a line: `{"probe":"A","file":"9759785f-…","since":1795428000,"crc":2731549021}`.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kwapi_core::ProbeId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::whole_file::replace_file;

const FILE: &str = "probes.jsonl";
/// What each line begins with. Inside a name its quote would be escaped, so this is found where a line's end is damaged.
const BEGIN: &str = "{\"probe\":";

/// The name of a probe's file, without `.rrd`: as the original's, uuid5 of the id in the name space of DNS names.
pub fn file_stem(probe: &ProbeId) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, probe.as_str().as_bytes())
}

/// The list of known probes, which only grows.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    /// Opened when there is something to write: a full disk does not keep what is there from being read.
    file: Option<File>,
    /// Whether what is there ends in the middle of a line.
    is_torn: bool,
    /// What the disk has refused.
    unwritten: Vec<Known>,
}

/// What an index had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexContents {
    /// Probes in order of first sight.
    pub known: Vec<Known>,
    /// Lines that could not be read, but for a last one that a crash had cut. The file as it was is beside the new one,
    /// named `….damaged`. The probe of each is added again when it is measured.
    pub lines_damaged: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    probe: ProbeId,
    /// Also shows whether the name was damaged.
    file: String,
    /// See [`Known::since`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    /// CRC-32 of `since`; the first version wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc: Option<u32>,
}

/// A probe of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub probe: ProbeId,
    /// The Unix second its history begins with; `None` when another program began it.
    pub since: Option<u64>,
}

impl Line {
    fn of(known: &Known) -> Self {
        let Known { probe, since } = known;
        let (probe, file) = (probe.clone(), file_stem(probe).to_string());
        Self { probe, file, since: *since, crc: Some(crc(*since)) }
    }

    fn is_intact(&self) -> bool {
        self.file == file_stem(&self.probe).to_string()
            && self.crc.is_none_or(|given| given == crc(self.since))
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

fn crc(since: Option<u64>) -> u32 {
    crc32fast::hash(format!("{since:?}").as_bytes())
}

impl Index {
    /// Opens the index of `directory`, or begins one, and returns the probes in it. Where lines are damaged, the file is
    /// kept aside and recreated without them.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn open(directory: &Path) -> io::Result<(Self, IndexContents)> {
        let path = directory.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let is_torn = bytes.last().is_some_and(|last| *last != b'\n');
        let (found, torn) = read(&String::from_utf8_lossy(&bytes), is_torn);
        let mut index = Self { path, file: None, is_torn, unwritten: Vec::new() };
        if found.lines_damaged > 0 {
            let aside = index.path.with_extension("jsonl.damaged");
            let lines = found.lines_damaged;
            tracing::error!(lines, kept = %aside.display(), "corrupt lines in the RRD index; their probes are added again when next measured");
            let again =
                std::fs::write(&aside, &bytes).and_then(|()| index.begin_again(found.known.iter().cloned()));
            if let Err(error) = again {
                tracing::warn!(%error, "cannot rewrite the RRD index without them");
            }
        } else if torn {
            tracing::info!("incomplete last line in the RRD index, after a crash");
        }
        Ok((index, found))
    }

    /// Writes down a probe seen for the first time; where the disk refuses, with the next one or [`Index::write`].
    pub fn add(&mut self, known: Known) {
        self.unwritten.push(known);
        self.write();
    }

    /// Writes what could not be written before. A failure is reported once.
    pub fn write(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        match self.append() {
            Ok(()) => {
                if self.unwritten.len() > 1 {
                    tracing::info!("the RRD index is writable again");
                }
                self.unwritten.clear();
            }
            // With the first: what follows waits with it.
            Err(error) if self.unwritten.len() == 1 => {
                tracing::warn!(%error, "cannot add new probes to the RRD index");
            }
            Err(_) => {}
        }
    }

    fn append(&mut self) -> io::Result<()> {
        let mut lines = if self.is_torn { vec![b'\n'] } else { Vec::new() };
        for known in &self.unwritten {
            lines.extend(Line::of(known).bytes()?);
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(OpenOptions::new().append(true).create(true).open(&self.path)?),
        };
        // What a write that failed has left is ended by the next.
        self.is_torn = true;
        file.write_all(&lines)?;
        self.is_torn = false;
        Ok(())
    }

    /// Puts `known` in the place of all there is, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn begin_again(&mut self, known: impl IntoIterator<Item = Known>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for known in known {
            bytes.extend(Line::of(&known).bytes()?);
        }
        replace_file(&self.path, &bytes)?;
        (self.file, self.is_torn) = (None, false);
        Ok(())
    }
}

/// Reads the lines of an index, and returns whether the last was cut.
fn read(text: &str, is_torn: bool) -> (IndexContents, bool) {
    let (mut found, mut seen, mut is_cut) = (IndexContents::default(), HashSet::new(), false);
    let begins: Vec<_> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
    let first = begins.first().copied().unwrap_or(text.len());
    let damaged_before = text.get(..first).is_some_and(|before| !before.trim().is_empty());
    found.lines_damaged = u64::from(damaged_before);
    for (number, begin) in begins.iter().enumerate() {
        let is_last = number + 1 == begins.len();
        let end = begins.get(number + 1).copied().unwrap_or(text.len());
        let piece = text.get(*begin..end).unwrap_or_default();
        let mut lines = serde_json::Deserializer::from_str(piece).into_iter::<Line>();
        let (line, is_last) = (lines.next(), is_last && is_torn);
        let rest = piece.get(lines.byte_offset()..).unwrap_or_default();
        match line {
            Some(Ok(line)) if line.is_intact() => {
                if seen.insert(line.probe.clone()) {
                    found.known.push(Known { probe: line.probe, since: line.since });
                }
                // A line whose very begin was damaged.
                is_cut |= is_last;
                found.lines_damaged += u64::from(!rest.trim().is_empty() && !is_last);
            }
            // What was being written when the process ended.
            Some(Err(error)) if is_last && error.is_eof() => is_cut = true,
            _ => found.lines_damaged += 1,
        }
    }
    (found, is_cut)
}

/// How many RRD files of `directory` belong to no probe in `known`: they are taken up when their probe is first seen.
pub(crate) fn orphans(directory: &Path, known: &HashSet<Uuid>) -> io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let stem =
            name.to_str().and_then(|name| name.strip_suffix(".rrd")).and_then(|stem| stem.parse().ok());
        count += usize::from(stem.is_some_and(|stem: Uuid| !known.contains(&stem)));
    }
    Ok(count)
}
