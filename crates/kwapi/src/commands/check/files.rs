//! What a configuration names and a start would stumble over: keys, certificates, the policy file, tokens, passwords,
//! directories, the dates of keys (`files/bus_keys.rs`) and what meters read (`files/meters.rs`). Nothing is requested
//! over the network.

mod bus_keys;
mod meters;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kwapi_bus::CurveConfig;
use kwapi_core::{Timestamp, WallClock};
use kwapi_plugins::auth::{AuthConfig, AuthError, Policy};
use kwapi_plugins::http::ServerTls;
use kwapi_plugins::object_storage::S3Bucket;
use kwapi_plugins::remote_write::RemoteWriteServer;
use toml::Value;

use crate::config::{Config, Document, DocumentError, Step, chain, remote_write_path};

/// Whoever renews certificates does so a month before they end; one that ends sooner has been forgotten.
const EXPIRY_WARNING: Duration = Duration::from_secs(21 * 86_400);
/// The tables that endpoints are in.
const BUS_TABLES: [&str; 5] = ["bus", "drivers", "forwarder", "api", "rrd"];

/// Something that is wrong with a file, or will be, with the line that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Whether something would not start, or not be safe.
    pub(super) is_error: bool,
    pub(super) text: String,
}

/// The findings so far, and where things stand.
struct Findings<'a> {
    written: &'a Document,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn error(&mut self, path: &[Step], message: impl Into<String>) {
        self.add(true, &self.written.error(path, message));
    }

    fn warning(&mut self, path: &[Step], message: impl Into<String>) {
        self.add(false, &self.written.error(path, message));
    }

    fn add(&mut self, is_error: bool, finding: &DocumentError) {
        self.all.push(Finding { is_error, text: finding.to_string() });
    }

    /// A file that only the service is to read.
    fn private(&mut self, path: &[Step], file: &Path) {
        let mode = fs::metadata(file).map(|metadata| metadata.permissions().mode());
        // One that is not there is somebody else's finding.
        if mode.is_ok_and(|mode| mode & 0o007 != 0) {
            let file = file.display();
            self.error(
                path,
                format!("{file} is accessible to all users of this machine; run chmod o-rwx {file}"),
            );
        }
    }
}

fn keys(path: &[&str]) -> Vec<Step> {
    path.iter().map(|key| Step::Key((*key).to_owned())).collect()
}

/// Looks at everything `config` names. `written` is the configuration with its secrets where they are, `resolved` with
/// them in their place.
pub(super) fn check(
    config: &Config,
    written: &Document,
    resolved: &Document,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = Findings { written, all: Vec::new() };
    secrets(&mut findings);
    curve(&mut findings, resolved);
    bus_keys::check(&mut findings, resolved, now);
    for (section, tls) in [("api", &config.api.config.tls), ("rrd", &config.rrd.tls)] {
        if let Some(tls) = tls {
            certificate(&mut findings, section, tls, now);
        }
    }
    if let Some(auth) = &config.api.config.auth {
        authentication(&mut findings, auth);
    }
    // Nothing is requested, so any clock will do.
    let bucket = config.samples.s3.as_ref().map(|s3| S3Bucket::new(s3, WallClock::new(move || now)));
    if let Some(Err(error)) = bucket {
        findings.error(&keys(&["samples", "s3", error.key]), error.to_string());
    }
    for (index, remote_write) in config.remote_writes.iter().enumerate() {
        if let Err(error) = RemoteWriteServer::new(remote_write) {
            findings.error(&remote_write_path(index, error.key), error.to_string());
        }
    }
    for (index, peer) in config.api.config.peers.iter().enumerate() {
        if let Err(message) = peer.check_files() {
            let mut path = keys(&["api", "peers"]);
            path.push(Step::Index(index));
            findings.error(&path, message);
        }
    }
    nats(&mut findings, config);
    directories(&mut findings, config);
    meters::check(&mut findings, config);
    findings.all
}

