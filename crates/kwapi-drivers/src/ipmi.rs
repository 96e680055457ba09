//! `driver = "ipmi"`: the power a server's management card measures.
//!
//! Speaks IPMI 2.0 (RMCP+, cipher suites 17 and 3), and 1.5 where a card knows no better. The watts come from DCMI Get
//! Power Reading, else from the sensors of power in the card's SDR repository. One meter has one outlet, the machine.
//!
//! Sources: *IPMI Specification, Second Generation*, v2.0 rev. 1.1, and *Data Center Management Interface* v1.5 rev. 1.0.

mod choice;
mod completion;
mod config;
mod crypto;
mod dcmi;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod legacy;
mod link;
mod message;
mod opening;
mod packet;
mod rakp;
mod reader;
mod repository;
mod sdr;
mod session;
mod shared;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Quality, Reading, Watts};
use tokio::time::Instant;

use self::choice::Choice;
use self::completion::{Remedy, meaning, remedy};
pub use self::config::{Config, LegacyAuthentication, Privilege, SensorNames, SourceWanted, Version};
use self::dcmi::{Freshness, PowerReading};
use self::link::Failure;
use self::message::{GET_POWER_READING, GET_SENSOR_READING};
use self::reader::hex;
use self::session::Session;
pub use self::shared::Shared;
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;

/// Cards that have not been asked for long fail the first time (`check_ipmi_sensor_v3`#26): asked so often at first, with
/// this pause.
const FIRST_READINGS_MAX: u8 = 3;
const FIRST_READING_PAUSE: Duration = Duration::from_millis(500);

const SILENT: &str = "the card stopped answering or has forgotten the session, as after its restart";

/// A session with one card, and where its watts come from.
#[derive(Debug)]
pub struct Ipmi {
    session: Session,
    source: Source,
    probe: ProbeId,
    freshness: Freshness,
    /// What DCMI said when the source was chosen.
    dcmi: DcmiFound,
    config: Config,
    shared: Arc<Shared>,
}

/// Where the watts come from.
#[derive(Debug)]
enum Source {
    Dcmi,
    Sensors(Choice),
}

/// What a card says to DCMI Get Power Reading at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DcmiFound {
    NotAsked,
    /// Did not answer last time: not asked again this time.
    Silent,
    Refused(u8),
    Says(PowerReading),
}

impl Driver for Ipmi {
    const NAME: &'static str = "ipmi";
    const SUMMARY: &'static str =
        "server management cards (BMC, iDRAC, iLO, XCC) over IPMI 2.0 or 1.5 on UDP";
    type Config = Config;
    type Shared = Shared;

    fn check(config: &Config) -> Result<(), String> {
        config.check().map_err(DriverError::into_message)
    }

    async fn open(config: &Config, outlets: &Outlets, shared: &Arc<Shared>) -> Result<Self, DriverError> {
        config.check()?;
        let probe = outlets.only()?;
        let card = resolve(config).await?;
        // Boxed: opening needs ten times the memory of reading, and only for a moment.
        Box::pin(Self::open_card(card, config, probe, shared)).await
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        if self.session.is_expired() {
            let card = self.session.link.card;
            self.session = Box::pin(opening::open(card, &self.config, &self.shared)).await?;
        }
        let reading = match &self.source {
            Source::Dcmi => self.read_dcmi().await?,
            Source::Sensors(choice) => read_sensors(&mut self.session, choice, &self.shared).await?,
        };
        readings.push(&self.probe, reading);
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![self.finding_of_dcmi()];
        let memory = self.shared.memory(self.session.link.card);
        let sensors = memory.lock().repository.sensors();
        match (sensors, &self.source) {
            (None, _) => findings.push(Finding {
                what: "SDR sensors in watts".to_owned(),
                value: "not looked for".to_owned(),
                is_used: false,
                why: "DCMI answers; set source = \"sensor\" to use a sensor instead".to_owned(),
            }),
            (Some(sensors), source) => {
                for sensor in sensors.iter() {
                    findings.push(finding_of_sensor(sensor, source));
                }
            }
        }
        findings
    }
}

async fn resolve(config: &Config) -> Result<SocketAddr, DriverError> {
    let mut addresses = tokio::net::lookup_host((config.host.as_str(), config.port))
        .await
        .map_err(|error| DriverError::link(format!("{}: no address: {error}", config.host)))?;
    addresses.next().ok_or_else(|| DriverError::link(format!("{}: the name has no address", config.host)))
}

impl Ipmi {
    async fn open_card(
        card: SocketAddr,
        config: &Config,
        probe: ProbeId,
        shared: &Arc<Shared>,
    ) -> Result<Self, DriverError> {
        let mut session = opening::open(card, config, shared).await?;
        let (source, dcmi) = find_source(&mut session, config, shared).await?;
        Ok(Self {
            session,
            source,
            probe,
            freshness: Freshness::default(),
            dcmi,
            config: config.clone(),
            shared: Arc::clone(shared),
        })
    }

