//! What a card responds to without any session: which versions and authentications it supports.
//!
//! Anyone can forge these answers; nothing secret depends on them.
//!
//! Source: IPMI 2.0 rev. 1.1, 22.13.

use super::completion;
use super::config::{IpmiConfig, Privilege};
use super::link::{Failure, Link};
use super::message::{self, IpmiCommand};
use super::packet::{self, Packet};
use super::reader::{ByteReader, hex};
use crate::driver::DriverError;

/// "This channel", and "with the extended data of IPMI 2.0": 22.13, table 22-15.
const THIS_CHANNEL: u8 = 0x0E;
const EXTENDED: u8 = 0x80;
/// What a card reports of itself before any session: 22.13.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// Bit n: authentication type n of IPMI 1.5.
    pub(super) authentications: u8,
    /// Whether it supports RMCP+.
    pub(super) is_plus: bool,
    /// Whether a K-g of its own is set.
    pub(super) has_card_key: bool,
}

fn capabilities(data: &[u8]) -> Option<Capabilities> {
    let mut reader = ByteReader::new(data);
    let [_channel, authentications, status, extended] = reader.array()?;
    let is_extended = authentications & EXTENDED != 0;
    Some(Capabilities {
        authentications: authentications & !EXTENDED,
        is_plus: is_extended && extended & 0x02 != 0,
        has_card_key: is_extended && status & 0x20 != 0,
    })
}

/// Queries which versions and authentications the card supports.
pub(super) async fn query_capabilities(link: &Link, config: &IpmiConfig) -> Result<Capabilities, Failure> {
    let command = message::GET_AUTHENTICATION_CAPABILITIES;
    let privilege = config.privileges().next().unwrap_or(Privilege::User);
    let data = |flags| [THIS_CHANNEL | flags, privilege.number()];
    let data = match exchange_outside(link, command, &data(EXTENDED)).await {
        // A card of IPMI 1.5 may refuse the bit it does not support.
        Err(Failure::Completed { .. }) => exchange_outside(link, command, &data(0)).await?,
        other => other?,
    };
    let malformed = || DriverError::Malformed { what: command.name, input: hex(&data) };
    Ok(capabilities(&data).ok_or_else(malformed)?)
}

/// Sends one of the few commands a card responds to outside a session.
pub(super) async fn exchange_outside(
    link: &Link,
    command: IpmiCommand,
    data: &[u8],
) -> Result<Vec<u8>, Failure> {
    let sequence = rand::random::<u8>() & 0x3F;
    let question = || packet::legacy(0, 0, 0, None, &message::request(command, 0, sequence, data));
    let answer = |datagram: &[u8]| {
        let Packet::Legacy { session: 0, payload, .. } = packet::parse(datagram)? else { return None };
        // Some cards' checksums are wrong; UDP has its own.
        let answer = message::parse_unchecked(payload)?;
        answer.is_to(command, sequence).then(|| (answer.completion, answer.data.to_vec()))
    };
    match link.exchange(command.name, question, answer).await? {
        (completion::OK, data) => Ok(data),
        (code, _) => Err(Failure::Completed { what: command.name, code }),
    }
}

/// Every parser here, for fuzzing.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn parse_all(bytes: &[u8]) {
    _ = capabilities(bytes);
}

#[cfg(test)]
mod tests;
