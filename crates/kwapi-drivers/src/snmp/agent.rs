//! One agent: requests many objects in few requests, and learns what it can take.

mod patience;
mod present;
mod walk;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_snmp::{Client, Error, ErrorKind, ErrorStatus, Oid, UdpHandle};
use tokio::time::Instant;

use crate::driver::DriverError;

use super::config::SnmpConfig;
use super::failure::AgentContext;
use super::shared::{SnmpShared, Trust};
use super::value::ObjectValue;

use patience::Patience;

/// A session with one agent.
#[derive(Debug)]
pub(super) struct Agent {
    client: ClientOf,
    config: SnmpConfig,
    context: AgentContext,
    shared: Arc<SnmpShared>,
    patience: Patience,
    max_varbinds: usize,
    /// The most rows it gave in answer to one GETBULK; `None` until it failed one, 1 for those it takes by GETNEXT.
    max_repetitions: Option<u32>,
    /// Objects the agent reported it does not have, in the one way SNMP v1 can: by failing the whole request. Requested
    /// again by [`Agent::forget_absent`]. Holds at most the objects of this meter.
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

impl Failure {
    fn of(error: Box<Error>) -> Self {
        match error.kind() {
            ErrorKind::Timeout => Self::Silence(error),
            _ => Self::Error(error),
        }
    }
}

/// Whether an error is one that the agent itself sent: it is there, and received our request.
fn is_answer(error: &Error) -> bool {
    matches!(error.exchange_source(), Error::Snmp { .. } | Error::Report { .. })
}

impl Agent {
    pub(super) async fn open(
        config: &SnmpConfig,
        shared: &Arc<SnmpShared>,
        max_varbinds: usize,
    ) -> Result<Self, DriverError> {
        let context = AgentContext::of(config);
        let learned = shared.learned(&context.address);
        let patience = Patience::new(config, learned.is_slow);
        let client = shared.client(config, Trust::Signed, patience.attempts()).await?;
        Ok(Self {
            client: ClientOf(client),
            config: config.clone(),
            context,
            shared: Arc::clone(shared),
            patience,
            max_varbinds: learned.varbinds.unwrap_or(max_varbinds).max(1),
            max_repetitions: learned.repetitions,
            absent: HashSet::new(),
            requests: 0,
        })
    }

    /// As [`Agent::open`], but accepts reports without a signature: to find why there is no answer.
    pub(super) async fn open_trusting(
        config: &SnmpConfig,
        shared: &Arc<SnmpShared>,
    ) -> Result<Self, DriverError> {
        let agent = Self::open(config, shared, 1).await?;
        let client = shared.client(config, Trust::Reports, agent.patience.attempts()).await?;
        Ok(Self { client: ClientOf(client), ..agent })
    }

    /// The most objects it is queried for at once.
    pub(super) fn max_varbinds(&self) -> usize {
        self.max_varbinds
    }

    /// Lowers that (the profile has a lower number).
    pub(super) fn limit_varbinds(&mut self, max_varbinds: usize) {
        self.max_varbinds = self.max_varbinds.min(max_varbinds).max(1);
    }

    /// Requests answered so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests again objects that were not there: a row may have come.
    pub(super) fn forget_absent(&mut self) {
        self.absent.clear();
    }

    /// Reads objects; the values stand where their OIDs did.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense. One object that is missing or fails is a [`ObjectValue`].
    pub(super) async fn get(&mut self, oids: &[Oid]) -> Result<Vec<ObjectValue>, DriverError> {
        let values = self.get_all(oids).await;
        self.explain(oids.len(), values).await
    }

