//! The original Kwapi: `drivers.conf`, `forwarder.conf`, `api.conf`, `rrd.conf`, and its directory of RRD files. Keys and
//! defaults as observed (docs/manual/migration.md).

mod auth;
mod wattmeter;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kwapi_core::ProbeId;
use kwapi_history::store::file_stem;
use toml::Value;

use super::draft::Draft;
use super::notation::number;
use super::oslo::{OsloFile, OsloSection};

/// The id of the one key that the original signs with.
const KEY: &str = "original";
/// Options that need nothing here, and why.
const NEEDLESS: [(&str, &str); 5] = [
    ("check_drivers_interval", "a driver that stops is restarted at once"),
    ("png_dir", "graphs are kept in memory"),
    ("log_file", "logs go to standard error, and so to the journal"),
    ("verbose", "use --log debug"),
    ("debug", "use --log debug"),
];
/// What is read of the section DEFAULT.
const READ: [&str; 20] = [
    "probes_endpoint",
    "forwarder_endpoint",
    "enable_signing",
    "metering_secret",
    "signature_checking",
    "driver_metering_secret",
    "watch_probe",
    "api_port",
    "acl_enabled",
    "policy_file",
    "cleaning_interval",
    "rrd_port",
    "rrd_dir",
    "currency",
    "kwh_price",
    "hue",
    "max_watts",
    "refresh_interval",
    "check_drivers_interval",
    "png_dir",
];

/// What one of its files configures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Drivers,
    Forwarder,
    Api,
    Rrd,
}

impl Part {
    /// Recognised by the keys that only it has.
    fn of(file: &OsloFile) -> Self {
        let has = |key: &str| file.section("DEFAULT").is_some_and(|section| section.get(key).is_some());
        if has("forwarder_endpoint") {
            Self::Forwarder
        } else if has("api_port") || has("acl_enabled") || has("cleaning_interval") {
            Self::Api
        } else if has("rrd_port") || has("rrd_dir") || has("png_dir") {
            Self::Rrd
        } else {
            Self::Drivers
        }
    }
}

/// Adds the content of the files. `rrd`: directories of RRD files that were named.
pub(super) fn convert(files: &[(PathBuf, OsloFile)], rrd: &[PathBuf], draft: &mut Draft) {
    let mut directory = rrd.first().cloned();
    let mut signing = Signing::default();
    for (path, file) in files {
        let none = OsloSection { name: String::new(), line: 0, options: Vec::new() };
        let default = file.section("DEFAULT").unwrap_or(&none);
        match Part::of(file) {
            Part::Drivers => drivers(path, file, default, &mut signing, draft),
            Part::Forwarder => forwarder(default, draft),
            Part::Api => {
                listener(default, "api", draft);
                numbers(path, default, "api", &[("cleaning_interval", "cleaning_interval_seconds")], draft);
                auth::convert(path, file, default, draft);
                signing.checks(default);
            }
            Part::Rrd => {
                listener(default, "rrd", draft);
                pages(path, default, draft);
                signing.checks(default);
                directory = directory.or_else(|| default.text("rrd_dir").map(PathBuf::from));
            }
        }
        remark_others(path, default, draft);
    }
    if !files.is_empty() {
        signing.write(draft);
    }
    if let Some(directory) = directory {
        draft.set("rrd", "directory", directory.display().to_string());
        remark_files(&directory, draft);
    }
}

fn drivers(path: &Path, file: &OsloFile, default: &OsloSection, signing: &mut Signing, draft: &mut Draft) {
    let publish: Vec<Value> = endpoints(default, "probes_endpoint");
    if !publish.is_empty() {
        draft.set("drivers", "publish", publish);
    }
    signing.signs = default.is_on("enable_signing").or(Some(default.text("metering_secret").is_some()));
    signing.key = default.text("metering_secret").map(ToOwned::to_owned);
    for section in file.sections.iter().filter(|section| section.name != "DEFAULT") {
        wattmeter::convert(path, section, draft);
    }
}

fn forwarder(default: &OsloSection, draft: &mut Draft) {
    draft.set("forwarder", "subscribe", endpoints(default, "probes_endpoint"));
    draft.set("forwarder", "publish", endpoints(default, "forwarder_endpoint"));
}

fn endpoints(section: &OsloSection, key: &str) -> Vec<Value> {
    // oslo's lists stand on lines of their own or between commas.
    let each = section.all(key).flat_map(|option| option.value.split([',', '\n']));
    each.map(str::trim).filter(|url| !url.is_empty()).map(Value::from).collect()
}

