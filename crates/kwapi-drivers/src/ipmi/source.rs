//! Where a card's watts come from: DCMI, its sensors, or Intel Node Manager. Names propose, readings decide: what has
//! no reading now, or reports 0 W, gives way to what has one.

use std::time::Duration;

use super::choice::SensorChoice;
use super::completion::{Remedy, meaning, remedy};
use super::config::{IpmiConfig, SourceWanted};
use super::dcmi::{self, PowerReading};
use super::link::{Failure, SILENT};
use super::message::GET_POWER_READING;
use super::node_manager::{self, NodeManagerFound};
use super::reader::hex;
use super::sdr::IpmiSensor;
use super::sensors::{self, TriedSensors};
use super::session::RmcpSession;
use super::shared::IpmiShared;
use crate::driver::DriverError;

/// Cards that have not been queried for long fail the first time (`check_ipmi_sensor_v3`#26): queried so often at
/// first, with this pause.
const FIRST_READINGS_MAX: u8 = 3;
const FIRST_READING_PAUSE: Duration = Duration::from_millis(500);

/// Where the watts come from.
#[derive(Debug)]
pub(super) enum IpmiSource {
    /// DCMI Get Power Reading.
    Dcmi,
    /// Sensors of the repository, added up.
    Sensors(SensorChoice),
    /// Intel Node Manager behind this channel of the card.
    NodeManager(u8),
}

/// What was chosen, and the reasons for it.
#[derive(Debug)]
pub(super) struct FoundSource {
    pub(super) source: IpmiSource,
    /// What DCMI reported when the source was chosen.
    pub(super) dcmi: DcmiFound,
    /// What Intel Node Manager reported then.
    pub(super) node_manager: NodeManagerFound,
    /// Sensors that were left out of the sum as they had no reading.
    pub(super) absent: Vec<IpmiSensor>,
    /// Whether DCMI and the sensors agree on 0 W.
    pub(super) is_zero_confirmed: bool,
}

/// A card's first response to DCMI Get Power Reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DcmiFound {
    NotQueried,
    /// Did not answer last time: not queried again this time.
    Silent,
    Refused(u8),
    Reports(PowerReading),
}

impl DcmiFound {
    /// The watts, if they make a reading.
    fn watts(self) -> Option<f64> {
        match self {
            Self::Reports(power) => power.reading().ok()?.power.map(|power| power.0),
            Self::NotQueried | Self::Silent | Self::Refused(_) => None,
        }
    }
}

impl NodeManagerFound {
    /// The watts, if they make a reading.
    fn watts(&self) -> Option<f64> {
        match self {
            Self::Reports(_, power) => power.reading().ok()?.power.map(|power| power.0),
            Self::NotQueried | Self::Silent | Self::Absent(_) => None,
        }
    }
}

impl FoundSource {
    /// Node Manager where it was found, else DCMI.
    fn of(node_manager: NodeManagerFound) -> Self {
        let source = match node_manager {
            NodeManagerFound::Reports(channel, _) => IpmiSource::NodeManager(channel),
            NodeManagerFound::NotQueried | NodeManagerFound::Silent | NodeManagerFound::Absent(_) => {
                IpmiSource::Dcmi
            }
        };
        Self {
            source,
            dcmi: DcmiFound::NotQueried,
            node_manager,
            absent: Vec::new(),
            is_zero_confirmed: false,
        }
    }
}