/// How streams of NATS are logged in to.
fn nats(findings: &mut Findings<'_>, config: &Config) {
    for (endpoint, _) in config.nats_streams() {
        if let Err(why) = endpoint.nats.check_files() {
            findings.error(&keys(&["bus", "nats"]), format!("{}: {why}", endpoint.url));
        }
        if endpoint.is_login_in_clear() {
            let message = format!("{}: the login is sent unencrypted; use tls://", endpoint.url);
            findings.warning(&keys(&["bus", "nats"]), message);
        }
    }
}

/// Files with a secret: `{ file = "…" }`.
fn secrets(findings: &mut Findings<'_>) {
    let written = findings.written;
    let mut found = Vec::new();
    walk(&Value::Table(written.tables.clone()), &mut Vec::new(), &mut |path, value| {
        let table = value.as_table().filter(|table| table.len() == 1);
        if let Some(file) = table.and_then(|table| table.get("file")).and_then(Value::as_str) {
            found.push((path.to_vec(), written.folder().join(file)));
        }
    });
    for (path, file) in found {
        findings.private(&path, &file);
    }
}

/// `[bus.curve]`, and the tables of endpoints that have their own.
fn curve(findings: &mut Findings<'_>, resolved: &Document) {
    for name in BUS_TABLES {
        let Some(section) = resolved.tables.get(name) else { continue };
        let mut found = Vec::new();
        walk(section, &mut keys(&[name]), &mut |path, value| {
            let is_curve = path.last() == Some(&Step::Key("curve".to_owned()));
            // It has been read once: it is of its type.
            if let Some(curve) = is_curve.then(|| value.clone().try_into::<CurveConfig>().ok()).flatten() {
                found.push((path.to_vec(), curve));
            }
        });
        for (mut path, curve) in found {
            if let Err(error) = curve.check() {
                path.push(Step::Key(error.member.to_owned()));
                findings.error(&path, error.to_string());
            }
        }
    }
}

/// Visits every value, tables before what is in them.
fn walk(value: &Value, path: &mut Vec<Step>, visit: &mut dyn FnMut(&[Step], &Value)) {
    visit(path, value);
    let mut inner = |step: Step, value: &Value| {
        path.push(step);
        walk(value, path, visit);
        path.pop();
    };
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| inner(Step::Key(key.clone()), value)),
        Value::Array(array) => {
            array.iter().enumerate().for_each(|(index, value)| inner(Step::Index(index), value));
        }
        _ => {}
    }
}

fn certificate(findings: &mut Findings<'_>, section: &str, tls: &ServerTls, now: Timestamp) {
    let path = keys(&[section, "tls", "certificate"]);
    findings.private(&keys(&[section, "tls", "key"]), &tls.key);
    let validity = match tls.check() {
        Ok(Some(validity)) => validity,
        Ok(None) => return findings.warning(&path, "cannot read the expiry date of this certificate"),
        Err(error) => return findings.error(&keys(&[section, "tls"]), chain(&error)),
    };
    let certificate = tls.certificate.display();
    if validity.end <= now {
        findings.error(&path, format!("{certificate} expired on {}; renew it", day(validity.end)));
    } else if validity.begin > now {
        let begin = day(validity.begin);
        findings
            .error(&path, format!("{certificate} is not valid before {begin}; check this machine's clock"));
    } else if validity.end <= now.after(EXPIRY_WARNING) {
        findings.warning(&path, format!("{certificate} expires on {}; renew it", day(validity.end)));
    }
}