/// Where a plugin listens, what it receives, and where it serves.
fn listener(default: &OsloSection, section: &str, draft: &mut Draft) {
    draft.set(section, "subscribe", endpoints(default, "probes_endpoint"));
    let watched = endpoints(default, "watch_probe");
    if !watched.is_empty() {
        draft.set(section, "probes", watched);
    }
    if let Some(port) = default.text(&format!("{section}_port")) {
        draft.set(section, "listen", format!("127.0.0.1:{port}"));
        draft.lost(format!(
            "{section}_port: the original listens on all addresses; here [{section}] listen is on loopback, until you set it with authentication or insist_without_auth"
        ));
    }
}

/// Price and looks of the pages.
fn pages(path: &Path, default: &OsloSection, draft: &mut Draft) {
    if let Some(currency) = default.text("currency") {
        draft.set("rrd", "currency", currency);
    }
    let keys = [
        ("kwh_price", "kwh_price"),
        ("max_watts", "max_watts"),
        ("hue", "hue"),
        ("refresh_interval", "refresh_interval_seconds"),
    ];
    numbers(path, default, "rrd", &keys, draft);
}

/// Numbers that only have other names here.
fn numbers(path: &Path, default: &OsloSection, section: &str, keys: &[(&str, &str)], draft: &mut Draft) {
    for (theirs, ours) in keys {
        let Some(option) = default.get(theirs) else { continue };
        match number(&option.value) {
            Some(value) => draft.set(section, ours, value),
            None => draft.lost(format!("{}:{}: {theirs} is no number", path.display(), option.line)),
        }
    }
}

/// Options that nothing is made of.
fn remark_others(path: &Path, default: &OsloSection, draft: &mut Draft) {
    let path = path.display();
    for option in &default.options {
        let (key, line) = (&option.key, option.line);
        if let Some((_, why)) = NEEDLESS.iter().find(|(needless, _)| needless == key) {
            draft.lost(format!("{path}:{line}: {key}: not needed; {why}"));
        } else if !READ.contains(&key.as_str()) {
            draft.lost(format!("{path}:{line}: {key}: unknown"));
        }
    }
}

/// What the directory has, and of whom.
fn remark_files(directory: &Path, draft: &mut Draft) {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            draft.lost(format!("{}: {error}; RRD files are made there", directory.display()));
            return;
        }
    };
    let stems = draft.probes().filter_map(|probe| ProbeId::new(probe).ok());
    let known: BTreeSet<String> = stems.map(|probe| file_stem(&probe).to_string()).collect();
    let mut unknown = 0;
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.extension().is_some_and(|ending| ending == "rrd") {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            unknown += usize::from(!known.contains(stem));
        }
    }
    if unknown > 0 {
        draft.lost(format!(
            "{}: {unknown} RRD files are of no probe that is configured here; each is continued when a probe of its id is received",
            directory.display()
        ));
    }
}

/// Who signs with what, and who checks.
#[derive(Debug, Default)]
struct Signing {
    signs: Option<bool>,
    key: Option<String>,
    checks: Option<bool>,
    keys: Vec<String>,
}

impl Signing {
    fn checks(&mut self, default: &OsloSection) {
        let is_on =
            default.is_on("signature_checking").unwrap_or(default.text("driver_metering_secret").is_some());
        self.checks = Some(self.checks.unwrap_or(false) || is_on);
        let secret = default.text("driver_metering_secret").map(ToOwned::to_owned);
        if let Some(secret) = secret.filter(|secret| is_on && !self.keys.contains(secret)) {
            self.keys.push(secret);
        }
    }

    fn write(self, draft: &mut Draft) {
        let is_signed = self.signs.or(self.checks).unwrap_or(false);
        if !is_signed {
            draft.set("bus", "signature", "none");
            draft.lost("enable_signing, signature_checking: messages are not signed, as before; see docs/manual/bus.md for keys");
            return;
        }
        draft.set("bus", "signature", "legacy");
        draft.lost("the bus keeps the original's signature (legacy); set signature = \"kwapi-1\" when no part of the original is left");
        draft.has_secret();
        let key = |id: String, secret: String| {
            Value::Table(
                [("id".to_owned(), Value::String(id)), ("secret".to_owned(), Value::String(secret))]
                    .into_iter()
                    .collect(),
            )
        };
        let mut others = self.keys;
        if let Some(secret) = self.key.filter(|_| self.signs == Some(true)) {
            others.retain(|other| *other != secret);
            draft.set("bus", "key", key(KEY.to_owned(), secret));
        }
        let id = |index: usize| format!("{KEY}-plugin-{}", index + 1);
        let others: Vec<Value> =
            others.into_iter().enumerate().map(|(index, secret)| key(id(index), secret)).collect();
        if !others.is_empty() {
            draft.set("bus", "keys", others);
        }
    }
}
