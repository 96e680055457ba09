//! `kwapi check`, `probe`, `status`, `tail` and `simulate`, as they are typed.

mod files;
mod tail;
mod wrong;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use kwapi_peers::ipmi::Cards;
use kwapi_peers::{Lab, Peer, free_port, free_udp_port, need, need_python, wait_until};
use serde_json::Value;

use crate::devices::Pdu;
use crate::harness::{Kwapi, PATIENCE, get, kwapi, run};

/// Listeners and a state directory of the test's own.
pub(crate) const OWN: &str = "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
    [status]\nlisten = '127.0.0.1:@STATUS@'\n";

/// A scratch directory with a `kwapi.toml`.
pub(crate) fn folder(toml: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kwapi.toml"), toml).unwrap();
    folder
}

/// Runs a command that must succeed.
#[track_caller]
pub(crate) fn succeeds(arguments: &[&str], folder: &Path) -> String {
    let (is_well, output) = run(arguments, folder);
    assert!(is_well, "{arguments:?}:\n{output}");
    output
}

/// Runs a command that must fail.
#[track_caller]
pub(crate) fn fails(arguments: &[&str], folder: &Path) -> String {
    let (is_well, output) = run(arguments, folder);
    assert!(!is_well, "{arguments:?} succeeded:\n{output}");
    output
}

fn walk(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kwapi-peers/lab/snmp/data").join(name)
}

#[test]
fn drivers_name_prints_every_key_with_what_it_is_by_default() {
    let folder = folder("");
    let modbus = succeeds(&["drivers", "modbus"], folder.path());
    let mut lines = modbus.lines();
    assert!(lines.next().unwrap().starts_with("modbus: energy meters over Modbus TCP"), "{modbus}");
    assert_eq!(lines.next(), Some(""));
    let keys: Vec<Vec<&str>> =
        lines.map(|line| line.split("  ").filter(|part| !part.is_empty()).collect()).collect();
    let names: Vec<&str> = keys.iter().map(|key| key[0].trim()).collect();
    let expected = ["host", "device", "unit", "map", "maps", "framing", "baud", "parity", "stop_bits"];
    assert_eq!(names, expected, "{modbus}");
    let default = |name: &str| keys.iter().find(|key| key[0].trim() == name).unwrap()[1].trim();
    assert_eq!((default("unit"), default("map"), default("framing")), ("1", "(required)", "tcp"));
    assert!(modbus.contains(", in bit/s\n"), "{modbus}");
    let ipmi = succeeds(&["drivers", "ipmi"], folder.path());
    assert!(ipmi.lines().any(|line| line.starts_with("password ") && line.ends_with("; a secret")), "{ipmi}");

    let wrong = fails(&["drivers", "modbuss"], folder.path());
    assert_eq!(wrong, "kwapi: unknown driver \"modbuss\"; did you mean \"modbus\"?\n");
    let wrong = fails(&["drivers", "fax"], folder.path());
    assert!(
        wrong.starts_with("kwapi: unknown driver \"fax\"; available: ") && wrong.contains("snmp"),
        "{wrong}"
    );
}

#[test]
fn check_lists_what_the_configuration_stands_for() {
    let folder = folder(
        "include = ['more.toml']\n[credentials.bmc]\nusername = 'u'\npassword = 'hunter2'\n[[meter]]\ndriver = 'ipmi'\n\
         hosts = 'n[1-2]'\ncredentials = 'bmc'\nprobe = 'lyon.{host}'\nlabels = { rack = '7' }\n[labels]\n\
         'lyon.n2' = { owner = 'physics' }\n'lyon.n3' = { owner = 'nobody' }\n",
    );
    std::fs::write(
        folder.path().join("more.toml"),
        "[[meter]]\ndriver = 'snmp'\nhost = 'pdu1'\nport = 1161\nprobe = 'pdu1.{label}'\ninterval_seconds = 5\n\
         labels = { socket = 'no. {label}' }\n\
         [[virtual]]\nprobe = 'all'\nsum = ['lyon.n1', 'lyon.n2']\n",
    )
    .unwrap();
    assert_eq!(
        succeeds(&["check"], folder.path()),
        "kwapi.toml\nmore.toml\n\n\
         ipmi:n1  (ipmi, every 1 s)\n    outlet 1        lyon.n1  rack=\"7\"\n\n\
         ipmi:n2  (ipmi, every 1 s)\n    outlet 1        lyon.n2  owner=\"physics\"  rack=\"7\"\n\n\
         snmp:pdu1:1161  (snmp, every 5 s)\n    all outlets, as pdu1.{label}  socket=\"no. {label}\"\n\n\
         all = lyon.n1 + lyon.n2\n\n3 meters, 3 named probes. 1 warning.\n\
         warning: kwapi.toml:13: labels for `lyon.n3`, which no meter measures; did you mean `lyon.n2`?\n"
    );
}

