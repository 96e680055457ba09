//! Records of a simulated SDR repository: IPMI 2.0, 43.1.

/// One record and how its sensor reads.
#[derive(Clone, Debug)]
pub struct SensorRecord {
    /// Sensor number.
    pub number: u8,
    /// What comes after the record's header.
    body: Vec<u8>,
    /// Record type: 01h is a full sensor.
    record_type: u8,
    /// Watts a raw unit stands for.
    step: u8,
    /// Whether it reports that its reading is unavailable.
    pub is_unavailable: bool,
    /// The record it names as the next, where that is not the one that follows.
    pub(super) next: Option<u16>,
    /// The completion code it answers with from this byte on, and to reads beyond its end.
    pub(super) refusal: Option<(u8, u8)>,
    /// Bytes it declares beyond what it has.
    excess: u8,
}

impl SensorRecord {
    /// A full sensor record in watts, `step` watts a unit, from 0.
    pub fn watts(number: u8, name: &str, step: u8) -> Self {
        Self::full(number, name, step, 6)
    }

    /// A full sensor record in another unit, such as 1 for degrees or 4 for volts: 43.17.
    pub fn full(number: u8, name: &str, step: u8, unit: u8) -> Self {
        let mut body = vec![0x20, 0x00, number, 0x0A, 1];
        body.extend([0x7F, 0x68, 0x03, 0x01, 0, 0, 0, 0, 0x38, 0x38]);
        // Units, linear, M, B, accuracy, exponents.
        body.extend([0x00, unit, 0x00, 0x00, step, 0, 0, 0, 0, 0]);
        // Nominal and limits, thresholds, hysteresis, reserved.
        body.extend([0, 0, 0, 0, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let name = name.as_bytes().get(..16).unwrap_or(name.as_bytes());
        body.push(0xC0 | u8::try_from(name.len()).unwrap_or_default());
        body.extend(name);
        Self {
            number,
            body,
            record_type: 0x01,
            step,
            is_unavailable: false,
            next: None,
            refusal: None,
            excess: 0,
        }
    }

    /// A device locator, which is no sensor: 43.9.
    pub fn locator() -> Self {
        let body = vec![0; 16];
        Self { body, record_type: 0x12, ..Self::full(0, "", 1, 0) }
    }

    /// The same, reporting that it has no reading.
    #[must_use]
    pub fn unavailable(self) -> Self {
        Self { is_unavailable: true, ..self }
    }

    /// The same, naming another record as the next.
    #[must_use]
    pub fn leading_to(self, next: u16) -> Self {
        Self { next: Some(next), ..self }
    }

    /// The same, answering with `code` from byte `from` on: 0 for all of it, 5 for all but its header.
    #[must_use]
    pub fn refusing(self, from: u8, code: u8) -> Self {
        Self { refusal: Some((from, code)), ..self }
    }

    /// The same, declaring that it has more bytes than it has.
    #[must_use]
    pub fn too_long_by(self, excess: u8) -> Self {
        Self { excess, ..self }
    }

    pub(super) fn is_sensor(&self) -> bool {
        self.record_type == 0x01
    }

    pub(super) fn bytes(&self, id: u16) -> Vec<u8> {
        let [low, high] = id.to_le_bytes();
        let length = u8::try_from(self.body.len()).unwrap_or_default().saturating_add(self.excess);
        let mut record = vec![low, high, 0x51, self.record_type, length];
        record.extend(&self.body);
        record
    }

    /// The raw reading nearest to `watts`.
    pub(super) fn raw(&self, watts: u16) -> u8 {
        let step = u16::from(self.step.max(1));
        u8::try_from((watts + step / 2) / step).unwrap_or(u8::MAX)
    }
}
