//! The backlog: what streams of NATS keep for the history of this process and it has not read yet. It is reported, and
//! the clock by which history ends what nobody adds to any more waits for it (ADR 0054).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::tz::TimeZone;
use kwapi_bus::{NatsLink, NatsSide, NatsSiteLink, Subscriber};
use kwapi_core::{Timestamp, WallClock};
use kwapi_plugins::answers::when::rfc3339;
use kwapi_plugins::metrics::Metrics;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Endpoint};

/// A history that is further behind reports that.
const REPORTED_AFTER: Duration = Duration::from_secs(60);
/// Messages that were lost are reported for so long after the last of them.
const LOST_REPORTED: Duration = Duration::from_secs(86_400);

/// How far the history of this process has read what is kept for it.
#[derive(Clone, Debug)]
pub(super) struct Backlog {
    clock: WallClock,
    /// Whether anything is kept for it.
    is_any: bool,
    wait_max: Duration,
    subscriber: Arc<OnceLock<Arc<Subscriber>>>,
}

impl Backlog {
    /// Of a history that receives from `sources`; nothing is known of them before [`Backlog::watch`].
    pub(super) fn new(clock: WallClock, config: &Config, sources: &[Endpoint]) -> Self {
        let is_any = sources.iter().any(|source| source.consumer().is_some());
        let wait_max = Duration::from_secs(config.bus.stored_wait_max_seconds);
        Self { clock, is_any, wait_max, subscriber: Arc::default() }
    }

    /// Queries `subscriber` from now on, and has what is found reported.
    pub(super) fn watch(&self, subscriber: &Arc<Subscriber>, all: &mut Metrics) {
        _ = self.subscriber.set(subscriber.clone()); // There is one feed a process.
        if !self.is_any {
            return;
        }
        let (links, clock) = (subscriber.clone(), self.clock.clone());
        all.add_warning("backlog", move || {
            let now = clock.now();
            first(links.nats_links().iter().filter_map(|link| behind(link, now)))
        });
        let links = subscriber.clone();
        all.add_warning("nats_sites", move || first(links.nats_links().iter().filter_map(lacks)));
        let (links, clock) = (subscriber.clone(), self.clock.clone());
        all.add_warning("nats_lost", move || {
            let now = clock.now();
            first(links.nats_links().iter().filter_map(|link| lost(link, now)))
        });
        let links = subscriber.clone();
        all.add_warning("nats_keys", move || first(links.nats_links().iter().filter_map(unverified)));
        let links = subscriber.clone();
        all.add_warning("nats_live", move || {
            let all = links.nats_links();
            first(all.iter().filter_map(|link| not_shown(link, &all)))
        });
    }

    /// The clock by which history ends rows, hours and series that nobody adds to any more: that of the wall, held back to
    /// where all that is kept has been read, for `stored_wait_max_seconds` at most.
    pub(super) fn clock(&self) -> WallClock {
        if !self.is_any {
            return self.clock.clone();
        }
        let backlog = self.clone();
        WallClock::new(move || backlog.waited_for_until())
    }

    fn waited_for_until(&self) -> Timestamp {
        let unknown = Some(Timestamp::EPOCH);
        let until = self.subscriber.get().map_or(unknown, |subscriber| subscriber.stored_until());
        held_back(self.clock.now(), until, self.wait_max)
    }

    /// What is reported of it; `None` where nothing is kept for this process.
    pub(super) fn report(&self) -> Option<BacklogReport> {
        self.is_any.then(|| BacklogReport { complete_until: self.waited_for_until().seconds() })
    }
}

/// As `/backlog` shows it, and `kwapi bill` reads it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct BacklogReport {
    /// Up to when nothing is waited for any more, in Unix seconds: what comes of earlier time is a correction.
    pub(crate) complete_until: u64,
}

/// `now`, or `until` where that is before it, but not by more than `wait_max`.
fn held_back(now: Timestamp, until: Option<Timestamp>, wait_max: Duration) -> Timestamp {
    until.map_or(now, |until| now.min(until.max(now.before(wait_max))))
}

