//! What a simulated card answers to each command of a session.

use super::machine::{Machine, Power};
use super::{BmcFault, Dcmi};

/// A completion code and data; `None` where the card does not answer.
type Answer = Option<(u8, Vec<u8>)>;

pub(super) const OK: u8 = 0x00;
const NO_SUCH_COMMAND: u8 = 0xC1;

impl Machine {
    /// Answers a command within a session of `privilege`; `power_requests` is how often the session has requested power
    /// before.
    pub(super) fn execute(
        &mut self,
        function: u8,
        command: u8,
        data: &[u8],
        privilege: u8,
        power_requests: u32,
    ) -> Answer {
        if self.fault == BmcFault::Busy {
            return Some((0xC0, Vec::new()));
        }
        match (function, command) {
            // Get Device ID, 20.1: IPMI 2.0, with an SDR repository and sensors.
            (0x06, 0x01) => Some((OK, vec![0x20, 0x01, 0x01, 0x00, 0x02, 0x03, 0, 0, 0, 0, 0])),
            (0x0A, 0x20) => Some((OK, self.repository_info())),
            (0x0A, 0x22) => {
                self.reservation = self.reservation.wrapping_add(1);
                Some((OK, self.reservation.to_le_bytes().to_vec()))
            }
            (0x0A, 0x23) => {
                self.record_reads += 1;
                if let BmcFault::StopsRecords(reads) = self.fault {
                    self.fault = BmcFault::StopsRecords(reads.checked_sub(1)?);
                }
                Some(self.record(data))
            }
            (0x04, 0x2D) => Some(self.sensor(data)),
            (0x2C, 0x02) if data.first() == Some(&0xDC) => self.dcmi(privilege, power_requests),
            _ => Some((NO_SUCH_COMMAND, Vec::new())),
        }
    }

    fn repository_info(&self) -> Vec<u8> {
        let count = u16::try_from(self.options.sensors.len()).unwrap_or(u16::MAX).to_le_bytes();
        let mut info = vec![0x51];
        info.extend(count);
        info.extend([0xFF, 0xFF, 1, 0, 0, 0, 0, 0, 0, 0, 0x22]);
        info
    }

    fn record(&mut self, data: &[u8]) -> (u8, Vec<u8>) {
        let [held_low, held_high, id_low, id_high, offset, count] = *data else { return (0xC7, Vec::new()) };
        if let BmcFault::LosesReservations(times) = self.fault {
            self.fault = times.checked_sub(1).map_or(BmcFault::None, BmcFault::LosesReservations);
            if times > 0 {
                self.reservation = self.reservation.wrapping_add(1);
            }
        }
        if u16::from_le_bytes([held_low, held_high]) != self.reservation {
            return (0xC5, Vec::new());
        }
        if count > self.options.record_bytes_max {
            return (self.options.too_many_bytes, Vec::new());
        }
        let id = u16::from_le_bytes([id_low, id_high]);
        let Some(record) = self.options.sensors.get(usize::from(id)) else { return (0xCB, Vec::new()) };
        if self.fault == BmcFault::JunkRecord && id > 0 {
            // Once, in place of a record, another that leads back to the first.
            self.fault = BmcFault::None;
            return (OK, vec![0, 0, 10, 0, 0x51, 0x00, 100]);
        }
        let bytes = record.bytes(id);
        match record.refusal {
            Some((from, code))
                if offset >= from || bytes.len() < usize::from(offset) + usize::from(count) =>
            {
                return (code, Vec::new());
            }
            _ => {}
        }
        let is_last = usize::from(id) + 1 == self.options.sensors.len();
        let next = record.next.unwrap_or(if is_last { 0xFFFF } else { id + 1 });
        let mut answer = next.to_le_bytes().to_vec();
        answer.extend(bytes.iter().skip(offset.into()).take(count.into()));
        (OK, answer)
    }

    fn sensor(&mut self, data: &[u8]) -> (u8, Vec<u8>) {
        let watts = self.power().watts;
        let found = self.options.sensors.iter().find(|sensor| sensor.is_sensor() && data == [sensor.number]);
        match found {
            Some(sensor) if self.unavailable.contains(&sensor.number) => (OK, vec![0, 0xE0, 0xC0]),
            Some(sensor) => (OK, vec![sensor.raw(watts), 0xC0, 0xC0]),
            None => (0xCB, Vec::new()),
        }
    }

    /// Intel Node Manager's Get Statistics for the entire platform, in the order of its manual.
    pub(super) fn engine(
        &mut self,
        function: u8,
        command: u8,
        data: &[u8],
        is_measuring: bool,
    ) -> (u8, Vec<u8>) {
        const INTEL: [u8; 3] = [0x57, 0x01, 0x00];
        if (function, command) != (0x2E, 0xC8) {
            return (NO_SUCH_COMMAND, Vec::new());
        }
        let [0x57, 0x01, 0x00, mode, domain, _] = *data else { return (0xC7, INTEL.to_vec()) };
        if mode & 0x1F != 1 || domain & 0x0F != 0 {
            // Invalid mode, invalid domain.
            return (if mode & 0x1F == 1 { 0x81 } else { 0x88 }, INTEL.to_vec());
        }
        let power = self.power();
        let mut answer = INTEL.to_vec();
        for watts in [power.watts, power.minimum, power.maximum, power.watts] {
            answer.extend(watts.to_le_bytes());
        }
        answer.extend(power.stamp.to_le_bytes());
        answer.extend((power.period_ms / 1_000).to_le_bytes());
        answer.push(if is_measuring { 0x50 } else { 0x10 });
        (OK, answer)
    }

    fn dcmi(&mut self, privilege: u8, power_requests: u32) -> Answer {
        let mut power = self.power();
        let mut state = 0x40;
        match self.options.dcmi {
            Dcmi::ReportsInactive => {
                state = 0;
                power = Power { stamp: 0, period_ms: 0, ..power };
            }
            Dcmi::Dead => {
                state = 0;
                power = Power { watts: 0, minimum: 0, maximum: 0, stamp: 0, period_ms: 0 };
            }
            Dcmi::Absent => return Some((NO_SUCH_COMMAND, Vec::new())),
            Dcmi::Requires(wanted) if privilege < wanted => return Some((0xD4, Vec::new())),
            Dcmi::FailsFirst(times) if power_requests < u32::from(times) => return Some((0xFF, Vec::new())),
            Dcmi::Ignored => return None,
            Dcmi::Active | Dcmi::Requires(_) | Dcmi::FailsFirst(_) => {}
            Dcmi::Reports(watts) => power = Power { watts, minimum: watts, maximum: watts, ..power },
            Dcmi::OverItsMaximum => power.watts = power.maximum.saturating_mul(11),
        }
        let mut answer = vec![0xDC];
        for watts in [power.watts, power.minimum, power.maximum, power.watts] {
            answer.extend(watts.to_le_bytes());
        }
        answer.extend(power.stamp.to_le_bytes());
        answer.extend(power.period_ms.to_le_bytes());
        answer.push(state);
        Some((OK, answer))
    }
}
