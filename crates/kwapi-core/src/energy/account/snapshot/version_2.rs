//! Accounts as `kwapi accounts 2` had them: sessions, without curves and without bridged energy.

use serde::Deserialize;

use crate::{Energy, Timestamp};

#[derive(Debug, Deserialize)]
pub(super) struct Account {
    pub(super) since: Timestamp,
    pub(super) last: Timestamp,
    pub(super) closed: Totals,
    pub(super) sessions: Vec<Session>,
    pub(super) first_is_open: bool,
    /// Another publisher that had been refused. It is heard again, or it is gone.
    _challenger: Option<Challenger>,
    pub(super) lost: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Totals {
    pub(super) energy: Energy,
    pub(super) measured_ms: u64,
    pub(super) estimated_ms: u64,
    pub(super) unknown_ms: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Session {
    pub(super) id: Timestamp,
    pub(super) from: Timestamp,
    pub(super) last: Timestamp,
    pub(super) seq_max: u64,
    pub(super) seq_min: u64,
    pub(super) seen: u64,
    pub(super) highest: Totals,
    pub(super) base: Totals,
}

#[derive(Debug, Deserialize)]
struct Challenger {
    _id: Timestamp,
    _seq: u64,
    _highest: Totals,
    _base: Totals,
    _from: Timestamp,
}

impl From<Totals> for crate::Totals {
    fn from(old: Totals) -> Self {
        let Totals { energy, measured_ms, estimated_ms, unknown_ms } = old;
        Self { energy, measured_ms, estimated_ms, unknown_ms, ..Self::default() }
    }
}

impl From<Account> for super::Account {
    fn from(old: Account) -> Self {
        let sessions = old.sessions.iter().map(|session| super::super::session::Session {
            id: session.id,
            from: session.from,
            last: session.last,
            seq_max: session.seq_max,
            seq_min: session.seq_min,
            seen: session.seen,
            highest: session.highest.into(),
            base: session.base.into(),
        });
        Self {
            since: old.since,
            last: old.last,
            closed: old.closed.into(),
            sessions: sessions.collect(),
            first_is_open: old.first_is_open,
            lost: old.lost,
            ..Self::default()
        }
    }
}
