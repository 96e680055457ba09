//! What groups and nodes of the tree come to, in the words of their pages: made once for all who see the same, and not more
//! often than it is cheap.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Period, ProbeId, Timestamp};

use super::super::overview::Seen;
use super::super::pages::{NodeEvent, group_in_event, node_in_event};
use super::super::route::FormFields;
use super::super::selection::{ProbeFilter, query_of};
use super::super::tree::Tree;
use super::super::{Site, group};
use super::total::{CHEAP, REST, TotalOf};
use crate::directory::ConfiguredProbes;

/// What a page shows of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in super::super) struct StreamNode {
    /// The period that its energy is of; `None` of a group's own page, which shows all since it counts.
    period: Option<Period>,
    /// Which probes of it are added up, where a tree is narrowed.
    selection: ProbeFilter,
    /// A group, or in a tree a probe.
    path: ProbeId,
}

impl StreamNode {
    /// Reads `day:lyon.rack3`, `day?q=web:lyon` of a tree that is narrowed, or `:lyon` without a period.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (head, path) = text.split_once(':')?;
        let (period, selection) = head.split_once('?').unwrap_or((head, ""));
        let selection = ProbeFilter::parse(&FormFields::parse(selection)).ok()?;
        let path = ProbeId::new(path).ok()?;
        let period = if head.is_empty() { None } else { Some(period.parse().ok()?) };
        let node = Self { period, selection, path };
        (node.selection_text().len() <= SELECTION_BYTES_MAX).then_some(node)
    }

    /// A node of a tree as a stream calls it; `None` where its selection is too long for the address of many.
    pub(in super::super) fn name_in_tree(
        period: Period,
        selection: &ProbeFilter,
        path: &str,
    ) -> Option<String> {
        let selection = query_of(&selection.members());
        (selection.len() <= SELECTION_BYTES_MAX).then(|| format!("{period}{selection}:{path}"))
    }

    /// As it is requested.
    pub(super) fn name(&self) -> String {
        let period = self.period.map(|period| period.to_string()).unwrap_or_default();
        format!("{period}{}:{}", self.selection_text(), self.path)
    }

    fn selection_text(&self) -> String {
        query_of(&self.selection.members())
    }
}

/// The longest selection of a tree that is live: each of its nodes has it in the address of the stream.
const SELECTION_BYTES_MAX: usize = 200;
/// Selections that are looked at for one scope and period. Of more, the first in order; pages of others are renewed by fetching.
const SELECTIONS_MAX: usize = 8;

/// Nodes that a stream shows, and to whom: which groups there are is another matter for each scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct NodesOf {
    pub(super) scope: TotalOf,
    /// In order, each once.
    pub(super) nodes: Vec<StreamNode>,
}

/// What a scope sees of nodes, encoded: name and object. There is nothing of one that it does not see.
type NodeObjects = Arc<HashMap<StreamNode, String>>;

/// The nodes that are watched.
#[derive(Debug)]
pub(super) struct Nodes {
    kept: HashMap<TotalOf, KeptNodes>,
    /// Which of each scope are watched.
    watched: HashMap<TotalOf, BTreeSet<StreamNode>>,
    configured: Arc<ConfiguredProbes>,
}

#[derive(Debug)]
struct KeptNodes {
    objects: NodeObjects,
    at: Timestamp,
    took: Duration,
}

impl Nodes {
    pub(super) fn new(site: &Site) -> Self {
        Self { kept: HashMap::new(), watched: HashMap::new(), configured: site.directory.configured() }
    }

    /// Begins a look: what was made under another configuration, or is watched no more, is dropped.
    pub(super) fn begin<'a>(&mut self, site: &Site, watched: impl Iterator<Item = &'a NodesOf>) {
        let configured = site.directory.configured();
        if !Arc::ptr_eq(&configured, &self.configured) {
            (self.kept, self.configured) = (HashMap::new(), configured);
        }
        self.watched.clear();
        for NodesOf { scope, nodes } in watched {
            self.watched.entry(scope.clone()).or_default().extend(nodes.iter().cloned());
        }
        self.kept.retain(|scope, _| self.watched.contains_key(scope));
    }

    /// The nodes of a scope as they are at `now`, or were lately. Who comes meanwhile waits for the next look.
    pub(super) fn objects(&mut self, scope: &TotalOf, site: &Site, now: Timestamp) -> NodeObjects {
        let rests = |kept: &&KeptNodes| {
            kept.at == now || (kept.took > CHEAP && now.since(kept.at) < kept.took.saturating_mul(REST))
        };
        if let Some(kept) = self.kept.get(scope).filter(rests) {
            return Arc::clone(&kept.objects);
        }
        let begun = site.clock.now();
        let watched = self.watched.get(scope).cloned().unwrap_or_default();
        let seen = site.probes.seen(scope.scope());
        let events = of_groups(site, &seen, &watched, now).chain(of_trees(site, &seen, &watched, now));
        let object = |(node, event): (StreamNode, NodeEvent)| {
            let name = serde_json::to_string(&node.name()).ok()?;
            Some((node, format!("{name}:{}", serde_json::to_string(&event).ok()?)))
        };
        let objects: NodeObjects = Arc::new(events.filter_map(object).collect());
        let took = site.clock.now().since(begun);
        self.kept.insert(scope.clone(), KeptNodes { objects: Arc::clone(&objects), at: now, took });
        objects
    }
}

/// The groups whose own pages are looked at.
fn of_groups<'a>(
    site: &'a Site,
    seen: &'a Seen,
    watched: &'a BTreeSet<StreamNode>,
    now: Timestamp,
) -> impl Iterator<Item = (StreamNode, NodeEvent)> + 'a {
    watched.iter().filter(|node| node.period.is_none()).filter_map(move |node| {
        let view = group::view(site, seen, &node.path, now)?;
        Some((node.clone(), group_in_event(&view, now, &site.settings)))
    })
}

/// The nodes of trees that are looked at.
fn of_trees(
    site: &Site,
    seen: &Seen,
    watched: &BTreeSet<StreamNode>,
    now: Timestamp,
) -> impl Iterator<Item = (StreamNode, NodeEvent)> {
    let mut events = Vec::new();
    for period in Period::ALL {
        let mut selections: BTreeMap<&ProbeFilter, Vec<&StreamNode>> = BTreeMap::new();
        for node in watched.iter().filter(|node| node.period == Some(period)) {
            selections.entry(&node.selection).or_default().push(node);
        }
        if selections.is_empty() {
            continue;
        }
        let used = site.graphs.used(&seen.parts, &[period], now);
        for (selection, nodes) in selections.into_iter().take(SELECTIONS_MAX) {
            let selected = (!selection.is_all()).then(|| selection.of(&seen.parts, &site.directory));
            let tree = Tree::new(site, selected.as_deref().unwrap_or(&seen.parts), &used, period, now);
            let paths: Vec<&str> = nodes.iter().map(|node| node.path.as_str()).collect();
            // A sum of what is selected is no group's, as on the page: it is of what the caller sees.
            let readable = match selected {
                Some(_) => vec![true; paths.len()],
                None => group::readable(site, seen, &paths),
            };
            for ((node, found), is_readable) in nodes.into_iter().zip(tree.nodes(&paths)).zip(readable) {
                if let Some(found) = found.filter(|found| is_readable || !found.is_group()) {
                    let event = node_in_event(&tree.figures(&found), &site.settings, found.is_group());
                    events.push((node.clone(), event));
                }
            }
        }
    }
    events.into_iter()
}
