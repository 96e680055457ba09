use std::sync::atomic::{AtomicUsize, Ordering};

use kwapi_core::{ProbeId, Reading, Secret};
use serde::Deserialize;

use super::*;
use crate::config::KeyDefault;

static SHARED_ALIVE: AtomicUsize = AtomicUsize::new(0);

struct Probe(ProbeId);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[expect(dead_code, reason = "only read by serde")]
    host: String,
    #[serde(default)]
    #[expect(dead_code, reason = "only read by serde")]
    password: Secret,
    #[serde(default)]
    #[expect(dead_code, reason = "only read by serde")]
    mode: Option<Mode>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Fast,
    Slow,
}

struct Shared;

impl Default for Shared {
    fn default() -> Self {
        SHARED_ALIVE.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        SHARED_ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Driver for Probe {
    const NAME: &'static str = "test";
    const SUMMARY: &'static str = "nothing";
    const KEYS: &'static [DriverKey] = &[
        DriverKey::required("host", "which"),
        DriverKey::new("password", "its password").secret(),
        DriverKey::new("mode", "how"),
    ];
    type Config = Keys;
    type Shared = Shared;

    async fn open(_: &Keys, outlets: &Outlets, _: &Arc<Shared>) -> Result<Self, DriverError> {
        Ok(Self(outlets.only()?))
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        readings.push(&self.0, Ok(Reading::watts(7.0)));
        Ok(())
    }
}

const TEST: DriverEntry = DriverEntry::of::<Probe>();

fn configured(keys: &str) -> Result<ConfiguredDriver, ConfigError> {
    TEST.configure(keys.parse().expect("TOML"))
}

#[track_caller]
fn check(keys: &str, key: &str, expected: &str) {
    let error = configured(keys).expect_err("keys that are wrong");
    assert_eq!((error.key(), error.to_string().as_str()), (Some(key), expected));
}

#[test]
fn a_wrong_key_is_named_with_the_right_ones() {
    check("host = 'a'\npasword = 'x'", "pasword", "unknown key `pasword`; valid keys: host, password, mode");
    check("", "host", "`host` is missing");
    check("host = 'a'\nmode = 'quick'", "mode", "`mode`: unknown variant `quick`, expected `fast` or `slow`");
}

#[test]
fn a_value_of_the_wrong_type_is_not_repeated() {
    check("host = 'a'\npassword = 12345", "password", "`password`: expected a string, not integer");
}

#[test]
fn equal_keys_are_the_same_meter_and_secrets_do_not_print() {
    let one = configured("host = 'a'\npassword = 'hunter2'").unwrap();
    assert_eq!(one, configured("password = 'hunter2'\nhost = 'a'").unwrap());
    assert_ne!(one, configured("password = 'hunter3'\nhost = 'a'").unwrap());
    let printed = format!("{one:?}");
    assert!(printed.contains("\"a\"") && !printed.contains("hunter2"), "{printed}");
}

#[tokio::test]
async fn what_is_shared_lives_from_the_first_meter_to_the_last() {
    let pool = SharedPool::default();
    let configured = configured("host = 'a'").unwrap();
    let (first, second) = (configured.connector(&pool), configured.connector(&pool));
    assert_eq!(SHARED_ALIVE.load(Ordering::SeqCst), 1);
    drop(first);
    let outlets = Outlets::by_position([Some(ProbeId::new("p").unwrap())]);
    let mut readings = Readings::default();
    second.open(&outlets).await.unwrap().read(&mut readings).await.unwrap();
    assert_eq!(readings.len(), 1);
    drop(second);
    assert_eq!(SHARED_ALIVE.load(Ordering::SeqCst), 0);
}

/// What each driver needs to be configured at all.
fn required(driver: &str) -> &'static str {
    match driver {
        "snmp" | "ipmi" | "redfish" | "nut" | "shelly" | "tasmota" | "kasa" => "host = 'h'",
        "fritz" => "host = 'h'\npassword = 'p'",
        "modbus" => "host = 'h'\nmap = 'eastron-sdm120'",
        "mqtt" => "broker = 'b'\ntopic = 't'\nvalues = { power = '/p' }",
        "http_json" => "url = 'http://h/'\nvalues = { power = '/p' }",
        "prometheus" => "url = 'http://h/'",
        "wattsup" => "device = '/dev/ttyUSB0'",
        "push" => "listen = '127.0.0.1:4711'",
        _ => "",
    }
}

fn shown(entry: &DriverEntry, keys: &toml::Table) -> String {
    let configured = entry.configure(keys.clone());
    configured.map_or_else(|error| error.to_string(), |configured| format!("{configured:?}"))
}

