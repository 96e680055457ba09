//! Reload while measurements flow.

use std::fmt::Write;

use kwapi_peers::{Lab, Peer, devices, free_port, need, need_python, wait_until};
use serde_json::Value;

use crate::devices::Pdu;
use crate::harness::{Kwapi, PATIENCE, get, kwapi};

/// A driver manager whose measurements `kwapi tail` follows.
struct Watched {
    drivers: Kwapi,
    tail: Peer,
}

const MAIN: &str = "include = ['meters/*.toml']\n[bus]\nkey = { id = 'k', secret = { file = 'secret' } }\n[drivers]\n\
    publish = ['ipc://@DIR@/bus']\n[status]\nlisten = '127.0.0.1:@STATUS@'\n";

fn meter(name: &str, watts: u32) -> String {
    format!(
        "[[meter]]\nname = '{name}'\ndriver = 'dummy'\nwatts = {watts}\nprobe = '{name}'\ninterval_seconds = 0.1\n"
    )
}

/// Follows what a driver manager measures, with the keys of its configuration.
fn tail(drivers: &Kwapi, log: &str) -> Peer {
    let mut command = kwapi();
    command.args(["tail", "--json", "--config"]).arg(drivers.file("kwapi.toml"));
    Peer::start(&mut command, drivers.file(log))
}

impl Watched {
    fn start() -> Self {
        Self::start_in(Lab::empty())
    }

    fn start_in(lab: Lab) -> Self {
        std::fs::create_dir_all(lab.join("meters")).unwrap();
        std::fs::write(lab.join("meters/a.toml"), meter("kept", 1) + &meter("changed", 2)).unwrap();
        std::fs::write(lab.join("secret"), "0123456789abcdef").unwrap();
        let drivers = Kwapi::start_in(lab, &["drivers"], MAIN);
        let tail = tail(&drivers, "tail.log");
        let watched = Self { drivers, tail };
        wait_until("measurements", PATIENCE, || (watched.of("kept").len() > 3).then_some(()));
        watched
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.drivers.file(name), text).unwrap();
    }

    /// Session, sequence number and watts of what came from a probe so far.
    fn of(&self, probe: &str) -> Vec<(u64, u64, f64)> {
        let log = self.tail.log();
        let all = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.filter(|it| it["probe_id"] == probe)
            .filter_map(|it| Some((it["session"].as_u64()?, it["seq"].as_u64()?, it["w"].as_f64()?)))
            .collect()
    }

    fn wait_for_watts(&self, probe: &str, watts: f64) {
        wait_until(&format!("{probe} at {watts} W\n{}", self.drivers.process.log()), PATIENCE, || {
            self.of(probe).last().is_some_and(|last| last.2 == watts).then_some(())
        });
    }

    fn wait_for_log(&self, text: &str, times: usize) {
        wait_until(&format!("{text}\n{}", self.drivers.process.log()), PATIENCE, || {
            (self.drivers.process.log().matches(text).count() >= times).then_some(())
        });
    }

    /// The unchanged meter has missed no beat.
    fn assert_kept(&self) {
        let count = self.of("kept").len();
        wait_until("more of the kept meter", PATIENCE, || (self.of("kept").len() > count + 5).then_some(()));
        let mut holes = String::new();
        for pair in self.of("kept").windows(2) {
            if pair[1].0 != pair[0].0 || pair[1].1 != pair[0].1 + 1 {
                writeln!(holes, "{pair:?}").unwrap();
            }
        }
        assert_eq!(holes, "", "{}", self.drivers.process.log());
    }
}

#[test]
fn a_changed_file_restarts_the_meters_that_changed_and_no_other() {
    let watched = Watched::start();
    let session = watched.of("changed").last().unwrap().0;
    watched.write("meters/a.toml", &(meter("kept", 1) + &meter("changed", 3)));
    watched.wait_for_watts("changed", 3.0);
    assert!(watched.of("changed").last().unwrap().0 > session, "another meter is another session");
    watched.write("meters/b.toml", &meter("new", 4));
    watched.wait_for_watts("new", 4.0);
    std::fs::remove_file(watched.drivers.file("meters/b.toml")).unwrap();
    watched.wait_for_log("configuration reloaded", 3);
    let count = watched.of("new").len();
    watched.assert_kept();
    assert!(watched.of("new").len() <= count + 1, "a meter that is gone sends no more");
}

