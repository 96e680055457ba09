//! Every key that a driver has, through the whole configuration: taken, handed to the driver, and in the manual.

use std::collections::BTreeSet;
use std::path::Path;

use kwapi_drivers::registry::DRIVERS;

use crate::config::Config;

/// For each driver, meters that between them have every key of its own.
const METERS: &[(&str, &str)] = &[
    (
        "snmp",
        "host='h'\nport=1161\nversion='2c'\ncommunity='c'\nprofile='apc_rpdu2'\nprofile_directory='@DIR@'\ntimeout_seconds=1\nretransmits=2\nmax_varbinds=8\nvoltage_and_current=true",
    ),
    ("snmp", "host='h'\nunit=1"),
    (
        "snmp",
        "host='h'\nuser='u'\nauth_protocol='SHA'\nauth_password='12345678'\nprivacy_protocol='AES'\nprivacy_password='12345678'\ncontext='x'",
    ),
    ("snmp", "host='h'\noids={ 1 = { power = '1.3.6.1.4.1.1.1' } }"),
    (
        "ipmi",
        "host='h'\nport=1623\nusername='u'\npassword='p'\nkg='k'\nversion='2.0'\ncipher_suite=3\nprivilege='user'\nlegacy_authentication='md5'\nsource='sensor'\nsensor='Watts'\ntimeout_seconds=1",
    ),
    (
        "redfish",
        "host='h'\nusername='u'\npassword='p'\nauth='basic'\ntls='insecure'\nchassis='1'\nsensor='2'",
    ),
    ("redfish", "host='h'\npdu='1'"),
    ("modbus", "host='h'\nunit=255\nmap='eastron-sdm120'\nmaps='@DIR@'\nframing='tcp'"),
    ("modbus", "device='/dev/ttyS0'\nmap='eastron-sdm120'\nbaud=9600\nparity='none'\nstop_bits=1"),
    ("nut", "host='h'\nups='u'\nusername='n'\npassword='p'\nnominal_watts=800\npower_factor=0.9"),
    ("shelly", "host='h'\nusername='u'\npassword='p'"),
    ("tasmota", "host='h'\nusername='u'\npassword='p'"),
    ("kasa", "host='h'"),
    (
        "mqtt",
        "broker='mqtts://b'\nusername='u'\npassword='p'\ntls='insecure'\ntopic='t'\nenergy_topic='e'\nvalues={ power='/p', energy='/e' }",
    ),
    ("fritz", "host='fritz.box'\nusername='u'\npassword='p'\nlegacy_login=true"),
    ("fritz", "host='https://fritz.box'\npassword='p'\ntls='insecure'"),
    (
        "http_json",
        "url='https://h/'\nvalues={ power='/p' }\nstale_seconds=9\nheaders={ X-Key='k' }\nusername='u'\npassword='p'\ntls='insecure'",
    ),
    (
        "prometheus",
        "url='https://h/'\npower='w'\npower_unit='kW'\npower_scale=0.1\nenergy='e'\nenergy_unit='kWh'\nenergy_scale=2\nvoltage='v'\nvoltage_scale=0.1\ncurrent='c'\ncurrent_scale=0.1\nlabel='l'\nlabels={ a='b' }\nstale_seconds=9\nheaders={ X-Key='k' }\nusername='u'\npassword='p'\ntls='insecure'",
    ),
    ("wattsup", "device='/dev/ttyUSB0'"),
    ("p1", "device='/dev/ttyUSB0'\nbaud=9600"),
    (
        "p1",
        "host='h:8088'\nencryption_key='00112233445566778899aabbccddeeff'\nauthentication_key='00112233445566778899aabbccddeeff'",
    ),
    ("sml", "device='/dev/ttyUSB0'\nbaud=9600\nrequest_seconds=60"),
    ("sml", "host='h:8088'"),
    ("rapl", "root='/sys/class/powercap'"),
    ("hwmon", "root='/sys/class/hwmon'"),
    ("pm_counters", "root='/sys/cray/pm_counters'"),
    ("nvml", "library='/usr/lib/libnvidia-ml.so.1'"),
    ("push", "listen='127.0.0.1:4711'"),
    ("dummy", "watts=1\njitter_watts=1\nswing_watts=1\nswing_seconds=2\noutlets=2\nseed=3"),
];

fn read(meter: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    std::fs::create_dir(&own).unwrap();
    let meter = meter.replace("@DIR@", &own.display().to_string());
    let file = folder.path().join("k.toml");
    std::fs::write(&file, format!("[[meter]]\nprobe = 'p'\n{meter}\n")).unwrap();
    Config::read(&file).unwrap_or_else(|error| panic!("{meter}\n{error}"))
}

