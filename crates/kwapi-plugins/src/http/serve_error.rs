//! Why a server cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken.
    #[error("{address} is already in use{}", usual_resident(address.port()))]
    Occupied {
        /// Which one.
        address: SocketAddr,
    },
    /// The system refuses to listen there.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("{path}: {message}")]
    Tls {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

/// Who usually lives on a port of ours, for an operator who finds it taken.
pub(super) fn usual_resident(port: u16) -> &'static str {
    match port {
        5000 => " (5000 is also used by Keystone)",
        8080 => " (8080 is also used by Swift and many web servers)",
        _ => "",
    }
}
