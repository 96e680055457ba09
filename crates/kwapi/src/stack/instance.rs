//! Which configuration and state directory a process serves: on one machine several may run, and a status port is whoever
//! has bound it.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Config;

/// A file or directory, by its path and by what lies there now. Containers see the same path and mean another file, and one
/// file has several paths.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// Device and inode; `None` where there is nothing, or it may not be looked at.
    pub(crate) inode: Option<(u64, u64)>,
}

impl Place {
    pub(crate) fn new(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let inode = std::fs::metadata(&path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        Self { path, inode }
    }

    /// Whether both are one: by what lies there where both sides know it, else by path.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self.inode, other.inode) {
            (Some(own), Some(other)) => own == other,
            (None, _) | (_, None) => self.path == other.path,
        }
    }
}

/// What a process serves, as `/instance` shows it and commands compare it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct InstanceReport {
    pub(crate) version: String,
    pub(crate) configuration: Option<Place>,
    pub(crate) state_directory: Place,
    /// Where its API listens, if it has one.
    pub(crate) api: Option<SocketAddr>,
}

/// What a process serves.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    configuration: Option<PathBuf>,
    state_directory: PathBuf,
    api: Option<SocketAddr>,
}

impl Instance {
    pub(super) fn new(config: &Config, api: Option<SocketAddr>) -> Self {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Self {
            configuration: config.files.first().map(absolute),
            state_directory: absolute(&config.state_directory),
            api,
        }
    }

    /// With what lies at its paths now: a configuration is replaced while the process runs.
    pub(super) fn report(&self) -> InstanceReport {
        InstanceReport {
            version: crate::cli::VERSION.to_owned(),
            configuration: self.configuration.as_deref().map(Place::new),
            state_directory: Place::new(&self.state_directory),
            api: self.api,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_has_several_paths_and_one_path_several_directories() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        std::fs::create_dir(&first).unwrap();
        std::os::unix::fs::symlink(&first, &second).unwrap();
        assert!(Place::new(&first).is(&Place::new(&second)));
        assert!(!Place::new(&first).is(&Place::new(folder.path())));
        let elsewhere = Place { inode: Some((0, 1)), ..Place::new(&first) };
        assert!(!Place::new(&first).is(&elsewhere), "the same path in a container");
        // What cannot be looked at is known by its path.
        let hidden = |path: &Path| Place { inode: None, ..Place::new(path) };
        assert!(hidden(&first).is(&Place::new(&first)) && !hidden(&second).is(&Place::new(&first)));
    }
}
