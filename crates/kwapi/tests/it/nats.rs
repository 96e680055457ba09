//! Measurements over a NATS server, as an operator sets it up: a site, a centre that is killed again and again, an API
//! beside it.

mod backlog;
mod energy;
mod full;
mod keys;
mod late;
mod leaves;
mod logins;
mod spool;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use kwapi_core::Timestamp;
use kwapi_history::journal::{Journal, JournalConfig, Position};
use kwapi_peers::nats::NatsServer;
use kwapi_peers::{Lab, free_port, wait_until};
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get, run};

const KEY: &str = "{ id = 'lyon', secret = 'a secret of sixteen bytes or more' }";

fn site(url: &str) -> String {
    format!(
        "state_directory = '@DIR@/state'\n[bus]\nkey = {KEY}\n[drivers]\npublish = ['{url}']\n\
         interval_seconds = 0.1\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
         [[meter]]\ndriver = 'dummy'\nprobe = 'lyon.{{outlet}}'\noutlets = 5\nwatts = 100\n"
    )
}

fn centre(url: &str) -> String {
    format!(
        "state_directory = '@DIR@/state'\n[bus]\nkeys = [{KEY}]\n\
         [rrd]\nlisten = '127.0.0.1:@WEB@'\nsubscribe = [{{ url = '{url}', consumer = 'centre' }}]\n\
         [api]\nlisten = '127.0.0.1:@API@'\nsubscribe = ['{url}']\n\
         [status]\nlisten = '127.0.0.1:@STATUS@'\n"
    )
}

/// A configuration in a file, for commands.
fn written(lab: &Lab, name: &str, toml: &str) -> String {
    let toml = toml.replace("@DIR@", &lab.path().display().to_string());
    let toml = ["@API@", "@WEB@", "@STATUS@"].iter().fold(toml, |toml, port| toml.replace(port, "1"));
    std::fs::write(lab.join(name), toml).unwrap();
    lab.join(name).display().to_string()
}

fn succeeds(arguments: &[&str], folder: &Path) -> String {
    let (is_success, text) = run(arguments, folder);
    assert!(is_success, "{arguments:?}: {text}");
    text
}

/// A value of `/metrics`, the sum over its labels.
fn metric(port: u16, name: &str) -> Option<f64> {
    let (_, text) = get(port, "/metrics")?;
    let values = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
    values.map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Whether the service is ready; else why not.
fn waiting(port: u16) -> Option<Value> {
    let (_, body) = get(port, "/readyz")?;
    let body: Value = serde_json::from_str(&body).ok()?;
    Some(body["waiting"].clone())
}

/// The numbers of each session of each probe in the journal; panics where one is there twice.
fn numbers(history: &Path) -> BTreeMap<(String, u64), BTreeSet<u64>> {
    let (journal, _) = Journal::open(history, JournalConfig::default(), Timestamp::from_seconds(1)).unwrap();
    let mut all: BTreeMap<(String, u64), BTreeSet<u64>> = BTreeMap::new();
    let replayed = journal.replay(Position::default(), |record| {
        let message = record.accounting.unwrap();
        let session = all.entry((record.probe.to_string(), message.session.micros())).or_default();
        assert!(session.insert(message.seq), "{} has {} twice", record.probe, message.seq);
    });
    assert_eq!(replayed.unwrap().lost_count, 0);
    all
}

#[test]
fn a_history_that_is_killed_again_and_again_has_every_sample_once() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let lab = Lab::empty();
    let mut server = NatsServer::start(&lab, free_port(), "");
    let url = server.url("power");
    let file = written(&lab, "centre.toml", &centre(&url));
    let text = succeeds(&["nats-setup", "-c", &file], lab.path());
    assert!(text.contains("stream    power            created (0 messages)"), "{text}");
    assert!(text.contains("consumer  centre           created (0 messages)"), "{text}");
    let text = succeeds(&["nats-setup", "-c", &file], lab.path());
    assert!(
        text.contains("power            unchanged") && text.contains("centre           unchanged"),
        "{text}"
    );
    let site = Kwapi::start(&["drivers"], &site(&url));
    let mut home = Lab::empty();
    for round in 0..6 {
        let history = Kwapi::start_in(home, &["rrd"], &centre(&url));
        let so_far = || metric(history.status, "kwapi_collector_messages_total{");
        wait_until("measurements come", PATIENCE, || {
            so_far().filter(|count| *count > 40.0 * f64::from(round + 1))
        });
        if round == 3 {
            server.kill();
            let problem = wait_until("the site reports it", PATIENCE, || {
                waiting(site.status)?.get("nats_publish").cloned()
            });
            assert!(problem.to_string().contains("127.0.0.1"), "{problem}");
            wait_until("the history reports it", PATIENCE, || {
                waiting(history.status)?.get("nats_subscribe").cloned()
            });
            let text = run(&["status", "--address", &format!("127.0.0.1:{}", site.status)], lab.path()).1;
            assert!(text.contains("nats_publish"), "{text}");
            server.restart();
        }
        // Dropped: killed, with what it had not acknowledged.
        home = history.lab;
        drop(history.process);
    }
    // While nobody listens.
    let stored = || metric(site.status, "kwapi_nats_messages_total{").unwrap_or_default();
    let before = stored();
    wait_until("more is stored", PATIENCE, || (stored() > before + 100.0).then_some(()));
    site.process.stop(libc::SIGTERM, PATIENCE);
    let history = Kwapi::start_in(home, &["rrd"], &centre(&url));
    wait_until("the backlog is read", PATIENCE, || {
        let left = metric(history.status, "kwapi_nats_waiting{")?;
        (left == 0.0 && metric(history.status, "kwapi_nats_messages_total{")? > 50.0).then_some(())
    });
    let home = {
        let Kwapi { process, lab, .. } = history;
        process.stop(libc::SIGTERM, PATIENCE);
        lab
    };
    let all = numbers(&home.join("state/history"));
    assert_eq!(all.len(), 5, "one session of five probes");
    for ((probe, _), numbers) in &all {
        let last = numbers.last().copied().unwrap();
        let missing: Vec<_> = (0..=last).filter(|number| !numbers.contains(number)).collect();
        assert!(missing.is_empty() && last > 100, "{probe}: {missing:?} of {last} are missing");
    }
}

