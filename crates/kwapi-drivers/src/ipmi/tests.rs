//! The driver as a whole: against programs we did not write, and against our simulated cards for the faults those never
//! show.

#![expect(clippy::disallowed_methods, reason = "tests start the programs they use")]

mod hostile;
mod peers;
mod simulated;
mod sources;

use std::sync::Arc;

use kwapi_core::{NoReading, ProbeId, Reading, Secret};
use kwapi_simulators::ipmi::{Card, CardOptions};

use super::*;

fn outlets() -> Outlets {
    Outlets::by_position([Some(ProbeId::new("web1").unwrap())])
}

/// The keys an operator would give, patient enough for a busy machine: a request sent twice confuses some peers.
fn config(port: u16) -> IpmiConfig {
    let text = format!(
        "host = '127.0.0.1'\nport = {port}\nusername = 'user'\npassword = 'secret'\ntimeout_seconds = 10.0"
    );
    toml::from_str(&text).unwrap()
}

async fn open(config: &IpmiConfig) -> Result<Ipmi, DriverError> {
    Ipmi::open(config, &outlets(), &Arc::default()).await
}

async fn read(meter: &mut Ipmi) -> Result<Result<Reading, NoReading>, DriverError> {
    let mut readings = Readings::default();
    meter.read(&mut readings).await?;
    assert_eq!(readings.len(), 1, "one meter, one outlet");
    Ok(readings.drain().next().map(|(_, reading)| reading).unwrap())
}

/// What the card at the other end reports, or the error, as text.
async fn reading_text(config: &IpmiConfig) -> String {
    match open(config).await {
        Ok(mut meter) => match read(&mut meter).await {
            Ok(Ok(reading)) => reading.to_string(),
            Ok(Err(reason)) => reason.to_string(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    }
}

/// A card that measures 236 W.
async fn card(options: CardOptions) -> Card {
    let card = Card::start(([127, 0, 0, 1], 0), options).await.unwrap();
    card.set_watts(236);
    card
}

fn keys(card: &Card) -> IpmiConfig {
    config(card.address().port())
}

/// For tests that wait for an answer that does not come.
fn impatient_keys(card: &Card) -> IpmiConfig {
    IpmiConfig { timeout_seconds: 1.0, ..keys(card) }
}

/// Checks what an operator sees of a card.
#[track_caller]
fn check(text: &str, expected: &str) {
    assert!(text.contains(expected), "{text:?} should contain {expected:?}");
}