#[test]
fn a_broken_file_changes_nothing_and_gives_the_reason_and_a_mended_one_is_taken_up() {
    let watched = Watched::start();
    watched.write(
        "meters/a.toml",
        &(meter("kept", 1) + &meter("changed", 3) + "[[meter]]\ndriver = 'dumy'\nprobe = 'x'\n"),
    );
    watched.wait_for_log("configuration not reloaded, keeping the current one: ", 1);
    watched.wait_for_log("meters/a.toml:14: unknown driver `dumy`; did you mean `dummy`?", 1);
    assert!(watched.of("changed").iter().all(|it| it.2 == 2.0), "nothing has changed");
    watched.assert_kept();
    // A file that only the broken configuration names is watched too.
    watched.write(
        "kwapi.toml",
        &std::fs::read_to_string(watched.drivers.file("kwapi.toml"))
            .unwrap()
            .replace("'meters/*.toml'", "'other.toml'"),
    );
    watched.wait_for_log("other.toml: cannot be read", 1);
    watched.write("other.toml", &(meter("kept", 1) + &meter("changed", 5)));
    watched.wait_for_watts("changed", 5.0);
    watched.assert_kept();
}

#[test]
fn a_secrets_file_is_watched_and_sighup_reloads_at_once() {
    let mut watched = Watched::start();
    let session = watched.session("kept");
    watched.write("secret", "fedcba9876543210");
    watched.wait_for_log("bus key changed", 1);
    watched.drivers.process.signal(libc::SIGHUP);
    watched.wait_for_log("configuration reloaded", 2);
    // Who begins to listen now has the new secret, and receives the meters' further readings.
    watched.tail = tail(&watched.drivers, "tail-2.log");
    assert_eq!(watched.session("kept"), session);
    watched.assert_kept();
    assert!(!watched.drivers.process.log().contains("fedcba"), "a secret is not logged");
}

impl Watched {
    /// As [`Watched::start`], with these further meters and files.
    fn with(lab: Lab, meters: &str) -> Self {
        std::fs::create_dir_all(lab.join("meters")).unwrap();
        std::fs::write(lab.join("meters/more.toml"), meters).unwrap();
        Self::start_in(lab)
    }

    fn session(&self, probe: &str) -> u64 {
        wait_until(&format!("{probe}\n{}", self.drivers.process.log()), PATIENCE, || {
            Some(self.of(probe).last()?.0)
        })
    }
}

/// A PDU's own profile: `name` is what it is called, `watts` what a count of power is worth.
fn profile(name: &str, watts: &str) -> String {
    format!(
        "name = '{name}'\ntitle = 'ours'\nsource = 'ours'\n[outlet]\nindex_length = 1\n\
         power = {{ oid = '1.3.6.1.4.1.13742.4.1.2.2.1.7.{{index}}', watts = {watts} }}\n"
    )
}

#[test]
fn a_changed_profile_restarts_the_pdus_that_use_it_and_no_other() {
    if !need(&["snmpd", "snmpget"]) {
        return;
    }
    let (pdu, lab) = (Pdu::start(), Lab::empty());
    std::fs::create_dir(lab.join("profiles")).unwrap();
    std::fs::write(lab.join("profiles/a.toml"), profile("ours", "1.0")).unwrap();
    std::fs::write(lab.join("profiles/b.toml"), profile("other", "1.0")).unwrap();
    let meter = |name: &str, outlet: u32| {
        format!(
            "[[meter]]\nname = '{name}'\ndriver = 'snmp'\nhost = '127.0.0.1'\nport = {}\ncommunity = 'public'\n\
             profile = '{name}'\nprofile_directory = '{}'\nprobes = {{ {outlet} = '{name}' }}\ninterval_seconds = 0.2\n",
            pdu.port,
            lab.join("profiles").display()
        )
    };
    let meters = meter("ours", 1) + &meter("other", 2);
    let watched = Watched::with(lab, &meters);
    watched.wait_for_watts("ours", 101.0);
    let (ours, other) = (watched.session("ours"), watched.session("other"));
    watched.write("profiles/a.toml", &profile("ours", "10.0"));
    watched.wait_for_watts("ours", 1_010.0);
    assert!(watched.session("ours") > ours && watched.session("other") == other);

    let reloads = |text: &str| watched.drivers.process.log().matches(text).count();
    let done = reloads("configuration reloaded");
    watched.write("profiles/a.toml", "name = 'ours'\nsorce = 'x'\n");
    watched.wait_for_log("configuration not reloaded, keeping the current one: ", 1);
    watched.wait_for_log("profiles/a.toml: TOML parse error at line 2, column 1: unknown field `sorce`", 1);
    watched.assert_kept();
    assert_eq!((watched.session("other"), reloads("configuration reloaded")), (other, done));
    watched.write("profiles/a.toml", &profile("ours", "1.0"));
    watched.wait_for_watts("ours", 101.0);
    assert_eq!(watched.session("other"), other);
    watched.assert_kept();
}

