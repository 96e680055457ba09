//! The driver against agents we did not write: Net-SNMP's snmpd, and snmpsim with walks of several families.

#![allow(clippy::disallowed_methods, reason = "a test starts the agents it uses")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, devices, free_udp_port, need, need_python, output};

use super::*;

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Signatures: as Net-SNMP writes them, as the configuration does.
const AUTH: [(&str, &str); 6] = [
    ("MD5", "MD5"),
    ("SHA", "SHA"),
    ("SHA-224", "SHA-224"),
    ("SHA-256", "SHA-256"),
    ("SHA-384", "SHA-384"),
    ("SHA-512", "SHA-512"),
];
/// Ciphers, likewise.
const PRIVACY: [(&str, &str); 4] =
    [("DES", "DES"), ("AES", "AES"), ("AES-192", "AES-192"), ("AES-256", "AES-256")];

struct Snmpd {
    lab: Lab,
    port: u16,
    peer: Peer,
}

fn snmpd() -> Snmpd {
    let port = free_udp_port();
    let lab = Lab::of("snmpd", port);
    let path = lab.join("snmpd/snmpd.conf");
    let mut conf = std::fs::read_to_string(&path).unwrap();
    for (auth, _) in AUTH {
        _ = writeln!(conf, "createUser only{auth} {auth} authpass1\nrouser only{auth} auth");
        for (privacy, _) in PRIVACY {
            _ = writeln!(
                conf,
                "createUser {auth}{privacy} {auth} authpass1 {privacy} privpass1\nrouser {auth}{privacy} priv"
            );
        }
    }
    std::fs::write(&path, conf).unwrap();
    let peer = devices::snmpd(&lab, port);
    Snmpd { lab, port, peer }
}

fn once(port: u16, more: &str, wanted: &Outlets) -> Result<Vec<String>, String> {
    let more = format!("{more}\nprofile = 'raritan_px1'");
    let config = config(loopback(port), &more);
    // A loaded machine: Net-SNMP queries its pass_persist script for one object at a time.
    let config = SnmpConfig { timeout_seconds: 3.0, ..config };
    runtime().block_on(async {
        let shared = Arc::new(SnmpShared::default());
        let mut driver = Snmp::open(&config, wanted, &shared).await.map_err(|error| error.to_string())?;
        read(&mut driver).await
    })
}

#[test]
fn snmpd_is_read_in_every_version_and_with_every_signature_and_cipher() {
    if !need(&["snmpd"]) {
        return;
    }
    let agent = snmpd();
    let mut ways = vec![
        "version = '1'".to_owned(),
        "version = '2c'".to_owned(),
        "user = 'noauth'".to_owned(),
        "user = 'monitor'\nauth_password = 'authpass1'\nprivacy_protocol = 'AES'\nprivacy_password = 'privpass1'".to_owned(),
    ];
    for (auth, protocol) in AUTH {
        let user = format!("auth_protocol = '{protocol}'\nauth_password = 'authpass1'\nuser = 'only{auth}'");
        ways.push(user);
        for (privacy, cipher) in PRIVACY {
            ways.push(format!(
                "auth_protocol = '{protocol}'\nauth_password = 'authpass1'\nuser = '{auth}{privacy}'\n\
                 privacy_protocol = '{cipher}'\nprivacy_password = 'privpass1'"
            ));
        }
    }
    for way in ways {
        let lines = once(agent.port, &way, &outlets(&["1", "24", "25"]));
        assert_eq!(
            lines,
            Ok(["1: 101 W", "24: 124 W", "25: no such outlet: not in the agent's table"]
                .map(str::to_owned)
                .to_vec()),
            "{way}"
        );
    }
}

#[test]
fn snmpd_lists_its_outlets_and_a_change_of_load_is_seen() {
    if !need(&["snmpd"]) {
        return;
    }
    let agent = snmpd();
    let lines = once(agent.port, "", &Outlets::all("pdu.{outlet}")).unwrap();
    assert_eq!(lines.len(), 24);
    assert_eq!(lines[6], "pdu.7: 107 W");
    std::fs::write(agent.lab.join("snmpd/outlets.txt"), "55\n66\n").unwrap();
    assert_eq!(once(agent.port, "", &Outlets::all("pdu.{outlet}")).unwrap(), ["pdu.1: 55 W", "pdu.2: 66 W"]);
}

