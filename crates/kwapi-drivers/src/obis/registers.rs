//! The registers of one telegram, and what they make of each outlet.

use std::collections::BTreeMap;
use std::sync::Arc;

use kwapi_core::{Amperes, MeterCounter, NoReading, ProbeId, Reading, Register, Volts};

use super::ObisCode;
use super::number::{Number, Unit};
use crate::config::ConfigError;
use crate::driver::{DriverError, Finding, Readings};
use crate::outlets::Outlets;
use crate::parts::{Notes, power_and_counter};
use crate::value::{self, EnergyUnit};

/// More registers of one telegram are not kept. The longest have some fifty.
const REGISTERS_MAX: usize = 256;
/// Tariffs that are added where a meter does not add them.
const TARIFFS: std::ops::RangeInclusive<u8> = 1..=8;

/// What one telegram held.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TelegramValues {
    values: BTreeMap<ObisCode, Number>,
    /// The meter's own serial number or server id.
    pub(crate) serial: Option<String>,
    /// What the meter calls itself: the first line of a text telegram, `SML`.
    pub(crate) identification: String,
    /// The version of DSMR times ten, where it is stated: 22, 42, 50.
    pub(crate) version: Option<u32>,
}

impl TelegramValues {
    /// Adds a register; of one that comes twice the first stands.
    pub(crate) fn add(&mut self, code: ObisCode, number: Number) {
        if self.values.len() < REGISTERS_MAX {
            self.values.entry(code).or_insert(number);
        }
    }

    pub(crate) fn codes(&self) -> impl Iterator<Item = ObisCode> + '_ {
        self.values.keys().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn get(&self, code: ObisCode, unit: Unit) -> Option<f64> {
        self.values.get(&code).filter(|number| number.unit == unit).map(|number| number.value)
    }

    /// The registers that make up the energy of `kind` (1 import, 2 export, 21 the first phase): the meter's own sum, else its
    /// tariffs.
    fn counted(&self, kind: u8) -> Vec<ObisCode> {
        let is_energy =
            |code: &ObisCode| self.values.get(code).is_some_and(|number| number.unit == Unit::WattHour);
        let sum = ObisCode(kind, 8, 0);
        if is_energy(&sum) {
            return vec![sum];
        }
        TARIFFS.map(|tariff| ObisCode(kind, 8, tariff)).filter(is_energy).collect()
    }

    /// The sum of these registers; `None` where one is missing.
    fn counter(&self, codes: &[ObisCode]) -> Option<Result<MeterCounter, NoReading>> {
        let numbers: Option<Vec<&Number>> = codes.iter().map(|code| self.values.get(code)).collect();
        let numbers = numbers.filter(|numbers| !numbers.is_empty())?;
        let value = numbers.iter().map(|number| number.value).sum();
        let step = numbers.iter().map(|number| number.step).fold(0.0, f64::max);
        Some(value::counter(value, step, EnergyUnit::WattHour))
    }
}

/// What is measured for a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlet {
    Total,
    Phase(u8),
    Export,
}

impl Outlet {
    const KEYS: &str = "total, L1, L2, L3, export";

    fn of(key: &str) -> Option<Self> {
        match key {
            "1" | "total" => Some(Self::Total),
            "L1" => Some(Self::Phase(1)),
            "L2" => Some(Self::Phase(2)),
            "L3" => Some(Self::Phase(3)),
            "export" => Some(Self::Export),
            _ => None,
        }
    }

    /// C of its energy.
    fn energy(self) -> u8 {
        match self {
            Self::Total => 1,
            Self::Phase(phase) => 1 + 20 * phase,
            Self::Export => 2,
        }
    }

    /// Its power: what is drawn, or, from a difference of import and export, that with its sign. A meter that counts one
    /// direction alone may report the amount of its power without a sign (15.7.0, EMH's eHZ).
    fn watts(self, registers: &TelegramValues) -> Option<f64> {
        let watts = |kind: u8| registers.get(ObisCode(kind, 7, 0), Unit::Watt);
        // With its sign, and in a place of its own at Hager's EHZ.
        let signed = || watts(16).or_else(|| registers.get(ObisCode(1, 7, 1), Unit::Watt));
        let amount = |other: u8| watts(15).filter(|_| registers.counted(other).is_empty());
        match self {
            Self::Total => watts(1).or_else(signed).or_else(|| amount(2)),
            Self::Phase(phase) => watts(1 + 20 * phase).or_else(|| watts(16 + 20 * phase)),
            Self::Export => watts(2)
                .or_else(|| signed().map(|watts| (0.0 - watts).max(0.0)))
                .or_else(|| amount(1).filter(|_| !registers.counted(2).is_empty())),
        }
    }

    fn volts_and_amperes(self, registers: &TelegramValues) -> (Option<Volts>, Option<Amperes>) {
        let Self::Phase(phase) = self else { return (None, None) };
        let volts = registers.get(ObisCode(12 + 20 * phase, 7, 0), Unit::Volt).map(Volts);
        (volts, registers.get(ObisCode(11 + 20 * phase, 7, 0), Unit::Ampere).map(Amperes))
    }
}

