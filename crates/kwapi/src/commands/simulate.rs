//! `kwapi simulate`: wattmeters that are not there, for trying a configuration.

use kwapi_simulators::ipmi::{Card, CardOptions};
use kwapi_simulators::snmp::{Rack, RackSettings, ServerModel};
use kwapi_simulators::wattsup::WattsUpMeter;
use std::time::Duration;

use crate::cli::{SimulateArgs, SimulatedDevice};
use crate::shutdown::Shutdown;

/// The simulated servers' day.
const DAY: Duration = Duration::from_secs(600);
/// How often a simulated card's watts change.
const CARD_STEP: Duration = Duration::from_secs(1);

/// Runs one until requested to stop, after printing a configuration that reads it.
///
/// # Errors
/// When the system gives no socket or pseudo-terminal, as one line.
pub(crate) async fn simulate(arguments: &SimulateArgs) -> Result<(), String> {
    let shutdown =
        Shutdown::on_signals().map_err(|error| format!("cannot install signal handlers: {error}"))?;
    match arguments.device {
        SimulatedDevice::Rack { listen, outlets } => {
            let names = (1..=outlets).map(|number| format!("server {number}")).collect();
            let settings = RackSettings { bind: listen, names, day: DAY, ..RackSettings::default() };
            let rack = Rack::start(settings).await.map_err(|error| format!("{listen}: {error}"))?;
            let address = rack.address();
            println!(
                "[[meter]]\ndriver = \"snmp\"\nhost = \"{}\"\nport = {}\ncommunity = \"public\"\nprobe = \"rack.{{label}}\"",
                address.ip(),
                address.port()
            );
            shutdown.begun().await;
            let datagrams = rack.datagrams();
            println!("# {} datagrams received, {} sent", datagrams.received, datagrams.sent);
        }
        SimulatedDevice::Ipmi { listen, cards } => {
            let mut running = Vec::new();
            for number in 0..cards {
                let port =
                    listen.port().checked_add(number).ok_or("too many cards; their ports exceed 65535")?;
                let address = std::net::SocketAddr::new(listen.ip(), port);
                let card = Card::start(address, CardOptions::default())
                    .await
                    .map_err(|error| format!("{address}: {error}"))?;
                println!(
                    "[[meter]]\ndriver = \"ipmi\"\nhost = \"{}\"\nport = {port}\nusername = \"user\"\npassword = \"secret\"\n\
                     probe = \"card-{}\"\n",
                    listen.ip(),
                    number + 1
                );
                running.push((card, ServerModel::new(u64::from(number), DAY)));
            }
            let begin = tokio::time::Instant::now();
            let mut steps = tokio::time::interval(CARD_STEP);
            loop {
                tokio::select! {
                    () = shutdown.begun() => break,
                    _ = steps.tick() => {}
                }
                for (card, model) in &running {
                    card.set_watts(whole_watts(model.watts(begin.elapsed())));
                }
            }
        }
        SimulatedDevice::Wattsup => {
            let model = ServerModel::new(1, DAY);
            let begin = tokio::time::Instant::now();
            let meter = WattsUpMeter::plug_in(move || model.watts(begin.elapsed()))
                .map_err(|error| error.to_string())?;
            println!(
                "[[meter]]\ndriver = \"wattsup\"\ndevice = \"{}\"\nprobe = \"desk\"",
                meter.path().display()
            );
            shutdown.begun().await;
        }
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a model draws 60 to 360 W")]
fn whole_watts(watts: f64) -> u16 {
    watts.round().clamp(0.0, f64::from(u16::MAX)) as u16
}
