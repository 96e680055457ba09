//! `/table/<period>/`: all probes that are seen, a line each, in the order that is requested.

use std::cmp::Ordering;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use kwapi_core::{Period, ProbeId, Quality, Timestamp};
use kwapi_graph::EnergyFigure;

use super::super::answer;
use super::super::route::FormFields;
use super::super::selection::{ProbeFilter, query_of};
use super::super::{Settings, Site, words};
use super::facets::{Facet, facets};
use super::view::is_simulated;
use super::{Layout, PageRequest, position, probe_path, render};

pub(super) mod columns;

use columns::{Amounts, energies, money, powers};

/// Lines on one page.
const PAGE_SIZE: usize = 100;

#[derive(Debug, Template)]
#[template(path = "table.html")]
struct Page {
    layout: Layout,
    period: Period,
    selection: ProbeFilter,
    chips: Vec<(String, String)>,
    facets: Vec<Facet>,
    /// By which column, and which way.
    order: (&'static str, &'static str),
    heads: Vec<Head>,
    /// How watts are written.
    watts_column: String,
    rows: Vec<Row>,
    /// All that is seen together, where nothing is left out.
    total: Option<Row>,
    matching: usize,
    reporting: usize,
    probes: usize,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
}

/// The head of a column: a link that sorts by it, or turns it.
#[derive(Debug)]
struct Head {
    word: &'static str,
    unit: String,
    href: String,
    /// `ascending` or `descending`, of the column that is sorted by.
    sorted: Option<&'static str>,
    class: &'static str,
}

/// A line of the table, in words.
#[derive(Debug)]
struct Row {
    id: String,
    href: String,
    marks: Vec<&'static str>,
    watts: String,
    energy: String,
    cost: Option<String>,
    /// How long ago it measured.
    age: String,
    /// Since when it is silent, if it is.
    silent: Option<String>,
}

/// What is known of a probe.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    probe: &'a ProbeId,
    /// Present power in watts; `None` when it is silent.
    watts: Option<f64>,
    is_estimated: bool,
    is_silent: bool,
    energy: EnergyFigure,
    at: Option<Timestamp>,
}

/// What lines are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Name,
    Watts,
    Energy,
    Cost,
    Age,
}

impl Column {
    const ALL: [Self; 5] = [Self::Name, Self::Watts, Self::Energy, Self::Cost, Self::Age];

    const fn key(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Watts => "watts",
            Self::Energy => "energy",
            Self::Cost => "cost",
            Self::Age => "age",
        }
    }

    /// As people expect it first: names from A, amounts from the largest, measurements from the newest.
    const fn is_ascending(self) -> bool {
        matches!(self, Self::Name | Self::Age)
    }

    /// Whether lines must have their energy to be ordered.
    const fn is_energy(self) -> bool {
        matches!(self, Self::Energy | Self::Cost)
    }

    /// What is not known comes last, whichever way. Lines that are alike stay in the order of names.
    fn compare(self, a: &Line<'_>, b: &Line<'_>, is_up: bool) -> Ordering {
        let turned = |order: Ordering| if is_up { order } else { order.reverse() };
        let amounts = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => turned(a.total_cmp(&b)),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        match self {
            // They come in the order of names.
            Self::Name => Ordering::Equal,
            Self::Watts => amounts(a.watts, b.watts),
            // One price for all: what used more costs more.
            Self::Energy | Self::Cost => amounts(a.energy.kwh(), b.energy.kwh()),
            Self::Age => match (a.at, b.at) {
                (Some(a), Some(b)) => turned(b.cmp(&a)),
                (a, b) => b.is_some().cmp(&a.is_some()),
            },
        }
    }
}

/// How the table is ordered, as its address states.
#[derive(Clone, Copy, Debug)]
struct Order {
    column: Column,
    is_up: bool,
}

impl Order {
    /// `sort=` and `order=`; by watts, the largest first, where they have no known value.
    fn of(query: &FormFields) -> Self {
        let wanted = query.get("sort").unwrap_or_default();
        let column = Column::ALL.into_iter().find(|column| column.key() == wanted).unwrap_or(Column::Watts);
        let is_up = match query.get("order") {
            Some("up") => true,
            Some("down") => false,
            _ => column.is_ascending(),
        };
        Self { column, is_up }
    }

