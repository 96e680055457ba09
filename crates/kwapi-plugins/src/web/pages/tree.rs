//! `/groups/`: probes as a tree, from sites to machines, with watts, energy, cost and the share known at each node.
//!
//! A page has a bounded number of lines: what does not fit is a link to a page of its own, `?in=PATH`.

use std::collections::{HashMap, VecDeque};

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use kwapi_core::{Period, ProbeId, Timestamp};

use super::super::answer;
use super::super::group;
use super::super::route::FormFields;
use super::super::selection::{ProbeFilter, query_of};
use super::super::streams::StreamNode;
use super::super::tree::{NodeFigures, Tree, TreeNode};
use super::super::{Site, words};
use super::crumbs::{Crumb, crumbs};
use super::events::{NodeEvent, node_in_event};
use super::facets::{Facet, facets};
use super::{Layout, PageRequest, group_path, not_found, position, probe_path, render};
use crate::http::percent::encode;

/// Lines of one level on a page.
const PAGE_SIZE: usize = 100;
/// Lines of a page, those of lower levels included.
const LINES_MAX: usize = 240;

#[derive(Debug, Template)]
#[template(path = "tree.html")]
struct Page {
    layout: Layout,
    crumbs: Vec<Crumb>,
    period: Period,
    periods: Vec<(&'static str, String, bool)>,
    sorts: Vec<(&'static str, String, bool)>,
    selection: ProbeFilter,
    chips: Vec<(String, String)>,
    facets: Vec<Facet>,
    /// Where the tree of all is.
    whole: String,
    root: Option<String>,
    matching: usize,
    probes: usize,
    has_groups: bool,
    has_cost: bool,
    lines: Vec<Line>,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
}

/// A piece of the tree, in the order in which it is written.
#[derive(Debug)]
enum Line {
    /// A node; what is below it follows in [`Line::Open`].
    Node(Box<NodeWords>),
    /// Nodes below the one before: so many.
    Open(usize),
    Close,
    /// The end of a node.
    End,
    /// More below the one before than the page holds: how many, and where.
    More(usize, String),
}

/// A node in words.
#[derive(Debug)]
struct NodeWords {
    path: String,
    encoded: String,
    href: Option<String>,
    /// What a stream calls it, if it is in one.
    live: Option<String>,
    watts: Option<String>,
    is_estimated: bool,
    silent: Option<String>,
    energy: String,
    cost: Option<String>,
    known: Option<String>,
    is_whole: bool,
    /// Of a group, how many probes report.
    reporting: Option<String>,
}

/// What the siblings of a tree are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Name,
    Watts,
    Energy,
}

impl Sort {
    const ALL: [(Self, &'static str, &'static str); 3] =
        [(Self::Name, "name", "Name"), (Self::Watts, "watts", "Watts"), (Self::Energy, "energy", "Energy")];

    fn of(query: &FormFields) -> Self {
        let wanted = query.get("sort").unwrap_or_default();
        Self::ALL.into_iter().find(|(_, key, _)| *key == wanted).map_or(Self::Name, |(sort, ..)| sort)
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Watts => "watts",
            Self::Energy => "energy",
        }
    }

    /// The largest first; what is not known comes last.
    fn order(self, nodes: &mut [(TreeNode, NodeFigures)]) {
        let amount = |figures: &NodeFigures| match self {
            Self::Name => None,
            Self::Watts => figures.watts,
            Self::Energy => figures.energy.kwh(),
        };
        nodes.sort_by(|(_, a), (_, b)| {
            let [a, b] = [a, b].map(|figures| amount(figures).unwrap_or(f64::NEG_INFINITY));
            b.total_cmp(&a)
        });
    }
}

/// The tree's own address.
struct Address<'a> {
    root: Option<&'a str>,
    period: Period,
    sort: Sort,
    selection: &'a ProbeFilter,
}

impl Address<'_> {
    fn of(&self, page: usize) -> String {
        let mut members = self.selection.members();
        members.extend(self.root.map(|root| format!("in={}", encode(root))));
        if self.period != Period::Day {
            members.push(format!("period={}", self.period));
        }
        if self.sort != Sort::Name {
            members.push(format!("sort={}", self.sort.key()));
        }
        if page > 1 {
            members.push(format!("page={page}"));
        }
        format!("/groups/{}", query_of(&members))
    }
}

