//! TP-Link Kasa plugs and strips with a meter (HS110, HS300, KP115, …), over the protocol that they had before 2023.
//!
//! It has no login and no secret: whoever reaches the plug may read it, and switch it. Each round is a connection of its own, since
//! plugs close one that rests. There is no manual of it; source: softScheck, *Reverse Engineering the TP-Link HS110* (2016), and
//! what python-kasa and tplink-smarthome-api read.

mod emeter;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;

use kwapi_core::Register;
use serde::Deserialize;

use crate::config::{ConfigError, DriverKey};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;
use crate::parts::{ListedProbes, Notes, not_listed};
use emeter::KasaDevice;
use wire::PlugConnection;

/// `driver = "kasa"`. Outlets are sockets by position from 1, or by the name they have in the app.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KasaConfig {
    /// The plug or strip: a name or an address, with its port if it is not 9999.
    pub host: String,
}

/// A plug or strip that has reported what it is.
#[derive(Debug)]
pub struct Kasa {
    host: String,
    outlets: Outlets,
    /// As last reported.
    plug: KasaDevice,
    /// Whether any socket has ever reported what it draws.
    has_measured: bool,
    registers: HashMap<String, Arc<Register>>,
    notes: Notes,
    listed: ListedProbes,
}

impl Driver for Kasa {
    const NAME: &'static str = "kasa";
    const SUMMARY: &'static str = "TP-Link Kasa plugs and strips that answer on port 9999";
    const KEYS: &'static [DriverKey] =
        &[DriverKey::required("host", "the plug or strip: HOST, or HOST:PORT where its port is not 9999")];
    type Config = KasaConfig;
    type Shared = ();

    fn check(config: &KasaConfig) -> Result<(), ConfigError> {
        wire::with_port(&config.host).map(drop)
    }

    async fn open(config: &KasaConfig, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        let host = wire::with_port(&config.host)?;
        let mut connection = PlugConnection::open(&host).await?;
        let plug = connection.query(&emeter::who()).await?;
        let plug = KasaDevice::parse(&plug).ok_or_else(|| wire::malformed(&plug.to_string()))?;
        Ok(Self {
            host,
            outlets: outlets.clone(),
            plug,
            has_measured: false,
            registers: HashMap::new(),
            notes: Notes::default(),
            listed: ListedProbes::default(),
        })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let mut connection = PlugConnection::open(&self.host).await?;
        let who = connection.query(&emeter::who()).await?;
        self.plug = KasaDevice::parse(&who).ok_or_else(|| wire::malformed(&who.to_string()))?;
        let mut measured = Vec::new();
        for (index, socket) in self.plug.sockets.iter().enumerate() {
            let key = (index + 1).to_string();
            let answer = connection.query(&emeter::energy_request(socket)).await?;
            let mut reading = emeter::reading(&answer, &key, &mut self.notes);
            self.has_measured |= reading.is_ok();
            if let Ok(reading) = &mut reading
                && reading.counter.is_some()
            {
                let register = || Arc::new(self.plug.register(socket));
                let known = self.registers.entry(key).or_insert_with(register);
                reading.register = Some(Arc::clone(known));
            }
            measured.push(reading);
        }
        if !self.has_measured {
            let why = measured.iter().find_map(|reading| reading.as_ref().err().map(ToString::to_string));
            return Err(DriverError::NothingToRead(format!(
                "{}: this {} does not measure power ({})",
                self.host,
                self.plug.model,
                why.unwrap_or_default()
            )));
        }
        let sockets = &self.plug.sockets;
        let keys: Vec<String> = (1..=sockets.len()).map(|position| position.to_string()).collect();
        let listed = keys.iter().zip(sockets).enumerate();
        let listed = listed.map(|(place, (key, socket))| (place, key.as_str(), socket.label()));
        let find = |key: &str| {
            let mut named = sockets.iter().enumerate().filter(|(_, socket)| socket.name == key);
            let only = || named.next().filter(|_| named.next().is_none()).map(|(place, _)| place);
            keys.iter().position(|known| known == key).or_else(only).ok_or_else(|| {
                let names: Vec<_> = sockets.iter().map(|socket| socket.name.as_str()).collect();
                format!("{key:?}; numbers 1 to {}, or names {names:?}", sockets.len())
            })
        };
        let reading = |place: usize| measured.get(place).cloned().unwrap_or_else(not_listed);
        self.listed.hand_out(&self.outlets, listed, find, reading, readings);
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let names = self.plug.sockets.iter().map(|socket| socket.name.as_str());
        let sockets = Finding {
            what: self.plug.model.clone(),
            value: format!("sockets {:?}", names.collect::<Vec<_>>()),
            is_used: true,
            why: "numbered from 1, or by these names".to_owned(),
        };
        std::iter::once(sockets).chain(self.notes.findings()).collect()
    }
}

/// Reads anything as an answer, obscured and in clear, for the fuzzer.
#[cfg(feature = "fuzzing")]
pub(crate) fn parse_anything(bytes: &[u8]) {
    _ = wire::parse_answer(bytes);
    emeter::parse_anything(bytes);
}

#[cfg(test)]
mod tests;
