//! One agent: asks for many objects in few requests, and learns what it can take.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_snmp::{Client, Error, ErrorStatus, Oid, UdpHandle, WalkOptions};

use crate::driver::DriverError;

use super::config::Config;
use super::failure::Asked;
use super::shared::{Shared, Trust};
use super::value::Value;

/// More rows than this in one walk are no PDU; the rest is not read.
const WALK_ROWS_MAX: usize = 20_000;

/// How many tables are looked for in one request: of an unknown agent, less is asked at once.
const TABLES_AT_ONCE: usize = 10;

/// A session with one agent.
#[derive(Debug)]
pub(super) struct Agent {
    client: ClientOf,
    asked: Asked,
    shared: Arc<Shared>,
    max_varbinds: usize,
    /// Objects the agent said it does not have, in the one way SNMP v1 can: by failing the whole request. Asked again
    /// by [`Agent::forget_absent`]. Holds at most the objects of this meter.
    absent: HashSet<Oid>,
    requests: u64,
}

/// The library's client has no `Debug`.
struct ClientOf(Client<UdpHandle>);

impl std::fmt::Debug for ClientOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// Why a request failed, before it is put into an operator's words.
enum Failure {
    /// No answer at all.
    Silence(Box<Error>),
    /// Anything else.
    Error(Box<Error>),
}

impl Agent {
    pub(super) async fn open(
        config: &Config,
        shared: &Arc<Shared>,
        max_varbinds: usize,
    ) -> Result<Self, DriverError> {
        let client = shared.client(config, Trust::Signed).await?;
        let asked = Asked::of(config);
        let max_varbinds = shared.learned_varbinds(&asked.address).unwrap_or(max_varbinds).max(1);
        Ok(Self {
            client: ClientOf(client),
            asked,
            shared: Arc::clone(shared),
            max_varbinds,
            absent: HashSet::new(),
            requests: 0,
        })
    }

    /// As [`Agent::open`], but believes reports without a signature: to tell why there is no answer.
    pub(super) async fn open_trusting(config: &Config, shared: &Arc<Shared>) -> Result<Self, DriverError> {
        let agent = Self::open(config, shared, 1).await?;
        Ok(Self { client: ClientOf(shared.client(config, Trust::Reports).await?), ..agent })
    }

    /// The most objects it is asked for at once.
    pub(super) fn max_varbinds(&self) -> usize {
        self.max_varbinds
    }

    /// Lowers that (the profile knows better).
    pub(super) fn limit_varbinds(&mut self, max_varbinds: usize) {
        self.max_varbinds = self.max_varbinds.min(max_varbinds).max(1);
    }

    /// Requests answered so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Asks again for objects that were not there: a row may have come.
    pub(super) fn forget_absent(&mut self) {
        self.absent.clear();
    }

    /// Reads objects; the values stand where their OIDs did.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense. One object that is missing or fails is a [`Value`].
    pub(super) async fn get(&mut self, oids: &[Oid]) -> Result<Vec<Value>, DriverError> {
        let values = self.get_all(oids).await;
        self.explain(oids.len(), values).await
    }

    /// Reads objects as [`Agent::get`], of an agent that may be silent to many at once because they outgrow it. It is
    /// then asked for fewer, as long as it answers to one; what was learned is kept for the process.
    pub(super) async fn get_cautiously(&mut self, oids: &[Oid]) -> Result<Vec<Value>, DriverError> {
        let max_varbinds_before = self.max_varbinds;
        loop {
            let values = self.get_all(oids).await;
            if let Err(Failure::Silence(_)) = &values
                && let Some(one) = oids.get(..1)
                && self.max_varbinds.min(oids.len()) > 1
                && self.get_all(one).await.is_ok()
            {
                self.max_varbinds = self.max_varbinds.min(oids.len()) / 2;
                continue;
            }
            if self.max_varbinds < max_varbinds_before {
                self.learn(self.max_varbinds);
            }
            return self.explain(oids.len(), values).await;
        }
    }

    async fn explain<T>(&self, count: usize, result: Result<T, Failure>) -> Result<T, DriverError> {
        match result {
            Ok(values) => Ok(values),
            Err(Failure::Silence(error) | Failure::Error(error)) => {
                if Shared::is_socket_gone(&error) {
                    self.shared.forget_socket().await;
                }
                let objects = if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
                Err(self.asked.failed(&objects, &error))
            }
        }
    }

