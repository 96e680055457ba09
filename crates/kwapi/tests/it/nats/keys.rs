//! A centre whose key for a site was mistyped.

use super::*;

/// The energy that the account of each probe has come to, and that the probe's last message reports it used.
fn energies(history: &Path) -> BTreeMap<String, (u64, u64)> {
    let (journal, _) = Journal::open(history, JournalConfig::default(), Timestamp::from_seconds(1)).unwrap();
    let mut all = BTreeMap::new();
    let replayed = journal.replay(Position::default(), |record| {
        let (account, message) = (record.taken.unwrap().register, record.accounting.unwrap().totals);
        all.insert(record.probe.to_string(), (account.energy.millijoules(), message.energy.millijoules()));
    });
    assert_eq!(replayed.unwrap().lost_count, 0);
    all
}

#[test]
fn a_mistyped_key_costs_no_sample_once_it_is_corrected() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let lab = Lab::empty();
    let server = NatsServer::start(&lab, free_port(), "");
    let url = server.url("power");
    let right = centre(&url);
    let wrong = right.replace("a secret of sixteen", "a SECRET of sixteen");
    succeeds(&["nats-setup", "-c", &written(&lab, "centre.toml", &right)], lab.path());
    let site = Kwapi::start(&["drivers"], &site(&url));
    let mut home = Lab::empty();
    let mut least = 100.0;
    // Killed in between: what was left in the stream is known to the next process.
    for _ in 0..2 {
        let history = Kwapi::start_in(home, &["rrd"], &wrong);
        wait_until("messages are left in the stream", PATIENCE, || {
            metric(history.status, "kwapi_nats_unverified{").filter(|count| *count > least)
        });
        let (_, ready) = get(history.status, "/readyz").unwrap();
        assert!(ready.contains("nats_keys") && ready.contains("verified by no accepted key"), "{ready}");
        wait_until("none of them waits", PATIENCE, || {
            metric(history.status, "kwapi_nats_waiting{").filter(|count| *count < 50.0)
        });
        assert_eq!(metric(history.status, "kwapi_collector_messages_total{"), Some(0.0));
        least = 50.0;
        home = history.lab;
        drop(history.process);
    }
    let history = Kwapi::start_in(home, &["rrd"], &wrong);
    wait_until("the stream is read", PATIENCE, || {
        metric(history.status, "kwapi_nats_unverified{").filter(|count| *count > 100.0)
    });
    let toml = right.replace("@WEB@", &history.web.to_string());
    let toml = toml.replace("@API@", &history.api.to_string());
    let toml = toml.replace("@STATUS@", &history.status.to_string());
    let toml = toml.replace("@DIR@", &history.lab.path().display().to_string());
    std::fs::write(history.file("kwapi.toml"), toml).unwrap();
    history.process.signal(1);
    wait_until("measurements come", PATIENCE, || {
        metric(history.status, "kwapi_collector_messages_total{").filter(|count| *count > 200.0)
    });
    site.process.stop(libc::SIGTERM, PATIENCE);
    wait_until("the backlog is read", PATIENCE, || {
        let left = metric(history.status, "kwapi_nats_waiting{")?;
        (left == 0.0 && metric(history.status, "kwapi_nats_unverified{")? == 0.0).then_some(())
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
        assert_eq!(*numbers, (0..=last).collect(), "{probe}");
    }
    for (probe, (account, used)) in energies(&home.join("state/history")) {
        assert_eq!(account, used, "{probe}");
    }
}
