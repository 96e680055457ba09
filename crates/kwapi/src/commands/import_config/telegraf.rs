//! Telegraf's inputs that read meters: `ipmi_sensor`, `snmp`, `redfish`, `upsd`, `nvidia_smi`, `intel_powerstat`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::{Table, Value};

use super::draft::{Draft, Keys};
use super::notation::{host_and_port, protocol_name, seconds};

/// Inputs that read power in a way that takes more than a list of hosts to carry, and what to do.
const BY_HAND: [(&str, &str); 6] = [
    ("apcupsd", "run NUT's apcupsd-ups in its place, or read the UPS's SNMP card"),
    ("modbus", "see the driver modbus, and its register maps"),
    ("mqtt_consumer", "see the driver mqtt, and its topics"),
    ("http", "see the driver http_json"),
    ("prometheus", "see the driver prometheus, and its metrics"),
    ("opcua", "no driver"),
];

/// Telegraf's own, where neither the input nor the agent has one.
const INTERVAL: &str = "10s";

/// Adds the content of the files.
pub(super) fn convert(files: &[(PathBuf, Table)], draft: &mut Draft) {
    let agent = files.iter().find_map(|(_, file)| file.get("agent")?.get("interval")?.as_str());
    let mut others = Vec::new();
    for (path, file) in files {
        let Some(inputs) = file.get("inputs").and_then(Value::as_table) else { continue };
        let global = tags(file.get("global_tags"));
        for (plugin, instances) in inputs {
            let single = [instances.clone()];
            let instances = instances.as_array().map_or(single.as_slice(), Vec::as_slice);
            for (number, instance) in instances.iter().enumerate() {
                let Some(table) = instance.as_table() else { continue };
                let origin = format!("{}: inputs.{plugin} {}", path.display(), number + 1);
                let own = table.get("interval").and_then(Value::as_str);
                let mut labels = global.clone();
                labels.extend(tags(table.get("tags")));
                let interval = seconds(own.or(agent).unwrap_or(INTERVAL));
                let mut input = Input { origin, table, interval, labels, draft };
                match plugin.as_str() {
                    "ipmi_sensor" => input.ipmi(),
                    "snmp" => input.snmp(),
                    "redfish" => input.redfish(),
                    "upsd" => input.upsd(),
                    "nvidia_smi" => input.local("nvml"),
                    "intel_powerstat" => input.local("rapl"),
                    _ => match BY_HAND.iter().find(|(name, _)| name == plugin) {
                        Some((_, what)) => input.draft.lost(format!("{}: {what}", input.origin)),
                        None if !others.contains(plugin) => others.push(plugin.clone()),
                        None => {}
                    },
                }
            }
        }
    }
    if !others.is_empty() {
        draft.lost(format!("inputs of Telegraf that read no meter: {}", others.join(", ")));
    }
}

/// What Telegraf attaches to all that it reads.
fn tags(table: Option<&Value>) -> BTreeMap<String, String> {
    let all = table.and_then(Value::as_table).into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// One instance of an input.
struct Input<'a> {
    origin: String,
    table: &'a Table,
    interval: Option<f64>,
    labels: BTreeMap<String, String>,
    draft: &'a mut Draft,
}

