//! Opens a session: queries which version the card supports, proves the password, takes the privilege.
//!
//! Source: IPMI 2.0 rev. 1.1, 13.15 (RMCP+ session activation), 22.13, 22.18.

use std::net::SocketAddr;

use super::config::{IpmiConfig, IpmiVersion, Privilege};
use super::handshake;
use super::legacy;
use super::link::{Failure, Link};
use super::message;
use super::outside::query_capabilities;
use super::session::RmcpSession;
use super::shared::IpmiShared;
use crate::driver::DriverError;

const UNREACHABLE: &str =
    "check the address, that the BMC is on, that IPMI over LAN is enabled and that no firewall blocks UDP";

/// Opens a session with `card` and takes the privilege.
pub(super) async fn open(
    card: SocketAddr,
    config: &IpmiConfig,
    shared: &IpmiShared,
) -> Result<RmcpSession, DriverError> {
    let link = Link::to(card, &shared.ports, config.patience()?).await?;
    let capabilities =
        query_capabilities(&link, config).await.map_err(|failure| failure.of(card, UNREACHABLE))?;
    let is_plus = match config.version {
        None => capabilities.is_plus,
        Some(IpmiVersion::Legacy) => false,
        Some(IpmiVersion::Plus) => true,
    };
    let (mut session, granted) = if is_plus {
        handshake::open(card, config, shared, capabilities).await?
    } else if config.cipher_suite.is_some() {
        return Err(DriverError::Refused(format!(
            "{card}: the BMC supports IPMI 1.5 only, which has no cipher suites; remove cipher_suite to allow that"
        )));
    } else {
        legacy::open(link, config, shared, capabilities).await?
    };
    take_privilege(&mut session, config, granted).await?;
    Ok(session)
}

/// Raises the session from its initial "user" to what was granted, or to what the card gives below it.
async fn take_privilege(
    session: &mut RmcpSession,
    config: &IpmiConfig,
    granted: Privilege,
) -> Result<(), DriverError> {
    let card = session.link.card;
    for privilege in config.privileges().filter(|privilege| *privilege <= granted) {
        match session.request(message::SET_SESSION_PRIVILEGE, &[privilege.number()]).await {
            Ok(_) => return Ok(()),
            Err(Failure::Completed { code, .. }) if config.privilege.is_some() => {
                return Err(DriverError::Refused(format!(
                    "{card}: the BMC does not grant user {:?} privilege {:?} ({code:#04x}); set a lower one",
                    config.username,
                    privilege.name()
                )));
            }
            // A lower one may do. What is left at the end is the "user" each session begins with.
            Err(Failure::Completed { .. }) => {}
            Err(failure) => {
                return Err(failure.of(card, "the BMC stopped responding after granting the session"));
            }
        }
    }
    Ok(())
}
