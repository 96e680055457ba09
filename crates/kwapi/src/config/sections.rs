//! The tables of the services: what each has, and what it is by default.

use std::net::SocketAddr;
use std::path::PathBuf;

use kwapi_core::Pattern;
use kwapi_plugins::api::ApiConfig;
use kwapi_plugins::auth::LoginConfig;
use kwapi_plugins::http::{HostName, ServerTls};
use kwapi_plugins::object_storage::S3Config;
use serde::Deserialize;
use toml::{Table, Value};

use super::bus::Endpoint;
use super::document::{Document, DocumentError, Step};
use super::meters::MeterDefaults;

/// `[drivers]`: publishing, and what meters have in common.
#[derive(Clone, Debug)]
pub(crate) struct DriversSection {
    /// Where the driver manager publishes, besides the plugins of its own process.
    pub(crate) publish: Vec<Endpoint>,
    /// How much is kept for the `consumers` of these endpoints, in megabytes (10^6 bytes); beyond it the oldest messages are
    /// dropped.
    pub(crate) spool_megabytes_max: u32,
}

/// `[forwarder]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ForwarderSection {
    /// Drivers and forwarders it listens to.
    pub(crate) subscribe: Vec<Endpoint>,
    /// Where it is listened to.
    pub(crate) publish: Vec<Endpoint>,
}

/// `[api]`, with whom it listens to.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApiSection {
    pub(crate) subscribe: Vec<Endpoint>,
    pub(crate) probes: Vec<Pattern>,
    pub(crate) config: ApiConfig,
}

/// `[rrd]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RrdSection {
    /// Drivers and forwarders it listens to.
    pub(crate) subscribe: Vec<Endpoint>,
    /// Which probes; all by default.
    pub(crate) probes: Vec<Pattern>,
    /// Where the pages are served.
    pub(crate) listen: SocketAddr,
    /// Names clients may use for the pages, besides addresses and `localhost`.
    pub(crate) hosts: Vec<HostName>,
    /// Serve the pages with `https` and this certificate.
    pub(crate) tls: Option<ServerTls>,
    /// Who looks at the pages has to log in; without it, only this machine reaches them.
    pub(crate) auth: Option<LoginConfig>,
    /// Serve the pages to other machines without authentication.
    pub(crate) insist_without_auth: bool,
    /// Where the RRD files are; by default `rrd` below the state directory. A directory the original wrote can be named.
    pub(crate) directory: Option<PathBuf>,
    /// Currency of the costs shown.
    pub(crate) currency: String,
    /// Price of a kilowatt-hour.
    pub(crate) kwh_price: f64,
    /// How often pages refresh, in seconds.
    pub(crate) refresh_interval_seconds: f64,
    /// How far RRD files may trail the present, in seconds.
    pub(crate) flush_interval_seconds: u64,
    /// Power at which probe graphs end, in watts; by default each finds its own.
    pub(crate) max_watts: Option<f64>,
    /// Hue of the graphs, 0 to 360.
    pub(crate) hue: Option<f64>,
}

impl Default for RrdSection {
    fn default() -> Self {
        Self {
            subscribe: Vec::new(),
            probes: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            hosts: Vec::new(),
            tls: None,
            auth: None,
            insist_without_auth: false,
            directory: None,
            currency: "€".to_owned(),
            kwh_price: 0.25,
            refresh_interval_seconds: 5.0,
            flush_interval_seconds: 120,
            max_watts: None,
            hue: None,
        }
    }
}

/// `[ledger]`: minutes, quarter hours and days of energy, where history is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LedgerSection {
    /// Whether it is kept.
    pub(crate) enabled: bool,
    /// For how many days minutes are kept.
    pub(crate) minutes_days: u32,
    /// For how many days quarter hours are kept; days are kept for ever.
    pub(crate) quarter_hours_days: u32,
    /// How far its files may trail the present, in seconds.
    pub(crate) write_interval_seconds: u32,
}

impl Default for LedgerSection {
    fn default() -> Self {
        Self { enabled: true, minutes_days: 7, quarter_hours_days: 400, write_interval_seconds: 300 }
    }
}

