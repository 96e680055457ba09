//! Shelly plugs, relays and energy meters of every generation, over HTTP on the local network.
//!
//! The generation is queried when the session opens; one request a round returns all channels.
//! Source: `shelly/status.rs`; *Gen2+ API*, "Authentication" (digest, SHA-256, user `admin`).

pub(crate) mod status;

use std::collections::HashMap;
use std::sync::Arc;

use kwapi_core::Register;
use serde_json::Value;

use crate::config::{ConfigError, DriverKey};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::http::{Clients, DeviceClient, PlugConfig};
use crate::outlets::Outlets;
use crate::parts::{ListedProbes, Notes, not_listed, printable};
use status::Channel;

/// A device whose generation is known.
#[derive(Debug)]
pub struct Shelly {
    device: DeviceClient,
    is_first_generation: bool,
    model: String,
    /// What distinguishes it from another: every generation reports its hardware address.
    serial: Option<String>,
    outlets: Outlets,
    channels: Vec<String>,
    /// What each channel's counter is known by.
    registers: HashMap<String, Arc<Register>>,
    notes: Notes,
    listed: ListedProbes,
}

impl Driver for Shelly {
    const NAME: &'static str = "shelly";
    const SUMMARY: &'static str = "Shelly plugs, relays and energy meters of every generation, over HTTP";
    const KEYS: &'static [DriverKey] = PlugConfig::KEYS;
    type Config = PlugConfig;
    type Shared = Clients;

    fn check(config: &PlugConfig) -> Result<(), ConfigError> {
        config.access().check()
    }

    async fn open(
        config: &PlugConfig,
        outlets: &Outlets,
        clients: &Arc<Clients>,
    ) -> Result<Self, DriverError> {
        let device = config.access().device(clients)?;
        // Every generation answers this, and without a login.
        let about = device.get("/shelly", None).await.map_err(DriverError::of_whoever_answers)?;
        let about = about.required("check that this is a Shelly device")?.json()?;
        let text = |name: &str| about.get(name).and_then(Value::as_str).map(printable);
        let is_first_generation = about.get("gen").is_none();
        let model = text("app").or_else(|| text("model")).or_else(|| text("type")).unwrap_or_default();
        Ok(Self {
            device,
            is_first_generation,
            model,
            serial: text("mac").or_else(|| text("id")).filter(|serial| !serial.is_empty()),
            outlets: outlets.clone(),
            channels: Vec::new(),
            registers: HashMap::new(),
            notes: Notes::default(),
            listed: ListedProbes::default(),
        })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let path = if self.is_first_generation { "/status" } else { "/rpc/Shelly.GetStatus" };
        let answer = self.device.get(path, None).await?.required("check that this is a Shelly device")?;
        let status = answer.json()?;
        let mut channels = if self.is_first_generation {
            status::first_generation(&status, &mut self.notes)
        } else {
            status::later_generation(&status, &mut self.notes)
        };
        if channels.is_empty() {
            let host = self.device.base();
            let why = format!("{host}: this {} does not measure power", self.model);
            // It did before: it has just been started again.
            return Err(if self.channels.is_empty() {
                DriverError::NothingToRead(why)
            } else {
                DriverError::Busy(why)
            });
        }
        self.channels = channels.iter().map(|channel| channel.key.clone()).collect();
        self.register(&mut channels);
        // The phases of a three-phase meter have no position: their sum is counted.
        let positions: Vec<Option<String>> =
            channels.iter().map(|channel| Some(channel.position?.to_string())).collect();
        let listed = positions.iter().zip(&channels).enumerate();
        let listed = listed.filter_map(|(place, (position, channel))| {
            Some((place, position.as_deref()?, Some(channel.key.as_str())))
        });
        let find = |key: &str| {
            let is_meant = |(position, channel): (&Option<String>, &Channel)| {
                channel.key == key || position.as_deref() == Some(key)
            };
            let place = positions.iter().zip(&channels).position(is_meant);
            place.ok_or_else(|| format!("{key:?}; available: {:?}", self.channels))
        };
        let reading = |place: usize| channels.get(place).map_or_else(not_listed, |it| it.reading.clone());
        self.listed.hand_out(&self.outlets, listed, find, reading, readings);
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let generation =
            if self.is_first_generation { "first generation" } else { "second generation or later" };
        let channels = Finding {
            what: format!("{}, {generation}", self.model),
            value: format!("channels {:?}", self.channels),
            is_used: true,
            why: "numbered from 1, or by these names".to_owned(),
        };
        std::iter::once(channels).chain(self.notes.findings()).collect()
    }
}

