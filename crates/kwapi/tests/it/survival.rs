//! Totals over restarts: what was published never goes back, and a restart loses no more than it reports.

use kwapi_peers::{need, wait_until};

use crate::devices::Pdu;
use crate::harness::{Kwapi, PATIENCE};

fn configuration(pdu: &Pdu) -> String {
    format!(
        "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\nrecord_interval_seconds = 1\n\
         [rrd]\nlisten = '127.0.0.1:@WEB@'\n[status]\nlisten = '127.0.0.1:@STATUS@'\n{}",
        pdu.meter()
    )
}

#[test]
fn a_killed_process_finds_its_totals_again_and_they_never_fall() {
    if !need(&["snmpd", "snmpget"]) {
        return;
    }
    let pdu = Pdu::start();
    let mut kwapi = Kwapi::start(&["run"], &configuration(&pdu));
    let mut published: f64 = 0.0;
    for _ in 0..3 {
        let kwh = wait_until("energy beyond what was published", PATIENCE, || {
            let kwh = kwapi.probe("rack.a")["kwh"].as_f64()?;
            assert!(kwh >= published, "fell from {published} to {kwh}");
            (kwh > published + 1e-5).then_some(kwh)
        });
        published = kwh;
        kwapi.process.signal(9);
        let Kwapi { process, lab, .. } = kwapi;
        process.ended(PATIENCE);
        kwapi = Kwapi::start_in(lab, &["run"], &configuration(&pdu));
    }
    assert!(kwapi.probe("rack.a")["kwh"].as_f64().unwrap() >= published);
}

#[test]
fn a_second_process_on_the_same_state_is_refused_by_name() {
    let first = Kwapi::start(
        &["run"],
        "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
         [status]\nlisten = '127.0.0.1:@STATUS@'\n[[meter]]\ndriver = 'dummy'\nprobe = 'a'\n",
    );
    first.probe("a");
    let state = first.file("state");
    let second = Kwapi::start(
        &["run"],
        &format!(
            "state_directory = '{}'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
             [status]\nlisten = '127.0.0.1:@STATUS@'\n[[meter]]\ndriver = 'dummy'\nprobe = 'a'\n",
            state.display()
        ),
    );
    let log = wait_until("it gives up", PATIENCE, || {
        let log = second.process.log();
        log.contains("is in use by another kwapi").then_some(log)
    });
    assert!(log.contains(&state.display().to_string()), "{log}");
}

/// As `kwapi run` of the version with `kwapi accounts 2` left it, with three probes of 0.8464 kWh.
const ACCOUNTS_2: &[u8] = include_bytes!("golden/accounts-2.log");

#[test]
fn accounts_of_the_version_before_continue_in_every_service_that_keeps_them() {
    let bus = tempfile::tempdir().unwrap();
    let endpoint = format!("ipc://{}/bus", bus.path().display());
    let key = "[bus]\nkey = { id = 'k', secret = '0123456789abcdef' }\n";
    let status = "[status]\nlisten = '127.0.0.1:@STATUS@'\n";
    let meters =
        "[[meter]]\ndriver = 'dummy'\nprobe = 'golden.{outlet}'\noutlets = 3\ninterval_seconds = 0.2\n";
    let _drivers =
        Kwapi::start(&["drivers"], &format!("{key}{status}[drivers]\npublish = ['{endpoint}']\n{meters}"));
    let state = format!("state_directory = '@DIR@/state'\n{key}{status}");
    for (service, former, sections) in [
        ("api", "api", format!("[api]\nlisten = '127.0.0.1:@API@'\nsubscribe = ['{endpoint}']\n")),
        ("rrd", "rrd", format!("[rrd]\nlisten = '127.0.0.1:@WEB@'\nsubscribe = ['{endpoint}']\n")),
        (
            "run",
            "api",
            format!("[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n{meters}"),
        ),
    ] {
        let lab = kwapi_peers::Lab::empty();
        std::fs::create_dir_all(lab.join("state").join(former)).unwrap();
        std::fs::write(lab.join("state").join(former).join("accounts.log"), ACCOUNTS_2).unwrap();
        let before = 0.8463 * 3.6e6;
        let mut lab = Some(lab);
        // The second start reads what this version wrote.
        for start in 0..2 {
            let kwapi = Kwapi::start_in(lab.take().unwrap(), &[service], &format!("{state}{sections}"));
            for outlet in 1..=3 {
                let name = format!("kwapi_probe_energy_joules_total{{probe=\"golden.{outlet}\"}} ");
                let joules: f64 = wait_until("its total", PATIENCE, || {
                    let (_, metrics) = crate::harness::get(kwapi.status, "/metrics")?;
                    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
                });
                assert!(joules >= before, "{service}, start {start}: {joules} J after {before} J");
            }
            kwapi.process.signal(15);
            let Kwapi { process, lab: theirs, .. } = kwapi;
            process.ended(PATIENCE);
            lab = Some(theirs);
        }
    }
}
