//! SNMP: PDUs and whatever else says its watts in a MIB.
//!
//! One UDP socket serves all agents of the process. A round asks for all outlets of a PDU in as few requests as its
//! agent takes: two for 24 outlets, usually. What a family of PDUs says where is data (`snmp/profiles/*.toml`).
//!
//! Sources: RFC 1157 (v1), RFC 3416 (v2c), RFC 3414, 3826 and 7860 (v3); each profile names its MIB.

mod agent;
mod config;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod interpret;
mod open;
mod plan;
mod profile;
mod record;
mod shared;
mod value;
mod walk;

pub use config::{Config, Version};
pub use plan::parse_key;
pub use profile::{Catalogue, Field, Kind, Profile, ProfileError, Section, parse_oid};
pub use record::record;
pub use shared::Shared;
pub use value::Value;
pub use walk::{Evaluated, Walk, evaluate, parse_snmprec, to_snmprec};

use std::sync::Arc;
use std::time::Duration;

use async_snmp::{Oid, oid};
use kwapi_core::{Energy, Reading};
use tokio::time::Instant;

use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;

use agent::Agent;
use interpret::Row;
use plan::Point;

/// Scales, labels and reset stamps are read again after this long, and at once after a reboot or when a counter falls.
const SLOW_COLUMNS_INTERVAL: Duration = Duration::from_secs(300);

/// sysUpTime.0: hundredths of a second since the agent started (RFC 3418).
fn sys_up_time() -> Oid {
    oid!(1, 3, 6, 1, 2, 1, 1, 3, 0)
}

/// One PDU.
#[derive(Debug)]
pub struct Snmp {
    agent: Agent,
    points: Vec<Point>,
    /// The objects of every round: sysUpTime, then each point's.
    round: Vec<Oid>,
    /// Each point's scales, label and reset stamp.
    slow: Vec<Row>,
    slow_read_at: Option<Instant>,
    up_time: Option<i128>,
    counters: Vec<Option<Energy>>,
    findings: Vec<Finding>,
    requests_per_round: u64,
}

impl Driver for Snmp {
    const NAME: &'static str = "snmp";
    const SUMMARY: &'static str = "rack PDUs (APC, Raritan, Eaton, ServerTech, Vertiv, CyberPower, Enlogic, HPE, …) and raw OIDs over SNMP v1, v2c and v3";
    type Config = Config;
    type Shared = Shared;

    fn check(config: &Config) -> Result<(), String> {
        config.check()?;
        let catalogue = open::catalogue(config).map_err(DriverError::into_message)?;
        if config.profile == "auto" {
            return Ok(());
        }
        open::named(config, &catalogue).map(drop).map_err(DriverError::into_message)
    }

    fn check_outlets(config: &Config, outlets: &Outlets) -> Result<(), String> {
        open::check_outlets(config, outlets).map_err(DriverError::into_message)
    }

    async fn open(config: &Config, outlets: &Outlets, shared: &Arc<Shared>) -> Result<Self, DriverError> {
        let open::Opened { agent, points, findings } = open::open(config, outlets, shared).await?;
        let fast = points.iter().flat_map(|point| point.oids(false)).map(|(_, oid)| oid.clone());
        let round = std::iter::once(sys_up_time()).chain(fast).collect();
        let counters = vec![None; points.len()];
        Ok(Self {
            agent,
            points,
            round,
            slow: Vec::new(),
            slow_read_at: None,
            up_time: None,
            counters,
            findings,
            requests_per_round: 0,
        })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let is_first = self.slow_read_at.is_none();
        if self.slow_read_at.is_none_or(|at| at.elapsed() >= SLOW_COLUMNS_INTERVAL) {
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
        let rows: Vec<Row> = self
            .points
            .iter()
            .map(|point| {
                let fields = point.oids(false).map(|(field, _)| *field);
                fields.map(|field| (field, values.next().unwrap_or(Value::Failed))).collect()
            })
            .collect();

        let mut results = self.interpret(&rows);
        let has_rebooted = matches!((self.up_time, up_time), (Some(before), Some(now)) if now < before);
        if !is_first && (has_rebooted || self.counter_fell(&results)) {
            // A reset stamp, a scale or an outlet's name may have changed with it: this round must not be read by the
            // old ones.
            self.read_slow_columns().await?;
            results = self.interpret(&rows);
        }
        self.up_time = up_time;
        for ((point, result), counter) in self.points.iter().zip(results).zip(&mut self.counters) {
            *counter = result
                .as_ref()
                .ok()
                .and_then(|reading| reading.counter)
                .map(|counter| counter.value)
                .or(*counter);
            readings.push(&point.probe, result);
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        findings.push(Finding {
            what: "requests".to_owned(),
            value: format!("{} a round for {} objects", self.requests_per_round, self.round.len()),
            is_used: true,
            why: format!("the agent is asked for at most {} objects at once", self.agent.max_varbinds()),
        });
        findings
    }
}

impl Snmp {
    async fn read_slow_columns(&mut self) -> Result<(), DriverError> {
        self.agent.forget_absent();
        let oids: Vec<Oid> =
            self.points.iter().flat_map(|point| point.oids(true)).map(|(_, oid)| oid.clone()).collect();
        let mut values = self.agent.get_cautiously(&oids).await?.into_iter();
        self.slow = self
            .points
            .iter()
            .map(|point| {
                let fields = point.oids(true).map(|(field, _)| *field);
                fields.map(|field| (field, values.next().unwrap_or(Value::Failed))).collect()
            })
            .collect();
        self.slow_read_at = Some(Instant::now());
        Ok(())
    }

    fn interpret(&self, rows: &[Row]) -> Vec<Result<Reading, kwapi_core::NoReading>> {
        let points = self.points.iter().zip(rows).zip(&self.slow);
        points
            .map(|((point, fast), slow)| {
                let row: Row = fast.iter().chain(slow).cloned().collect();
                interpret::reading(&point.section, &row)
            })
            .collect()
    }

    fn counter_fell(&self, results: &[Result<Reading, kwapi_core::NoReading>]) -> bool {
        self.counters.iter().zip(results).any(|(before, result)| {
            let now = result.as_ref().ok().and_then(|reading| reading.counter).map(|counter| counter.value);
            matches!((before, now), (Some(before), Some(now)) if now < *before)
        })
    }
}

#[cfg(test)]
mod tests;