    fn sort(self, lines: &mut [Line<'_>]) {
        if self.column == Column::Name {
            if !self.is_up {
                lines.reverse();
            }
            return;
        }
        lines.sort_by(|a, b| self.column.compare(a, b, self.is_up));
    }
}

pub(super) fn answer(request: &PageRequest<'_>, period: Period, query: &FormFields) -> Response {
    let PageRequest { site, seen, now, conditions, .. } = *request;
    let selection = match ProbeFilter::parse(query) {
        Ok(selection) => selection,
        Err(error) => return answer::bad_request(&error.to_string()),
    };
    let order = Order::of(query);
    let found = selection.of(&seen.all, &site.directory);
    let used = site.graphs.used(&seen.all, &[period], now);
    // Without a ledger the rows have to be read: of all probes only where the order takes it.
    let energy_of = |probe: &ProbeId, reads: bool| {
        let of_rows = || if reads { of_rows(site, probe, period, now) } else { EnergyFigure::Unknown };
        used.figure(probe, period).unwrap_or_else(of_rows)
    };
    let line = |probe| {
        let latest = site.directory.now(probe);
        let present = latest.filter(|latest| !latest.is_silent);
        Line {
            probe,
            watts: present.map(|latest| latest.power.0),
            is_estimated: present.is_some_and(|latest| latest.quality == Quality::Estimated),
            is_silent: latest.is_some_and(|latest| latest.is_silent),
            energy: energy_of(probe, order.column.is_energy()),
            at: latest.map(|latest| latest.at),
        }
    };
    let mut lines: Vec<Line<'_>> = found.iter().map(line).collect();
    order.sort(&mut lines);
    let pages = lines.len().div_ceil(PAGE_SIZE).max(1);
    let page = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, pages);
    let first = (page - 1) * PAGE_SIZE;
    for line in lines.iter_mut().skip(first).take(PAGE_SIZE) {
        line.energy = energy_of(line.probe, true);
    }
    let overall = site.probes.overall(seen, &used, now);
    let all_energy = used.sum(seen.tops().iter(), period).unwrap_or_default();
    let total = (selection.is_all() && seen.all.len() > 1).then_some((overall.watts, all_energy));
    let columns = Columns::of(&lines, total, &site.settings);
    let shown = lines.iter().skip(first).take(PAGE_SIZE);
    let address = Address { period, selection: &selection };
    let with_page = |page: usize| {
        let turned = if order.is_up { "up" } else { "down" };
        address.of(&[("sort", order.column.key()), ("order", turned), ("page", &page.to_string())])
    };
    let ordered = |selection: &ProbeFilter| {
        let turned = if order.is_up { "up" } else { "down" };
        Address { period, selection }.of(&[("sort", order.column.key()), ("order", turned)])
    };
    let page = Page {
        layout: Layout::new(site, seen, format!("{}, all probes", period.label()), Some(period)),
        period,
        chips: selection.without_each().into_iter().map(|(words, rest)| (words, ordered(&rest))).collect(),
        facets: facets(&site.directory, &found, &selection, ordered),
        order: (order.column.key(), if order.is_up { "up" } else { "down" }),
        heads: columns.heads(order, &address),
        watts_column: columns.watts.digits(),
        rows: shown.map(|line| columns.row(site, line, now)).collect(),
        total: total.map(|(watts, energy)| columns.total(watts, energy)),
        matching: lines.len(),
        reporting: overall.reporting,
        probes: seen.all.len(),
        page,
        pages,
        previous: (page > 1).then(|| with_page(page - 1)),
        next: (page < pages).then(|| with_page(page + 1)),
        selection: selection.clone(),
    };
    render(&page, StatusCode::OK, position(seen, &used), conditions)
}

