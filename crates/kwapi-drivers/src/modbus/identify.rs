//! Whether a host responds to Modbus, and how it identifies itself: it need not, and most meters do not.
//!
//! Source: *MODBUS Application Protocol* V1.1b3, 6.21 (43/14, Read Device Identification), for `kwapi discover`.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::codec::{TCP_HEADER_BYTES, parse_tcp_header};

/// Function and type of the request (6.21).
const FUNCTION: u8 = 0x2B;
const MEI_TYPE: u8 = 0x0E;
/// Vendor, product code and revision: what a device that answers at all has.
const BASIC: u8 = 0x01;
/// Meters answer within 200 ms; a gateway gives up on one that is not there after a second or so.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Any number: one request is sent.
const TRANSACTION: u16 = 0x6B77;

/// What a host behind Modbus TCP reports of unit 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModbusIdentity {
    /// Its vendor and product, in its own words.
    Named(String),
    /// It responds to Modbus, and does not identify itself.
    Unnamed,
    /// It takes connections, and leaves unit 1 unanswered: another unit, or another protocol.
    Silent,
}

/// Queries `host` (`name:port`) for what it is.
///
/// # Errors
/// When there is no connection, or what responds is not Modbus.
pub async fn identify(host: &str) -> io::Result<ModbusIdentity> {
    let mut stream = TcpStream::connect(host).await?;
    let [high, low] = TRANSACTION.to_be_bytes();
    stream.write_all(&[high, low, 0, 0, 0, 5, 1, FUNCTION, MEI_TYPE, BASIC, 0]).await?;
    let answer = async {
        let mut header = [0; TCP_HEADER_BYTES];
        stream.read_exact(&mut header).await?;
        let length = parse_tcp_header(header)
            .filter(|(transaction, ..)| *transaction == TRANSACTION)
            .map(|(.., length)| length)
            .ok_or_else(|| io::Error::other("no Modbus"))?;
        let mut pdu = vec![0; length];
        stream.read_exact(&mut pdu).await?;
        parse_identification(&pdu).ok_or_else(|| io::Error::other("no Modbus"))
    };
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(Ok(words)) if words.is_empty() => Ok(ModbusIdentity::Unnamed),
        Ok(Ok(words)) => Ok(ModbusIdentity::Named(words.join(" "))),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(ModbusIdentity::Silent),
    }
}

/// The texts of an answer, in order; none where the device does not support the function. `None` if it is no answer.
pub(crate) fn parse_identification(pdu: &[u8]) -> Option<Vec<String>> {
    match pdu {
        [function, _code] if *function == FUNCTION | 0x80 => Some(Vec::new()),
        [FUNCTION, MEI_TYPE, _code, _conformity, _more, _next, count, rest @ ..] => {
            let (mut rest, mut words) = (rest, Vec::new());
            for _ in 0..*count {
                let [_id, length, after @ ..] = rest else { return None };
                let (text, after) = after.split_at_checked(usize::from(*length))?;
                let text = String::from_utf8_lossy(text).trim_matches(['\0', ' ']).to_owned();
                if !text.is_empty() {
                    words.push(text);
                }
                rest = after;
            }
            Some(words)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pdu: &[u8], expected: Option<&[&str]>) {
        let expected = expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(parse_identification(pdu), expected, "{pdu:02x?}");
    }

    #[test]
    fn an_answer_is_its_texts() {
        // Application Protocol 6.21, the example of the basic identification, with shorter texts.
        let answer = b"\x2b\x0e\x01\x01\x00\x00\x03\x00\x04Acme\x01\x02X9\x02\x05V2.11";
        check(answer, Some(&["Acme", "X9", "V2.11"]));
        check(b"\x2b\x0e\x01\x01\x00\x00\x02\x00\x00\x01\x03X9\0", Some(&["X9"]));
        check(b"\xab\x01", Some(&[]));
    }

    #[test]
    fn what_is_cut_or_of_another_function_is_none() {
        check(b"\x2b\x0e\x01\x01\x00\x00\x01\x00\x04Acm", None);
        check(b"\x2b\x0e\x01\x01\x00\x00\x02\x00\x01A", None);
        check(b"\x84\x02", None);
        check(b"", None);
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..260)) {
            _ = parse_identification(&noise);
            _ = parse_identification(&[&[0x2b, 0x0e][..], &noise].concat());
        }
    }
}