#[test]
fn the_keys_a_driver_names_are_those_its_configuration_takes() {
    fn check<D: Driver>() {
        let named: Vec<_> = D::KEYS.iter().map(|key| key.name).collect();
        assert_eq!(named, crate::config::keys_of::<D::Config>(), "{}", D::NAME);
    }
    check::<Probe>();
    check::<crate::ipmi::Ipmi>();
    check::<crate::snmp::Snmp>();
    check::<crate::redfish::Redfish>();
    check::<crate::modbus::Modbus>();
    check::<crate::nut::Nut>();
    check::<crate::shelly::Shelly>();
    check::<crate::tasmota::Tasmota>();
    check::<crate::fritz::Fritz>();
    check::<crate::kasa::Kasa>();
    check::<crate::mqtt::Mqtt>();
    check::<crate::http_json::HttpJson>();
    check::<crate::prometheus::Prometheus>();
    check::<crate::wattsup::WattsUp>();
    check::<crate::rapl::Rapl>();
    check::<crate::push::Push>();
    check::<crate::p1::P1>();
    check::<crate::sml::Sml>();
    check::<crate::hwmon::Hwmon>();
    check::<crate::nvml::Nvml>();
    check::<crate::pm_counters::PmCounters>();
    check::<crate::dummy::Dummy>();
}

#[test]
fn what_a_key_states_of_its_default_is_so() {
    for entry in DRIVERS {
        let keys: toml::Table = required(entry.name).parse().expect("TOML");
        let without = shown(entry, &keys);
        for key in entry.keys {
            let name = key.name;
            let mut tried = keys.clone();
            match key.default {
                KeyDefault::Required => {
                    tried.remove(name).unwrap_or_else(|| panic!("{}: {name}", entry.name));
                    assert_eq!(shown(entry, &tried), format!("`{name}` is missing"), "{}", entry.name);
                }
                KeyDefault::Value(value) => {
                    let value: toml::Table = format!("{name} = {value}")
                        .parse()
                        .or_else(|_| format!("{name} = '{value}'").parse())
                        .expect("TOML");
                    tried.extend(value);
                    assert_eq!(shown(entry, &tried), without, "{}: the default of {name}", entry.name);
                }
                KeyDefault::Nothing | KeyDefault::Words(_) => {}
            }
        }
    }
}

#[test]
fn a_key_that_is_no_secret_shows_and_one_that_is_does_not() {
    for entry in DRIVERS {
        for key in entry.keys {
            let mut keys: toml::Table = required(entry.name).parse().expect("TOML");
            keys.insert(key.name.to_owned(), "hunter2".into());
            if key.is_secret {
                assert!(!shown(entry, &keys).contains("hunter2"), "{}: {} shows", entry.name, key.name);
            } else if let Ok(configured) = entry.configure(keys) {
                assert!(
                    format!("{configured:?}").contains("hunter2"),
                    "{}: {} is a secret",
                    entry.name,
                    key.name
                );
            }
        }
    }
}

#[test]
fn a_key_is_described_and_a_number_of_seconds_or_watts_reports_it() {
    for entry in DRIVERS {
        for (index, key) in entry.keys.iter().enumerate() {
            assert!(!key.meaning.is_empty() && !key.meaning.ends_with('.'), "{}: {}", entry.name, key.name);
            let is_twice = entry.keys.iter().skip(index + 1).any(|other| other.name == key.name);
            assert!(!is_twice, "{}: {} twice", entry.name, key.name);
            for (end, unit) in [("_seconds", "s"), ("watts", "W")] {
                assert!(!key.name.ends_with(end) || key.unit == Some(unit), "{}: {}", entry.name, key.name);
            }
        }
    }
}

#[test]
fn what_a_meters_keys_name_on_this_machine_is_reported() {
    let paths = |driver: &str, keys: &str| {
        let keys = format!("{}\n{keys}", required(driver)).parse().expect("TOML");
        let configured = find(driver).expect("a driver").configure(keys).expect("keys");
        let paths =
            configured.paths().map(|(key, names, path)| format!("{} {names:?} {}", key.name, path.display()));
        paths.collect::<Vec<_>>()
    };
    assert_eq!(
        paths("snmp", "profile_directory = '/etc/p'"),
        ["profile_directory Definitions { chosen_by: \"profile\" } /etc/p"]
    );
    assert_eq!(paths("redfish", "tls = 'ca:/etc/c.pem'"), ["tls Authority /etc/c.pem"]);
    assert_eq!(paths("redfish", "tls = 'insecure'"), Vec::<String>::new());
    assert_eq!(paths("wattsup", ""), ["device Device /dev/ttyUSB0"]);
    assert_eq!(paths("rapl", "root = '/sys/r'"), ["root Kernel /sys/r"]);
}

#[test]
fn driver_names_are_unique_and_described() {
    for (index, entry) in DRIVERS.iter().enumerate() {
        assert!(!entry.summary.is_empty(), "{}", entry.name);
        assert!(DRIVERS.iter().skip(index + 1).all(|other| other.name != entry.name), "{}", entry.name);
    }
}