#[test]
fn a_changed_register_map_restarts_the_meters_that_use_it_and_no_other() {
    if !need_python("python") {
        return;
    }
    let (lab, port) = (Lab::of("modbus", 0), free_port());
    let _line = devices::python(&lab, "modbus/line.py", port, ["socket"]);
    let map = |scale: u32| {
        format!(
            "name = 'ours'\nfunction = 4\n[outlets.total]\npower = {{ at = 0x000C, type = 'f32', scale = {scale} }}\n"
        )
    };
    std::fs::create_dir(lab.join("maps")).unwrap();
    std::fs::write(lab.join("maps/ours.toml"), map(1)).unwrap();
    let maps = lab.join("maps").display().to_string();
    let meter = |name: &str, map: &str| {
        format!(
            "[[meter]]\nname = '{name}'\ndriver = 'modbus'\nhost = '127.0.0.1:{port}'\nmap = '{map}'\nmaps = '{maps}'\n\
             probe = '{name}'\ninterval_seconds = 0.2\n"
        )
    };
    let meters = meter("ours", "ours") + &meter("shipped", "eastron-sdm120");
    let watched = Watched::with(lab, &meters);
    watched.wait_for_watts("ours", 100.25);
    let shipped = watched.session("shipped");
    watched.write("maps/ours.toml", &map(2));
    watched.wait_for_watts("ours", 200.5);
    assert_eq!(watched.session("shipped"), shipped);
    watched.write("maps/ours.toml", "name = 'ours'\nfunction = 5\n");
    watched.wait_for_log("maps/ours.toml: ", 1);
    watched.assert_kept();
    // One of its own in place of one of ours is a change of those that name it.
    watched.write("maps/ours.toml", &map(4));
    watched.wait_for_watts("ours", 401.0);
    watched.write("maps/eastron-sdm120.toml", &map(3));
    watched.wait_for_watts("shipped", 300.75);
    watched.assert_kept();
}

