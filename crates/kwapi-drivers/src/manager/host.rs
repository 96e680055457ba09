//! The clocks of the host, besides the wall clock: which boot it is, and for how long it has run, suspended time included.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// A name for each boot of a Linux host: *Documentation/admin-guide/sysctl/kernel.rst*, `random`.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A host's boot and the time since.
#[derive(Clone)]
pub struct Host {
    boottime: Arc<dyn Fn() -> Duration + Send + Sync>,
    boot: Arc<str>,
}

impl Host {
    /// The host this runs on (`CLOCK_BOOTTIME`).
    pub fn this() -> Self {
        // Without a name for the boot each process is taken for one of its own: then a stop is as long as the wall
        // clock shows.
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_else(|_| format!("process {}", std::process::id()));
        Self::new(boot.trim(), || {
            let time = clock_gettime(ClockId::Boottime);
            let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
            Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanoseconds)
        })
    }

    /// A host whose clock is read by `boottime`, in the boot called `boot`.
    pub fn new(boot: &str, boottime: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self { boottime: Arc::new(boottime), boot: boot.into() }
    }

    /// A boot that begins now, on tokio's clock.
    pub(super) fn of_runtime() -> Self {
        let began = Instant::now();
        Self::new("runtime", move || began.elapsed())
    }

    /// Time since the boot.
    pub(crate) fn boottime(&self) -> Duration {
        (self.boottime)()
    }

    /// The name of the boot.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("boot", &self.boot).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_boot_and_a_clock_that_runs() {
        let host = Host::this();
        assert!(!host.boot().is_empty() && host.boottime() > Duration::ZERO);
        assert_eq!(host.boot(), Host::this().boot());
    }
}
