//! NATS JetStream: a server between publisher and plugin stores the messages, so that a plugin that was away is given what
//! it lacks. One stream an endpoint, named by its path; one subject a probe ([`subject`]); only signed messages.
//!
//! Messages that are there together travel as one: see [`batch`].
//!
//! What is stored is acknowledged in both directions: a publisher keeps a message until the server has confirmed it, the
//! server keeps it for a *consumer* (a name of a plugin's history) until its journal has it on the disk. A plugin without
//! a history has no consumer and receives live, as over ZeroMQ.
//!
//! A confirmation of the server does not survive its power failure. Where a publisher lists the consumers of histories, it
//! keeps what each of them has not reported as on its own disk ([`crate::spool`]), and sends that again: see
//! [`position`].
//!
//! Each endpoint has a thread of its own, with a connection that it opens again until it stands.

mod address;
mod batch;
mod connection;
mod consumer;
mod inlet;
mod jetstream;
mod link;
mod login;
mod nkey;
mod outgoing;
mod outlet;
mod position;
mod servers;
mod setup;
mod spool_reader;
mod subject;
mod wire;

pub(crate) use address::{NatsAddress, is_name, is_nats};
pub(crate) use batch::MEASUREMENTS_MAX as BATCH_MESSAGES_MAX;
#[cfg(feature = "fuzzing")]
pub(crate) use batch::exercise as exercise_batch;
pub(crate) use inlet::aside::Aside;
pub(crate) use inlet::{NatsInlet, NatsInletConfig};
pub(crate) use link::Link;
pub use link::{NatsLink, NatsSide, NatsSiteLink};
pub use login::NatsConfig;
pub(crate) use outgoing::Outgoing;
pub(crate) use outlet::NatsOutlet;
pub(crate) use outlet::listed::CONSUMERS_MAX;
pub(crate) use position::{PositionKeys, SPOOL_ID_DIGITS};
pub use setup::{ConsumerBegin, NatsReport, NatsSetup, NatsSite, StreamLimits};
pub use spool_reader::{SpoolConsumer, SpoolReader};

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a server may take to answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// What failed is tried again after so long.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How often a thread looks whether to stop.
const STOP_POLL: Duration = Duration::from_millis(20);

/// Runs `work` on this thread until it ends, or until `grace` after it was requested to stop.
fn run(stop: &AtomicBool, grace: Duration, work: impl Future<Output = ()>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the connection to NATS");
            return;
        }
    };
    runtime.block_on(async {
        let stopped = async {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(STOP_POLL).await;
            }
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            () = work => {}
            () = stopped => {}
        }
    });
    // A name that is being resolved keeps nobody.
    runtime.shutdown_background();
}
