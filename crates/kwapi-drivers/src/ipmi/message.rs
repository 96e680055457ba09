//! IPMI messages: commands and their answers, inside whatever session packet.
//!
//! Source: IPMI 2.0 rev. 1.1, 13.8 (LAN messages) and the command chapters named at each command.

use super::reader::ByteReader;

/// The card's own address on its bus, and ours as remote software: 5.5, table 5-4, and 13.8.
const CARD_ADDRESS: u8 = 0x20;
const OUR_ADDRESS: u8 = 0x81;

/// A command we use, with its name in the specification for messages to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IpmiCommand {
    pub(super) name: &'static str,
    function: u8,
    code: u8,
}

impl IpmiCommand {
    const fn new(name: &'static str, function: u8, code: u8) -> Self {
        Self { name, function, code }
    }
}

// Network functions: 5.1, table 5-1. Application 06h, sensor 04h, storage 0Ah, group extension 2Ch.
/// 22.13.
pub(super) const GET_AUTHENTICATION_CAPABILITIES: IpmiCommand =
    IpmiCommand::new("Get Channel Authentication Capabilities", 0x06, 0x38);
/// 22.16.
pub(super) const GET_SESSION_CHALLENGE: IpmiCommand = IpmiCommand::new("Get Session Challenge", 0x06, 0x39);
/// 22.17.
pub(super) const ACTIVATE_SESSION: IpmiCommand = IpmiCommand::new("Activate Session", 0x06, 0x3A);
/// 22.18.
pub(super) const SET_SESSION_PRIVILEGE: IpmiCommand =
    IpmiCommand::new("Set Session Privilege Level", 0x06, 0x3B);
/// 22.19.
pub(super) const CLOSE_SESSION: IpmiCommand = IpmiCommand::new("Close Session", 0x06, 0x3C);
/// 33.9.
pub(super) const GET_SDR_REPOSITORY_INFO: IpmiCommand =
    IpmiCommand::new("Get SDR Repository Info", 0x0A, 0x20);
/// 33.11.
pub(super) const RESERVE_SDR_REPOSITORY: IpmiCommand = IpmiCommand::new("Reserve SDR Repository", 0x0A, 0x22);
/// 33.12.
pub(super) const GET_SDR: IpmiCommand = IpmiCommand::new("Get SDR", 0x0A, 0x23);
/// 35.14.
pub(super) const GET_SENSOR_READING: IpmiCommand = IpmiCommand::new("Get Sensor Reading", 0x04, 0x2D);
/// DCMI 1.5, 6.6.1.
pub(super) const GET_POWER_READING: IpmiCommand = IpmiCommand::new("DCMI Get Power Reading", 0x2C, 0x02);

/// 6.13.3.
pub(super) const SEND_MESSAGE: IpmiCommand = IpmiCommand::new("Send Message", 0x06, 0x34);
/// *Intel Intelligent Power Node Manager 3.0 External Interface Specification*, "Get Node Manager Statistics".
pub(super) const GET_NODE_MANAGER_STATISTICS: IpmiCommand =
    IpmiCommand::new("Get Node Manager Statistics", 0x2E, 0xC8);

/// Another controller behind the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bridge {
    /// The card's channel to it.
    pub(super) channel: u8,
    /// Its address there.
    pub(super) address: u8,
}

/// Encodes a request to the card. `sequence` (6 bits) comes back in the answer.
pub(super) fn request(command: IpmiCommand, lun: u8, sequence: u8, data: &[u8]) -> Vec<u8> {
    encode(command, [CARD_ADDRESS, OUR_ADDRESS], lun, sequence, data)
}

/// Encodes a request that the card passes on to another controller, with the answer in return ("track request", 22.7).
pub(super) fn bridged(bridge: Bridge, command: IpmiCommand, sequence: u8, data: &[u8]) -> Vec<u8> {
    let passed_on = encode(command, [bridge.address, CARD_ADDRESS], 0, sequence, data);
    let channel = 0x40 | bridge.channel & 0x0F;
    request(SEND_MESSAGE, 0, sequence, &[&[channel], passed_on.as_slice()].concat())
}

fn encode(command: IpmiCommand, [to, from]: [u8; 2], lun: u8, sequence: u8, data: &[u8]) -> Vec<u8> {
    let header = [to, command.function << 2 | lun & 0x03];
    let mut message = Vec::with_capacity(7 + data.len());
    message.extend(header);
    message.push(checksum(&header));
    let body = message.len();
    message.extend([from, sequence << 2, command.code]);
    message.extend(data);
    message.push(checksum(message.get(body..).unwrap_or_default()));
    message
}

/// An answer, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IpmiResponse<'a> {
    function: u8,
    command: u8,
    sequence: u8,
    /// 00h is success: 5.2.
    pub(super) completion: u8,
    pub(super) data: &'a [u8],
}

impl IpmiResponse<'_> {
    /// Whether this answers that request, and not an earlier one that the card was slow with.
    pub(super) fn is_to(&self, command: IpmiCommand, sequence: u8) -> bool {
        self.function == command.function | 1
            && self.command == command.code
            && self.sequence == sequence & 0x3F
    }
}

/// What an answer to a request that was forwarded holds: a completion code and data; `None` for what is none, or only
/// confirms that it was forwarded. Some cards put the controller's answer into their own, others send it as one of its
/// own.
pub(super) fn answer_across<'a>(
    answer: &IpmiResponse<'a>,
    command: IpmiCommand,
    sequence: u8,
) -> Option<Result<IpmiResponse<'a>, u8>> {
    if answer.is_to(command, sequence) {
        return Some(Ok(*answer));
    }
    if !answer.is_to(SEND_MESSAGE, sequence) {
        return None;
    }
    if answer.completion != 0 {
        return Some(Err(answer.completion));
    }
    parse(answer.data).filter(|within| within.is_to(command, sequence)).map(Ok)
}

/// Takes an answer apart; `None` when it is cut or a checksum is wrong.
pub(super) fn parse(message: &[u8]) -> Option<IpmiResponse<'_>> {
    let (header, body) = message.split_at_checked(3)?;
    if checksum(header) != 0 || checksum(body) != 0 {
        return None;
    }
    parse_unchecked(message)
}

/// As [`parse`], whatever the checksums are: some cards get them wrong in packets whose code proves them genuine.
pub(super) fn parse_unchecked(message: &[u8]) -> Option<IpmiResponse<'_>> {
    let (header, body) = message.split_at_checked(3)?;
    let mut reader = ByteReader::new(header);
    let [_, function, _] = reader.array()?;
    let mut reader = ByteReader::new(body);
    let [_, sequence, command, completion] = reader.array()?;
    let (_checksum, data) = reader.rest().split_last()?;
    Some(IpmiResponse { function: function >> 2, command, sequence: sequence >> 2, completion, data })
}

/// What makes the sum of all bytes 0: 13.8, note 3. Over bytes and their checksum, 0.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}

#[cfg(test)]
mod tests;