/// `[groups]`: RRD files of groups, where history is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GroupsSection {
    /// Whether they are kept.
    pub(crate) enabled: bool,
}

impl Default for GroupsSection {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// `[samples]`: each message's power, where history is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SamplesSection {
    /// Whether they are kept.
    pub(crate) enabled: bool,
    /// For how many days.
    pub(crate) days: u32,
    /// Size of all files in megabytes (10^6 bytes); beyond it the oldest hours are removed.
    pub(crate) megabytes_max: u32,
    /// How far its files may trail the present, in seconds.
    pub(crate) write_interval_seconds: u32,
    /// Where closed files go besides.
    pub(crate) s3: Option<S3Config>,
}

impl Default for SamplesSection {
    fn default() -> Self {
        Self { enabled: true, days: 30, megabytes_max: 4_000, write_interval_seconds: 300, s3: None }
    }
}

/// `[status]`: the loopback listener every process has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StatusSection {
    /// Where; by default a loopback port of its own for each service.
    pub(crate) listen: Option<SocketAddr>,
    /// Names clients may use for it, besides addresses and `localhost`.
    pub(crate) hosts: Vec<HostName>,
}

pub(super) fn drivers_section(document: &Document) -> Result<(DriversSection, MeterDefaults), DocumentError> {
    const SPOOL: &str = "spool_megabytes_max";
    #[derive(Deserialize)]
    struct Publish {
        #[serde(default)]
        publish: Vec<Endpoint>,
        #[serde(default = "spool_megabytes_max")]
        spool_megabytes_max: u32,
    }
    let path = [Step::Key("drivers".to_owned())];
    let table = match document.tables.get("drivers") {
        None => Table::new(),
        Some(Value::Table(table)) => table.clone(),
        Some(_) => return Err(document.error(&path, "[drivers] must be a table")),
    };
    let Publish { publish, spool_megabytes_max } = document.typed(&path, Value::Table(table.clone()), &[])?;
    let mut rest = table;
    rest.remove("publish");
    rest.remove(SPOOL);
    let defaults = document.typed(&path, Value::Table(rest), &["publish", SPOOL])?;
    if spool_megabytes_max == 0 {
        let path = ["drivers", SPOOL].map(|key| Step::Key(key.to_owned()));
        let message = format!("{SPOOL} = 0 keeps no messages; remove `consumers` from the endpoints instead");
        return Err(document.error(&path, message));
    }
    Ok((DriversSection { publish, spool_megabytes_max }, defaults))
}

fn spool_megabytes_max() -> u32 {
    1_000
}

pub(super) fn api_section(document: &Document) -> Result<ApiSection, DocumentError> {
    #[derive(Default, Deserialize)]
    struct Subscribe {
        #[serde(default)]
        subscribe: Vec<Endpoint>,
        #[serde(default)]
        probes: Vec<Pattern>,
    }
    let path = [Step::Key("api".to_owned())];
    let Some(value) = document.tables.get("api") else { return Ok(ApiSection::default()) };
    let Subscribe { subscribe, probes } = document.typed(&path, value.clone(), &[])?;
    let mut rest = value.clone();
    if let Value::Table(table) = &mut rest {
        table.remove("subscribe");
        table.remove("probes");
    }
    let config = document.typed(&path, rest, &["subscribe", "probes"])?;
    Ok(ApiSection { subscribe, probes, config })
}

pub(super) fn samples_section(document: &Document) -> Result<SamplesSection, DocumentError> {
    let section: SamplesSection = document.section("samples")?;
    for (key, value) in [("days", section.days), ("megabytes_max", section.megabytes_max)] {
        if value == 0 && section.enabled {
            let path = ["samples", key].map(|key| Step::Key(key.to_owned()));
            let message = format!("[samples] {key} = 0 keeps no samples; set enabled = false instead");
            return Err(document.error(&path, message));
        }
    }
    if let Some(Err(error)) = section.s3.as_ref().map(S3Config::check) {
        let path = ["samples", "s3", error.key].map(|key| Step::Key(key.to_owned()));
        return Err(document.error(&path, error.to_string()));
    }
    Ok(section)
}
