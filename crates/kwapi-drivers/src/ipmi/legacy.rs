//! Opens a session of IPMI 1.5, for cards that support nothing newer.
//!
//! The packets are signed, not encrypted. A password is sent in clear, or none at all, only if the configuration
//! enables it: which version and which authentication a card has is stated in a datagram that anyone can forge.
//!
//! Source: IPMI 2.0 rev. 1.1, 13.14 (session activation), 22.16, 22.17.

use std::sync::atomic::Ordering;

use super::config::{IpmiConfig, LegacyAuthentication, Privilege};
use super::link::{Failure, Link};
use super::message::{self, ACTIVATE_SESSION, GET_SESSION_CHALLENGE};
use super::outside::{Capabilities, exchange_outside};
use super::reader::ByteReader;
use super::session::{RmcpSession, Seal};
use super::shared::IpmiShared;
use crate::driver::DriverError;

/// Activations without an answer in a row, from which on silence is taken for a wrong password.
const SILENCES_MAX: u8 = 2;

/// The card's answer to Activate Session: 22.17.
#[derive(Debug, PartialEq, Eq)]
struct Activation {
    /// For the rest of the session; 0 where the card does without signing each packet.
    authentication: u8,
    session: u32,
    /// The first sequence number the card expects of us.
    sequence: u32,
}

fn activation(data: &[u8]) -> Option<Activation> {
    let mut reader = ByteReader::new(data);
    Some(Activation { authentication: reader.u8()? & 0x0F, session: reader.u32()?, sequence: reader.u32()? })
}

pub(super) async fn open(
    link: Link,
    config: &IpmiConfig,
    shared: &IpmiShared,
    capabilities: Capabilities,
) -> Result<(RmcpSession, Privilege), DriverError> {
    let card = link.card;
    let seal = seal(card, config, capabilities)?;
    let memory = shared.memory(card);
    let mut last = None;
    for privilege in config.privileges() {
        match activate(&link, config, &seal, privilege).await {
            Ok(activation) => {
                memory.lock().silences = 0;
                let seal = if activation.authentication == 0 { Seal::Bare } else { seal };
                link.inbox.legacy.store(activation.session, Ordering::Relaxed);
                let sequence = activation.sequence.wrapping_sub(1);
                return Ok((RmcpSession::new(link, seal, activation.session, sequence), privilege));
            }
            // "Requested maximum privilege level exceeds user or channel limit": 22.17.
            Err(Failure::Completed { what, code: code @ 0x86 }) => {
                last = Some(Failure::Completed { what, code });
            }
            Err(failure) => return Err(explain(failure, &link, config, &mut memory.lock().silences)),
        }
    }
    let message = format!("{card}: user {:?} has no privilege on LAN", config.username);
    Err(last.map_or(DriverError::Refused(message), |failure| failure.of(card, "")))
}

fn explain(failure: Failure, link: &Link, config: &IpmiConfig, silences: &mut u8) -> DriverError {
    let (card, user) = (link.card, &config.username);
    match failure {
        // 22.16: invalid user name; null user name not enabled.
        Failure::Completed { what, code: code @ (0x81 | 0x82) } if what == GET_SESSION_CHALLENGE.name => {
            DriverError::Refused(format!("{card}: unknown user {user:?} ({code:#04x})"))
        }
        // 22.17: no session slot available; none for this user; none at this privilege.
        Failure::Completed { what, code: 0x81..=0x83 } if what == ACTIVATE_SESSION.name => {
            DriverError::Busy(format!("{card}: no free session on the BMC"))
        }
        Failure::Completed { what, code } if what == ACTIVATE_SESSION.name => DriverError::Refused(format!(
            "{card}: {what} rejected for user {user:?} ({code:#04x}); check the password"
        )),
        Failure::Unanswered(unanswered) if unanswered.what == ACTIVATE_SESSION.name => {
            *silences = silences.saturating_add(1);
            if *silences >= SILENCES_MAX {
                DriverError::Refused(format!(
                    "{card}: no response to Activate Session for user {user:?}; check the password (IPMI 1.5 BMCs do not respond to a wrong one)"
                ))
            } else {
                Failure::Unanswered(unanswered)
                    .of(card, "IPMI 1.5 BMCs do not respond to a wrong password either")
            }
        }
        failure => failure.of(card, "the BMC stopped responding while the session was being opened"),
    }
}

