//! Files besides the configuration that meters read when they are opened: SNMP profiles, register maps, certificates of
//! authorities. A change of one is a change of the meters that use it, and of no other.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use kwapi_drivers::snmp::Catalogue;
use toml::{Table, Value};

use super::document::Document;
use super::inventory;
use super::meters::Meter;

/// A longer file is none of these, and counts by its length.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The keys that name such files are the same for every driver that has them.
const PROFILES: &str = "profile_directory";
const MAPS: &str = "maps";
const TLS: &str = "tls";
const AUTHORITY: &str = "ca:";

/// Notes what the tables of `document` name as something it was made from, also where they are broken otherwise. Like
/// the drivers, it takes relative names from the working directory.
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
        for key in [PROFILES, MAPS] {
            if let Some(directory) = text(table, key) {
                document.note_pattern(Path::new(directory).join("*.toml"));
            }
        }
        if let Some(file) = authority(table) {
            document.note_source(PathBuf::from(file));
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

fn text<'a>(keys: &'a Table, key: &str) -> Option<&'a str> {
    keys.get(key).and_then(Value::as_str)
}

fn authority(keys: &Table) -> Option<&str> {
    text(keys, TLS)?.strip_prefix(AUTHORITY)
}

/// What was read of such files, each once for all meters that use it.
#[derive(Debug, Default)]
pub(super) struct Files {
    catalogues: BTreeMap<PathBuf, Option<Catalogue>>,
    contents: BTreeMap<PathBuf, u64>,
}

impl Files {
    /// A fingerprint of what `meter` will read there; 0 where it reads nothing.
    pub(super) fn fingerprint(&mut self, meter: &Meter) -> u64 {
        let mut prints = Vec::new();
        if let Some(directory) = text(&meter.keys, PROFILES) {
            prints.push(self.profiles(Path::new(directory), text(&meter.keys, "profile")));
        }
        if let (Some(directory), Some(map)) = (text(&meter.keys, MAPS), text(&meter.keys, "map")) {
            prints.push(self.content(&Path::new(directory).join(format!("{map}.toml"))));
        }
        if let Some(file) = authority(&meter.keys) {
            prints.push(self.content(Path::new(file)));
        }
        if prints.is_empty() { 0 } else { hash(&prints) }
    }

    /// Of a profile that is named, that one; else any may be found to fit.
    fn profiles(&mut self, directory: &Path, named: Option<&str>) -> u64 {
        let catalogue = self
            .catalogues
            .entry(directory.to_owned())
            .or_insert_with(|| Catalogue::with_directory(directory).ok());
        let Some(catalogue) = catalogue else { return 0 };
        match named.filter(|name| *name != "auto") {
            Some(name) => hash(&format!("{:?}", catalogue.get(name))),
            None => hash(&format!("{:?}", catalogue.iter().collect::<Vec<_>>())),
        }
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
