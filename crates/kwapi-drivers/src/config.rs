//! What a meter's configuration is to its driver: the keys there are, the files they name, and what is wrong with one.

mod error;
mod key;
mod typed;

pub use error::{ConfigError, Problem, Step};
pub use key::{DriverKey, KeyDefault, Names};
pub use typed::typed;

#[cfg(test)]
pub(crate) use typed::keys_of;