/// How the session will be authenticated.
fn seal(
    card: std::net::SocketAddr,
    config: &IpmiConfig,
    capabilities: Capabilities,
) -> Result<Seal, DriverError> {
    let password = padded(config.password.expose().as_bytes());
    let (seal, name) = match (config.legacy_authentication, password) {
        (LegacyAuthentication::None, _) => (Seal::Bare, "none"),
        (LegacyAuthentication::Md5, Some(password)) => (Seal::Md5(password), "md5"),
        (LegacyAuthentication::Password, Some(password)) => (Seal::Password(password), "password"),
        (LegacyAuthentication::Md5 | LegacyAuthentication::Password, None) => {
            return Err(DriverError::Refused(format!(
                "{card}: password too long; IPMI 1.5 allows at most 16 bytes"
            )));
        }
    };
    if capabilities.authentications & 1 << seal.authentication() == 0 {
        return Err(DriverError::Refused(format!(
            "{card}: the BMC (IPMI 1.5) does not support authentication {name:?} (supported types {:#04x}); enable MD5 on it, or set legacy_authentication to \"password\" or \"none\", which anyone on the network can read or spoof",
            capabilities.authentications
        )));
    }
    Ok(seal)
}

/// A name or password of IPMI 1.5: 16 bytes, filled up with zeros.
fn padded(text: &[u8]) -> Option<[u8; 16]> {
    let mut field = [0; 16];
    field.get_mut(..text.len())?.copy_from_slice(text);
    Some(field)
}

async fn activate(
    link: &Link,
    config: &IpmiConfig,
    seal: &Seal,
    privilege: Privilege,
) -> Result<Activation, Failure> {
    let malformed = |what, data: &[u8]| DriverError::Malformed { what, input: super::reader::hex(data) };
    let user = padded(config.username.as_bytes()).ok_or_else(|| {
        DriverError::Refused("user name too long; IPMI 1.5 allows at most 16 bytes".to_owned())
    })?;
    let mut request = vec![seal.authentication()];
    request.extend(user);
    let data = exchange_outside(link, GET_SESSION_CHALLENGE, &request).await?;
    let mut reader = ByteReader::new(&data);
    let (Some(temporary), Some(challenge)) = (reader.u32(), reader.array::<16>()) else {
        return Err(malformed(GET_SESSION_CHALLENGE.name, &data).into());
    };

    // The answer comes under the temporary id.
    link.inbox.legacy.store(temporary, Ordering::Relaxed);
    let mut request = vec![seal.authentication(), privilege.number()];
    request.extend(challenge);
    // The card's packets count from here; any number but 0 will do.
    request.extend((rand::random::<u32>() | 1).to_le_bytes());
    let sequence = 1;
    let message = message::request(ACTIVATE_SESSION, 0, sequence, &request);
    let question = || seal.packet(temporary, 0, &message);
    let answer = |datagram: &[u8]| {
        let (_, message) = seal.open(datagram, link.inbox.console, temporary)?;
        let answer = message::parse(&message)?;
        answer.is_to(ACTIVATE_SESSION, sequence).then(|| (answer.completion, answer.data.to_vec()))
    };
    // Once: each sending of a wrong password counts towards the card's lock.
    match link.exchange_once(ACTIVATE_SESSION.name, question, answer).await? {
        (super::completion::OK, data) => {
            Ok(activation(&data).ok_or_else(|| malformed(ACTIVATE_SESSION.name, &data))?)
        }
        (code, _) => Err(Failure::Completed { what: ACTIVATE_SESSION.name, code }),
    }
}

/// Every parser here, for fuzzing.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn parse_all(bytes: &[u8]) {
    _ = activation(bytes);
}

#[cfg(test)]
mod tests;
