//! The messages that open an RMCP+ session, and the keyed hashes that prove both sides have the password.
//!
//! Source: IPMI 2.0 rev. 1.1, 13.17 to 13.24 (messages), 13.31 and 13.32 (hashes).

use super::crypto::{KeyedHash, Suite};
use super::reader::ByteReader;

/// Status of success: 13.24, table 13-15.
pub(super) const OK: u8 = 0x00;
/// "Invalid integrity check value": whoever sends it finds the other's hash wrong.
const INVALID_INTEGRITY_CHECK: u8 = 0x0F;
/// In the role byte: the user is looked up by name alone, whatever the privilege requested (13.20).
const NAME_ONLY_LOOKUP: u8 = 0x10;

/// Why a card refuses to open a session, by what can be done about it: 13.24, table 13-15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// The suite is not to its taste; another may be.
    Suite,
    /// The account may not have this privilege; a lower one may do.
    Privilege,
    /// All its sessions are taken.
    Full,
    /// It has no such user.
    User,
    /// It finds our proof of the password wrong.
    Proof,
    /// It has forgotten the opening we refer to, as slow cards do.
    Forgotten,
    /// Anything else.
    Other,
}

/// What a status other than success means.
pub(super) fn denial(status: u8) -> Denial {
    match status {
        0x01 | 0x0B => Denial::Full,
        0x02 | 0x08 => Denial::Forgotten,
        0x04..=0x07 | 0x10 | 0x11 => Denial::Suite,
        0x09 | 0x0A => Denial::Privilege,
        0x0C | 0x0D => Denial::User,
        INVALID_INTEGRITY_CHECK => Denial::Proof,
        _ => Denial::Other,
    }
}

/// In Open Session: the highest privilege there is for the suite (13.17).
pub(super) const HIGHEST_PRIVILEGE: u8 = 0;

/// Open Session Request, 13.17: a privilege, and the three algorithms of one suite.
pub(super) fn open_session_request(tag: u8, privilege: u8, console: u32, suite: Suite) -> Vec<u8> {
    let mut message = vec![tag, privilege, 0, 0];
    message.extend(console.to_le_bytes());
    for (kind, algorithm) in (0_u8..).zip(suite.algorithms()) {
        message.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
    }
    message
}

/// A card's answer in the opening: its payload, or its status when that is not success.
pub(super) type Answered<T> = Result<T, u8>;

/// Open Session Response, 13.18: the card's session id and the suite it takes. `None` when it is no answer to `tag`.
pub(super) fn open_session_response(message: &[u8], tag: u8) -> Option<Answered<(u32, Option<Suite>)>> {
    let mut reader = ByteReader::new(message);
    let status = status(&mut reader, tag)?;
    if status != OK {
        return Some(Err(status));
    }
    let [_privilege, _reserved] = reader.array()?;
    let _console = reader.u32()?;
    let managed = reader.u32()?;
    let mut algorithms = [0; 3];
    for algorithm in &mut algorithms {
        let [_, _, _, _, number, _, _, _] = reader.array()?;
        *algorithm = number & 0x3F;
    }
    let suite = Suite::ALL.into_iter().find(|suite| suite.algorithms() == algorithms);
    Some(Ok((managed, suite)))
}

fn status(reader: &mut ByteReader<'_>, tag: u8) -> Option<u8> {
    let [its_tag, status] = reader.array()?;
    (its_tag == tag).then_some(status)
}

/// What both sides put into the hashes.
pub(super) struct Exchange<'a> {
    pub(super) suite: Suite,
    pub(super) console: u32,
    pub(super) managed: u32,
    pub(super) console_random: [u8; 16],
    /// Privilege requested: 2 user, 3 operator, 4 administrator.
    pub(super) privilege: u8,
    pub(super) user: &'a [u8],
    /// The user's key, K-uid: the password (13.31).
    pub(super) password: &'a [u8],
    /// The card's own key, K-g; the password's where the card has none (13.31).
    pub(super) card_key: &'a [u8],
}

/// What RAKP message 2 states, once it is proven genuine.
pub(super) struct CardProof {
    card_random: [u8; 16],
    guid: [u8; 16],
}

