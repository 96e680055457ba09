//! `kwapi.toml`: found, read, checked and expanded before anything starts.

mod accuracy;
mod bill;
mod bus;
mod document;
mod environment;
mod files;
mod inventory;
mod labels;
mod meters;
mod names;
mod percent;
mod remarks;
mod remote_write;
mod secrets;
mod sections;
mod sources;
mod spec;
mod virtual_probes;

pub(crate) use accuracy::Accuracies;
pub(crate) use bus::{BusSection, Endpoint};
pub(crate) use document::{Document, DocumentError, Step};
pub(crate) use kwapi_core::chain;
pub(crate) use kwapi_plugins::directory::Labels;
pub(crate) use labels::TemplateLabels;
pub(crate) use names::nearest;
pub(crate) use remote_write::path as remote_write_path;
pub(crate) use sources::{Looks, Sources, matching};

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kwapi_core::{ConfiguredGaps, ProbeId};
use kwapi_drivers::manager::{MeterSpec, VirtualSpec};
use kwapi_plugins::api;
use kwapi_plugins::auth::AuthError;
use kwapi_plugins::remote_write::RemoteWriteConfig;
use toml::{Table, Value};

use sections::{
    ApiSection, DriversSection, ForwarderSection, GroupsSection, LedgerSection, RrdSection, SamplesSection,
    StatusSection, api_section, drivers_section, samples_section,
};

/// Where a configuration is looked for when none is named.
const PLACES: [&str; 2] = ["kwapi.toml", "/etc/kwapi/kwapi.toml"];
/// The tables there are.
const TABLES: [&str; 19] = [
    "state_directory",
    "include",
    "bus",
    "drivers",
    "forwarder",
    "api",
    "rrd",
    "groups",
    "ledger",
    "samples",
    "remote_write",
    "status",
    "credentials",
    "meter",
    "inventory",
    "virtual",
    "labels",
    "bill",
    "tariff",
];

/// A checked configuration.
#[derive(Debug)]
pub(crate) struct Config {
    /// Every file it was read from; the first is the one that was named or found.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) state_directory: PathBuf,
    pub(crate) bus: BusSection,
    pub(crate) drivers: DriversSection,
    pub(crate) forwarder: ForwarderSection,
    pub(crate) api: ApiSection,
    pub(crate) rrd: RrdSection,
    pub(crate) groups: GroupsSection,
    pub(crate) ledger: LedgerSection,
    pub(crate) samples: SamplesSection,
    pub(crate) remote_writes: Vec<RemoteWriteConfig>,
    pub(crate) status: StatusSection,
    pub(crate) meters: Vec<MeterSpec>,
    pub(crate) virtual_probes: Vec<VirtualSpec>,
    /// The operator's labels of probes.
    pub(crate) labels: BTreeMap<ProbeId, Labels>,
    /// Those of probes whose meters name their outlets by a template.
    pub(crate) template_labels: TemplateLabels,
    /// What energy costs, and whose it is.
    pub(crate) bill: kwapi_plugins::bills::BillConfig,
    /// How accurate the meters are, as far as it is configured.
    pub(crate) accuracy: Accuracies,
    /// What is probably not meant, each with its line.
    pub(crate) warnings: Vec<String>,
    /// What takes a restart to change, as a fingerprint by table.
    fixed: BTreeMap<String, u64>,
    /// How its files looked when it was read.
    pub(crate) looks: Looks,
    /// Everything it was made from.
    pub(crate) sources: Sources,
}

impl Config {
    /// The configuration file to use: the one named, else the first of the usual places; `None` where there is none.
    pub(crate) fn find(named: Option<&Path>) -> Option<PathBuf> {
        match named {
            Some(file) => Some(file.to_owned()),
            None => PLACES.iter().map(PathBuf::from).find(|file| file.is_file()),
        }
    }

    /// Reads and checks `file` with all it includes. Nothing is opened.
    ///
    /// # Errors
    /// At the first thing that makes no sense, with file and line.
    pub(crate) fn read(file: &Path) -> Result<Self, DocumentError> {
        Self::read_with_sources(file).0
    }

    /// As [`Config::read`], with all files that it was made from, also where it makes no sense.
    pub(crate) fn read_with_sources(file: &Path) -> (Result<Self, DocumentError>, Sources) {
        let mut document = Document::default();
        let read = document.add(file).and_then(|()| secrets::resolve(&mut document));
        let inventories = document.tables.get("inventory").and_then(Value::as_array);
        let inventories: Vec<PathBuf> = inventories
            .into_iter()
            .flatten()
            .filter_map(|inventory| Some(document.folder().join(inventory.get("csv")?.as_str()?)))
            .collect();
        inventories.into_iter().for_each(|file| document.note_source(file));
        files::note(&mut document);
        bill::note(&mut document);
        // Looked at before the rest is read: what changes meanwhile is seen as a change.
        let looks = document.sources().look();
        let config =
            read.and_then(|()| Self::from_document(&document)).map(|config| Self { looks, ..config });
        (config, document.sources().clone())
    }

