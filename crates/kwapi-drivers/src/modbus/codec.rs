//! Modbus requests and answers as bytes, on TCP and on serial lines.
//!
//! Source: *MODBUS Application Protocol* V1.1b3, 6.3, 6.4 and 7; *Messaging on TCP/IP* V1.0b, 3.1.3; *over Serial
//! Line* V1.02, 2.5.1 and 6.2.2.

/// One request holds at most this many registers (6.3).
pub(super) const REGISTERS_MAX: u16 = 125;
/// The header of Modbus TCP up to and with the unit.
pub(super) const TCP_HEADER_BYTES: usize = 7;
/// A protocol data unit has at most 253 bytes (4.1).
const PDU_BYTES_MAX: usize = 253;

/// A request for registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModbusRequest {
    /// The meter's address on its line or behind its gateway.
    pub(crate) unit: u8,
    /// 3 reads holding registers, 4 input registers.
    pub(crate) function: u8,
    /// The first register, counted from 0.
    pub(crate) address: u16,
    /// How many.
    pub(crate) count: u16,
}

/// What a meter answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModbusResponse {
    /// The registers requested.
    Registers(Vec<u16>),
    /// A reason why not (7).
    Exception(u8),
}

impl ModbusRequest {
    fn pdu(self) -> [u8; 5] {
        let [address_high, address_low] = self.address.to_be_bytes();
        let [count_high, count_low] = self.count.to_be_bytes();
        [self.function, address_high, address_low, count_high, count_low]
    }

    /// The request as Modbus TCP frames it.
    pub(super) fn tcp_frame(self, transaction: u16) -> Vec<u8> {
        let mut frame = Vec::with_capacity(12);
        frame.extend(transaction.to_be_bytes());
        frame.extend([0, 0, 0, 6, self.unit]);
        frame.extend(self.pdu());
        frame
    }

    /// The request as a serial line frames it.
    pub(super) fn rtu_frame(self) -> Vec<u8> {
        let mut frame = vec![self.unit];
        frame.extend(self.pdu());
        frame.extend(crc(&frame).to_le_bytes());
        frame
    }
}

/// The transaction and the length of the data unit after a TCP header; `None` if it is none.
pub(crate) fn parse_tcp_header(header: [u8; TCP_HEADER_BYTES]) -> Option<(u16, u8, usize)> {
    let [high, low, 0, 0, length_high, length_low, unit] = header else { return None };
    let length = usize::from(u16::from_be_bytes([length_high, length_low])).checked_sub(1)?;
    (2..=PDU_BYTES_MAX).contains(&length).then(|| (u16::from_be_bytes([high, low]), unit, length))
}

/// How long a serial answer is in all, derived from its first three bytes; `None` if it is a response to something else.
pub(crate) fn rtu_length(request: ModbusRequest, head: [u8; 3]) -> Option<usize> {
    let [unit, function, third] = head;
    if unit != request.unit {
        return None;
    }
    if function == request.function | 0x80 {
        return Some(5);
    }
    (function == request.function && u16::from(third) == request.count * 2).then(|| usize::from(third) + 5)
}

/// Reads a whole serial answer; `None` where the checksum is wrong or it is not the answer.
pub(crate) fn parse_rtu(request: ModbusRequest, frame: &[u8]) -> Option<ModbusResponse> {
    let (rest, check) = frame.split_last_chunk::<2>()?;
    if crc(rest) != u16::from_le_bytes(*check) {
        return None;
    }
    let (unit, pdu) = rest.split_first()?;
    (*unit == request.unit).then(|| parse_pdu(request, pdu)).flatten()
}