#[test]
fn check_shows_what_a_profile_makes_of_a_walk() {
    let folder = tempfile::tempdir().unwrap();
    let walk = walk("eaton-g3.snmprec").display().to_string();
    let shown = succeeds(&["check", "--profile", "eaton_epdu", "--walk", &walk], folder.path());
    assert!(shown.contains(" W"), "{shown}");
    // -1 is "not available" in this walk.
    assert!(!shown.contains("-1 W") && shown.contains("not available"), "{shown}");
    let output = fails(&["check", "--profile", "eaton_epu", "--walk", &walk], folder.path());
    assert!(output.ends_with("unknown profile \"eaton_epu\"; did you mean \"eaton_epdu\"?\n"), "{output}");
    let output = fails(&["check", "--profile", "eaton_epdu", "--walk", "none"], folder.path());
    assert_eq!(output, "kwapi: none: No such file or directory (os error 2)\n");
    std::fs::write(folder.path().join("text"), "no walk\n").unwrap();
    let output = fails(&["check", "--profile", "eaton_epdu", "--walk", "text"], folder.path());
    assert!(output.starts_with("kwapi: text: line 1"), "{output}");
}

#[test]
fn probe_explains_a_real_agent_and_its_recording_reports_the_same() {
    if !need(&["snmpd", "snmpget"]) {
        return;
    }
    let pdu = Pdu::start();
    let folder = folder(&pdu.meter());
    let shown = succeeds(&["probe", "pdu"], folder.path());
    assert!(shown.contains("profile raritan_px1") && shown.contains("set in the configuration"), "{shown}");
    let line =
        |probe: &str| shown.lines().find(|line| line.trim_start().starts_with(probe)).unwrap().to_owned();
    assert!(line("rack.a").contains(" 101 W"), "{shown}");
    assert!(line("rack.x").contains(" 124 W"), "{shown}");
    assert_eq!(shown, succeeds(&["probe", "rack.a"], folder.path()), "a probe's name is its meter's");

    succeeds(&["probe", "pdu", "--record", "walk"], folder.path());
    let walk = succeeds(&["check", "--profile", "raritan_px1", "--walk", "walk"], folder.path());
    assert!(walk.lines().any(|line| line.starts_with("outlet 24 ") && line.contains(" 124 W")), "{walk}");

    let output = fails(&["probe", "pud"], folder.path());
    assert_eq!(output, "kwapi: unknown meter \"pud\"; did you mean \"pdu\"?\n");
    let output = fails(&["probe", "pdu", "--record", "/none/walk"], folder.path());
    assert!(output.ends_with("/none/walk: No such file or directory (os error 2)\n"), "{output}");
}

#[test]
fn probe_of_what_is_wrong_gives_one_line_and_no_secret() {
    if !need(&["snmpd", "snmpget"]) || !need_python("python") {
        return;
    }
    let (pdu, cards) = (Pdu::start(), Cards::pyghmi(1));
    let silent = free_udp_port();
    let folder = folder(&format!(
        "[[meter]]\nname = 'wrong community'\ndriver = 'snmp'\nhost = '127.0.0.1'\nport = {}\ncommunity = 'hunter2'\nprobe = 'a'\n\
         [[meter]]\nname = 'wrong password'\ndriver = 'ipmi'\nhost = '127.0.0.1'\nport = {}\nusername = 'user'\n\
         password = 'hunter2'\nprobe = 'b'\n\
         [[meter]]\nname = 'nobody'\ndriver = 'ipmi'\nhost = '127.0.0.1'\nport = {silent}\ntimeout_seconds = 1\nprobe = 'c'\n\
         [[meter]]\nname = 'no device'\ndriver = 'wattsup'\ndevice = '/dev/ttyNONE'\nprobe = 'd'\n\
         [[meter]]\nname = 'right'\ndriver = 'ipmi'\nhost = '127.0.0.1'\nport = {}\nusername = 'user'\npassword = 'secret'\n\
         probe = 'e'\n",
        pdu.port, cards.port, cards.port
    ));
    for (meter, expected) in [
        ("wrong community", "check the address, the community"),
        ("wrong password", "password"),
        ("nobody", "no response"),
        ("no device", "/dev/ttyNONE"),
    ] {
        let output = fails(&["probe", meter], folder.path());
        let complaints: Vec<&str> = output.lines().filter(|line| line.starts_with("kwapi: ")).collect();
        assert!(complaints.len() == 1 && output.lines().count() == 2, "{output}");
        assert!(
            complaints[0].starts_with(&format!("kwapi: {meter}: ")) && output.contains(expected),
            "{output}"
        );
        assert!(!output.contains("hunter2"), "{output}");
    }
    let shown = succeeds(&["probe", "right"], folder.path());
    assert!(shown.contains("DCMI") && shown.contains(" W"), "{shown}");
    assert!(
        fails(&["probe", "right", "--record", "walk"], folder.path()).contains("this meter's driver is ipmi")
    );
}

