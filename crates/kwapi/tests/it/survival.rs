//! Totals over restarts: what was published never goes back, and a restart loses no more than it says.

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
        log.contains("belongs to a running kwapi").then_some(log)
    });
    assert!(log.contains(&state.display().to_string()), "{log}");
}