    fn learn(&mut self, max_varbinds: usize) {
        self.max_varbinds = max_varbinds.max(1);
        self.shared.learn_varbinds(&self.asked.address, self.max_varbinds);
        let (agent, most) = (&self.asked.address, self.max_varbinds);
        tracing::info!(%agent, most, "the agent takes fewer objects at once than asked for");
    }

    async fn get_all(&mut self, oids: &[Oid]) -> Result<Vec<Value>, Failure> {
        let mut values = vec![Value::Absent; oids.len()];
        let wanted: Vec<usize> = (0..oids.len())
            .filter(|place| oids.get(*place).is_some_and(|oid| !self.absent.contains(oid)))
            .collect();
        let mut rest = wanted.as_slice();
        while !rest.is_empty() {
            // What was learned from one request holds for the next.
            let (places, after) = rest.split_at_checked(self.max_varbinds).unwrap_or((rest, &[]));
            self.get_some(oids, places.to_vec(), &mut values).await?;
            rest = after;
        }
        Ok(values)
    }

    /// One request's worth. Ends: each turn of the loop answers, gives up or halves at least one object.
    async fn get_some(
        &mut self,
        oids: &[Oid],
        places: Vec<usize>,
        values: &mut [Value],
    ) -> Result<(), Failure> {
        let mut waiting = vec![places];
        while let Some(places) = waiting.pop() {
            let request: Vec<Oid> = places.iter().filter_map(|place| oids.get(*place).cloned()).collect();
            let mut chunks = self.client.0.get_many_chunks(&request).map_err(Failure::Error)?;
            while let Some(chunk) = chunks.next().await {
                let error = match chunk {
                    Ok(chunk) => {
                        self.requests += 1;
                        if chunk.request_range.len() < request.len() {
                            // The library halved a request that the agent called too big.
                            self.learn(self.max_varbinds.min(chunk.request_range.len()));
                        }
                        let asked = places.get(chunk.request_range).unwrap_or_default();
                        take(oids, asked, &chunk.response.varbinds, values);
                        continue;
                    }
                    Err(error) => error,
                };
                let failed = places.get(error.failed_request_range.clone()).unwrap_or_default().to_vec();
                let after = places.get(error.failed_request_range.end..).unwrap_or_default();
                let Error::Snmp { status, index, .. } = error.source.exchange_source() else {
                    return Err(match error.source.kind() {
                        async_snmp::ErrorKind::Timeout => Failure::Silence(error.source),
                        _ => Failure::Error(error.source),
                    });
                };
                if !matches!(status, ErrorStatus::NoSuchName | ErrorStatus::GenErr | ErrorStatus::TooBig) {
                    return Err(Failure::Error(error.source));
                }
                self.requests += 1;
                if !after.is_empty() {
                    waiting.push(after.to_vec());
                }
                let is_absent = *status == ErrorStatus::NoSuchName;
                self.set_aside(oids, failed, *index, is_absent, values, &mut waiting);
            }
        }
        Ok(())
    }

    /// A request failed for one object's sake: gives that one up and asks for the others again.
    fn set_aside(
        &mut self,
        oids: &[Oid],
        mut failed: Vec<usize>,
        index: u32,
        is_absent: bool,
        values: &mut [Value],
        waiting: &mut Vec<Vec<usize>>,
    ) {
        let culprit = match usize::try_from(index).ok().and_then(|index| index.checked_sub(1)) {
            Some(culprit) if culprit < failed.len() => culprit,
            _ if failed.len() == 1 => 0,
            _ => {
                // The agent does not say which: find out by halves.
                let second = failed.split_off(failed.len() / 2);
                waiting.extend([second, failed].into_iter().filter(|half| !half.is_empty()));
                return;
            }
        };
        let place = failed.remove(culprit);
        if let Some(value) = values.get_mut(place) {
            *value = if is_absent { Value::Absent } else { Value::Failed };
        }
        if is_absent && let Some(oid) = oids.get(place) {
            self.absent.insert(oid.clone());
        }
        if !failed.is_empty() {
            waiting.push(failed);
        }
    }

