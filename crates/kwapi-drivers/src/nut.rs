//! UPSes and PDUs that a NUT server (`upsd`) watches, over its text protocol.
//!
//! One request returns all variables of a device. Source: `nut/variables.rs`; NUT 2.8, `docs/net-protocol.txt`.

mod choice;
mod contradiction;
mod estimate;
mod server;
mod source;
pub(crate) mod variables;

use std::sync::Arc;

use kwapi_core::{NoReading, ProbeId, Secret};
use serde::Deserialize;

use crate::config::{ConfigError, DriverKey};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::http::Login;
use crate::outlets::Outlets;
use choice::choose;
use contradiction::contradiction;
pub use server::devices;
use server::{Server, VARIABLES_MAX};
use source::{NutChoice, NutSource, Rating};
use variables::Variables;

/// `driver = "nut"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NutConfig {
    /// The server: `nut1` or `nut1:3493`.
    pub host: String,
    /// The device's name there; may be left out where there is one.
    pub ups: Option<String>,
    /// Not needed to read. With it we log in as a client that a shutdown waits for.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The device's full load in watts, where it reports its load as a share and not this.
    pub nominal_watts: Option<f64>,
    /// Watts a volt-ampere, for devices that report volt-amperes only. A key of every meter that NUT's estimates use too.
    pub power_factor: Option<f64>,
}

/// A conversation with a server.
#[derive(Debug)]
pub struct Nut {
    server: Server,
    ups: String,
    outlets: Outlets,
    rating: Rating,
    measured: Vec<Measured>,
    /// The device's outlets as last listed, with their labels.
    listed: Vec<(String, Option<String>)>,
    /// How many variables the device showed last.
    variables: usize,
}

/// A probe and where its power is.
#[derive(Debug)]
struct Measured {
    probe: ProbeId,
    key: String,
    choice: NutChoice,
    /// Why no outlet of the device is meant, where the key names none or several.
    problem: Option<String>,
}