#[test]
fn every_key_of_every_driver_reaches_it_and_is_in_the_manual() {
    for entry in DRIVERS {
        let mut set = BTreeSet::new();
        for (_, keys) in METERS.iter().filter(|(driver, _)| *driver == entry.name) {
            let config = read(&format!("driver = '{}'\n{keys}", entry.name));
            for key in toml::from_str::<toml::Table>(keys).unwrap().keys() {
                assert!(
                    config.meters[0].driver.has_key(key),
                    "{}: {key} does not reach the driver",
                    entry.name
                );
                set.insert(key.clone());
            }
        }
        let all: BTreeSet<String> = entry.keys.iter().map(|key| key.name.to_owned()).collect();
        assert_eq!(set, all, "{}: keys that are tried here, and keys that there are", entry.name);
        let manual = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../docs/manual/drivers/{}.md", entry.name));
        let manual = std::fs::read_to_string(manual).unwrap();
        for key in all {
            assert!(manual.contains(&format!("`{key}`")), "{}: {key} is not in the manual", entry.name);
        }
    }
}

/// The rows of a page's table of keys: the names in the first column, and the text of the second.
fn rows(page: &str) -> Vec<(Vec<&str>, &str)> {
    let table = page.lines().skip_while(|line| *line != "| key | default | meaning |").skip(2);
    let rows = table.take_while(|line| line.starts_with('|')).filter_map(|line| {
        let mut columns = line.trim_matches('|').split('|').map(str::trim);
        let keys = columns.next()?.split(", ").map(|key| key.trim_matches('`')).collect();
        Some((keys, columns.next()?))
    });
    rows.collect()
}

#[test]
fn the_manual_states_the_defaults_that_drivers_state() {
    for entry in DRIVERS {
        let page = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../docs/manual/drivers/{}.md", entry.name));
        let page = std::fs::read_to_string(page).unwrap();
        let rows = rows(&page);
        for key in entry.keys {
            let row = rows.iter().find(|(keys, _)| keys.contains(&key.name));
            let Some((keys, default)) = row else { panic!("{}: no row for {}", entry.name, key.name) };
            // Several keys in a row have a default together, which may be none of a single one.
            if keys.len() == 1 {
                let of_manual = default.replace(['`', '"'], "");
                let meant = key.default.text().replace('"', "");
                let number = |text: &str| text.parse::<f64>().ok();
                let is_same = of_manual == meant
                    || number(&of_manual).is_some_and(|of_manual| number(&meant) == Some(of_manual));
                assert!(
                    is_same,
                    "{}: {}: {of_manual:?} in the manual, {meant:?} in the driver",
                    entry.name, key.name
                );
            }
        }
    }
}

#[test]
fn a_key_of_a_driver_and_of_all_meters_is_whose_it_is_meant_to_be() {
    let prometheus = "driver = 'prometheus'\nurl = 'http://h/'\npower = 'w'\nlabel = 'l'\n";
    let config = read(&format!(
        "{prometheus}labels = {{ zone = 'a' }}\nprobe_labels = {{ room = 'b' }}\nvoltage = 'v'"
    ));
    let probe = config.meters[0].outlets.named()[0].probe.clone();
    assert_eq!(config.labels[&probe].iter().collect::<Vec<_>>(), [(&"room".to_owned(), &"b".to_owned())]);
    assert_eq!(config.meters[0].assumptions.voltage, None);
    let config = read(&format!("{prometheus}voltage = 230"));
    assert!(!config.meters[0].driver.has_key("voltage"));
    assert_eq!(config.meters[0].assumptions.voltage, Some(kwapi_core::Volts(230.0)));
    let config = read("driver = 'nut'\nhost = 'h'\npower_factor = 0.8");
    assert!(config.meters[0].driver.has_key("power_factor"));
    assert_eq!(config.meters[0].assumptions.power_factor, Some(0.8));
    let config = read("driver = 'dummy'\nlabels = { a = 'b' }");
    assert!(!config.meters[0].driver.has_key("labels"));
    assert_eq!(config.labels.len(), 1);
}

#[test]
fn a_gap_follows_the_meters_pace_unless_it_is_set() {
    assert!(read("driver = 'dummy'").meters[0].max_gap_follows);
    assert!(!read("driver = 'dummy'\nmax_gap_seconds = 20").meters[0].max_gap_follows);
}
