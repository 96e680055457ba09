//! Since when a value that was known is gone.

use kwapi_core::{NoReading, Reading};
use tokio::time::Instant;

/// When a device last had a value.
#[derive(Debug, Default)]
pub(crate) struct LastValue(Option<Instant>);

impl LastValue {
    /// Notes a reading; to one that is not available, where there was one before, it adds for how long.
    pub(crate) fn noted(&mut self, reading: Result<Reading, NoReading>) -> Result<Reading, NoReading> {
        match (reading, self.0) {
            (Ok(reading), _) => {
                self.0 = Some(Instant::now());
                Ok(reading)
            }
            (Err(NoReading::NotAvailable(why)), Some(at)) => {
                let seconds = at.elapsed().as_secs();
                Err(NoReading::NotAvailable(format!("{why}; no value for {seconds} s")))
            }
            (Err(no_reading), _) => Err(no_reading),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_known_and_is_gone_shows_since_when() {
        let gone = || Err(NoReading::NotAvailable("null".to_owned()));
        let mut last = LastValue::default();
        assert_eq!(last.noted(gone()), gone(), "never known");
        assert_eq!(last.noted(Ok(Reading::watts(236.0))), Ok(Reading::watts(236.0)));
        tokio::time::advance(Duration::from_secs(90)).await;
        let expected = NoReading::NotAvailable("null; no value for 90 s".to_owned());
        assert_eq!(last.noted(gone()), Err(expected));
        let implausible = || Err(NoReading::Implausible("65535 W".to_owned()));
        assert_eq!(last.noted(implausible()), implausible());
    }
}