    /// The tables that differ from those of `other` and that only a restart changes.
    pub(crate) fn fixed_differences(&self, other: &Self) -> Vec<String> {
        let names = self.fixed.keys().chain(other.fixed.keys()).collect::<BTreeSet<_>>();
        names.into_iter().filter(|name| self.fixed.get(*name) != other.fixed.get(*name)).cloned().collect()
    }

    fn from_document(document: &Document) -> Result<Self, DocumentError> {
        for (key, _) in &document.tables {
            if !TABLES.contains(&key.as_str()) {
                return Err(document.unknown_key(&[Step::Key(key.clone())], key, TABLES.into_iter()));
            }
        }
        let (drivers, defaults) = drivers_section(document)?;
        let expanded = meters::expand(document, &defaults)?;
        let rrd: RrdSection = document.section("rrd")?;
        let bill = bill::read(document, &rrd)?;
        let mut labels = labels(document)?;
        let mut template_labels = TemplateLabels::default();
        for meter in &expanded {
            for outlet in meter.outlets.named() {
                let own = labels.entry(outlet.probe.clone()).or_default();
                let of_bills = bill.shares.get(&outlet.probe);
                let is_other = |name: &String| of_bills.is_none_or(|shares| !shares.contains_key(name));
                for (name, value) in meter.labels.iter().filter(|(name, _)| is_other(name)) {
                    own.entry(name.clone()).or_insert_with(|| value.replace("{outlet}", &outlet.key));
                }
            }
            if let Some(template) = meter.outlets.template().filter(|_| !meter.labels.is_empty()) {
                template_labels.add(template, &meter.labels);
            }
        }
        labels.retain(|_, labels| !labels.is_empty());
        let virtual_probes = virtual_probes::read(document, &expanded)?;
        let mut warnings = remarks::unknown_labels(document, &labels, &expanded, &virtual_probes);
        let samples = samples_section(document)?;
        warnings.extend(remarks::samples_in_clear(document, &samples));
        let remote_writes = remote_write::read(document)?;
        warnings.extend(remote_write::in_clear(document, &remote_writes));
        let mut read = files::Files::default();
        let meters: Vec<MeterSpec> = expanded
            .iter()
            .map(|meter| {
                let spec = spec::of(document, meter)?;
                Ok(MeterSpec { files: read.fingerprint(&spec.driver), ..spec })
            })
            .collect::<Result<_, DocumentError>>()?;
        warnings.extend(remarks::shared_outlets(document, &expanded, &meters));
        let api = api_section(document)?;
        warnings.extend(remarks::peers_in_clear(document, &api));
        let mut config = Self {
            files: document.files().to_vec(),
            state_directory: state_directory(document)?,
            bus: document.section("bus")?,
            drivers,
            forwarder: document.section("forwarder")?,
            api,
            rrd,
            bill,
            groups: document.section("groups")?,
            ledger: document.section("ledger")?,
            samples,
            remote_writes,
            status: document.section("status")?,
            virtual_probes,
            meters,
            labels,
            template_labels,
            accuracy: Accuracies::of_meters(&expanded),
            warnings,
            fixed: remarks::fixed(document),
            looks: Looks::default(),
            sources: document.sources().clone(),
        };
        config.check_bus(document)?;
        config.warnings.extend(config.stream_remarks(document));
        config.check_peers(document)?;
        if let Err(error) = config.api.config.check() {
            let mut path = vec![Step::Key("api".to_owned())];
            match &error {
                api::ApiConfigError::Auth(AuthError::Scope { index, .. }) => {
                    path.extend(["auth", "scope"].map(|key| Step::Key(key.to_owned())));
                    path.push(Step::Index(*index));
                }
                api::ApiConfigError::Peer { index, .. } => {
                    path.extend([Step::Key("peers".to_owned()), Step::Index(*index)]);
                }
                _ => {}
            }
            return Err(document.error(&path, chain(&error)));
        }
        config.check_pages(document)?;
        Ok(config)
    }

    /// Checks that instances of the API can sign what they send each other.
    fn check_peers(&self, document: &Document) -> Result<(), DocumentError> {
        if self.api.config.peers.is_empty() {
            return Ok(());
        }
        let path = ["api", "peers"].map(|key| Step::Key(key.to_owned()));
        kwapi_plugins::peers::check_keys(&self.bus.key).map_err(|message| document.error(&path, message))
    }

