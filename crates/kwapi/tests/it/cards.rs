//! Cards on pyghmi's server, which measure what a file says.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, free_udp_port, python_environment};

use crate::harness::PATIENCE;

/// Several cards on successive ports; the account is `user`, its password `secret`.
pub(crate) struct Cards {
    pub(crate) port: u16,
    _lab: Lab,
    _server: Peer,
}

impl Cards {
    pub(crate) fn start(count: u16) -> Self {
        let port = free_udp_port();
        let lab = Lab::of("ipmi", port);
        let mut command = Command::new(python_environment("python"));
        command
            .arg(lab.join("ipmi/bmc17.py"))
            .arg(port.to_string())
            .arg(lab.join("ipmi/power.val"))
            .arg(count.to_string());
        let server =
            Peer::start(&mut command, lab.join("bmc17.log")).ready(PATIENCE, || answers(port + count - 1));
        Self { port, _lab: lab, _server: server }
    }
}

/// Whether something answers Get Channel Authentication Capabilities, as captured from `ipmitool`.
fn answers(port: u16) -> bool {
    const ASKED: [u8; 23] = [
        0x06, 0x00, 0xff, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x20, 0x18, 0xc8,
        0x81, 0x00, 0x38, 0x8e, 0x04, 0xb5,
    ];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket.send_to(&ASKED, ("127.0.0.1", port)).unwrap();
    socket.recv_from(&mut [0; 256]).is_ok()
}
