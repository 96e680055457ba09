//! An open session: sends one command at a time, and closes the session when dropped.
//!
//! Source: IPMI 2.0 rev. 1.1, 6.12 (sessions, sequence numbers).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::completion;
use super::crypto::{Keys, legacy_code};
use super::link::{Failure, Link};
use super::message::{self, Bridge, IpmiCommand, IpmiResponse};
use super::packet::{self, Packet};
use crate::cleanup;

/// A card closes a session that was silent for 60 s ± 3 s (6.12.15); we take it for closed somewhat earlier.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// A session a card has granted.
#[derive(Debug)]
pub(super) struct RmcpSession {
    pub(super) link: Arc<Link>,
    seal: Seal,
    /// The card's id of the session.
    id: u32,
    /// Of the last packet sent; 0 is for packets outside a session (6.12.8).
    sequence: u32,
    /// Of the last request: an answer repeats it.
    request: u8,
    window: Window,
    received_at: Instant,
}

/// How packets are made and proven genuine.
pub(super) enum Seal {
    /// RMCP+: signed and encrypted.
    Plus(Keys),
    /// IPMI 1.5 without authentication of each message.
    Bare,
    /// IPMI 1.5, signed by MD5.
    Md5([u8; 16]),
    /// IPMI 1.5, the password itself in each packet.
    Password([u8; 16]),
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// Its number as an IPMI 1.5 authentication type: 22.13, table 22-15.
    pub(super) fn authentication(&self) -> u8 {
        match self {
            Self::Plus(_) => 0x06,
            Self::Bare => 0x00,
            Self::Md5(_) => 0x02,
            Self::Password(_) => 0x04,
        }
    }

    pub(super) fn packet(&self, session: u32, sequence: u32, message: &[u8]) -> Vec<u8> {
        let code = match self {
            Self::Plus(keys) => return keys.seal(session, sequence, message),
            Self::Bare => None,
            Self::Md5(password) => Some(legacy_code(password, session, sequence, message)),
            Self::Password(password) => Some(*password),
        };
        packet::legacy(self.authentication(), sequence, session, code, message)
    }

    /// The sequence number and the message of a packet, if it is a genuine packet of this session.
    pub(super) fn open(&self, datagram: &[u8], console: u32, id: u32) -> Option<(u32, Vec<u8>)> {
        match (self, packet::parse(datagram)?) {
            (
                Self::Plus(keys),
                Packet::Plus {
                    payload_type: packet::payload::IPMI,
                    is_encrypted: true,
                    is_authenticated: true,
                    session,
                    sequence,
                    payload,
                    sealed,
                },
            ) if session == console => Some((sequence, keys.open(sealed, payload)?)),
            (
                Self::Bare | Self::Md5(_) | Self::Password(_),
                Packet::Legacy { authentication, sequence, session, code, payload },
            ) if session == id && authentication == self.authentication() => {
                let is_genuine = match self {
                    Self::Md5(password) => code == Some(legacy_code(password, session, sequence, payload)),
                    Self::Password(password) => code == Some(*password),
                    Self::Bare | Self::Plus(_) => code.is_none(),
                };
                is_genuine.then(|| (sequence, payload.to_vec()))
            }
            _ => None,
        }
    }
}

impl Seal {
    /// Takes a message of a genuine packet apart. Where the packet proves the message, its checksums are not held against
    /// a card.
    fn parse<'a>(&self, message: &'a [u8]) -> Option<message::IpmiResponse<'a>> {
        match self {
            Self::Plus(_) => message::parse_unchecked(message),
            Self::Bare | Self::Md5(_) | Self::Password(_) => message::parse(message),
        }
    }
}

impl RmcpSession {
    pub(super) fn new(link: Link, seal: Seal, id: u32, sequence: u32) -> Self {
        Self {
            link: Arc::new(link),
            seal,
            id,
            sequence,
            request: 0,
            window: Window::default(),
            received_at: Instant::now(),
        }
    }

    /// Sends the card's BMC a command and returns the answer's data.
    pub(super) async fn request(&mut self, command: IpmiCommand, data: &[u8]) -> Result<Vec<u8>, Failure> {
        self.request_lun(command, 0, data).await
    }