/// Queries the card for what it has, and decides. `known` is what was found before, in a session that continues.
pub(super) async fn find(
    session: &mut RmcpSession,
    config: &IpmiConfig,
    shared: &IpmiShared,
    known: Option<DcmiFound>,
) -> Result<FoundSource, DriverError> {
    let card = session.link.card;
    let is_sensor_wanted = config.source == SourceWanted::Sensor || config.sensor.is_some();
    if config.source == SourceWanted::NodeManager {
        return only_node_manager(session).await;
    }
    let dcmi = match known {
        _ if is_sensor_wanted => DcmiFound::NotQueried,
        // Querying such a card again would cost the session.
        Some(DcmiFound::Silent) => DcmiFound::Silent,
        _ => try_dcmi(session, config, shared).await?,
    };
    if dcmi.watts().is_some_and(|watts| watts > 0.0) {
        return Ok(FoundSource { dcmi, ..FoundSource::of(NodeManagerFound::NotQueried) });
    }
    if config.source == SourceWanted::Dcmi {
        return match dcmi {
            DcmiFound::Reports(_) | DcmiFound::NotQueried | DcmiFound::Silent => {
                Ok(FoundSource { dcmi, ..FoundSource::of(NodeManagerFound::NotQueried) })
            }
            DcmiFound::Refused(code) => {
                Err(Failure::Completed { what: GET_POWER_READING.name, code }.of(card, ""))
            }
        };
    }
    let sensors = sensors::find(session, config, shared).await?;
    let have_watts = sensors.as_ref().is_ok_and(|tried| tried.watts.is_some_and(|watts| watts > 0.0));
    let node_manager = if have_watts || is_sensor_wanted {
        NodeManagerFound::NotQueried
    } else {
        try_node_manager(session, shared).await?
    };
    if node_manager.watts().is_some_and(|watts| watts > 0.0) {
        return Ok(FoundSource { dcmi, ..FoundSource::of(node_manager) });
    }
    let other = match &node_manager {
        NodeManagerFound::NotQueried => String::new(),
        found => format!("; Intel Node Manager: {found}"),
    };
    let found = |source| FoundSource { source, dcmi, ..FoundSource::of(node_manager) };
    match (sensors, dcmi) {
        // Both report 0 W, or DCMI does and the sensors have nothing.
        (Ok(TriedSensors { watts, .. }), dcmi)
            if dcmi.watts().is_some() && watts.is_none_or(|watts| watts == 0.0) =>
        {
            Ok(FoundSource { is_zero_confirmed: watts.is_some(), ..found(IpmiSource::Dcmi) })
        }
        (Ok(TriedSensors { choice, absent, .. }), _) => {
            Ok(FoundSource { absent, ..found(IpmiSource::Sensors(choice)) })
        }
        // DCMI is there, and has nothing to report now: a machine that is off, perhaps.
        (Err(_), DcmiFound::Reports(_)) => Ok(found(IpmiSource::Dcmi)),
        (Err(reason), DcmiFound::Refused(code)) => Err(DriverError::Refused(format!(
            "{card}: no power reading: {}: {} ({code:#04x}){}; {reason}{other}",
            GET_POWER_READING.name,
            meaning(code),
            if remedy(code) == Remedy::Privilege { ", a higher user privilege may help" } else { "" },
        ))),
        (Err(reason), DcmiFound::NotQueried | DcmiFound::Silent) => {
            Err(DriverError::Refused(format!("{card}: no power reading: {reason}{other}")))
        }
    }
}

/// Node Manager, and nothing else.
async fn only_node_manager(session: &mut RmcpSession) -> Result<FoundSource, DriverError> {
    let card = session.link.card;
    match node_manager::find(session).await.map_err(|failure| failure.of(card, SILENT))? {
        found @ NodeManagerFound::Reports(..) => Ok(FoundSource::of(found)),
        other => Err(DriverError::Refused(format!("{card}: Intel Node Manager: {other}"))),
    }
}

/// Node Manager; every other time of a card that does not answer for it.
async fn try_node_manager(
    session: &mut RmcpSession,
    shared: &IpmiShared,
) -> Result<NodeManagerFound, DriverError> {
    let card = session.link.card;
    let memory = shared.memory(card);
    if std::mem::take(&mut memory.lock().silent.node_manager) {
        return Ok(NodeManagerFound::Silent);
    }
    let found = node_manager::find(session).await.map_err(|failure| failure.of(card, SILENT))?;
    memory.lock().silent.node_manager = found == NodeManagerFound::Silent;
    Ok(found)
}

async fn try_dcmi(
    session: &mut RmcpSession,
    config: &IpmiConfig,
    shared: &IpmiShared,
) -> Result<DcmiFound, DriverError> {
    let card = session.link.card;
    let memory = shared.memory(card);
    // Queried every other time of a card that drops the command: it may have been the network.
    let was_silent = std::mem::take(&mut memory.lock().silent.dcmi);
    if was_silent && config.source == SourceWanted::Auto {
        return Ok(DcmiFound::Silent);
    }
    let mut tries = 1;
    loop {
        match query_dcmi(session).await {
            Ok(power) => return Ok(DcmiFound::Reports(power)),
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
                memory.lock().silent.dcmi = true;
                return Err(
                    Failure::Unanswered(unanswered).of(card, "it may not support DCMI; trying a sensor next")
                );
            }
            Err(failure) => return Err(failure.of(card, SILENT)),
        }
    }
}

/// DCMI's present response.
pub(super) async fn query_dcmi(session: &mut RmcpSession) -> Result<PowerReading, Failure> {
    let data = session.request(GET_POWER_READING, &dcmi::REQUEST).await?;
    let malformed = || DriverError::Malformed { what: GET_POWER_READING.name, input: hex(&data) };
    Ok(dcmi::parse(&data).ok_or_else(malformed)?)
}
