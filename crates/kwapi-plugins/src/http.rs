//! What all of Kwapi's HTTP servers share: listening, TLS, bounds, errors in one shape, conditional answers, cross-origin
//! rules and the access log.

mod conditional;
mod cors;
mod error;
mod listen;
mod log;

pub use conditional::{is_not_modified, not_modified};
pub use cors::{Cors, allow_origins};
pub use error::{HttpError, not_found};
pub use listen::{Listen, Listener, ServeError, Tls};
