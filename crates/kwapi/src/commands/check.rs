//! `kwapi check`: the configuration, expanded, and what is wrong with the files it names.

mod files;

use std::collections::BTreeSet;
use std::path::Path;

use kwapi_core::ProbeId;

use super::counted;
use crate::cli::CheckArgs;
use crate::config::{Config, Endpoint, Labels};
use crate::stack::{Descriptors, Roles};
use files::Finding;

/// Prints every meter and probe, or what an SNMP profile makes of a walk.
///
/// # Errors
/// When the configuration is wrong, as one line, or when files it names are, after a line for each.
pub(crate) fn check(arguments: &CheckArgs, named: Option<&Path>) -> Result<(), String> {
    if let (Some(profile), Some(walk)) = (&arguments.profile, &arguments.walk) {
        return check_profile(profile, walk, named);
    }
    let config = super::configuration(named)?;
    let shortage = Descriptors::of(&config, roles_of(&config)).shortage();
    let findings = if arguments.no_files { Vec::new() } else { look_at_files(&config)? };
    let (errors, more): (Vec<Finding>, Vec<Finding>) =
        findings.into_iter().partition(|finding| finding.is_error);
    if !arguments.quiet {
        let warnings: Vec<&String> =
            config.warnings.iter().chain(&shortage).chain(more.iter().map(|finding| &finding.text)).collect();
        for file in &config.files {
            println!("{}", file.display());
        }
        print_meters(&config, warnings.len(), errors.len());
        for warning in warnings {
            println!("warning: {warning}");
        }
    }
    for error in &errors {
        println!("error: {}", error.text);
    }
    match errors.len() {
        0 => Ok(()),
        1 => Err("1 error".to_owned()),
        count => Err(format!("{count} errors")),
    }
}

/// The roles that a configuration is probably for: all in one process, unless it is a service's.
fn roles_of(config: &Config) -> Roles {
    if !config.forwarder.subscribe.is_empty() {
        return Roles::FORWARDER;
    }
    if config.meters.is_empty() { Roles { drivers: false, ..Roles::RUN } } else { Roles::RUN }
}

fn look_at_files(config: &Config) -> Result<Vec<Finding>, String> {
    let Some(file) = config.files.first() else { return Ok(Vec::new()) };
    let (written, resolved) = crate::config::documents(file).map_err(|error| error.to_string())?;
    Ok(files::check(config, &written, &resolved, crate::stack::wall_clock().now()))
}

fn print_meters(config: &Config, warnings: usize, errors: usize) {
    let mut probes = 0;
    for meter in &config.meters {
        let seconds = meter.interval.as_secs_f64();
        println!("\n{}  ({}, every {seconds} s)", meter.name, meter.driver.name());
        if let Some(template) = meter.outlets.template() {
            // A template is a probe's name but for what the device fills in, and so it is in its labels.
            let filled_in = ProbeId::new(template).ok().and_then(|probe| config.template_labels.of(&probe));
            println!("    all outlets, as {template}{}", listed(&filled_in.unwrap_or_default()));
        }
        for outlet in meter.outlets.named() {
            probes += 1;
            println!("    outlet {:<8} {}{}", outlet.key, outlet.probe, labels(config, &outlet.probe));
        }
    }
    for sum in &config.virtual_probes {
        probes += 1;
        let parts: Vec<&str> = sum.parts.iter().map(kwapi_core::ProbeId::as_str).collect();
        println!("\n{} = {}{}", sum.probe, parts.join(" + "), labels(config, &sum.probe));
    }
    let subscribed = [&config.forwarder.subscribe, &config.api.subscribe, &config.rrd.subscribe];
    let subscribed: BTreeSet<&str> = subscribed.into_iter().flatten().map(Endpoint::url).collect();
    if !subscribed.is_empty() {
        println!("\nSubscribed to {}", subscribed.iter().copied().collect::<Vec<_>>().join(", "));
    }
    let judgement = match (errors, warnings) {
        (1.., _) => format!("{}.", counted(errors, "error")),
        _ if config.meters.is_empty() && subscribed.is_empty() => {
            "No [[meter]] is configured; nothing is measured.".to_owned()
        }
        (0, 0) => "Configuration OK.".to_owned(),
        (0, 1..) => format!("{}.", counted(warnings, "warning")),
    };
    let meters = counted(config.meters.len(), "meter");
    println!("\n{meters}, {}. {judgement}", counted(probes, "named probe"));
}

/// The labels of a probe, ready to stand behind it.
fn labels(config: &Config, probe: &ProbeId) -> String {
    let none = Labels::new();
    listed(config.labels.get(probe).unwrap_or(&none))
}

fn listed(labels: &Labels) -> String {
    labels.iter().map(|(name, value)| format!("  {name}={value:?}")).collect()
}

fn check_profile(profile: &str, walk: &Path, named: Option<&Path>) -> Result<(), String> {
    let text = std::fs::read_to_string(walk).map_err(|error| format!("{}: {error}", walk.display()))?;
    // The operator's own profiles are where the configuration places them; without one there are only ours.
    let config = match Config::find(named) {
        Some(file) => Some(Config::read(&file).map_err(|error| error.to_string())?),
        None => None,
    };
    let meters = config.as_ref().map(|config| config.meters.as_slice()).unwrap_or_default();
    for line in crate::snmp_walks::describe(profile, &text, meters)
        .map_err(|message| format!("{}: {message}", walk.display()))?
    {
        println!("{line}");
    }
    Ok(())
}
