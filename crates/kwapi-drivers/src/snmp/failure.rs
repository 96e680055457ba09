//! From the protocol library's errors to what the driver manager does next, in an operator's words.

use async_snmp::v3::ReportStatus;
use async_snmp::{Error, ErrorStatus};

use crate::driver::DriverError;

use super::config::{SnmpConfig, SnmpVersion};

/// Which agent was queried, for every message.
#[derive(Clone, Debug)]
pub(super) struct AgentContext {
    /// `10.0.0.7:161`
    pub address: String,
    /// Seconds a request may take.
    pub timeout_seconds: f64,
    /// Which keys the advice is about.
    pub version: SnmpVersion,
    /// The user of version 3.
    pub user: String,
}

impl AgentContext {
    pub(super) fn of(config: &SnmpConfig) -> Self {
        Self {
            address: config.address(),
            timeout_seconds: config.timeout_seconds,
            version: config.version(),
            user: config.user.clone().unwrap_or_default(),
        }
    }

    /// Sorts an error by its remedy. `what` is what was requested: `48 objects`; `has_answered`, whether the agent did
    /// so before, to anything.
    pub(super) fn failed(&self, what: &str, error: &Error, has_answered: bool) -> DriverError {
        let Self { address, timeout_seconds, user, .. } = self;
        match error.exchange_source() {
            Error::Timeout { .. } if has_answered => DriverError::link(format!(
                "{address}: timed out after {timeout_seconds} s ({what}); the agent has responded before: if it is only slow, raise `timeout_seconds` and set `retransmits = 0`"
            )),
            Error::Timeout { .. } | Error::ConstructionTimeout { .. } => DriverError::link(format!(
                "{address}: timed out after {timeout_seconds} s ({what}); check the address, {} and the agent's access list",
                match self.version {
                    SnmpVersion::V1 | SnmpVersion::V2c => "the community",
                    SnmpVersion::V3 => "the passwords",
                }
            )),
            Error::Report { status, .. } => self.reported(what, status),
            Error::Auth { .. } => DriverError::Refused(format!(
                "{address}: response to user {user:?} failed authentication ({what}); check auth_protocol and auth_password"
            )),
            Error::Privacy(error) => {
                DriverError::Refused(format!("{address}: {error}; check privacy_protocol"))
            }
            Error::Snmp {
                status: status @ (ErrorStatus::AuthorizationError | ErrorStatus::NoAccess),
                ..
            } => DriverError::Refused(format!(
                "{address}: {status} ({what}); check the agent's access list and view{}",
                match self.version {
                    SnmpVersion::V1 | SnmpVersion::V2c => "",
                    SnmpVersion::V3 => ", auth_protocol and privacy_protocol",
                }
            )),
            Error::Snmp { status, index, .. } => DriverError::Malformed {
                what: "answer",
                input: format!("{address}: {status} at object {index} ({what})"),
            },
            Error::Config(message) => DriverError::link(format!("{address}: {message}; check host")),
            Error::InvalidMessage(_) | Error::InvalidOid(_) => {
                DriverError::Refused(format!("{address}: invalid request ({what}): {error}"))
            }
            Error::Network { source, .. } => {
                DriverError::link(format!("{address}: unreachable ({what}): {source}"))
            }
            error => match error.kind() {
                async_snmp::ErrorKind::Decode
                | async_snmp::ErrorKind::MalformedResponse
                | async_snmp::ErrorKind::ResponseShape
                | async_snmp::ErrorKind::WalkAborted => DriverError::Malformed {
                    what: "answer",
                    input: truncated(&format!("{address}: {error} ({what})")),
                },
                _ => DriverError::link(truncated(&format!("{address}: {error} ({what})"))),
            },
        }
    }

    fn reported(&self, what: &str, status: &ReportStatus) -> DriverError {
        let Self { address, user, .. } = self;
        let advice = match status {
            ReportStatus::UnknownUserName { .. } => "unknown user name; check user",
            ReportStatus::WrongDigest { .. } => {
                "authentication failed; check auth_protocol and auth_password"
            }
            ReportStatus::DecryptionError { .. } => {
                "decryption failed; check privacy_protocol and privacy_password"
            }
            ReportStatus::UnsupportedSecurityLevel { .. } => {
                "unsupported security level; check auth_protocol and privacy_protocol"
            }
            ReportStatus::NotInTimeWindow { .. } => {
                return DriverError::link(format!("{address}: not in time window ({what})"));
            }
            status => {
                return DriverError::link(format!("{address}: report received: {status} ({what})"));
            }
        };
        DriverError::Refused(format!("{address}: user {user:?} ({what}): {advice}"))
    }
}

/// An error's text is cut here: it may quote what the agent sent.
const MESSAGE_CHARS_MAX: usize = 300;

fn truncated(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS_MAX).collect()
}
