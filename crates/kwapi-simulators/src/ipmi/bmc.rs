//! A simulated card as a state machine: datagram in, datagram out.

use std::collections::BTreeMap;

use super::crypto::{decrypt, encrypt, keyed_hash, short};
use super::machine::Machine;
use super::{BmcFault, CardOptions, Offer, Returns};

/// Sessions a card keeps, as real ones do. Full: a new one is refused (status 01h), but for openings left half-way.
const SESSIONS_MAX: usize = 4;

/// The state of one card.
#[derive(Debug)]
pub(super) struct Bmc {
    pub(super) machine: Machine,
    pub(super) datagrams: u64,
    pub(super) wrong_proofs: u64,
    /// What follows the answer just given.
    pub(super) second: Option<Vec<u8>>,
    sessions: BTreeMap<u32, BmcSession>,
}

#[derive(Debug, Default)]
struct BmcSession {
    console: u32,
    suite: u8,
    console_random: Vec<u8>,
    card_random: [u8; 16],
    /// Role byte, name length and name, as RAKP message 1 gave them.
    who: Vec<u8>,
    /// The privilege of Open Session, of which some cards make their keys.
    open_privilege: u8,
    session_key: Vec<u8>,
    k1: Vec<u8>,
    cipher: [u8; 16],
    is_open: bool,
    privilege: u8,
    sequence: u32,
    power_requests: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// A packet outside a session, or the body of one inside before it is signed.
fn packet(flags: u8, session: u32, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![6, 0, 0xFF, 7, 6, flags];
    packet.extend(session.to_le_bytes());
    packet.extend(sequence.to_le_bytes());
    packet.extend(u16::try_from(payload.len()).unwrap_or_default().to_le_bytes());
    packet.extend(payload);
    packet
}

/// The card's answer to an IPMI message.
fn message(function: u8, command: u8, sequence_lun: u8, completion: u8, data: &[u8]) -> Vec<u8> {
    message_of(0x20, function, command, sequence_lun, completion, data)
}

/// The same, of any controller.
fn message_of(
    address: u8,
    function: u8,
    command: u8,
    sequence_lun: u8,
    completion: u8,
    data: &[u8],
) -> Vec<u8> {
    let minus_sum = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
    let head = [0x81, (function | 1) << 2];
    let mut tail = vec![address, sequence_lun, command, completion];
    tail.extend(data);
    let mut answer = head.to_vec();
    answer.push(minus_sum(&head));
    answer.extend(&tail);
    answer.push(minus_sum(&tail));
    answer
}

const GUID: [u8; 16] = *b"kwapi-sim-card-1";

impl Bmc {
    pub(super) fn new(options: CardOptions) -> Self {
        Self {
            machine: Machine::new(options),
            datagrams: 0,
            wrong_proofs: 0,
            second: None,
            sessions: BTreeMap::new(),
        }
    }

    pub(super) fn forget_sessions(&mut self) {
        self.sessions.clear();
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.values().filter(|session| session.is_open).count()
    }

    /// Answers a datagram, or not.
    pub(super) fn answer(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        self.datagrams += 1;
        let is_lost = self.machine.fault == BmcFault::Lossy && self.datagrams % 2 == 1;
        if self.machine.fault == BmcFault::Hang || is_lost || !datagram.starts_with(&[6, 0, 0xFF, 7]) {
            return None;
        }
        let mut answer = match datagram.get(4)? {
            0 => self.outside(datagram.get(14..)?),
            6 => {
                let payload = datagram.get(16..)?;
                match datagram.get(5)? {
                    0x10 => self.open_session(payload),
                    0x12 => self.rakp_1(payload),
                    0x14 => self.rakp_3(payload),
                    0xC0 => self.inside(datagram),
                    _ => None,
                }
            }
            _ => None,
        }?;
        match self.machine.fault {
            BmcFault::HalfPacket => answer.truncate(answer.len() / 2),
            BmcFault::Garbage => answer.iter_mut().for_each(|byte| *byte = rand::random()),
            BmcFault::None
            | BmcFault::Hang
            | BmcFault::Busy
            | BmcFault::Stale
            | BmcFault::Lossy
            | BmcFault::LosesReservations(_)
            | BmcFault::StopsRecords(_)
            | BmcFault::JunkRecord => {}
        }
        Some(answer)
    }

    /// The card's answer to an IPMI message, with checksums as it makes them.
    fn message(&self, function: u8, command: u8, sequence_lun: u8, completion: u8, data: &[u8]) -> Vec<u8> {
        let mut answer = message(function, command, sequence_lun, completion, data);
        if self.machine.options.wrong_checksums {
            for place in [2, answer.len() - 1] {
                if let Some(byte) = answer.get_mut(place) {
                    *byte ^= 0x5A;
                }
            }
        }
        answer
    }

