//! What two instances compare before they report where accounts stand: a number for each bucket of probes. Where both
//! have the same, nothing of its probes is sent.
//!
//! A probe's bucket is FNV-1a, 64 bits, of its id, modulo the number of buckets, which the requester chooses. A
//! bucket's digest is the sum, modulo 2⁶⁴, of a number for each of its accounts: the first eight bytes, the least
//! first, of the SHA-256 of the id, a zero byte and [`Standing::constant`]. An account without that is in no digest,
//! and is sent each time.

use kwapi_core::{ProbeId, Standing};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The most buckets that are answered.
pub(super) const BUCKETS_MAX: usize = 4_096;
const BUCKETS_MIN: usize = 16;
/// A bucket is to have about so many probes: one that differs costs less than all digests.
const BUCKET_PROBES: usize = 128;

/// A digest for each bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digests(Vec<u64>);

impl Digests {
    /// Of no accounts, in as many buckets as so many probes are compared in.
    pub(super) fn of_probes(probes: usize) -> Self {
        let buckets = (probes / BUCKET_PROBES).next_power_of_two().clamp(BUCKETS_MIN, BUCKETS_MAX);
        Self(vec![0; buckets])
    }

    /// Of no accounts, in the same buckets.
    pub(super) fn empty(&self) -> Self {
        Self(vec![0; self.0.len()])
    }

    pub(super) fn is_in_bounds(&self) -> bool {
        (1..=BUCKETS_MAX).contains(&self.0.len())
    }

    /// Adds an account; whether it has something that can be compared at any message.
    pub(super) fn add(&mut self, probe: &ProbeId, standing: &Standing) -> bool {
        let Some(constant) = standing.constant() else { return false };
        let hash =
            Sha256::new().chain_update(probe.as_str()).chain_update([0]).chain_update(constant).finalize();
        let number = hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let bucket = self.bucket(probe);
        if let Some(sum) = self.0.get_mut(bucket) {
            *sum = sum.wrapping_add(number);
        }
        true
    }

    pub(super) fn bucket(&self, probe: &ProbeId) -> usize {
        let hash = probe.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        usize::try_from(hash % (self.0.len().max(1) as u64)).unwrap_or(0)
    }

    /// Whether a bucket has another digest in `other`, which has the same buckets.
    pub(super) fn differs(&self, other: &Self, bucket: usize) -> bool {
        self.0.get(bucket) != other.0.get(bucket)
    }
}

/// What was compared last with a peer: buckets that differ for good, such as those of an instance that subscribes to less, are
/// sent once.
#[derive(Debug, Default)]
pub(super) struct Compared(Option<(Digests, Vec<Option<u64>>)>);

impl Compared {
    /// The digests to send in a request, where `own` are those of the accounts here: of a bucket that has been
    /// compared, and is here as it was then, the peer's.
    pub(super) fn request(&self, own: &Digests) -> Digests {
        let Some((before, theirs)) = self.0.as_ref().filter(|(before, _)| before.0.len() == own.0.len())
        else {
            return own.clone();
        };
        let buckets = own.0.iter().zip(before.0.iter().zip(theirs));
        let requested = |(own, (before, theirs)): (&u64, (&u64, &Option<u64>))| match theirs {
            Some(theirs) if own == before => *theirs,
            _ => *own,
        };
        Digests(buckets.map(requested).collect())
    }

    /// Notes what came: the standings of buckets that differ from those `requested` with, of which some are `wanted`.
    pub(super) fn note<'a>(
        &mut self,
        own: Digests,
        requested: &Digests,
        standings: &[(ProbeId, Standing)],
        wanted: impl Iterator<Item = &'a ProbeId>,
    ) {
        let mut theirs = own.empty();
        let mut has_come = vec![false; own.0.len()];
        for (probe, standing) in standings {
            let (bucket, is_comparable) = (theirs.bucket(probe), theirs.add(probe, standing));
            if let Some(has_come) = has_come.get_mut(bucket) {
                *has_come |= is_comparable;
            }
        }
        let buckets = theirs.0.iter().zip(&has_come).zip(own.0.iter().zip(&requested.0));
        let kept = |((theirs, has_come), (own, requested)): ((&u64, &bool), (&u64, &u64))| {
            // Where nothing came, it is as requested: the same as here, or as it was compared before.
            if *has_come { Some(*theirs) } else { Some(*requested).filter(|requested| requested != own) }
        };
        let mut kept: Vec<Option<u64>> = buckets.map(kept).collect();
        for probe in wanted {
            if let Some(kept) = kept.get_mut(own.bucket(probe)) {
                *kept = None;
            }
        }
        self.0 = Some((own, kept));
    }
}

#[cfg(test)]
mod tests;