pub(super) fn answer(request: &PageRequest<'_>, query: &FormFields) -> Response {
    let PageRequest { site, seen, now, conditions, .. } = *request;
    let selection = match ProbeFilter::parse(query) {
        Ok(selection) => selection,
        Err(error) => return answer::bad_request(&error.to_string()),
    };
    let period = query.get("period").map_or(Ok(Period::Day), str::parse);
    let Ok(period) = period else {
        return answer::bad_request("period must be minute, hour, day, week, month or year");
    };
    let root = query.get("in").filter(|root| !root.is_empty());
    let Ok(root) = root.map(ProbeId::new).transpose() else {
        return no_branch(request, root.unwrap_or_default());
    };
    let in_root = |probe: &&ProbeId| root.as_ref().is_none_or(|root| probe.is_within(root.as_str()));
    let parts: Vec<ProbeId> = seen.parts.iter().filter(in_root).cloned().collect();
    if let (Some(root), true) = (&root, parts.iter().all(|probe| Some(probe) == root.as_ref())) {
        return no_branch(request, root.as_str());
    }
    let selected = if selection.is_all() { parts.clone() } else { selection.of(&parts, &site.directory) };
    let used = site.graphs.used(&seen.parts, &[period], now);
    let tree = Tree::new(site, &selected, &used, period, now);
    let sort = Sort::of(query);
    let root_path = root.as_ref().map(ProbeId::as_str);
    let all: Vec<usize> = (0..selected.len()).collect();
    let address = Address { root: root_path, period, sort, selection: &selection };
    let mut top = ordered(&tree, root_path, &all, sort);
    let pages = top.len().div_ceil(PAGE_SIZE).max(1);
    let page = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, pages);
    top = top.into_iter().skip((page - 1) * PAGE_SIZE).take(PAGE_SIZE).collect();
    let branches = Branches::grow(&tree, &top, sort);
    let paths = branches.groups(&top);
    let readable: HashMap<&str, bool> =
        paths.iter().copied().zip(group::readable(site, seen, &paths)).collect();
    let mut writer = Writer { site, address: &address, readable, now, lines: Vec::new() };
    writer.write(&top, &branches);
    let lines = writer.lines;
    let whole = ProbeFilter::default();
    let page = Page {
        layout: Layout {
            here: "/groups/",
            ..Layout::new(site, seen, root_path.map_or_else(|| "Groups".to_owned(), str::to_owned), None)
        },
        crumbs: root.as_ref().map(|root| crumbs(site, seen, root)).unwrap_or_default(),
        period,
        periods: Period::ALL
            .map(|other| (other.label(), Address { period: other, ..address }.of(1), other == period))
            .into(),
        sorts: Sort::ALL
            .map(|(other, _, word)| (word, Address { sort: other, ..address }.of(1), other == sort))
            .into(),
        chips: selection
            .without_each()
            .into_iter()
            .map(|(words, rest)| (words, Address { selection: &rest, ..address }.of(1)))
            .collect(),
        facets: facets(&site.directory, &selected, &selection, |with| {
            Address { selection: with, ..address }.of(1)
        }),
        whole: Address { selection: &whole, ..address }.of(1),
        root: root_path.map(str::to_owned),
        matching: selected.len(),
        probes: parts.len(),
        has_groups: seen.parts.iter().any(|probe| kwapi_core::groups_of(probe).next().is_some()),
        has_cost: site.settings.tariff.is_some(),
        lines,
        page,
        pages,
        previous: (page > 1).then(|| address.of(page - 1)),
        next: (page < pages).then(|| address.of(page + 1)),
        selection: selection.clone(),
    };
    render(&page, StatusCode::OK, position(seen, &used), conditions)
}

/// "There is no such group", as for a group's own page.
fn no_branch(request: &PageRequest<'_>, name: &str) -> Response {
    let all = vec![("All groups".to_owned(), "/groups/".to_owned())];
    not_found(request, format!("Unknown group “{name}”. Available:"), all, 0)
}