    /// Get Channel Authentication Capabilities, the one command answered without a session: 22.13.
    fn outside(&self, request: &[u8]) -> Option<Vec<u8>> {
        let (function, sequence, command) = (request.get(1)? >> 2, *request.get(4)?, *request.get(5)?);
        if (function, command) != (0x06, 0x38) {
            return None;
        }
        let options = &self.machine.options;
        let key_status = if options.card_key.is_some() && !options.hides_card_key { 0x24 } else { 0x04 };
        let is_legacy = options.offer == Offer::LegacyWithoutAuthentication;
        let (kinds, versions) = if is_legacy { (0x01, 0x00) } else { (0x80, 0x02) };
        let data = [1, kinds, key_status, versions, 0, 0, 0, 0];
        let body = self.message(function, command, sequence, 0, &data);
        let mut answer = vec![6, 0, 0xFF, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, u8::try_from(body.len()).ok()?];
        answer.extend(body);
        Some(answer)
    }

    /// 13.17, 13.18.
    fn open_session(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let tag = *request.first()?;
        let console = u32_at(request, 4)?;
        let refused = |status: u8| {
            let mut reply = vec![tag, status, 0, 0];
            reply.extend(console.to_le_bytes());
            Some(packet(0x11, 0, 0, &reply))
        };
        let suite = match (request.get(12)?, request.get(20)?, request.get(28)?) {
            (1, 1, 1) => 3,
            (3, 4, 1) => 17,
            _ => return refused(0x11),
        };
        if !self.machine.options.suites.contains(&suite) {
            return refused(self.machine.options.suite_refusal);
        }
        if self.sessions.len() >= SESSIONS_MAX {
            // Openings left half-way make room; sessions in use do not.
            self.sessions.retain(|_, session| session.is_open);
            if self.sessions.len() >= SESSIONS_MAX {
                return refused(0x01);
            }
        }
        let id = rand::random::<u32>() | 1;
        let open_privilege = *request.get(1)?;
        self.sessions.insert(id, BmcSession { console, suite, open_privilege, ..BmcSession::default() });
        let mut reply = vec![tag, 0, 4, 0];
        reply.extend(console.to_le_bytes());
        reply.extend(id.to_le_bytes());
        let mut algorithms = request.get(8..32)?.to_vec();
        if let Offer::Algorithms(offered) = self.machine.options.offer {
            for (place, algorithm) in offered.into_iter().enumerate() {
                *algorithms.get_mut(8 * place + 4)? = algorithm;
            }
        }
        reply.extend(algorithms);
        Some(packet(0x11, 0, 0, &reply))
    }

    /// 13.20, 13.21.
    fn rakp_1(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let tag = *request.first()?;
        let id = u32_at(request, 4)?;
        let session = self.sessions.get_mut(&id)?;
        let role = *request.get(24)?;
        let name = request.get(28..28 + usize::from(*request.get(27)?))?;
        let refused = |status: u8, console: u32| {
            let mut reply = vec![tag, status, 0, 0];
            reply.extend(console.to_le_bytes());
            Some(packet(0x13, 0, 0, &reply))
        };
        if name != self.machine.options.username.as_bytes() {
            return refused(0x0D, session.console);
        }
        if role & 0x0F > self.machine.options.privilege_max {
            return refused(0x0A, session.console);
        }
        session.console_random = request.get(8..24)?.to_vec();
        session.card_random = rand::random();
        session.privilege = role & 0x0F;
        let hashed_role = if self.machine.options.keys_of_open_privilege {
            role & 0xF0 | session.open_privilege
        } else {
            role
        };
        session.who = [&[hashed_role, u8::try_from(name.len()).ok()?], name].concat();
        let hashed = [
            &session.console.to_le_bytes(),
            &id.to_le_bytes(),
            session.console_random.as_slice(),
            &session.card_random,
            &GUID,
            &session.who,
        ]
        .concat();
        let mut reply = vec![tag, 0, 0, 0];
        reply.extend(session.console.to_le_bytes());
        reply.extend(session.card_random);
        reply.extend(GUID);
        reply.extend(keyed_hash(session.suite, self.machine.options.password.as_bytes(), &hashed));
        Some(packet(0x13, 0, 0, &reply))
    }

