//! From two frames to a verified measurement, or the cause of its refusal.

mod slots;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use kwapi_core::{Amperes, Description, Measurement, Pattern, Volts, Watts};
use parking_lot::Mutex;
use slots::{Slot, Slots};

use super::description::DescriptionRefusal;
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
    /// Its description of its probe, if it has one.
    pub description: Option<Result<Box<Description>, DescriptionRefusal>>,
}

impl Verifier {
    /// A verifier of `scheme` with its keys.
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
    pub(crate) fn key_ids(&self) -> impl Iterator<Item = &Arc<str>> {
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

    /// What [`Self::decode_any`] would yield for a message in our own form; `None` where this cannot be decided
    /// quickly.
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
        let key = key.map(|(index, key)| (index, key.mac.id.clone()));
        Some(Ok(Verified { measurement, key, description: None }))
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
        let description = if self.scheme == Scheme::Legacy || measurement.accounting.is_none() {
            None
        } else {
            slots.description()
        };
        Ok(Verified { measurement, key: key.map(|(index, key)| (index, key.mac.id.clone())), description })
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
        // The message does not name its key: there is one, or two while it is being changed.
        self.keys
            .iter()
            .enumerate()
            .find(|(_, key)| key.mac.verify(&[digest.as_bytes()], signature))
            .ok_or(Refusal::SignatureWrong)
    }
}

#[cfg(test)]
mod tests;
