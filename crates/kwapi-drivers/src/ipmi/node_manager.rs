//! Intel Node Manager: the whole platform's watts, of the Management Engine behind the card.
//!
//! Queried where neither DCMI nor a sensor has watts. Its answer has the fields of DCMI's in another order, and is
//! judged by the same rules.
//!
//! Source: *Intel Intelligent Power Node Manager 3.0 External Interface Specification Using IPMI* (332200), "Get Node
//! Manager Statistics" (C8h).

use std::fmt;

use super::completion::meaning;
use super::dcmi::PowerReading;
use super::link::Failure;
use super::message::{Bridge, GET_NODE_MANAGER_STATISTICS};
use super::reader::{ByteReader, hex};
use super::session::RmcpSession;
use crate::driver::DriverError;

/// Intel's enterprise number, least significant byte first, which each message begins with.
const INTEL: [u8; 3] = [0x57, 0x01, 0x00];
/// Global power statistics of domain 0, the entire platform; no policy.
const REQUEST: [u8; 6] = [0x57, 0x01, 0x00, 0x01, 0x00, 0x00];
/// Bit of the last byte: measurements are in progress.
const STATE_MEASURING: u8 = 0x40;
/// The Management Engine on the card's bus.
const ADDRESS: u8 = 0x2C;
/// The channels it is found behind: the secondary bus, and the primary one.
const CHANNELS: [u8; 2] = [6, 0];

/// A card's response to Get Node Manager Statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodeManagerFound {
    NotQueried,
    /// Nothing answered.
    Silent,
    /// There is none, as the card reports.
    Absent(String),
    /// It is behind this channel.
    Reports(u8, PowerReading),
}

impl fmt::Display for NodeManagerFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotQueried => f.write_str("not requested"),
            Self::Silent => f.write_str("no response"),
            Self::Absent(why) => f.write_str(why),
            Self::Reports(_, power) => power.fmt(f),
        }
    }
}

/// Looks for a Node Manager behind the card. One that does not answer is no fault of the session.
///
/// # Errors
/// When the session fails otherwise.
pub(super) async fn find(session: &mut RmcpSession) -> Result<NodeManagerFound, Failure> {
    let mut why = String::new();
    for channel in CHANNELS {
        match query(session, channel).await {
            Ok(power) => return Ok(NodeManagerFound::Reports(channel, power)),
            Err(Failure::Completed { what, code }) => {
                why = format!("{what}: {} ({code:#04x})", meaning(code));
            }
            // Another channel would take as long.
            Err(Failure::Unanswered(_)) => {
                return Ok(NodeManagerFound::Silent);
            }
            Err(Failure::Driver(DriverError::Malformed { input, .. })) => {
                why = format!("not Node Manager's answer: {input}");
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(NodeManagerFound::Absent(why))
}

/// Its present response.
pub(super) async fn query(session: &mut RmcpSession, channel: u8) -> Result<PowerReading, Failure> {
    let bridge = Bridge { channel, address: ADDRESS };
    let data = session.request_bridged(bridge, GET_NODE_MANAGER_STATISTICS, &REQUEST).await?;
    let malformed = || DriverError::Malformed { what: GET_NODE_MANAGER_STATISTICS.name, input: hex(&data) };
    Ok(parse(&data).ok_or_else(malformed)?)
}

/// Reads the answer's data; `None` when it is cut or not Intel's.
pub(super) fn parse(data: &[u8]) -> Option<PowerReading> {
    let mut reader = ByteReader::new(data);
    if reader.array()? != INTEL {
        return None;
    }
    let [current, minimum, maximum, average] = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
    let stamp = reader.u32()?;
    // In seconds here.
    let period_ms = reader.u32()?.saturating_mul(1_000);
    let is_active = reader.u8()? & STATE_MEASURING != 0;
    Some(PowerReading { current, minimum, maximum, average, stamp, period_ms, is_active })
}

#[cfg(test)]
mod tests {
    use super::super::dcmi::tests::shown;
    use super::*;

    fn data(watts: [u16; 4], state: u8) -> Vec<u8> {
        let mut data = INTEL.to_vec();
        data.extend(watts.into_iter().flat_map(u16::to_le_bytes));
        data.extend(1_700_000_000_u32.to_le_bytes());
        data.extend(3_600_u32.to_le_bytes());
        data.push(state);
        data
    }

    #[track_caller]
    fn check(data: &[u8], expected: &str) {
        assert_eq!(shown(parse(data)), expected, "{data:02x?}");
    }

    #[test]
    fn the_platforms_watts_are_judged_as_dcmis() {
        check(&data([318, 205, 512, 320], 0x50), "318 W");
        check(&data([318, 205, 512, 320], 0x10), "318 W (estimated)");
        check(&data([0xFFFF, 0, 0, 0], 0x50), "implausible: 65535 W, a placeholder for no value");
        check(
            &data([0, 0, 0, 0], 0x10),
            "not available: the BMC reports 0 W and that power measurement is not active",
        );
        assert_eq!(parse(&data([1, 1, 1, 1], 0)).unwrap().period_ms, 3_600_000);
    }

    #[test]
    fn another_makers_or_a_cut_answer_is_none() {
        let whole = data([318, 205, 512, 320], 0x50);
        for end in 0..whole.len() {
            check(&whole[..end], "malformed");
        }
        let other = [&[0xDC, 0x01, 0x00], &whole[3..]].concat();
        check(&other, "malformed");
    }
}
