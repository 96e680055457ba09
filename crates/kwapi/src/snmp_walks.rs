//! What an SNMP profile makes of a recorded walk.

use kwapi_drivers::snmp::{Catalogue, evaluate, parse_snmprec};

/// Evaluates the profile `name` on the walk `text` and describes every outlet, a line each.
///
/// # Errors
/// When there is no such profile or the walk cannot be read, as one line.
pub(crate) fn describe(name: &str, text: &str) -> Result<Vec<String>, String> {
    let catalogue = Catalogue::built_in().map_err(|error| error.to_string())?;
    let Some(profile) = catalogue.get(name) else {
        let known: Vec<&str> = catalogue.names().collect();
        return Err(format!("there is no profile {name:?}; there are {}", known.join(", ")));
    };
    let walk = parse_snmprec(text)?;
    let mut lines: Vec<String> = evaluate(profile, &walk)
        .into_iter()
        .map(|outlet| {
            let label = outlet.label.map_or_else(String::new, |label| format!("  {label:?}"));
            let said = match outlet.reading {
                Ok(reading) => reading.to_string(),
                Err(no_reading) => no_reading.to_string(),
            };
            format!("outlet {:<10} {said}{label}", outlet.key)
        })
        .collect();
    if lines.is_empty() {
        lines.push(format!("the profile {name:?} finds nothing in this walk of {} objects", walk.len()));
    }
    Ok(lines)
}
