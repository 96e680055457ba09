//! Which profiles there are: those built in, and an operator's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_snmp::Oid;

use super::{Profile, ProfileError};

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$((concat!($name, ".toml"), include_str!(concat!("../profiles/", $name, ".toml")))),*]
    };
}

/// Every family of PDUs known at build time.
const BUILT_IN: &[(&str, &str)] = built_in![
    "apc_easy_epdu",
    "apc_netshelter",
    "apc_rpdu",
    "apc_rpdu2",
    "apc_ups",
    "apc_xpdu",
    "aten_pe",
    "avocent_pm",
    "conteg_pdu",
    "cyberpower_epdu",
    "cyberpower_epdu2",
    "dell_rpdu",
    "eaton_epdu",
    "eaton_nlogic",
    "eaton_xups",
    "enlogic",
    "gude_1202",
    "gude_8031",
    "hpe_ipdu_g2",
    "hpe_pdu3_cis",
    "hpe_pdu_module",
    "hpe_ups",
    "ipoman",
    "janitza_umg",
    "liebert_mpx",
    "panduit_g5",
    "raritan_px1",
    "raritan_px1_old",
    "raritan_px2",
    "rnx_updu",
    "servertech_sentry3",
    "servertech_sentry4",
    "tripplite_pdu",
    "tripplite_ups",
    "ups_mib",
    "ups_mib_instance",
    "vertiv_geist",
    "wti_power",
];

/// More files than this in a profile directory are a mistake of path; the rest is refused.
const FILES_MAX: usize = 1_000;
/// A longer file is no profile; it is refused.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Profiles by name.
#[derive(Clone, Debug, Default)]
pub struct ProfileCatalogue(BTreeMap<String, Arc<Profile>>);

impl ProfileCatalogue {
    /// Those built in.
    ///
    /// # Errors
    /// None in a build whose tests pass: they parse each.
    pub fn built_in() -> Result<Self, ProfileError> {
        static BUILT: OnceLock<Result<ProfileCatalogue, ProfileError>> = OnceLock::new();
        BUILT
            .get_or_init(|| {
                let mut catalogue = ProfileCatalogue::default();
                for (file, text) in BUILT_IN {
                    catalogue.add(Profile::parse(file, text)?);
                }
                Ok(catalogue)
            })
            .clone()
    }

    /// Those built in and those of `directory` (every `*.toml` in it), which may replace built-in ones by name.
    ///
    /// # Errors
    /// When the directory or a file cannot be read, or a file is no profile.
    pub fn with_directory(directory: &Path) -> Result<Self, ProfileError> {
        let failed =
            |path: &Path, message: String| ProfileError { file: path.display().to_string(), message };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(|error| failed(directory, error.to_string()))? {
            let path = entry.map_err(|error| failed(directory, error.to_string()))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
            if files.len() > FILES_MAX {
                return Err(failed(
                    directory,
                    format!("more than {FILES_MAX} profiles; check the directory"),
                ));
            }
        }
        files.sort();
        let mut catalogue = Self::built_in()?;
        for path in files {
            let length = std::fs::metadata(&path).map_err(|error| failed(&path, error.to_string()))?.len();
            if length > FILE_BYTES_MAX {
                return Err(failed(&path, format!("profile too large: {length} bytes")));
            }
            let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, error.to_string()))?;
            catalogue.add(Profile::parse(&path.display().to_string(), &text)?);
        }
        Ok(catalogue)
    }

    fn add(&mut self, profile: Profile) {
        self.0.insert(profile.name.clone(), Arc::new(profile));
    }

    /// The profile of that name, in which a hyphen may stand for an underscore.
    pub fn get(&self, name: &str) -> Option<&Arc<Profile>> {
        self.0.get(name).or_else(|| self.0.get(&name.replace('-', "_")))
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All profiles, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.0.values()
    }

    /// The profiles a device with this sysObjectID may have, best first; all of them where it shows nothing.
    pub(crate) fn candidates(&self, sys_object_id: Option<&Oid>) -> Vec<Arc<Profile>> {
        let fits = |profile: &Profile| {
            let longest = |id: &Oid| {
                let prefixes = profile.sys_object_id.iter().filter(|prefix| id.starts_with(&prefix.0));
                prefixes.map(|prefix| prefix.0.len()).max()
            };
            sys_object_id.and_then(longest)
        };
        let mut fitting: Vec<_> = self.iter().filter(|profile| fits(profile).is_some()).cloned().collect();
        if fitting.is_empty() {
            fitting = self.iter().cloned().collect();
        }
        fitting.sort_by_key(|profile| (std::cmp::Reverse(fits(profile)), profile.rank));
        fitting
    }
}
