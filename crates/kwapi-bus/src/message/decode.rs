//! From two frames to a verified measurement, or the cause of its refusal.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use kwapi_core::{
    Accounting, Amperes, CurvePoint, Energy, Measurement, MeterTotal, Pattern, ProbeId, Quality, Timestamp,
    Totals, Volts, Watts,
};
use parking_lot::Mutex;

use super::json::{self, JsonValue, Member};
use super::names::Names;
use super::{KWAPI_1, PAYLOAD_BYTES_MAX, SIGNATURE_MEMBER, legacy, own, topic_length};
use crate::Refusal;
use crate::key::{Key, KeyError, KeyedMac, Scheme};

/// Reads messages and checks them, as one endpoint is configured.
#[derive(Debug)]
pub struct Verifier {
    scheme: Scheme,
    keys: Vec<VerifyingKey>,
    by_id: HashMap<Arc<str>, usize>,
    names: Mutex<Names>,
}

#[derive(Debug)]
struct VerifyingKey {
    mac: KeyedMac,
    probes: Pattern,
}

/// A message that is what its key's holder sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// What was sent.
    pub measurement: Measurement,
    /// The key that signed it: its place among the endpoint's keys and its id. `None` without signatures.
    pub key: Option<(usize, Arc<str>)>,
}

impl Verifier {
    /// A verifier of `scheme` with the keys it knows.
    ///
    /// # Errors
    /// When the scheme needs keys and there are none (or the other way round), two have one id, or one is unfit.
    pub fn new(scheme: Scheme, keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyError> {
        let mut verifier = Self { scheme, keys: Vec::new(), by_id: HashMap::new(), names: Mutex::default() };
        for key in keys {
            let mac = KeyedMac::new(&key, scheme)?;
            if verifier.by_id.insert(mac.id.clone(), verifier.keys.len()).is_some() {
                return Err(KeyError::Twice(key.id));
            }
            verifier.keys.push(VerifyingKey { mac, probes: key.probes });
        }
        match (scheme, verifier.keys.is_empty()) {
            (Scheme::Kwapi1 | Scheme::Legacy, true) => Err(KeyError::Count("at least one key")),
            (Scheme::None, false) => Err(KeyError::Count("no key")),
            (Scheme::Kwapi1 | Scheme::Legacy, false) | (Scheme::None, true) => Ok(verifier),
        }
    }

    /// The ids of its keys, in their order.
    pub fn key_ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.keys.iter().map(|key| &key.mac.id)
    }

    fn key(&self, id: &str) -> Option<(usize, &VerifyingKey)> {
        let index = match self.keys.as_slice() {
            [only] if *only.mac.id == *id => 0, // Most have one, and need not look it up.
            _ => *self.by_id.get(id)?,
        };
        Some((index, self.keys.get(index)?))
    }

    /// Reads one message. The signature is judged before anything it covers.
    ///
    /// # Errors
    /// The first cause met to refuse it.
    pub fn decode(&self, frames: &[&[u8]]) -> Result<Verified, Refusal> {
        let &[topic, payload] = frames else { return Err(Refusal::Frames) };
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        if let Some(own) = own::read(payload)
            && let Some(decided) = self.decode_own(topic, payload, &own)
        {
            return decided;
        }
        self.decode_any(topic, payload)
    }

