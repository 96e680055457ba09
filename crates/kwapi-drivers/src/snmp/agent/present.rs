//! Looking for the tables that a device has, of an agent of which nothing is known.

use async_snmp::{Error, ErrorStatus, Oid};

use crate::driver::DriverError;

use super::{Agent, Failure, halves};

/// How many tables are looked for in one request: of an unknown agent, less is requested at once.
const TABLES_AT_ONCE: usize = 10;

impl Agent {
    /// Which of these subtrees have anything in them: one request for all.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense.
    pub(in crate::snmp) async fn present(&mut self, subtrees: &[Oid]) -> Result<Vec<bool>, DriverError> {
        let mut present = vec![false; subtrees.len()];
        let places: Vec<usize> = (0..subtrees.len()).collect();
        let mut waiting: Vec<Vec<usize>> =
            places.chunks(self.max_varbinds.min(TABLES_AT_ONCE)).map(<[usize]>::to_vec).collect();
        while let Some(places) = waiting.pop() {
            let request: Vec<Oid> = places.iter().filter_map(|place| subtrees.get(*place).cloned()).collect();
            let sent = self.before().await;
            let answer = self.client.0.get_next_many(&request).await;
            self.after(sent, answer.as_ref().err().map(|error| &**error)).await;
            let error = match answer {
                Ok(answer) => {
                    for (place, answered) in places.iter().zip(&answer.varbinds) {
                        if let (Some(subtree), Some(found)) = (subtrees.get(*place), present.get_mut(*place))
                        {
                            // In any order: no answer to another subtree lies below this one.
                            let is_within = |oid: &Oid| oid.starts_with(subtree);
                            *found = (is_within(&answered.oid) && !answered.value.is_exception())
                                || answer
                                    .varbinds
                                    .iter()
                                    .any(|other| is_within(&other.oid) && !other.value.is_exception());
                        }
                    }
                    // An answer cut short: what it left out is requested by itself.
                    let left_out = places.get(answer.varbinds.len()..).unwrap_or_default();
                    waiting.extend(self.retry(places.len(), left_out.to_vec()));
                    continue;
                }
                Err(error) => error,
            };
            match (Failure::of(error), places.as_slice()) {
                (Failure::Error(error), [_]) if Self::is_one_objects(&error) => {}
                (Failure::Error(error), [_, _, ..]) if Self::is_one_objects(&error) => {
                    waiting.extend(halves(places));
                }
                (Failure::Silence(_), [first, _, ..]) if self.answers_for(subtrees.get(*first)).await => {
                    self.learn(places.len() / 2);
                    waiting.extend(halves(places));
                }
                (failure, _) => return self.explain(subtrees.len(), Err(failure)).await,
            }
        }
        Ok(present)
    }

    /// Whether an error is about an object that was requested (the end of an SNMP v1 agent's objects, one it cannot
    /// report) and not about the requester.
    pub(super) fn is_one_objects(error: &Error) -> bool {
        matches!(
            error.exchange_source(),
            Error::Snmp { status: ErrorStatus::NoSuchName | ErrorStatus::GenErr | ErrorStatus::TooBig, .. }
        )
    }

    /// Whether the agent, silent to many objects, answers to one.
    async fn answers_for(&mut self, subtree: Option<&Oid>) -> bool {
        let Some(subtree) = subtree else { return false };
        let sent = self.before().await;
        let answer = self.client.0.get_next(subtree).await;
        self.after(sent, answer.as_ref().err().map(|error| &**error)).await;
        answer.is_ok_and(|answer| !answer.varbinds.is_empty())
    }
}
