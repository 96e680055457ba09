//! `kwapi import-config`: what is measured by another program already, as a configuration of ours. Prints the configuration,
//! and on standard error what it could not carry.

mod draft;
mod file;
mod literal;
mod netbox;
mod notation;
mod original;
mod oslo;
mod prometheus;
mod telegraf;
mod yaml;

use std::path::{Path, PathBuf};

use crate::cli::ImportConfigArgs;
use draft::Draft;
use file::read;
use netbox::Sheet;
use oslo::OsloFile;
use yaml::Yaml;

/// A folder may have so many files.
const FILES_MAX: usize = 10_000;

/// What a file turned out to be.
enum Kind {
    Original(OsloFile),
    Telegraf(toml::Table),
    Prometheus(Yaml),
    NetBox(Sheet),
}

/// All that was named, by kind.
#[derive(Default)]
struct Inputs {
    original: Vec<(PathBuf, OsloFile)>,
    telegraf: Vec<(PathBuf, toml::Table)>,
    prometheus: Vec<(PathBuf, Yaml)>,
    netbox: Vec<(PathBuf, Sheet)>,
    rrd: Vec<PathBuf>,
}

/// Prints a configuration made of other programs' files.
///
/// # Errors
/// When a file cannot be read or is of no known kind, as one line.
pub(crate) fn import_config(arguments: &ImportConfigArgs) -> Result<(), String> {
    let mut draft = Draft::default();
    let inputs = read_all(&arguments.files, &mut draft)?;
    let (text, lost) = convert(&inputs, draft)?;
    print!("{text}");
    for line in &lost {
        eprintln!("not carried over: {line}");
    }
    Ok(())
}

/// The configuration, and what it lacks.
fn convert(inputs: &Inputs, mut draft: Draft) -> Result<(String, Vec<String>), String> {
    original::convert(&inputs.original, &inputs.rrd, &mut draft);
    prometheus::convert(&inputs.prometheus, &mut draft);
    telegraf::convert(&inputs.telegraf, &mut draft);
    netbox::convert(&inputs.netbox, &mut draft)?;
    let all = inputs.original.iter().map(|(path, _)| path);
    let all = all.chain(inputs.prometheus.iter().map(|(path, _)| path));
    let all = all.chain(inputs.telegraf.iter().map(|(path, _)| path));
    let all: Vec<&Path> =
        all.chain(inputs.netbox.iter().map(|(path, _)| path)).map(PathBuf::as_path).collect();
    draft.finish(&all)
}

/// Reads what was named: files, and folders of them.
fn read_all(named: &[PathBuf], draft: &mut Draft) -> Result<Inputs, String> {
    let mut inputs = Inputs::default();
    for path in named {
        if path.is_dir() {
            read_folder(path, &mut inputs, draft)?;
        } else {
            inputs.add(path.clone(), recognise(path)?);
        }
    }
    Ok(inputs)
}

fn read_folder(folder: &Path, inputs: &mut Inputs, draft: &mut Draft) -> Result<(), String> {
    let cannot_list = |error: std::io::Error| format!("{}: cannot be listed: {error}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot_list)?.take(FILES_MAX) {
        let path = entry.map_err(cannot_list)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if ending == "rrd" && !inputs.rrd.iter().any(|known| known == folder) {
            inputs.rrd.push(folder.to_owned());
        }
        if ["conf", "toml", "yml", "yaml", "csv"].contains(&ending) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let before = inputs.count();
    for file in files {
        match recognise(&file) {
            Ok(kind) => inputs.add(file, kind),
            Err(why) => draft.lost(why),
        }
    }
    if inputs.count() == before && !inputs.rrd.iter().any(|known| known == folder) {
        return Err(format!("{} has no file of a known kind", folder.display()));
    }
    Ok(())
}

impl Inputs {
    fn add(&mut self, path: PathBuf, kind: Kind) {
        match kind {
            Kind::Original(file) => self.original.push((path, file)),
            Kind::Telegraf(table) => self.telegraf.push((path, table)),
            Kind::Prometheus(yaml) => self.prometheus.push((path, yaml)),
            Kind::NetBox(sheet) => self.netbox.push((path, sheet)),
        }
    }

    fn count(&self) -> usize {
        self.original.len() + self.telegraf.len() + self.prometheus.len() + self.netbox.len()
    }
}

/// What a file is, recognised by its content.
fn recognise(path: &Path) -> Result<Kind, String> {
    kind_of(&read(path)?).map_err(|why| format!("{}: {why}", path.display()))
}

fn kind_of(text: &str) -> Result<Kind, String> {
    if let Some(sheet) = Sheet::read(text) {
        return sheet.map(Kind::NetBox);
    }
    if let Ok(table) = text.parse::<toml::Table>()
        && (table.contains_key("inputs") || table.contains_key("agent") || table.contains_key("outputs"))
    {
        return Ok(Kind::Telegraf(table));
    }
    if let Some(file) = OsloFile::read(text) {
        return Ok(Kind::Original(file));
    }
    let yaml = Yaml::read(text).ok().filter(prometheus::is_known);
    yaml.map(Kind::Prometheus).ok_or_else(|| {
        "not a configuration of the original Kwapi, Telegraf, Prometheus, ipmi_exporter or snmp_exporter, and no CSV export of NetBox".to_owned()
    })
}

#[cfg(test)]
mod tests;
