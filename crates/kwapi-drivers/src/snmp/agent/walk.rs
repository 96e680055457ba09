//! Listing what lies below an object, of agents that cannot do what they should.
//!
//! GETBULK fails in many ways: some agents answer it with an error, some not at all above a number of rows
//! (`prometheus/snmp_exporter` issues 13, 31 and 1080). What one did not take is requested by GETNEXT, and for fewer
//! rows after.

use async_snmp::{ErrorKind, Oid, VarBind};

use crate::driver::DriverError;

use super::super::config::SnmpVersion;
use super::super::value::ObjectValue;
use super::{Agent, Failure};

/// An agent that failed so many rows at once is queried for the fourth part, and below two by GETNEXT: two failures of
/// two seconds each until it is read, not five.
const FEWER: u32 = 4;

/// What lies below an object.
#[derive(Debug, Default)]
pub(in crate::snmp) struct Walked {
    /// In order.
    pub rows: Vec<(Oid, ObjectValue)>,
    /// There were more than wanted; these are the first.
    pub is_cut: bool,
}

impl Agent {
    /// At most `limit` objects below `root`, in order. An agent that goes back or round in circles is read up to there.
    pub(in crate::snmp) async fn walk(
        &mut self,
        root: &Oid,
        max_repetitions: u32,
        limit: usize,
    ) -> Result<Walked, DriverError> {
        let mut walked = Walked::default();
        let mut last = root.clone();
        loop {
            let answer = match self.objects_after(&last, max_repetitions).await {
                Ok(answer) => answer,
                Err(Failure::Silence(error) | Failure::Error(error)) => {
                    return Err(self.failed(&format!("walk of {root}"), &error));
                }
            };
            if answer.is_empty() {
                return Ok(walked);
            }
            for VarBind { oid, value } in answer {
                if !oid.starts_with(root) || value.is_exception() {
                    return Ok(walked);
                }
                if oid <= last {
                    let agent = &self.context.address;
                    tracing::warn!(%agent, %root, %oid, "OID not increasing; walk stopped");
                    return Ok(walked);
                }
                if walked.rows.len() >= limit {
                    walked.is_cut = true;
                    return Ok(walked);
                }
                last = oid.clone();
                walked.rows.push((oid, ObjectValue::from_wire(&value)));
            }
        }
    }

    /// The objects after `last`, as many as the agent gives at once; none at the end.
    async fn objects_after(&mut self, last: &Oid, max_repetitions: u32) -> Result<Vec<VarBind>, Failure> {
        let repetitions = self.max_repetitions.unwrap_or(max_repetitions).min(max_repetitions);
        if repetitions <= 1 || self.config.version() == SnmpVersion::V1 {
            return self.object_after(last).await;
        }
        let sent = self.before().await;
        let answer = self.client.0.get_bulk(std::slice::from_ref(last), 0, repetitions).await;
        self.after(sent, answer.as_ref().err().map(|error| &**error)).await;
        match answer {
            Ok(answer) if !answer.is_empty() => return Ok(answer),
            Ok(_) => {}
            Err(error) => match error.kind() {
                ErrorKind::Timeout | ErrorKind::Snmp | ErrorKind::Decode | ErrorKind::MalformedResponse => {}
                _ => return Err(Failure::Error(error)),
            },
        }
        // Whether it is GETBULK that it does not take, or nothing at all.
        let next = self.object_after(last).await?;
        let fewer = (repetitions / FEWER).max(1);
        self.max_repetitions = Some(fewer);
        let agent = &self.context.address;
        self.shared.learn(agent, |learned| learned.repetitions = Some(fewer));
        tracing::info!(%agent, rows = repetitions, fewer, "the agent rejects large GETBULK requests; requesting fewer rows at once");
        Ok(next)
    }

    async fn object_after(&mut self, last: &Oid) -> Result<Vec<VarBind>, Failure> {
        let sent = self.before().await;
        let answer = self.client.0.get_next(last).await;
        self.after(sent, answer.as_ref().err().map(|error| &**error)).await;
        match answer {
            Ok(answer) => Ok(answer.varbinds.into_iter().take(1).collect()),
            // The end of an SNMP v1 agent's objects, or one that it cannot report.
            Err(error) if Self::is_one_objects(&error) => Ok(Vec::new()),
            Err(error) => Err(Failure::of(error)),
        }
    }
}
