//! Why an endpoint cannot be opened.

use crate::key::KeyError;

/// Why an endpoint cannot be opened. All of it is known when a component starts.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Another process, or another endpoint of this one, is bound there.
    #[error("{url}: address in use")]
    AddressInUse {
        /// The endpoint.
        url: String,
    },
    /// The configuration of the endpoint makes no sense.
    #[error("{url}: {reason}")]
    Config {
        /// The endpoint.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key cannot be used.
    #[error("{url}")]
    Key {
        /// The endpoint.
        url: String,
        /// What is wrong with the key.
        source: KeyError,
    },
    /// A NATS server cannot be reached, or does not do what was requested.
    #[error("{url}: {reason}")]
    Nats {
        /// The endpoint.
        url: String,
        /// Why.
        reason: String,
    },
    /// The system call failed.
    #[error("{url}")]
    System {
        /// The endpoint.
        url: String,
        /// The system's error.
        source: zmq::Error,
    },
    /// No thread could be started.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

impl BusError {
    pub(crate) fn config(url: &str, reason: impl Into<String>) -> Self {
        Self::Config { url: url.to_owned(), reason: reason.into() }
    }

    pub(crate) fn system(url: &str) -> impl Fn(zmq::Error) -> Self + Copy {
        move |source| Self::System { url: url.to_owned(), source }
    }
}
