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
    /// Whether it says that its reading is unavailable.
    pub is_unavailable: bool,
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
        Self { number, body, record_type: 0x01, step, is_unavailable: false }
    }

    /// A device locator, which is no sensor: 43.9.
    pub fn locator() -> Self {
        Self { number: 0, body: vec![0; 16], record_type: 0x12, step: 1, is_unavailable: false }
    }

    /// The same, saying that it has no reading.
    #[must_use]
    pub fn unavailable(self) -> Self {
        Self { is_unavailable: true, ..self }
    }

    pub(super) fn is_sensor(&self) -> bool {
        self.record_type == 0x01
    }

    pub(super) fn bytes(&self, id: u16) -> Vec<u8> {
        let [low, high] = id.to_le_bytes();
        let mut record =
            vec![low, high, 0x51, self.record_type, u8::try_from(self.body.len()).unwrap_or_default()];
        record.extend(&self.body);
        record
    }

    /// The raw reading nearest to `watts`.
    pub(super) fn raw(&self, watts: u16) -> u8 {
        let step = u16::from(self.step.max(1));
        u8::try_from((watts + step / 2) / step).unwrap_or(u8::MAX)
    }
}
