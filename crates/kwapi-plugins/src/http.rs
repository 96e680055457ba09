//! What all of Kwapi's HTTP servers share: listening, TLS, bounds, the names a server answers to, errors in one shape,
//! conditional answers, cross-origin rules, counts and the access log.

mod conditional;
mod connection;
mod cors;
mod counts;
mod error;
mod gate;
mod host;
mod listen;
mod log;
mod seats;
mod tls;

pub use conditional::{is_not_modified, not_modified};
pub use cors::{Cors, allow_origins};
pub use counts::Routes;
pub use error::{HttpError, not_found};
pub use host::{HostName, Hosts};
pub use listen::{Listen, Listener, ServeError};
pub use seats::Seats;
pub use tls::{Tls, Validity};