#[test]
fn a_wrong_user_or_password_is_refused_with_what_to_check() {
    if !need(&["snmpd"]) {
        return;
    }
    let agent = snmpd();
    for (way, expected) in [
        ("user = 'nobody'", "unknown user name; check user"),
        (
            "user = 'monitor'\nauth_password = 'wrongpass'\nprivacy_protocol = 'AES'\nprivacy_password = 'privpass1'",
            "authentication failed; check auth_protocol and auth_password",
        ),
        (
            "user = 'monitor'",
            "authorizationError (3 objects); check the agent's access list and view, auth_protocol and privacy_protocol",
        ),
        ("user = 'monitor'\nauth_password = 'short'", "check auth_protocol, auth_password"),
    ] {
        let message = once(agent.port, way, &outlets(&["1"])).unwrap_err();
        assert!(message.starts_with("refused: ") && message.contains(expected), "{way}: {message}");
        assert!(!message.contains("wrongpass") && !message.contains("short'"), "{message}");
    }
    let way = "user = 'monitor'\nauth_password = 'authpass1'\nprivacy_protocol = 'AES'\nprivacy_password = 'wrongpass'";
    let message = once(agent.port, way, &outlets(&["1"])).unwrap_err();
    assert!(message.contains("passwor") && !message.contains("wrongpass"), "{message}");
}

#[test]
fn an_agent_that_was_replaced_is_found_again() {
    if !need(&["snmpd"]) {
        return;
    }
    let Snmpd { lab, port, peer } = snmpd();
    let user = "user = 'monitor'\nauth_password = 'authpass1'\nprivacy_protocol = 'AES'\nprivacy_password = 'privpass1'";
    let config = SnmpConfig {
        timeout_seconds: 1.0,
        ..config(loopback(port), &format!("{user}\nprofile = 'raritan_px1'"))
    };
    runtime().block_on(async {
        let shared = Arc::new(SnmpShared::default());
        let mut driver = Snmp::open(&config, &outlets(&["1"]), &shared).await.unwrap();
        assert_eq!(read(&mut driver).await.unwrap(), ["1: 101 W"]);
        drop(peer);
        read(&mut driver).await.unwrap_err();
        // Another engine at the same address: its keys are others, and its clock starts afresh.
        std::fs::remove_dir_all(lab.join("snmpd/var")).unwrap();
        let _peer = devices::snmpd(&lab, port);
        _ = read(&mut driver).await;
        let mut driver = Snmp::open(&config, &outlets(&["1"]), &shared).await.unwrap();
        assert_eq!(read(&mut driver).await.unwrap(), ["1: 101 W"]);
    });
}

/// The simulated rack is judged by Net-SNMP's tools: what our driver reads of it proves nothing if both err alike.
#[test]
fn net_snmp_reads_the_simulated_rack() {
    if !need(&["snmpget", "snmpbulkwalk"]) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let rack = runtime.block_on(async {
        let rack = Rack::start(RackSettings::default()).await.unwrap();
        rack.set_watts(7, Some(107.3));
        rack.set_watt_hours(7, 4_294_967_000.5);
        rack
    });
    let table = "1.3.6.1.4.1.13742.6.5.4.3.1.4.1";
    let run = |program: &str, version: &str, objects: &[&str]| {
        let mut command = Command::new(program);
        command
            .args([version, "-c", "public", "-On", "-Oq", "-t", "5", &rack.address().to_string()])
            .args(objects);
        output(&mut command)
    };
    let power = format!("{table}.7.5");
    let energy = format!("{table}.7.8");
    for version in ["-v1", "-v2c"] {
        let text = run("snmpget", version, &[&power, &energy, "1.3.6.1.4.1.13742.6.3.5.3.1.3.1.7"]);
        let expected =
            format!(".{power} 1073\n.{energy} 4294967000\n.1.3.6.1.4.1.13742.6.3.5.3.1.3.1.7 \"server 7\"\n");
        assert_eq!(text, expected, "{version}");
    }
    assert_eq!(run("snmpbulkwalk", "-v2c", &["1.3.6.1.4.1.13742.6.5.2"]).lines().count(), 4);
    let walk = run("snmpwalk", "-v1", &["1.3.6.1.4.1.13742"]);
    assert_eq!(walk.lines().filter(|line| line.starts_with('.')).count(), 12 * 7 + 6);
    rack.set_fault(Some(AgentFault::TooBig(1)));
    assert_eq!(run("snmpget", "-v2c", &[&power]).lines().count(), 1);
    assert!(rack.datagrams().received > 20 && rack.datagrams().received == rack.datagrams().sent);
}

