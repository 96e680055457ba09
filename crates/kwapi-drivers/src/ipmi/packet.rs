//! RMCP and session headers: what surrounds every IPMI message on UDP.
//!
//! Source: IPMI 2.0 rev. 1.1, 13.1.3 (RMCP), 13.5 (1.5 packets), 13.6 (RMCP+ packets).

use super::reader::ByteReader;

/// Version 1.0, no sequence number (so no acknowledgement), class IPMI: 13.1.3, table 13-5.
pub(super) const RMCP: [u8; 4] = [0x06, 0x00, 0xFF, 0x07];
/// Authentication type that marks the RMCP+ format: 13.6, table 13-8.
const FORMAT_PLUS: u8 = 0x06;
/// Payload types, 13.27.3, table 13-16.
pub(super) mod payload {
    /// An IPMI message.
    pub(in super::super) const IPMI: u8 = 0x00;
    /// The reply to this and to each of the following has the next number.
    pub(in super::super) const OPEN_SESSION_REQUEST: u8 = 0x10;
    pub(in super::super) const RAKP_1: u8 = 0x12;
    pub(in super::super) const RAKP_3: u8 = 0x14;
    /// With these two an OEM number and payload id lie between type and session id; we use no OEM payload.
    pub(in super::super) const OEM_EXPLICIT: u8 = 0x02;
    pub(in super::super) const ENCRYPTED: u8 = 0x80;
    pub(in super::super) const AUTHENTICATED: u8 = 0x40;
}
/// The next header after an RMCP+ payload, always 07h: 13.6, table 13-8.
pub(super) const NEXT_HEADER: u8 = 0x07;
/// Packet lengths that a network chip of the time mishandled; one more byte avoids them (13.6, "Legacy PAD").
const LENGTHS_TO_PAD: [usize; 5] = [56, 84, 112, 128, 156];

/// One datagram, taken apart but neither verified nor decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// IPMI 1.5 format, also used before any session of either version.
    Legacy { authentication: u8, sequence: u32, session: u32, code: Option<[u8; 16]>, payload: &'a [u8] },
    /// RMCP+ format.
    Plus {
        payload_type: u8,
        is_encrypted: bool,
        is_authenticated: bool,
        session: u32,
        sequence: u32,
        payload: &'a [u8],
        /// Authentication type to the end: what the integrity code covers, and the code.
        sealed: &'a [u8],
    },
}

/// Takes a datagram apart; `None` when it is not IPMI or ends too early.
pub(super) fn parse(datagram: &[u8]) -> Option<Packet<'_>> {
    let sealed = datagram.strip_prefix(&[0x06])?;
    // The reserved byte and the sequence number are not held against a card.
    let mut reader = ByteReader::new(sealed);
    let [_, _, class] = reader.array()?;
    if class != 0x07 {
        return None;
    }
    let sealed = reader.rest();
    match reader.u8()? {
        FORMAT_PLUS => parse_plus(reader, sealed),
        authentication => {
            let sequence = reader.u32()?;
            let session = reader.u32()?;
            let code = if authentication == 0 { None } else { Some(reader.array()?) };
            let length = reader.u8()?;
            let payload = reader.take(length.into())?;
            Some(Packet::Legacy { authentication, sequence, session, code, payload })
        }
    }
}

fn parse_plus<'a>(mut reader: ByteReader<'a>, sealed: &'a [u8]) -> Option<Packet<'a>> {
    let flags = reader.u8()?;
    let payload_type = flags & 0x3F;
    if payload_type == payload::OEM_EXPLICIT {
        return None;
    }
    let session = reader.u32()?;
    let sequence = reader.u32()?;
    let length = reader.u16()?;
    Some(Packet::Plus {
        payload_type,
        is_encrypted: flags & payload::ENCRYPTED != 0,
        is_authenticated: flags & payload::AUTHENTICATED != 0,
        session,
        sequence,
        payload: reader.take(length.into())?,
        sealed,
    })
}

/// An IPMI 1.5 packet. `payload` is one of our requests, far below 256 bytes.
pub(super) fn legacy(
    authentication: u8,
    sequence: u32,
    session: u32,
    code: Option<[u8; 16]>,
    payload: &[u8],
) -> Vec<u8> {
    let mut datagram = RMCP.to_vec();
    datagram.push(authentication);
    datagram.extend(sequence.to_le_bytes());
    datagram.extend(session.to_le_bytes());
    datagram.extend(code.into_iter().flatten());
    datagram.push(u8::try_from(payload.len()).unwrap_or(u8::MAX));
    datagram.extend(payload);
    if LENGTHS_TO_PAD.contains(&datagram.len()) {
        datagram.push(0);
    }
    datagram
}

/// An RMCP+ packet without its session trailer; complete as it is before a session has keys.
pub(super) fn plus(flags_and_type: u8, session: u32, sequence: u32, payload: &[u8]) -> Vec<u8> {
    // Room for a trailer of 4 bytes of padding and 16 of code, so that sealing does not move it.
    let mut datagram = Vec::with_capacity(16 + payload.len() + 20);
    datagram.extend(RMCP);
    datagram.extend([FORMAT_PLUS, flags_and_type]);
    datagram.extend(session.to_le_bytes());
    datagram.extend(sequence.to_le_bytes());
    datagram.extend(u16::try_from(payload.len()).unwrap_or(u16::MAX).to_le_bytes());
    datagram.extend(payload);
    datagram
}

/// Whom a datagram from a card is for, as far as its bytes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addressee {
    /// The session with this id (ours in RMCP+, the card's in 1.5).
    Session(u32),
    /// Whoever waits for an answer outside a session from this card.
    Anyone,
}

/// Reads the addressee off a datagram; `None` for what is not IPMI.
pub(super) fn addressee(datagram: &[u8]) -> Option<Addressee> {
    match parse(datagram)? {
        Packet::Legacy { session: 0, .. } => Some(Addressee::Anyone),
        Packet::Plus { session: 0, payload, .. } => {
            // Each answer of session opening repeats the console's session id at the same place (13.18 to 13.23);
            // a refusal of some cards ends before it.
            let mut reader = ByteReader::new(payload);
            let id = reader.take(4).and_then(|_| reader.u32());
            Some(id.filter(|id| *id != 0).map_or(Addressee::Anyone, Addressee::Session))
        }
        Packet::Legacy { session, .. } | Packet::Plus { session, .. } => Some(Addressee::Session(session)),
    }
}

#[cfg(test)]
mod tests;
