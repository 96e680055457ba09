//! A meter that answers on request: IEC 62056-21, modes A, B and C.
//!
//! The request goes out at 300 bits a second; the meter states in its identification how fast it can send, and both
//! continue at that speed.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::deadline::answered;
use crate::driver::DriverError;
use crate::obis::{TelegramLine, TelegramValues};

/// Where every meter begins (6.2).
const BAUD_START: u32 = 300;
const REQUEST: &str = "/?!\r\n";
/// A meter answers within 1.5 s, and leaves no longer between two characters (6.2); at 300 bits a second its identification
/// takes half a second.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// Six characters of ten bits, and what the kernel adds.
const ACKNOWLEDGED_AFTER: Duration = Duration::from_millis(220);
/// No identification is longer (6.3.2); an echo of the request may come before.
const IDENTIFICATION_BYTES_MAX: usize = 64;

/// Sends one request.
///
/// # Errors
/// `Link` when the meter does not answer, `Malformed` when its response is damaged.
pub(super) async fn exchange(line: &mut TelegramLine) -> Result<TelegramValues, DriverError> {
    line.reader.clear();
    line.port.set_baud(BAUD_START)?;
    line.port.write(REQUEST).await?;
    let (identification, raw, rest) = identification(line).await?;
    line.reader.feed(&raw);
    if let Some(speed) = speed(&identification) {
        // A converter's speed cannot be changed: the meter continues at the first one.
        let (baud, letter) =
            if line.port.is_serial() { (speed.baud, speed.letter) } else { (BAUD_START, '0') };
        if speed.is_acknowledged {
            line.port.write(&format!("\u{6}0{letter}0\r\n")).await?;
            sleep(ACKNOWLEDGED_AFTER).await;
        }
        line.port.set_baud(baud)?;
    }
    line.reader.feed(&rest);
    loop {
        if let Some(found) = line.reader.next() {
            return found.map(|telegram| telegram.registers).map_err(crate::obis::into_error);
        }
        let bytes = receive(line, "response incomplete").await?;
        line.reader.feed(&bytes);
    }
}

/// The line with which a meter answers the request: its text, its bytes, and what came behind it. Optical heads echo the
/// request.
async fn identification(line: &mut TelegramLine) -> Result<(String, Vec<u8>, Vec<u8>), DriverError> {
    let mut bytes = Vec::new();
    loop {
        bytes.extend(receive(line, "no response").await?);
        while let Some(end) = bytes.iter().position(|byte| byte & 0x7f == b'\n') {
            let rest = bytes.split_off(end + 1);
            let text: String = bytes.iter().map(|byte| char::from(byte & 0x7f)).collect();
            if let Some(begin) =
                text.rfind('/').filter(|begin| !text.get(*begin..).unwrap_or_default().starts_with("/?"))
            {
                let identification = text.get(begin..).unwrap_or_default().trim_end().to_owned();
                return Ok((identification, bytes.split_off(begin), rest));
            }
            bytes = rest;
        }
        if bytes.len() > IDENTIFICATION_BYTES_MAX {
            let input = String::from_utf8_lossy(&bytes).into_owned();
            return Err(DriverError::Malformed { what: "identification", input });
        }
    }
}

async fn receive(line: &mut TelegramLine, what: &str) -> Result<Vec<u8>, DriverError> {
    let Ok(bytes) = timeout(SILENCE_MAX, line.port.read()).await else {
        let advice = "check the head's position and that this meter answers requests";
        return Err(DriverError::link(format!("timed out after {SILENCE_MAX:?}; {what}; {advice}")));
    };
    answered();
    bytes
}

/// How a meter continues, by the fifth character of its identification (6.3.2, 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Speed {
    pub(super) baud: u32,
    pub(super) letter: char,
    /// Mode C: it waits for an answer. In mode B it changes its speed by itself.
    pub(super) is_acknowledged: bool,
}

/// `None`: it continues as it is (mode A).
pub(super) fn speed(identification: &str) -> Option<Speed> {
    let letter = identification.chars().nth(4)?;
    let (step, is_acknowledged) = match letter {
        '0'..='6' => (u32::from(letter) - u32::from('0'), true),
        'A'..='F' => (u32::from(letter) - u32::from('A') + 1, false),
        _ => return None,
    };
    Some(Speed { baud: BAUD_START << step, letter, is_acknowledged })
}
