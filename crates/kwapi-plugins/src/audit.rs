//! The audit log: who logged in, who was refused, which keys changed, which bills were closed. A line of JSON each, in a file
//! that is only appended to.
//!
//! The file is opened for each line, so that it can be rotated under us. A line is one write to a file opened for appending:
//! several processes may share it.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use kwapi_core::{Timestamp, WallClock};
use parking_lot::Mutex;
use serde::Serialize;

/// Refusals recorded in a minute. Full: they are counted, and the count is recorded with the next one after it.
const REFUSALS_MAX: u32 = 120;
/// Of a name that a stranger gave, so many characters are recorded.
const NAME_CHARS_MAX: usize = 100;

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AuditEvent {
    /// Somebody logged in at the pages.
    Login {
        /// The token's name, or the user's at Keystone.
        who: String,
        /// Their address.
        from: IpAddr,
        /// `token` or `password`.
        by: &'static str,
    },
    /// Somebody logged out.
    Logout {
        /// Who it was.
        who: String,
        /// Their address.
        from: IpAddr,
    },
    /// Somebody was not let in.
    Refused {
        /// The name they gave, if any.
        who: String,
        /// Their address.
        from: IpAddr,
        /// Why not.
        why: &'static str,
    },
    /// More were refused than are recorded one by one.
    RefusalsLeftOut {
        /// How many.
        count: u32,
    },
    /// A process began with this key, or took it up or dropped it in a reload.
    Key {
        /// `present` (at the start), `added`, `changed` or `removed`.
        change: &'static str,
        /// What it is and its name: `token grafana`.
        key: String,
        /// Shows whether two are the same; nothing of the key can be derived from it.
        fingerprint: String,
    },
    /// A bill was closed, or corrected.
    BillClosed {
        /// Who did it.
        who: String,
        /// Which bill.
        bill: String,
        /// The hash of its document.
        hash: String,
    },
}

#[derive(Serialize)]
struct AuditLine<'a> {
    at: String,
    #[serde(flatten)]
    event: &'a AuditEvent,
}

/// The file. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct AuditLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    wall: WallClock,
    refusals: Mutex<Refusals>,
}

/// What was refused in a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Refusals {
    minute: u64,
    recorded: u32,
    left_out: u32,
}

impl AuditLog {
    /// The log in `file`, which need not be there yet; it will be for its owner alone.
    pub fn new(file: PathBuf, wall: WallClock) -> Self {
        Self(Arc::new(Inner { file, wall, refusals: Mutex::default() }))
    }

    /// Appends what happened. May wait for the disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&self, event: &AuditEvent) -> io::Result<()> {
        let now = self.0.wall.now();
        let mut lines = Vec::new();
        if matches!(event, AuditEvent::Refused { .. }) {
            let Some(left_out) = self.0.refusals.lock().admit(now.seconds() / 60) else { return Ok(()) };
            if left_out > 0 {
                line(&mut lines, now, &AuditEvent::RefusalsLeftOut { count: left_out })?;
            }
        }
        line(&mut lines, now, event)?;
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.0.file)?;
        file.write_all(&lines)
    }

    /// Appends what happened, on a thread that may wait for the disk. That it could not be is logged.
    pub(crate) async fn record(&self, event: AuditEvent) {
        let log = self.clone();
        let appended = tokio::task::spawn_blocking(move || log.append(&event));
        if let Ok(Err(error)) = appended.await {
            tracing::error!(file = %self.0.file.display(), %error, "cannot write the audit log");
        }
    }
}

impl AuditEvent {
    /// Somebody who called themselves `who` was not let in.
    pub(crate) fn refused(who: &str, from: IpAddr, why: &'static str) -> Self {
        Self::Refused { who: who.chars().take(NAME_CHARS_MAX).collect(), from, why }
    }
}

impl Refusals {
    /// Whether one more is recorded in this minute, and how many were not before it.
    fn admit(&mut self, minute: u64) -> Option<u32> {
        if self.minute != minute {
            (self.minute, self.recorded) = (minute, 0);
        }
        if self.recorded >= REFUSALS_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.recorded += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

fn line(lines: &mut Vec<u8>, now: Timestamp, event: &AuditEvent) -> io::Result<()> {
    let micros = i64::try_from(now.micros()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX).to_string();
    serde_json::to_writer(&mut *lines, &AuditLine { at, event })?;
    lines.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests;