impl Driver for Nut {
    const NAME: &'static str = "nut";
    const SUMMARY: &'static str = "UPSes and PDUs watched by a NUT server (upsd)";
    const KEYS: &'static [DriverKey] = &[
        DriverKey::required("host", "the machine where upsd listens: HOST or HOST:PORT"),
        DriverKey::new("ups", "the device's name there").otherwise("the only one"),
        DriverKey::new("username", "a user, to LOGIN as; not needed to read").login(),
        DriverKey::new("password", "its password").secret(),
        DriverKey::new("nominal_watts", "full load, for a device that reports its load in percent only")
            .in_unit("W"),
        DriverKey::new("power_factor", "by which volt-amperes are multiplied"),
    ];
    type Config = NutConfig;
    type Shared = ();

    fn check(config: &NutConfig) -> Result<(), ConfigError> {
        let host = &config.host;
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            let why = format!("{host:?}: write HOST or HOST:PORT; set ups to the device's name");
            return Err(ConfigError::of("host", why));
        }
        // An IPv6 address has more than one colon, and no port unless in brackets.
        if let Some((name, port)) = host.split_once(':').filter(|(_, rest)| !rest.contains(':'))
            && (name.is_empty() || port.parse::<u16>().is_err())
        {
            let why = format!("{host:?}: write HOST or HOST:PORT, with a port up to 65535");
            return Err(ConfigError::of("host", why));
        }
        if let Some(ups) = &config.ups
            && (ups.is_empty() || ups.contains([' ', '"', '\\']) || ups.contains(char::is_control))
        {
            return Err(ConfigError::of("ups", format!("{ups:?}: invalid UPS name")));
        }
        if config.nominal_watts.is_some_and(|watts| !(watts.is_finite() && watts > 0.0)) {
            return Err(ConfigError::of("nominal_watts", "must be a positive number"));
        }
        Login::from_keys(config.username.as_deref(), config.password.as_ref()).map(drop)
    }

    async fn open(config: &NutConfig, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        Self::check(config)?;
        let login = Login::from_keys(config.username.as_deref(), config.password.as_ref())?;
        let mut server = Server::connect(&config.host).await?;
        let ups = match &config.ups {
            Some(ups) => ups.clone(),
            None => server.only_ups().await?,
        };
        if let Some((username, password)) = &login.user {
            server.request("USERNAME", username).await?;
            server.request("PASSWORD", password.expose()).await?;
            server.request("LOGIN", &ups).await?;
        }
        let rating = Rating { nominal_watts: config.nominal_watts, power_factor: config.power_factor };
        Ok(Self {
            server,
            ups,
            outlets: outlets.clone(),
            rating,
            measured: Vec::new(),
            listed: Vec::new(),
            variables: 0,
        })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let variables = match self.server.variables(&self.ups).await? {
            Ok(variables) => variables,
            Err(no_reading) => {
                let known = self.measured.iter().map(|measured| &measured.probe);
                let named = self.outlets.named().iter().map(|outlet| &outlet.probe);
                let named = named.filter(|probe| known.clone().all(|known| known != *probe));
                for probe in named.chain(known.clone()) {
                    readings.push(probe, Err(no_reading.clone()));
                }
                // By a template no probe is known yet that could report why.
                return if readings.is_empty() {
                    Err(DriverError::Busy(no_reading.to_string()))
                } else {
                    Ok(())
                };
            }
        };
        self.list(&variables);
        if self.measured.is_empty() {
            return Err(DriverError::Busy(format!(
                "{}: {} reports no watts yet",
                self.server.host, self.ups
            )));
        }
        for measured in &mut self.measured {
            measured.choose(&variables, &self.rating);
            let reading = match (&measured.choice.source, &measured.problem) {
                (Some(source), None) => source.read(&variables),
                (_, Some(problem)) => Err(NoReading::NoSuchOutlet(problem.clone())),
                (None, None) => Err(measured.nothing(&self.ups, &variables)),
            };
            readings.push(&measured.probe, reading);
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let finding = |Measured { probe, key, choice: NutChoice { source, why }, problem }: &Measured| {
            let of = format!("of {} variables of {}; NUT has no energy counter", self.variables, self.ups);
            let why: Vec<&str> = problem.iter().chain(why).map(String::as_str).chain([of.as_str()]).collect();
            Finding {
                what: format!("{probe}: {key}"),
                value: source.as_ref().map_or_else(|| "nothing".to_owned(), NutSource::name),
                is_used: source.is_some(),
                why: why.join("; "),
            }
        };
        self.measured.iter().map(finding).collect()
    }
}

impl Nut {
    /// Looks at which outlets there are: just after its start upsd has a device only in part, and owners rename outlets.
    fn list(&mut self, variables: &Variables) {
        let mut listed = listed(variables, &self.outlets, &self.rating);
        let has_changed = std::mem::replace(&mut self.variables, variables.len()) != variables.len();
        if !self.measured.is_empty() && !has_changed && listed == self.listed {
            return;
        }
        if self.outlets.selects_all() {
            // What was known and is gone has no reading; the whole device is no outlet that could be gone.
            let is_gone = |(key, _): &&(String, Option<String>)| {
                !key.ends_with("total") && listed.iter().all(|(known, _)| known != key)
            };
            let gone: Vec<_> = self.listed.iter().filter(is_gone).take(VARIABLES_MAX).cloned().collect();
            listed.extend(gone);
        }
        let probes = assigned(&self.outlets, &listed, variables, &self.rating);
        self.measured = probes
            .into_iter()
            .map(|(probe, key, problem)| {
                let known = self.measured.iter().find(|known| known.probe == probe && known.key == key);
                let choice = known.map(|known| known.choice.clone()).unwrap_or_default();
                Measured { probe, key, choice, problem }
            })
            .collect();
        self.listed = listed;
    }
}

impl Measured {
    /// Keeps its source while that is reported and not contradicted, and takes a better one when there is one.
    fn choose(&mut self, variables: &Variables, rating: &Rating) {
        let found = choose(variables, &self.key, rating);
        let rank = |choice: &NutChoice| choice.source.as_ref().map_or(u8::MAX, NutSource::rank);
        let kept = self.choice.source.as_ref();
        let is_contradicted = kept.is_some_and(|kept| contradiction(variables, &self.key, kept).is_some());
        if is_contradicted || rank(&found) < rank(&self.choice) {
            self.choice = found;
        } else if self.choice.source.is_none() {
            self.choice.why = found.why;
        }
    }

