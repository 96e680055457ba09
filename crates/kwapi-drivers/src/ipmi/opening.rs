//! Opens a session: asks which version the card speaks, proves the password, takes the privilege.
//!
//! Source: IPMI 2.0 rev. 1.1, 13.15 (RMCP+ session activation), 22.13, 22.18.

use std::net::SocketAddr;

use super::config::{Config, Privilege, Version};
use super::handshake;
use super::legacy;
use super::link::{Failure, Link};
use super::message::{self, Command};
use super::packet::{self, Packet};
use super::reader::Reader;
use super::session::Session;
use super::shared::Shared;
use crate::driver::DriverError;

/// "This channel", and "with the extended data of IPMI 2.0": 22.13, table 22-15.
const THIS_CHANNEL: u8 = 0x0E;
const EXTENDED: u8 = 0x80;
const UNREACHABLE: &str =
    "is the address right, the card on, IPMI over LAN enabled on it, and UDP to it let through?";

/// What a card says of itself before any session: 22.13.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// Bit n: authentication type n of IPMI 1.5.
    pub(super) authentications: u8,
    /// Whether it speaks RMCP+.
    pub(super) is_plus: bool,
    /// Whether a K-g of its own is set.
    pub(super) has_card_key: bool,
}

fn capabilities(data: &[u8]) -> Option<Capabilities> {
    let mut reader = Reader::new(data);
    let [_channel, authentications, status, extended] = reader.array()?;
    let is_extended = authentications & EXTENDED != 0;
    Some(Capabilities {
        authentications: authentications & !EXTENDED,
        is_plus: is_extended && extended & 0x02 != 0,
        has_card_key: is_extended && status & 0x20 != 0,
    })
}

/// Opens a session with `card` and takes the privilege.
pub(super) async fn open(card: SocketAddr, config: &Config, shared: &Shared) -> Result<Session, DriverError> {
    let link = Link::to(card, shared, config.patience()?).await?;
    let capabilities =
        ask_capabilities(&link, config).await.map_err(|failure| failure.of(card, UNREACHABLE))?;
    let is_plus = match config.version {
        None => capabilities.is_plus,
        Some(Version::Legacy) => false,
        Some(Version::Plus) => true,
    };
    let (mut session, granted) = if is_plus {
        handshake::open(link, config, shared, capabilities).await?
    } else if config.cipher_suite.is_some() {
        return Err(DriverError::Refused(format!(
            "{card}: the card speaks IPMI 1.5 only, which has no cipher suites; leave cipher_suite out to allow that"
        )));
    } else {
        legacy::open(link, config, shared, capabilities).await?
    };
    take_privilege(&mut session, config, granted).await?;
    Ok(session)
}

async fn ask_capabilities(link: &Link, config: &Config) -> Result<Capabilities, Failure> {
    let command = message::GET_AUTHENTICATION_CAPABILITIES;
    let privilege = config.privileges().next().unwrap_or(Privilege::User);
    let asked = |flags| [THIS_CHANNEL | flags, privilege.number()];
    let data = match ask_outside(link, command, &asked(EXTENDED)).await {
        // A card of IPMI 1.5 may refuse the bit it does not know.
        Err(Failure::Completed { .. }) => ask_outside(link, command, &asked(0)).await?,
        other => other?,
    };
    let malformed = || DriverError::Malformed { what: command.name, input: super::reader::hex(&data) };
    Ok(capabilities(&data).ok_or_else(malformed)?)
}

/// Asks one of the few commands a card answers outside a session.
pub(super) async fn ask_outside(link: &Link, command: Command, data: &[u8]) -> Result<Vec<u8>, Failure> {
    let sequence = rand::random::<u8>() & 0x3F;
    let question = || packet::legacy(0, 0, 0, None, &message::request(command, 0, sequence, data));
    let answer = |datagram: &[u8]| {
        let Packet::Legacy { session: 0, payload, .. } = packet::parse(datagram)? else { return None };
        let answer = message::parse(payload)?;
        answer.is_to(command, sequence).then(|| (answer.completion, answer.data.to_vec()))
    };
    match link.ask(command.name, question, answer).await? {
        (super::completion::OK, data) => Ok(data),
        (code, _) => Err(Failure::Completed { what: command.name, code }),
    }
}

/// Raises the session from its initial "user" to what was granted, or to what the card gives below it.
async fn take_privilege(
    session: &mut Session,
    config: &Config,
    granted: Privilege,
) -> Result<(), DriverError> {
    let card = session.link.card;
    for privilege in config.privileges().filter(|privilege| *privilege <= granted) {
        match session.ask(message::SET_SESSION_PRIVILEGE, &[privilege.number()]).await {
            Ok(_) => return Ok(()),
            Err(Failure::Completed { code, .. }) if config.privilege.is_some() => {
                return Err(DriverError::Refused(format!(
                    "{card}: the card does not give the account {:?} the privilege {:?} ({code:#04x}); set a lower one",
                    config.username,
                    privilege.name()
                )));
            }
            // A lower one may do. What is left at the end is the "user" each session begins with.
            Err(Failure::Completed { .. }) => {}
            Err(failure) => return Err(failure.of(card, "the session was granted and then silent")),
        }
    }
    Ok(())
}

/// Every parser here, for fuzzing.
pub(super) fn parse_all(bytes: &[u8]) {
    _ = capabilities(bytes);
}

#[cfg(test)]
mod tests;
