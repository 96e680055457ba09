//! A site that keeps its messages until the centre has them on its disk.

use std::fs;

use super::*;
use crate::disk::{may_mount, within};

/// The site, with a centre that it keeps messages for.
pub(super) fn keeping(url: &str) -> String {
    site(url).replace(&format!("['{url}']"), &format!("[{{ url = '{url}', consumers = ['centre'] }}]"))
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &target) } else { _ = fs::copy(&path, &target).unwrap() }
    }
}

/// Waits until so many more messages are stored than `before`; how many there are.
pub(super) fn until_stored(site: &Kwapi, more: f64) -> f64 {
    let stored = || metric(site.status, "kwapi_nats_messages_total{");
    let before = stored().unwrap_or_default();
    wait_until("more is stored", PATIENCE, || stored().filter(|now| *now > before + more))
}

#[test]
fn a_power_failure_of_the_server_with_the_site_and_the_centre_killed_beside_it_costs_no_sample() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let lab = Lab::empty();
    let mut server = NatsServer::start(&lab, free_port(), "");
    let url = server.url("power");
    succeeds(&["nats-setup", "-c", &written(&lab, "centre.toml", &centre(&url))], lab.path());
    let site = Kwapi::start(&["drivers"], &keeping(&url));
    let history = Kwapi::start(&["rrd"], &centre(&url));
    wait_until("the centre is received from", PATIENCE, || {
        metric(site.status, "kwapi_spool_heard_seconds{").filter(|_| {
            metric(history.status, "kwapi_collector_messages_total{").is_some_and(|count| count > 40.0)
        })
    });
    let text = run(&["status", "--address", &format!("127.0.0.1:{}", site.status)], lab.path()).1;
    assert!(
        text.contains("of messages kept for consumers") && text.contains("  centre at nats://"),
        "{text}"
    );
    let Kwapi { lab: centre_home, process, .. } = history;
    drop(process);
    until_stored(&site, 60.0);
    server.signal(libc::SIGSTOP);
    copy(&lab.join("nats"), &lab.join("kept"));
    server.signal(libc::SIGCONT);
    let stored = until_stored(&site, 100.0);
    let Kwapi { lab: site_home, process, .. } = site;
    drop(process);
    server.kill();
    fs::remove_dir_all(lab.join("nats")).unwrap();
    copy(&lab.join("kept"), &lab.join("nats"));
    let site = Kwapi::start_in(site_home, &["drivers"], &keeping(&url));
    server.restart();
    let history = Kwapi::start_in(centre_home, &["rrd"], &centre(&url));
    wait_until("the centre has what was lost, and half of what is new", PATIENCE, || {
        metric(site.status, "kwapi_spool_messages_total").filter(|count| *count > 200.0)?;
        metric(site.status, "kwapi_spool_lacking{").filter(|lacking| *lacking < 100.0)
    });
    assert!(metric(history.status, "kwapi_nats_misplaced_total{") == Some(0.0));
    site.process.stop(libc::SIGTERM, PATIENCE);
    wait_until("the backlog is read", PATIENCE, || {
        metric(history.status, "kwapi_nats_waiting{").filter(|left| *left == 0.0)
    });
    let Kwapi { process, lab: centre_home, .. } = history;
    process.stop(libc::SIGTERM, PATIENCE);
    let all = numbers(&centre_home.join("state/history"));
    assert_eq!(all.len(), 10, "two sessions of five probes");
    for ((probe, session), numbers) in &all {
        let last = numbers.last().copied().unwrap();
        let missing: Vec<_> = (0..=last).filter(|number| !numbers.contains(number)).collect();
        assert!(missing.is_empty(), "{probe} {session}: {missing:?} of {last} are missing");
    }
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for ((probe, _), numbers) in &all {
        first.entry(probe).or_insert(numbers.len());
    }
    assert!(first.values().sum::<usize>() as f64 >= stored, "{first:?} of {stored}");
}

