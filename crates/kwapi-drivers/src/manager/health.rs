//! How long a meter in trouble is left alone, and when it is trusted again.
//!
//! Every failure doubles the pause; every [`FORGIVE_AFTER`] of good readings forgives one failure, so that a flapping
//! device is tried ever more rarely while a device that loses a packet now and then is not. After [`TRIP_FAILURES`]
//! the breaker is open: one trial per longest pause, and a meter that passes is on trial until it has been forgiven.

use std::time::Duration;

/// The pause after the first failure.
pub(super) const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest pause after failures.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The pause after a refusal: a BMC locks an account after a few wrong passwords, and forgets them within minutes.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_secs(300);
/// Good readings for this long forgive one failure.
const FORGIVE_AFTER: Duration = Duration::from_secs(10);
/// So many unforgiven failures open the breaker (their pauses add up to about a minute).
const TRIP_FAILURES: u32 = 7;
/// Beyond this many, failures change nothing and are not counted.
const FAILURES_MAX: u32 = TRIP_FAILURES + 1;
/// Pauses vary by this share either way, so that a thousand meters behind one switch do not return in step.
const JITTER_SHARE: f64 = 0.2;

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// The link failed.
    Link(String),
    /// The driver did not return by the deadline.
    Hung(String),
    /// The driver panicked.
    Crashed(String),
    /// The device, or the configuration, refuses.
    Refused(String),
}

impl SessionEnd {
    pub(super) fn message(&self) -> &str {
        let (Self::Link(message) | Self::Hung(message) | Self::Crashed(message) | Self::Refused(message)) =
            self;
        message
    }
}

/// Failures not yet forgiven.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    failures: u32,
    good_since: Option<Duration>,
}

impl Health {
    /// A reading came at the monotonic instant `now`.
    pub(super) fn good(&mut self, now: Duration) {
        let since = *self.good_since.get_or_insert(now);
        if self.failures > 0 && now.saturating_sub(since) >= FORGIVE_AFTER {
            self.failures -= 1;
            self.good_since = Some(now);
        }
    }

    /// A session ended; how long to wait before the next. `chance` is 0 to below 1.
    pub(super) fn failed(&mut self, trouble: &SessionEnd, chance: f64) -> Duration {
        self.good_since = None;
        match trouble {
            SessionEnd::Refused(_) => REFUSED_PAUSE.mul_f64(1.0 + chance * JITTER_SHARE),
            SessionEnd::Link(_) | SessionEnd::Hung(_) | SessionEnd::Crashed(_) => {
                let doubled = BACKOFF_MIN.saturating_mul(1 << self.failures.min(FAILURES_MAX));
                self.failures = (self.failures + 1).min(FAILURES_MAX);
                doubled.min(BACKOFF_MAX).mul_f64(1.0 + (2.0 * chance - 1.0) * JITTER_SHARE)
            }
        }
    }

    /// Whether the breaker is open, or half open while readings come.
    pub(super) fn is_tripped(&self) -> bool {
        self.failures >= TRIP_FAILURES
    }
}

#[cfg(test)]
mod tests;
