//! The Watts up? driver against a meter on a pseudo-terminal.

use kwapi_core::ProbeId;
use kwapi_drivers::registry::{self, SharedPool};
use kwapi_drivers::{DriverError, Outlets, Readings};
use kwapi_simulators::wattsup::WattsUpMeter;

use crate::suite::{Device, Fault, complies};

struct Meter {
    meter: Option<WattsUpMeter>,
    path: String,
}

fn plug_in(watts: f64) -> Meter {
    let meter = WattsUpMeter::plug_in(move || watts).expect("a pseudo-terminal");
    let path = meter.path().display().to_string();
    Meter { meter: Some(meter), path }
}

impl Device for Meter {
    const DRIVER: &'static str = "wattsup";

    fn keys(&self) -> String {
        format!("device = {:?}", self.path)
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        let Some(meter) = self.meter.take() else { return false };
        match fault {
            Fault::Hang => meter.silence(true),
            Fault::Garbage => {
                meter.silence(true);
                meter.send(&[0xff; 600]);
            }
            Fault::Disconnect => {
                meter.unplug().await;
                return true;
            }
            Fault::HalfAnswer => {
                meter.silence(true);
                meter.send(b"#d,-,18,97;");
            }
            Fault::NoPower => {
                meter.silence(true);
                meter.send(b"#d,-,18,_,2277,433,_,_,_,_,_,_,_,_,_,_,_,_,_,_,_;");
            }
            Fault::WrongSecret => return false,
        }
        self.meter = Some(meter);
        true
    }
}

#[tokio::test]
async fn wattsup_complies() {
    complies(async || plug_in(35.6)).await;
}

#[tokio::test]
async fn half_a_record_costs_that_record_only_and_the_owners_log_is_left_alone() {
    let Meter { meter, path } = plug_in(35.6);
    let meter = meter.expect("a meter");
    let keys = format!("device = {path:?}").parse().expect("TOML");
    let configured = registry::find("wattsup").expect("a driver").configure(keys).expect("keys");
    let outlets = Outlets::by_position([ProbeId::new("A").ok()]);
    let mut session = configured.connector(&SharedPool::default()).open(&outlets).await.expect("a session");

    let mut readings = Readings::default();
    session.read(&mut readings).await.expect("the record that follows the command");
    meter.send(b"#d,-,18,97;");
    let error = session.read(&mut readings).await.expect_err("a cut record");
    assert!(matches!(error, DriverError::Malformed { .. }), "{error}");
    meter.send(b"23#d,-,18,9");
    session.read(&mut readings).await.expect("the next record, whatever came before it");
    let outcome: Vec<_> =
        readings.drain().map(|(probe, reading)| format!("{probe}: {}", reading.unwrap())).collect();
    assert_eq!(outcome, ["A: 35.6 W, 230 V, 0.155 A", "A: 35.6 W, 230 V, 0.155 A"]);
    assert_eq!(meter.erasures(), 0);
}

#[tokio::test]
async fn a_device_that_is_not_there_is_a_lost_link() {
    let keys = "device = '/dev/serial/by-id/nothing'".parse().expect("TOML");
    let configured = registry::find("wattsup").expect("a driver").configure(keys).expect("keys");
    let outlets = Outlets::by_position([ProbeId::new("A").ok()]);
    let error = configured.connector(&SharedPool::default()).open(&outlets).await.expect_err("no device");
    assert!(matches!(error, DriverError::Link(_)) && error.to_string().contains("by-id/nothing"), "{error}");
}
