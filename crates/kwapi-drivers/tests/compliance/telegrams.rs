//! The drivers of meters that send telegrams, each against a meter behind a network converter.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::suite::{Device, Fault, complies};

/// A telegram of DSMR 3, which has no checksum; as an optical head's it is one of IEC 62056-21.
const WHOLE: &str = "/KWA5TEST\r\n\r\n1-0:1.8.1(00120.500*kWh)\r\n1-0:1.7.0(0000.42*kW)\r\n!\r\n";
const WITHOUT_POWER: &str = "/KWA5TEST\r\n\r\n1-0:1.8.1(00120.500*kWh)\r\n!\r\n";
const DAMAGED: &str = "/KWA5TEST\r\n\r\n1-0:1.8.1(0012,.500*kWh)\r\n!\r\n";
const CUT: &str = "/KWA5TEST\r\n\r\n1-0:1.8.1(00120.5\r\n!\r\n";

/// What the meter does now.
const SENDS: u8 = 0;
const RESTS: u8 = 1;
const SENDS_DAMAGED: u8 = 2;
const SENDS_CUT: u8 = 3;
const SENDS_NO_POWER: u8 = 4;
const UNPLUGGED: u8 = 5;

struct Meter<const IS_P1: bool> {
    address: String,
    does: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

fn plug_in<const IS_P1: bool>() -> Meter<IS_P1> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let does = Arc::new(AtomicU8::new(SENDS));
    let meter = Arc::clone(&does);
    let thread = thread::spawn(move || {
        while meter.load(Ordering::SeqCst) != UNPLUGGED {
            let Ok((stream, _)) = listener.accept() else { return };
            send(stream, &meter);
        }
    });
    Meter { address, does, thread: Some(thread) }
}

#[expect(clippy::disallowed_methods, reason = "the meter's own thread keeps the meter's time")]
fn send(mut stream: TcpStream, does: &AtomicU8) {
    loop {
        let telegram = match does.load(Ordering::SeqCst) {
            SENDS => WHOLE,
            SENDS_DAMAGED => DAMAGED,
            SENDS_CUT => CUT,
            SENDS_NO_POWER => WITHOUT_POWER,
            UNPLUGGED => return,
            _ => "",
        };
        if stream.write_all(telegram.as_bytes()).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

impl<const IS_P1: bool> Device for Meter<IS_P1> {
    const DRIVER: &'static str = if IS_P1 { "p1" } else { "sml" };

    fn keys(&self) -> String {
        format!("host = '{}'", self.address)
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        let does = match fault {
            Fault::Hang => RESTS,
            Fault::Garbage => SENDS_DAMAGED,
            Fault::HalfAnswer => SENDS_CUT,
            Fault::Disconnect => UNPLUGGED,
            Fault::NoPower => SENDS_NO_POWER,
            Fault::WrongSecret => return false,
        };
        self.does.store(does, Ordering::SeqCst);
        true
    }
}

impl<const IS_P1: bool> Drop for Meter<IS_P1> {
    fn drop(&mut self) {
        self.does.store(UNPLUGGED, Ordering::SeqCst);
        // Wakes it where it waits for a driver.
        _ = TcpStream::connect(&self.address);
        _ = self.thread.take().map(JoinHandle::join);
    }
}

#[tokio::test]
async fn p1_complies() {
    complies(async || plug_in::<true>()).await;
}

#[tokio::test]
async fn sml_complies() {
    complies(async || plug_in::<false>()).await;
}
