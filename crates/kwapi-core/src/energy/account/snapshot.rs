//! An account as bytes, for whoever keeps it on disk. Each version ever written is read.
//!
//! The first byte is the version, the rest is the account in postcard's encoding. Bytes of version 2 came without it: the
//! file they were in named the version (`kwapi accounts 2`).

mod version_2;

use super::Account;
use super::missing::Missing;

/// The version [`Account::encode`] writes…
const VERSION: u8 = 3;
/// …but where messages are missing below a run's window: after the account follow those of each run.
const VERSION_MISSING: u8 = 4;

/// Bytes that are no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They were written by a later version of the program.
    #[error("unsupported account version {0}")]
    Later(u8),
    /// They are damaged.
    #[error("corrupt account")]
    Damaged,
}

impl Account {
    /// Appends the account, less what is known only to this process (when its publisher last sent).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let has_missing = self.runs.iter().any(|run| run.missing.is_some());
        out.push(if has_missing { VERSION_MISSING } else { VERSION });
        // Into a vector all goes: there is no error to be had.
        if let Ok(longer) = postcard::to_extend(self, std::mem::take(out)) {
            *out = longer;
        }
        let missing: Vec<_> = self.runs.iter().map(|run| &run.missing).collect();
        if has_missing && let Ok(longer) = postcard::to_extend(&missing, std::mem::take(out)) {
            *out = longer;
        }
    }

    /// Reads what [`Account::encode`] of this or an earlier version wrote. Call [`Account::resume`] before the first
    /// credit.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let (&version, rest) = bytes.split_first().ok_or(SnapshotError::Damaged)?;
        match version {
            VERSION => whole(rest).and_then(Self::within_bounds).map(Self::in_milliseconds),
            VERSION_MISSING => Self::decode_with_missing(rest),
            2 => Self::decode_version_2(rest),
            0 | 1 => Err(SnapshotError::Damaged),
            later => Err(SnapshotError::Later(later)),
        }
    }

    fn decode_with_missing(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let (mut account, rest): (Self, _) =
            postcard::take_from_bytes(bytes).map_err(|_| SnapshotError::Damaged)?;
        let missing: Vec<Option<Box<Missing>>> = whole(rest)?;
        if missing.len() != account.runs.len() {
            return Err(SnapshotError::Damaged);
        }
        for (run, missing) in account.runs.iter_mut().zip(missing) {
            if missing.as_ref().is_some_and(|missing| !missing.is_within_bounds()) {
                return Err(SnapshotError::Damaged);
            }
            run.missing = missing;
        }
        account.within_bounds().map(Self::in_milliseconds)
    }

    /// Earlier programs kept covered time in microseconds.
    fn in_milliseconds(mut self) -> Self {
        if let Some(past) = &mut self.past {
            past.sum.coverage.cut();
        }
        self
    }

    fn within_bounds(self) -> Result<Self, SnapshotError> {
        let has_room = self.past.as_ref().is_none_or(|past| past.sum.coverage.is_within_bounds());
        if has_room && self.runs.len() <= super::RUNS_MAX { Ok(self) } else { Err(SnapshotError::Damaged) }
    }

    /// Reads an account as it stands in a file of `kwapi accounts 2`, after the probe's id.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`].
    pub fn decode_version_2(bytes: &[u8]) -> Result<Self, SnapshotError> {
        use version_2::{AccountVersion2, OtherPublisher};
        whole::<AccountVersion2<OtherPublisher>>(bytes).map(Self::from).and_then(Self::within_bounds)
    }

    /// Reads an account as it stands in a file of `kwapi accounts 1`, after the probe's id.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`].
    pub fn decode_version_1(bytes: &[u8]) -> Result<Self, SnapshotError> {
        use version_2::{AccountVersion2, OtherPublisher, OtherPublisher1};
        // Its last programs wrote of a rival what those of version 2 do.
        let early = |_| whole::<AccountVersion2<OtherPublisher1>>(bytes).map(Self::from);
        let mut account = whole::<AccountVersion2<OtherPublisher>>(bytes).map(Self::from).or_else(early)?;
        if let Some(past) = &mut account.past {
            past.origin = past.since; // Unknown time was what is left.
        }
        account.within_bounds()
    }
}

/// A value that takes up all of `bytes`.
fn whole<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, SnapshotError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(SnapshotError::Damaged),
    }
}

#[cfg(test)]
mod tests;
