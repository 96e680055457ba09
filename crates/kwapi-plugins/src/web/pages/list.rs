//! `/last/<period>/`: the summary and a leaf of the probes.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use kwapi_core::{Period, ProbeId, Timestamp};
use kwapi_graph::{Theme, watts_text};

use super::super::Site;
use super::super::answer::Asked;
use super::super::chosen::Chosen;
use super::super::graphs::Form;
use super::super::route::{Query, encode};
use super::view::{Drawing, EnergyWords, Legend, NARROW, Present, WIDE, drawing, swatch};
use super::{Layout, filtered, inline, render};

/// Probes on one leaf.
const LEAF: usize = 24;

#[derive(Debug, Template)]
#[template(path = "last.html")]
struct Page {
    layout: Layout,
    period: Period,
    watts: Option<String>,
    reporting: usize,
    silent: usize,
    probes: usize,
    chosen: usize,
    shows_chosen: bool,
    filter: String,
    matching: usize,
    energy: Option<EnergyWords>,
    summary: Drawing,
    others: u32,
    coloured: usize,
    cards: Vec<Card>,
    leaf: usize,
    leaves: usize,
    previous: Option<String>,
    next: Option<String>,
    /// This page's own address, to return to.
    here: String,
}

#[derive(Debug)]
struct Card {
    present: Present,
    swatch: String,
    drawing: Drawing,
}

pub(super) fn answer(
    site: &Site,
    period: Period,
    query: &Query,
    chosen: &Chosen,
    now: Timestamp,
    asked: &Asked,
) -> Response {
    let all = site.probes.sorted();
    let chosen_here: Vec<ProbeId> = all.iter().filter(|probe| chosen.contains(probe)).cloned().collect();
    let filter: String = query.get("q").unwrap_or_default().trim().chars().take(200).collect();
    let shows_chosen = match query.get("show") {
        Some("all") => false,
        _ => !chosen_here.is_empty() && filter.is_empty(),
    };
    let matching = match (shows_chosen, filter.is_empty()) {
        (true, _) => chosen_here.clone(),
        (false, true) => all.to_vec(),
        (false, false) => filtered(&all, &filter),
    };
    let leaves = matching.len().div_ceil(LEAF).max(1);
    let leaf = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, leaves);
    let path = |leaf: usize| {
        let mut members = Vec::new();
        if !filter.is_empty() {
            members.push(format!("q={}", encode(&filter)));
        } else if !shows_chosen && !chosen_here.is_empty() {
            members.push("show=all".to_owned());
        }
        if leaf > 1 {
            members.push(format!("page={leaf}"));
        }
        let query = if members.is_empty() { String::new() } else { format!("?{}", members.join("&")) };
        format!("/last/{period}/{query}")
    };
    let parts = site.probes.parts();
    let stacked = site.graphs.stacked(&parts, period, now);
    let cards = matching.iter().skip((leaf - 1) * LEAF).take(LEAF).map(|probe| Card {
        present: Present::new(site, probe, chosen.contains(probe), now),
        swatch: if site.settings.sums.contains(probe) {
            String::new() // It has no place in the summary.
        } else {
            let position = stacked.position(probe.as_str());
            swatch(position.map(|index| (index, stacked.bands.len())), site.settings.hue)
        },
        drawing: drawing(site, probe, period, now),
    });
    let overall = site.probes.overall(&all, now, site.settings.silent_after.as_secs());
    let page = Page {
        layout: Layout::new(site, period.label().to_owned(), Some(period)),
        period,
        watts: overall.watts.map(watts_text),
        reporting: overall.reporting,
        silent: overall.probes - overall.reporting,
        probes: overall.probes,
        chosen: chosen_here.len(),
        shows_chosen,
        matching: matching.len(),
        energy: EnergyWords::of_all(&overall, now, &site.settings),
        summary: summary(site, &parts, period, now),
        others: stacked.others,
        coloured: stacked.bands.len(),
        cards: cards.collect(),
        leaf,
        leaves,
        previous: (leaf > 1).then(|| path(leaf - 1)),
        next: (leaf < leaves).then(|| path(leaf + 1)),
        here: path(leaf),
        filter,
    };
    render(&page, StatusCode::OK, asked)
}

fn summary(site: &Site, probes: &[ProbeId], period: Period, now: Timestamp) -> Drawing {
    let draw = |size| site.graphs.summary(probes, period, Form::Svg(size, Theme::Page), now).ok();
    let (wide, narrow) = (draw(WIDE), draw(NARROW));
    Drawing {
        legend: Legend::new(&wide.as_ref().map(|graph| graph.figures).unwrap_or_default(), &site.settings),
        svg: wide.as_ref().map(inline).unwrap_or_default(),
        narrow: narrow.as_ref().map(inline),
    }
}
