//! SNMP: PDUs and whatever else reports its watts in a MIB.
//!
//! One UDP socket serves all agents of the process. A round requests all outlets of a PDU in as few requests as its
//! agent takes: two for 24 outlets, usually. What a family of PDUs reports where is data (`snmp/profiles/*.toml`).
//!
//! Sources: RFC 1157 (v1), RFC 3416 (v2c), RFC 3414, 3826 and 7860 (v3); each profile names its MIB.

mod agent;
mod config;
mod failure;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod interpret;
mod known;
mod open;
mod pace;
mod plan;
mod profile;
mod record;
mod shared;
mod value;
mod walk;

pub use config::{SnmpConfig, SnmpVersion};
pub use profile::{Field, Profile, ProfileCatalogue, ProfileError, ProfileKind, Section};
pub use record::record;
pub use shared::SnmpShared;
pub use value::ObjectValue;
pub use walk::{Evaluated, Walk, evaluate, parse_snmprec};

use std::sync::Arc;

use async_snmp::{Oid, oid};
use kwapi_core::{NoReading, Reading};
use tokio::time::Instant;

use crate::config::{ConfigError, DriverKey};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;

use agent::Agent;
use interpret::ColumnValues;
use open::Plan;
use pace::AgentPace;

/// sysUpTime.0: hundredths of a second since the agent started (RFC 3418).
fn sys_up_time() -> Oid {
    oid!(1, 3, 6, 1, 2, 1, 1, 3, 0)
}

/// One PDU.
#[derive(Debug)]
pub struct Snmp {
    config: SnmpConfig,
    outlets: Outlets,
    catalogue: ProfileCatalogue,
    shared: Arc<SnmpShared>,
    agent: Agent,
    plan: Plan,
    /// The objects of every round: sysUpTime, each point's, and those that count what the device has.
    round: Vec<Oid>,
    pace: AgentPace,
    up_time: Option<i128>,
    requests_per_round: u64,
}

impl Driver for Snmp {
    const NAME: &'static str = "snmp";
    const SUMMARY: &'static str = "rack PDUs and UPSes (APC, Raritan, Eaton, ServerTech, Vertiv, CyberPower, Enlogic, HPE, UPS-MIB, …) and raw OIDs over SNMP v1, v2c and v3";
    const KEYS: &'static [DriverKey] = SnmpConfig::KEYS;
    type Config = SnmpConfig;
    type Shared = SnmpShared;

    fn check(config: &SnmpConfig) -> Result<(), ConfigError> {
        config.check()?;
        let catalogue = open::catalogue(config)?;
        if config.profile == "auto" {
            return Ok(());
        }
        open::named(config, &catalogue).map(drop)
    }

    fn check_outlets(config: &SnmpConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        open::check_outlets(config, outlets)
    }

    fn definitions(config: &SnmpConfig) -> Result<String, ConfigError> {
        let catalogue = open::catalogue(config)?;
        if config.profile == "auto" {
            return Ok(format!("{:?}", catalogue.iter().collect::<Vec<_>>()));
        }
        open::named(config, &catalogue).map(|profile| format!("{profile:?}"))
    }