#[test]
fn a_full_disk_at_the_site_is_reported_and_messages_pass_without_it() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    if !may_mount() {
        eprintln!("skipped: no file system of one's own here");
        return;
    }
    let lab = Lab::empty();
    let server = NatsServer::start(&lab, free_port(), "");
    let url = server.url("power");
    succeeds(&["nats-setup", "-c", &written(&lab, "centre.toml", &centre(&url))], lab.path());
    let status = free_port();
    fs::create_dir_all(lab.join("state")).unwrap();
    let toml = keeping(&url).replace("@DIR@", &lab.path().display().to_string());
    fs::write(lab.join("site.toml"), toml.replace("@STATUS@", &status.to_string())).unwrap();
    let mut command = within(&lab, "mount -t tmpfs -o size=160k none \"$1\"");
    command.args(["drivers", "--config"]).arg(lab.join("site.toml"));
    let process = kwapi_peers::Peer::start(&mut command, lab.join("site.log"));
    let problem =
        wait_until("the full disk is reported", PATIENCE, || waiting(status)?.get("spool").cloned());
    assert!(problem.to_string().contains("cannot write the spool: No space left"), "{problem}");
    let stored = || metric(status, "kwapi_nats_messages_total{");
    let before = stored().unwrap();
    wait_until("messages pass", PATIENCE, || stored().filter(|now| *now > before + 50.0));
    assert!(metric(status, "kwapi_spool_unwritten_total").is_some_and(|count| count > 0.0));
    // What the centre has makes room.
    let history = Kwapi::start(&["rrd"], &centre(&url));
    wait_until("it is written again", PATIENCE, || waiting(status)?.get("spool").is_none().then_some(()));
    drop((history, process));
}

#[test]
fn consumers_that_make_no_sense_are_refused_or_reported_with_their_line() {
    let lab = Lab::empty();
    let check = |toml: &str, succeeds: bool, expected: &str| {
        let file = written(&lab, "site.toml", toml);
        let (is_success, text) = run(&["check", "-c", &file], lab.path());
        assert!(is_success == succeeds && text.contains(expected), "{toml}\n{text}");
        assert!(text.contains("site.toml:"), "{text}");
    };
    let publish = |list: &str| format!("[bus]\nkey = {KEY}\n[drivers]\npublish = [{list}]\n");
    check(
        &publish("{ url = 'tcp://*:5556', consumers = ['centre'] }"),
        false,
        "`consumers` is for endpoints that start with nats:// or tls://",
    );
    check(
        &publish("{ url = 'tcp://*:5556', batch_messages_max = 5 }"),
        false,
        "`batch_messages_max` is for endpoints that start with nats:// or tls://",
    );
    for count in ["0", "1001"] {
        check(
            &publish(&format!("{{ url = 'nats://a/x', batch_messages_max = {count} }}")),
            false,
            "`batch_messages_max` must be 1 to 1000",
        );
    }
    check(
        &format!(
            "[bus]\nkeys = [{KEY}]\n[api]\nsubscribe = [{{ url = 'nats://a/x', batch_messages_max = 5 }}]\n"
        ),
        false,
        "`batch_messages_max` is for `publish` in [drivers]",
    );
    check(
        &publish("{ url = 'nats://a/x', consumers = ['the centre'] }"),
        false,
        "the name of a consumer must be 1 to 64 letters, digits, - or _",
    );
    check(&publish("{ url = 'nats://a/x', consumers = ['a', 'a'] }"), false, "listed twice");
    check(
        &publish("{ url = 'nats://a/x', consumers = ['1', '2', '3', '4', '5', '6', '7', '8', '9'] }"),
        false,
        "`consumers` has at most 8 names",
    );
    check(
        &format!("[bus]\nkeys = [{KEY}]\n[api]\nsubscribe = [{{ url = 'nats://a/x', consumers = ['a'] }}]\n"),
        false,
        "`consumers` is for `publish` in [drivers]",
    );
    check(
        &format!("{}spool_megabytes_max = 0\n", publish("{ url = 'nats://a/x', consumers = ['a'] }")),
        false,
        "spool_megabytes_max = 0 keeps no messages",
    );
    let rrd = "[rrd]\nsubscribe = [{ url = 'nats://a/x', consumer = 'centre' }]\n";
    check(
        &format!("{}{rrd}", publish("{ url = 'nats://a/x', consumers = ['center'] }")),
        true,
        "no `consumer` in [rrd] is named `center`; did you mean `centre`?",
    );
    check(
        "[bus]\nkeys = [{ id = 'lyon', secret = 'a secret of sixteen bytes or more' }]\n[rrd]\nsubscribe = [\n\
         { url = 'nats://a/x', consumer = 'one' }, { url = 'nats://a/x', consumer = 'two' }]\n",
        true,
        "nats://a/x is listed twice: each message is received more than once",
    );
    check(
        &publish("'nats://a/x', 'nats://a/x'"),
        true,
        "nats://a/x is listed twice: each message is stored more than once",
    );
    check(
        rrd,
        true,
        "nats://a/x: no key is accepted, so that every message fails verification and is lost; set `keys` in [bus]",
    );
}
