//! The Modbus driver against a meter of one phase over TCP (*Modbus Messaging on TCP/IP* 1.0b, 3.1.3).

use crate::suite::{Device, Fault, complies};
use crate::tcp::TcpDevice;

/// An Eastron SDM120: watts are at input register 0x000C, as IEEE 754 in two registers.
fn answer(request: &[u8], fault: Option<Fault>) -> Option<Vec<u8>> {
    let [t1, t2, 0, 0, 0, 6, unit, 4, at1, at2, 0, count] = *request else { return None };
    let first = u16::from_be_bytes([at1, at2]);
    let registers = (first..first + u16::from(count)).map(|register| {
        let value: f32 = match (register & !1, fault) {
            (0x0000, _) => 229.5,
            (0x0006, _) => 0.433,
            (0x000c, Some(Fault::NoPower)) => f32::NAN,
            (0x000c, _) => 97.25,
            (0x0048, _) => 1234.5,
            _ => 0.0,
        };
        let [a, b, c, d] = value.to_be_bytes();
        if register % 2 == 0 { [a, b] } else { [c, d] }
    });
    let mut answer = vec![t1, t2, 0, 0, 0, 3 + 2 * count, unit, 4, 2 * count];
    answer.extend(registers.flatten());
    Some(answer)
}

struct Meter(TcpDevice);

impl Device for Meter {
    const DRIVER: &'static str = "modbus";

    fn keys(&self) -> String {
        format!("host = '127.0.0.1:{}'\nmap = 'eastron-sdm120'", self.0.port)
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        self.0.inflict(fault);
        fault != Fault::WrongSecret // Modbus has no secrets.
    }
}

#[tokio::test]
async fn modbus_complies() {
    complies(async || Meter(TcpDevice::start(answer).await)).await;
}
