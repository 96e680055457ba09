//! A scratch directory with the peers' configurations, their paths and ports filled in.

use std::fs;
use std::path::{Path, PathBuf};

/// The peers' configurations as the repository has them; `@DIR@`, `@VENV@` and `@PORT@` stand for what a test gives.
const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab");

/// A directory of one test, removed when the test lets go of it.
#[derive(Debug)]
pub struct Lab(tempfile::TempDir);

impl Lab {
    /// Copies the configuration of one peer (`snmpd`, `ipmi`, …, a folder of `lab/`) to a scratch directory and fills
    /// in its paths and `port`.
    ///
    /// # Panics
    /// When the disk does not play along.
    pub fn of(peer: &str, port: u16) -> Self {
        let lab = Self::empty();
        copy(&Path::new(TEMPLATES).join(peer), &lab.path().join(peer), &|text| {
            text.replace("@DIR@", &lab.path().display().to_string())
                .replace("@VENV@", &installed("python").display().to_string())
                .replace("@PORT@", &port.to_string())
        });
        lab
    }

    /// An empty scratch directory.
    ///
    /// # Panics
    /// When there is no room for one.
    pub fn empty() -> Self {
        Self(tempfile::Builder::new().prefix("kwapi-lab-").tempdir().expect("a scratch directory"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file or folder in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }
}

fn copy(from: &Path, to: &Path, fill_in: &dyn Fn(&str) -> String) {
    fs::create_dir_all(to).expect("a folder in the scratch directory");
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("a folder entry").path();
        let target = to.join(entry.file_name().expect("an entry has a name"));
        if entry.is_dir() {
            copy(&entry, &target, fill_in);
        } else {
            let text = fs::read_to_string(&entry).expect("a configuration in UTF-8");
            fs::write(&target, fill_in(&text)).expect("room in the scratch directory");
            fs::set_permissions(&target, fs::metadata(&entry).expect("its mode").permissions())
                .expect("a mode");
        }
    }
}

/// The interpreter of a Python environment that `install` makes (`python`, `keystone`, `ceilometer`, `gnocchi`).
pub fn python_environment(name: &str) -> PathBuf {
    installed(name).join("bin/python")
}

/// The small Debian system that `install debian` made, to be copied; nothing where it did not.
pub fn debian() -> Option<PathBuf> {
    whole(installed("debian"))
}

/// The one with systemd, by `install systemd`, as [`debian`].
pub fn debian_with_systemd() -> Option<PathBuf> {
    whole(installed("debian-systemd"))
}

fn whole(root: PathBuf) -> Option<PathBuf> {
    root.join(".complete").is_file().then_some(root)
}

fn installed(name: &str) -> PathBuf {
    let given = std::env::var_os("KWAPI_PEERS").map(PathBuf::from);
    let usual = || {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        cache.unwrap_or_else(|| home.join(".cache")).join("kwapi-peers")
    };
    given.unwrap_or_else(usual).join(name)
}