/// What a history that is behind a stream reports.
fn behind(link: &NatsLink, now: Timestamp) -> Option<String> {
    let NatsLink { endpoint, waiting, read_until, .. } = link;
    if *waiting == 0 {
        return None;
    }
    let Some(until) = read_until else {
        return Some(format!("{endpoint}: history is being read, {waiting} messages of NATS left"));
    };
    let text = rfc3339(Timestamp::from_seconds(until.seconds()), &TimeZone::system());
    (now.since(*until) > REPORTED_AFTER)
        .then(|| format!("{endpoint}: history is being read: up to {text}, {waiting} messages of NATS left"))
}

/// What keeps present power from being shown while a backlog is read, where that is not what keeps the record as well.
fn not_shown(link: &NatsLink, all: &[NatsLink]) -> Option<String> {
    let problem = link.problem.as_ref().filter(|_| link.side == NatsSide::Live)?;
    let is_same = |other: &NatsLink| {
        other.endpoint == link.endpoint && other.side == NatsSide::Subscribe && other.problem.is_some()
    };
    (!all.iter().any(is_same))
        .then(|| format!("{}: present power is not shown while a backlog is read: {problem}", link.endpoint))
}

/// What a history reports of messages that a stream dropped before it had received them.
fn lost(link: &NatsLink, now: Timestamp) -> Option<String> {
    let (count, until) = (link.lost, link.lost_until?);
    let text = rfc3339(Timestamp::from_seconds(until.seconds()), &TimeZone::system());
    (now.since(until) < LOST_REPORTED).then(|| {
        format!(
            "{}: the stream dropped {count} messages of NATS before they were received, the last of them before {text}; \
             raise its limits (`kwapi nats-setup` --days, --megabytes-max), or have sites keep messages (`consumers`)",
            link.endpoint
        )
    })
}

/// What a history reports of messages that it left in the stream, as no accepted key verifies them.
fn unverified(link: &NatsLink) -> Option<String> {
    if let Some(problem) = &link.aside_problem {
        let count = link.aside;
        return Some(format!(
            "{}: {count} measurements, whose key is accepted by now, wait in the stream: {problem}",
            link.endpoint
        ));
    }
    let (count, since) = (link.aside, link.aside_since.filter(|_| link.aside > 0)?);
    let text = rfc3339(Timestamp::from_seconds(since.seconds()), &TimeZone::system());
    Some(format!(
        "{}: {count} measurements since {text} are verified by no accepted key; they stay in the stream and are read again once \
         their key is accepted (`keys`); if none is missing, they are forged",
        link.endpoint
    ))
}

/// What is reported of sites whose line is down, or whose backlog is in transit to the centre.
fn lacks(link: &NatsLink) -> Option<String> {
    let problem = |site: &NatsSiteLink| {
        let NatsSiteLink { name, waiting, lacking_for } = site;
        match (lacking_for, waiting) {
            (Some(lacking), _) if *lacking < REPORTED_AFTER => None,
            (_, 1..) => {
                Some(format!("{waiting} messages of NATS of site {name} are on their way to the centre"))
            }
            (Some(lacking), 0) => {
                let minutes = lacking.as_secs() / 60;
                Some(format!(
                    "the server of site {name} has been unreachable for {minutes} min; it stores its messages until it is connected again"
                ))
            }
            (None, 0) => Some(format!("the server of site {name} has not connected yet")),
        }
    };
    let all: Vec<_> = link.sites.iter().filter_map(problem).collect();
    (!all.is_empty()).then(|| format!("{}: {}", link.endpoint, all.join("; ")))
}

