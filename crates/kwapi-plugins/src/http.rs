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
mod origin;
pub(crate) mod percent;
mod routes;
mod seats;
mod serve_error;
mod streamed;
mod tls;

use axum::http::HeaderName;

pub(crate) use conditional::{is_not_modified, not_modified};
pub use cors::Cors;
pub(crate) use cors::allow_origins;
pub use error::HttpError;
pub(crate) use error::nothing_here;
pub use host::{HostName, Hosts};
pub use listen::{Listen, Listener};
pub(crate) use origin::{ClientConnection, is_from_another_site};
pub(crate) use routes::{FORM, READ_AND_FORM, RouteMatch};
pub use routes::{READ, Route, Routes, ServerRoutes};
pub use seats::Seats;
pub use serve_error::ServeError;
pub(crate) use streamed::{AnswerTurns, StreamHead, StreamSink};
pub use tls::{ServerTls, Validity};

/// The position in the journal that an answer is true at.
pub const POSITION: HeaderName = HeaderName::from_static("kwapi-position");
