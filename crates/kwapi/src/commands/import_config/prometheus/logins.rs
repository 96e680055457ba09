//! How exporters log in: `modules` of `ipmi_exporter`, `auths` of `snmp_exporter` (before its version 0.23: `auth` in a module).

use std::path::PathBuf;

use toml::Value;

use super::super::draft::Keys;
use super::super::notation::protocol_name;
use super::super::yaml::Yaml;

/// The logins of all files, by name.
#[derive(Debug, Default)]
pub(super) struct Logins {
    ipmi: Vec<(String, Keys)>,
    auths: Vec<(String, Keys)>,
    /// Of modules, as old files have it.
    modules: Vec<(String, Keys)>,
}

impl Logins {
    /// Whether a file is an exporter's.
    pub(super) fn is_one(yaml: &Yaml) -> bool {
        let of_ipmi = |(_, module): &(String, Yaml)| {
            ["user", "pass", "collectors", "driver"].iter().any(|key| module.get(key).is_some())
        };
        let of_snmp = |(_, module): &(String, Yaml)| {
            ["walk", "get", "metrics", "auth"].iter().any(|key| module.get(key).is_some())
        };
        let modules = yaml.get("modules").map(Yaml::entries).unwrap_or_default();
        yaml.get("auths").is_some()
            || modules.iter().any(|module| of_ipmi(module) || of_snmp(module))
            || yaml.entries().iter().any(of_snmp)
    }

    pub(super) fn of(files: &[(PathBuf, Yaml)]) -> Self {
        let mut logins = Self::default();
        for (_, yaml) in files {
            for (name, auth) in yaml.get("auths").map(Yaml::entries).unwrap_or_default() {
                logins.auths.push((name.clone(), snmp_keys(auth, auth.text_of("version"))));
            }
            let modules = yaml.get("modules").map(Yaml::entries).unwrap_or_default();
            for (name, module) in modules.iter().chain(yaml.entries()) {
                if let Some(auth) = module.get("auth") {
                    logins.modules.push((name.clone(), snmp_keys(auth, module.text_of("version"))));
                } else if module.get("user").is_some() || module.get("pass").is_some() {
                    logins.ipmi.push((name.clone(), ipmi_keys(module)));
                }
            }
        }
        logins
    }

    /// The login of a module of `ipmi_exporter`.
    pub(super) fn ipmi(&self, module: &str) -> Option<Keys> {
        find(&self.ipmi, module)
    }

    /// The login of `snmp_exporter` for an `auth`, or as a module had it.
    pub(super) fn snmp(&self, auth: Option<&str>, module: &str) -> Option<Keys> {
        let of_module = || find(&self.modules, module).filter(|_| auth.is_none());
        find(&self.auths, auth.unwrap_or("public_v2")).or_else(of_module)
    }
}

fn find(all: &[(String, Keys)], name: &str) -> Option<Keys> {
    all.iter().find(|(known, _)| known == name).map(|(_, keys)| keys.clone())
}

fn text<'a>(yaml: &'a Yaml, key: &str) -> Option<&'a str> {
    yaml.text_of(key).filter(|text| !text.is_empty())
}

fn ipmi_keys(module: &Yaml) -> Keys {
    let privilege = match text(module, "privilege") {
        Some("admin") => Some("administrator"),
        Some(same @ ("user" | "operator")) => Some(same),
        _ => None,
    };
    let version = text(module, "driver").filter(|driver| *driver == "LAN").map(|_| "1.5");
    let timeout = text(module, "timeout").and_then(|text| text.parse::<f64>().ok());
    // In milliseconds.
    let timeout = timeout.map(|millis| millis / 1_000.0).filter(|seconds| (0.05..=60.0).contains(seconds));
    Keys::default()
        .with("username", text(module, "user").unwrap_or_default())
        .maybe("password", text(module, "pass"))
        .maybe("privilege", privilege)
        .maybe("version", version)
        .maybe("timeout_seconds", timeout)
}

fn snmp_keys(auth: &Yaml, version: Option<&str>) -> Keys {
    if version != Some("3") && text(auth, "username").is_none() {
        let version = version.filter(|version| *version == "1");
        return Keys::default()
            .with("community", text(auth, "community").unwrap_or("public"))
            .maybe("version", version);
    }
    let level = text(auth, "security_level").unwrap_or("noAuthNoPriv");
    let protocol = |key: &str| text(auth, key).map(|name| Value::from(protocol_name(name)));
    let mut keys = Keys::default().with("user", text(auth, "username").unwrap_or_default());
    if level != "noAuthNoPriv" {
        keys = keys.maybe("auth_protocol", protocol("auth_protocol").or(Some(Value::from("MD5"))));
        keys = keys.maybe("auth_password", text(auth, "password"));
    }
    if level == "authPriv" {
        keys = keys.maybe("privacy_protocol", protocol("priv_protocol").or(Some(Value::from("DES"))));
        keys = keys.maybe("privacy_password", text(auth, "priv_password"));
    }
    keys.maybe("context", text(auth, "context_name"))
}