impl Input<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.table.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn texts(&self, key: &str) -> Vec<String> {
        let list = self.table.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    }

    /// A password or community.
    fn secret(&mut self, key: &str, text: &str) -> Option<String> {
        let text = self.given(key, text)?;
        self.draft.has_secret();
        Some(text)
    }

    /// A value. One that Telegraf takes from its environment or a store is not in the file.
    fn given(&mut self, key: &str, text: &str) -> Option<String> {
        if text.contains('$') || text.contains("@{") {
            let what = format!(
                "{}: {key} = {text:?} is not in the file; set it, for example as {{ env = \"…\" }}",
                self.origin
            );
            self.draft.lost(what);
            return None;
        }
        Some(text.to_owned())
    }

    fn add(&mut self, keys: Keys, probe: &str, taken: &str) {
        if self.draft.probe(&self.origin, taken).is_none() {
            return;
        }
        let keys = keys.with("probe", probe).maybe("interval_seconds", self.interval);
        let keys = self.draft.labelled(&self.origin, keys, &self.labels);
        self.draft.meter(self.origin.clone(), keys);
    }

    /// `user:password@lan(host)`.
    fn ipmi(&mut self) {
        let servers = self.texts("servers");
        if servers.is_empty() {
            self.draft.lost(format!(
                "{}: no servers: this machine's BMC is read over the network, by its address",
                self.origin
            ));
        }
        for server in servers {
            let (login, place) = server.rsplit_once('@').unwrap_or(("", &server));
            let host = place.split_once('(').map_or(place, |(_, rest)| rest.trim_end_matches(')'));
            let Some((host, port)) = host_and_port(host) else {
                self.draft.lost(format!("{}: a server that names no host", self.origin));
                continue;
            };
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            let user = Some(user).filter(|user| !user.is_empty());
            let user = user.and_then(|user| self.given("the user", user));
            let password = Some(password).filter(|password| !password.is_empty());
            let password = password.and_then(|password| self.secret("the password", password));
            let key = self.text("hex_key").map(|key| format!("0x{key}"));
            let key = key.and_then(|key| self.secret("hex_key", &key));
            let privilege = self.text("privilege").map(str::to_ascii_lowercase);
            let privilege =
                privilege.filter(|level| ["user", "operator", "administrator"].contains(&level.as_str()));
            let keys = Keys::meter("ipmi")
                .with("host", host.clone())
                .maybe("port", port.map(i64::from))
                .maybe("username", user)
                .maybe("password", password)
                .maybe("privilege", privilege)
                .maybe("kg", key);
            self.add(keys, &host, &host);
        }
    }

    fn snmp(&mut self) {
        if !self.measures_power() {
            let count = self.texts("agents").len();
            self.draft.lost(format!("{}: no field is a power: {count} agents", self.origin));
            return;
        }
        let version = self.table.get("version").and_then(Value::as_integer).unwrap_or(2);
        let mut login = Keys::default();
        if version == 3 {
            let user = self.text("sec_name").map(ToOwned::to_owned);
            login = login.maybe("user", user.and_then(|user| self.given("sec_name", &user)));
            for (protocol, password, of) in
                [("auth_protocol", "auth_password", "auth"), ("priv_protocol", "priv_password", "privacy")]
            {
                let Some(name) = self.text(protocol).map(protocol_name) else { continue };
                let secret = self.text(password).map(ToOwned::to_owned);
                let secret = secret.and_then(|secret| self.secret(password, &secret));
                if secret.is_some() {
                    login =
                        login.with(&format!("{of}_protocol"), name).maybe(&format!("{of}_password"), secret);
                }
            }
        } else {
            let community = self.text("community").unwrap_or("public").to_owned();
            let community = self.secret("community", &community);
            login = login.maybe("community", community);
            if version == 1 {
                login = login.with("version", "1");
            }
        }
        for agent in self.texts("agents") {
            let Some((host, port)) = host_and_port(&agent) else {
                self.draft.lost(format!("{}: agent {agent:?} names no host", self.origin));
                continue;
            };
            if agent.starts_with("tcp") {
                self.draft.lost(format!("{}: agent {agent:?}: read over UDP", self.origin));
            }
            let keys =
                Keys::meter("snmp").with("host", host.clone()).maybe("port", port.map(i64::from)).and(&login);
            let probe = format!("{host}.{{outlet}}");
            self.add(keys, &probe, &probe);
        }
    }

    /// Whether anything in it is named as power is; Telegraf reads switches and printers by the same input.
    fn measures_power(&self) -> bool {
        fn is_power(value: &Value) -> bool {
            match value {
                Value::String(text) => {
                    let text = text.to_ascii_lowercase();
                    ["watt", "power", "pdu", "ups", "energy", "outlet", "rpdu"]
                        .iter()
                        .any(|part| text.contains(part))
                }
                Value::Array(items) => items.iter().any(is_power),
                Value::Table(table) => table.values().any(is_power),
                Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => false,
            }
        }
        ["name", "field", "table", "tags", "name_override"]
            .iter()
            .any(|key| self.table.get(*key).is_some_and(is_power))
    }

    fn redfish(&mut self) {
        let Some(address) = self.text("address").map(ToOwned::to_owned) else {
            self.draft.lost(format!("{}: no address", self.origin));
            return;
        };
        let Some((host, port)) = host_and_port(&address) else {
            self.draft.lost(format!("{}: address {address:?} names no host", self.origin));
            return;
        };
        let at = if address.starts_with("http://") {
            address.trim_end_matches('/').to_owned()
        } else {
            match port {
                None => host.clone(),
                Some(port) if host.contains(':') => format!("[{host}]:{port}"),
                Some(port) => format!("{host}:{port}"),
            }
        };
        let is_insecure = self.table.get("insecure_skip_verify").and_then(Value::as_bool) == Some(true);
        if is_insecure {
            self.draft.lost(format!("{}: insecure_skip_verify: certificates are verified here; kwapi probe prints the fingerprint to pin", self.origin));
        }
        let username = self.text("username").map(ToOwned::to_owned);
        let username = username.and_then(|username| self.given("username", &username));
        let password = self.text("password").map(ToOwned::to_owned);
        let password = password.and_then(|password| self.secret("password", &password));
        // Both or neither.
        let login = username.zip(password);
        let keys = Keys::meter("redfish").with("host", at);
        let keys = match login {
            Some((username, password)) => keys.with("username", username).with("password", password),
            None => keys,
        };
        self.add(keys, &host, &host);
    }

    fn upsd(&mut self) {
        let server = self.text("server").unwrap_or("127.0.0.1").to_owned();
        let Some((host, _)) = host_and_port(&server) else {
            self.draft.lost(format!("{}: server {server:?} names no host", self.origin));
            return;
        };
        let port = self.table.get("port").and_then(Value::as_integer);
        let port = port.filter(|port| *port != 3493);
        let host = match port {
            None => host,
            Some(port) if host.contains(':') => format!("[{host}]:{port}"),
            Some(port) => format!("{host}:{port}"),
        };
        self.draft.lost(format!(
            "{}: a meter reads one UPS; if there are several, name each with ups (upsc -l {host})",
            self.origin
        ));
        let probe = host.replace(':', "-").replace(['[', ']'], "");
        self.add(Keys::meter("nut").with("host", host), &probe, &probe);
    }

    /// What is in this machine.
    fn local(&mut self, driver: &str) {
        let probe = format!("{driver}.{{outlet}}");
        self.draft.lost(format!(
            "{}: probes are called {probe}; put the name of the machine in its place",
            self.origin
        ));
        self.add(Keys::meter(driver), &probe, &probe);
    }
}
