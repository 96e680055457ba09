//! The energy of a probe by hour, day or month: as bars, and as the table behind them.

use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use kwapi_core::{ProbeId, Timestamp};
use kwapi_graph::{BarStep, EnergyBar, EnergyFigure, Size, draw_bars};
use kwapi_history::{CalendarStep, EnergyRequest, EnergySpan, EnergyStep, Query};

use super::super::super::overview::Seen;
use super::super::super::range::Range;
use super::super::super::route::FormFields;
use super::super::super::{Site, words};
use super::super::table::columns::{energies, money};
use super::super::{probe_path, spans};

/// The bars within a page, and the same for a narrow screen.
const WIDE: Size = Size { width: 1_120, height: 180, framed: false };
const NARROW: Size = Size { width: 400, height: 170, framed: false };

/// A step of the bars that an address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    key: &'static str,
    word: &'static str,
    calendar: CalendarStep,
    drawn: BarStep,
    /// So many bars there are at most, the last of them in progress.
    bars: i32,
}

const DAY: Step =
    Step { key: "day", word: "Day", calendar: CalendarStep::Day, drawn: BarStep::Day, bars: 31 };
const STEPS: [Step; 3] = [
    Step { key: "hour", word: "Hour", calendar: CalendarStep::Hour, drawn: BarStep::Hour, bars: 24 },
    DAY,
    Step { key: "month", word: "Month", calendar: CalendarStep::Month, drawn: BarStep::Month, bars: 13 },
];

/// The bars of a probe's page.
#[derive(Debug)]
pub(in super::super) struct Bars {
    /// By what, in a sentence.
    pub(in super::super) by: &'static str,
    /// Word and address of each step, and whether it is this one.
    pub(in super::super) steps: Vec<(&'static str, String, bool)>,
    pub(in super::super) wide: String,
    pub(in super::super) narrow: String,
    pub(in super::super) unit: String,
    pub(in super::super) currency: Option<String>,
    /// The newest first.
    pub(in super::super) rows: Vec<BarRow>,
    /// What could not be read, and why.
    pub(in super::super) unreadable: Vec<String>,
}

/// A line of the table.
#[derive(Debug)]
pub(in super::super) struct BarRow {
    pub(in super::super) at: String,
    pub(in super::super) href: String,
    pub(in super::super) energy: String,
    pub(in super::super) cost: Option<String>,
    pub(in super::super) shares: String,
}

impl Step {
    /// The step that `by=` names; days where it names none.
    fn of(query: &FormFields) -> Self {
        let wanted = query.get("by").unwrap_or_default();
        STEPS.into_iter().find(|step| step.key == wanted).unwrap_or(DAY)
    }

