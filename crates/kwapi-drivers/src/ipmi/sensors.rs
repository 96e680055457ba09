//! The sensors of power in a card's repository, as a source of watts: which are chosen, and what they add up to.

use kwapi_core::{NoReading, Quality, Reading, Watts};

use super::catalogue::SensorCatalogue;
use super::choice::{self, SensorChoice};
use super::completion::{Remedy, meaning, remedy};
use super::config::{IpmiConfig, SensorNames};
use super::link::{Failure, SILENT, no_reading};
use super::message::GET_SENSOR_READING;
use super::reader::hex;
use super::repository;
use super::sdr::{self, IpmiSensor};
use super::session::RmcpSession;
use super::shared::IpmiShared;
use crate::driver::DriverError;

/// A choice of sensors, tried.
pub(super) struct TriedSensors {
    pub(super) choice: SensorChoice,
    pub(super) watts: Option<f64>,
    /// Those that were left out of the sum as they had no reading.
    pub(super) absent: Vec<IpmiSensor>,
}

/// The sensors to read, or why there are none.
pub(super) async fn find(
    session: &mut RmcpSession,
    config: &IpmiConfig,
    shared: &IpmiShared,
) -> Result<Result<TriedSensors, String>, DriverError> {
    let card = session.link.card;
    let memory = shared.memory(card);
    // What could not be read last time may be readable now.
    {
        let mut memory = memory.lock();
        if memory.catalogue.unread > 0 && memory.catalogue.is_complete() {
            memory.catalogue = SensorCatalogue::default();
        }
    }
    let catalogue = match repository::sensors(session, &memory).await {
        Ok(catalogue) => catalogue,
        Err(Failure::Completed { what, code }) if !matches!(remedy(code), Remedy::Later) => {
            let why = format!("cannot list its sensors: {what}: {} ({code:#04x})", meaning(code));
            return Ok(Err(why));
        }
        Err(failure) => {
            let advice = "while listing its sensors; the next session continues from there";
            return Err(failure.of(card, advice));
        }
    };
    let sensors = catalogue.sensors().unwrap_or_default();
    let names = config.sensor.as_ref().map(SensorNames::names);
    let options = match choice::options(&sensors, names) {
        Ok(options) => options,
        Err(reason) => return Ok(Err(reason)),
    };
    choose(session, options, names.is_some(), catalogue.unread > 0).await
}

/// The first option that has watts; else the first that has 0 W; else the first, which may have some later.
async fn choose(
    session: &mut RmcpSession,
    options: Vec<SensorChoice>,
    is_named: bool,
    is_incomplete: bool,
) -> Result<Result<TriedSensors, String>, DriverError> {
    let mut best: Option<TriedSensors> = None;
    for option in options {
        let mut tried = try_choice(session, option, is_named).await?;
        // Of a list that lacks a record, a sum may lack a part.
        if is_incomplete && !is_named && tried.choice.is_sum {
            tried.choice.quality = Quality::Estimated;
        }
        let rank = |tried: &TriedSensors| tried.watts.map_or(0, |watts| if watts > 0.0 { 2 } else { 1 });
        if rank(&tried) == 2 {
            return Ok(Ok(tried));
        }
        if best.as_ref().is_none_or(|best| rank(&tried) > rank(best)) {
            best = Some(tried);
        }
    }
    Ok(best.ok_or_else(|| "the BMC has no sensor in watts".to_owned()))
}

/// Reads a choice once. A part of a sum that has no reading, such as a supply that is not fitted, is left out, and what
/// remains is an estimate; but nothing is left out of what the configuration names.
async fn try_choice(
    session: &mut RmcpSession,
    choice: SensorChoice,
    is_named: bool,
) -> Result<TriedSensors, DriverError> {
    let card = session.link.card;
    let (mut present, mut absent, mut sum) = (Vec::new(), Vec::new(), None);
    for sensor in &choice.sensors {
        match read_one(session, sensor).await {
            Ok(Ok(watts)) => {
                sum = Some(sum.unwrap_or(0.0) + watts);
                present.push(sensor.clone());
            }
            Ok(Err(_)) => absent.push(sensor.clone()),
            Err(Failure::Completed { code, .. })
                if matches!(remedy(code), Remedy::Absent | Remedy::State) =>
            {
                absent.push(sensor.clone());
            }
            Err(failure) => return Err(failure.of(card, SILENT)),
        }
    }
    let watts = sum.filter(|sum: &f64| sum.is_finite() && *sum >= 0.0);
    if absent.is_empty() || present.is_empty() || is_named {
        let watts = if absent.is_empty() { watts } else { None };
        return Ok(TriedSensors { choice, watts, absent: Vec::new() });
    }
    Ok(TriedSensors {
        choice: SensorChoice { sensors: present, quality: Quality::Estimated, ..choice },
        watts,
        absent,
    })
}

/// The watts of one sensor, or why it has none.
async fn read_one(session: &mut RmcpSession, sensor: &IpmiSensor) -> Result<Result<f64, NoReading>, Failure> {
    let data = session.request_lun(GET_SENSOR_READING, sensor.lun, &[sensor.number]).await?;
    let malformed = || DriverError::Malformed { what: GET_SENSOR_READING.name, input: hex(&data) };
    Ok(match (sdr::raw_reading(&data).ok_or_else(malformed)?, sensor.conversion) {
        (Ok(raw), Ok(conversion)) => Ok(conversion.watts(raw)),
        (Err(_), _) => Err(NoReading::NotAvailable(format!("sensor {:?} has no reading", sensor.name))),
        (_, Err(fault)) => Err(NoReading::NotAvailable(fault.to_owned())),
    })
}

/// The sum of the sensors chosen. A sum without one of its parts is no sum.
pub(super) async fn read(
    session: &mut RmcpSession,
    choice: &SensorChoice,
    shared: &IpmiShared,
) -> Result<Result<Reading, NoReading>, DriverError> {
    let card = session.link.card;
    let mut sum = 0.0;
    for sensor in &choice.sensors {
        match read_one(session, sensor).await {
            Ok(Ok(watts)) => sum += watts,
            Ok(Err(no_reading)) => return Ok(Err(no_reading)),
            Err(Failure::Completed { code, .. }) if remedy(code) == Remedy::Absent => {
                // Numbers move when firmware changes: the next look begins with the first record.
                shared.memory(card).lock().catalogue = SensorCatalogue::default();
                return Ok(Err(NoReading::NotAvailable(format!(
                    "sensor {:?}: {} ({code:#04x})",
                    sensor.name,
                    meaning(code)
                ))));
            }
            Err(Failure::Completed { what, code }) => return no_reading(card, what, code),
            Err(failure) => return Err(failure.of(card, SILENT)),
        }
    }
    if !sum.is_finite() || sum < 0.0 {
        return Ok(Err(NoReading::Implausible(format!("{sum} W"))));
    }
    Ok(Ok(Reading { power: Some(Watts(sum)), quality: choice.quality, ..Reading::default() }))
}
