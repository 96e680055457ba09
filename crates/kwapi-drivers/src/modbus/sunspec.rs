//! Where a `SunSpec` device keeps a model: a chain of blocks, each with its model's number and length.
//!
//! Source: *`SunSpec` Device Information Model Specification* 1.1, 3 (base registers 40000, 50000 and 0, the mark
//! `SunS`, the end model of all bits set).

use super::codec::{Answer, Request};
use super::line::{Heard, Line};
use crate::driver::DriverError;

/// Where the chain may begin, in the order tried.
const BASES: [u16; 3] = [40_000, 0, 50_000];
/// `SunS` in letters.
const MARK: [u16; 2] = [0x5375, 0x6e53];
/// Ends the chain.
const END: u16 = 0xffff;
/// No device has as many; a chain that goes on is none.
const MODELS_MAX: usize = 64;
/// Holding registers (*Application Protocol* 6.3).
const FUNCTION: u8 = 3;

/// The register of the ID of the first of `models` that the device has.
///
/// # Errors
/// `NothingToRead` where it has none of them, `Refused` where it does not speak `SunSpec`, and as the line fails.
pub(super) async fn base(line: &Line, unit: u8, models: &[u16]) -> Result<u16, DriverError> {
    let host = line.address();
    for start in BASES {
        if pair(line, unit, start).await? != Some(MARK) {
            continue;
        }
        let mut seen = Vec::new();
        let mut at = start.saturating_add(2);
        while let Some([model, length]) = pair(line, unit, at).await?.filter(|[model, _]| *model != END) {
            if models.contains(&model) {
                return Ok(at);
            }
            seen.push(model);
            let next = at.checked_add(2).and_then(|at| at.checked_add(length));
            match next {
                Some(next) if seen.len() < MODELS_MAX => at = next,
                Some(_) | None => break,
            }
        }
        return Err(DriverError::NothingToRead(format!(
            "{host}: unit {unit} has the SunSpec models {seen:?} and none of {models:?}"
        )));
    }
    Err(DriverError::Refused(format!("{host}: unit {unit} does not speak SunSpec: no mark at {BASES:?}")))
}

/// Two registers; `None` where the device has none there.
async fn pair(line: &Line, unit: u8, address: u16) -> Result<Option<[u16; 2]>, DriverError> {
    let request = Request { unit, function: FUNCTION, address, count: 2 };
    match line.ask(request).await? {
        Heard::Answer(Answer::Registers(words)) => Ok(words.try_into().ok()),
        Heard::Answer(Answer::Exception(_)) => Ok(None),
        Heard::Silence(said) => Err(DriverError::link(said)),
    }
}