impl Exchange<'_> {
    fn role(&self) -> u8 {
        NAME_ONLY_LOOKUP | self.privilege
    }

    fn name(&self) -> Vec<u8> {
        let mut name = vec![self.role(), u8::try_from(self.user.len()).unwrap_or_default()];
        name.extend(self.user);
        name
    }

    /// RAKP message 1, 13.20.
    pub(super) fn message_1(&self, tag: u8) -> Vec<u8> {
        let mut message = vec![tag, 0, 0, 0];
        message.extend(self.managed.to_le_bytes());
        message.extend(self.console_random);
        message.extend([self.role(), 0, 0, u8::try_from(self.user.len()).unwrap_or_default()]);
        message.extend(self.user);
        message
    }

    /// What a message to our session has behind its status.
    fn body<'m>(&self, message: &'m [u8], tag: u8) -> Option<Answered<ByteReader<'m>>> {
        let mut reader = ByteReader::new(message);
        let status = status(&mut reader, tag)?;
        if status != OK {
            return Some(Err(status));
        }
        let [_, _] = reader.array()?;
        (reader.u32()? == self.console).then_some(Ok(reader))
    }

    /// RAKP message 2, 13.21. `Some(Ok(None))` when the card's hash shows that its password is not ours.
    pub(super) fn message_2(&self, message: &[u8], tag: u8) -> Option<Answered<Option<CardProof>>> {
        let mut reader = match self.body(message, tag)? {
            Ok(reader) => reader,
            Err(status) => return Some(Err(status)),
        };
        let card_random = reader.array()?;
        let guid = reader.array()?;
        let code = reader.take(self.suite.digest_bytes())?;
        let parts: [&[u8]; 6] = [
            &self.console.to_le_bytes(),
            &self.managed.to_le_bytes(),
            &self.console_random,
            &card_random,
            &guid,
            &self.name(),
        ];
        let expected = self.suite.mac(self.password, &parts);
        let is_genuine = expected.is(code, self.suite.digest_bytes());
        Some(Ok(is_genuine.then_some(CardProof { card_random, guid })))
    }

    /// RAKP message 3, 13.22: our proof.
    pub(super) fn message_3(&self, tag: u8, proof: &CardProof) -> Vec<u8> {
        let mut message = vec![tag, OK, 0, 0];
        message.extend(self.managed.to_le_bytes());
        let parts: [&[u8]; 3] = [&proof.card_random, &self.console.to_le_bytes(), &self.name()];
        message.extend(self.suite.mac(self.password, &parts).bytes());
        message
    }

    /// RAKP message 3 as a refusal, which frees the session the card keeps for us.
    pub(super) fn message_3_refusing(&self, tag: u8) -> Vec<u8> {
        let mut message = vec![tag, INVALID_INTEGRITY_CHECK, 0, 0];
        message.extend(self.managed.to_le_bytes());
        message
    }

    /// The session integrity key, 13.31.
    pub(super) fn session_key(&self, proof: &CardProof) -> KeyedHash {
        self.suite.mac(self.card_key, &[&self.console_random, &proof.card_random, &self.name()])
    }

    /// RAKP message 4, 13.23. `Some(Ok(false))` when the card's last proof is wrong: its K-g is not ours.
    pub(super) fn message_4(
        &self,
        message: &[u8],
        tag: u8,
        proof: &CardProof,
        session_key: &KeyedHash,
    ) -> Option<Answered<bool>> {
        let mut reader = match self.body(message, tag)? {
            Ok(reader) => reader,
            Err(status) => return Some(Err(status)),
        };
        let code = reader.take(self.suite.code_bytes())?;
        let parts: [&[u8]; 3] = [&self.console_random, &self.managed.to_le_bytes(), &proof.guid];
        Some(Ok(self.suite.mac(session_key.bytes(), &parts).is(code, self.suite.code_bytes())))
    }
}

/// Every parser here on the same bytes, for fuzzing.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn parse_all(bytes: &[u8]) {
    let tag = bytes.first().copied().unwrap_or_default();
    _ = open_session_response(bytes, tag);
    for suite in Suite::ALL {
        let exchange = Exchange {
            suite,
            console: 0,
            managed: 0,
            console_random: [0; 16],
            privilege: 4,
            user: b"user",
            password: b"secret",
            card_key: b"secret",
        };
        _ = exchange.message_2(bytes, tag);
        let proof = CardProof { card_random: [0; 16], guid: [0; 16] };
        _ = exchange.message_4(bytes, tag, &proof, &exchange.session_key(&proof));
    }
}

#[cfg(test)]
mod tests;
