//! `kwapi discover` among real devices on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kwapi_peers::ipmi::Cards;
use kwapi_peers::{Lab, Peer, devices, free_port, free_udp_port, need, need_python, output};
use kwapi_simulators::ipmi::{Card, CardOptions};
use kwapi_simulators::{HttpAnswer, HttpDevice, HttpRequest};

use crate::commands::{fails, folder, succeeds};
use crate::devices::Pdu;
use crate::harness::{PATIENCE, kwapi, run};

const CREDENTIALS: &str =
    "[credentials.pdus]\ncommunity = 'public'\n[credentials.bmc]\nusername = 'user'\npassword = 'secret'\n";

#[test]
fn what_discover_prints_is_a_configuration_without_secrets() {
    if !need(&["snmpd", "snmpget"]) || !need_python("python") {
        return;
    }
    let (pdu, cards) = (Pdu::start(), Cards::pyghmi(2));
    let folder = folder(CREDENTIALS);
    let printed = {
        let arguments = [
            "discover",
            "127.0.0.1",
            "--port",
            &format!("ipmi={}", cards.port),
            "--port",
            &format!("ipmi={}", cards.port + 1),
        ];
        succeeds(&arguments, folder.path())
    };
    let toml: String = printed
        .lines()
        .filter(|line| !line.starts_with("probing ") && !line.contains(" skipped: "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(toml.matches("\n[[meter]]\n").count(), 2, "two cards on two ports: {printed}");
    assert!(toml.contains("credentials = \"bmc\"") && !printed.contains("secret"), "{printed}");
    assert!(printed.contains(" W now") && !printed.contains(" 0.0 W"), "{printed}");
    std::fs::write(folder.path().join("found.toml"), &toml).unwrap();
    std::fs::write(folder.path().join("kwapi.toml"), format!("include = ['found.toml']\n{CREDENTIALS}"))
        .unwrap();
    let checked = succeeds(&["check"], folder.path());
    assert!(
        checked.contains(&format!("127.0.0.1-{}\n", cards.port)) && checked.contains("Configuration OK."),
        "{checked}"
    );
    let probed = succeeds(&["probe", &format!("ipmi:127.0.0.1:{}", cards.port)], folder.path());
    assert!(probed.contains(" W"), "{probed}");

    // The PDU as well: the same host, so one of the two is only offered.
    let both = succeeds(
        &[
            "discover",
            "127.0.0.1",
            "--port",
            &format!("ipmi={}", cards.port),
            "--port",
            &format!("snmp={}", pdu.port),
        ],
        folder.path(),
    );
    assert!(both.contains("(profile raritan_px1), 24 outlets, "), "{both}");
    assert!(both.contains("\n# Measured over snmp above already; to be put in its place, not beside it:\n# [[meter]]\n# driver = \"ipmi\"\n"), "{both}");
}

#[test]
fn nothing_there_and_no_credentials_are_reported() {
    let folder = folder("");
    let stderr = succeeds(&["discover", "127.0.0.1"], folder.path());
    for protocol in ["snmp", "ipmi", "redfish"] {
        assert!(stderr.contains(&format!("{protocol} skipped: no [credentials.NAME]")), "{stderr}");
    }
    assert!(
        stderr.contains("probing 1 host over kasa, nut, shelly, tasmota, modbus, at most 20 per second\n"),
        "{stderr}"
    );
    assert!(stderr.contains("# nothing answered\n"), "{stderr}");
    let stderr = fails(&["discover", "10.0.0.0/8"], folder.path());
    assert_eq!(stderr, "kwapi: 10.0.0.0/8: larger than a /16; split it\n");
    let stderr = fails(&["discover", "127.0.0.1", "--rate", "0"], folder.path());
    assert!(stderr.contains("--rate must be a positive number"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_once_and_the_card_is_named() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_udp_port()));
    let card = Card::start(address, CardOptions::default()).await.unwrap();
    let folder = folder("[credentials.bmc]\nusername = 'user'\npassword = 'hunter2'\n");
    let port = format!("ipmi={}", address.port());
    let (is_well, stderr) =
        tokio::task::spawn_blocking(move || run(&["discover", "127.0.0.1", "--port", &port], folder.path()))
            .await
            .unwrap();
    assert!(is_well && stderr.contains("# no meter found\n"), "{stderr}");
    assert!(
        stderr.contains(&format!("# 127.0.0.1:{} answers ipmi with \"bmc\", but: ", address.port())),
        "{stderr}"
    );
    assert!(!stderr.contains("hunter2"), "{stderr}");
    // The card proves itself first: who sees that it has another password need not give his own away at all.
    assert!(card.datagrams() > 0 && card.wrong_proofs() <= 1, "cards lock accounts");
}

/// What was printed as configuration: what a pipe would get.
fn printed(arguments: &[&str], folder: &Path) -> (String, String) {
    let output = kwapi()
        .arg("discover")
        .args(arguments)
        .current_dir(folder)
        .env_remove("KWAPI_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!output.stderr.contains(&b'\r'), "a pipe gets no progress: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// Includes what was printed beside the credentials it names: `kwapi check` must be content.
fn accepted(toml: &str, folder: &Path) -> String {
    let main = std::fs::read_to_string(folder.join("kwapi.toml")).unwrap();
    std::fs::write(folder.join("found.toml"), toml).unwrap();
    std::fs::write(folder.join("with-found.toml"), format!("include = ['found.toml']\n{main}")).unwrap();
    let stderr = succeeds(&["check", "--config", "with-found.toml"], folder);
    assert!(stderr.contains("Configuration OK."), "{toml}\n{stderr}");
    stderr
}

#[test]
fn a_redfish_service_is_found_over_tls_and_one_that_is_not_trusted_gets_no_password() {
    if !need(&["openssl"]) || !need_python("python") {
        return;
    }
    let (lab, port) = (Lab::of("redfish", 0), free_port());
    devices::certificate(&lab, "cert");
    std::fs::write(lab.join("watts"), "236.5").unwrap();
    let files = ["watts", "cert.pem", "cert.key"].map(|name| lab.join(name));
    let emulator = devices::python(&lab, "redfish/emu_power.py", port, files);
    let ca = lab.join("cert.pem").display().to_string();
    let port = format!("redfish={port}");
    let found = |credentials: &str| {
        let folder = folder(&format!("[credentials.bmc]\nusername = 'admin'\n{credentials}"));
        let (toml, stderr) = printed(&["127.0.0.1", "--port", &port], folder.path());
        assert!(!format!("{toml}{stderr}").contains("secret"), "{toml}{stderr}");
        (folder, toml)
    };

    let (folder, toml) = found(&format!("password = 'secret'\ntls = 'ca:{ca}'\n"));
    assert!(toml.starts_with("# 1 found: ") && toml.contains(", 1 outlet, 236.5 W now\n"), "{toml}");
    assert!(toml.contains("driver = \"redfish\"\n") && toml.contains("credentials = \"bmc\"\n"), "{toml}");
    assert!(accepted(&toml, folder.path()).contains("127.0.0.1"), "{toml}");

    let requests = emulator.log().matches("/redfish/v1").count();
    let (_folder, toml) = found("password = 'secret'\n");
    assert!(toml.contains("answers redfish with \"bmc\", but: ") && toml.contains("sha256:"), "{toml}");
    assert_eq!(emulator.log().matches("/redfish/v1").count(), requests, "nothing is sent to a stranger");

    let (_folder, toml) = found("password = 'wrong'\ntls = 'insecure'\n");
    assert!(toml.contains("# no meter found\n") && toml.contains("check username and password"), "{toml}");
}

/// A Shelly Plug of the first generation, with a password or without one.
fn shelly(password: Option<&'static str>) -> impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static {
    move |request: &HttpRequest| {
        // RFC 7617 for admin and this password.
        let known =
            password.is_none() || request.header("authorization") == Some("Basic YWRtaW46cGx1Z3Bhc3M=");
        match request.target.as_str() {
            "/shelly" => HttpAnswer::ok(r#"{"type":"SHPLG-S","auth":true}"#),
            "/status" if known => {
                HttpAnswer::ok(r#"{"meters":[{"power":41.5,"is_valid":true,"total":600}]}"#)
            }
            "/status" => HttpAnswer::status(401).with_header("www-authenticate", "Basic realm=\"shelly\""),
            _ => HttpAnswer::status(404),
        }
    }
}

/// A plug with Tasmota.
fn tasmota(password: Option<&'static str>) -> impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static {
    move |request: &HttpRequest| {
        let known = password.is_none_or(|password| request.target.contains(&format!("password={password}")));
        match request.target.split('?').next().unwrap_or_default() {
            "/cm" if known => HttpAnswer::ok(r#"{"StatusSNS":{"ENERGY":{"Power":17,"Total":1.5}}}"#),
            "/cm" => HttpAnswer::ok(r#"{"WARNING":"Need user=<username>&password=<password>"}"#),
            _ => HttpAnswer::status(404),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plugs_are_found_with_and_without_a_password_and_no_other_web_server_gets_one() {
    let open =
        (HttpDevice::start(shelly(None)).await.unwrap(), HttpDevice::start(tasmota(None)).await.unwrap());
    let locked = (
        HttpDevice::start(shelly(Some("plugpass"))).await.unwrap(),
        HttpDevice::start(tasmota(Some("plugpass"))).await.unwrap(),
    );
    let stranger = HttpDevice::start(|_| HttpAnswer::status(401)).await.unwrap();
    let ports: Vec<String> = [("shelly", &open.0), ("tasmota", &open.1), ("shelly", &locked.0)]
        .into_iter()
        .chain([("tasmota", &locked.1), ("shelly", &stranger), ("tasmota", &stranger)])
        .map(|(name, device)| format!("--port={name}={}", device.address().port()))
        .collect();
    let discover = |toml: &'static str| {
        let ports = ports.clone();
        tokio::task::spawn_blocking(move || {
            let folder = folder(toml);
            let arguments: Vec<&str> =
                ["127.0.0.1"].into_iter().chain(ports.iter().map(String::as_str)).collect();
            let (found, _) = printed(&arguments, folder.path());
            accepted(&found, folder.path());
            found
        })
    };
    let found = discover("").await.unwrap();
    assert!(found.contains("SHPLG-S, first generation, 1 outlet, 41.5 W now"), "{found}");
    assert_eq!(found.matches("driver = \"shelly\"").count(), 1, "{found}");
    assert!(
        found.contains("answers shelly, but: refused: ") && found.contains("authentication required"),
        "{found}"
    );
    assert!(found.contains("answers tasmota, but: refused: "), "{found}");

    let found = discover("[credentials.bmc]\nusername = 'root'\npassword = 'hunter2'\n[credentials.plugs]\npassword = 'plugpass'\n")
        .await
        .unwrap();
    assert_eq!(found.matches("driver = \"shelly\"").count(), 2, "{found}");
    assert_eq!(found.matches("credentials = \"plugs\"").count(), 2, "{found}");
    assert!(found.contains("17.0 W now") && !found.contains("plugpass"), "{found}");
    let requests = stranger.requests();
    assert!(!requests.is_empty(), "it was queried");
    for request in requests {
        assert!(
            request.header("authorization").is_none() && !request.target.contains("password"),
            "{request:?}"
        );
    }
    for device in [&open.0, &open.1, &locked.0, &locked.1] {
        let seen = format!("{:?}", device.requests());
        assert!(!seen.contains("hunter2") && !seen.contains("cm9vdDpodW50ZXIy"), "a card's password: {seen}");
    }
}

#[test]
fn a_modbus_meter_takes_a_map_that_makes_sense_and_without_one_is_reported_with_what_to_write() {
    if !need_python("python") {
        return;
    }
    let (lab, port) = (Lab::of("modbus", 0), free_port());
    let _line = devices::python(&lab, "modbus/line.py", port, ["socket"]);
    let at = format!("--port=modbus={port}");

    let folder = folder("[credentials.feeds]\nmap = 'schneider-iem3155'\nunit = 2\n");
    std::fs::write(folder.path().join("none.toml"), "").unwrap();
    let (found, _) = printed(&["127.0.0.1", &at, "--config", "none.toml"], folder.path());
    assert!(found.contains(&format!("# 127.0.0.1 answers on port {port} (Modbus) and ")), "{found}");
    assert!(found.contains("# map = \"NAME\"\n"), "{found}");

    let arguments = ["127.0.0.1", &at, "--modbus-map", "sdm120"];
    let (found, _) = printed(&arguments, folder.path());
    assert!(found.starts_with("# 1 found: Eastron SDM120/230, 1 outlet, 100.2 W now\n"), "{found}");
    assert!(found.contains("map = \"eastron-sdm120\"\nprobe = \"{host}\"\n"), "{found}");
    accepted(&found, folder.path());
    // The other meter of that line reports watts and no voltage to judge them by.
    let (found, _) = printed(&["127.0.0.1", &at], folder.path());
    assert!(found.contains("with \"feeds\", but: "), "{found}");

    let (found, _) =
        printed(&["127.0.0.1", &at, "--modbus-map", "iem3155", "--config", "none.toml"], folder.path());
    assert!(found.contains("with \"schneider-iem3155\", but: refused: "), "{found}");
    let stderr = fails(&["discover", "127.0.0.1", "--modbus-map", "sdm121"], folder.path());
    assert!(stderr.contains("--modbus-map sdm121: "), "{stderr}");
}

#[test]
fn snmp_version_3_is_queried_with_the_users_there_are() {
    if !need(&["snmpd", "snmpget"]) {
        return;
    }
    let pdu = Pdu::start();
    let folder = folder(
        "[credentials.a]\nuser = 'nobody'\nauth_protocol = 'SHA'\nauth_password = 'wrong-password'\n\
         [credentials.b]\nuser = 'mon256'\nauth_protocol = 'SHA-256'\nauth_password = 'authpass1'\n\
         privacy_protocol = 'AES-256'\nprivacy_password = 'privpass1'\n",
    );
    let (found, stderr) = printed(&["127.0.0.1", &format!("--port=snmp={}", pdu.port)], folder.path());
    assert!(
        found.contains("(profile raritan_px1), 24 outlets, ") && found.contains("credentials = \"b\""),
        "{found}{stderr}"
    );
    assert!(!found.contains("privpass1") && !stderr.contains("authpass1"), "{found}{stderr}");
    accepted(&found, folder.path());
}

#[test]
fn a_terminal_is_shown_progress() {
    if !need(&["script"]) {
        return;
    }
    let folder = folder("");
    let command = format!(
        "{} discover '127.0.0.[2-4]' --rate 100 --port kasa=1 --port nut=1 --port shelly=1 --port tasmota=1 --port modbus=1 > out",
        env!("CARGO_BIN_EXE_kwapi")
    );
    let shown = output(
        Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .current_dir(folder.path())
            .stdin(Stdio::null()),
    );
    assert!(shown.contains("\r3 of 3 hosts probed, 0 meters found "), "{shown:?}");
    let written = std::fs::read_to_string(folder.path().join("out")).unwrap();
    assert_eq!(written, "# nothing answered\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_block_takes_bounded_sockets_and_memory_and_ctrl_c_prints_what_was_found_so_far() {
    let device = HttpDevice::start(shelly(None)).await.unwrap();
    let shelly = format!("shelly={}", device.address().port());
    tokio::task::spawn_blocking(move || {
        let lab = Lab::empty();
        std::fs::write(
            lab.join("kwapi.toml"),
            "[credentials.a]\nusername='u'\npassword='p'\n[credentials.b]\ncommunity='c'\n",
        )
        .unwrap();
        let mut command = kwapi();
        // SNMP and IPMI are left unanswered, or refused by ICMP; all else is refused at once.
        command
            .args(["discover", "127.0.0.0/16", "--rate", "5000", "--port", &shelly])
            .current_dir(lab.path());
        let discovering = Peer::start(&mut command, lab.join("log"));
        let process = PathBuf::from(format!("/proc/{}", discovering.id()));
        let (mut sockets, mut kibibytes) = (0, 0);
        let begin = Instant::now();
        // Then it is among what was found.
        let is_found = || device.requests().iter().any(|request| request.target == "/status");
        let mut found_at = None;
        while begin.elapsed() < Duration::from_secs(5)
            || found_at.is_none_or(|at: Instant| at.elapsed() < Duration::from_secs(1))
        {
            assert!(begin.elapsed() < 2 * PATIENCE, "the device was not queried");
            if found_at.is_none() && is_found() {
                found_at = Some(Instant::now());
            }
            sockets = sockets.max(std::fs::read_dir(process.join("fd")).map_or(0, Iterator::count));
            let status = std::fs::read_to_string(process.join("status")).unwrap();
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            kibibytes = kibibytes.max(resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        discovering.signal(libc::SIGINT);
        let log = lab.join("log");
        assert!(discovering.ended(PATIENCE).success());
        let stderr = std::fs::read_to_string(log).unwrap();
        assert!(stderr.contains("probing 65534 hosts over "), "{stderr}");
        assert!(
            stderr.contains("interrupted after ") && stderr.contains(" of 65534 hosts; found so far:\n"),
            "{stderr}"
        );
        assert!(stderr.contains("41.5 W now") && stderr.contains("hosts = \"127.0.0.1\""), "{stderr}");
        assert!(sockets < 600 && kibibytes < 300 * 1024, "{sockets} sockets, {kibibytes} KiB");
        assert!(!stderr.contains("panicked"), "{stderr}");
    })
    .await
    .unwrap();
}
