//! The agent: from a request's bytes to an answer's (RFC 1157 and 3416), and how it can go wrong.

use std::time::Duration;

use super::ber::{self, Reader};
use super::objects::{Layout, ObjectContent, Value};

/// What goes wrong with an agent. Each until it is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentFault {
    /// It does not answer.
    Silence,
    /// It ignores requests for more objects than this, as some do.
    SilentAbove(usize),
    /// The next requests are lost on the way; then all is well again.
    LoseNext(u32),
    /// It answers late.
    Delay(Duration),
    /// It calls answers of more objects than this too big.
    TooBig(usize),
    /// It answers with bytes that are no SNMP.
    Garbage,
    /// It sends the first half of each answer.
    HalfPacket,
    /// It answers with another request's id.
    WrongRequestId,
    /// It gives the objects of each answer in reverse.
    Reversed,
    /// It cannot report the power of this outlet (from 1) and fails the whole request for it.
    GenErr(u32),
    /// It answers a GETBULK with an error.
    BulkRefused,
    /// It ignores a GETBULK for more rows than this.
    BulkSilentAbove(u32),
    /// It leaves the objects after so many out of its answers.
    CutShort(usize),
    /// Every listing continues for ever.
    Endless,
    /// A listing comes round to where it began.
    Circles,
    /// Each answer is as long as a datagram can be: texts of sixty thousand letters.
    Oversized,
    /// Lengths in its answers declare more than there is.
    LyingLengths,
    /// It answers from another port, as somebody else might.
    OtherPeer,
}

const GET: u8 = 0xa0;
const GET_NEXT: u8 = 0xa1;
const RESPONSE: u8 = 0xa2;
const GET_BULK: u8 = 0xa5;

const TOO_BIG: i32 = 1;
const NO_SUCH_NAME: i32 = 2;
const GEN_ERR: i32 = 5;

/// noSuchInstance (RFC 3416, section 3).
const NO_SUCH_INSTANCE: u8 = 0x81;
/// endOfMibView
const END_OF_MIB_VIEW: u8 = 0x82;

/// A longer answer does not fit a datagram of an Ethernet.
const ANSWER_BYTES_MAX: usize = 1_472;
/// An object of the PDU's tables has more numbers than this.
const ROW_LENGTH: usize = 14;
/// More objects than this are requested by mistake; the rest is not looked at.
const OBJECTS_MAX: usize = 1_000;

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// 0 is v1, 1 is v2c.
    version: i32,
    community: Vec<u8>,
    kind: u8,
    request_id: i32,
    /// GETBULK's non-repeaters and max-repetitions.
    bulk: (i32, i32),
    oids: Vec<Vec<u32>>,
}

impl Request {
    /// Reads a request; `None` for what is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut message = Reader(Reader(bytes).expect(ber::SEQUENCE)?);
        let version = message.integer()?;
        let community = message.expect(ber::OCTET_STRING)?.to_vec();
        let (kind, pdu) = message.next()?;
        let mut pdu = Reader(pdu);
        let request_id = pdu.integer()?;
        let bulk = (pdu.integer()?, pdu.integer()?);
        let mut varbinds = Reader(pdu.expect(ber::SEQUENCE)?);
        let mut oids = Vec::new();
        while let Some(varbind) = varbinds.expect(ber::SEQUENCE) {
            oids.push(Reader(varbind).oid()?);
            if oids.len() >= OBJECTS_MAX {
                break;
            }
        }
        Some(Self { version, community, kind, request_id, bulk, oids })
    }
}

/// Whether bytes are a request this agent would look at; for fuzzing.
#[cfg(feature = "fuzzing")]
pub(crate) fn parse_request(bytes: &[u8]) -> bool {
    Request::parse(bytes).is_some()
}

/// What the agent has: where things stand, and their present values.
pub(super) struct AgentView<'a> {
    pub layout: &'a Layout,
    pub community: &'a str,
    pub fault: Option<AgentFault>,
    pub value: &'a dyn Fn(ObjectContent) -> Value,
}