#[test]
fn a_renewed_authority_restarts_the_meters_that_trust_it_and_a_broken_one_changes_nothing() {
    if !need(&["openssl"]) || !need_python("python") {
        return;
    }
    let (lab, port) = (Lab::of("redfish", 0), free_port());
    for name in ["first", "second"] {
        devices::certificate(&lab, name);
    }
    let first = std::fs::read_to_string(lab.join("first.pem")).unwrap();
    let second = std::fs::read_to_string(lab.join("second.pem")).unwrap();
    std::fs::write(lab.join("ca.pem"), &first).unwrap();
    std::fs::write(lab.join("watts"), "236.5").unwrap();
    let files = ["watts", "first.pem", "first.key"].map(|name| lab.join(name));
    let _emulator = devices::python(&lab, "redfish/emu_power.py", port, files);
    let meters = format!(
        "[[meter]]\nname = 'card'\ndriver = 'redfish'\nhost = '127.0.0.1:{port}'\nusername = 'admin'\npassword = 'secret'\n\
         tls = 'ca:{}'\nprobe = 'card'\ninterval_seconds = 0.5\n",
        lab.join("ca.pem").display()
    );
    let watched = Watched::with(lab, &meters);
    watched.wait_for_watts("card", 236.5);
    let before = watched.session("card");
    watched.write("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    watched.wait_for_log("configuration not reloaded, keeping the current one: ", 1);
    watched.wait_for_log("meters/more.toml:7: ", 1);
    watched.assert_kept();
    assert_eq!(watched.session("card"), before);
    watched.write("ca.pem", &(second + &first));
    watched.wait_for_log("restarted=1", 1);
    wait_until("a session with the new authority", PATIENCE, || {
        (watched.session("card") > before).then_some(())
    });
    watched.assert_kept();
}

#[test]
fn an_inventory_is_watched_and_a_broken_row_is_named() {
    let lab = Lab::empty();
    std::fs::write(lab.join("meters.csv"), "name,probe\nrow1,row1\n").unwrap();
    let watched = Watched::with(
        lab,
        "[[inventory]]\ncsv = 'meters.csv'\ndriver = 'dummy'\nwatts = 7\ninterval_seconds = 0.1\n",
    );
    watched.wait_for_watts("row1", 7.0);
    let session = watched.session("row1");
    watched.write("meters.csv", "name,probe\nrow1,row1\nrow2,row2\n");
    watched.wait_for_watts("row2", 7.0);
    watched.write("meters.csv", "name,probe,driver\nrow1,row1,\nrow2,row2,dumy\n");
    watched.wait_for_log("unknown driver `dumy`; did you mean `dummy`? (meters.csv:3)", 1);
    assert_eq!(watched.session("row1"), session);
    watched.assert_kept();
}

/// The body of a page or answer, once `is_so` holds for it.
fn wait_for_page(what: &str, port: u16, path: &str, is_so: impl Fn(&str) -> bool) -> String {
    let mut seen = String::new();
    let start = std::time::Instant::now();
    loop {
        if let Some((200, body)) = get(port, path) {
            if is_so(&body) {
                return body;
            }
            seen = body;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {seen}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Meters whose probes are known only once they are read, labels, and sums.
fn site(owner: &str, sums: &str) -> String {
    format!(
        "{}{}[[meter]]\nname = 'rack'\ndriver = 'dummy'\nhosts = 'n[1-2]'\nwatts = 5\nprobe = 'lyon.{{host}}'\n\
         labels = {{ host = '{{host}}', number = '{{1}}' }}\ninterval_seconds = 0.1\n[labels]\na = {{ owner = '{owner}' }}\n{sums}",
        meter("a", 1),
        meter("b", 2)
    )
    .replace("name = 'rack'", "name = 'rack-{host}'")
}

fn is_owned(owner: &str) -> impl Fn(&str) -> bool {
    let expected = format!("\"owner\":\"{owner}\"");
    move |body: &str| body.replace(' ', "").contains(&expected)
}

#[test]
fn labels_and_sums_are_taken_up_by_every_service_that_shows_them() {
    let bus = tempfile::tempdir().unwrap();
    let common = bus.path().join("site.toml");
    let write = |text: &str| std::fs::write(&common, text).unwrap();
    write(&site("physics", "[[virtual]]\nprobe = 'both'\nsum = ['a', 'b']\n"));
    let head = format!(
        "include = ['{}']\nstate_directory = '@DIR@/state'\n[bus]\nkey = {{ id = 'k', secret = '0123456789abcdef' }}\n\
         [status]\nlisten = '127.0.0.1:@STATUS@'\n",
        common.display()
    );
    let endpoint = format!("'ipc://{}/bus'", bus.path().display());
    let drivers = Kwapi::start(&["drivers"], &format!("{head}[drivers]\npublish = [{endpoint}]\n"));
    let api = Kwapi::start(
        &["api"],
        &format!("{head}[api]\nsubscribe = [{endpoint}]\nlisten = '127.0.0.1:@API@'\n"),
    );
    let rrd = Kwapi::start(
        &["rrd"],
        &format!("{head}[rrd]\nsubscribe = [{endpoint}]\nlisten = '127.0.0.1:@WEB@'\n"),
    );
    let run = Kwapi::start(
        &["run"],
        &format!("{head}[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n"),
    );
    for (name, apis) in [("api", &api), ("run", &run)] {
        wait_for_page(name, apis.api, "/v2/probes/", is_owned("physics"));
        let all = wait_for_page(name, apis.api, "/v2/probes/", |body| body.contains("lyon.n2"));
        assert!(all.replace(' ', "").contains(r#""labels":{"host":"n2","number":"2"}"#), "{all}");
    }
    let marked = |body: &str| body.matches(">sum</span>").count();
    for (name, pages) in [("rrd", &rrd), ("run", &run)] {
        wait_for_page(name, pages.web, "/last/minute/", |body| marked(body) == 1);
        wait_for_page(name, pages.web, "/probe/a/", |body| body.contains("<dt>owner</dt><dd>physics</dd>"));
    }
    // What was measured a second ago is still shown, and is no sum any more.
    write(&site(
        "chemistry",
        "[[virtual]]\nprobe = 'other'\nsum = ['a', 'lyon.n1']\n[[virtual]]\nprobe = 'third'\nsum = ['b', 'lyon.n1']\n",
    ));
    for (name, apis) in [("api", &api), ("run", &run)] {
        wait_for_page(name, apis.api, "/v2/probes/", is_owned("chemistry"));
        wait_for_page(name, apis.api, "/v2/probes/", |body| body.contains("\"third\""));
    }
    for (name, pages) in [("rrd", &rrd), ("run", &run)] {
        wait_for_page(name, pages.web, "/last/minute/", |body| marked(body) == 2);
        wait_for_page(name, pages.web, "/probe/a/", |body| body.contains("<dd>chemistry</dd>"));
    }
    write("[[meter]]\ndriver = 'dumy'\nprobe = 'x'\n");
    for service in [&drivers, &api, &rrd, &run] {
        wait_until("the complaint", PATIENCE, || {
            service.process.log().contains("site.toml:2: unknown driver `dumy`").then_some(())
        });
    }
    assert!(is_owned("chemistry")(&get(api.api, "/v2/probes/").unwrap().1), "nothing has changed");
    for service in [&drivers, &api, &rrd, &run] {
        assert!(!service.process.log().contains("a restart is required"), "{}", service.process.log());
    }
}
