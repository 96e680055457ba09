//! `kwapi check`: the configuration, expanded.

use std::path::Path;

use crate::cli::Check;
use crate::config::Config;

/// Prints every meter and probe, or what an SNMP profile makes of a walk.
///
/// # Errors
/// When the configuration is wrong, as one line.
pub(crate) fn check(arguments: &Check, named: Option<&Path>) -> Result<(), String> {
    if let (Some(profile), Some(walk)) = (&arguments.profile, &arguments.walk) {
        return check_profile(profile, walk);
    }
    let config = super::configuration(named)?;
    for file in &config.files {
        println!("{}", file.display());
    }
    print_meters(&config);
    Ok(())
}

fn print_meters(config: &Config) {
    let mut probes = 0;
    for meter in &config.meters {
        let seconds = meter.interval.as_secs_f64();
        println!("\n{}  ({}, every {seconds} s)", meter.name, meter.driver.name());
        if meter.outlets.wants_all() {
            println!("    every outlet it has");
        }
        for outlet in meter.outlets.named() {
            probes += 1;
            println!("    outlet {:<8} {}", outlet.key, outlet.probe);
        }
    }
    for sum in &config.virtual_probes {
        probes += 1;
        let parts: Vec<&str> = sum.parts.iter().map(kwapi_core::ProbeId::as_str).collect();
        println!("\n{} = {}", sum.probe, parts.join(" + "));
    }
    println!("\n{} meters, {probes} named probes. All is well.", config.meters.len());
}

fn check_profile(profile: &str, walk: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(walk).map_err(|error| format!("{}: {error}", walk.display()))?;
    for line in crate::snmp_walks::describe(profile, &text)? {
        println!("{line}");
    }
    Ok(())
}