#[test]
fn probe_reports_the_watts_of_a_meter_that_only_counts() {
    let folder =
        folder("[[meter]]\nname = 'cpu'\ndriver = 'rapl'\nroot = 'powercap'\nprobes = { total = 'cpu' }\n");
    let zone = folder.path().join("powercap/intel-rapl:0");
    std::fs::create_dir_all(&zone).unwrap();
    let put = |name: &str, text: &str| std::fs::write(zone.join(name), text).unwrap();
    put("name", "package-0\n");
    put("max_energy_range_uj", "262143328850\n");
    put("energy_uj", "1000000000\n");
    let shown = succeeds(&["probe", "cpu"], folder.path());
    assert!(
        shown.contains("reading again after 1 s") && shown.contains("→ 0 W"),
        "it does not advance: {shown}"
    );

    let begin = std::time::Instant::now();
    let done = std::sync::atomic::AtomicBool::new(false);
    let shown = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                // 50 W, moved into place so that no reader sees half of it.
                put("new", &format!("{}\n", 1_000_000_000 + begin.elapsed().as_micros() * 50));
                std::fs::rename(zone.join("new"), zone.join("energy_uj")).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        });
        let shown = run(&["probe", "cpu"], folder.path());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        shown.1
    });
    let watts: f64 = shown.rsplit_once("→ ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    // 50 W, as far as the counter was moved in time.
    assert!((20.0..125.0).contains(&watts), "{shown}");
}