#[test]
fn the_users_that_are_printed_can_do_their_part_and_no_more() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let lab = Lab::empty();
    let port = free_port();
    let url = format!("nats://127.0.0.1:{port}/power");
    let file = written(&lab, "plain.toml", &centre(&url));
    let printed = succeeds(&["nats-setup", "--print", "-c", &file], lab.path());
    let (_, authorization) = printed.split_once("authorization").expect("users");
    let server = NatsServer::start(&lab, port, &format!("authorization{authorization}"));
    let login = |user: &str| {
        let (_, rest) = authorization.split_once(&format!("user: \"{user}\", password: \"")).expect("a user");
        let password = rest.split('"').next().unwrap();
        format!("nats = {{ user = '{user}', password = '{password}' }}\n")
    };
    let with = |toml: String, user: &str| toml.replace("[bus]\n", &format!("[bus]\n{}", login(user)));
    let refused = written(&lab, "live.toml", &with(centre(&url), "power-live"));
    let (is_success, text) = run(&["nats-setup", "-c", &refused], lab.path());
    assert!(!is_success && text.to_lowercase().contains("permissions violation"), "{text}");
    let setup = written(&lab, "setup.toml", &with(centre(&url), "setup"));
    succeeds(&["nats-setup", "-c", &setup], lab.path());
    let drivers = Kwapi::start(&["drivers"], &with(spool::keeping(&url), "power-drivers"));
    let api = Kwapi::start(&["api"], &with(centre(&url), "power-live"));
    let history = Kwapi::start(&["rrd"], &with(centre(&url), "power-centre"));
    api.probe("lyon.1");
    for (port, part) in [(drivers.status, "drivers"), (history.status, "history"), (api.status, "API")] {
        wait_until(part, PATIENCE, || {
            let waiting = waiting(port)?;
            waiting.as_object().is_none_or(serde_json::Map::is_empty).then_some(())
        });
    }
    let listens = "kwapi_nats_up{endpoint=\"";
    wait_until("the history may listen as well", PATIENCE, || {
        let (_, text) = get(history.status, "/metrics")?;
        text.lines().any(|line| line.starts_with(listens) && line.ends_with("side=\"live\"} 1")).then_some(())
    });
    wait_until("all is acknowledged", PATIENCE, || {
        let left = metric(history.status, "kwapi_nats_waiting{")?;
        (left < 50.0 && metric(history.status, "kwapi_nats_messages_total{")? > 50.0).then_some(())
    });
    wait_until("the site receives what is on the disk of the history", PATIENCE, || {
        metric(drivers.status, "kwapi_spool_lacking{").filter(|lacking| *lacking < 50.0)?;
        metric(drivers.status, "kwapi_spool_heard_seconds{")
    });
    drop(server);
}

