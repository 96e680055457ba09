//! Devices of this machine that cannot be opened.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::DriverError;

/// Linux's `EPERM`: for a device file, a service manager's or a container's list of devices does not have it. Its mode and owner
/// are `EACCES` (errno(3), cgroups(7)).
const EPERM: i32 = 1;

/// Why a serial line was not opened, and what is to be done; `what` is at its other end (`meter`).
pub(crate) fn cannot_open(device: &Path, what: &str, error: &io::Error) -> DriverError {
    let device = device.display();
    match error.kind() {
        ErrorKind::PermissionDenied if error.raw_os_error() == Some(EPERM) => DriverError::Refused(format!(
            "{device}: not among the devices that this service may use; under systemd add DeviceAllow={device} rw to the unit \
             (systemctl edit), in a container --device {device}"
        )),
        ErrorKind::PermissionDenied => DriverError::Refused(format!(
            "{device}: permission denied; add the user that runs kwapi to the group that owns it (often dialout)"
        )),
        // One that is not plugged in yet: it is tried again.
        kind => DriverError::Link(io::Error::new(
            kind,
            format!("{device}: {error}; check that the {what} is plugged in"),
        )),
    }
}

#[cfg(test)]
mod tests;
