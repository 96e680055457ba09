//! Which file is whose. The original names a file by a one-way function of its probe's id, so ids are written down
//! beside the files, one JSON object a line: `{"probe":"A","file":"9759785f-…","since":1795428000}`.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use kwapi_core::ProbeId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const FILE: &str = "probes.jsonl";

/// The name of a probe's file, without `.rrd`: as the original's, uuid5 of the id in the name space of DNS names.
pub fn file_stem(probe: &ProbeId) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, probe.as_str().as_bytes())
}

/// The list of known probes, which only grows.
#[derive(Debug)]
pub struct Index {
    file: File,
}

#[derive(Deserialize, Serialize)]
struct Line {
    probe: ProbeId,
    file: String,
    /// See [`Known::since`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
}

/// A probe of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub probe: ProbeId,
    /// The Unix second its history begins with; `None` when another program began it.
    pub since: Option<u64>,
}

impl Index {
    /// Opens the index of `directory`, or begins one, and tells the probes in it in order of first sight. A line that
    /// cannot be read (the last one, after a crash) is passed over: its probe is added again when it is seen.
    ///
    /// # Errors
    /// When the directory cannot be read or written.
    pub fn open(directory: &Path) -> io::Result<(Self, Vec<Known>)> {
        let path = directory.join(FILE);
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        let mut seen = HashSet::new();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let probes = lines
            .filter(|line| seen.insert(line.probe.clone()))
            .map(|Line { probe, since, .. }| Known { probe, since })
            .collect();
        Ok((Self { file }, probes))
    }

    /// Writes down a probe seen for the first time.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn add(&mut self, known: &Known) -> io::Result<()> {
        let Known { probe, since } = known;
        let line = Line { probe: probe.clone(), file: file_stem(probe).to_string(), since: *since };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
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
