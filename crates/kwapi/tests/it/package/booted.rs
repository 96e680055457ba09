//! The package under a systemd of its own: each role confined as in its unit, with what it reads, and the package's life.

use std::path::Path;

use kwapi_peers::{Booted, debian_with_systemd, need, skip, wait_until};
use serde_json::Value;

use super::Debian;
use crate::harness::PATIENCE;
use crate::upgrade::copy;

const ROLES: [&str; 4] = ["kwapi-drivers", "kwapi-forwarder", "kwapi-api", "kwapi-rrd"];

/// A Debian that runs. The system ends before its folder goes.
struct System {
    booted: Booted,
    debian: Debian,
}

impl System {
    fn boot() -> Option<Self> {
        if !need(&["unshare", "setpriv", "nsenter", "pivot_root", "ip", "curl"]) {
            return None;
        }
        let debian = Debian::copy_of(debian_with_systemd())?;
        match Booted::boot(&debian.root, debian.lab.join("systemd.log")) {
            Ok(booted) => Some(Self { booted, debian }),
            Err(why) => {
                skip(&format!("no namespaces for a systemd: {why}"));
                None
            }
        }
    }

    /// What a shell of root's prints inside.
    fn run(&self, script: &str) -> String {
        self.booted.run("sh", &["-euc", script])
    }

    /// `systemctl` with these words; with what the units have logged, when it fails.
    fn systemctl(&self, words: &str) {
        self.run(&format!(
            "systemctl --quiet {words} || {{ journalctl --unit 'kwapi*' --lines 60; exit 1; }}"
        ));
    }

    /// A word of systemd's about a unit.
    fn property(&self, unit: &str, name: &str) -> String {
        self.booted.run("systemctl", &["show", "--property", name, "--value", unit]).trim().to_owned()
    }

    fn is_active(&self, unit: &str) -> bool {
        self.property(unit, "ActiveState") == "active"
    }

    /// Which of Kwapi's units run.
    fn active(&self) -> Vec<&'static str> {
        let units = ["kwapi"].into_iter().chain(ROLES);
        units.filter(|unit| self.is_active(unit)).collect()
    }

    /// The messages of Kwapi's units of this priority and worse.
    fn journal(&self, priority: &str) -> String {
        let arguments = ["--quiet", "--output", "cat", "--unit", "kwapi*", "--priority", priority];
        self.booted.run("journalctl", &arguments)
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.debian.root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    fn json(&self, address: &str) -> Option<Value> {
        serde_json::from_str(&self.booted.get(address)?).ok()
    }

    /// The kWh of a probe, which has been received since `after`.
    fn kwh(&self, probe: &str, after: f64) -> (f64, f64) {
        wait_until(probe, PATIENCE, || {
            let probes = self.json("http://127.0.0.1:5000/v1/probes/")?;
            let entry = probes["probes"].get(probe)?;
            let stamp = entry["timestamp"].as_f64()?;
            (stamp > after).then_some((entry["kwh"].as_f64()?, stamp))
        })
    }

    /// What `kwapi simulate` runs, as a unit of systemd's; what it prints once it is there.
    fn simulate(&self, what: &str) -> String {
        let unit = format!("simulated-{what}");
        self.booted.run("systemd-run", &["--quiet", "--unit", &unit, "kwapi", "simulate", what]);
        wait_until(what, PATIENCE, || {
            let printed = self.booted.run("journalctl", &["--quiet", "--output", "cat", "--unit", &unit]);
            printed.contains("probe =").then_some(printed)
        })
    }
}

/// Each role by itself: meters of each kind of access, a bus of sockets below /run, a secret of the environment's.
const ROLES_TOML: &str = r#"
[drivers]
publish = ["ipc:///run/kwapi/drivers"]

[forwarder]
subscribe = ["ipc:///run/kwapi/drivers"]
publish = ["ipc:///run/kwapi/forwarder"]

