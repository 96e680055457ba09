//! A line on which a meter sends telegrams by itself.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::port::{Port, PortConfig};
use super::reader::{Damage, LineBuffer, Telegram};
use crate::driver::DriverError;

/// A meter rests between telegrams, ten seconds and more: nothing is returned for so long a rest, as a sign of life.
const REST: Duration = Duration::from_secs(2);
/// Meters send every 1 to 60 s. One that sends nothing for longer is not connected.
const SILENCE_MAX: Duration = Duration::from_secs(150);

/// The line, and what has come of the next telegram.
#[derive(Debug)]
pub(crate) struct TelegramLine {
    pub(crate) port: Port,
    pub(crate) reader: LineBuffer,
    received_at: Instant,
    /// What to look at when nothing comes.
    advice: &'static str,
}

impl TelegramLine {
    pub(crate) async fn open(
        config: &PortConfig,
        reader: LineBuffer,
        advice: &'static str,
    ) -> Result<Self, DriverError> {
        let port = Port::open(config).await?;
        Ok(Self { port, reader, received_at: Instant::now(), advice })
    }

    /// The next telegram; `None` after a while without one.
    ///
    /// # Errors
    /// `Link` when the line ends or nothing comes for long, `Malformed` for a telegram that is damaged.
    pub(crate) async fn telegram(&mut self) -> Result<Option<Telegram>, DriverError> {
        loop {
            if let Some(found) = self.reader.next() {
                return found.map(Some).map_err(into_error);
            }
            match timeout(REST, self.port.read()).await {
                Ok(bytes) => {
                    self.reader.feed(&bytes?);
                    self.received_at = Instant::now();
                }
                Err(_) if self.received_at.elapsed() > SILENCE_MAX => {
                    let seconds = SILENCE_MAX.as_secs();
                    return Err(DriverError::link(format!(
                        "no data received for {seconds} s; {}",
                        self.advice
                    )));
                }
                Err(_) => return Ok(None),
            }
        }
    }
}

pub(crate) fn into_error(damage: Damage) -> DriverError {
    match damage {
        Damage::Telegram(what, input) => {
            DriverError::Malformed { what: "telegram", input: format!("{what}: {input}") }
        }
        Damage::IsEncrypted => DriverError::NothingToRead(
            "the meter encrypts its telegrams; set encryption_key (the grid operator has it)".to_owned(),
        ),
        Damage::IsOtherKeys => DriverError::NothingToRead(
            "the meter's telegrams cannot be decrypted; check encryption_key".to_owned(),
        ),
        Damage::IsClear => DriverError::NothingToRead(
            "the meter does not encrypt its telegrams; remove encryption_key".to_owned(),
        ),
        Damage::IsSml => {
            DriverError::NothingToRead("not a P1 port: the meter sends SML; use driver = \"sml\"".to_owned())
        }
    }
}