    async fn open(
        config: &SnmpConfig,
        outlets: &Outlets,
        shared: &Arc<SnmpShared>,
    ) -> Result<Self, DriverError> {
        config.check()?;
        let catalogue = open::catalogue(config)?;
        let (agent, plan) = open::open(config, outlets, &catalogue, shared).await?;
        let mut driver = Self {
            config: config.clone(),
            outlets: outlets.clone(),
            catalogue,
            shared: Arc::clone(shared),
            agent,
            plan: Plan::default(),
            round: Vec::new(),
            pace: AgentPace::new(Instant::now()),
            up_time: None,
            requests_per_round: 0,
        };
        driver.adopt(plan);
        Ok(driver)
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        if self.pace.listing_is_due(Instant::now(), self.outlets.selects_all()) {
            self.look_again().await?;
        }
        let is_first = self.pace.slow_columns_are_unread();
        if self.pace.slow_columns_are_due(Instant::now()) {
            self.read_slow_columns().await?;
        }
        let requests_before = self.agent.requests();
        let values = if is_first {
            self.agent.get_cautiously(&self.round).await?
        } else {
            self.agent.get(&self.round).await?
        };
        self.requests_per_round = self.agent.requests() - requests_before;

        let mut values = values.into_iter();
        let up_time = values.next().and_then(|value| value.integer());
        let rows: Vec<ColumnValues> = self
            .plan
            .points
            .iter()
            .map(|point| {
                let fields = point.oids(false).map(|(field, _)| *field);
                fields.map(|field| (field, values.next().unwrap_or(ObjectValue::Failed))).collect()
            })
            .collect();
        let mut counts = self.plan.counts.iter().zip(values);
        let has_changed = counts.any(|((_, before), now)| now != ObjectValue::Failed && now != *before);

        let mut results = self.interpret(&rows);
        let has_rebooted = matches!((self.up_time, up_time), (Some(before), Some(now)) if now < before);
        if !is_first && (has_rebooted || self.counter_fell(&results) || self.one_is_back(&results)) {
            // A reset stamp, a scale or an outlet's name may have changed with it, or was not there: this round must not
            // be read by the old ones.
            self.read_slow_columns().await?;
            results = self.interpret(&rows);
        }
        self.up_time = up_time;
        let unreadable = results.iter().filter(|result| result.is_err()).count();
        self.pace.round(up_time, has_rebooted, has_changed, unreadable, results.len());
        let now = Instant::now();
        for (point, result) in self.plan.points.iter_mut().zip(results) {
            let counter = result.as_ref().ok().and_then(|reading| reading.counter);
            point.counter = counter.map(|counter| counter.value).or(point.counter);
            point.is_missing = !open::is_reported(&result);
            let result = match (result, point.seen_at) {
                (Err(NoReading::NoSuchOutlet(_)), Some(seen_at)) => {
                    let since = open::ago(now, seen_at);
                    Err(NoReading::NoSuchOutlet(format!("missing from the agent's table for {since}")))
                }
                (result, _) => {
                    if open::is_reported(&result) {
                        point.seen_at = Some(now);
                    }
                    let register = point.register.as_ref();
                    result.map(|reading| Reading {
                        register: reading.counter.and(register.cloned()),
                        ..reading
                    })
                }
            };
            readings.push(&point.probe, result);
        }
        for (probe, why) in &self.plan.gone {
            readings.push(probe, Err(NoReading::NoSuchOutlet(why.clone())));
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = self.plan.findings.clone();
        findings.push(Finding {
            what: "requests".to_owned(),
            value: format!("{} per round for {} objects", self.requests_per_round, self.round.len()),
            is_used: true,
            why: format!("at most {} objects per request", self.agent.max_varbinds()),
        });
        findings
    }
}

impl Snmp {
    /// Lists again what the device has. What it cannot report now is kept as it was, and requested again later.
    async fn look_again(&mut self) -> Result<(), DriverError> {
        self.remember();
        let Self { config, outlets, catalogue, agent, shared, .. } = self;
        agent.forget_absent();
        let before: Vec<_> = self.plan.points.iter().map(|point| point.probe.clone()).collect();
        match open::look_again(config, outlets, catalogue, agent, shared).await {
            Ok(plan) => self.adopt(plan),
            Err(error @ DriverError::Link(_)) => return Err(error),
            Err(error) => {
                tracing::debug!(host = config.host, %error, "cannot list outlets again; keeping the known ones");
                self.pace.listed(Instant::now());
                return Ok(());
            }
        }
        let after = self.plan.points.iter().map(|point| &point.probe);
        let found = after.clone().filter(|probe| !before.contains(probe)).count();
        let lost = before.iter().filter(|before| !after.clone().any(|probe| probe == *before)).count();
        if found + lost > 0 {
            tracing::info!(
                host = self.config.host,
                found,
                lost,
                "the list of outlets has changed on the device"
            );
        }
        Ok(())
    }

    /// Reads by this plan from now on.
    fn adopt(&mut self, mut plan: Plan) {
        for point in &mut plan.points {
            point.resume(&self.plan.points);
        }
        let fast = plan.points.iter().flat_map(|point| point.oids(false)).map(|(_, oid)| oid.clone());
        let counts = plan.counts.iter().map(|(count, _)| count.clone());
        self.round = std::iter::once(sys_up_time()).chain(fast).chain(counts).collect();
        self.plan = plan;
        self.pace.listed(Instant::now());
    }

    /// Leaves for later sessions when each row last reported something.
    fn remember(&self) {
        if let Some(meter) = &self.plan.known_as {
            let rows = self.plan.points.iter().map(|point| (point.index.as_slice(), point.seen_at));
            self.shared.seen(meter, rows);
        }
    }

    async fn read_slow_columns(&mut self) -> Result<(), DriverError> {
        self.agent.forget_absent();
        let points = &mut self.plan.points;
        let oids: Vec<Oid> =
            points.iter().flat_map(|point| point.oids(true)).map(|(_, oid)| oid.clone()).collect();
        let mut values = self.agent.get_cautiously(&oids).await?.into_iter();
        for point in points {
            let fields: Vec<_> = point.oids(true).map(|(field, _)| *field).collect();
            let row = fields.into_iter().map(|field| (field, values.next().unwrap_or(ObjectValue::Failed)));
            point.slow = row.collect();
        }
        self.pace.slow_columns_read(Instant::now());
        Ok(())
    }

    fn interpret(&self, rows: &[ColumnValues]) -> Vec<Result<Reading, NoReading>> {
        let points = self.plan.points.iter().zip(rows);
        points
            .map(|(point, fast)| {
                let row: ColumnValues = fast.iter().chain(&point.slow).cloned().collect();
                interpret::reading(&point.section, &row)
            })
            .collect()
    }

    /// Whether the device has a row again that it did not have.
    fn one_is_back(&self, results: &[Result<Reading, NoReading>]) -> bool {
        let mut points = self.plan.points.iter().zip(results);
        points.any(|(point, result)| point.is_missing && open::is_reported(result))
    }

    fn counter_fell(&self, results: &[Result<Reading, NoReading>]) -> bool {
        self.plan.points.iter().zip(results).any(|(point, result)| {
            let now = result.as_ref().ok().and_then(|reading| reading.counter).map(|counter| counter.value);
            matches!((point.counter, now), (Some(before), Some(now)) if now < before)
        })
    }
}

impl Drop for Snmp {
    fn drop(&mut self) {
        self.remember();
    }
}

#[cfg(test)]
mod tests;
