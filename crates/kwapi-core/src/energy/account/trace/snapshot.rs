//! A trace as bytes, for whoever keeps it on disk: a byte with the version, then postcard's encoding. The account in it has
//! a version of its own.

use serde::{Deserialize, Serialize};

use super::{Account, Kept, Trace};
use crate::SnapshotError;

/// The version [`Trace::encode`] writes.
const VERSION: u8 = 1;

#[derive(Debug, Deserialize, Serialize)]
struct Encoded {
    account: Vec<u8>,
    beside_holes: Vec<Kept>,
    register: Option<[i64; 3]>,
    reach: u64,
}

impl Trace {
    /// Appends the trace.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut account = Vec::new();
        self.account.encode(&mut account);
        let (beside_holes, register, reach) = (self.beside_holes.clone(), self.register, self.reach);
        out.push(VERSION);
        // Into a vector all goes: there is no error to be had.
        if let Ok(bytes) = postcard::to_allocvec(&Encoded { account, beside_holes, register, reach }) {
            out.extend(bytes);
        }
    }

    /// Reads what [`Trace::encode`] wrote.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let (&version, rest) = bytes.split_first().ok_or(SnapshotError::Damaged)?;
        match version {
            VERSION => {}
            0 => return Err(SnapshotError::Damaged),
            later => return Err(SnapshotError::Later(later)),
        }
        let Ok((encoded, [])) = postcard::take_from_bytes::<Encoded>(rest) else {
            return Err(SnapshotError::Damaged);
        };
        let Encoded { account, beside_holes, register, reach } = encoded;
        Ok(Self { account: Account::decode(&account)?, beside_holes, register, reach })
    }
}