[bus]
key = { id = "hall", secret = { env = "HALL_SECRET" } }

[api]
subscribe = ["ipc:///run/kwapi/forwarder"]

[rrd]
subscribe = ["ipc:///run/kwapi/forwarder"]

[[meter]]
name = "pdu"
driver = "snmp"
host = "127.0.0.1"
port = 1161
community = { file = "pdu.secret" }
probe = "rack.{label}"

[[meter]]
name = "card"
driver = "ipmi"
host = "127.0.0.1"
port = 9623
username = "user"
password = "secret"
probe = "card-1"

[[meter]]
name = "lamp"
driver = "wattsup"
device = "/dev/ttyUSB0"
probe = "desk"

[[meter]]
name = "line"
driver = "modbus"
device = "/dev/ttyS9"
map = "eastron-sdm630"
probe = "line"

[[meter]]
name = "elsewhere"
driver = "p1"
device = "/dev/elsewhere"
probe = "elsewhere"

[[meter]]
name = "processor"
driver = "rapl"
root = "/srv/powercap"
probe = "processor"
"#;

/// What the administrator of that machine does: secrets, devices as udev makes them, RAPL as our rule gives it away. A line that
/// has no port (4, 73), and a device that is not in the units' list: /dev/kmsg (1, 11), the kernel's log.
const ROLES_SETUP: &str = "
    chgrp kwapi /etc/kwapi/kwapi.toml /etc/kwapi/pdu.secret
    chmod 640 /etc/kwapi/kwapi.toml /etc/kwapi/pdu.secret
    chmod 600 /etc/kwapi/environment
    chgrp kwapi /srv/powercap/intel-rapl:0/energy_uj
    chmod 640 /srv/powercap/intel-rapl:0/energy_uj
    mknod -m 660 /dev/ttyS9 c 4 73
    mknod -m 660 /dev/elsewhere c 1 11
    chgrp dialout /dev/ttyS9 /dev/elsewhere";

/// A meter of the list at the status port.
fn meter<'a>(meters: &'a Value, name: &str) -> &'a Value {
    let of_name = meters.as_array().into_iter().flatten().find(|meter| meter["name"] == name);
    of_name.unwrap_or_else(|| panic!("no {name}: {meters}"))
}

