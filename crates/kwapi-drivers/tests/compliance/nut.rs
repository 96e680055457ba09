//! The NUT driver against a server with one UPS (NUT 2.8, `docs/net-protocol.txt`).

use crate::suite::{Device, Fault, complies};
use crate::tcp::TcpDevice;

const PASSWORD: &str = "s3cr3t-of-upsd";

fn answer(request: &[u8], fault: Option<Fault>) -> Option<Vec<u8>> {
    let request = std::str::from_utf8(request).ok()?.strip_suffix('\n')?;
    let power = if fault == Some(Fault::NoPower) { "" } else { "VAR rack ups.realpower \"61\"\n" };
    let answer = match request {
        "LIST UPS" => "BEGIN LIST UPS\nUPS rack \"Rack 1\"\nEND LIST UPS\n".to_owned(),
        // The password is only looked at now.
        "LOGIN \"rack\"" if fault == Some(Fault::WrongSecret) => "ERR ACCESS-DENIED\n".to_owned(),
        "USERNAME \"kwapi\"" | "PASSWORD \"s3cr3t-of-upsd\"" | "LOGIN \"rack\"" => "OK\n".to_owned(),
        "LIST VAR rack" => {
            format!("BEGIN LIST VAR rack\nVAR rack ups.status \"OL\"\n{power}END LIST VAR rack\n")
        }
        _ => "ERR UNKNOWN-COMMAND\n".to_owned(),
    };
    Some(answer.into_bytes())
}

struct Server(TcpDevice);

impl Device for Server {
    const DRIVER: &'static str = "nut";

    fn keys(&self) -> String {
        format!("host = '127.0.0.1:{}'\nusername = 'kwapi'\npassword = '{PASSWORD}'", self.0.port)
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned()]
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        self.0.inflict(fault);
        true
    }
}

#[tokio::test]
async fn nut_complies() {
    complies(async || Server(TcpDevice::start(answer).await)).await;
}
