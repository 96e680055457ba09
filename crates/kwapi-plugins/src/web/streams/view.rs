//! What a stream shows, and its newest state: encoded once, whoever watches.

use std::time::Duration;

use bytes::Bytes;
use kwapi_core::{ProbeId, Quality, Timestamp};
use serde::Serialize;

use super::super::Site;
use super::nodes::{Nodes, NodesOf};
use super::total::{TotalOf, Totals, rounded};
use crate::directory::ProbeNow;

/// What some streams show.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct StreamView {
    /// Of those requested the ones in the caller's scope, in order, each once.
    pub(super) probes: Vec<ProbeId>,
    /// Whose probes are added up, where the sum is requested.
    pub(super) total: Option<TotalOf>,
    /// Groups and nodes of the tree, where some are requested.
    pub(super) nodes: Option<NodesOf>,
}

/// A view as it is at an instant.
#[derive(Debug)]
pub(super) struct StreamFrame {
    /// Counts the frames of a view.
    pub(super) number: u64,
    /// Milliseconds of Unix time, rising from frame to frame: what clients report they have.
    pub(super) stamp: u64,
    /// What distinguishes clients of this view and process from others.
    tag: u32,
    probes: Vec<Member>,
    total: Option<Member>,
    nodes: Vec<Member>,
    /// The stamp of the frame before.
    before: Option<u64>,
    /// For those who have the frame before; empty if nothing has changed.
    changes: Bytes,
}

/// One member of an event, encoded.
#[derive(Clone, Debug)]
struct Member {
    /// Where it stands in the view.
    place: usize,
    json: String,
    /// Since when it is so, as a frame's stamp.
    since: u64,
}

/// A probe in an event. The names are those of `/v1/probes/`.
#[derive(Debug, Serialize)]
struct ProbeJson {
    /// Watts; none of a silent probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    w: Option<f64>,
    /// When it measured last, in seconds of Unix time.
    timestamp: u64,
    /// What it has used, where that is known without reading its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    kwh: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    silent: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    estimated: bool,
}

impl ProbeJson {
    fn new(now: &ProbeNow) -> Self {
        Self {
            w: (!now.is_silent).then(|| rounded(now.power.0, 10.0)),
            timestamp: now.at.seconds(),
            kwh: now.account.map(|account| rounded(account.totals.energy.kwh(), 1e5)),
            silent: now.is_silent,
            estimated: !now.is_silent && now.quality == Quality::Estimated,
        }
    }
}

impl StreamFrame {
    /// What `view` shows at `now`, after the frame `before`.
    pub(super) fn new(
        view: &StreamView,
        before: Option<&Self>,
        (totals, nodes): (&mut Totals, &mut Nodes),
        site: &Site,
        now: Timestamp,
    ) -> Self {
        // A clock that is set back does not make clients assume that they have what they have not.
        let stamp = (now.micros() / 1_000).max(before.map_or(0, |before| before.stamp + 1));
        let member = |place: usize, json: String| {
            let before = before.and_then(|before| before.member(place)).filter(|before| before.json == json);
            Member { place, json, since: before.map_or(stamp, |before| before.since) }
        };
        let shown = view.probes.iter().enumerate().filter_map(|(place, probe)| {
            let now = site.directory.now(probe)?;
            let name = serde_json::to_string(probe.as_str()).ok()?;
            let json = serde_json::to_string(&ProbeJson::new(&now)).ok()?;
            Some(member(place, format!("{name}:{json}")))
        });
        let probes = shown.collect();
        let total = view.total.as_ref().and_then(|total| totals.json(total, site, now));
        let total = total.map(|json| member(view.probes.len(), json));
        let objects = view.nodes.as_ref().map(|of| (&of.nodes, nodes.objects(&of.scope, site, now)));
        let nodes = objects.iter().flat_map(|(nodes, objects)| {
            let shown = nodes.iter().zip(view.probes.len() + 1..);
            shown.filter_map(|(node, place)| Some(member(place, objects.get(node)?.clone())))
        });
        let nodes = nodes.collect();
        let mut frame = Self {
            number: before.map_or(0, |before| before.number + 1),
            stamp,
            tag: before.map_or_else(|| tag(view, site), |before| before.tag),
            probes,
            total,
            nodes,
            before: before.map(|before| before.stamp),
            changes: Bytes::new(),
        };
        if let Some(before) = frame.before.filter(|before| frame.has_changed_since(*before)) {
            frame.changes = frame.event(Some(before));
        }
        frame
    }

    /// Whether it is no older than `age` at `now`.
    pub(super) fn is_of(&self, now: Timestamp, age: Duration) -> bool {
        let now = u128::from(now.micros() / 1_000);
        let stamp = u128::from(self.stamp);
        now >= stamp && now - stamp < age.as_millis()
    }

    /// What it shows at a place of the view; the sum stands behind the probes, and nodes behind that.
    fn member(&self, place: usize) -> Option<&Member> {
        let find = |members: &'_ [Member]| members.binary_search_by_key(&place, |member| member.place).ok();
        find(&self.probes)
            .and_then(|at| self.probes.get(at))
            .or(self.total.as_ref().filter(|total| total.place == place))
            .or_else(|| self.nodes.get(find(&self.nodes)?))
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.probes.iter().chain(&self.total).chain(&self.nodes)
    }

    fn has_changed_since(&self, stamp: u64) -> bool {
        self.members().any(|member| member.since > stamp)
    }

    /// The stamp that a client reports it has, where that is one of this view.
    pub(super) fn known(&self, last_event_id: &str) -> Option<u64> {
        let (tag, stamp) = last_event_id.split_once('-')?;
        let stamp = stamp.parse().ok().filter(|stamp| *stamp <= self.stamp)?;
        (u32::from_str_radix(tag, 16) == Ok(self.tag)).then_some(stamp)
    }

    /// For those who have the frame of the stamp `has`: what has changed since, if anything has.
    pub(super) fn changes_since(&self, has: u64) -> Bytes {
        if self.before == Some(has) {
            self.changes.clone()
        } else if self.has_changed_since(has) {
            self.event(Some(has))
        } else {
            Bytes::new()
        }
    }

    /// An event with what has changed since `has`; with all of it where that is `None`.
    pub(super) fn event(&self, has: Option<u64>) -> Bytes {
        let is_new = |member: &&Member| has.is_none_or(|has| member.since > has);
        let probes: Vec<&str> =
            self.probes.iter().filter(is_new).map(|member| member.json.as_str()).collect();
        let total = self.total.as_ref().filter(is_new);
        let total = total.map(|total| format!(",\"total\":{}", total.json)).unwrap_or_default();
        let nodes: Vec<&str> = self.nodes.iter().filter(is_new).map(|member| member.json.as_str()).collect();
        let nodes =
            if nodes.is_empty() { String::new() } else { format!(",\"nodes\":{{{}}}", nodes.join(",")) };
        let Self { tag, stamp, .. } = self;
        let (seconds, probes) = (stamp / 1_000, probes.join(","));
        let data = format!("{{\"timestamp\":{seconds},\"probes\":{{{probes}}}{total}{nodes}}}");
        Bytes::from(format!("id: {tag:08x}-{stamp}\ndata: {data}\n\n"))
    }
}

/// Distinguishes the stamps of one view and process from those of others. It shows nothing of what is there.
fn tag(view: &StreamView, site: &Site) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&site.started.micros().to_le_bytes());
    for probe in &view.probes {
        hasher.update(probe.as_str().as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(&[u8::from(view.total.is_some())]);
    for node in view.nodes.iter().flat_map(|of| &of.nodes) {
        hasher.update(node.name().as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize()
}
