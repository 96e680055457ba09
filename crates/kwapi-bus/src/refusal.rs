//! Why a message went no further, and how often.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a message was refused. One cause is one time series: the names never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Not exactly two frames, or a batch that cannot be divided into its frames.
    #[error("frames")]
    Frames,
    /// More bytes or more members than any honest message has.
    #[error("too_large")]
    TooLarge,
    /// A frame is no UTF-8.
    #[error("utf8")]
    Utf8,
    /// The payload is no JSON object.
    #[error("json")]
    Json,
    /// Nested deeper than any honest message.
    #[error("depth")]
    Depth,
    /// One member twice: readers would disagree on which counts.
    #[error("duplicate_member")]
    DuplicateMember,
    /// No signature where one is required.
    #[error("signature_missing")]
    SignatureMissing,
    /// Signed with a key this endpoint does not have.
    #[error("key_unknown")]
    KeyUnknown,
    /// The signature is not that of this message under this key, nor of this form.
    #[error("signature_wrong")]
    SignatureWrong,
    /// The key may not sign for this probe.
    #[error("key_scope")]
    KeyScope,
    /// The key was not valid yet, or no longer, when it was measured.
    #[error("key_validity")]
    KeyValidity,
    /// `probe_id` is absent or no probe id.
    #[error("probe_id")]
    ProbeId,
    /// The topic is not `probe_id` and a dot.
    #[error("topic_mismatch")]
    TopicMismatch,
    /// `w` is absent, no number, not finite, negative or beyond all measure.
    #[error("power")]
    Power,
    /// Another member is missing, of the wrong type or out of range.
    #[error("member")]
    Member,
    /// Measured longer ago than the transport allows.
    #[error("stale")]
    Stale,
    /// Measured more than a minute from now.
    #[error("future")]
    Future,
    /// It has no stamp (the original's), our own wall clock is known to be wrong, and no publisher's clock can stand
    /// in.
    #[error("clock")]
    Clock,
}

impl Refusal {
    /// Whether another key may verify the message: none does that is accepted.
    pub(crate) fn is_of_key(self) -> bool {
        matches!(self, Self::KeyUnknown | Self::SignatureWrong)
    }

    /// All causes, in the order a message meets them.
    pub const ALL: [Self; 18] = [
        Self::Frames,
        Self::TooLarge,
        Self::Utf8,
        Self::Json,
        Self::Depth,
        Self::DuplicateMember,
        Self::SignatureMissing,
        Self::KeyUnknown,
        Self::SignatureWrong,
        Self::KeyScope,
        Self::KeyValidity,
        Self::ProbeId,
        Self::TopicMismatch,
        Self::Power,
        Self::Member,
        Self::Stale,
        Self::Future,
        Self::Clock,
    ];

    /// Its name among the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::TooLarge => "too_large",
            Self::Utf8 => "utf8",
            Self::Json => "json",
            Self::Depth => "depth",
            Self::DuplicateMember => "duplicate_member",
            Self::SignatureMissing => "signature_missing",
            Self::KeyUnknown => "key_unknown",
            Self::SignatureWrong => "signature_wrong",
            Self::KeyScope => "key_scope",
            Self::KeyValidity => "key_validity",
            Self::ProbeId => "probe_id",
            Self::TopicMismatch => "topic_mismatch",
            Self::Power => "power",
            Self::Member => "member",
            Self::Stale => "stale",
            Self::Future => "future",
            Self::Clock => "clock",
        }
    }
}

/// How often each cause was met.
#[derive(Debug, Default)]
pub struct RefusalCounters([AtomicU64; Refusal::ALL.len()]);

impl RefusalCounters {
    /// Counts one.
    pub fn count(&self, cause: Refusal) {
        if let Some(counter) = self.0.get(cause as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often `cause` was met.
    pub fn of(&self, cause: Refusal) -> u64 {
        self.0.get(cause as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Every cause and how often it was met.
    pub fn snapshot(&self) -> Vec<(Refusal, u64)> {
        Refusal::ALL.iter().map(|cause| (*cause, self.of(*cause))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_own_counter_and_one_name() {
        let counters = RefusalCounters::default();
        for (times, cause) in Refusal::ALL.iter().enumerate() {
            (0..times).for_each(|_| counters.count(*cause));
            assert_eq!(cause.to_string(), cause.name());
        }
        for (times, (cause, count)) in counters.snapshot().into_iter().enumerate() {
            assert_eq!(count, times as u64, "{cause}");
        }
    }
}
