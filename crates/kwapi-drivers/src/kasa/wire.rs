//! The conversation with a plug: JSON behind its length, obscured by an exclusive or with the byte before.
//!
//! Source: softScheck, *Reverse Engineering the TP-Link HS110* (2016): four bytes of length, the key 171.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::ConfigError;
use crate::deadline;
use crate::driver::DriverError;
use crate::parts::printable;
use crate::tcp;

/// The protocol's port.
const PORT: u16 = 9999;
/// What the first byte is combined with.
const KEY: u8 = 171;
/// A strip's longest answer is some 2 KiB.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A plug answers within this or does not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// `host` with its port.
///
/// # Errors
/// When it is no name or address.
pub(super) fn with_port(host: &str) -> Result<String, ConfigError> {
    let wrong = || ConfigError::of("host", format!("{host:?}: write HOST or HOST:PORT"));
    if host.is_empty() || host.contains(['/', '@', ' ']) || host.contains(char::is_control) {
        return Err(wrong());
    }
    let (name, port) = match host.rsplit_once(':') {
        // An IPv6 address has more than one colon, and no port unless in brackets.
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    };
    match port {
        Some(port) if !name.is_empty() && port.parse::<u16>().is_ok() => Ok(host.to_owned()),
        Some(_) => Err(wrong()),
        None if name.contains(':') && !name.starts_with('[') => Ok(format!("[{name}]:{PORT}")),
        None => Ok(format!("{name}:{PORT}")),
    }
}

/// Each byte combined with the one before it, as sent.
pub(super) fn obscured(text: &[u8]) -> Vec<u8> {
    let mut key = KEY;
    text.iter()
        .map(|byte| {
            key ^= byte;
            key
        })
        .collect()
}

/// The other way.
pub(super) fn clear(sent: &[u8]) -> Vec<u8> {
    let mut key = KEY;
    sent.iter().map(|byte| std::mem::replace(&mut key, *byte) ^ byte).collect()
}

/// What a plug reports, from its bytes as sent.
///
/// # Errors
/// `Malformed` for what is no JSON.
pub(super) fn parse_answer(sent: &[u8]) -> Result<Value, DriverError> {
    let answer = clear(sent);
    serde_json::from_slice(&answer).map_err(|_| malformed(&String::from_utf8_lossy(&answer)))
}

/// A connection to a plug.
#[derive(Debug)]
pub(super) struct PlugConnection {
    stream: TcpStream,
    host: String,
}

impl PlugConnection {
    /// Connects.
    ///
    /// # Errors
    /// `Link` where nothing answers.
    pub(super) async fn open(host: &str) -> Result<Self, DriverError> {
        Ok(Self { stream: tcp::connect(host).await?, host: host.to_owned() })
    }

    /// Sends a request, and waits for the answer.
    ///
    /// # Errors
    /// `Link` without a whole answer in time, `Malformed` for one that is no JSON.
    pub(super) async fn query(&mut self, question: &Value) -> Result<Value, DriverError> {
        let lost = |host: &str, why: String| {
            DriverError::link(format!(
                "{host}: {why}; check that this is a Kasa device with the old protocol"
            ))
        };
        let answer = match timeout(ANSWER_TIMEOUT, self.exchange(question)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(lost(&self.host, error.to_string())),
            Err(_) => return Err(lost(&self.host, format!("timed out after {ANSWER_TIMEOUT:?}"))),
        };
        deadline::answered();
        parse_answer(&answer)
    }

    async fn exchange(&mut self, question: &Value) -> io::Result<Vec<u8>> {
        let sent = obscured(question.to_string().as_bytes());
        let length = u32::try_from(sent.len()).map_err(io::Error::other)?;
        self.stream.write_all(&[&length.to_be_bytes()[..], &sent].concat()).await?;
        let length = self.stream.read_u32().await?;
        let length = usize::try_from(length).ok().filter(|length| *length <= ANSWER_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other("an answer longer than any"))?;
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// That a plug sends `answer`, which is none.
pub(super) fn malformed(answer: &str) -> DriverError {
    DriverError::Malformed { what: "answer", input: printable(answer) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_sent_is_obscured_as_plugs_expect_it() {
        // The query that public scripts send, byte for byte.
        let sent = "d0f0d2a1d8abdfbad7f5cfb494b6d1b4c09fec95e68fe187e8caf09eeb87ebcbb696eb";
        let hex: String = obscured(b"{ \"system\":{ \"get_sysinfo\":null } }")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, sent);
    }

    #[test]
    fn a_host_has_a_port_of_its_own_or_the_protocols() {
        for (host, expected) in [
            ("plug1", Some("plug1:9999")),
            ("10.0.7.3:10999", Some("10.0.7.3:10999")),
            ("fe80::1", Some("[fe80::1]:9999")),
            ("[fe80::1]", Some("[fe80::1]:9999")),
            ("[fe80::1]:10999", Some("[fe80::1]:10999")),
            ("", None),
            (":9999", None),
            ("plug1:http", None),
            ("http://plug1", None),
        ] {
            assert_eq!(with_port(host).ok().as_deref(), expected, "{host}");
        }
    }

    proptest! {
        #[test]
        fn what_is_obscured_is_cleared_again(text in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(clear(&obscured(&text)), text);
        }
    }
}
