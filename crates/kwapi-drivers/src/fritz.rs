//! Plugs and meters on a `FRITZ!Box` (FRITZ!DECT 200 and 210, FRITZ!Smart Energy 200 and 250), read from the box over AHA-HTTP.
//!
//! One request returns all devices. A plug reports its power to the box every two minutes or so; the box states no
//! stamp. Source: AVM, *AHA HTTP Interface* (`getdevicelistinfos`); `login.rs`, `devices.rs`.

mod devices;
mod login;

use std::sync::Arc;

use kwapi_core::{NoReading, Reading, Register, Secret};
use reqwest::StatusCode;
use serde::Deserialize;

use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::http::{Access, Clients};
use crate::outlets::Outlets;
use crate::parts::{ListedProbes, Notes, not_listed, power_and_counter};
use crate::tls::DeviceTls;
use devices::Plug;
use login::FritzSession;

/// `driver = "fritz"`. Outlets are plugs by their AIN without spaces, or by the name they have on the box.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FritzConfig {
    /// The box: a name or an address; `https://` in front of it for TLS.
    pub host: String,
    /// A user of the box with the permission "Smart Home"; empty where the box requires a password alone.
    #[serde(default)]
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// Whom to trust, over `https`.
    #[serde(default)]
    pub tls: DeviceTls,
    /// Whether a box may require the login of FRITZ!OS before 7.24, which gives its listener an MD5 hash of the password.
    #[serde(default)]
    pub legacy_login: bool,
}

/// A session with a box.
#[derive(Debug)]
pub struct Fritz {
    session: FritzSession,
    outlets: Outlets,
    /// The devices as last reported.
    plugs: Vec<Plug>,
    registers: Vec<Arc<Register>>,
    notes: Notes,
    listed: ListedProbes,
}

impl FritzConfig {
    fn access(&self) -> Access<'_> {
        Access { tls: &self.tls, ..Access::new("host", &self.host, "http") }
    }
}

impl Driver for Fritz {
    const NAME: &'static str = "fritz";
    const SUMMARY: &'static str = "FRITZ!DECT plugs and FRITZ!Smart Energy meters, read from their FRITZ!Box";
    const KEYS: &'static [DriverKey] = &[
        DriverKey::required("host", "the FRITZ!Box: name or address, with https:// for TLS"),
        DriverKey::new("username", "a user of the box with the permission Smart Home")
            .login()
            .otherwise("empty"),
        DriverKey::required("password", "its password").secret(),
        DriverKey::new("tls", "certificate verification, with https://")
            .login()
            .or("system")
            .naming(Names::Authority),
        DriverKey::new(
            "legacy_login",
            "whether to log in to FRITZ!OS before 7.24, with an MD5 hash of the password",
        )
        .login()
        .or("false"),
    ];
    type Config = FritzConfig;
    type Shared = Clients;

    fn check(config: &FritzConfig) -> Result<(), ConfigError> {
        config.access().check()
    }

    async fn open(
        config: &FritzConfig,
        outlets: &Outlets,
        clients: &Arc<Clients>,
    ) -> Result<Self, DriverError> {
        Self::check(config)?;
        let device = config.access().device(clients)?;
        let session = FritzSession::open(device, config).await?;
        Ok(Self {
            session,
            outlets: outlets.clone(),
            plugs: Vec::new(),
            registers: Vec::new(),
            notes: Notes::default(),
            listed: ListedProbes::default(),
        })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let answer = self.session.request("getdevicelistinfos").await?;
        if answer.status == StatusCode::FORBIDDEN {
            return Err(DriverError::link(format!("{}: the session has expired", answer.request_line)));
        }
        let answer = answer.required("check that this is a FRITZ!Box")?;
        let Some(plugs) = devices::parse(&answer.text()) else {
            return Err(answer.malformed("list of devices"));
        };
        self.plugs = plugs;
        self.update_registers();
        let Self { plugs, registers, notes, outlets, listed, .. } = self;
        let all = plugs.iter().enumerate();
        let all = all.map(|(place, plug)| (place, plug.ain.as_str(), Some(plug.name.as_str())));
        let reading = |place: usize| match (plugs.get(place), registers.get(place)) {
            (Some(plug), Some(register)) => reading(plug, register, notes),
            _ => not_listed(),
        };
        listed.hand_out(outlets, all, |key| find(plugs, key), reading, readings);
        if readings.is_empty() && outlets.selects_all() {
            return Err(DriverError::Busy(format!("{}: lists no device with a meter", answer.request_line)));
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![self.session.finding()];
        findings.extend(self.plugs.iter().map(|plug| Finding {
            what: format!("{} ({})", plug.ain, plug.name),
            value: plug.describe(),
            is_used: self.outlets.selects_all()
                || self.outlets.named().iter().any(|outlet| self.is(&outlet.key, plug)),
            why: plug.product.clone(),
        }));
        findings.extend(self.notes.findings());
        findings
    }
}

impl Fritz {
    /// Whether `key` is this plug, as far as it can be distinguished from others.
    fn is(&self, key: &str, plug: &Plug) -> bool {
        find(&self.plugs, key)
            .ok()
            .and_then(|place| self.plugs.get(place))
            .is_some_and(|found| found.ain == plug.ain)
    }

    /// A plug's counter is known by its AIN, which is burnt into it.
    fn update_registers(&mut self) {
        let known = self.registers.iter().map(|register| register.serial.as_deref());
        if known.eq(self.plugs.iter().map(|plug| Some(plug.ain.as_str()))) {
            return;
        }
        let register = |plug: &Plug| {
            let path = Some("energy".to_owned());
            Arc::new(Register { serial: Some(plug.ain.clone()), path, ..Register::default() })
        };
        self.registers = self.plugs.iter().map(register).collect();
    }
}

/// The plug that a key of the configuration means, or why none.
fn find(plugs: &[Plug], key: &str) -> Result<usize, String> {
    if let Some(place) = plugs.iter().position(|plug| plug.ain == devices::bare(key)) {
        return Ok(place);
    }
    let is_named = |plug: &Plug| plug.name == key || key == "1" && plugs.len() == 1;
    let found: Vec<usize> =
        (0..).zip(plugs).filter(|(_, plug)| is_named(plug)).map(|(place, _)| place).collect();
    let known =
        || plugs.iter().map(|plug| format!("{} ({})", plug.ain, plug.name)).collect::<Vec<_>>().join(", ");
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(format!("{key:?}; available: {}", known())),
        _ => Err(format!("{key:?} matches several; use the AIN of one: {}", known())),
    }
}

fn reading(plug: &Plug, register: &Arc<Register>, notes: &mut Notes) -> Result<Reading, NoReading> {
    if !plug.is_present {
        return Err(NoReading::NotAvailable(format!("{} is not connected to the box", plug.name)));
    }
    let absent = || NoReading::NotAvailable(format!("{} reports neither power nor energy", plug.name));
    let (power, counter) = power_and_counter(&plug.ain, plug.watts(), plug.counter(), absent, notes)?;
    let register = counter.map(|_| Arc::clone(register));
    Ok(Reading { power, voltage: plug.volts(), counter, register, ..Reading::default() })
}

#[cfg(test)]
mod tests;
