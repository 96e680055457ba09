//! What a probe is, beside its measurement: a member of some of its messages, signed with them.
//!
//! ```text
//! "description":{"driver":"snmp","interval_ms":300000,"max_gap_ms":750000,"accuracy_percent":1.5,"labels":{"rack":"r1"}}
//! ```
//!
//! Whoever does not support the member ignores it, as any other (docs/adr/0048).

use kwapi_core::Description;

/// A longer one is refused, and sent with fewer labels.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 4_096;
/// The member's name.
pub(super) const DESCRIPTION_MEMBER: &str = "description";

/// Why a description went no further; its message did. One cause is one time series: the names never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptionRefusal {
    /// It is no description, or has what none may have.
    Malformed,
    /// It has more bytes than any honest one.
    TooLarge,
    /// It is older than what is known of its probe.
    Older,
    /// There are too many already.
    Full,
}

impl DescriptionRefusal {
    /// All causes.
    pub const ALL: [Self; 4] = [Self::Malformed, Self::TooLarge, Self::Older, Self::Full];

    /// Its name among the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Older => "older",
            Self::Full => "full",
        }
    }
}

/// The text of a description, without what nobody would accept; with as many of its labels as there is room for.
pub(super) fn written(description: &Description) -> Option<Vec<u8>> {
    let mut bounded = description.clone().bounded();
    loop {
        let text = serde_json::to_vec(&bounded).ok()?;
        if text.len() <= DESCRIPTION_BYTES_MAX {
            return Some(text);
        }
        bounded.labels.pop_last()?;
    }
}

/// Reads the text of a description.
pub(super) fn read(text: &str) -> Result<Box<Description>, DescriptionRefusal> {
    if text.len() > DESCRIPTION_BYTES_MAX {
        return Err(DescriptionRefusal::TooLarge);
    }
    let description: Description = serde_json::from_str(text).map_err(|_| DescriptionRefusal::Malformed)?;
    if description.is_sound() { Ok(Box::new(description)) } else { Err(DescriptionRefusal::Malformed) }
}

#[cfg(test)]
mod tests;
