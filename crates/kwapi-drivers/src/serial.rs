//! What sends by itself on a serial line: meters at their customer port, under optical heads.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use crate::driver::DriverError;
use crate::obis::{Damage, Expects, LineBuffer, Port, PortConfig, Telegram};

/// The speeds of lines that meters send on by themselves: SML and older P1 ports, and P1 ports since DSMR 4.
const BAUDS: [u32; 2] = [9_600, 115_200];
/// Some send every ten seconds.
const LISTEN: Duration = Duration::from_secs(12);

/// What was received on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineFinding {
    /// A meter, that a driver reads.
    Meter {
        /// The driver.
        driver: &'static str,
        /// The line's speed, in bits a second.
        baud: u32,
        /// What the meter calls itself, with its serial number where it states one.
        meter: String,
    },
    /// Bytes that make no telegram at any speed that was tried.
    Noise,
    /// Nothing: no meter, or one that waits for a request.
    Silence,
}

/// Listens to a line at each usual speed until a meter is known by a whole telegram, half a minute at most. Nothing is sent.
///
/// # Errors
/// When the line cannot be opened or ends.
pub async fn listen(device: &Path) -> Result<LineFinding, DriverError> {
    let mut finding = LineFinding::Silence;
    for baud in BAUDS {
        let mut port = Port::open(&PortConfig::Serial { device: device.to_owned(), baud }).await?;
        if let Ok(telegram) = timeout(LISTEN, telegram(&mut port, &mut finding)).await {
            return telegram.map(|telegram| match telegram {
                Some(telegram) => known(&telegram, baud),
                None => encrypted(baud),
            });
        }
    }
    Ok(finding)
}

/// The first whole telegram, `None` for one that is encrypted; notes that anything was received at all.
async fn telegram(port: &mut Port, finding: &mut LineFinding) -> Result<Option<Telegram>, DriverError> {
    let mut reader = LineBuffer::new(Expects::Any, None);
    loop {
        reader.feed(&port.read().await?);
        *finding = LineFinding::Noise;
        while let Some(found) = reader.next() {
            match found {
                Ok(telegram) => return Ok(Some(telegram)),
                // A frame with its header and length is no noise.
                Err(Damage::IsEncrypted) => return Ok(None),
                Err(Damage::Telegram(..) | Damage::IsSml | Damage::IsClear | Damage::IsOtherKeys) => {}
            }
        }
    }
}

fn encrypted(baud: u32) -> LineFinding {
    LineFinding::Meter { driver: "p1", baud, meter: "a meter that encrypts; set encryption_key".to_owned() }
}

fn known(telegram: &Telegram, baud: u32) -> LineFinding {
    let registers = &telegram.registers;
    // Of DSMR 2.2 and 3, which have no checksum, `sml` reads the same registers.
    let driver = if telegram.is_dsmr { "p1" } else { "sml" };
    let meter = match &registers.serial {
        Some(serial) => format!("{} ({serial})", registers.identification),
        None => registers.identification.clone(),
    };
    LineFinding::Meter { driver, baud, meter }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::path::PathBuf;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

    use super::*;

    /// A serial line with the meter's end of it, and the computer's, which keeps it open.
    fn line() -> (PathBuf, File, OwnedFd) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let computers_end: OwnedFd = File::options().read(true).write(true).open(&path).unwrap().into();
        let mut settings = tcgetattr(&computers_end).unwrap();
        settings.make_raw();
        tcsetattr(&computers_end, OptionalActions::Now, &settings).unwrap();
        (path, File::from(master), computers_end)
    }

    #[tokio::test]
    async fn a_line_is_recognised_with_the_driver_that_reads_it() {
        for (sent, expected) in [
            ("noise\r\n/KWA5TEST\r\n\r\n1-3:0.2.8(50)\r\n1-0:1.7.0(00.734*kW)\r\n!CDB0\r\n", "p1"),
            ("/KWA5TEST\r\n0.0.0(4711)\r\n1.8.0(000100.0*kWh)\r\n!\r\n", "sml"),
        ] {
            let (path, mut meter, _computers_end) = line();
            let listening = tokio::spawn(async move { listen(&path).await });
            meter.write_all(sent.as_bytes()).unwrap();
            let finding = listening.await.unwrap().unwrap();
            let LineFinding::Meter { driver, baud, meter } = finding else { panic!("{finding:?}") };
            assert_eq!((driver, baud), (expected, 9_600));
            assert!(meter.starts_with("KWA5TEST"), "{meter}");
        }
    }

    #[tokio::test]
    async fn a_line_that_is_not_there_is_reported() {
        let error = listen(Path::new("/dev/serial/by-id/nothing")).await.unwrap_err();
        assert!(error.to_string().contains("check that the reader is plugged in"), "{error}");
    }
}
