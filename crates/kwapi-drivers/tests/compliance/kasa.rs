//! The kasa driver against a plug with the protocol on port 9999.

use crate::suite::{Device, Fault, complies};
use crate::tcp::TcpDevice;

/// Combines each byte with the one before it, as it is sent (softScheck, *Reverse Engineering the TP-Link HS110*).
fn obscured(text: &str) -> Vec<u8> {
    let mut before = 171;
    let mut sent = u32::try_from(text.len()).expect("short").to_be_bytes().to_vec();
    for byte in text.bytes() {
        before ^= byte;
        sent.push(before);
    }
    sent
}

fn answer(request: &[u8], fault: Option<Fault>) -> Option<Vec<u8>> {
    let (length, sent) = request.split_first_chunk::<4>()?;
    if sent.len() < usize::try_from(u32::from_be_bytes(*length)).ok()? {
        return None;
    }
    let before = std::iter::once(&171).chain(sent);
    let question: Vec<u8> = sent.iter().zip(before).map(|(byte, before)| byte ^ before).collect();
    let is_about_power = String::from_utf8_lossy(&question).contains("get_realtime");
    Some(obscured(match (is_about_power, fault) {
        (false, _) => {
            r#"{"system":{"get_sysinfo":{"model":"KP115(EU)","mac":"10:27:F5:01:02:03","alias":"Rack"}}}"#
        }
        (true, Some(Fault::NoPower)) => r#"{"emeter":{"get_realtime":{"voltage_mv":230000,"err_code":0}}}"#,
        (true, _) => r#"{"emeter":{"get_realtime":{"power_mw":61000,"total_wh":12,"err_code":0}}}"#,
    }))
}

struct Plug(TcpDevice);

impl Device for Plug {
    const DRIVER: &'static str = "kasa";

    fn keys(&self) -> String {
        format!("host = '127.0.0.1:{}'", self.0.port)
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        if fault == Fault::WrongSecret {
            return false; // There is no secret.
        }
        self.0.inflict(fault);
        true
    }
}

#[tokio::test]
async fn kasa_complies() {
    complies(async || Plug(TcpDevice::start(answer).await)).await;
}
