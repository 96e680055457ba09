//! Prometheus' targets of `ipmi_exporter`, `snmp_exporter` and exporters of Redfish, and the logins that these exporters have.

mod logins;
mod targets;

use std::path::PathBuf;

use super::draft::{Draft, Keys};
use super::yaml::Yaml;
use crate::commands::discover::range;
use logins::Logins;
use targets::{ScrapeJob, jobs};

/// Parts of names of `snmp_exporter`'s modules that mean power. Others are of switches, printers, disks.
const POWER_MODULES: [&str; 24] = [
    "pdu",
    "ups",
    "apc",
    "raritan",
    "sentry",
    "servertech",
    "eaton",
    "powerware",
    "cyberpower",
    "liebert",
    "vertiv",
    "geist",
    "enlogic",
    "panduit",
    "tripplite",
    "rittal",
    "gude",
    "aten",
    "janitza",
    "nlogic",
    "conteg",
    "wti",
    "power",
    "energy",
];

/// Whether a file is one of Prometheus or of these exporters, or a list of targets.
pub(super) fn is_known(yaml: &Yaml) -> bool {
    yaml.get("scrape_configs").is_some() || Logins::is_one(yaml) || targets::is_list(yaml)
}

/// Adds the content of the files.
pub(super) fn convert(files: &[(PathBuf, Yaml)], draft: &mut Draft) {
    if files.is_empty() {
        return;
    }
    let logins = Logins::of(files);
    let jobs = jobs(files, draft);
    if jobs.is_empty() {
        draft.lost("no targets: name the configuration of Prometheus that has the jobs (scrape_configs)");
    }
    let mut others = 0;
    for job in jobs {
        match job.path.as_str() {
            "/ipmi" => ipmi(&job, &logins, draft),
            "/snmp" => snmp(&job, &logins, draft),
            "/redfish" => redfish(&job, draft),
            _ => others += 1,
        }
    }
    if others > 0 {
        draft.lost(format!(
            "{others} jobs of Prometheus are not of ipmi_exporter, snmp_exporter or Redfish (by metrics_path)"
        ));
    }
}

fn ipmi(job: &ScrapeJob, logins: &Logins, draft: &mut Draft) {
    let name = format!("ipmi-{}", job.module.as_deref().unwrap_or("default"));
    let login = logins.ipmi(job.module.as_deref().unwrap_or("default"));
    match login {
        Some(login) => {
            draft.has_secret();
            draft.credentials(&name, login);
        }
        None if !draft.has_credentials(&name) => {
            draft.credentials(&name, Keys::default().with("username", ""));
            draft.lost(format!(
                "{}: username and password: name ipmi_exporter's file as well, or complete [credentials.{name}]",
                job.origin
            ));
        }
        None => {}
    }
    meters(job, &Keys::meter("ipmi"), &name, "{host}", draft);
}

fn snmp(job: &ScrapeJob, logins: &Logins, draft: &mut Draft) {
    let module = job.module.as_deref().unwrap_or("if_mib");
    let is_power = module.split(',').any(|module| {
        let module = module.to_ascii_lowercase();
        POWER_MODULES.iter().any(|part| module.contains(part))
    });
    if !is_power {
        draft.lost(format!("{}: module {module} has no power: {} targets", job.origin, job.hosts.len()));
        return;
    }
    let auth = job.auth.as_deref();
    let login = logins.snmp(auth, module);
    let name = format!("snmp-{}", auth.unwrap_or("public_v2"));
    if let Some(login) = login {
        // With --config.expand-environment-variables.
        let is_new = !draft.has_credentials(&name);
        for (key, variable) in login.of_environment().filter(|_| is_new) {
            draft.lost(format!(
                "[credentials.{name}]: {key} is of snmp_exporter's environment: {{ env = \"{variable}\" }}, if that is set here"
            ));
        }
        draft.has_secret();
        draft.credentials(&name, login);
    } else {
        if let Some(auth) = auth.filter(|_| !draft.has_credentials(&name)) {
            let file = "name snmp_exporter's file as well";
            draft.lost(format!("{}: auth {auth:?}: {file}, or complete [credentials.{name}]", job.origin));
        }
        draft.credentials(&name, Keys::default().with("community", "public"));
    }
    meters(job, &Keys::meter("snmp"), &name, "{host}.{outlet}", draft);
}

fn redfish(job: &ScrapeJob, draft: &mut Draft) {
    let name = "redfish";
    if !draft.has_credentials(name) {
        draft.credentials(
            name,
            Keys::default().with("username", "").with("password", "").with("tls", "system"),
        );
        draft.lost(format!(
            "{}: username, password and certificates: complete [credentials.{name}]",
            job.origin
        ));
    }
    meters(job, &Keys::meter("redfish"), name, "{host}", draft);
}

/// A table for all hosts of a job on one port: one range, if they make one.
fn meters(job: &ScrapeJob, keys: &Keys, credentials: &str, probe: &str, draft: &mut Draft) {
    let mut ports: Vec<Option<u16>> = job.hosts.iter().map(|(_, port)| *port).collect();
    ports.sort_unstable();
    ports.dedup();
    for port in ports {
        let mut hosts: Vec<&str> = Vec::new();
        for (host, _) in job.hosts.iter().filter(|(_, on)| *on == port) {
            let what = probe.replace("{host}", host);
            if draft.probe(&job.origin, &what).is_some() {
                hosts.push(host);
            }
        }
        if hosts.is_empty() {
            continue;
        }
        let as_one = range(&hosts);
        let each: Vec<String> = match as_one {
            Some(range) => vec![range],
            None => hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        for hosts in each {
            let is_bare_address = hosts.contains(':');
            let mut keys = keys.clone().with("hosts", hosts);
            if let Some(port) = port {
                match keys.driver() {
                    Some("redfish") if is_bare_address => keys.set("host", format!("[{{host}}]:{port}")),
                    Some("redfish") => keys.set("host", format!("{{host}}:{port}")),
                    _ => keys.set("port", i64::from(port)),
                }
            }
            keys.set("credentials", credentials);
            keys.set("probe", probe);
            if let Some(seconds) = job.interval_seconds {
                keys.set("interval_seconds", seconds);
            }
            let keys = draft.labelled(&job.origin, keys, &job.labels);
            draft.meter(job.origin.clone(), keys);
        }
    }
}
