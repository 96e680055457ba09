//! The library's errors, by `nvmlReturn_t`.

use std::ffi::c_int;

/// Why a call failed, as far as a caller does something else about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The library is not on this machine, or is no NVML.
    NoLibrary,
    /// The kernel has no NVIDIA driver loaded (9).
    NoDriver,
    /// The library is of another version than the driver in the kernel (18): it was updated, and not loaded again.
    VersionMismatch,
    /// This user may not (4).
    NoPermission,
    /// This GPU, or this library, does not have it (3, 13, and 2 of a field that it does not have).
    NotSupported,
    /// The GPU fell off the bus (15).
    Lost,
    /// The GPU has to be reset first (16).
    ResetRequired,
    /// Anything else: a timeout, out of memory, not initialised.
    Other,
}

impl ErrorCode {
    pub(crate) fn of(code: c_int) -> Self {
        match code {
            2 | 3 | 13 => Self::NotSupported,
            4 => Self::NoPermission,
            9 => Self::NoDriver,
            12 => Self::NoLibrary,
            15 => Self::Lost,
            16 => Self::ResetRequired,
            18 => Self::VersionMismatch,
            _ => Self::Other,
        }
    }
}

/// A call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure it is.
    pub code: ErrorCode,
    message: String,
}

impl Error {
    pub(crate) fn of(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The library is older than a call.
    pub(crate) fn missing(function: &'static str) -> Self {
        Self::of(ErrorCode::NotSupported, format!("this library has no {function}"))
    }

    /// Whether another call would return the same.
    pub(crate) fn is_of_the_gpu(&self) -> bool {
        match self.code {
            ErrorCode::Lost | ErrorCode::ResetRequired | ErrorCode::NoDriver | ErrorCode::NoPermission => {
                true
            }
            ErrorCode::NoLibrary
            | ErrorCode::VersionMismatch
            | ErrorCode::NotSupported
            | ErrorCode::Other => false,
        }
    }
}
