//! From the protocol library's errors to what the driver manager does next, in an operator's words.

use async_snmp::v3::ReportStatus;
use async_snmp::{Error, ErrorStatus};

use crate::driver::DriverError;

use super::config::{Config, Version};

/// Whom was asked, for every message.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `10.0.0.7:161`
    pub address: String,
    /// Seconds a request may take.
    pub timeout_seconds: f64,
    /// Which keys the advice is about.
    pub version: Version,
    /// The user of version 3.
    pub user: String,
}

impl Asked {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            address: config.address(),
            timeout_seconds: config.timeout_seconds,
            version: config.version(),
            user: config.user.clone().unwrap_or_default(),
        }
    }

    /// Sorts an error by its remedy. `what` says what was asked for: `48 objects`; `has_answered`, whether the agent did
    /// so before, to anything.
    pub(super) fn failed(&self, what: &str, error: &Error, has_answered: bool) -> DriverError {
        let Self { address, timeout_seconds, user, .. } = self;
        match error.exchange_source() {
            Error::Timeout { .. } if has_answered => DriverError::link(format!(
                "no answer from {address} in {timeout_seconds} s, asked for {what}; it has answered before: if it is up and slow, raise `timeout_seconds` and set `retransmits = 0`"
            )),
            Error::Timeout { .. } | Error::ConstructionTimeout { .. } => DriverError::link(format!(
                "no answer from {address} in {timeout_seconds} s, asked for {what}: check the address, {} and the agent's access list",
                match self.version {
                    Version::V1 | Version::V2c => "the community",
                    Version::V3 => "the passwords",
                }
            )),
            Error::Report { status, .. } => self.reported(what, status),
            Error::Auth { .. } => DriverError::Refused(format!(
                "{address} answered {what} for user {user:?} with a wrong signature: check auth_protocol and auth_password"
            )),
            Error::Privacy(error) => {
                DriverError::Refused(format!("{address}: {error}: check privacy_protocol"))
            }
            Error::Snmp {
                status: status @ (ErrorStatus::AuthorizationError | ErrorStatus::NoAccess),
                ..
            } => DriverError::Refused(format!(
                "{address} answered {what} with {status}: check the agent's access list and view{}",
                match self.version {
                    Version::V1 | Version::V2c => "",
                    Version::V3 => ", auth_protocol and privacy_protocol",
                }
            )),
            Error::Snmp { status, index, .. } => DriverError::Malformed {
                what: "answer",
                input: format!("{address}, asked for {what}: {status} at object {index}"),
            },
            Error::Config(message) => DriverError::link(format!("{address}: {message}: check host")),
            Error::InvalidMessage(_) | Error::InvalidOid(_) => {
                DriverError::Refused(format!("{address}: {what} cannot be asked for: {error}"))
            }
            Error::Network { source, .. } => {
                DriverError::link(format!("{address} cannot be reached, asked for {what}: {source}"))
            }
            error => match error.kind() {
                async_snmp::ErrorKind::Decode
                | async_snmp::ErrorKind::MalformedResponse
                | async_snmp::ErrorKind::ResponseShape
                | async_snmp::ErrorKind::WalkAborted => DriverError::Malformed {
                    what: "answer",
                    input: truncated(&format!("{address}, asked for {what}: {error}")),
                },
                _ => DriverError::link(truncated(&format!("{address}, asked for {what}: {error}"))),
            },
        }
    }

    fn reported(&self, what: &str, status: &ReportStatus) -> DriverError {
        let Self { address, user, .. } = self;
        let advice = match status {
            ReportStatus::UnknownUserName { .. } => "knows no such user: check user",
            ReportStatus::WrongDigest { .. } => {
                "finds the signature wrong: check auth_protocol and auth_password"
            }
            ReportStatus::DecryptionError { .. } => {
                "cannot decrypt: check privacy_protocol and privacy_password"
            }
            ReportStatus::UnsupportedSecurityLevel { .. } => {
                "wants this user signed or encrypted differently: check auth_protocol and privacy_protocol"
            }
            ReportStatus::NotInTimeWindow { .. } => {
                return DriverError::link(format!(
                    "{address} is out of step with our clock of it, asked for {what}"
                ));
            }
            status => {
                return DriverError::link(format!("{address} reports, asked for {what}: {status}"));
            }
        };
        DriverError::Refused(format!("{address}, user {user:?}, asked for {what}: the agent {advice}"))
    }
}

/// An error's text is cut here: it may quote what the agent sent.
const MESSAGE_CHARS_MAX: usize = 300;

fn truncated(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS_MAX).collect()
}
