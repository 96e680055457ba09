//! Real devices to read: an snmpd with a PDU of 24 outlets, and a socket that nobody writes to.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;

use kwapi_peers::{Lab, Peer, devices, free_udp_port, output, wait_until};

use crate::harness::{Kwapi, PATIENCE, get, run};

/// The first outlet's column of the Raritan PX1 table that our snmpd serves (PDU-MIB, `outletActivePower`).
const OUTLET_POWER: &str = "1.3.6.1.4.1.13742.4.1.2.2.1.7";

/// A real snmpd whose 24 outlets draw 101, 102, … 124 W.
pub(crate) struct Pdu {
    pub(crate) port: u16,
    lab: Lab,
    _snmpd: Peer,
}

impl Pdu {
    pub(crate) fn start() -> Self {
        let port = free_udp_port();
        let lab = Lab::of("snmpd", port);
        let snmpd = devices::snmpd(&lab, port).ready(PATIENCE, || {
            Command::new("snmpget")
                .args(["-v2c", "-c", "public", "-t", "1", "-r", "0", &format!("127.0.0.1:{port}")])
                .arg(format!("{OUTLET_POWER}.1"))
                .output()
                .is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).contains("101"))
        });
        Self { port, lab, _snmpd: snmpd }
    }

    /// What net-snmp's own client reads from an outlet.
    pub(crate) fn watts_by_snmpget(&self, outlet: u32) -> f64 {
        let text = output(
            Command::new("snmpget")
                .args(["-v2c", "-c", "public", "-Oqv", &format!("127.0.0.1:{}", self.port)])
                .arg(format!("{OUTLET_POWER}.{outlet}")),
        );
        text.trim().parse().unwrap()
    }

    /// Makes all outlets draw something else, the first `first` watts, each further one a watt more.
    pub(crate) fn draw(&self, first: u32) {
        let lines: Vec<String> = (first..first + 24).map(|watts| watts.to_string()).collect();
        std::fs::write(self.lab.join("snmpd/outlets.txt"), lines.join("\n") + "\n").unwrap();
    }

    /// A `[[meter]]` table that reads outlets 1, 2 and 24 of it.
    pub(crate) fn meter(&self) -> String {
        format!(
            "[[meter]]\nname = 'pdu'\ndriver = 'snmp'\nhost = '127.0.0.1'\nport = {}\ncommunity = 'public'\n\
             profile = 'raritan_px1'\nprobes = {{ 1 = 'rack.a', 2 = 'rack.b', 24 = 'rack.x' }}\ninterval_seconds = 0.2\n",
            self.port
        )
    }
}

#[test]
fn a_push_meter_that_nobody_writes_to_waits_and_alarms_nobody() {
    let kwapi = Kwapi::start(
        &["drivers"],
        "[bus]\nsignature = 'none'\n[drivers]\npublish = ['ipc://@DIR@/bus']\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
         [[meter]]\nname = 'boiler'\ndriver = 'push'\nlisten = 'unix:@DIR@/boiler.sock'\nprobe = 'boiler'\n",
    );
    let address = format!("127.0.0.1:{}", kwapi.status);
    let wait_for_state = |state: &str| {
        let line = format!("boiler  push       {state} ");
        wait_until(&format!("{state}\n{}", kwapi.process.log()), PATIENCE, || {
            let (_, output) = run(&["status", "--address", &address], kwapi.lab.path());
            output.contains(&line).then_some(output)
        })
    };
    let output = wait_for_state("waiting");
    assert!(output.contains("1 of 1 meters up, 1 of them waiting"), "{output}");
    let (_, troubled) = run(&["status", "--troubled", "--address", &address], kwapi.lab.path());
    assert!(troubled.starts_with("1 of 1 meters up, 1 of them waiting\n"), "no table: {troubled}");
    let (_, metrics) = get(kwapi.status, "/metrics").unwrap();
    for line in ["kwapi_meters{state=\"waiting\"} 1", "kwapi_meter_up{meter=\"boiler\",driver=\"push\"} 1"] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    assert!(kwapi.process.log().contains("waiting: no data received yet"), "{}", kwapi.process.log());

    let mut socket = UnixStream::connect(kwapi.file("boiler.sock")).unwrap();
    socket.write_all(b"{\"watts\": 61.5}\n").unwrap();
    let output = wait_for_state("running");
    assert!(output.contains("1 (61.5 W)") && output.contains("1 of 1 meters up\n"), "{output}");
}