    async fn read_dcmi(&mut self) -> Result<Result<Reading, NoReading>, DriverError> {
        let card = self.session.link.card;
        let power = match ask_dcmi(&mut self.session).await {
            Ok(power) => power,
            Err(Failure::Completed { what, code }) => return no_reading(card, what, code),
            Err(failure) => return Err(failure.of(card, SILENT)),
        };
        if let Some(still) = self.freshness.observe(power, Instant::now().into_std()) {
            return Ok(Err(NoReading::Stale(format!("the card says the same since {} s", still.as_secs()))));
        }
        Ok(power.reading())
    }

    fn finding_of_dcmi(&self) -> Finding {
        let is_used = matches!(self.source, Source::Dcmi);
        let (value, why) = match self.dcmi {
            DcmiFound::NotAsked => ("not asked".to_owned(), "the configuration wants a sensor".to_owned()),
            DcmiFound::Silent => ("no answer".to_owned(), "the card answers other commands".to_owned()),
            DcmiFound::Refused(code) => (
                format!("{} ({code:#04x})", meaning(code)),
                "the card does not offer it to this account".to_owned(),
            ),
            DcmiFound::Says(power) => {
                let state = if power.is_active { "active" } else { "not active" };
                let value = format!(
                    "{} W, {state} (minimum {}, maximum {}, average {} W over {} s)",
                    power.current,
                    power.minimum,
                    power.maximum,
                    power.average,
                    power.period_ms / 1_000
                );
                let why = match power.reading() {
                    _ if !is_used && self.config.source == SourceWanted::Sensor => {
                        "the configuration wants a sensor".to_owned()
                    }
                    Ok(Reading { quality: Quality::Estimated, .. }) => {
                        "the whole machine in one command; estimated, as the card says it does not measure"
                            .to_owned()
                    }
                    Ok(_) => "the whole machine in one command".to_owned(),
                    Err(reason) => reason.to_string(),
                };
                (value, why)
            }
        };
        Finding { what: GET_POWER_READING.name.to_owned(), value, is_used, why }
    }
}

fn finding_of_sensor(sensor: &sdr::Sensor, source: &Source) -> Finding {
    let role = choice::role(&sensor.name, sensor.entity);
    let chosen = match source {
        Source::Sensors(choice) if choice.sensors.contains(sensor) => Some(choice.why),
        Source::Sensors(_) | Source::Dcmi => None,
    };
    let why = match (chosen, &sensor.conversion, role) {
        (Some(why), _, _) => why.to_owned(),
        (None, Err(fault), _) => (*fault).to_owned(),
        (None, Ok(_), choice::Role::Part) => "it measures a part, or is a limit".to_owned(),
        (None, Ok(_), _) => {
            "another source measures the whole; adding this one would count it twice".to_owned()
        }
    };
    Finding {
        what: format!("sensor {:?}", sensor.name),
        value: sensor
            .conversion
            .map_or("unreadable".to_owned(), |conversion| format!("steps of {} W", conversion.step())),
        is_used: chosen.is_some(),
        why,
    }
}

/// Asks the card what it has, and decides.
async fn find_source(
    session: &mut Session,
    config: &Config,
    shared: &Shared,
) -> Result<(Source, DcmiFound), DriverError> {
    let card = session.link.card;
    let is_sensor_wanted = config.source == SourceWanted::Sensor || config.sensor.is_some();
    let dcmi = if is_sensor_wanted { DcmiFound::NotAsked } else { try_dcmi(session, config, shared).await? };
    let is_dcmi_good = matches!(dcmi, DcmiFound::Says(power) if power.reading().is_ok());
    if is_dcmi_good {
        return Ok((Source::Dcmi, dcmi));
    }
    if config.source == SourceWanted::Dcmi {
        return match dcmi {
            DcmiFound::Says(_) | DcmiFound::NotAsked | DcmiFound::Silent => Ok((Source::Dcmi, dcmi)),
            DcmiFound::Refused(code) => {
                Err(Failure::Completed { what: GET_POWER_READING.name, code }.of(card, ""))
            }
        };
    }
    match (find_sensors(session, config, shared).await?, dcmi) {
        (Ok(choice), _) => Ok((Source::Sensors(choice), dcmi)),
        // DCMI is there, and has nothing to say now: a machine that is off, perhaps.
        (Err(_), DcmiFound::Says(_)) => Ok((Source::Dcmi, dcmi)),
        (Err(reason), DcmiFound::Refused(code)) => Err(DriverError::Refused(format!(
            "{card}: no power to read: {}: {} ({code:#04x}){}; {reason}",
            GET_POWER_READING.name,
            meaning(code),
            if remedy(code) == Remedy::Privilege {
                ", a higher privilege of the account may help"
            } else {
                ""
            },
        ))),
        (Err(reason), DcmiFound::NotAsked | DcmiFound::Silent) => {
            Err(DriverError::Refused(format!("{card}: no power to read: {reason}")))
        }
    }
}

