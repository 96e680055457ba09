//! `/search/?q=…`: probes, groups, labels and meters that have a text in their names, a bounded number of each; as a page, and as
//! JSON for the field that shows them while one types.

use std::collections::BTreeSet;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use kwapi_core::{ProbeId, groups_of};
use serde::Serialize;

use super::super::answer::{self, Conditions, Content};
use super::super::overview::Seen;
use super::super::route::FormFields;
use super::super::selection::{ProbeFilter, query_of};
use super::super::{Site, group};
use super::{Layout, PageRequest, group_path, probe_path, render};

/// As many probes are named…
const PROBES_MAX: usize = 12;
/// …and as many groups, labels and meters each.
const OTHERS_MAX: usize = 6;
/// Of so many probes the labels are looked at: more take longer than a keystroke may.
const LABELLED_MAX: usize = 10_000;

#[derive(Debug, Template)]
#[template(path = "search.html")]
struct Page {
    layout: Layout,
    found: Found,
    /// Where all probes are whose ids have the text.
    all: String,
}

/// What there is.
#[derive(Debug, Default, Serialize)]
struct Found {
    query: String,
    found: Vec<Hit>,
    /// Probes that have the text in their ids and are not named.
    more: usize,
}

/// Something that is found.
#[derive(Debug, Serialize)]
struct Hit {
    kind: &'static str,
    name: String,
    href: String,
}

pub(super) fn answer(request: &PageRequest<'_>, query: &FormFields) -> Response {
    let PageRequest { site, seen, conditions, .. } = *request;
    let selection = ProbeFilter::parse(query).unwrap_or_default();
    let found = find(site, seen, &selection.text);
    match query.get("format") {
        None => {}
        Some("json") => return json(&found, conditions),
        Some(_) => return answer::bad_request("format must be json"),
    }
    let title = if found.query.is_empty() { "Search".to_owned() } else { format!("Search: {}", found.query) };
    let all = format!("/table/day/{}", query_of(&selection.members()));
    let page = Page { layout: Layout::new(site, seen, title, None), found, all };
    render(&page, StatusCode::OK, None, conditions)
}

fn json(found: &Found, conditions: &Conditions) -> Response {
    let Ok(text) = serde_json::to_vec(found) else { return answer::failed("cannot write the answer") };
    let content = Content {
        kind: "application/json",
        bytes: Bytes::from(text),
        modified: None,
        cache_control: "private, no-cache",
        disposition: None,
        position: None,
    };
    content.answer(StatusCode::OK, conditions)
}

/// All of it within what the caller sees.
fn find(site: &Site, seen: &Seen, query: &str) -> Found {
    let text = query.to_lowercase();
    if text.is_empty() {
        return Found::default();
    }
    let has_text = |name: &str| name.to_lowercase().contains(&text);
    let mut found: Vec<Hit> = Vec::new();
    found.extend(groups(site, seen, has_text).into_iter().map(|name| Hit {
        kind: "group",
        href: group_path(&name),
        name,
    }));
    let all: Vec<&ProbeId> = seen.all.iter().filter(|probe| has_text(probe.as_str())).collect();
    // Whose name, or a part of it, begins so is more likely meant.
    let begins = |probe: &&&ProbeId| {
        let id = probe.as_str().to_lowercase();
        id.starts_with(&text) || id.contains(&format!(".{text}"))
    };
    let (likely, others): (Vec<&ProbeId>, Vec<&ProbeId>) = all.iter().partition(|probe| begins(probe));
    let probes = likely.into_iter().chain(others).take(PROBES_MAX);
    found.extend(probes.map(|probe| Hit { kind: "probe", name: probe.to_string(), href: probe_path(probe) }));
    found.extend(labels(site, seen, has_text));
    let meters = site.directory.meters().filter(|_| seen.is_everything).unwrap_or_default();
    let meters = meters.iter().filter(|meter| has_text(&meter.name)).take(OTHERS_MAX);
    found.extend(meters.map(|meter| Hit {
        kind: "meter",
        name: meter.name.clone(),
        href: "/meters/".to_owned(),
    }));
    Found { query: query.to_owned(), found, more: all.len().saturating_sub(PROBES_MAX) }
}

/// Groups that the caller may read.
fn groups(site: &Site, seen: &Seen, has_text: impl Fn(&str) -> bool) -> Vec<String> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut last = "";
    for group in seen.parts.iter().flat_map(groups_of) {
        // Neighbours are mostly in the same groups.
        if group != last && has_text(group) {
            names.insert(group);
        }
        last = group;
    }
    let names: Vec<&str> = names.into_iter().collect();
    let readable = group::readable(site, seen, &names);
    let readable = names.into_iter().zip(readable).filter(|(_, is_readable)| *is_readable);
    readable.take(OTHERS_MAX).map(|(name, _)| name.to_owned()).collect()
}

/// Labels that have the text in their name or value, each with where their probes are.
fn labels(site: &Site, seen: &Seen, has_text: impl Fn(&str) -> bool) -> Vec<Hit> {
    let mut found: BTreeSet<(String, String)> = BTreeSet::new();
    for probe in seen.all.iter().take(LABELLED_MAX) {
        for (name, value) in site.directory.labels(probe) {
            if found.len() < OTHERS_MAX && (has_text(&name) || has_text(&value)) {
                found.insert((name, value));
            }
        }
        if found.len() >= OTHERS_MAX {
            break;
        }
    }
    let hit = |(name, value): (String, String)| {
        let members = ProbeFilter::default().with(&name, &value).members();
        Hit {
            kind: "label",
            name: format!("{name} = {value}"),
            href: format!("/table/day/{}", query_of(&members)),
        }
    };
    found.into_iter().map(hit).collect()
}