    /// Why there is no source.
    fn nothing(&self, ups: &str, variables: &Variables) -> NoReading {
        let key = &self.key;
        if !self.choice.why.is_empty() {
            return NoReading::NotAvailable(format!("{key:?}: {ups}: {}", self.choice.why.join("; ")));
        }
        if key.ends_with("total") {
            return NoReading::NotAvailable(format!(
                "{key:?}: {ups} reports neither power nor current nor load; its NUT driver does not measure them"
            ));
        }
        let outlets = variables.outlets("realpower");
        NoReading::NoSuchOutlet(format!("{key:?}: {ups} reports no watts for it; available: {outlets:?}"))
    }
}

/// The outlets of a device with their labels: those that report watts; otherwise the whole device, where it reports
/// watts; otherwise outlets that report amperes; otherwise the whole device by an estimate. A bank is only read where
/// it is named: its outlets or the whole count what it counts.
fn listed(variables: &Variables, outlets: &Outlets, rating: &Rating) -> Vec<(String, Option<String>)> {
    let outlets_of = |property| {
        let mut keys = variables.outlets(property);
        keys.retain(|key| !key.contains("group."));
        keys
    };
    let mut keys = outlets_of("realpower");
    if outlets.selects_all() && keys.is_empty() {
        let whole = choose(variables, "total", rating).source;
        if whole.as_ref().is_none_or(|source| source.rank() > 0) {
            keys = outlets_of("current");
        }
        // A UPS that reports no power is read for what is missing; a PDU lists its outlets in a moment.
        if keys.is_empty() && (whole.is_some() || variables.are_of_a_ups()) {
            keys.push("total".to_owned());
        }
    } else if !outlets.selects_all() {
        keys = outlets_of("realpower").into_iter().chain(outlets_of("current")).collect();
        keys.sort();
        keys.dedup();
    }
    keys.into_iter()
        .map(|key| {
            let label = variables.label(&key).map(str::to_owned);
            (key, label)
        })
        .collect()
}

/// Each probe with the key of its outlet, or why none is meant. A single probe by position is the whole device, where
/// that reports its power.
fn assigned(
    outlets: &Outlets,
    listed: &[(String, Option<String>)],
    variables: &Variables,
    rating: &Rating,
) -> Vec<(ProbeId, String, Option<String>)> {
    if outlets.selects_all() {
        let probes = outlets.probes(listed.iter().map(|(key, label)| (key.as_str(), label.as_deref())));
        let found = probes.into_iter().zip(listed);
        return found.filter_map(|(probe, (key, _))| Some((probe?, key.clone(), None))).collect();
    }
    if let [only] = outlets.named()
        && only.key == "1"
        && (choose(variables, "total", rating).source.is_some() || listed.is_empty())
    {
        return vec![(only.probe.clone(), "total".to_owned(), None)];
    }
    let named = outlets.named().iter().map(|outlet| {
        let key = &outlet.key;
        let called = |(_, label): &&(String, Option<String>)| label.as_deref() == Some(key.as_str());
        let is_key_part =
            |part: &str| part.parse::<u32>().is_ok() || matches!(part, "outlet" | "group" | "total");
        let is_key = key.split('.').all(is_key_part);
        let by_label: Vec<&str> = listed.iter().filter(called).map(|(key, _)| key.as_str()).collect();
        let (key, problem) = match by_label.as_slice() {
            [found] if !is_key => ((*found).to_owned(), None),
            [_, _, ..] if !is_key => {
                let problem = format!("{key:?} matches several outlets; use one of the numbers {by_label:?}");
                (key.clone(), Some(problem))
            }
            _ => (key.clone(), None),
        };
        (outlet.probe.clone(), key, problem)
    });
    named.collect()
}

#[cfg(test)]
mod tests;