async fn try_dcmi(session: &mut Session, config: &Config, shared: &Shared) -> Result<DcmiFound, DriverError> {
    let card = session.link.card;
    let memory = shared.memory(card);
    // Asked every other time of a card that drops the command: it may have been the network.
    let was_silent = std::mem::take(&mut memory.lock().is_dcmi_silent);
    if was_silent && config.source == SourceWanted::Auto {
        return Ok(DcmiFound::Silent);
    }
    let mut tries = 1;
    loop {
        match ask_dcmi(session).await {
            Ok(power) => return Ok(DcmiFound::Says(power)),
            Err(Failure::Completed { code, .. })
                if tries < FIRST_READINGS_MAX && matches!(remedy(code), Remedy::Later | Remedy::State) =>
            {
                tries += 1;
                tokio::time::sleep(FIRST_READING_PAUSE).await;
            }
            Err(Failure::Completed { what, code }) if remedy(code) == Remedy::Later => {
                return Err(Failure::Completed { what, code }.of(card, ""));
            }
            Err(Failure::Completed { code, .. }) => return Ok(DcmiFound::Refused(code)),
            Err(Failure::Unanswered(unanswered)) => {
                memory.lock().is_dcmi_silent = true;
                return Err(
                    Failure::Unanswered(unanswered).of(card, "it may know no DCMI; a sensor is tried next")
                );
            }
            Err(failure) => return Err(failure.of(card, SILENT)),
        }
    }
}

async fn ask_dcmi(session: &mut Session) -> Result<PowerReading, Failure> {
    let data = session.ask(GET_POWER_READING, &dcmi::REQUEST).await?;
    let malformed = || DriverError::Malformed { what: GET_POWER_READING.name, input: hex(&data) };
    Ok(dcmi::parse(&data).ok_or_else(malformed)?)
}

/// The sensors to read, or why there are none.
async fn find_sensors(
    session: &mut Session,
    config: &Config,
    shared: &Shared,
) -> Result<Result<Choice, String>, DriverError> {
    let card = session.link.card;
    let memory = shared.memory(card);
    let names = config.sensor.as_ref().map(SensorNames::names);
    match repository::sensors(session, &memory).await {
        Ok(sensors) => Ok(choice::choose(&sensors, names)),
        Err(Failure::Completed { what, code }) if !matches!(remedy(code), Remedy::Later) => {
            Ok(Err(format!("its sensors cannot be listed: {what}: {} ({code:#04x})", meaning(code))))
        }
        Err(failure) => {
            Err(failure.of(card, "while its sensors were listed; the next session goes on from there"))
        }
    }
}

async fn read_sensors(
    session: &mut Session,
    choice: &Choice,
    shared: &Shared,
) -> Result<Result<Reading, NoReading>, DriverError> {
    let card = session.link.card;
    let mut sum = 0.0;
    for sensor in &choice.sensors {
        let data = match session.ask_lun(GET_SENSOR_READING, sensor.lun, &[sensor.number]).await {
            Ok(data) => data,
            Err(Failure::Completed { what, code }) => {
                if remedy(code) == Remedy::Absent {
                    // Numbers move when firmware changes: look again, from the first record.
                    shared.memory(card).lock().repository = repository::Repository::default();
                }
                return no_reading(card, what, code);
            }
            Err(failure) => return Err(failure.of(card, SILENT)),
        };
        let malformed = || DriverError::Malformed { what: GET_SENSOR_READING.name, input: hex(&data) };
        // A sum without one of its parts is no sum.
        match (sdr::raw_reading(&data).ok_or_else(malformed)?, sensor.conversion) {
            (Ok(raw), Ok(conversion)) => sum += conversion.watts(raw),
            (Err(_), _) => {
                return Ok(Err(NoReading::NotAvailable(format!("sensor {:?} has no reading", sensor.name))));
            }
            (_, Err(fault)) => return Ok(Err(NoReading::NotAvailable(fault.to_owned()))),
        }
    }
    if !sum.is_finite() || sum < 0.0 {
        return Ok(Err(NoReading::Implausible(format!("{sum} W"))));
    }
    Ok(Ok(Reading { power: Some(Watts(sum)), quality: choice.quality, ..Reading::default() }))
}

/// What a completion code means for a source that worked before.
fn no_reading(
    card: SocketAddr,
    what: &'static str,
    code: u8,
) -> Result<Result<Reading, NoReading>, DriverError> {
    match remedy(code) {
        Remedy::State => Ok(Err(NoReading::NotAvailable(format!("{what}: {} ({code:#04x})", meaning(code))))),
        Remedy::Later | Remedy::Privilege => Err(Failure::Completed { what, code }.of(card, "")),
        Remedy::Unsupported | Remedy::Reserve | Remedy::Fewer | Remedy::Absent => {
            Err(DriverError::link(format!(
                "{card}: {what} is no longer possible: {} ({code:#04x}); the source is looked for again",
                meaning(code)
            )))
        }
    }
}

#[cfg(test)]
mod tests;