fn ordered(
    tree: &Tree<'_>,
    path: Option<&str>,
    within: &[usize],
    sort: Sort,
) -> Vec<(TreeNode, NodeFigures)> {
    let nodes = tree.below(path, within).into_iter();
    let mut nodes: Vec<_> =
        nodes.map(|node| (tree.figures(&node), node)).map(|(figures, node)| (node, figures)).collect();
    if sort != Sort::Name {
        sort.order(&mut nodes);
    }
    nodes
}

/// What is shown below the nodes of a page, level by level as far as there is room.
struct Branches {
    below: HashMap<String, Vec<(TreeNode, NodeFigures)>>,
}

impl Branches {
    fn grow(tree: &Tree<'_>, top: &[(TreeNode, NodeFigures)], sort: Sort) -> Self {
        let mut room = LINES_MAX.saturating_sub(top.len());
        let mut below = HashMap::new();
        let mut waiting: VecDeque<TreeNode> = top.iter().map(|(node, _)| node.clone()).collect();
        while let Some(node) = waiting.pop_front() {
            // As many nodes as members at most: a large one is not even looked into.
            if !node.is_group() || node.members.len() > LINES_MAX * 8 {
                continue;
            }
            let nodes = ordered(tree, Some(&node.path), &node.members, sort);
            if nodes.len() > room {
                continue;
            }
            room -= nodes.len();
            waiting.extend(nodes.iter().map(|(node, _)| node.clone()));
            below.insert(node.path, nodes);
        }
        Self { below }
    }

    /// The paths of all groups that are shown.
    fn groups<'a>(&'a self, top: &'a [(TreeNode, NodeFigures)]) -> Vec<&'a str> {
        let all = top.iter().chain(self.below.values().flatten());
        all.filter(|(node, _)| node.is_group()).map(|(node, _)| node.path.as_str()).collect()
    }
}

/// Writes the tree line by line.
struct Writer<'a> {
    site: &'a Site,
    address: &'a Address<'a>,
    /// Which groups the caller may read.
    readable: HashMap<&'a str, bool>,
    now: Timestamp,
    lines: Vec<Line>,
}

impl Writer<'_> {
    fn write(&mut self, nodes: &[(TreeNode, NodeFigures)], branches: &Branches) {
        for (node, figures) in nodes {
            let words = self.words(node, figures);
            self.lines.push(Line::Node(Box::new(words)));
            match branches.below.get(&node.path) {
                Some(below) => {
                    self.lines.push(Line::Open(below.len()));
                    // As deep as a name has dots: it has 255 bytes at most.
                    self.write(below, branches);
                    self.lines.push(Line::Close);
                }
                None if node.is_group() => {
                    let count = node.members.len() - usize::from(node.probe.is_some());
                    let href = Address { root: Some(&node.path), ..*self.address }.of(1);
                    self.lines.push(Line::More(count, href));
                }
                None => {}
            }
            self.lines.push(Line::End);
        }
    }

    fn words(&self, node: &TreeNode, figures: &NodeFigures) -> NodeWords {
        let settings = &self.site.settings;
        let is_readable = self.readable.get(node.path.as_str()).copied().unwrap_or_default();
        let href = match (node.is_group(), ProbeId::new(&node.path)) {
            (true, _) => is_readable.then(|| group_path(&node.path)),
            (false, Ok(probe)) => Some(probe_path(&probe)),
            (false, Err(_)) => None,
        };
        // A sum of a part is not shown as if it were the group's.
        let is_whole_tree = self.address.selection.is_all();
        let is_shown = !node.is_group() || is_readable || !is_whole_tree;
        let shown =
            if is_shown { node_in_event(figures, settings, node.is_group()) } else { NodeEvent::default() };
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let since = |at| words::since(at, self.now, &settings.zone);
        NodeWords {
            path: node.path.clone(),
            encoded: encode(&node.path),
            href,
            live: StreamNode::name_in_tree(self.address.period, self.address.selection, &node.path)
                .filter(|_| is_shown),
            is_estimated: figures.is_estimated,
            silent: figures.silent_since.map(since),
            energy: or_dash(shown.energy),
            cost: settings.tariff.as_ref().map(|_| or_dash(shown.cost)),
            is_whole: shown.whole || !is_shown,
            watts: shown.watts,
            known: shown.known,
            reporting: shown.reporting,
        }
    }
}
