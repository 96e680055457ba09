//! What the fuzz targets call: every parser of this driver, on bytes that anyone may have sent.

use super::crypto::{Keys, Suite};
use super::{dcmi, message, node_manager, packet, sdr};

/// A datagram: headers, sealing, message.
pub(crate) fn datagram(bytes: &[u8]) {
    _ = packet::addressee(bytes);
    if let Some(packet::Packet::Plus { sealed, payload, .. }) = packet::parse(bytes) {
        for suite in Suite::ALL {
            let keys = Keys::derive(suite, &suite.mac(b"key", &[]));
            _ = keys.open(sealed, payload);
            _ = keys.decrypt(payload);
        }
    }
    if let Some(answer) = message::parse(bytes) {
        _ = message::answer_across(&answer, message::GET_NODE_MANAGER_STATISTICS, 1);
    }
}

/// The answer to a command: DCMI power, an SDR record, a sensor's reading.
pub(crate) fn answer(bytes: &[u8]) {
    if let Some(power) = dcmi::parse(bytes) {
        _ = power.reading();
    }
    _ = node_manager::parse(bytes).map(|power| power.to_string());
    if let Ok(Some(sdr::IpmiSensor { conversion: Ok(conversion), .. })) = sdr::full_sensor(bytes) {
        _ = conversion.watts(bytes.first().copied().unwrap_or_default());
    }
    _ = sdr::raw_reading(bytes);
}

/// The replies of session opening.
pub(crate) fn opening(bytes: &[u8]) {
    super::rakp::parse_all(bytes);
    super::outside::parse_all(bytes);
    super::legacy::parse_all(bytes);
}
