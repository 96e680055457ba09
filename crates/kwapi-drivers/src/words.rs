//! A device's own words, made fit for a log line and a terminal: once, where they leave a driver, whatever the driver.
//!
//! Names, banners and error texts come from outside. An escape sequence in one of them would be carried out by the
//! terminal of whoever looks, and a line feed would make a second line of the log.

use std::io;

use kwapi_core::NoReading;

use crate::error::DriverError;

/// Longer texts are cut: whatever a device sends, a line is read by people.
const CHARACTERS_MAX: usize = 2_000;

/// A text without control characters, of no more than a few lines.
pub(crate) fn fit(text: String) -> String {
    if text.len() <= CHARACTERS_MAX && !text.contains(char::is_control) {
        return text;
    }
    let mut characters = text.chars().map(|it| if it.is_control() { ' ' } else { it });
    let mut fit: String = characters.by_ref().take(CHARACTERS_MAX).collect();
    if characters.next().is_some() {
        fit.push('…');
    }
    fit
}

/// The same of why there are no readings at all.
pub(crate) fn fit_error(error: DriverError) -> DriverError {
    match error {
        DriverError::Link(error) => {
            let message = error.to_string();
            let fitting = fit(message.clone());
            DriverError::Link(if fitting == message { error } else { io::Error::new(error.kind(), fitting) })
        }
        DriverError::Untrusted(message) => DriverError::Untrusted(fit(message)),
        DriverError::Malformed { what, input } => DriverError::Malformed { what, input: fit(input) },
        DriverError::Busy(message) => DriverError::Busy(fit(message)),
        DriverError::Refused(message) => DriverError::Refused(fit(message)),
        DriverError::Locked(message) => DriverError::Locked(fit(message)),
        DriverError::NothingToRead(message) => DriverError::NothingToRead(fit(message)),
    }
}

/// The same of why one outlet has none.
pub(crate) fn fit_reason(reason: NoReading) -> NoReading {
    match reason {
        NoReading::NotReady(why) => NoReading::NotReady(fit(why)),
        NoReading::NotAvailable(why) => NoReading::NotAvailable(fit(why)),
        NoReading::NoSuchOutlet(why) => NoReading::NoSuchOutlet(fit(why)),
        NoReading::Implausible(why) => NoReading::Implausible(fit(why)),
        NoReading::Stale(why) => NoReading::Stale(fit(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_line_feeds_leave_no_driver_and_a_long_text_is_cut() {
        let hostile = "web\u{1b}[2J\n\u{9b}31m\u{7f}".to_owned();
        assert_eq!(fit(hostile.clone()), "web [2J  31m ");
        for error in [
            DriverError::link(hostile.clone()),
            DriverError::Untrusted(hostile.clone()),
            DriverError::Busy(hostile.clone()),
            DriverError::Refused(hostile.clone()),
            DriverError::Locked(hostile.clone()),
            DriverError::NothingToRead(hostile.clone()),
            DriverError::Malformed { what: "x", input: hostile.clone() },
        ] {
            let message = fit_error(error).to_string();
            assert!(message.contains("web") && !message.contains(char::is_control), "{message:?}");
        }
        let long = fit("é".repeat(1_000_000));
        assert_eq!((long.chars().count(), long.chars().last()), (CHARACTERS_MAX + 1, Some('…')));
    }

    #[test]
    fn a_cause_is_kept_with_its_kind() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let DriverError::Link(kept) = fit_error(DriverError::Link(refused())) else { panic!("a link error") };
        assert_eq!((kept.kind(), kept.to_string()), (refused().kind(), refused().to_string()));
        let named = io::Error::new(io::ErrorKind::ConnectionRefused, "a\nb");
        let DriverError::Link(fitted) = fit_error(DriverError::Link(named)) else { panic!("a link error") };
        assert_eq!((fitted.kind(), fitted.to_string().as_str()), (io::ErrorKind::ConnectionRefused, "a b"));
    }
}