/// What a probe used where no ledger is kept: as its graph's legend shows it.
fn of_rows(site: &Site, probe: &ProbeId, period: Period, now: Timestamp) -> EnergyFigure {
    let series = site.directory.fetch(probe, period, now.seconds()).ok().flatten();
    series.map(|series| kwapi_graph::Figures::of(&series, now.seconds()).energy).unwrap_or_default()
}

/// The table's own address.
struct Address<'a> {
    period: Period,
    selection: &'a ProbeFilter,
}

impl Address<'_> {
    fn of(&self, members: &[(&str, &str)]) -> String {
        let mut query = self.selection.members();
        query.extend(members.iter().map(|(name, value)| format!("{name}={value}")));
        format!("/table/{}/{}", self.period, query_of(&query))
    }
}

/// How the numbers of each column are written: one unit and one count of decimals, chosen by the largest.
struct Columns {
    watts: Amounts,
    energy: Amounts,
    /// With what a kilowatt-hour costs.
    cost: Option<(Amounts, f64)>,
}

impl Columns {
    fn of(lines: &[Line<'_>], total: Option<(Option<f64>, EnergyFigure)>, settings: &Settings) -> Self {
        let most = |all: &mut dyn Iterator<Item = f64>| all.fold(0.0, f64::max);
        let total_watts = total.and_then(|(watts, _)| watts);
        let total_kwh = total.and_then(|(_, energy)| energy.kwh());
        let kwh = most(&mut lines.iter().filter_map(|line| line.energy.kwh()).chain(total_kwh));
        let tariff = settings.tariff.as_ref();
        Self {
            watts: powers(most(&mut lines.iter().filter_map(|line| line.watts).chain(total_watts))),
            energy: energies(kwh),
            cost: tariff
                .map(|tariff| (money(kwh * tariff.price_per_kwh, &tariff.currency), tariff.price_per_kwh)),
        }
    }

    fn heads(&self, order: Order, address: &Address<'_>) -> Vec<Head> {
        let head = |column: Column, word, unit: &str, class| {
            let is_current = order.column == column;
            let is_up = if is_current { !order.is_up } else { column.is_ascending() };
            let turned = if is_up { "up" } else { "down" };
            Head {
                word,
                unit: unit.to_owned(),
                href: address.of(&[("sort", column.key()), ("order", turned)]),
                sorted: is_current.then_some(if order.is_up { "ascending" } else { "descending" }),
                class,
            }
        };
        let mut heads = vec![
            head(Column::Name, "Probe", "", ""),
            head(Column::Watts, "Now", &self.watts.unit, "num"),
            head(Column::Energy, "Energy", &self.energy.unit, "num"),
        ];
        if let Some((cost, _)) = &self.cost {
            heads.push(head(Column::Cost, "Cost", &cost.unit, "num"));
        }
        heads.push(head(Column::Age, "Measured", "", "num wide"));
        heads
    }

    fn row(&self, site: &Site, line: &Line<'_>, now: Timestamp) -> Row {
        let marks = [
            (is_simulated(line.probe), "simulated"),
            (site.directory.is_sum(line.probe), "sum"),
            (line.is_estimated, "estimated"),
        ];
        let age = |at| words::age(at, now);
        let since = |at| words::since(at, now, &site.settings.zone);
        Row {
            id: line.probe.to_string(),
            href: probe_path(line.probe),
            marks: marks.into_iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| mark).collect(),
            age: line.at.map_or_else(|| "never".to_owned(), age),
            silent: line.at.filter(|_| line.is_silent).map(since),
            ..self.total(line.watts, line.energy)
        }
    }

    fn total(&self, watts: Option<f64>, energy: EnergyFigure) -> Row {
        let kwh = energy.kwh();
        let marked = |text: String| if kwh.is_some() { format!("{}{text}", energy.mark()) } else { text };
        Row {
            id: String::new(),
            href: String::new(),
            marks: Vec::new(),
            watts: self.watts.text(watts),
            energy: marked(self.energy.text(kwh)),
            cost: self.cost.as_ref().map(|(cost, price)| marked(cost.text(kwh.map(|kwh| kwh * price)))),
            age: String::new(),
            silent: None,
        }
    }
}