    /// What [`Self::decode_any`] would say of a message in our own form; `None` where this is not quickly told.
    fn decode_own(
        &self,
        topic: &[u8],
        payload: &[u8],
        own: &own::Own<'_>,
    ) -> Option<Result<Verified, Refusal>> {
        let key = match (self.scheme, &own.signature) {
            (Scheme::Kwapi1, Some(signature)) => {
                let Some((index, key)) = self.key(signature.key) else {
                    return Some(Err(Refusal::KeyUnknown));
                };
                let signed = payload.get(..signature.signed)?;
                if !key.mac.verify(&[KWAPI_1, &topic_length(topic), topic, signed], signature.hex) {
                    return Some(Err(Refusal::SignatureWrong));
                }
                Some((index, key))
            }
            (Scheme::None, None) => None,
            _ => return None,
        };
        if topic.strip_suffix(b".") != Some(own.probe.as_bytes()) {
            return None;
        }
        let probe = self.names.lock().probe(own.probe).ok()?;
        let power = Watts(own.power);
        if !Measurement::power_is_valid(power) || key.is_some_and(|(_, key)| !key.probes.matches(&probe)) {
            return None;
        }
        let measurement = Measurement {
            probe,
            power,
            voltage: own.voltage.map(Volts),
            current: own.current.map(Amperes),
            accounting: Some(own.accounting),
        };
        Some(Ok(Verified { measurement, key: key.map(|(index, key)| (index, key.mac.id.clone())) }))
    }

    /// Reads a message of any form.
    fn decode_any(&self, topic: &[u8], payload: &[u8]) -> Result<Verified, Refusal> {
        let text = std::str::from_utf8(payload).map_err(|_| Refusal::Utf8)?;
        let members = json::members(text)?;
        let slots = Slots::of(&members, self.scheme)?;
        let key = match self.scheme {
            Scheme::Kwapi1 => Some(self.verify_kwapi_1(topic, payload, &members, &slots)?),
            Scheme::Legacy => Some(self.verify_legacy(&members, &slots)?),
            Scheme::None => None,
        };
        let probe = slots.probe()?;
        if topic.strip_suffix(b".") != Some(probe.as_str().as_bytes()) {
            return Err(Refusal::TopicMismatch);
        }
        if key.is_some_and(|(_, key)| !key.probes.matches(&probe)) {
            return Err(Refusal::KeyScope);
        }
        let power = slots.number(Slot::W)?.map(Watts).ok_or(Refusal::Power)?;
        if !Measurement::power_is_valid(power) {
            return Err(Refusal::Power);
        }
        let measurement = Measurement {
            probe,
            power: Watts(power.0 + 0.0), // Minus zero is zero.
            voltage: slots.number(Slot::V)?.map(Volts),
            current: slots.number(Slot::A)?.map(Amperes),
            accounting: slots.accounting()?,
        };
        if self.scheme == Scheme::Kwapi1 && measurement.accounting.is_none() {
            return Err(Refusal::Member); // Without session and seq it could be replayed.
        }
        Ok(Verified { measurement, key: key.map(|(index, key)| (index, key.mac.id.clone())) })
    }

