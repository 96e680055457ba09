//! What templates show: everything already in words.

use kwapi_core::{Period, ProbeId, Quality, Timestamp};
use kwapi_graph::{EnergyFigure, Figures, Size, Theme, colour, cost_text, watts_text, watts_texts};

use super::super::graphs::{Form, Graph, NoGraph, Subject};
use super::super::marks::Occurring;
use super::super::overview::{Overall, Seen};
use super::super::used::Used;
use super::super::{Settings, Site, words};
use super::{inline, probe_path};
use crate::directory::EnergySince;
use crate::http::percent::encode;

/// A probe's graph within a page.
pub(super) const CARD: Size = Size { width: 400, height: 150, framed: false };
/// The summary within a page, and the same for a narrow screen: its labels would shrink with it.
pub(super) const WIDE: Size = Size { width: 1_120, height: 240, framed: false };
pub(super) const NARROW: Size = Size { width: 400, height: 200, framed: false };

/// The figures under a graph.
#[derive(Debug, Default)]
pub(super) struct Legend {
    pub(super) min: String,
    pub(super) max: String,
    pub(super) average: String,
    pub(super) last: String,
    pub(super) energy: String,
    pub(super) cost: Option<String>,
}

impl Legend {
    pub(super) fn new(figures: &Figures, settings: &Settings) -> Self {
        let [min, max, average, last] =
            watts_texts([figures.min, figures.max, figures.average, figures.last]);
        Self {
            min,
            max,
            average,
            last,
            energy: figures.energy.text().unwrap_or_else(|| "–".to_owned()),
            cost: cost(figures.energy, settings),
        }
    }
}

/// What is explained of drawings: its form as a little picture, and words; `measured` is what that means in them.
pub(super) fn keys<'a>(
    drawings: impl IntoIterator<Item = &'a Drawing>,
    measured: &'static str,
) -> Vec<(String, &'static str)> {
    let occurring = drawings.into_iter().map(|drawing| drawing.occurring);
    occurring.fold(Occurring::default(), Occurring::or).keys(measured)
}

/// A drawing and its figures; without a drawing, why there is none.
#[derive(Debug)]
pub(super) struct Drawing {
    pub(super) svg: String,
    pub(super) narrow: Option<String>,
    pub(super) legend: Legend,
    /// How sure its rows are, where that is marked.
    pub(super) occurring: Occurring,
}

/// An energy total in words.
#[derive(Debug)]
pub(super) struct EnergyWords {
    pub(super) energy: String,
    pub(super) cost: Option<String>,
    pub(super) since: String,
    /// What it reaches to where that is before the present.
    pub(super) until: Option<String>,
    pub(super) share: Option<String>,
}

impl EnergyWords {
    pub(super) fn new(account: &EnergySince, now: Timestamp, settings: &Settings) -> Self {
        let total = EnergyFigure::Known(account.totals.energy.kwh());
        Self {
            energy: total.text().unwrap_or_default(),
            cost: cost(total, settings),
            since: words::instant(account.since, now, &settings.zone),
            until: account.until.map(|until| words::instant(until, now, &settings.zone)),
            share: words::share(&account.totals),
        }
    }

    pub(super) fn of_all(overall: &Overall, now: Timestamp, settings: &Settings) -> Option<Self> {
        let account = EnergySince { since: overall.since?, until: None, totals: overall.totals };
        Some(Self::new(&account, now, settings))
    }
}

/// A probe at this moment.
#[derive(Debug)]
pub(super) struct ProbeWords {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) encoded: String,
    /// What sets it apart: a word, and a sentence that explains it.
    pub(super) marks: Vec<(&'static str, &'static str)>,
    pub(super) is_chosen: bool,
    /// Its power; `None` when it is silent or has not measured yet.
    pub(super) watts: Option<String>,
    pub(super) is_estimated: bool,
    /// How long ago it measured, and when in full.
    pub(super) seen: Option<(String, String)>,
    pub(super) energy: Option<EnergyWords>,
}

impl ProbeWords {
    pub(super) fn new(site: &Site, probe: &ProbeId, is_chosen: bool, used: &Used, now: Timestamp) -> Self {
        let latest = site.directory.now(probe);
        let live = latest.as_ref().filter(|latest| !latest.is_silent);
        let zone = &site.settings.zone;
        let mut marks = Vec::new();
        if is_simulated(probe) {
            marks.push(("simulated", "Not a real server: its meter is simulated"));
        }
        if site.directory.is_sum(probe) {
            marks.push(("sum", "Sum of other probes; not counted again in totals"));
        }
        Self {
            id: probe.to_string(),
            href: probe_path(probe),
            encoded: encode(probe.as_str()),
            marks,
            is_chosen,
            watts: live.map(|latest| watts_text(latest.power.0)),
            is_estimated: live.is_some_and(|latest| latest.quality == Quality::Estimated),
            seen: latest.map(|latest| (words::age(latest.at, now), words::instant(latest.at, now, zone))),
            energy: latest
                .and_then(|latest| used.account(probe, latest.account))
                .map(|account| EnergyWords::new(&account, now, &site.settings)),
        }
    }
}

/// Whether the demonstration made up this probe.
pub(super) fn is_simulated(probe: &ProbeId) -> bool {
    probe.as_str().starts_with("demo.")
}

/// What energy cost, when there is a tariff.
fn cost(energy: EnergyFigure, settings: &Settings) -> Option<String> {
    let (tariff, kwh) = (settings.tariff.as_ref()?, energy.kwh()?);
    Some(format!("{}{}", energy.mark(), cost_text(kwh * tariff.price_per_kwh, &tariff.currency)))
}

/// A probe's drawing over a period, with what it `used` then; empty when it cannot be drawn.
pub(super) fn drawing(site: &Site, probe: &ProbeId, period: Period, used: &Used, now: Timestamp) -> Drawing {
    drawing_of(site, &Subject::Probe(probe.clone()), period, used.figure(probe, period), None, now)
}

/// The drawing of a probe or a group, which has `members`, over a period, with the `energy` of it.
pub(super) fn drawing_of(
    site: &Site,
    subject: &Subject,
    period: Period,
    energy: Option<EnergyFigure>,
    members: Option<&Seen>,
    now: Timestamp,
) -> Drawing {
    let what = if matches!(subject, Subject::Group(_)) { "group" } else { "probe" };
    let form = Form::Svg(CARD, Theme::Page);
    let graph = match site.graphs.one(subject, period, form, energy, members, now) {
        Ok(graph) => graph,
        Err(NoGraph::Undrawn(_)) => None,
        Err(NoGraph::Unreadable(_)) => {
            let svg = format!("<p>The history of this {what} is unreadable; see the log.</p>");
            let legend = Legend::new(&Figures::default(), &site.settings);
            return Drawing { svg, narrow: None, legend, occurring: Occurring::default() };
        }
    };
    let (svg, figures, occurring) =
        graph.map_or_else(Default::default, |graph: Graph| (inline(&graph), graph.figures, graph.occurring));
    Drawing { svg, narrow: None, legend: Legend::new(&figures, &site.settings), occurring }
}

/// The colour of a probe in the summary, as a little picture: style attributes are forbidden in our pages.
pub(super) fn swatch(position: Option<(usize, usize)>, hue: f64) -> String {
    let ink = match position {
        Some((index, count)) => format!(r#"fill="{}""#, colour(index, count, hue)),
        None => r#"class="kw-others""#.to_owned(),
    };
    format!(
        r#"<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true"><rect {ink} width="10" height="10" rx="3"/></svg>"#
    )
}