/// Checks that a meter has these outlets.
///
/// # Errors
/// A sentence that names the outlet and what there is instead.
pub(crate) fn check_outlets(outlets: &Outlets) -> Result<(), ConfigError> {
    let is_known = |key: &str| Outlet::of(key).is_some();
    match outlets.named().iter().find(|outlet| !is_known(&outlet.key)) {
        Some(outlet) => {
            let why = format!("unknown outlet {:?}; available: {}", outlet.key, Outlet::KEYS);
            Err(ConfigError::of("probes", why))
        }
        None => Ok(()),
    }
}

/// A meter whose telegrams are read.
#[derive(Debug)]
pub(crate) struct TelegramMeter {
    sources: Vec<TelegramProbe>,
    last: TelegramValues,
    notes: Notes,
}

#[derive(Debug)]
struct TelegramProbe {
    key: String,
    outlet: Outlet,
    probe: ProbeId,
    /// The registers that are added, as long as none is missing.
    counted: Vec<ObisCode>,
    register: Option<Arc<Register>>,
    last: Option<Result<Reading, NoReading>>,
}

impl TelegramMeter {
    /// # Errors
    /// `Refused` for an outlet that no such meter has.
    pub(crate) fn new(outlets: &Outlets) -> Result<Self, DriverError> {
        check_outlets(outlets)?;
        let source = |key: &str, probe: ProbeId| {
            let outlet = Outlet::of(key)?;
            let (key, counted) = (key.to_owned(), Vec::new());
            Some(TelegramProbe { key, outlet, probe, counted, register: None, last: None })
        };
        // A template takes the whole: phases are parts of it.
        let all = outlets.selects_all().then(|| outlets.probe("total", None)).flatten();
        let all = all.and_then(|probe| source("total", probe));
        let named = outlets.named().iter().filter_map(|outlet| source(&outlet.key, outlet.probe.clone()));
        Ok(Self {
            sources: named.chain(all).collect(),
            last: TelegramValues::default(),
            notes: Notes::default(),
        })
    }

    /// Hands out what a telegram held.
    pub(crate) fn take(&mut self, registers: TelegramValues, readings: &mut Readings) {
        for source in &mut self.sources {
            let reading = source.reading(&registers, &mut self.notes);
            source.last = Some(reading.clone());
            readings.push(&source.probe, reading);
        }
        self.last = registers;
    }

    /// Which registers there are and which are used.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        if self.last.is_empty() {
            return Vec::new();
        }
        let serial = self.last.serial.as_deref().unwrap_or("without a serial number");
        let meter = Finding {
            what: format!("meter {}", self.last.identification),
            value: serial.to_owned(),
            is_used: true,
            why: format!(
                "its registers: {}",
                self.last.codes().map(|code| code.to_string()).collect::<Vec<_>>().join(" ")
            ),
        };
        let outlets = self.sources.iter().map(|source| {
            let counted: Vec<_> = source.counted.iter().map(ToString::to_string).collect();
            let (value, is_used) = match &source.last {
                Some(Ok(reading)) => (reading.to_string(), true),
                Some(Err(no_reading)) => (no_reading.to_string(), false),
                None => ("not read".to_owned(), false),
            };
            let why = match counted.as_slice() {
                [] => "no energy register; power only".to_owned(),
                [one] => format!("energy from {one}"),
                tariffs => format!("energy from the sum of {}", tariffs.join(" and ")),
            };
            Finding { what: source.key.clone(), value, is_used, why }
        });
        std::iter::once(meter).chain(outlets).chain(self.notes.findings()).collect()
    }
}

impl TelegramProbe {
    fn reading(&mut self, registers: &TelegramValues, notes: &mut Notes) -> Result<Reading, NoReading> {
        let counted = registers.counted(self.outlet.energy());
        // A telegram without a checksum may have lost a line: a sum without one of its tariffs is no reset.
        if counted.len() > self.counted.len() {
            self.counted = counted;
            self.register = None;
        }
        let counter = registers.counter(&self.counted);
        let watts = self.outlet.watts(registers).map(Ok);
        let (voltage, current) = self.outlet.volts_and_amperes(registers);
        let key = &self.key;
        if watts.is_none() && counter.is_none() && voltage.is_some() && current.is_some() {
            return Ok(Reading { voltage, current, ..Reading::default() });
        }
        let absent = || NoReading::NotAvailable(format!("no power or energy of {key} in the telegram"));
        let (power, counter) = power_and_counter(key, watts, counter, absent, notes)?;
        let register = counter.map(|_| self.register(registers));
        Ok(Reading { power, voltage, current, counter, register, ..Reading::default() })
    }

    fn register(&mut self, registers: &TelegramValues) -> Arc<Register> {
        let known = self.register.clone().filter(|register| register.serial == registers.serial);
        let register = known.unwrap_or_else(|| {
            let path: Vec<_> = self.counted.iter().map(ToString::to_string).collect();
            let (serial, path) = (registers.serial.clone(), Some(path.join("+")));
            Arc::new(Register { serial, path, ..Register::default() })
        });
        self.register = Some(Arc::clone(&register));
        register
    }
}
