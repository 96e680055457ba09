//! What an SNMP profile makes of a recorded walk.

use std::path::Path;

use kwapi_drivers::manager::MeterSpec;
use kwapi_drivers::snmp::{ProfileCatalogue, Snmp, evaluate, parse_snmprec};

use crate::config::nearest;

/// Evaluates the profile `name` on the walk `text` and describes every outlet, a line each. Profiles of the
/// directories that `meters` name replace ours, as they do when those are read.
///
/// # Errors
/// When there is no such profile or the walk cannot be read, as one line.
pub(crate) fn describe(name: &str, text: &str, meters: &[MeterSpec]) -> Result<Vec<String>, String> {
    let mut directories: Vec<&Path> = meters
        .iter()
        .filter_map(|meter| meter.driver.config::<Snmp>()?.profile_directory.as_deref())
        .collect();
    directories.sort_unstable();
    directories.dedup();
    let built_in = ProfileCatalogue::built_in().map_err(|error| error.to_string())?;
    let mut catalogues = Vec::new();
    for directory in directories {
        catalogues.push(ProfileCatalogue::with_directory(directory).map_err(|error| error.to_string())?);
    }
    catalogues.push(built_in);
    let Some(profile) = catalogues.iter().find_map(|catalogue| catalogue.get(name)) else {
        let known: Vec<&str> = catalogues.iter().flat_map(ProfileCatalogue::names).collect();
        let advice = nearest(name, known.iter().copied()).map_or_else(
            || format!("available: {}", known.join(", ")),
            |name| format!("did you mean {name:?}?"),
        );
        return Err(format!("unknown profile {name:?}; {advice}"));
    };
    let walk = parse_snmprec(text)?;
    let mut lines: Vec<String> = evaluate(profile, &walk)
        .into_iter()
        .map(|outlet| {
            let label = outlet.label.map_or_else(String::new, |label| format!("  {label:?}"));
            let value = match outlet.reading {
                Ok(reading) => reading.to_string(),
                Err(no_reading) => no_reading.to_string(),
            };
            format!("outlet {:<10} {value}{label}", outlet.key)
        })
        .collect();
    if lines.is_empty() {
        lines.push(format!("profile {name:?} matches nothing in this walk of {} objects", walk.len()));
    }
    Ok(lines)
}