#[test]
fn walks_of_several_families_played_by_snmpsim_are_recognised_and_read() {
    if !need_python("python") {
        return;
    }
    let port = free_udp_port();
    let lab = Lab::of("snmp", port);
    let _peer = Peer::start(Command::new("sh").arg(lab.join("snmp/run-snmpsim.sh")), lab.join("snmpsim.log"))
        .ready(Duration::from_secs(60), || devices::answers(port));
    for (community, profile, expected) in [
        (
            "raritan-px2",
            "raritan_px2",
            vec!["p.web 1: 123.4 W, 3636000 J", "p.2: not available: device status is 2"],
        ),
        (
            "eaton-g3",
            "eaton_epdu",
            vec!["p.db 1: 214 W, 1944000 J", "p.2: not available: power reads -1", "p.1.1: 87 W, 36000 J"],
        ),
        ("apc-rpdu2", "apc_rpdu2", vec!["p.mail: 96 W, 12960000 J", "p.backup: 0 W, 0 J"]),
        // The whole by watts, not the outlets by amperes.
        ("apc-rpdu", "apc_rpdu", vec!["p.unit: 230 W"]),
        (
            "sentry3",
            "servertech_sentry3",
            vec!["p.TowerA_Outlet1: 61 W, 4446000 J", "p.TowerA_Outlet2: not available: power reads -1"],
        ),
        (
            "sentry4",
            "servertech_sentry4",
            vec!["p.Master_Outlet_1: 75 W, 90000 J", "p.Master_Outlet_2: not available: device status is 7"],
        ),
        // 0 W beside 1 200 VA is a column that the card does not fill; beside 23 VA it is an idle UPS.
        ("ups-unfilled", "ups_mib", vec!["p.1: 231 V, 5.2 A", "p.2: 229 V, 0.1 A"]),
        ("ups-idle", "ups_mib", vec!["p.1: 0 W"]),
        ("geist", "vertiv_geist", vec!["p.Outlet 1: 150 W, 35996396400 J", "p.Outlet 2: 12 W, 3600 J"]),
    ] {
        let config = config(loopback(port), &format!("community = '{community}'"));
        let config = SnmpConfig { timeout_seconds: 8.0, ..config };
        let lines = runtime().block_on(async {
            let shared = Arc::new(SnmpShared::default());
            let mut driver = Snmp::open(&config, &Outlets::all("p.{label}"), &shared).await.unwrap();
            let lines = read(&mut driver).await.unwrap();
            let chosen = driver
                .findings()
                .into_iter()
                .find(|finding| finding.is_used && finding.what.starts_with("profile"));
            assert_eq!(chosen.unwrap().what, format!("profile {profile}"));
            lines
        });
        assert_eq!(lines, expected, "{community}");
    }
    // No sysObjectID, and the tables of two makers: the better profile is taken, the other is shown.
    let config = SnmpConfig { timeout_seconds: 8.0, ..config(loopback(port), "community = 'pdu'") };
    runtime().block_on(async {
        let shared = Arc::new(SnmpShared::default());
        let mut driver = Snmp::open(&config, &Outlets::all("p.{outlet}"), &shared).await.unwrap();
        assert_eq!(read(&mut driver).await.unwrap().iter().filter(|line| line.ends_with(" W")).count(), 24);
        let findings = driver.findings();
        let is_used =
            |what: &str| findings.iter().find(|finding| finding.what == what).map(|finding| finding.is_used);
        assert_eq!(is_used("profile eaton_epdu"), Some(true));
        assert_eq!(is_used("profile raritan_px1"), Some(false));
    });
}
