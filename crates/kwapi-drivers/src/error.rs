//! Why a driver has no readings, by what is done about it.

use std::io;

use crate::config::ConfigError;

/// Why a driver has no readings at all, named for what the manager does about it.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The link failed. The session is dropped and reopened, with backoff.
    #[error("link lost: {0}")]
    Link(#[from] io::Error),

    /// Somebody is there, whose certificate is not trusted or with whom the TLS handshake fails. Treated as
    /// [`DriverError::Link`]; `kwapi discover` reports that instead of skipping it.
    #[error("link lost: {0}")]
    Untrusted(String),

    /// The device responded, but not sensibly. The session is kept; the readings are lost.
    #[error("malformed {what}: {input:?}")]
    Malformed {
        /// What was being read, in the words of the device's own manual.
        what: &'static str,
        /// The offending input, for the log: at most some hundred characters, never a secret.
        input: String,
    },

    /// The device is busy and reports that (IPMI 0xC0, HTTP 503). The session is kept; the next round tries again.
    #[error("busy: {0}")]
    Busy(String),

    /// The device, or the operator's configuration, refuses. Reopened at the slowest pace, since a BMC locks an
    /// account after a few wrong passwords. The message states what to try.
    #[error("refused: {0}")]
    Refused(String),

    /// A device of the driver's kind that requires a login, or another one. Treated as [`DriverError::Refused`];
    /// `kwapi discover` tries the credentials it has.
    #[error("refused: {0}")]
    Locked(String),

    /// A device of the driver's kind, from which nothing can be read as it is configured: it has no meter, or there are
    /// several to choose from. Treated as [`DriverError::Refused`]; `kwapi discover` reports that instead of skipping it.
    #[error("refused: {0}")]
    NothingToRead(String),
}

impl DriverError {
    /// What is wrong, without the word for what is done about it.
    pub(crate) fn into_message(self) -> String {
        match self {
            Self::Refused(message)
            | Self::Locked(message)
            | Self::NothingToRead(message)
            | Self::Untrusted(message)
            | Self::Busy(message) => message,
            Self::Link(error) => error.to_string(),
            error @ Self::Malformed { .. } => error.to_string(),
        }
    }

    /// The same error from a device that has not shown that it is of the driver's kind: whatever requires a login may
    /// be any web server, and is sent none.
    pub(crate) fn of_whoever_answers(self) -> Self {
        match self {
            Self::Locked(message) => Self::Refused(message),
            error => error,
        }
    }

    /// A link error in our own words: what was requested, from which host, and what happened.
    pub fn link(message: impl Into<String>) -> Self {
        Self::Link(io::Error::other(message.into()))
    }
}

/// Keys that are found wrong only when the meter is opened: a file has changed since they were checked.
impl From<ConfigError> for DriverError {
    fn from(error: ConfigError) -> Self {
        Self::Refused(error.to_string())
    }
}
