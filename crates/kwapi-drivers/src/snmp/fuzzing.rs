//! What a datagram of an agent may make of us, for the fuzzer: the library's decoding, then our interpretation.

use async_snmp::message::Message;
use async_snmp::{DecodeConfig, Oid};

use super::profile::ProfileCatalogue;
use super::value::ObjectValue;
use super::walk::{Walk, evaluate};

/// Reads a datagram as an answer, and its objects under every profile.
pub(crate) fn datagram(bytes: &[u8], catalogue: &ProfileCatalogue) {
    let Ok(decoded) = Message::decode(bytes.to_vec().into(), DecodeConfig::default()) else { return };
    let Some(pdu) = decoded.value.pdu() else { return };
    let objects: Vec<(Oid, ObjectValue)> = pdu
        .varbinds()
        .iter()
        .map(|varbind| (varbind.oid.clone(), ObjectValue::from_wire(&varbind.value)))
        .collect();
    _ = super::walk::to_snmprec(&objects);
    let walk: Walk = objects.into_iter().collect();
    for profile in catalogue.iter() {
        evaluate(profile, &walk);
    }
}