    /// Checks who can look at the pages.
    fn check_pages(&self, document: &Document) -> Result<(), DocumentError> {
        let Self { rrd, api, .. } = self;
        let at = |keys: &[&str]| keys.iter().map(|key| Step::Key((*key).to_owned())).collect::<Vec<_>>();
        let is_remote = !rrd.listen.ip().is_loopback();
        let Some(auth) = &rrd.auth else {
            if !is_remote || rrd.insist_without_auth {
                return Ok(());
            }
            let message = format!(
                "[rrd] listen = \"{}\" is reachable from other machines, and the pages are unauthenticated; configure [rrd.auth], listen on 127.0.0.1 and use ssh -L, or set insist_without_auth = true",
                rrd.listen
            );
            return Err(document.error(&at(&["rrd", "listen"]), message));
        };
        let has_other_ways = api.config.auth.as_ref().is_some_and(|auth| !auth.is_empty());
        if let Err(error) = auth.check(has_other_ways) {
            return Err(document.error(&at(&["rrd", "auth"]), format!("[rrd.auth] {error}")));
        }
        if is_remote && rrd.tls.is_none() && auth.trusted_proxies.is_empty() {
            let message = format!(
                "[rrd] listen = \"{}\" is reachable from other machines without TLS, and a login needs it; set tls, or trusted_proxies in [rrd.auth]",
                rrd.listen
            );
            return Err(document.error(&at(&["rrd", "listen"]), message));
        }
        Ok(())
    }
}

/// The `[credentials.NAME]` tables of `file`, for querying hosts that are not configured yet.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn credentials(file: &Path) -> Result<BTreeMap<String, Table>, DocumentError> {
    let mut document = Document::read(file)?;
    secrets::resolve(&mut document)?;
    document.section("credentials")
}

/// What `file` and its includes contain: as written, and with secrets in the place of the files that hold them.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn documents(file: &Path) -> Result<(Document, Document), DocumentError> {
    let mut resolved = Document::read(file)?;
    secrets::resolve(&mut resolved)?;
    Ok((Document::read(file)?, resolved))
}

/// Where the process that `file` configures shows its status. Only that is looked at: the caller may not be allowed to
/// read secrets, and the rest may be broken since the start.
///
/// # Errors
/// When the file cannot be read, is no TOML, or `[status]` makes no sense.
pub(crate) fn status_listener(file: &Path) -> Result<Option<SocketAddr>, DocumentError> {
    let status: StatusSection = Document::read(file)?.section("status")?;
    Ok(status.listen)
}

/// The labels that are texts. Those with shares are for bills.
fn labels(document: &Document) -> Result<BTreeMap<ProbeId, Labels>, DocumentError> {
    let Some(mut labels) = document.tables.get("labels").cloned() else { return Ok(BTreeMap::new()) };
    for (_, of_probe) in labels.as_table_mut().into_iter().flatten() {
        if let Some(of_probe) = of_probe.as_table_mut() {
            of_probe.retain(|_, value| !bill::is_shares(value));
        }
    }
    document.typed(&[Step::Key("labels".to_owned())], labels, &[])
}

/// The state directory: as configured, as systemd gives it, or the usual place for this user.
fn state_directory(document: &Document) -> Result<PathBuf, DocumentError> {
    let path = [Step::Key("state_directory".to_owned())];
    if let Some(value) = document.tables.get("state_directory") {
        return document.typed(&path, value.clone(), &[]);
    }
    if let Some(directory) = std::env::var_os("STATE_DIRECTORY").filter(|directory| !directory.is_empty()) {
        return Ok(PathBuf::from(directory));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home != Path::new("/root"));
    Ok(home.map_or_else(|| PathBuf::from("/var/lib/kwapi"), |home| home.join(".local/state/kwapi")))
}

impl Config {
    /// For how long each probe may be silent before its time is unknown, as its meter is configured here; of others
    /// [`Config::max_gap`].
    pub(crate) fn gaps(&self) -> ConfiguredGaps {
        let mut gaps = ConfiguredGaps { default: self.max_gap(), ..ConfiguredGaps::default() };
        let meters = self.meters.iter().flat_map(|meter| {
            let outlets = meter.outlets.named().iter();
            outlets.map(|outlet| (&outlet.probe, meter.max_gap, meter.max_gap_follows))
        });
        let sums = self.virtual_probes.iter().map(|sum| (&sum.probe, sum.max_gap, sum.max_gap_follows));
        for (probe, max_gap, follows) in meters.chain(sums) {
            let own = if follows { &mut gaps.derived } else { &mut gaps.written };
            own.insert(probe.clone(), max_gap);
        }
        gaps
    }

    /// How long a publisher may be silent before its time is unknown, where nothing more is configured: as configured
    /// for the bus, or the longest of any meter.
    pub(crate) fn max_gap(&self) -> Duration {
        let configured =
            self.bus.max_gap_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let of_meters = || self.meters.iter().map(|meter| meter.max_gap).max();
        configured.or_else(of_meters).unwrap_or(Duration::from_secs(10))
    }
}

#[cfg(test)]
pub(crate) mod tests;