/// The day of a stamp, in UTC.
fn day(stamp: Timestamp) -> String {
    let micros = i64::try_from(stamp.micros()).unwrap_or(i64::MAX);
    let stamp = jiff::Timestamp::from_microsecond(micros);
    stamp.map(|stamp| stamp.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}

fn authentication(findings: &mut Findings<'_>, auth: &AuthConfig) {
    let at = |key: &str| keys(&["api", "auth", key]);
    if let Some(file) = &auth.policy_file
        && let Err(error) = Policy::read(file)
    {
        findings.error(&at("policy_file"), format!("{}: {}", file.display(), chain(&error)));
    }
    for (index, token) in auth.tokens.iter().enumerate() {
        if let Err(error) = token.check() {
            let path = [at("token"), vec![Step::Index(index), Step::Key("sha256".to_owned())]].concat();
            findings.error(&path, format!("{error}; printf %s \"$TOKEN\" | sha256sum prints them"));
        }
    }
    let Some(keystone) = &auth.keystone else { return };
    let at = |key: &str| keys(&["api", "auth", "keystone", key]);
    match keystone.check() {
        // The service may have another environment.
        Err(AuthError::Keystone { key: key @ "password_env", message, .. }) => {
            findings.warning(&at(key), format!("{key}: {message}"));
        }
        Err(AuthError::Keystone { key, message, .. }) => {
            findings.error(&at(key), format!("{key}: {message}"));
        }
        Err(error) => findings.error(&at("url"), chain(&error)),
        Ok(()) => {}
    }
    if let Some(file) = &keystone.password_file {
        findings.private(&at("password_file"), file);
    }
}

/// The directories this process would write to, if it has an API or history.
fn directories(findings: &mut Findings<'_>, config: &Config) {
    let tables = &findings.written.tables;
    let is_named = ["state_directory", "api", "rrd"].iter().any(|key| tables.contains_key(*key));
    let is_one_part_only = !config.drivers.publish.is_empty() || !config.forwarder.publish.is_empty();
    if !is_named && is_one_part_only {
        return;
    }
    let state = &config.state_directory;
    if let Err(error) = kwapi_history::upgrade::refuse_newer(state) {
        findings.error(&keys(&["state_directory"]), error.to_string());
    }
    let below = ["api", "rrd", "history/journal", "history/groups", "history/ledger", "history/samples"];
    let parts = std::iter::once(state.clone()).chain(below.iter().map(|below| state.join(below)));
    let mut named: Vec<(Vec<Step>, PathBuf)> =
        parts.map(|directory| (keys(&["state_directory"]), directory)).collect();
    let rrd = config.rrd.directory.clone();
    let rrd = rrd.unwrap_or_else(|| state.join("history/rrd"));
    named.push((keys(&["rrd", "directory"]), rrd.clone()));
    let mut tried = Vec::new();
    for (path, directory) in named {
        let existing = nearest(&directory);
        if tried.contains(&existing) {
            continue;
        }
        let (wanted, found) = (directory.display(), existing.display());
        if !existing.is_dir() {
            findings.error(&path, format!("cannot create {wanted}: {found} is not a directory"));
        } else if let Err(error) = try_to_write(&existing) {
            let message = format!(
                "{wanted}: {found} is not writable by this user ({error}); make it writable for the user that kwapi runs as, or run the check as that user"
            );
            findings.error(&path, message);
        }
        tried.push(existing);
    }
    let files =
        [(keys(&["rrd", "directory"]), rrd), (keys(&["state_directory"]), state.join("history/groups"))];
    for (path, directory) in files {
        if let Ok(Some((file, error))) = kwapi_history::store::unwritable(&directory)
            && file != directory
        {
            let message = format!(
                "{}: not writable by this user ({error}); its history is not updated",
                file.display()
            );
            findings.error(&path, message);
        }
    }
}

/// The directory itself, or the nearest one above it that is there.
fn nearest(directory: &Path) -> PathBuf {
    let found = directory.ancestors().find(|ancestor| ancestor.exists());
    match found {
        Some(found) if !found.as_os_str().is_empty() => found.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// Makes a file there, which is gone at once.
fn try_to_write(directory: &Path) -> io::Result<()> {
    tempfile::tempfile_in(directory).map(drop)
}