    fn verify_kwapi_1(
        &self,
        topic: &[u8],
        payload: &[u8],
        members: &[Member<'_>],
        slots: &Slots<'_, '_>,
    ) -> Result<(usize, &VerifyingKey), Refusal> {
        let member = slots.get(Slot::Signature).ok_or(Refusal::SignatureMissing)?;
        let last =
            members.last().filter(|last| last.name == SIGNATURE_MEMBER).ok_or(Refusal::SignatureWrong)?;
        // Escapes in it, or anything after it, would be bytes that nobody has signed.
        let JsonValue::Text(Cow::Borrowed(signature)) = member else { return Err(Refusal::SignatureWrong) };
        if payload.get(last.end..) != Some(b"}") {
            return Err(Refusal::SignatureWrong);
        }
        let (id, hex) = signature
            .strip_prefix("1:")
            .and_then(|signature| signature.split_once(':'))
            .ok_or(Refusal::SignatureWrong)?;
        let (index, key) = self.key(id).ok_or(Refusal::KeyUnknown)?;
        let signed = payload.get(..last.begin).unwrap_or_default();
        if !key.mac.verify(&[KWAPI_1, &topic_length(topic), topic, signed], hex) {
            return Err(Refusal::SignatureWrong);
        }
        Ok((index, key))
    }

    fn verify_legacy(
        &self,
        members: &[Member<'_>],
        slots: &Slots<'_, '_>,
    ) -> Result<(usize, &VerifyingKey), Refusal> {
        let signature = match slots.get(Slot::Signature) {
            Some(JsonValue::Text(signature)) => signature,
            Some(_) => return Err(Refusal::SignatureWrong),
            None => return Err(Refusal::SignatureMissing),
        };
        let mut digest = String::with_capacity(256);
        legacy::digest(members, &mut digest).map_err(|legacy::Unsignable| Refusal::SignatureWrong)?;
        // The message does not say which key: there is one, or two while it is being changed.
        self.keys
            .iter()
            .enumerate()
            .find(|(_, key)| key.mac.verify(&[digest.as_bytes()], signature))
            .ok_or(Refusal::SignatureWrong)
    }
}

/// The members we know, by place.
#[derive(Clone, Copy)]
enum Slot {
    ProbeId,
    W,
    V,
    A,
    TimestampUs,
    Session,
    Seq,
    EnergyMj,
    MeasuredMs,
    EstimatedMs,
    UnknownMs,
    EstimatedMj,
    BridgedMj,
    BridgedMs,
    Curve,
    Run,
    CurveMj,
    MeterEnergyMj,
    MeterSinceUs,
    Q,
    Signature,
}

const SLOTS: usize = Slot::Signature as usize + 1;
/// Present together or not at all.
const ACCOUNTING: [Slot; 7] = [
    Slot::TimestampUs,
    Slot::Session,
    Slot::Seq,
    Slot::EnergyMj,
    Slot::MeasuredMs,
    Slot::EstimatedMs,
    Slot::UnknownMs,
];

fn slot(name: &str) -> Option<Slot> {
    // By bytes: the compiler makes a decision tree of these, and a chain of comparisons of texts.
    Some(match name.as_bytes() {
        b"probe_id" => Slot::ProbeId,
        b"w" => Slot::W,
        b"v" => Slot::V,
        b"a" => Slot::A,
        b"timestamp_us" => Slot::TimestampUs,
        b"session" => Slot::Session,
        b"seq" => Slot::Seq,
        b"energy_mj" => Slot::EnergyMj,
        b"measured_ms" => Slot::MeasuredMs,
        b"estimated_ms" => Slot::EstimatedMs,
        b"unknown_ms" => Slot::UnknownMs,
        b"estimated_mj" => Slot::EstimatedMj,
        b"bridged_mj" => Slot::BridgedMj,
        b"bridged_ms" => Slot::BridgedMs,
        b"curve" => Slot::Curve,
        b"run" => Slot::Run,
        b"curve_mj" => Slot::CurveMj,
        b"meter_energy_mj" => Slot::MeterEnergyMj,
        b"meter_since_us" => Slot::MeterSinceUs,
        b"q" => Slot::Q,
        b"message_signature" => Slot::Signature,
        _ => return None,
    })
}

struct Slots<'m, 'a>([Option<&'m JsonValue<'a>>; SLOTS]);

impl<'m, 'a> Slots<'m, 'a> {
    /// Finds the members we know. A second one of any name is refused, but by the original the last one wins.
    fn of(members: &'m [Member<'a>], scheme: Scheme) -> Result<Self, Refusal> {
        let duplicates_count = match scheme {
            Scheme::Kwapi1 | Scheme::None => true,
            Scheme::Legacy => false,
        };
        let mut slots = [None; SLOTS];
        for (index, member) in members.iter().enumerate() {
            let is_duplicate = match slot(&member.name).and_then(|slot| slots.get_mut(slot as usize)) {
                Some(slot) => slot.replace(&member.value).is_some(),
                None => members.iter().take(index).any(|earlier| earlier.name == member.name),
            };
            if is_duplicate && duplicates_count {
                return Err(Refusal::DuplicateMember);
            }
        }
        Ok(Self(slots))
    }

    fn get(&self, slot: Slot) -> Option<&'m JsonValue<'a>> {
        self.0.get(slot as usize).copied().flatten()
    }

    fn probe(&self) -> Result<ProbeId, Refusal> {
        match self.get(Slot::ProbeId) {
            Some(JsonValue::Text(id)) => ProbeId::new(id).map_err(|_| Refusal::ProbeId),
            Some(_) | None => Err(Refusal::ProbeId),
        }
    }

    /// A finite number, if it is there.
    fn number(&self, slot: Slot) -> Result<Option<f64>, Refusal> {
        let wrong = if matches!(slot, Slot::W) { Refusal::Power } else { Refusal::Member };
        match self.get(slot) {
            None => Ok(None),
            Some(JsonValue::Number(text)) => {
                text.parse().ok().filter(|number: &f64| number.is_finite()).map(Some).ok_or(wrong)
            }
            Some(_) => Err(wrong),
        }
    }

    /// A count, if it is there: a number without point, exponent or sign that fits.
    fn count(&self, slot: Slot) -> Result<Option<u64>, Refusal> {
        match self.get(slot) {
            None => Ok(None),
            Some(JsonValue::Number(text)) => text.parse().map(Some).map_err(|_| Refusal::Member),
            Some(_) => Err(Refusal::Member),
        }
    }

    fn accounting(&self) -> Result<Option<Accounting>, Refusal> {
        let mut counts = [0; ACCOUNTING.len()];
        let mut present = 0;
        for (count, slot) in counts.iter_mut().zip(ACCOUNTING) {
            if let Some(value) = self.count(slot)? {
                *count = value;
                present += 1;
            }
        }
        if present == 0 {
            return Ok(None);
        }
        if present < ACCOUNTING.len() {
            return Err(Refusal::Member);
        }
        let [timestamp, session, seq, energy, measured_ms, estimated_ms, unknown_ms] = counts;
        let quality = match self.get(Slot::Q) {
            None => Quality::Measured,
            Some(JsonValue::Text(quality)) if quality == "estimated" => Quality::Estimated,
            Some(_) => return Err(Refusal::Member),
        };
        let totals = Totals {
            energy: Energy::from_millijoules(energy),
            estimated: Energy::from_millijoules(self.count(Slot::EstimatedMj)?.unwrap_or(0)),
            bridged: Energy::from_millijoules(self.count(Slot::BridgedMj)?.unwrap_or(0)),
            measured_ms,
            estimated_ms,
            bridged_ms: self.count(Slot::BridgedMs)?.unwrap_or(0),
            unknown_ms,
        };
        if !totals.is_sound() {
            return Err(Refusal::Member);
        }
        Ok(Some(Accounting {
            timestamp: Timestamp::from_micros(timestamp),
            session: Timestamp::from_micros(session),
            seq,
            totals,
            curve: self.curve()?,
            meter: self.meter()?,
            quality,
        }))
    }

    /// All of a curve's members or none; runs count from 1.
    fn curve(&self) -> Result<Option<CurvePoint>, Refusal> {
        match (self.count(Slot::Curve)?, self.count(Slot::Run)?, self.count(Slot::CurveMj)?) {
            (None, None, None) => Ok(None),
            (Some(id), Some(run @ 1..), Some(begin)) => Ok(Some(CurvePoint {
                id: Timestamp::from_micros(id),
                run: u32::try_from(run).map_err(|_| Refusal::Member)?,
                begin: Energy::from_millijoules(begin),
            })),
            _ => Err(Refusal::Member),
        }
    }

    fn meter(&self) -> Result<Option<MeterTotal>, Refusal> {
        let since = self.count(Slot::MeterSinceUs)?.map(Timestamp::from_micros);
        match self.count(Slot::MeterEnergyMj)?.map(Energy::from_millijoules) {
            Some(energy) => Ok(Some(MeterTotal { energy, since })),
            None if since.is_some() => Err(Refusal::Member),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
