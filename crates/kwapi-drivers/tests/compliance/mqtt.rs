//! The MQTT driver against Mosquitto, which `mosquitto_pub` publishes through.

#![allow(clippy::disallowed_methods, reason = "a test starts the peer it uses")]

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, find, free_port, need, output};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::suite::{Device, Fault, complies};

const PASSWORD: &str = "s3cr3t-of-the-broker";

struct Broker {
    peer: Option<Peer>,
    port: u16,
    password: &'static str,
    message: Arc<Mutex<Option<&'static str>>>,
    publisher: Child,
    task: JoinHandle<()>,
    _lab: Lab,
}

fn start() -> Broker {
    let (lab, port) = (Lab::empty(), free_port());
    let users = lab.join("users").display().to_string();
    output(Command::new("mosquitto_passwd").args(["-c", "-b", &users, "kwapi", PASSWORD]));
    let settings =
        format!("user root\nlistener {port} 127.0.0.1\nallow_anonymous false\npassword_file {users}\n");
    std::fs::write(lab.join("m.conf"), settings).expect("room");
    let mut command = Command::new(find("mosquitto").expect("it is there"));
    command.arg("-c").arg(lab.join("m.conf"));
    let peer = Peer::start(&mut command, lab.join("log"))
        .ready(Duration::from_secs(10), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());

    let mut publisher = Command::new("mosquitto_pub")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-u",
            "kwapi",
            "-P",
            PASSWORD,
            "-t",
            "plugs/1",
            "-l",
        ])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a publisher");
    let mut lines = publisher.stdin.take().expect("piped");
    let message = Arc::new(Mutex::new(Some("{\"power\": 61.5}")));
    let present = Arc::clone(&message);
    let task = tokio::spawn(async move {
        loop {
            let line = *present.lock();
            if let Some(line) = line
                && writeln!(lines, "{line}").is_err()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    Broker { peer: Some(peer), port, password: PASSWORD, message, publisher, task, _lab: lab }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
        _ = self.publisher.kill();
        _ = self.publisher.wait();
    }
}

impl Device for Broker {
    const DRIVER: &'static str = "mqtt";

    fn keys(&self) -> String {
        let Self { port, password, .. } = self;
        format!(
            "broker = 'mqtt://127.0.0.1:{port}'\nusername = 'kwapi'\npassword = '{password}'\n\
             topic = 'plugs/{{outlet}}'\nvalues = {{ power = '/power' }}"
        )
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.password.to_owned()]
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        let message = match fault {
            Fault::Hang => None,
            Fault::Garbage => Some("\u{1}soon"),
            Fault::HalfAnswer => Some("{\"power\": 6"),
            Fault::NoPower => Some("{\"power\": null}"),
            Fault::Disconnect => {
                self.peer = None;
                None
            }
            Fault::WrongSecret => {
                self.password = "hunter2";
                return true;
            }
        };
        *self.message.lock() = message;
        true
    }
}

#[tokio::test]
async fn mqtt_complies() {
    if need(&["mosquitto", "mosquitto_pub", "mosquitto_passwd"]) {
        complies(async || start()).await;
    }
}