    /// 13.22, 13.23.
    fn rakp_3(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let tag = *request.first()?;
        let id = u32_at(request, 4)?;
        if *request.get(1)? != 0 {
            self.sessions.remove(&id);
            return None;
        }
        let session = self.sessions.get_mut(&id)?;
        let console = session.console.to_le_bytes();
        let password = self.machine.options.password.as_bytes();
        let proof = [session.card_random.as_slice(), &console, &session.who].concat();
        let mut reply = vec![tag, 0, 0, 0];
        reply.extend(console);
        if request.get(8..)? != keyed_hash(session.suite, password, &proof) {
            self.wrong_proofs += 1;
            self.sessions.remove(&id);
            reply = [&[tag, 0x0F, 0, 0], console.as_slice()].concat();
            return Some(packet(0x15, 0, 0, &reply));
        }
        let card_key = self.machine.options.card_key.as_deref().unwrap_or(password);
        let salt = [session.console_random.as_slice(), &session.card_random, &session.who].concat();
        session.session_key = keyed_hash(session.suite, card_key, &salt);
        session.k1 = keyed_hash(session.suite, &session.session_key, &[1; 20]);
        session.cipher =
            keyed_hash(session.suite, &session.session_key, &[2; 20]).get(..16)?.try_into().ok()?;
        session.is_open = true;
        let last = [session.console_random.as_slice(), &id.to_le_bytes(), &GUID].concat();
        let code = keyed_hash(session.suite, &session.session_key, &last);
        reply.extend(code.get(..short(session.suite))?);
        Some(packet(0x15, 0, 0, &reply))
    }

    /// A command inside a session.
    fn inside(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let id = u32_at(datagram, 6)?;
        let session = self.sessions.get_mut(&id).filter(|session| session.is_open)?;
        let (signed, code) = datagram.split_at_checked(datagram.len().checked_sub(short(session.suite))?)?;
        if keyed_hash(session.suite, &session.k1, signed.get(4..)?).get(..code.len())? != code {
            return None;
        }
        let length = u16::from_le_bytes([*datagram.get(14)?, *datagram.get(15)?]);
        let request = decrypt(&session.cipher, datagram.get(16..16 + usize::from(length))?)?;
        let (function, sequence, command) = (request.get(1)? >> 2, *request.get(4)?, *request.get(5)?);
        let data = request.get(6..request.len() - 1)?;
        let (privilege, power_requests) = (session.privilege, session.power_requests);
        session.power_requests += u32::from((function, command) == (0x2C, 0x02));
        let (completion, data) = match (function, command) {
            // Set Session Privilege Level: 22.18.
            (0x06, 0x3B) => (0, data.to_vec()),
            // Close Session: 22.19.
            (0x06, 0x3C) => (0, Vec::new()),
            // Send Message: 22.7.
            (0x06, 0x34) => self.pass_on(id, data)?,
            _ => self.machine.execute(function, command, data, privilege, power_requests)?,
        };
        let message = self.message(function, command, sequence, completion, &data);
        let answer = self.seal(id, &message);
        if (function, command) == (0x06, 0x3C) {
            self.sessions.remove(&id);
        }
        answer
    }

    /// Passes a message on to the Management Engine: what Send Message itself answers.
    fn pass_on(&mut self, id: u32, data: &[u8]) -> Option<(u8, Vec<u8>)> {
        let engine = self.machine.options.node_manager;
        let (channel, passed_on) = data.split_first()?;
        // Destination unavailable.
        let Some(engine) = engine.filter(|engine| channel & 0x0F == engine.channel) else {
            return Some((0xD3, Vec::new()));
        };
        let [to, function, _, _, sequence, command, rest @ .., _] = passed_on else {
            return Some((0xC7, Vec::new()));
        };
        if *to != 0x2C {
            return Some((0xD3, Vec::new()));
        }
        let (completion, data) = self.machine.engine(function >> 2, *command, rest, engine.is_measuring);
        let answer = message_of(0x2C, function >> 2, *command, *sequence, completion, &data);
        match engine.returns {
            Returns::Within => return Some((0, answer)),
            Returns::Apart => self.second = self.seal(id, &answer),
            Returns::Never => {}
        }
        Some((0, Vec::new()))
    }

    fn seal(&mut self, id: u32, message: &[u8]) -> Option<Vec<u8>> {
        let session = self.sessions.get_mut(&id)?;
        session.sequence += 1;
        let mut answer = packet(0xC0, session.console, session.sequence, &encrypt(&session.cipher, message));
        let mut pad = 0;
        while !(answer.len() - 4 + 2).is_multiple_of(4) {
            answer.push(0xFF);
            pad += 1;
        }
        answer.extend([pad, 7]);
        let code = keyed_hash(session.suite, &session.k1, answer.get(4..)?);
        answer.extend(code.get(..short(session.suite))?);
        Some(answer)
    }
}
