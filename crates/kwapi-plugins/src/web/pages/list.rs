//! `/last/<period>/`: the summary and a page of the probes.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use kwapi_core::{Period, ProbeId};
use kwapi_graph::{Band, EnergyFigure, Stacked, Theme, energy_text, watts_text};

use super::super::Site;
use super::super::graphs::{Form, Sum};
use super::super::overview::Seen;
use super::super::route::FormFields;
use super::troubles::Troubles;
use super::view::{Drawing, EnergyWords, Legend, NARROW, ProbeWords, WIDE, drawing, keys, swatch};
use super::{Layout, PageRequest, filtered, inline, position, probe_path, range, render};
use crate::http::percent::encode;

/// Probes on one page.
const PAGE_SIZE: usize = 24;

#[derive(Debug, Template)]
#[template(path = "last.html")]
struct Page {
    layout: Layout,
    period: Period,
    watts: Option<String>,
    reporting: usize,
    troubles: Troubles,
    probes: usize,
    chosen: usize,
    shows_chosen: bool,
    filter: String,
    matching: usize,
    energy: Option<EnergyWords>,
    summary: Drawing,
    /// Where the values of the summary are, if they are.
    values: Option<String>,
    others: u32,
    coloured: usize,
    /// What the bands are of, where several probes share one.
    bands: Vec<BandWords>,
    /// How much more than all together these have used, where that shows.
    excess: Option<String>,
    cards: Vec<Card>,
    /// What of its graphs is explained: its form as a little picture, and words.
    keys: Vec<(String, &'static str)>,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
    /// This page's own address, to return to.
    here: String,
}

/// A band of several probes.
#[derive(Debug)]
struct BandWords {
    swatch: String,
    name: String,
    href: String,
    energy: String,
}

#[derive(Debug)]
struct Card {
    present: ProbeWords,
    swatch: String,
    drawing: Drawing,
}

pub(super) fn answer(request: &PageRequest<'_>, period: Period, query: &FormFields) -> Response {
    let PageRequest { site, seen, now, conditions, chosen, .. } = *request;
    let all = &seen.all;
    let chosen_here: Vec<ProbeId> = all.iter().filter(|probe| chosen.contains(probe)).cloned().collect();
    let filter: String = query.get("q").unwrap_or_default().trim().chars().take(200).collect();
    let shows_chosen = match query.get("show") {
        Some("all") => false,
        _ => !chosen_here.is_empty() && filter.is_empty(),
    };
    let matching = match (shows_chosen, filter.is_empty()) {
        (true, _) => chosen_here.clone(),
        (false, true) => all.to_vec(),
        (false, false) => filtered(all, &filter),
    };
    let pages = matching.len().div_ceil(PAGE_SIZE).max(1);
    let page = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, pages);
    let path = |page: usize| {
        let mut members = Vec::new();
        if !filter.is_empty() {
            members.push(format!("q={}", encode(&filter)));
        } else if !shows_chosen && !chosen_here.is_empty() {
            members.push("show=all".to_owned());
        }
        if page > 1 {
            members.push(format!("page={page}"));
        }
        let query = if members.is_empty() { String::new() } else { format!("?{}", members.join("&")) };
        format!("/last/{period}/{query}")
    };
    let sum = site.graphs.sum(seen, period, now);
    let (stacked, used) = (&sum.stacked, &sum.used);
    let cards = matching.iter().skip((page - 1) * PAGE_SIZE).take(PAGE_SIZE).map(|probe| Card {
        present: ProbeWords::new(site, probe, chosen.contains(probe), used, now),
        swatch: if site.directory.is_sum(probe) {
            String::new() // It has no place in the summary.
        } else {
            let position = stacked.position(probe.as_str());
            swatch(position.map(|index| (index, stacked.bands.len())), site.settings.hue)
        },
        drawing: drawing(site, probe, period, used, now),
    });
    let cards: Vec<Card> = cards.collect();
    let overall = site.probes.overall(seen, used, now);
    let summary = summary(site, seen, period, &sum);
    let page = Page {
        layout: Layout::new(site, seen, period.label().to_owned(), Some(period)),
        period,
        watts: overall.watts.map(watts_text),
        reporting: overall.reporting,
        troubles: Troubles::of_probes(
            site,
            &overall.silent,
            format!("/table/{period}/?sort=age&order=down"),
            now,
        )
        .with_meters(site, seen, now)
        .with_reception(site, seen),
        probes: overall.probes,
        chosen: chosen_here.len(),
        shows_chosen,
        matching: matching.len(),
        energy: EnergyWords::of_all(&overall, now, &site.settings),
        keys: keys([&summary].into_iter().chain(cards.iter().map(|card| &card.drawing)), "measured"),
        summary,
        values: range::address_of(site, &format!("/last/{period}/"), period, now),
        others: stacked.others,
        coloured: stacked.bands.len(),
        bands: bands(site, seen, stacked),
        excess: excess(stacked),
        cards,
        page,
        pages,
        previous: (page > 1).then(|| path(page - 1)),
        next: (page < pages).then(|| path(page + 1)),
        here: path(page),
        filter,
    };
    render(&page, StatusCode::OK, position(seen, used), conditions)
}

fn summary(site: &Site, seen: &Seen, period: Period, sum: &Sum) -> Drawing {
    let draw = |size| site.graphs.summary(sum, seen, period, Form::Svg(size, Theme::Page)).ok();
    let (wide, narrow) = (draw(WIDE), draw(NARROW));
    Drawing {
        legend: Legend::new(&wide.as_ref().map(|graph| graph.figures).unwrap_or_default(), &site.settings),
        occurring: wide.as_ref().map(|graph| graph.occurring).unwrap_or_default(),
        svg: wide.as_ref().map(inline).unwrap_or_default(),
        narrow: narrow.as_ref().map(inline),
    }
}

/// How much more the bands have used than all together, if that can be seen: those below a meter measured more than it, which
/// is the whole of them.
fn excess(stacked: &Stacked) -> Option<String> {
    let total = stacked.energy.and_then(EnergyFigure::kwh)?;
    let bands: f64 = stacked.bands.iter().filter_map(|band| band.energy.kwh()).sum();
    let shows = bands > total && energy_text(bands) != energy_text(total);
    shows.then(|| energy_text(bands - total))
}

/// The bands of the summary, the largest first, where they are not of one probe each; each leads to its probes, or is one.
fn bands(site: &Site, seen: &Seen, stacked: &Stacked) -> Vec<BandWords> {
    let alone = stacked.others as usize + stacked.bands.len();
    if alone == stacked.probes as usize {
        return Vec::new();
    }
    let kwh = |(_, band): &(usize, &Band)| band.energy.kwh().unwrap_or_default();
    let mut bands: Vec<(usize, &Band)> = stacked.bands.iter().enumerate().collect();
    bands.sort_by(|a, b| kwh(b).total_cmp(&kwh(a)));
    let count = stacked.bands.len();
    let href = |name: &str| match ProbeId::new(name) {
        Ok(probe)
            if seen.has(&probe) && !seen.parts.iter().any(|part| *part != probe && part.is_within(name)) =>
        {
            probe_path(&probe)
        }
        _ => format!("/groups/?in={}", encode(name)),
    };
    let words = |(at, band): (usize, &Band)| BandWords {
        swatch: swatch(Some((at, count)), site.settings.hue),
        name: band.name.clone(),
        href: href(&band.name),
        energy: band.energy.text().unwrap_or_else(|| "–".to_owned()),
    };
    bands.into_iter().map(words).collect()
}