#[test]
fn what_makes_no_sense_over_nats_is_refused_with_its_line() {
    let lab = Lab::empty();
    let check = |name: &str, toml: &str, expected: &str| {
        let file = written(&lab, name, toml);
        let (is_success, text) = run(&["check", "-c", &file], lab.path());
        assert!(!is_success && text.contains(expected), "{toml}\n{text}");
        assert!(text.contains(&format!("{name}:")), "{text}");
    };
    let bus = format!("[bus]\nkeys = [{KEY}]\n");
    check(
        "rrd.toml",
        &format!("{bus}[rrd]\nsubscribe = ['nats://a/x']\n"),
        "nats://a/x: [rrd] requires `consumer`",
    );
    check(
        "legacy.toml",
        "[bus]\nsignature = 'legacy'\nkey = { id = 'a', secret = 'b' }\n[drivers]\npublish = ['nats://a/x']\n",
        "NATS requires signature = \"kwapi-1\"",
    );
    check(
        "forwarder.toml",
        &format!("{bus}[forwarder]\nsubscribe = ['nats://a/x']\npublish = ['tcp://*:5557']\n"),
        "a forwarder connects ZeroMQ endpoints",
    );
    check(
        "consumer.toml",
        &format!("{bus}[rrd]\nsubscribe = [{{ url = 'tcp://a:1', consumer = 'x' }}]\n"),
        "`consumer` is for endpoints that start with nats:// or tls://",
    );
    check(
        "login.toml",
        &format!("{bus}nats = {{ user = 'u' }}\n[api]\nsubscribe = ['nats://a/x']\n"),
        "`user` requires `password`",
    );
    check(
        "password.toml",
        &format!("{bus}[api]\nsubscribe = ['nats://u:sesame@a/x']\n"),
        "must not contain a user or a password",
    );
    check(
        "authority.toml",
        &format!("{bus}nats = {{ ca = '/nowhere/ca.pem' }}\n[api]\nsubscribe = ['tls://a/x']\n"),
        "certificate authority /nowhere/ca.pem",
    );
    let clear = format!("{bus}nats = {{ token = 't' }}\n[api]\nsubscribe = ['nats://centre.example/x']\n");
    let (_, text) = run(&["check", "-c", &written(&lab, "clear.toml", &clear)], lab.path());
    assert!(text.contains("the login is sent unencrypted; use tls://"), "{text}");
    let (is_success, text) = run(&["nats-setup", "-c", &written(&lab, "none.toml", &bus)], lab.path());
    assert!(!is_success && text.contains("no nats:// endpoint is configured"), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_reported_and_the_api_answers() {
    let url = format!("nats://127.0.0.1:{}/power", free_port());
    let api = Kwapi::start(&["api"], &centre(&url));
    let problem =
        wait_until("it is reported", PATIENCE, || waiting(api.status)?.get("nats_subscribe").cloned());
    wait_until("the reason is reported", PATIENCE, || {
        let problem = waiting(api.status)?.get("nats_subscribe")?.to_string();
        problem.contains("cannot connect").then_some(())
    });
    assert!(problem.to_string().contains("127.0.0.1"), "{problem}");
    let (status, _) = wait_until("an answer", PATIENCE, || get(api.api, "/v1/probe-ids/"));
    assert_eq!(status, 200);
    api.process.stop(libc::SIGTERM, Duration::from_secs(10));
    // A history has it on its page as well.
    let history = Kwapi::start(&["rrd"], &centre(&url));
    let page = wait_until("the reason on a page", PATIENCE, || {
        let (_, page) = get(history.web, "/last/minute/")?;
        page.contains("cannot connect").then_some(page)
    });
    assert!(page.contains(&url), "{page}");
}
