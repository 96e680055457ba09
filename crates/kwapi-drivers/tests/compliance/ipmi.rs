//! The IPMI driver against a simulated card.

use kwapi_core::{NoReading, ProbeId};
use kwapi_drivers::registry::{self, SharedPool};
use kwapi_drivers::{Outlets, Readings};
use kwapi_simulators::ipmi::{BmcFault as CardFault, Card, CardOptions, Dcmi};

use crate::suite::{Device, Fault, complies};

struct Bmc {
    card: Option<Card>,
    port: u16,
    password: &'static str,
}

async fn start(options: CardOptions) -> Bmc {
    let password = "s3cr3t-of-card";
    let options = CardOptions { password: password.to_owned(), ..options };
    let card = Card::start(([127, 0, 0, 1], 0), options).await.expect("a port");
    card.set_watts(236);
    Bmc { port: card.address().port(), card: Some(card), password }
}

impl Device for Bmc {
    const DRIVER: &'static str = "ipmi";

    fn keys(&self) -> String {
        let Self { port, password, .. } = self;
        format!(
            "host = '127.0.0.1'\nport = {port}\nusername = 'user'\npassword = '{password}'\ntimeout_seconds = 0.5"
        )
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.password.to_owned()]
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        let Some(card) = &self.card else { return false };
        match fault {
            Fault::Hang => card.set_fault(CardFault::Hang),
            Fault::Garbage => card.set_fault(CardFault::Garbage),
            Fault::HalfAnswer => card.set_fault(CardFault::HalfPacket),
            Fault::Disconnect => self.card = None,
            Fault::WrongSecret => self.password = "hunter2",
            // See below: what a card can report is fixed when it starts.
            Fault::NoPower => return false,
        }
        true
    }
}

#[tokio::test]
async fn ipmi_complies() {
    complies(async || start(CardOptions::default()).await).await;
}

#[tokio::test]
async fn a_card_that_does_not_measure_is_not_at_0_w() {
    for dcmi in [Dcmi::Dead, Dcmi::Absent] {
        let bmc = start(CardOptions { dcmi, sensors: Vec::new(), ..CardOptions::default() }).await;
        let keys = bmc.keys().parse().expect("TOML");
        let configured = registry::find("ipmi").expect("a driver").configure(keys).expect("keys");
        let outlets = Outlets::by_position([ProbeId::new("A").ok()]);
        let Ok(mut session) = configured.connector(&SharedPool::default()).open(&outlets).await else {
            continue;
        };
        let mut readings = Readings::default();
        if session.read(&mut readings).await.is_ok() {
            let outcome: Vec<Result<_, NoReading>> = readings.drain().map(|(_, reading)| reading).collect();
            assert!(outcome.iter().all(Result::is_err), "{dcmi:?}: {outcome:?}");
        }
    }
}