    /// Which of these subtrees have anything in them: one request for all.
    pub(super) async fn present(&mut self, subtrees: &[Oid]) -> Result<Vec<bool>, DriverError> {
        let mut present = vec![false; subtrees.len()];
        let places: Vec<usize> = (0..subtrees.len()).collect();
        let mut waiting: Vec<Vec<usize>> =
            places.chunks(self.max_varbinds.min(TABLES_AT_ONCE)).map(<[usize]>::to_vec).collect();
        while let Some(places) = waiting.pop() {
            let request: Vec<Oid> = places.iter().filter_map(|place| subtrees.get(*place).cloned()).collect();
            let mut chunks = self
                .client
                .0
                .get_next_many_chunks(&request)
                .map_err(|error| self.asked.failed("its tables", &error))?;
            while let Some(chunk) = chunks.next().await {
                match chunk {
                    Ok(chunk) => {
                        let asked = places.get(chunk.request_range).unwrap_or_default();
                        for place in asked {
                            if let (Some(subtree), Some(found)) =
                                (subtrees.get(*place), present.get_mut(*place))
                            {
                                *found = chunk.response.varbinds.iter().any(|varbind| {
                                    varbind.oid.starts_with(subtree) && !varbind.value.is_exception()
                                });
                            }
                        }
                    }
                    Err(error) => {
                        let mut failed =
                            places.get(error.failed_request_range.clone()).unwrap_or_default().to_vec();
                        match error.source.exchange_source() {
                            // The end of an SNMP v1 agent's objects.
                            Error::Snmp { status: ErrorStatus::NoSuchName, .. } if failed.len() == 1 => {}
                            Error::Snmp { .. } if failed.len() > 1 => {
                                let second = failed.split_off(failed.len() / 2);
                                waiting.extend([failed, second]);
                                waiting.extend(
                                    places.get(error.failed_request_range.end..).map(<[usize]>::to_vec),
                                );
                            }
                            _ => {
                                return self.explain(subtrees.len(), Err(Failure::Error(error.source))).await;
                            }
                        }
                    }
                }
            }
        }
        Ok(present)
    }

    /// All objects below `root`, in order.
    pub(super) async fn walk(
        &mut self,
        root: &Oid,
        max_repetitions: u32,
    ) -> Result<Vec<(Oid, Value)>, DriverError> {
        let options =
            WalkOptions { max_repetitions, result_limit: Some(WALK_ROWS_MAX), ..WalkOptions::default() };
        let what = format!("what is below {root}");
        let mut stream = self
            .client
            .0
            .walk_with(root.clone(), options)
            .map_err(|error| self.asked.failed(&what, &error))?;
        let mut rows = Vec::new();
        while let Some(varbind) = stream.next().await {
            match varbind {
                Ok(varbind) => rows.push((varbind.oid, Value::from_wire(&varbind.value))),
                Err(error) => {
                    return match error.exchange_source() {
                        Error::WalkAborted { .. } if rows.len() >= WALK_ROWS_MAX => {
                            let agent = &self.asked.address;
                            tracing::warn!(%agent, %root, rows = rows.len(), "more rows than that are not walked");
                            Ok(rows)
                        }
                        _ => Err(self.asked.failed(&what, &error)),
                    };
                }
            }
        }
        Ok(rows)
    }
}

/// Puts an answer's values where they were asked for: by OID, never by the order of the answer.
fn take(oids: &[Oid], places: &[usize], varbinds: &[async_snmp::VarBind], values: &mut [Value]) {
    let in_order = places.len() == varbinds.len()
        && places.iter().zip(varbinds).all(|(place, varbind)| oids.get(*place) == Some(&varbind.oid));
    if in_order {
        for (place, varbind) in places.iter().zip(varbinds) {
            if let Some(value) = values.get_mut(*place) {
                *value = Value::from_wire(&varbind.value);
            }
        }
        return;
    }
    let answered: HashMap<&Oid, &async_snmp::Value> =
        varbinds.iter().map(|varbind| (&varbind.oid, &varbind.value)).collect();
    for place in places {
        if let (Some(value), Some(oid)) = (values.get_mut(*place), oids.get(*place)) {
            *value = answered.get(oid).map_or(Value::Failed, |answer| Value::from_wire(answer));
        }
    }
}

#[cfg(test)]
mod tests;
