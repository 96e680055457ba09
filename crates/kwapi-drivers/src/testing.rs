//! What tests of drivers have in common: outlets to open a meter with, and its rounds as text.

use kwapi_core::ProbeId;

use crate::driver::{Driver, DriverError, Readings};
use crate::outlets::{Outlet, Outlets};

/// A meter's only outlet, `A`.
pub(crate) fn one() -> Outlets {
    Outlets::by_position([Some(id("A"))])
}

/// Outlets by key, each with its probe.
pub(crate) fn by_key<'a>(outlets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Outlets {
    let outlet = |(key, probe): (&str, &str)| Outlet { key: key.to_owned(), probe: id(probe) };
    Outlets::by_key(outlets.into_iter().map(outlet))
}

fn id(probe: &str) -> ProbeId {
    ProbeId::new(probe).expect("a probe id")
}

/// A round as text: each probe's reading, or why there is none.
pub(crate) fn lines(readings: &mut Readings) -> Vec<String> {
    let line = |(probe, reading)| match reading {
        Ok(reading) => format!("{probe}: {reading}"),
        Err(error) => format!("{probe}: {error}"),
    };
    readings.drain().map(line).collect()
}

/// A meter's next round as text.
pub(crate) async fn round<D: Driver>(meter: &mut D) -> Result<Vec<String>, DriverError> {
    let mut readings = Readings::default();
    meter.read(&mut readings).await?;
    Ok(lines(&mut readings))
}

/// A meter's next round as a text of lines, or its error.
pub(crate) async fn round_or_error<D: Driver>(meter: &mut D) -> String {
    round(meter).await.map_or_else(|error| error.to_string(), |lines| lines.join("\n"))
}
