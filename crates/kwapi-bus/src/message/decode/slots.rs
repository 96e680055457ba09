//! The members of a message that we read, each in its place, and what they hold.

use kwapi_core::{
    Accounting, CurvePoint, Description, Energy, MeterTotal, ProbeId, Quality, Timestamp, Totals,
};

use super::super::description::{self, DescriptionRefusal};
use super::super::json::{JsonValue, Member};
use crate::Refusal;
use crate::key::Scheme;

/// The members we read, by place.
#[derive(Clone, Copy)]
pub(super) enum Slot {
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
    Description,
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
        b"description" => Slot::Description,
        b"message_signature" => Slot::Signature,
        _ => return None,
    })
}

pub(super) struct Slots<'m, 'a>([Option<&'m JsonValue<'a>>; SLOTS]);

impl<'m, 'a> Slots<'m, 'a> {
    /// Finds the members we read. A second one of any name is refused; by the original the last one wins.
    pub(super) fn of(members: &'m [Member<'a>], scheme: Scheme) -> Result<Self, Refusal> {
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

    pub(super) fn get(&self, slot: Slot) -> Option<&'m JsonValue<'a>> {
        self.0.get(slot as usize).copied().flatten()
    }

    pub(super) fn probe(&self) -> Result<ProbeId, Refusal> {
        match self.get(Slot::ProbeId) {
            Some(JsonValue::Text(id)) => ProbeId::new(id).map_err(|_| Refusal::ProbeId),
            Some(_) | None => Err(Refusal::ProbeId),
        }
    }

    /// A finite number, if it is there.
    pub(super) fn number(&self, slot: Slot) -> Result<Option<f64>, Refusal> {
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

    /// The message's description of its probe. One that cannot be read does not cost the message.
    pub(super) fn description(&self) -> Option<Result<Box<Description>, DescriptionRefusal>> {
        Some(match self.get(Slot::Description)? {
            JsonValue::Object(text) => description::read(text),
            JsonValue::Null
            | JsonValue::Bool(_)
            | JsonValue::Number(_)
            | JsonValue::Text(_)
            | JsonValue::List(_) => Err(DescriptionRefusal::Malformed),
        })
    }

    pub(super) fn accounting(&self) -> Result<Option<Accounting>, Refusal> {
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
