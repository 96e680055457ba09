//! Devices by programs we did not write: pymodbus' meters, sushy-tools' Redfish service, Net-SNMP's agent.

use std::ffi::OsStr;
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use crate::{Lab, Peer, find, output, python_environment};

/// What they may take to start on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A device that `script` of `lab` is (`modbus/line.py`), in the Python environment `python`, on TCP port `port`.
///
/// # Panics
/// With what it printed, when it does not come up.
pub fn python(
    lab: &Lab,
    script: &str,
    port: u16,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Peer {
    let mut command = Command::new(python_environment("python"));
    command.arg(lab.join(script)).arg(port.to_string()).args(arguments);
    Peer::start(&mut command, lab.join("device.log"))
        .ready(START_LIMIT, || TcpStream::connect(("127.0.0.1", port)).is_ok())
}

/// Net-SNMP's agent, as `lab` (of `snmpd`) configures it.
///
/// # Panics
/// With what it printed, when it does not come up.
pub fn snmpd(lab: &Lab, port: u16) -> Peer {
    let home = lab.join("snmpd");
    let mut command = Command::new(find("snmpd").expect("snmpd"));
    command
        .args(["-f", "-Lo", "-C", "-c", "snmpd.conf", "-p", "snmpd.pid"])
        .current_dir(&home)
        .env("SNMP_PERSISTENT_DIR", home.join("var"));
    Peer::start(&mut command, lab.join("snmpd.log")).ready(START_LIMIT, || answers(port))
}

/// Whether an agent answers at all: a v1 GETNEXT of 1.3 with the community `public` gets some answer.
///
/// # Panics
/// When there is no socket to be had.
pub fn answers(port: u16) -> bool {
    const REQUEST: &[u8] = b"0%\x02\x01\0\x04\x06public\xa1\x18\x02\x01\x01\x02\x01\0\x02\x01\x000\r0\x0b\x06\x07\x2b\x06\x01\x02\x01\x01\0\x05\0";
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    socket.send_to(REQUEST, ("127.0.0.1", port)).is_ok() && socket.recv(&mut [0; 1_500]).is_ok()
}

/// A card's own certificate for 127.0.0.1 and its key, `NAME.pem` and `NAME.key` in `lab`, by openssl.
///
/// # Panics
/// With what it printed, when it fails.
pub fn certificate(lab: &Lab, name: &str) {
    output(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=bmc", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
            .current_dir(lab.path()),
    );
}