impl AgentView<'_> {
    /// Answers a request, or does not: a wrong community gets no answer, as from a real agent.
    pub(super) fn answer(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let request = Request::parse(bytes)?;
        if request.community != self.community.as_bytes() || !(0..=1).contains(&request.version) {
            return None;
        }
        match self.fault {
            Some(AgentFault::Silence) => return None,
            Some(AgentFault::SilentAbove(most)) if request.oids.len() > most => return None,
            Some(AgentFault::BulkSilentAbove(most))
                if request.kind == GET_BULK && i64::from(request.bulk.1) > i64::from(most) =>
            {
                return None;
            }
            Some(AgentFault::BulkRefused) if request.kind == GET_BULK => {
                return Some(self.error(&request, GEN_ERR, 0));
            }
            Some(AgentFault::Garbage) => return Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            _ => {}
        }
        let mut answer = match request.kind {
            GET => self.get(&request),
            GET_NEXT => self.get_next(&request),
            GET_BULK if request.version == 1 => self.get_bulk(&request),
            _ => return None,
        };
        if self.fault == Some(AgentFault::HalfPacket) {
            answer.truncate(answer.len() / 2);
        }
        if self.fault == Some(AgentFault::LyingLengths) {
            // The length of the message is its second byte, or follows it in long form.
            if let Some(length) = answer.get_mut(1) {
                *length = length.wrapping_add(1);
            }
        }
        Some(answer)
    }

    fn get(&self, request: &Request) -> Vec<u8> {
        if let Some(AgentFault::TooBig(most)) = self.fault
            && request.oids.len() > most
        {
            return self.error(request, TOO_BIG, 0);
        }
        let mut varbinds = Vec::with_capacity(request.oids.len());
        for (oid, index) in request.oids.iter().zip(1..) {
            let content = self.layout.get(oid);
            if let (Some(AgentFault::GenErr(outlet)), Some(ObjectContent::Watts(place))) =
                (self.fault, content)
                && usize::try_from(outlet).ok() == place.checked_add(1)
            {
                return self.error(request, GEN_ERR, index);
            }
            match content {
                Some(content) => varbinds.push(varbind(oid, &encode(&(self.value)(content)))),
                None if request.version == 0 => return self.error(request, NO_SUCH_NAME, index),
                None => varbinds.push(varbind(oid, &ber::wrap(NO_SUCH_INSTANCE, &[]))),
            }
        }
        self.within_size(request, &varbinds)
    }

    fn get_next(&self, request: &Request) -> Vec<u8> {
        let mut varbinds = Vec::with_capacity(request.oids.len());
        for (oid, index) in request.oids.iter().zip(1..) {
            match self.after(oid) {
                Some((oid, value)) => varbinds.push(varbind(&oid, &value)),
                None if request.version == 0 => return self.error(request, NO_SUCH_NAME, index),
                None => varbinds.push(varbind(oid, &ber::wrap(END_OF_MIB_VIEW, &[]))),
            }
        }
        self.within_size(request, &varbinds)
    }

    fn get_bulk(&self, request: &Request) -> Vec<u8> {
        let (non_repeaters, repetitions) = request.bulk;
        let non_repeaters = usize::try_from(non_repeaters).unwrap_or_default().min(request.oids.len());
        let repetitions = usize::try_from(repetitions).unwrap_or_default().min(OBJECTS_MAX);
        let (once, repeated) = request.oids.split_at_checked(non_repeaters).unwrap_or_default();
        let mut varbinds = Vec::new();
        let mut bytes = 0;
        let mut push = |cursor: &[u32]| -> Option<Vec<u32>> {
            let (next, encoded) = match self.after(cursor) {
                Some((oid, value)) => (oid.clone(), varbind(&oid, &value)),
                None => (cursor.to_vec(), varbind(cursor, &ber::wrap(END_OF_MIB_VIEW, &[]))),
            };
            bytes += encoded.len();
            // Half full is enough: the rest is requested again (RFC 3416, section 4.2.3).
            (bytes < ANSWER_BYTES_MAX - 100).then(|| {
                varbinds.push(encoded);
                next
            })
        };
        let mut is_full = once.iter().any(|oid| push(oid).is_none());
        let mut cursors = repeated.to_vec();
        for _ in 0..repetitions {
            for cursor in &mut cursors {
                match push(cursor) {
                    Some(next) if !is_full => *cursor = next,
                    _ => is_full = true,
                }
            }
            // Past the end there is nothing to repeat.
            if is_full || cursors.iter().all(|cursor| self.after(cursor).is_none()) {
                break;
            }
        }
        self.message(request, 0, 0, &varbinds)
    }

    /// The first object after an OID, and its encoded value.
    fn after(&self, oid: &[u32]) -> Option<(Vec<u32>, Vec<u8>)> {
        match (self.fault, oid) {
            (Some(AgentFault::Endless), [rest @ .., last]) if oid.len() > ROW_LENGTH => {
                let next = last.checked_add(1)?;
                Some(([rest, &[next]].concat(), encode(&Value::Gauge(next))))
            }
            (Some(AgentFault::Endless), _) => Some(([oid, &[1]].concat(), encode(&Value::Gauge(1)))),
            (Some(AgentFault::Circles), _) if oid.len() > ROW_LENGTH => {
                Some((oid.to_vec(), encode(&Value::Gauge(1))))
            }
            _ => {
                let (oid, content) = self.layout.after(oid)?;
                Some((oid.to_vec(), encode(&(self.value)(content))))
            }
        }
    }

    fn within_size(&self, request: &Request, varbinds: &[Vec<u8>]) -> Vec<u8> {
        let answer = self.message(request, 0, 0, varbinds);
        if answer.len() > ANSWER_BYTES_MAX { self.error(request, TOO_BIG, 0) } else { answer }
    }

    fn error(&self, request: &Request, status: i32, index: i32) -> Vec<u8> {
        let is_too_big = status == TOO_BIG && request.version == 1;
        // Version 2c leaves out the objects that did not fit; otherwise they come back as they were requested.
        let oids: &[Vec<u32>] = if is_too_big { &[] } else { &request.oids };
        let varbinds: Vec<_> = oids.iter().map(|oid| varbind(oid, &ber::wrap(ber::NULL, &[]))).collect();
        self.message(request, status, index, &varbinds)
    }

    fn message(&self, request: &Request, status: i32, index: i32, varbinds: &[Vec<u8>]) -> Vec<u8> {
        let request_id = match self.fault {
            Some(AgentFault::WrongRequestId) => request.request_id ^ 0x55,
            _ => request.request_id,
        };
        let varbinds = match self.fault {
            Some(AgentFault::Reversed) => varbinds.iter().rev().flatten().copied().collect::<Vec<u8>>(),
            Some(AgentFault::CutShort(most)) => varbinds.iter().take(most).flatten().copied().collect(),
            _ => varbinds.concat(),
        };
        let pdu = [
            ber::number(ber::INTEGER, i64::from(request_id)),
            ber::number(ber::INTEGER, i64::from(status)),
            ber::number(ber::INTEGER, i64::from(index)),
            ber::wrap(ber::SEQUENCE, &varbinds),
        ];
        let message = [
            ber::number(ber::INTEGER, i64::from(request.version)),
            ber::wrap(ber::OCTET_STRING, &request.community),
            ber::wrap(RESPONSE, &pdu.concat()),
        ];
        ber::wrap(ber::SEQUENCE, &message.concat())
    }
}

fn varbind(oid: &[u32], value: &[u8]) -> Vec<u8> {
    ber::wrap(ber::SEQUENCE, &[ber::oid(oid).as_slice(), value].concat())
}

fn encode(value: &Value) -> Vec<u8> {
    // Application types of RFC 2578: 0x42 Gauge32, 0x43 TimeTicks.
    match value {
        Value::Integer(number) => ber::number(ber::INTEGER, i64::from(*number)),
        Value::Gauge(number) => ber::number(0x42, i64::from(*number)),
        Value::TimeTicks(number) => ber::number(0x43, i64::from(*number)),
        Value::Text(text) => ber::wrap(ber::OCTET_STRING, text.as_bytes()),
        Value::Oid(oid) => ber::oid(oid),
    }
}

#[cfg(test)]
mod tests;
