//! Where a `SunSpec` device keeps a model: a chain of blocks, each with its model's number and length.
//!
//! Source: *`SunSpec` Device Information Model Specification* 1.1, 3 (base registers 40000, 50000 and 0, the mark
//! `SunS`, the end model of all bits set).

use super::codec::{ModbusRequest, ModbusResponse};
use super::line::{ModbusLine, Reply};
use crate::driver::DriverError;
use crate::parts::printable;

/// Where the chain may begin, in the order tried.
const BASES: [u16; 3] = [40_000, 0, 50_000];
/// `SunS` in letters.
const MARK: [u16; 2] = [0x5375, 0x6e53];
/// Ends the chain.
const END: u16 = 0xffff;
/// No device has as many; a longer chain is none.
const MODELS_MAX: usize = 64;
/// Holding registers (*Application Protocol* 6.3).
const FUNCTION: u8 = 3;

/// The common model, which every device has, its serial number in it and how long that is (*Common Models*, model 1).
const COMMON: u16 = 1;
const SERIAL_AT: u16 = 50;
const SERIAL_REGISTERS: u16 = 16;

/// What was found in a device's chain.
#[derive(Debug)]
pub(super) struct SunSpecModels {
    /// The register of the ID of the model that is read.
    pub(super) base: u16,
    /// The device's serial number, where it reports one.
    pub(super) serial: Option<String>,
}

/// The first of `models` that the device has.
///
/// # Errors
/// `NothingToRead` where it has none of them, `Refused` where it does not implement `SunSpec`, and as the line fails.
pub(super) async fn find(line: &ModbusLine, unit: u8, models: &[u16]) -> Result<SunSpecModels, DriverError> {
    let host = line.address();
    for start in BASES {
        if pair(line, unit, start).await? != Some(MARK) {
            continue;
        }
        let mut seen = Vec::new();
        let mut serial = None;
        let mut at = start.saturating_add(2);
        while let Some([model, length]) = pair(line, unit, at).await?.filter(|[model, _]| *model != END) {
            if models.contains(&model) {
                return Ok(SunSpecModels { base: at, serial });
            }
            if model == COMMON && length.saturating_add(2) >= SERIAL_AT + SERIAL_REGISTERS {
                serial = text(line, unit, at.saturating_add(SERIAL_AT)).await?;
            }
            seen.push(model);
            let next = at.checked_add(2).and_then(|at| at.checked_add(length));
            match next {
                Some(next) if seen.len() < MODELS_MAX => at = next,
                Some(_) | None => break,
            }
        }
        return Err(DriverError::NothingToRead(format!(
            "{host}: unit {unit} has SunSpec models {seen:?}, but none of {models:?}"
        )));
    }
    Err(DriverError::Refused(format!("{host}: unit {unit} does not support SunSpec; no marker at {BASES:?}")))
}

/// A text of two characters a register, filled up with zeros or blanks.
async fn text(line: &ModbusLine, unit: u8, address: u16) -> Result<Option<String>, DriverError> {
    let request = ModbusRequest { unit, function: FUNCTION, address, count: SERIAL_REGISTERS };
    // A device that keeps it to itself is measured all the same.
    let Reply::Answer(ModbusResponse::Registers(words)) = line.exchange(request).await? else {
        return Ok(None);
    };
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.to_be_bytes()).take_while(|byte| *byte != 0).collect();
    let text = printable(&String::from_utf8_lossy(&bytes)).trim().to_owned();
    Ok(Some(text).filter(|text| !text.is_empty() && text.is_ascii()))
}

/// Two registers; `None` where the device has none there.
async fn pair(line: &ModbusLine, unit: u8, address: u16) -> Result<Option<[u16; 2]>, DriverError> {
    let request = ModbusRequest { unit, function: FUNCTION, address, count: 2 };
    match line.exchange(request).await? {
        Reply::Answer(ModbusResponse::Registers(words)) => Ok(words.try_into().ok()),
        Reply::Answer(ModbusResponse::Exception(_)) => Ok(None),
        Reply::Silence(reason) => Err(DriverError::link(reason)),
    }
}