    /// As [`Self::request`], of one of the BMC's four logical units.
    pub(super) async fn request_lun(
        &mut self,
        command: IpmiCommand,
        lun: u8,
        data: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let sequence = self.next_request();
        let message = message::request(command, lun, sequence, data);
        let take = |answer: &IpmiResponse<'_>| {
            answer.is_to(command, sequence).then(|| (command.name, answer.completion, answer.data.to_vec()))
        };
        self.exchange(command.name, &message, take).await
    }

    /// As [`Self::request`], of another controller that the card passes the command on to.
    pub(super) async fn request_bridged(
        &mut self,
        bridge: Bridge,
        command: IpmiCommand,
        data: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let sequence = self.next_request();
        let message = message::bridged(bridge, command, sequence, data);
        let take = |answer: &IpmiResponse<'_>| {
            let response = message::answer_across(answer, command, sequence)?;
            Some(match response {
                Ok(answer) => (command.name, answer.completion, answer.data.to_vec()),
                Err(code) => (message::SEND_MESSAGE.name, code, Vec::new()),
            })
        };
        self.exchange(command.name, &message, take).await
    }

    fn next_request(&mut self) -> u8 {
        self.request = self.request.wrapping_add(1) & 0x3F;
        self.request
    }

    /// Sends a message until `take` finds its answer: which command it is of, its completion code and data.
    async fn exchange(
        &mut self,
        what: &'static str,
        message: &[u8],
        take: impl Fn(&IpmiResponse<'_>) -> Option<(&'static str, u8, Vec<u8>)>,
    ) -> Result<Vec<u8>, Failure> {
        let Self { link, seal, id, sequence, window, received_at, .. } = self;
        let question = || {
            *sequence = after(*sequence);
            seal.packet(*id, *sequence, message)
        };
        let answer = |datagram: &[u8]| {
            let (sequence, message) = seal.open(datagram, link.inbox.console, *id)?;
            let answer = seal.parse(&message)?;
            window.admits(sequence).then(|| take(&answer)).flatten()
        };
        let (of, completion, data) = link.exchange(what, question, answer).await?;
        *received_at = Instant::now();
        if completion == completion::OK {
            Ok(data)
        } else {
            Err(Failure::Completed { what: of, code: completion })
        }
    }

    /// Whether the card has closed the session by now, for want of requests.
    pub(super) fn is_expired(&self) -> bool {
        self.received_at.elapsed() > IDLE_MAX
    }
}

impl Drop for RmcpSession {
    fn drop(&mut self) {
        // Cards have four sessions or so: one that is not closed is missing for a minute.
        let message = message::request(
            message::CLOSE_SESSION,
            0,
            self.request.wrapping_add(1) & 0x3F,
            &self.id.to_le_bytes(),
        );
        let datagram = self.seal.packet(self.id, after(self.sequence), &message);
        self.link.send(&datagram);
        let link = Arc::clone(&self.link);
        cleanup::spawn(async move { link.resend(&datagram).await });
    }
}

/// Sequence numbers skip 0 (6.12.8).
fn after(sequence: u32) -> u32 {
    sequence.checked_add(1).unwrap_or(1)
}

/// Which sequence numbers of the card are news: a packet recorded and sent again is not (6.12.12, 6.12.13).
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    highest: u32,
    /// Bit n: `highest - n` has come.
    seen: u32,
}

impl Window {
    fn admits(&mut self, sequence: u32) -> bool {
        // Without authentication a card need not count.
        if sequence == 0 {
            return self.seen == 0;
        }
        let ahead = sequence.wrapping_sub(self.highest);
        if self.seen == 0 || (1..1 << 31).contains(&ahead) {
            self.seen = if self.seen == 0 { 1 } else { self.seen.checked_shl(ahead).unwrap_or(0) | 1 };
            self.highest = sequence;
            return true;
        }
        let behind = self.highest.wrapping_sub(sequence);
        let Some(bit) = 1_u32.checked_shl(behind) else { return false };
        let is_news = self.seen & bit == 0;
        self.seen |= bit;
        is_news
    }
}

#[cfg(test)]
mod tests;
