//! `driver = "ipmi"`: the power a server's management card measures.
//!
//! Supports IPMI 2.0 (RMCP+, cipher suites 17 and 3), and 1.5 where a card supports nothing newer. The watts come from
//! DCMI Get Power Reading, else from the sensors of power in the card's SDR repository, else from Intel Node Manager
//! behind it. One meter has one outlet, the machine.
//!
//! Sources: *IPMI Specification, Second Generation*, v2.0 rev. 1.1, and *Data Center Management Interface* v1.5 rev. 1.0.

mod catalogue;
mod choice;
mod completion;
mod config;
mod crypto;
mod dcmi;
mod findings;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod handshake;
mod legacy;
mod link;
mod message;
mod node_manager;
mod opening;
mod outside;
mod packet;
mod rakp;
mod reader;
mod repository;
mod routes;
mod sdr;
mod sensors;
mod session;
mod shared;
mod source;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Quality, Reading, Watts};
use tokio::time::Instant;

pub use self::config::{IpmiConfig, IpmiVersion, LegacyAuthentication, Privilege, SensorNames, SourceWanted};
use self::dcmi::Freshness;
use self::link::Failure;
use self::session::RmcpSession;
pub use self::shared::IpmiShared;
use self::source::{FoundSource, IpmiSource};
use crate::config::{ConfigError, DriverKey};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::last_value::LastValue;
use crate::outlets::Outlets;

/// While there are no watts, or 0 W of a card that is on, other sources are looked for so often; and so often while there
/// are some, but not of the best source.
const LOOK_MISSING: Duration = Duration::from_secs(60);
const LOOK_BETTER: Duration = Duration::from_secs(600);

/// A session with one card, and where its watts come from.
#[derive(Debug)]
pub struct Ipmi {
    session: RmcpSession,
    /// Where the watts come from, and the reasons for it.
    found: FoundSource,
    /// When that was looked for.
    looked: Instant,
    probe: ProbeId,
    freshness: Freshness,
    last_value: LastValue,
    config: IpmiConfig,
    shared: Arc<IpmiShared>,
}

impl Driver for Ipmi {
    const NAME: &'static str = "ipmi";
    const SUMMARY: &'static str = "server BMCs (iDRAC, iLO, XCC, …) over IPMI 2.0 or 1.5 on UDP";
    const KEYS: &'static [DriverKey] = IpmiConfig::KEYS;
    type Config = IpmiConfig;
    type Shared = IpmiShared;

    fn check(config: &IpmiConfig) -> Result<(), ConfigError> {
        config.check()
    }

    fn check_outlets(_: &IpmiConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        outlets.only().map(drop)
    }

    async fn open(
        config: &IpmiConfig,
        outlets: &Outlets,
        shared: &Arc<IpmiShared>,
    ) -> Result<Self, DriverError> {
        config.check()?;
        let probe = outlets.only()?;
        let card = resolve(config).await?;
        // Boxed: opening needs ten times the memory of reading, and only for a moment.
        Box::pin(Self::open_card(card, config, probe, shared)).await
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        if self.session.is_expired() {
            let card = self.session.link.card;
            self.session = Box::pin(opening::open(card, &self.config, &self.shared)).await?;
        }
        let reading = self.read_source().await?;
        let reading = Box::pin(self.reconsider(reading)).await?;
        readings.push(&self.probe, self.last_value.noted(reading));
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let memory = self.shared.memory(self.session.link.card);
        let catalogue = memory.lock().catalogue.clone();
        findings::of(&self.found, &catalogue, self.config.source)
    }
}

async fn resolve(config: &IpmiConfig) -> Result<SocketAddr, DriverError> {
    let mut addresses = tokio::net::lookup_host((config.host.as_str(), config.port))
        .await
        .map_err(|error| DriverError::link(format!("{}: cannot resolve host name: {error}", config.host)))?;
    addresses.next().ok_or_else(|| DriverError::link(format!("{}: host name has no address", config.host)))
}

impl Ipmi {
    async fn open_card(
        card: SocketAddr,
        config: &IpmiConfig,
        probe: ProbeId,
        shared: &Arc<IpmiShared>,
    ) -> Result<Self, DriverError> {
        let mut session = opening::open(card, config, shared).await?;
        let found = source::find(&mut session, config, shared, None).await?;
        Ok(Self {
            session,
            found,
            looked: Instant::now(),
            probe,
            freshness: Freshness::default(),
            last_value: LastValue::default(),
            config: config.clone(),
            shared: Arc::clone(shared),
        })
    }

    async fn read_source(&mut self) -> Result<Result<Reading, NoReading>, DriverError> {
        let response = match &self.found.source {
            IpmiSource::Sensors(choice) => {
                return sensors::read(&mut self.session, choice, &self.shared).await;
            }
            IpmiSource::Dcmi => source::query_dcmi(&mut self.session).await,
            IpmiSource::NodeManager(channel) => node_manager::query(&mut self.session, *channel).await,
        };
        let card = self.session.link.card;
        let power = match response {
            Ok(power) => power,
            Err(Failure::Completed { what, code }) => return link::no_reading(card, what, code),
            Err(failure) => return Err(failure.of(card, link::SILENT)),
        };
        if let Some(still) = self.freshness.observe(power, Instant::now().into_std()) {
            return Ok(Err(NoReading::Stale(format!(
                "the BMC has repeated the same reading for {} s",
                still.as_secs()
            ))));
        }
        Ok(power.reading())
    }

    /// Looks for another source where this one has no watts, or 0 W, which no machine draws whose card answers; and from
    /// time to time for a better one. What the configuration names is left as it is.
    async fn reconsider(
        &mut self,
        reading: Result<Reading, NoReading>,
    ) -> Result<Result<Reading, NoReading>, DriverError> {
        let is_missing = match &reading {
            Ok(reading) => reading.power == Some(Watts(0.0)),
            Err(_) => true,
        };
        let is_best = !is_missing && matches!(self.found.source, IpmiSource::Dcmi);
        let is_fixed = matches!(self.config.source, SourceWanted::Dcmi | SourceWanted::NodeManager)
            || self.config.sensor.is_some();
        if is_best || is_fixed {
            return Ok(reading);
        }
        let look_again = self.looked + if is_missing { LOOK_MISSING } else { LOOK_BETTER };
        if Instant::now() < look_again {
            return Ok(self.doubted(reading));
        }
        self.looked = Instant::now();
        match source::find(&mut self.session, &self.config, &self.shared, Some(self.found.dcmi)).await {
            Ok(found) => self.found = found,
            Err(error @ DriverError::Link(_)) => return Err(error),
            // What there was is still the best.
            Err(_) => return Ok(self.doubted(reading)),
        }
        let reading = self.read_source().await?;
        Ok(self.doubted(reading))
    }

    /// 0 W that no second source confirms are an estimate.
    fn doubted(&self, reading: Result<Reading, NoReading>) -> Result<Reading, NoReading> {
        match reading {
            Ok(reading) if reading.power == Some(Watts(0.0)) && !self.found.is_zero_confirmed => {
                Ok(Reading { quality: Quality::Estimated, ..reading })
            }
            reading => reading,
        }
    }
}

#[cfg(test)]
mod tests;
