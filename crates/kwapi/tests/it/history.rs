//! History as other programs see it: RRDtool reads the files, and what it fetches is what the meter reported.

use std::process::Command;

use kwapi_peers::{need, output, wait_until};

use crate::devices::Pdu;
use crate::harness::{Kwapi, PATIENCE, request};

#[test]
fn rrdtool_reads_what_a_real_agent_reported() {
    if !need(&["snmpd", "snmpget", "rrdtool"]) {
        return;
    }
    let pdu = Pdu::start();
    let kwapi = Kwapi::start(
        &["run"],
        &format!(
            "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
             [status]\nlisten = '127.0.0.1:@STATUS@'\n{}",
            pdu.meter()
        ),
    );
    kwapi.probe("rack.x");
    let file = kwapi.file("x.rrd");
    let lines = wait_until("three seconds in the file", PATIENCE, || {
        let get = "GET /rrd/rack.x/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let (status, head, rrd) = request(kwapi.web, get)?;
        if status != 200 {
            return None;
        }
        assert!(head.contains("rack.x.rrd"), "{head}");
        assert_eq!(rrd.len(), 9_752, "as large as the original's");
        std::fs::write(&file, rrd).ok()?;
        let fetched =
            output(Command::new("rrdtool").arg("fetch").arg(&file).args(["AVERAGE", "-r", "1", "-s", "-30"]));
        let known: Vec<String> =
            fetched.lines().filter(|line| line.contains("e+")).map(str::to_owned).collect();
        (known.len() >= 3).then_some(known)
    });
    assert!(lines.iter().all(|line| line.ends_with("1.2400000000e+02")), "{lines:?}");
    let dump = output(Command::new("rrdtool").arg("dump").arg(&file));
    assert_eq!(dump.matches("<cf>AVERAGE</cf>").count(), 6);
    let png = kwapi.file("x.png");
    let graph = format!("DEF:w={}:w:AVERAGE", file.display());
    output(
        Command::new("rrdtool").arg("graph").arg(&png).args(["-s", "-60"]).arg(graph).arg("LINE1:w#0000ff"),
    );
    assert!(std::fs::read(png).unwrap().starts_with(b"\x89PNG"));
}