    /// Reads objects as [`Agent::get`], of an agent that may be silent to many at once because they outgrow it. It is
    /// then queried for fewer, as long as it answers to one; what was learned is kept for the process.
    pub(super) async fn get_cautiously(&mut self, oids: &[Oid]) -> Result<Vec<ObjectValue>, DriverError> {
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
                if SnmpShared::is_socket_gone(&error) {
                    self.shared.forget_socket().await;
                }
                let objects = if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
                Err(self.failed(&objects, &error))
            }
        }
    }

    /// An error in an operator's words.
    fn failed(&self, what: &str, error: &Error) -> DriverError {
        self.context.failed(what, error, self.shared.learned(&self.context.address).has_answered)
    }

    fn learn(&mut self, max_varbinds: usize) {
        self.max_varbinds = max_varbinds.max(1);
        let (agent, most) = (&self.context.address, self.max_varbinds);
        self.shared.learn(agent, |learned| learned.varbinds = Some(most));
        tracing::info!(%agent, most, "the agent rejects large requests; requesting fewer objects at once");
    }

    /// Waits until the agent has worked off the copies of a request that it answered late.
    async fn before(&mut self) -> Instant {
        self.patience.before().await
    }

    /// Notes how the agent took a request: whether it answered, how slowly, and whether copies of it only make it slower.
    async fn after(&mut self, sent: Instant, error: Option<&Error>) {
        let took = sent.elapsed();
        let is_slow = match error {
            Some(error) if error.kind() == ErrorKind::Timeout => self.patience.silent(),
            Some(error) if !is_answer(error) => false,
            Some(_) | None => {
                crate::deadline::answered();
                let agent = &self.context.address;
                if !self.shared.learned(agent).has_answered {
                    self.shared.learn(agent, |learned| learned.has_answered = true);
                }
                self.patience.answered(took)
            }
        };
        if !is_slow {
            return;
        }
        let agent = &self.context.address;
        self.shared.learn(agent, |learned| learned.is_slow = true);
        tracing::info!(%agent, ?took, "the agent is slow; retransmission disabled");
        // On the common socket another client costs nothing.
        if let Ok(client) = self.shared.client(&self.config, Trust::Signed, self.patience.attempts()).await {
            self.client = ClientOf(client);
        }
    }

    async fn get_all(&mut self, oids: &[Oid]) -> Result<Vec<ObjectValue>, Failure> {
        let mut values = vec![ObjectValue::Absent; oids.len()];
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
        values: &mut [ObjectValue],
    ) -> Result<(), Failure> {
        let mut waiting = vec![places];
        while let Some(places) = waiting.pop() {
            let request: Vec<Oid> = places.iter().filter_map(|place| oids.get(*place).cloned()).collect();
            let mut chunks = self.client.0.get_many_chunks(&request).map_err(Failure::Error)?;
            loop {
                let sent = self.before().await;
                let Some(chunk) = chunks.next().await else { break };
                self.after(sent, chunk.as_ref().err().map(|error| &*error.source)).await;
                let error = match chunk {
                    Ok(chunk) => {
                        self.requests += 1;
                        if chunk.request_range.len() < request.len() {
                            // The library halved a request that the agent called too big.
                            self.learn(self.max_varbinds.min(chunk.request_range.len()));
                        }
                        let requested = places.get(chunk.request_range).unwrap_or_default();
                        let missing = take(oids, requested, &chunk.response.varbinds, values);
                        waiting.extend(self.retry(requested.len(), missing));
                        continue;
                    }
                    Err(error) => error,
                };
                let failed = places.get(error.failed_request_range.clone()).unwrap_or_default().to_vec();
                let after = places.get(error.failed_request_range.end..).unwrap_or_default();
                let Error::Snmp { status, index, .. } = error.source.exchange_source() else {
                    return Err(Failure::of(error.source));
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

    /// What to request again when an answer left objects out: those alone, if it had others; otherwise all of them by
    /// halves. One object that is left out of its own answer is not requested again. So it ends.
    fn retry(&mut self, requested: usize, missing: Vec<usize>) -> Vec<Vec<usize>> {
        if missing.is_empty() || requested <= 1 {
            return Vec::new();
        }
        if missing.len() < requested {
            self.learn(self.max_varbinds.min(requested - missing.len()));
            return missing.chunks(self.max_varbinds).map(<[usize]>::to_vec).collect();
        }
        halves(missing).to_vec()
    }

    /// A request failed for one object's sake: gives that one up and requests the others again.
    fn set_aside(
        &mut self,
        oids: &[Oid],
        mut failed: Vec<usize>,
        index: u32,
        is_absent: bool,
        values: &mut [ObjectValue],
        waiting: &mut Vec<Vec<usize>>,
    ) {
        let culprit = match usize::try_from(index).ok().and_then(|index| index.checked_sub(1)) {
            Some(culprit) if culprit < failed.len() => culprit,
            _ if failed.len() == 1 => 0,
            _ => {
                // The agent does not report which: find out by halves.
                waiting.extend(halves(failed).into_iter().filter(|half| !half.is_empty()));
                return;
            }
        };
        let place = failed.remove(culprit);
        if let Some(value) = values.get_mut(place) {
            *value = if is_absent { ObjectValue::Absent } else { ObjectValue::Failed };
        }
        if is_absent && let Some(oid) = oids.get(place) {
            self.absent.insert(oid.clone());
        }
        if !failed.is_empty() {
            waiting.push(failed);
        }
    }
}

fn halves(mut places: Vec<usize>) -> [Vec<usize>; 2] {
    let second = places.split_off(places.len() / 2);
    [second, places]
}

/// Puts an answer's values where they were requested: by OID, never by the order of the answer. Returns which it left
/// out.
fn take(
    oids: &[Oid],
    places: &[usize],
    varbinds: &[async_snmp::VarBind],
    values: &mut [ObjectValue],
) -> Vec<usize> {
    let in_order = places.len() == varbinds.len()
        && places.iter().zip(varbinds).all(|(place, varbind)| oids.get(*place) == Some(&varbind.oid));
    if in_order {
        for (place, varbind) in places.iter().zip(varbinds) {
            if let Some(value) = values.get_mut(*place) {
                *value = ObjectValue::from_wire(&varbind.value);
            }
        }
        return Vec::new();
    }
    let answered: HashMap<&Oid, &async_snmp::Value> =
        varbinds.iter().map(|varbind| (&varbind.oid, &varbind.value)).collect();
    let mut missing = Vec::new();
    for place in places {
        if let (Some(value), Some(oid)) = (values.get_mut(*place), oids.get(*place)) {
            *value = answered.get(oid).map_or(ObjectValue::Failed, |answer| ObjectValue::from_wire(answer));
            if !answered.contains_key(oid) {
                missing.push(*place);
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests;
