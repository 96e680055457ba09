//! What an agent reports of one object, in our own terms.

use async_snmp::{Oid, Value as Wire};

/// One object's value, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub enum ObjectValue {
    /// INTEGER, Gauge32, Counter32, Counter64, `TimeTicks`: no device gives more than 64 bits.
    Integer(i128),
    /// An Opaque-wrapped float (net-snmp's extension).
    Float(f64),
    /// OCTET STRING.
    Text(Vec<u8>),
    /// OBJECT IDENTIFIER.
    Oid(Oid),
    /// The agent has no such object (noSuchObject, noSuchInstance, SNMP v1's noSuchName).
    Absent,
    /// The agent could not report this one (genErr, one object tooBig, no varbind in the answer).
    Failed,
    /// NULL.
    Null,
    /// `IpAddress` and types no meter uses for a number.
    Other,
}

/// ASN.1 tag and length of a float in an Opaque (draft-perkins-opaque, as net-snmp and its like send it).
const OPAQUE_FLOAT: [u8; 3] = [0x9f, 0x78, 0x04];
/// The same of a double.
const OPAQUE_DOUBLE: [u8; 3] = [0x9f, 0x79, 0x08];

impl ObjectValue {
    /// Takes a value off the wire.
    pub(super) fn from_wire(value: &Wire) -> Self {
        match value {
            Wire::Integer(number) => Self::Integer(i128::from(*number)),
            Wire::Counter32(number)
            | Wire::Gauge32(number)
            | Wire::UInteger32(number)
            | Wire::TimeTicks(number) => Self::Integer(i128::from(*number)),
            Wire::Counter64(number) => Self::Integer(i128::from(*number)),
            Wire::OctetString(text) => Self::Text(text.to_vec()),
            Wire::Opaque(bytes) => Self::from_opaque(bytes),
            Wire::ObjectIdentifier(oid) => Self::Oid(oid.clone()),
            Wire::Null => Self::Null,
            Wire::NoSuchObject | Wire::NoSuchInstance | Wire::EndOfMibView => Self::Absent,
            _ => Self::Other,
        }
    }

    /// The number that an Opaque wraps.
    pub(super) fn from_opaque(bytes: &[u8]) -> Self {
        if let Some(float) = bytes.strip_prefix(&OPAQUE_FLOAT)
            && let Ok(float) = <[u8; 4]>::try_from(float)
        {
            return Self::Float(f64::from(f32::from_be_bytes(float)));
        }
        if let Some(double) = bytes.strip_prefix(&OPAQUE_DOUBLE)
            && let Ok(double) = <[u8; 8]>::try_from(double)
        {
            return Self::Float(f64::from_be_bytes(double));
        }
        Self::Other
    }

    /// The number it is or spells (`" 12.5 "`); some agents send numbers as text.
    pub fn number(&self) -> Option<f64> {
        let number = match self {
            #[expect(clippy::cast_precision_loss, reason = "exact to 2^53, nine petajoules in millijoules")]
            Self::Integer(number) => *number as f64,
            Self::Float(number) => *number,
            Self::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok()?,
            Self::Oid(_) | Self::Absent | Self::Failed | Self::Null | Self::Other => return None,
        };
        number.is_finite().then_some(number)
    }

    /// The whole number it is or spells.
    pub(crate) fn integer(&self) -> Option<i128> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
            Self::Float(_) | Self::Oid(_) | Self::Absent | Self::Failed | Self::Null | Self::Other => None,
        }
    }

    /// Whether it is there and empty: NULL, or a text of nothing but padding. Agents send that for what they do not
    /// measure.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => text.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0),
            Self::Null => true,
            Self::Integer(_) | Self::Float(_) | Self::Oid(_) | Self::Absent | Self::Failed | Self::Other => {
                false
            }
        }
    }

    /// The text it is, without what PDUs pad names with; `None` when nothing readable is left.
    pub fn text(&self) -> Option<String> {
        let Self::Text(bytes) = self else { return None };
        let text: String =
            String::from_utf8_lossy(bytes).chars().filter(|character| !character.is_control()).collect();
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// For messages: `107`, `"off"`, at most 60 characters.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(_) => {
                let text: String = self.text().unwrap_or_default().chars().take(60).collect();
                format!("{text:?}")
            }
            Self::Oid(oid) => oid.to_string(),
            Self::Absent => "no such object".to_owned(),
            Self::Failed => "an error".to_owned(),
            Self::Null => "NULL".to_owned(),
            Self::Other => "a value of an unexpected type".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