#[test]
fn under_systemd_each_role_reads_and_serves_confined_and_comes_back() {
    let Some(system) = System::boot() else { return };
    let package = system.debian.pack("0.2.0-1");
    system.booted.run("dpkg", &["--install", package.to_str().unwrap()]);
    assert_eq!(system.active(), ["kwapi"], "as installed");
    assert!(system.booted.get("http://127.0.0.1:8080/").is_some(), "its pages");
    assert_eq!(system.journal("warning"), "", "a start as installed");

    system.simulate("rack");
    system.simulate("ipmi");
    let lamp = system.simulate("wattsup");
    let terminal = lamp.split('"').find(|word| word.starts_with("/dev/pts/")).unwrap();
    system.run(&format!("chgrp dialout {terminal}; chmod 660 {terminal}; ln -s {terminal} /dev/ttyUSB0"));
    for (name, text) in
        [("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "1000")]
    {
        system.write(&format!("/srv/powercap/intel-rapl:0/{name}"), &format!("{text}\n"));
    }
    system.write("/etc/kwapi/kwapi.toml", ROLES_TOML);
    system.write("/etc/kwapi/pdu.secret", "public");
    system.write("/etc/kwapi/environment", "HALL_SECRET=at least sixteen bytes\n");
    system.run(ROLES_SETUP);
    system.systemctl("disable --now kwapi");
    system.systemctl(&format!("start {}", ROLES.join(" ")));
    assert_eq!(system.active(), ROLES);

    // What each has to read, and no more.
    let meters = wait_until("the meters", PATIENCE, || {
        let meters = system.json("http://127.0.0.1:5061/meters")?;
        let has_error = |name: &str| meter(&meters, name)["last_error"].is_string();
        let up =
            ["pdu", "card", "lamp", "processor"].iter().all(|name| meter(&meters, name)["is_up"] == true);
        (up && has_error("line") && has_error("elsewhere")).then_some(meters)
    });
    let line = meter(&meters, "line");
    assert!(line["last_error"].as_str().unwrap().contains("is plugged in"), "let through: {line}");
    let elsewhere = meter(&meters, "elsewhere");
    assert!(
        elsewhere["last_error"].as_str().unwrap().contains("DeviceAllow=/dev/elsewhere rw"),
        "{elsewhere}"
    );
    assert!(system.journal("err").contains("DeviceAllow=/dev/elsewhere"), "with its priority");
    let mut stamp = 0.0;
    for probe in ["rack.server 1", "card-1", "desk", "processor"] {
        stamp = system.kwh(probe, 0.0).1;
    }
    wait_until("the page of all probes", PATIENCE, || {
        system.booted.get("http://127.0.0.1:8080/").filter(|page| page.contains("rack.server 12"))
    });
    for unit in ["kwapi"].into_iter().chain(ROLES) {
        // As in `systemd_accepts_each_unit_…`, of what was loaded.
        system.booted.run("systemd-analyze", &["security", "--threshold=20", "--no-pager", unit]);
    }

    // Killed, each is started again, and continues.
    let (kwh, _) = system.kwh("rack.server 1", stamp);
    for unit in ROLES {
        let killed = system.property(unit, "MainPID");
        system.run(&format!("kill -9 {killed}"));
        wait_until(unit, PATIENCE, || {
            let next = system.property(unit, "MainPID");
            (next != killed && next != "0" && system.is_active(unit)).then_some(())
        });
    }
    let (after, stamp) = system.kwh("rack.server 1", stamp + 4.0);
    assert!(after > kwh, "{kwh} then {after}");

    // A reload, of each; what is changed is taken up.
    system.run("sed -i s/card-1/card-2/ /etc/kwapi/kwapi.toml");
    system.systemctl(&format!("reload {}", ROLES.join(" ")));
    system.kwh("card-2", stamp);
    for unit in ROLES {
        assert!(system.is_active(unit), "{unit}");
    }
    assert_a_wrong_configuration_fails_the_reload(&system);

    // All in one again: the parts stop before it starts.
    system.systemctl("start kwapi");
    assert_eq!(system.active(), ["kwapi", "kwapi-forwarder"]);
    let (all_in_one, _) = system.kwh("rack.server 1", stamp);
    assert!(all_in_one > 0.0);
    system.systemctl("stop kwapi kwapi-forwarder");
    for unit in ["kwapi"].into_iter().chain(ROLES) {
        assert_eq!(system.property(unit, "Result"), "success", "{unit}");
    }
}

/// A reload of a wrong configuration fails, reports why, and changes nothing; root's commands see the services' secrets.
fn assert_a_wrong_configuration_fails_the_reload(system: &System) {
    let checked = system.run("kwapi check --no-files");
    assert!(checked.contains("6 meters"), "with the secret of the environment's file: {checked}");
    let processes = ROLES.map(|unit| system.property(unit, "MainPID"));
    system.run("sed -i s/rapl/rapple/ /etc/kwapi/kwapi.toml");
    for unit in ROLES {
        let reloaded = system.run(&format!("systemctl reload {unit} 2>&1 && echo reloaded || true"));
        assert!(!reloaded.contains("reloaded") && reloaded.contains("failed"), "{unit}: {reloaded}");
        let log = system.booted.run("journalctl", &["--quiet", "--output", "cat", "--unit", unit]);
        assert!(log.contains("unknown driver `rapple`; did you mean `rapl`?"), "{unit}: {log}");
        wait_until("the state of the service", PATIENCE, || {
            system.property(unit, "StatusText").contains("configuration not reloaded").then_some(())
        });
    }
    assert_eq!(ROLES.map(|unit| system.property(unit, "MainPID")), processes, "they run as before");
    system.run("sed -i s/rapple/rapl/ /etc/kwapi/kwapi.toml");
    system.systemctl(&format!("reload {}", ROLES.join(" ")));
    for unit in ROLES {
        wait_until("the state of the service", PATIENCE, || {
            system.property(unit, "StatusText").is_empty().then_some(())
        });
    }
}

/// `kwapi run`, or its parts.
const METERS_TOML: &str = "
[[meter]]
driver = 'dummy'
watts = 1
probes = ['rack.a', 'rack.b']

[bus]
key = { id = 'hall', secret = 'at least sixteen bytes' }

[drivers]
publish = ['ipc:///run/kwapi/drivers']

[api]
subscribe = ['ipc:///run/kwapi/drivers']
";

#[test]
fn under_systemd_an_upgrade_restarts_what_runs_with_its_totals_and_nothing_else() {
    let Some(system) = System::boot() else { return };
    let install = |version: &str| {
        let package = system.debian.pack(version);
        system.booted.run("dpkg", &["--install", package.to_str().unwrap()]);
    };
    install("0.1.0-1");
    system.systemctl("stop kwapi");
    system.write("/etc/kwapi/kwapi.toml", METERS_TOML);
    system.run("rm -r /var/lib/kwapi/*");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state-0.1.0/run");
    copy(&golden, &system.debian.root.join("var/lib/kwapi"));
    system.run("chown -R kwapi:kwapi /var/lib/kwapi");
    system.systemctl("start kwapi");
    let (first, stamp) = system.kwh("rack.b", 0.0);
    assert!((2_359_999.0..2_361_000.0).contains(&(first * 3_600_000.0)), "{first}");
    let kept = format!("/var/lib/kwapi/before-{}/kwapi-backup.json", env!("CARGO_PKG_VERSION"));
    assert_eq!(system.debian.access(&kept).split(' ').next(), Some("kwapi:kwapi"));

    let process = system.property("kwapi", "MainPID");
    install("0.2.0-1");
    assert_eq!(system.active(), ["kwapi"]);
    assert_ne!(system.property("kwapi", "MainPID"), process);
    let (second, _) = system.kwh("rack.b", stamp);
    assert!((first..first + 0.001).contains(&second), "{first} then {second}");
    system.systemctl("stop kwapi");
    install("0.2.0-2");
    assert!(system.active().is_empty(), "stopped by the administrator: {:?}", system.active());
}

#[test]
fn under_systemd_what_is_enabled_runs_after_a_removal_and_a_purge_leaves_nothing() {
    let Some(system) = System::boot() else { return };
    let before = system.debian.files();
    let package = system.debian.pack("0.2.0-1");
    let install = || system.booted.run("dpkg", &["--install", package.to_str().unwrap()]);
    install();
    system.write("/etc/kwapi/kwapi.toml", METERS_TOML);
    system.systemctl("disable --now kwapi");
    system.systemctl("enable --now kwapi-drivers kwapi-api");
    system.booted.run("dpkg", &["--remove", "kwapi"]);
    assert!(system.active().is_empty());
    install();
    assert_eq!(system.active(), ["kwapi-drivers", "kwapi-api"], "as the administrator left them");
    system.kwh("rack.b", 0.0);

    system.booted.run("dpkg", &["--purge", "kwapi"]);
    let loaded = system.booted.run("systemctl", &["list-units", "--all", "--plain", "--no-legend", "kwapi*"]);
    assert_eq!(loaded.trim(), "", "no unit is left");
    assert_eq!(system.run("ls /run | grep kwapi || true").trim(), "", "nor a socket");
    // What systemd has written meanwhile is its own.
    let left = system.debian.files().into_iter().filter(|file| !before.contains(file));
    let ours: Vec<_> = left.filter(|file| file.contains("kwapi")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}
