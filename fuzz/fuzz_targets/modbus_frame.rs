//! Modbus answers, on TCP and on serial lines.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    use kwapi_drivers::modbus::codec::{Request, parse_pdu, parse_rtu, parse_tcp_header, rtu_length};
    let Some((head, rest)) = bytes.split_first_chunk::<7>() else { return };
    let [unit, function, third, count, ..] = *head;
    let request = Request { unit, function, address: 0, count: u16::from(count).min(125) };
    _ = parse_tcp_header(*head);
    _ = rtu_length(&request, [unit, function, third]);
    _ = parse_pdu(&request, rest);
    _ = parse_rtu(&request, rest);
});
