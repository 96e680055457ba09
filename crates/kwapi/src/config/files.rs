//! Files besides the configuration that meters read when they are opened: SNMP profiles, register maps, certificates of
//! authorities. A change of one is a change of the meters that use it, and of no other.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use kwapi_drivers::config::Names;
use kwapi_drivers::registry::{ConfiguredDriver, DRIVERS};
use toml::{Table, Value};

use super::document::Document;
use super::inventory;

/// A longer file is none of these, and counts by its length.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Notes what the tables of `document` name as something it was made from, also where they are broken otherwise: whatever
/// a key of any driver names. Like the drivers, it takes relative names from the working directory.
pub(super) fn note(document: &mut Document) {
    let mut tables = Vec::new();
    for name in ["meter", "inventory", "credentials"] {
        collect(document.tables.get(name), &mut tables);
    }
    for inventory in document.tables.get("inventory").and_then(Value::as_array).into_iter().flatten() {
        let Some(file) = inventory.get("csv").and_then(Value::as_str) else { continue };
        let rows = inventory::rows(&document.folder().join(file)).unwrap_or_default();
        tables.extend(rows.into_iter().map(|(_, row)| row));
    }
    for table in &tables {
        for (name, value) in table {
            let Some(value) = value.as_str() else { continue };
            let mut keys = DRIVERS.iter().filter_map(|driver| driver.key(name));
            match keys.find_map(|key| key.path(value)) {
                Some((Names::Definitions { .. }, directory)) => {
                    document.note_pattern(directory.join("*.toml"));
                }
                Some((Names::Authority, file)) => document.note_source(file.to_owned()),
                Some((Names::Device | Names::Kernel | Names::Socket, _)) | None => {}
            }
        }
    }
}

fn collect(value: Option<&Value>, tables: &mut Vec<Table>) {
    match value {
        Some(Value::Array(all)) => all.iter().for_each(|value| collect(Some(value), tables)),
        Some(Value::Table(table)) => {
            tables.push(table.clone());
            table.values().for_each(|value| collect(Some(value), tables));
        }
        Some(_) | None => {}
    }
}

/// What was read of such files, each once for all meters that use it.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// By driver, directory and the file that is chosen there.
    definitions: BTreeMap<(&'static str, PathBuf, Option<String>), u64>,
    contents: BTreeMap<PathBuf, u64>,
}

impl Files {
    /// A fingerprint of what a meter of `driver` will read there; 0 where it reads nothing.
    pub(super) fn fingerprint(&mut self, driver: &ConfiguredDriver) -> u64 {
        let mut prints = Vec::new();
        for (_, names, path) in driver.paths() {
            match names {
                Names::Definitions { chosen_by } => {
                    let place = (driver.name(), path.to_owned(), driver.text(chosen_by).map(str::to_owned));
                    let read = || driver.definitions().map_or(0, |text| hash(&text));
                    prints.push(*self.definitions.entry(place).or_insert_with(read));
                }
                Names::Authority => prints.push(self.content(path)),
                Names::Device | Names::Kernel | Names::Socket => {}
            }
        }
        if prints.is_empty() { 0 } else { hash(&prints) }
    }

    fn content(&mut self, file: &Path) -> u64 {
        *self.contents.entry(file.to_owned()).or_insert_with(|| {
            let Ok(meta) = std::fs::metadata(file) else { return 0 };
            if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
                return hash(&meta.len());
            }
            std::fs::read(file).map_or(0, |bytes| hash(&bytes))
        })
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