#[test]
fn status_shows_trouble_in_a_line_each_and_the_rest_running() {
    if !need(&["snmpd", "snmpget"]) || !need_python("python") {
        return;
    }
    let (pdu, cards) = (Pdu::start(), Cards::pyghmi(1));
    let kwapi = Kwapi::start(
        &["run"],
        &format!(
            "{OWN}{}[[meter]]\nname = 'gone'\ndriver = 'snmp'\nhost = '127.0.0.1'\nport = {}\nprobe = 'gone'\n\
             [[meter]]\nname = 'serial'\ndriver = 'wattsup'\ndevice = '/dev/ttyNONE'\nprobe = 'serial'\n\
             [[meter]]\nname = 'card'\ndriver = 'ipmi'\nhost = '127.0.0.1'\nport = {}\nusername = 'user'\n\
             password = 'hunter2'\nprobe = 'card'\n",
            pdu.meter(),
            free_udp_port(),
            cards.port
        ),
    );
    let address = format!("127.0.0.1:{}", kwapi.status);
    let shown = wait_until(&format!("three in trouble\n{}", kwapi.process.log()), PATIENCE, || {
        let (_, shown) = run(&["status", "--address", &address], kwapi.lab.path());
        let is_settled = shown.matches("└").count() == 3 && shown.contains("1 of 4 meters up");
        (is_settled && shown.contains("W)")).then_some(shown)
    });
    let error_of = |meter: &str| {
        let mut lines = shown.lines().skip_while(|line| !line.starts_with(meter));
        lines.nth(1).unwrap_or_default().to_owned()
    };
    assert!(error_of("gone").contains(": timed out after "), "{shown}");
    assert!(error_of("serial").contains("/dev/ttyNONE"), "{shown}");
    assert!(error_of("card").contains("password"), "{shown}");
    for probe in ["gone", "serial", "card"] {
        assert!(shown.contains(&format!("\n{probe}: no data received yet of {probe}\n")), "{shown}");
    }
    let (_, meters) = get(kwapi.web, "/meters/").unwrap();
    assert!(meters.contains("1 of 1 probe silent: gone (no data received yet)"), "{meters}");
    let (_, all) = get(kwapi.api, "/v2/probes/").unwrap();
    assert!(all.contains(r#""unmeasured":["card","gone","serial"]"#), "{all}");
    let (_, metrics) = get(kwapi.status, "/metrics").unwrap();
    assert!(metrics.contains("kwapi_meter_unmeasured{meter=\"gone\",driver=\"snmp\"} 1"), "{metrics}");
    assert_eq!(kwapi.probe("rack.a")["w"].as_f64(), Some(101.0));

    let troubled = succeeds(&["status", "--troubled", "--json", "--address", &address], kwapi.lab.path());
    let troubled: Value = serde_json::from_str(&troubled).unwrap();
    let names: Vec<&str> =
        troubled.as_array().unwrap().iter().filter_map(|meter| meter["name"].as_str()).collect();
    assert_eq!(names, ["card", "gone", "serial"]);
    let troubled = succeeds(&["status", "--troubled", "--address", &address], kwapi.lab.path());
    assert!(!troubled.contains("\nrack ") && troubled.contains("\n1 of 4 meters up\n"), "{troubled}");
    // The configured address needs no option.
    assert!(succeeds(&["status"], kwapi.lab.path()).contains("1 of 4 meters up"));
    let log = kwapi.process.log();
    for meter in ["gone", "serial", "card"] {
        let lines = log.lines().filter(|line| line.contains(&format!("meter=\"{meter}\""))).count();
        assert!((1..=2).contains(&lines), "one line a change of state, not {lines} of {meter}:\n{log}");
    }
    assert!(!log.contains("hunter2") && !log.contains("async_snmp"), "{log}");
}

#[test]
fn status_reports_that_nobody_runs_and_what_is_no_kwapi() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = format!("127.0.0.1:{}", free_port());
    let output = fails(&["status", "--address", &nobody], folder.path());
    assert!(
        output.starts_with(&format!("kwapi: cannot connect to http://{nobody}: "))
            && output.contains("check that kwapi is running"),
        "{output}"
    );
    let output = fails(&["status", "--config", "none.toml"], folder.path());
    assert_eq!(output, "kwapi: none.toml: cannot be read: No such file or directory (os error 2)\n");
}

#[test]
fn what_simulate_prints_is_a_configuration_that_runs() {
    for (device, probes) in [
        (
            &["rack", "--listen", "127.0.0.1:@PORT@", "--outlets", "3"][..],
            &["rack.server 1", "rack.server 3"][..],
        ),
        (&["ipmi", "--listen", "127.0.0.1:@PORT@", "--cards", "2"], &["card-1", "card-2"]),
        (&["wattsup"], &["desk"]),
    ] {
        let lab = Lab::empty();
        let port = free_udp_port().to_string();
        let arguments: Vec<String> =
            device.iter().map(|argument| argument.replace("@PORT@", &port)).collect();
        let simulated = Peer::start(kwapi().arg("simulate").args(&arguments), lab.join("simulate.log"));
        let tables =
            device.get(4).and_then(|count| count.parse().ok()).filter(|_| device[0] == "ipmi").unwrap_or(1);
        let toml = wait_until("its configuration", PATIENCE, || {
            let log = simulated.log();
            (log.matches("\nprobe = ").count() == tables && log.ends_with('\n')).then_some(log)
        });
        let kwapi = Kwapi::start(&["run"], &format!("{OWN}{toml}"));
        for probe in probes {
            assert!(kwapi.probe(probe)["w"].as_f64().unwrap() > 0.0, "{device:?}");
        }
    }
}

#[test]
fn a_taken_port_names_its_key_and_the_demonstration_takes_another() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (key, table) in [("api.listen", "api"), ("rrd.listen", "rrd"), ("status.listen", "status")] {
        let mut toml = "state_directory = 'state'\n".to_owned();
        for other in ["api", "rrd", "status"] {
            let port = if other == table { port } else { 0 };
            writeln!(toml, "[{other}]\nlisten = '127.0.0.1:{port}'").unwrap();
        }
        let output = fails(&["run"], folder(&toml).path());
        assert_eq!(
            output,
            format!(
                "kwapi: port {port} on 127.0.0.1 is in use; set `{key}` to another address, or port 0 for any\n"
            )
        );
    }
    let lab = Lab::empty();
    let address = format!("127.0.0.1:{port}");
    let demo = Peer::start(
        kwapi().args(["run", "--demo", "--api", &address, "--web", &address]).current_dir(lab.path()),
        lab.join("log"),
    );
    let log =
        wait_until("the demonstration", PATIENCE, || demo.log().contains("\nstatus ").then(|| demo.log()));
    let moved = format!("port {port} on 127.0.0.1 is in use; using port ");
    assert_eq!(log.lines().filter(|line| line.starts_with(&moved)).count(), 2, "{log}");
}

#[test]
fn man_pages_are_written_to_a_directory_that_is_not_there_yet() {
    let folder = folder("");
    let into = folder.path().join("share/man/man1");
    succeeds(&["man", "--directory", into.to_str().unwrap()], folder.path());
    let page = std::fs::read_to_string(into.join("kwapi-bill.1")).unwrap();
    assert!(page.contains(".TH kwapi-bill 1"), "{page}");
    std::fs::write(folder.path().join("taken"), "").unwrap();
    let refused = fails(&["man", "--directory", "taken"], folder.path());
    assert!(refused.starts_with("kwapi: cannot write manual pages to taken: "), "{refused}");
}