    /// Where the first bar begins, at the end of which lies `now`; `None` beyond the calendar.
    fn begin(self, now: &Zoned) -> Option<Timestamp> {
        let before = i64::from(self.bars - 1);
        let begin = match self.calendar {
            CalendarStep::Month => now.date().first_of_month().checked_sub(before.months()).ok()?,
            CalendarStep::Day => now.date().checked_sub(before.days()).ok()?,
            CalendarStep::Hour | CalendarStep::Quarter | CalendarStep::Minute => {
                let second = now.timestamp().as_second();
                let past = second.checked_add(i64::from(now.offset().seconds()))?.rem_euclid(3_600);
                let begin = second.checked_sub(past)?.checked_sub(before * 3_600)?;
                return u64::try_from(begin).ok().map(Timestamp::from_seconds);
            }
        };
        let begin = begin.to_zoned(now.time_zone().clone()).ok()?.timestamp().as_second();
        u64::try_from(begin).ok().map(Timestamp::from_seconds)
    }
}

/// The bars that the address requests; `None` where nothing was measured in their time.
pub(in super::super) fn bars(
    site: &Site,
    ledger: &Query,
    seen: &Seen,
    probe: &ProbeId,
    query: &FormFields,
    now: Timestamp,
) -> Option<Bars> {
    let (step, zone) = (Step::of(query), &site.settings.zone);
    let start = step.begin(&zoned(now, zone)?)?;
    let cut = EnergyStep::Calendar(step.calendar, zone.clone());
    let request =
        EnergyRequest { probes: vec![probe.clone()], start, end: now, step: cut, is_to_now: false, now };
    let answer = ledger.energy(&request).ok()?;
    let message = |cause: &str| {
        // Where a file lies is for operators.
        if seen.is_everything { cause.to_owned() } else { "a file of the ledger cannot be read".to_owned() }
    };
    let unreadable = answer.unreadable.iter().map(|file| message(&file.cause)).collect();
    let of_probe = answer.probes.into_iter().next()?;
    let (mut all, since) = (of_probe.spans, of_probe.since);
    // A file that cannot be read has nothing of the time before the probe was first received.
    let may_lack = |span: &EnergySpan| span.is_incomplete && since.is_some_and(|since| span.end > since);
    let is_absent = |span: &EnergySpan| span.known_ms() == 0 && span.unknown_ms == 0 && !may_lack(span);
    let absent = all.iter().take_while(|span| is_absent(span)).count();
    all.drain(..absent);
    if all.is_empty() {
        return None;
    }
    let drawn: Vec<EnergyBar> = all.iter().map(|span| bar(span, zone)).collect();
    let words = sentence(probe, step, &all, zone);
    let draw = |size| draw_bars(&words, step.drawn, &drawn, size, zone);
    let figures = all.iter().map(spans::figure);
    let most = figures.clone().filter_map(EnergyFigure::kwh).fold(0.0, f64::max);
    let tariff = site.settings.tariff.as_ref();
    let costs =
        tariff.map(|tariff| (money(most * tariff.price_per_kwh, &tariff.currency), tariff.price_per_kwh));
    let column = energies(most);
    let row = |(span, figure): (&EnergySpan, EnergyFigure)| {
        let kwh = figure.kwh();
        let marked = |text: String| if kwh.is_some() { format!("{}{text}", figure.mark()) } else { text };
        BarRow {
            at: words::range(span.start, span.end, zone),
            href: Range { from: span.start, to: span.end }.href(probe, zone),
            energy: marked(column.text(kwh)),
            cost: costs.as_ref().map(|(costs, price)| marked(costs.text(kwh.map(|kwh| kwh * price)))),
            shares: spans::shares(span).unwrap_or_default(),
        }
    };
    let href = |step: Step| format!("{}?by={}", probe_path(probe), step.key);
    Some(Bars {
        by: step.key,
        steps: STEPS.map(|other| (other.word, href(other), other == step)).into(),
        wide: draw(WIDE),
        narrow: draw(NARROW),
        rows: all.iter().zip(figures).rev().map(row).collect(),
        unit: column.unit.clone(),
        currency: costs.as_ref().map(|(costs, _)| costs.unit.clone()),
        unreadable,
    })
}

fn zoned(at: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let at = jiff::Timestamp::from_second(i64::try_from(at.seconds()).ok()?).ok()?;
    Some(at.to_zoned(zone.clone()))
}

fn bar(span: &EnergySpan, zone: &TimeZone) -> EnergyBar {
    let kwh = |mj: i64| mj as f64 / 3.6e9;
    let [measured, estimated, bridged] = span.known.mj.map(kwh);
    let energy = spans::figure(span).text().unwrap_or_else(|| "unknown".to_owned());
    let shares = spans::shares(span).map_or_else(String::new, |shares| format!(", {shares}"));
    EnergyBar {
        start: span.start.seconds(),
        measured_kwh: measured,
        // What averages show is no more than an estimate.
        estimated_kwh: estimated + kwh(span.rrd_mj),
        bridged_kwh: bridged,
        is_unknown: span.unknown_ms > 0 || span.is_incomplete,
        words: format!("{}: {energy}{shares}", words::range(span.start, span.end, zone)),
    }
}

/// The whole picture in a sentence.
fn sentence(probe: &ProbeId, step: Step, all: &[EnergySpan], zone: &TimeZone) -> String {
    let kwh_of = |span: &&EnergySpan| spans::figure(span).kwh();
    let most = all.iter().filter(|span| kwh_of(span).is_some()).max_by(|a, b| {
        let [a, b] = [a, b].map(|span| kwh_of(span).unwrap_or_default());
        a.total_cmp(&b)
    });
    let unknown = all.iter().filter(|span| span.unknown_ms > 0 || span.is_incomplete).count();
    let (first, last) = (all.first(), all.last());
    let time = first.zip(last).map(|(first, last)| words::range(first.start, last.end, zone));
    let mut words = format!("{probe}, energy by {}, {}", step.key, time.unwrap_or_default());
    if let Some(most) = most {
        let energy = spans::figure(most).text().unwrap_or_default();
        words += &format!(": at most {energy}, {}", words::range(most.start, most.end, zone));
    }
    if unknown > 0 {
        words += &format!("; in {unknown} of {} something is unknown", all.len());
    }
    words
}
