//! Accounts as `kwapi accounts 2` had them: sessions, without curves and without bridged energy. In `kwapi accounts 1`
//! what is kept of a rival was shorter, and all else the same.

use serde::Deserialize;

use super::super::decision::SegmentKind;
use super::super::fold::Past;
use super::super::run::{Point, Run};
use crate::{Energy, Timestamp};

#[derive(Debug, Deserialize)]
pub(super) struct AccountVersion2<C> {
    since: Timestamp,
    last: Timestamp,
    closed: TotalsVersion2,
    sessions: Vec<SessionVersion2>,
    /// Whether the first session ever received was among these.
    _first_is_open: bool,
    /// Another publisher that had been refused. It sends again, or it is gone.
    _other_publisher: Option<C>,
    lost: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct TotalsVersion2 {
    energy: Energy,
    measured_ms: u64,
    estimated_ms: u64,
    unknown_ms: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct SessionVersion2 {
    id: Timestamp,
    from: Timestamp,
    last: Timestamp,
    seq_max: u64,
    _seq_min: u64,
    seen: u64,
    highest: TotalsVersion2,
    base: TotalsVersion2,
}

#[derive(Debug, Deserialize)]
pub(super) struct OtherPublisher {
    _as_in_1: OtherPublisher1,
    _from: Timestamp,
}

#[derive(Debug, Deserialize)]
pub(super) struct OtherPublisher1 {
    _id: Timestamp,
    _seq: u64,
    _highest: TotalsVersion2,
    _base: TotalsVersion2,
}

impl From<TotalsVersion2> for crate::Totals {
    fn from(old: TotalsVersion2) -> Self {
        let TotalsVersion2 { energy, measured_ms, estimated_ms, unknown_ms } = old;
        Self { energy, measured_ms, estimated_ms, unknown_ms, ..Self::default() }
    }
}

impl<C> From<AccountVersion2<C>> for super::Account {
    /// The totals are taken as they were. What comes later of an open session counts from its highest message on.
    fn from(old: AccountVersion2<C>) -> Self {
        if old.since == Timestamp::EPOCH && old.sessions.is_empty() {
            return Self::default();
        }
        let totals = old.totals();
        let mut past = Past::new(old.since);
        past.sum.joules = [totals.measured().millijoules(), 0, 0];
        past.sum.newest = old.sessions.iter().map(|session| session.last).max().max(Some(old.last));
        let known_ms =
            totals.measured_ms.saturating_add(totals.estimated_ms).saturating_add(totals.unknown_ms);
        past.origin =
            Timestamp::from_micros(old.last.micros().saturating_sub(known_ms.saturating_mul(1_000)));
        let coverage = &mut past.sum.coverage;
        coverage.by_status =
            [totals.measured_ms.saturating_mul(1_000), totals.estimated_ms.saturating_mul(1_000), 0];
        for (session, next) in old.sessions.iter().zip(old.sessions.iter().skip(1)) {
            coverage.leave_hole(session.last.micros(), next.from.micros());
        }
        coverage.reach(past.sum.newest.unwrap_or_default().micros());
        Self {
            runs: old.sessions.iter().map(Run::from).collect(),
            past: Some(Box::new(past)),
            last: old.last,
            published: totals.energy,
            lost: u32::try_from(old.lost).unwrap_or(u32::MAX),
            ..Self::default()
        }
    }
}

impl From<&SessionVersion2> for Run {
    fn from(old: &SessionVersion2) -> Self {
        // Its lowest message is taken for its first, with nothing before it: what it had is in the totals.
        let top =
            Point { seq: old.seq_max, stamp: old.last, begin: Energy::ZERO, totals: old.highest.into() };
        Self {
            session: old.id,
            curve: old.id,
            number: 1,
            opens: Some(SegmentKind::First),
            begin: old.from,
            base: Energy::ZERO,
            seen: old.seen,
            low: Point { seq: 0, ..top }.into(),
            top,
            steps: None,
            missing: None,
        }
    }
}

impl<C> AccountVersion2<C> {
    fn totals(&self) -> crate::Totals {
        let mut totals = crate::Totals::from(self.closed);
        let mut before: Option<&SessionVersion2> = None;
        for session in &self.sessions {
            totals = totals.plus(&crate::Totals::from(session.highest).since(&session.base.into()));
            if let Some(before) = before {
                let gap = session.from.since(before.last).as_millis();
                totals.unknown_ms = totals.unknown_ms.saturating_add(u64::try_from(gap).unwrap_or(u64::MAX));
            }
            before = Some(session);
        }
        totals
    }
}
