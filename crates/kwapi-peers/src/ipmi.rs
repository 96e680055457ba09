//! Cards of two makes: `ipmi_sim` (`OpenIPMI`) and pyghmi's server. Both measure what a file holds; the account is
//! `user`, its password `secret`.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use crate::{Lab, Peer, free_udp_port, output, python_environment};

/// What they may take to start on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Running cards on successive ports, of 236 W each until [`Cards::set_watts`].
#[derive(Debug)]
pub struct Cards {
    /// The first card's.
    pub port: u16,
    lab: Lab,
    _server: Peer,
}

impl Cards {
    /// One card by `ipmi_sim`: RMCP+ with suite 3, IPMI 1.5, a sensor in 4 W steps, DCMI. `edit` may change its `lan.conf`.
    ///
    /// # Panics
    /// With what it printed, when it does not come up.
    pub fn ipmi_sim(edit: impl Fn(String) -> String) -> Self {
        let port = free_udp_port();
        let lab = Lab::of("ipmi", port);
        let lan = lab.join("ipmi/lan.conf");
        let text = std::fs::read_to_string(&lan).expect("its configuration");
        std::fs::write(&lan, edit(text)).expect("room in the scratch directory");
        let mut command = Command::new("sh");
        command.arg(lab.join("ipmi/run.sh"));
        Self::start(lab, port, 1, &mut command)
    }

    /// `count` cards by pyghmi: suites 3 and 17, a sensor, DCMI.
    ///
    /// # Panics
    /// As [`Cards::ipmi_sim`].
    pub fn pyghmi(count: u16) -> Self {
        let port = free_udp_port();
        let lab = Lab::of("ipmi", port);
        let mut command = Command::new(python_environment("python"));
        command
            .arg(lab.join("ipmi/bmc17.py"))
            .arg(port.to_string())
            .arg(lab.join("ipmi/power.val"))
            .arg(count.to_string());
        Self::start(lab, port, count, &mut command)
    }

    fn start(lab: Lab, port: u16, count: u16, command: &mut Command) -> Self {
        let server = Peer::start(command, lab.join("cards.log"));
        let server = server.ready(START_LIMIT, || answers(port + count - 1));
        Self { port, lab, _server: server }
    }

    /// Makes them draw something else.
    ///
    /// # Panics
    /// When the disk does not play along.
    pub fn set_watts(&self, watts: u16) {
        std::fs::write(self.lab.join("ipmi/power.val"), watts.to_string()).expect("room for a number");
    }
}

/// Whether something on this port answers Get Channel Authentication Capabilities, as captured from `ipmitool`.
fn answers(port: u16) -> bool {
    const REQUEST: [u8; 23] = [
        0x06, 0x00, 0xff, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x20, 0x18, 0xc8,
        0x81, 0x00, 0x38, 0x8e, 0x04, 0xb5,
    ];
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
    socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    // A refusal of an earlier request may be reported to the next one.
    socket.send_to(&REQUEST, ("127.0.0.1", port)).is_ok() && socket.recv_from(&mut [0; 256]).is_ok()
}

/// What `ipmitool` prints when it queries the card on `port` over RMCP+ with this cipher suite.
///
/// # Panics
/// With what it printed, when it fails.
pub fn ipmitool(port: u16, suite: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("ipmitool");
    command.args(["-I", "lanplus", "-H", "127.0.0.1", "-p", &port.to_string(), "-U", "user", "-P", "secret"]);
    output(command.args(["-C", suite]).args(arguments))
}
