//! Processes whose wall clock shows what a test sets, by libfaketime; their monotonic clock is the machine's.

use std::path::PathBuf;
use std::process::Command;

/// The library that `faketime` loads into a process with threads.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file())
}

/// Has a program begin at `instant` (`2031-03-11 21:59:40`, UTC) by its own clock.
pub(crate) fn begin_at<'a>(command: &'a mut Command, instant: &str) -> &'a mut Command {
    command.env("LD_PRELOAD", library().unwrap()).env("FAKETIME", format!("@{instant}")).env("TZ", "UTC");
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

/// What libfaketime leaves in shared memory when the process with this id has ended.
pub(crate) struct FakedClock(pub(crate) u32);

impl Drop for FakedClock {
    fn drop(&mut self) {
        for name in ["faketime_shm_", "sem.faketime_sem_"] {
            _ = std::fs::remove_file(format!("/dev/shm/{name}{}", self.0));
        }
    }
}
