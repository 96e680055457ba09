//! What the fuzz targets call: the parsers of bytes from outside, each of which must return, whatever it is given.

use std::str::from_utf8;

use crate::snmp::ProfileCatalogue;
use crate::{
    http, ipmi, json_values, kasa, manager, modbus, nut, obis, prometheus, push, redfish, shelly, snmp,
    tasmota, wattsup,
};

/// Digest challenges of HTTP devices.
pub fn http_challenge(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    _ = http::parse_challenge(text);
}

/// The messages inside a session of an IPMI card.
pub fn ipmi_answer(bytes: &[u8]) {
    ipmi::fuzzing::answer(bytes);
}

/// Datagrams of an IPMI card.
pub fn ipmi_datagram(bytes: &[u8]) {
    ipmi::fuzzing::datagram(bytes);
}

/// The messages that open a session of an IPMI card.
pub fn ipmi_opening(bytes: &[u8]) {
    ipmi::fuzzing::opening(bytes);
}

/// Answers of a Kasa plug or strip, obscured and in clear.
pub fn kasa_answer(bytes: &[u8]) {
    kasa::parse_anything(bytes);
}

/// JSON of every device that sends it: Redfish, Shelly, Tasmota, and documents of the operator's own.
pub fn meters_json(bytes: &[u8]) {
    redfish::resource::parse_anything(bytes);
    shelly::status::parse_anything(bytes);
    tasmota::parse_anything(bytes);
    json_values::parse_anything(bytes);
}

/// Modbus answers, on TCP and on serial lines.
pub fn modbus_frame(bytes: &[u8]) {
    use modbus::codec::{ModbusRequest, parse_pdu, parse_rtu, parse_tcp_header, rtu_length};
    let Some((head, rest)) = bytes.split_first_chunk::<7>() else { return };
    let [unit, function, third, count, ..] = *head;
    let request = ModbusRequest { unit, function, address: 0, count: u16::from(count).min(125) };
    _ = parse_tcp_header(*head);
    _ = rtu_length(request, [unit, function, third]);
    _ = parse_pdu(request, rest);
    _ = parse_rtu(request, rest);
    _ = modbus::parse_identification(rest);
}

/// Lines of a NUT server.
pub fn nut_line(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    for line in text.lines() {
        _ = nut::variables::parse_variable(line);
    }
}

/// What comes off the line of a P1 port or an optical head: text telegrams, SML.
pub fn obis_telegram(bytes: &[u8]) {
    obis::parse_anything(bytes);
}

/// The exposition formats of Prometheus and OpenMetrics.
pub fn prometheus_text(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    for line in text.lines() {
        _ = prometheus::exposition::parse_sample(line, false);
        _ = prometheus::exposition::parse_sample(line, true);
    }
}

/// A line that somebody's script pushes.
pub fn push_line(bytes: &[u8]) {
    _ = push::parse_line(bytes);
}

/// A slot of the driver manager's state, and the first reading after it.
pub fn session_entry(bytes: &[u8]) {
    manager::exercise_entry(bytes);
}

/// Datagrams of an SNMP agent, and what every profile makes of the objects in them.
pub fn snmp_datagram(bytes: &[u8], catalogue: &ProfileCatalogue) {
    snmp::fuzzing::datagram(bytes, catalogue);
}

/// A Watts up? record, as it comes off the serial line.
pub fn wattsup_record(bytes: &[u8]) {
    _ = wattsup::parse_record(bytes);
}