impl Shelly {
    /// Sets for each counter what identifies it after a restart. There are no more channels than are read.
    fn register(&mut self, channels: &mut [Channel]) {
        self.registers.retain(|key, _| self.channels.contains(key));
        for Channel { key, reading, .. } in channels {
            let Ok(reading) = reading else { continue };
            if reading.counter.is_some() {
                let (serial, path) = (self.serial.clone(), Some(key.clone()));
                let register = || Arc::new(Register { serial, path, ..Register::default() });
                reading.register = Some(self.registers.entry(key.clone()).or_insert_with(register).clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kwapi_simulators::{HttpAnswer, HttpDevice, HttpRequest};

    use super::*;
    use crate::testing::{by_key, one, round};

    const PLUS: &str =
        r#"{"name":null,"id":"shellyplus1pm-a8032ab1fe78","gen":2,"app":"Plus1PM","auth_en":true}"#;
    const STATUS: &str = r#"{"switch:0":{"apower":8.5,"aenergy":{"total":2.0}},"switch:1":{"apower":1.0}}"#;

    async fn check(
        respond: impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static,
        keys: &str,
        outlets: &Outlets,
        expected: &str,
    ) {
        let simulator = HttpDevice::start(respond).await.expect("a port");
        let host = simulator.address().to_string();
        let config = toml::from_str(&format!("host = \"{host}\"\n{keys}")).expect("a configuration");
        let printed = async {
            let mut meter = Shelly::open(&config, outlets, &Arc::default()).await?;
            Ok::<_, DriverError>(round(&mut meter).await?.join("\n"))
        };
        let printed = printed.await.unwrap_or_else(|error| error.to_string()).replace(&host, "HOST");
        assert_eq!(printed, expected);
    }

    fn later(request: &HttpRequest) -> HttpAnswer {
        match request.target.as_str() {
            "/shelly" => HttpAnswer::ok(PLUS),
            "/rpc/Shelly.GetStatus" => HttpAnswer::ok(STATUS),
            _ => HttpAnswer::status(404),
        }
    }

    #[tokio::test]
    async fn each_generation_is_reported_by_itself() {
        check(later, "", &one(), "A: 8.5 W, 7200 J").await;
        let first = |request: &HttpRequest| match request.target.as_str() {
            "/shelly" => HttpAnswer::ok(r#"{"type":"SHPLG-S","mac":"X","auth":false}"#),
            "/status" => HttpAnswer::ok(r#"{"meters":[{"power":10,"is_valid":true,"total":60}]}"#),
            _ => HttpAnswer::status(404),
        };
        check(first, "", &one(), "A: 10 W, 3600 J").await;
    }

    #[tokio::test]
    async fn a_counter_is_known_by_its_channel_and_the_hardware_address() {
        for (about, status, serial, path) in [
            (PLUS, STATUS, "shellyplus1pm-a8032ab1fe78", "switch:0"),
            (r#"{"gen":2,"id":"x","mac":"A8032AB1FE78"}"#, STATUS, "A8032AB1FE78", "switch:0"),
            (
                r#"{"type":"SHPLG-S","mac":"E09806B2"}"#,
                r#"{"meters":[{"power":1,"total":6}]}"#,
                "E09806B2",
                "meter:0",
            ),
        ] {
            let simulator = HttpDevice::start(move |request: &HttpRequest| match request.target.as_str() {
                "/shelly" => HttpAnswer::ok(about),
                _ => HttpAnswer::ok(status),
            });
            let simulator = simulator.await.expect("a port");
            let config =
                toml::from_str(&format!("host = \"{}\"", simulator.address())).expect("a configuration");
            let mut meter = Shelly::open(&config, &one(), &Arc::default()).await.expect("a device");
            let mut registers = Vec::new();
            for _ in 0..2 {
                let mut readings = Readings::default();
                meter.read(&mut readings).await.expect("an answer");
                let (_, reading) = readings.drain().next().expect("a channel");
                registers.push(reading.expect("a reading").register.expect("a counter"));
            }
            assert_eq!(
                (registers[0].serial.as_deref(), registers[0].path.as_deref()),
                (Some(serial), Some(path))
            );
            assert!(Arc::ptr_eq(&registers[0], &registers[1]), "made once");
        }
    }

    #[tokio::test]
    async fn channels_are_found_by_name_and_position() {
        let named = by_key([("switch:1", "B"), ("1", "A"), ("9", "C")]);
        let expected =
            "B: 1 W\nA: 8.5 W, 7200 J\nC: no such outlet: \"9\"; available: [\"switch:0\", \"switch:1\"]";
        check(later, "", &named, expected).await;
        check(later, "", &Outlets::all("p.{label}"), "p.switch:0: 8.5 W, 7200 J\np.switch:1: 1 W").await;
    }

    #[tokio::test]
    async fn a_digest_login_is_answered_and_a_missing_one_named() {
        let locked = |request: &HttpRequest| {
            match request.header("authorization") {
            _ if request.target == "/shelly" => HttpAnswer::ok(PLUS),
            Some(proof) if proof.starts_with("Digest username=\"admin\"") && proof.contains("SHA-256") => {
                HttpAnswer::ok(STATUS)
            }
            _ => HttpAnswer::status(401).with_header(
                "www-authenticate",
                "Digest qop=\"auth\", realm=\"shellyplus1pm-a8032ab1fe78\", nonce=\"60dc5bf9\", algorithm=SHA-256",
            ),
        }
        };
        check(locked, "password = \"secret\"", &one(), "A: 8.5 W, 7200 J").await;
        check(
            locked,
            "",
            &one(),
            "refused: GET http://HOST/rpc/Shelly.GetStatus: 401 Unauthorized: authentication required; set username and password",
        )
        .await;
    }

    #[tokio::test]
    async fn what_is_no_meter_is_refused() {
        let relay = |request: &HttpRequest| match request.target.as_str() {
            "/shelly" => HttpAnswer::ok(r#"{"gen":2,"app":"Plus1"}"#),
            _ => HttpAnswer::ok(r#"{"switch:0":{"output":true}}"#),
        };
        check(relay, "", &one(), "refused: http://HOST/: this Plus1 does not measure power").await;
        let meterless = |request: &HttpRequest| match request.target.as_str() {
            "/shelly" => HttpAnswer::ok(r#"{"type":"SHSW-1","mac":"X","auth":false}"#),
            _ => HttpAnswer::ok(r#"{"relays":[{"ison":true}],"meters":[{"power":0.0,"is_valid":true}]}"#),
        };
        check(meterless, "", &one(), "refused: http://HOST/: this SHSW-1 does not measure power").await;
        let printer = |_: &HttpRequest| HttpAnswer::status(404);
        let expected = "refused: GET http://HOST/shelly: 404 Not Found: check that this is a Shelly device";
        check(printer, "", &one(), expected).await;
        // Whatever requires a login may be any web server: discovery sends it none.
        let stranger = HttpDevice::start(|_: &HttpRequest| HttpAnswer::status(401)).await.expect("a port");
        let config = toml::from_str(&format!("host = \"{}\"", stranger.address())).expect("a configuration");
        let error = Shelly::open(&config, &one(), &Arc::default()).await.expect_err("a login");
        assert!(matches!(error, DriverError::Refused(_)), "{error:?}");
        let html = |_: &HttpRequest| HttpAnswer::ok("<html>");
        check(html, "", &one(), "malformed JSON: \"GET http://HOST/shelly: <html>\"").await;
    }
}