fn first(mut all: impl Iterator<Item = String>) -> Result<(), String> {
    all.next().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_seconds(1_790_000_000 + hours * 3_600)
    }

    #[test]
    fn the_clock_waits_for_what_is_kept_and_not_for_ever() {
        assert_eq!(held_back(at(50), None, DAY), at(50));
        assert_eq!(held_back(at(50), Some(at(40)), DAY), at(40));
        assert_eq!(held_back(at(50), Some(at(51)), DAY), at(50));
        assert_eq!(held_back(at(50), Some(at(3)), DAY), at(26));
        assert_eq!(held_back(at(50), Some(Timestamp::EPOCH), DAY), at(26));
        assert_eq!(held_back(Timestamp::EPOCH, Some(at(3)), DAY), Timestamp::EPOCH);
    }

    fn link(waiting: u64, read_until: Option<Timestamp>) -> NatsLink {
        NatsLink {
            endpoint: "nats://a/x".to_owned(),
            side: NatsSide::Subscribe,
            problem: None,
            loss: None,
            connections: 1,
            messages: 0,
            batches: 0,
            waiting,
            repeated: 0,
            dropped: 0,
            rejected: 0,
            known: 0,
            early: 0,
            misplaced: 0,
            lost: 0,
            aside: 0,
            aside_since: None,
            aside_problem: None,
            lost_until: None,
            read_until,
            sites: Vec::new(),
        }
    }

    #[test]
    fn a_site_that_is_cut_off_is_named() {
        let site = |name: &str, waiting: u64, seconds: Option<u64>| {
            let lacking_for = seconds.map(Duration::from_secs);
            NatsSiteLink { name: name.to_owned(), waiting, lacking_for }
        };
        let problem = |sites: &[NatsSiteLink]| lacks(&NatsLink { sites: sites.to_vec(), ..link(0, None) });
        assert_eq!(problem(&[site("lyon", 0, Some(0)), site("paris", 5_000, Some(59))]), None);
        assert_eq!(
            problem(&[site("lyon", 0, Some(300)), site("paris", 5_000, Some(60)), site("nancy", 0, None)])
                .unwrap(),
            "nats://a/x: the server of site lyon has been unreachable for 5 min; it stores its messages \
             until it is connected again; 5000 messages of NATS of site paris are on their way to the centre; the server of \
             site nancy has not connected yet"
        );
    }

    #[test]
    fn what_keeps_the_record_as_well_is_reported_once() {
        let problem = Some("cannot connect".to_owned());
        let live = NatsLink { side: NatsSide::Live, problem: problem.clone(), ..link(0, None) };
        let report = not_shown(&live, &[live.clone(), link(0, None)]).unwrap();
        assert_eq!(report, "nats://a/x: present power is not shown while a backlog is read: cannot connect");
        let down = NatsLink { problem, ..link(0, None) };
        assert_eq!(not_shown(&live, &[live.clone(), down.clone()]), None);
        assert_eq!(not_shown(&down, std::slice::from_ref(&down)), None);
    }

    #[test]
    fn what_no_key_verifies_is_reported_with_what_to_do() {
        assert_eq!(unverified(&link(0, None)), None);
        let some = NatsLink { aside: 7, aside_since: Some(at(1)), ..link(0, None) };
        let since = rfc3339(at(1), &TimeZone::system());
        assert_eq!(
            unverified(&some).unwrap(),
            format!(
                "nats://a/x: 7 measurements since {since} are verified by no accepted key; they stay in the stream and are \
                 read again once their key is accepted (`keys`); if none is missing, they are forged"
            )
        );
        let waiting = NatsLink { aside_problem: Some("allow it".to_owned()), ..some };
        assert_eq!(
            unverified(&waiting).unwrap(),
            "nats://a/x: 7 measurements, whose key is accepted by now, wait in the stream: allow it"
        );
    }

    #[test]
    fn what_a_stream_dropped_is_reported_for_a_day() {
        let some = NatsLink { lost: 7, lost_until: Some(at(1)), ..link(0, None) };
        assert_eq!(lost(&link(0, None), at(1)), None);
        assert_eq!(lost(&some, at(25)), None);
        let report = lost(&some, at(24)).unwrap();
        let begin = "nats://a/x: the stream dropped 7 messages of NATS before they were received, the last of them before ";
        assert!(
            report.starts_with(&format!("{begin}{}; raise", rfc3339(at(1), &TimeZone::system()))),
            "{report}"
        );
    }

    #[test]
    fn a_history_that_is_behind_reports_up_to_when_it_has_read() {
        assert_eq!(behind(&link(0, Some(at(1))), at(2)), None);
        assert_eq!(behind(&link(7, Some(at(2))), at(2).after(Duration::from_secs(60))), None);
        let problem = behind(&link(7, Some(at(1))), at(2)).unwrap();
        let until = rfc3339(at(1), &TimeZone::system());
        assert_eq!(
            problem,
            format!("nats://a/x: history is being read: up to {until}, 7 messages of NATS left")
        );
        assert_eq!(
            behind(&link(7, None), at(2)).unwrap(),
            "nats://a/x: history is being read, 7 messages of NATS left"
        );
    }
}