/// Reads a data unit; `None` if it does not answer `request`.
pub(crate) fn parse_pdu(request: ModbusRequest, pdu: &[u8]) -> Option<ModbusResponse> {
    match pdu {
        [function, code] if *function == request.function | 0x80 => Some(ModbusResponse::Exception(*code)),
        [function, length, data @ ..]
            if *function == request.function
                && usize::from(*length) == data.len()
                && data.len() == usize::from(request.count) * 2 =>
        {
            let registers = data.chunks_exact(2).map(|pair| match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                _ => 0,
            });
            Some(ModbusResponse::Registers(registers.collect()))
        }
        _ => None,
    }
}

/// The checksum of serial frames, low byte first on the wire.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    })
}

/// What an exception means, in the words of the standard (7).
pub(super) fn exception(code: u8) -> &'static str {
    match code {
        1 => "illegal function",
        2 => "illegal data address",
        3 => "illegal data value",
        4 => "device failure",
        5 => "acknowledge (still processing)",
        6 => "device busy",
        10 => "gateway path unavailable",
        11 => "gateway target device failed to respond",
        _ => "unknown exception",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOTAL: ModbusRequest = ModbusRequest { unit: 1, function: 4, address: 0x34, count: 2 };

    #[test]
    fn a_request_is_as_eastron_prints_it() {
        // SDM630-Modbus Protocol, 1.1.2, the example request for volts of L1.
        let volts = ModbusRequest { unit: 1, function: 4, address: 0, count: 2 };
        assert_eq!(volts.rtu_frame(), [0x01, 0x04, 0x00, 0x00, 0x00, 0x02, 0x71, 0xcb]);
        assert_eq!(TOTAL.tcp_frame(0x1234), [0x12, 0x34, 0, 0, 0, 6, 1, 4, 0, 0x34, 0, 2]);
    }

    #[test]
    fn an_answer_is_read_and_its_checksum_checked() {
        // The example answer of the same section: 230.2 V.
        let volts = ModbusRequest { unit: 1, function: 4, address: 0, count: 2 };
        let mut answer = vec![0x01, 0x04, 0x04, 0x43, 0x66, 0x33, 0x34, 0x1b, 0x38];
        assert_eq!(parse_rtu(volts, &answer), Some(ModbusResponse::Registers(vec![0x4366, 0x3334])));
        answer[4] ^= 1;
        assert_eq!(parse_rtu(volts, &answer), None);
        assert_eq!(rtu_length(volts, [1, 4, 4]), Some(9));
        assert_eq!(rtu_length(volts, [1, 0x84, 2]), Some(5));
        for other in [[2, 4, 4], [1, 3, 4], [1, 4, 6]] {
            assert_eq!(rtu_length(volts, other), None, "{other:?}");
        }
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        assert_eq!(
            parse_pdu(TOTAL, &[4, 4, 1, 2, 3, 4]),
            Some(ModbusResponse::Registers(vec![0x0102, 0x0304]))
        );
        assert_eq!(parse_pdu(TOTAL, &[0x84, 2]), Some(ModbusResponse::Exception(2)));
        for other in [&[4, 2, 1, 2][..], &[3, 4, 1, 2, 3, 4], &[4, 4, 1, 2, 3], &[0x83, 2], &[4], &[]] {
            assert_eq!(parse_pdu(TOTAL, other), None, "{other:?}");
        }
    }

    #[test]
    fn a_header_of_another_protocol_or_length_is_none() {
        assert_eq!(parse_tcp_header([0, 7, 0, 0, 0, 7, 1]), Some((7, 1, 6)));
        for header in [[0, 7, 0, 1, 0, 7, 1], [0, 7, 0, 0, 0, 0, 1], [0, 7, 0, 0, 1, 0, 1], *b"HTTP/1."] {
            assert_eq!(parse_tcp_header(header), None, "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300), count in any::<u16>(),
                head in any::<[u8; 3]>(), header in any::<[u8; 7]>()) {
            let request = ModbusRequest { unit: 1, function: 4, address: 0, count: count.min(REGISTERS_MAX) };
            _ = (parse_pdu(request, &noise), parse_rtu(request, &noise));
            _ = (rtu_length(request, head), parse_tcp_header(header));
        }
    }
}
