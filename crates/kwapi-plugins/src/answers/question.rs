//! A question about energy, as a query states it.

use std::borrow::Cow;
use std::time::Duration;

use jiff::tz::TimeZone;
use kwapi_core::{ProbeId, Timestamp};
use kwapi_history::{CalendarStep, EnergyRequest, EnergyStep};

use super::when;
use crate::choice::ProbeChoice;
use crate::http::HttpError;

/// What a question may have.
pub(crate) const PARAMETERS: [&str; 10] =
    ["probe", "pattern", "label", "group", "start", "end", "step", "by", "zone", "format"];
/// What a question about one group may have.
pub(crate) const GROUP_PARAMETERS: [&str; 5] = ["start", "end", "step", "zone", "format"];
/// Of how long it is where it states none.
const SPAN_DEFAULT: Duration = Duration::from_secs(86_400);
/// A client's clock may be so far ahead of ours.
const AHEAD_MAX: Duration = Duration::from_secs(60);
const GROUPS_MAX: usize = 100;
/// Steps that a series has where its question states none, in seconds, and how many rows are enough.
const SERIES_STEPS: [u64; 9] = [1, 10, 60, 300, 900, 3_600, 7_200, 21_600, SERIES_STEP_MAX];
const SERIES_STEP_MAX: u64 = 86_400;
const SERIES_ROWS: u64 = 400;

/// What each line of an answer is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum EnergyBy {
    /// A probe.
    #[default]
    Probe,
    /// All of them together.
    Total,
    /// All that have the same value of a label; those without it have a line of their own.
    Label(String),
    /// A group: all below a prefix of their path.
    Group,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnergyFormat {
    /// One JSON document.
    #[default]
    Json,
    /// Lines with a header (RFC 4180).
    Csv,
}

impl EnergyFormat {
    /// Its media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

/// A question.
#[derive(Clone, Debug)]
pub struct EnergyQuestion {
    pub(super) choice: ProbeChoice,
    /// Members of one of these; none: of any or none.
    pub(super) groups: Vec<String>,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// Whether it ends with the newest measurement: an instant before that was not named.
    is_to_now: bool,
    pub(super) step: EnergyStep,
    /// As it was written.
    pub(super) step_text: Option<String>,
    pub(super) by: EnergyBy,
    pub(super) format: EnergyFormat,
    /// Whether power is requested as well.
    pub(super) has_power: bool,
    /// Of instants that have no offset, of the calendar and of what is answered.
    pub(super) zone: TimeZone,
    now: Timestamp,
}

impl EnergyQuestion {
    /// Reads a query, decoded. `accept` is the formats that the request accepts.
    ///
    /// # Errors
    /// At the first parameter that makes no sense.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        accept: &str,
        now: Timestamp,
    ) -> Result<Self, HttpError> {
        let mut question = Self {
            choice: ProbeChoice::default(),
            groups: Vec::new(),
            start: now,
            end: now,
            is_to_now: false,
            step: EnergyStep::Whole,
            step_text: None,
            by: EnergyBy::Probe,
            format: if accepts_csv(accept) { EnergyFormat::Csv } else { EnergyFormat::Json },
            has_power: false,
            zone: TimeZone::UTC,
            now,
        };
        let (mut start, mut end, mut zone, mut by): (
            Option<String>,
            Option<String>,
            Option<String>,
            Option<String>,
        ) = Default::default();
        for (name, value) in pairs {
            let value = value.into_owned();
            match name.as_ref() {
                "probe" | "pattern" => _ = question.choice.take(&name, &value)?,
                "label" => question.choice.take_label(&value)?,
                "group" if question.groups.len() < GROUPS_MAX => question.groups.push(value),
                "group" => {
                    return Err(HttpError::bad_request(format!(
                        "A query may list at most {GROUPS_MAX} groups."
                    )));
                }
                "start" => once("start", &mut start, value)?,
                "end" => once("end", &mut end, value)?,
                "zone" => once("zone", &mut zone, value)?,
                "step" => once("step", &mut question.step_text, value)?,
                "by" => once("by", &mut by, value)?,
                "format" => {
                    question.format = match value.as_str() {
                        "json" => EnergyFormat::Json,
                        "csv" => EnergyFormat::Csv,
                        _ => return Err(wrong("format", &value, &"must be json or csv")),
                    }
                }
                // Who mistypes `step` must not take a total for an hour.
                other => return Err(no_parameter(other, &PARAMETERS)),
            }
        }
        if let Some(name) = &zone {
            question.zone = when::zone(name).map_err(|error| wrong("zone", name, &error))?;
        }
        let named_zone = zone.is_some().then(|| question.zone.clone());
        let instant = |name: &str, text: &str| {
            let at =
                when::instant(text, named_zone.as_ref(), now).map_err(|error| wrong(name, text, &error))?;
            if at.since(now) > AHEAD_MAX {
                let now = when::rfc3339(now, &question.zone);
                return Err(wrong(name, text, &format!("is in the future: it is {now}; use end=now")));
            }
            Ok(at.min(now))
        };
        question.end = end.as_deref().map_or(Ok(now), |text| instant("end", text))?;
        question.is_to_now = end.is_none_or(|text| text.trim() == "now");
        question.start = match &start {
            Some(text) => instant("start", text)?,
            None => Timestamp::from_micros(
                question.end.micros().saturating_sub(u64::try_from(SPAN_DEFAULT.as_micros()).unwrap_or(0)),
            ),
        };
        if question.end <= question.start {
            let [start, end] = [question.start, question.end].map(|at| when::rfc3339(at, &question.zone));
            let error = format!("The end must be after the start: start is {start}, end is {end}.");
            return Err(HttpError::bad_request(error));
        }
        question.step = match &question.step_text {
            Some(text) => step(text, &question.zone)?,
            None => EnergyStep::Whole,
        };
        question.by = match by.as_deref() {
            None if question.groups.is_empty() => EnergyBy::Probe,
            None | Some("group") => EnergyBy::Group,
            Some("probe") => EnergyBy::Probe,
            Some("total") => EnergyBy::Total,
            Some(key) => EnergyBy::Label(key.strip_prefix("label:").unwrap_or(key).to_owned()),
        };
        Ok(question)
    }

    /// Reads a query about power over time, decoded: its step is chosen by its length where it states none.
    ///
    /// # Errors
    /// As [`EnergyQuestion::parse`].
    pub(crate) fn of_series<'a>(
        pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        accept: &str,
        now: Timestamp,
    ) -> Result<Self, HttpError> {
        let question = Self { has_power: true, ..Self::parse(pairs, accept, now)? };
        if question.step_text.is_some() {
            return Ok(question);
        }
        let seconds = series_step(question.end.since(question.start));
        let step = EnergyStep::Every(Duration::from_secs(seconds));
        Ok(Self { step, step_text: Some(seconds.to_string()), ..question })
    }

    /// Reads a query about one group, decoded, with the [`GROUP_PARAMETERS`].
    ///
    /// # Errors
    /// As [`EnergyQuestion::parse`].
    pub(crate) fn of_group<'a>(
        group: &str,
        pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        accept: &str,
        now: Timestamp,
    ) -> Result<Self, HttpError> {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        if let Some((other, _)) = pairs.iter().find(|(name, _)| !GROUP_PARAMETERS.contains(&&**name)) {
            return Err(no_parameter(other, &GROUP_PARAMETERS));
        }
        pairs.push((Cow::from("group"), Cow::from(group.to_owned())));
        Self::parse(pairs, accept, now)
    }

    /// How the answer is written.
    pub fn format(&self) -> EnergyFormat {
        self.format
    }

    pub(crate) fn request(&self, probes: Vec<ProbeId>) -> EnergyRequest {
        EnergyRequest {
            probes,
            start: self.start,
            end: self.end,
            step: self.step.clone(),
            is_to_now: self.is_to_now,
            now: self.now,
        }
    }
}

/// The step, in seconds, of a series of this length that requests no other.
pub(crate) fn series_step(length: Duration) -> u64 {
    let is_enough = |step: &u64| length.as_secs() / step <= SERIES_ROWS;
    SERIES_STEPS.into_iter().find(is_enough).unwrap_or(SERIES_STEP_MAX)
}

pub(crate) fn no_parameter(name: &str, known: &[&str]) -> HttpError {
    HttpError::bad_request(format!("Unknown parameter {name:?}; available: {}.", known.join(", ")))
}

fn wrong(name: &str, value: &str, why: &dyn std::fmt::Display) -> HttpError {
    HttpError::bad_request(format!("{name}={value:?}: {why}"))
}

fn once(name: &str, place: &mut Option<String>, value: String) -> Result<(), HttpError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(HttpError::bad_request(format!("{name} may be given once."))),
    }
}

fn step(text: &str, zone: &TimeZone) -> Result<EnergyStep, HttpError> {
    if let Some(step) = CalendarStep::ALL.into_iter().find(|step| step.name() == text) {
        return Ok(EnergyStep::Calendar(step, zone.clone()));
    }
    match text.parse::<u64>() {
        Ok(seconds) if seconds > 0 => Ok(EnergyStep::Every(Duration::from_secs(seconds))),
        _ => {
            let names = CalendarStep::ALL.map(CalendarStep::name).join(", ");
            Err(wrong("step", text, &format!("write seconds (1 or more), or one of {names}")))
        }
    }
}

/// Whether CSV is wanted and no JSON.
pub(crate) fn accepts_csv(accept: &str) -> bool {
    let mut kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.clone().any(|kind| kind == "text/csv") && !kinds.any(|kind| kind == "application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_393_618);

    fn parse(query: &str) -> Result<EnergyQuestion, String> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        EnergyQuestion::parse(pairs, "*/*", NOW).map_err(|error| error.message().to_owned())
    }

    #[track_caller]
    fn refused(query: &str, expected: &str) {
        let actual = parse(query).expect_err(query);
        assert_eq!(actual, expected, "{query}");
    }

    #[test]
    fn without_parameters_it_is_the_last_day_of_each_probe() {
        let question = parse("").unwrap();
        assert_eq!((question.end, question.start), (NOW, Timestamp::from_seconds(1_795_393_618 - 86_400)));
        assert_eq!(
            (question.by, question.step, question.format),
            (EnergyBy::Probe, EnergyStep::Whole, EnergyFormat::Json)
        );
    }

    #[test]
    fn zones_steps_and_sums_are_read() {
        let question = parse("start=2026-11-01&zone=Europe/Paris&step=day&by=department&format=csv").unwrap();
        assert_eq!(question.start, Timestamp::from_seconds(1_793_487_600));
        assert_eq!(
            question.step,
            EnergyStep::Calendar(CalendarStep::Day, when::zone("Europe/Paris").unwrap())
        );
        assert_eq!(
            (question.by, question.format),
            (EnergyBy::Label("department".to_owned()), EnergyFormat::Csv)
        );
        assert_eq!(parse("step=60").unwrap().step, EnergyStep::Every(Duration::from_secs(60)));
        assert_eq!(parse("by=total").unwrap().by, EnergyBy::Total);
        assert_eq!(parse("by=label:total").unwrap().by, EnergyBy::Label("total".to_owned()));
        assert_eq!(parse("group=lyon").unwrap().by, EnergyBy::Group);
        assert_eq!(parse("group=lyon&by=probe").unwrap().by, EnergyBy::Probe);
    }

    #[test]
    fn csv_is_what_a_request_prefers() {
        for (accept, expected) in [
            ("text/csv", EnergyFormat::Csv),
            ("text/csv;q=0.9, */*", EnergyFormat::Csv),
            ("text/csv, application/json", EnergyFormat::Json),
            ("*/*", EnergyFormat::Json),
            ("", EnergyFormat::Json),
        ] {
            let none = std::iter::empty::<(Cow<'_, str>, Cow<'_, str>)>();
            assert_eq!(EnergyQuestion::parse(none, accept, NOW).unwrap().format, expected, "{accept}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_reported_with_what_to_write() {
        refused(
            "stp=60",
            "Unknown parameter \"stp\"; available: probe, pattern, label, group, start, end, step, by, zone, format.",
        );
        refused(
            "step=0",
            "step=\"0\": write seconds (1 or more), or one of minute, quarter, hour, day, month",
        );
        refused(
            "step=week",
            "step=\"week\": write seconds (1 or more), or one of minute, quarter, hour, day, month",
        );
        refused("format=xml", "format=\"xml\": must be json or csv");
        refused("label=department", "label=\"department\": write label=KEY:VALUE");
        refused("label=a:b&label=a:c", "label=\"a:c\": no probe has two values of one label");
        refused("start=1&start=2", "start may be given once.");
        refused("probe=", "probe=\"\": a probe id must not be empty");
        refused(
            "zone=Lyon",
            "zone=\"Lyon\": there is no time zone \"Lyon\"; write for example Europe/Paris or UTC",
        );
        refused(
            "end=2027-01-01T00:00:00Z",
            "end=\"2027-01-01T00:00:00Z\": is in the future: it is 2026-11-23T00:26:58Z; use end=now",
        );
        refused(
            "start=2026-11-22T20:00:00Z&end=2026-11-22T19:00:00Z",
            "The end must be after the start: start is 2026-11-22T20:00:00Z, end is 2026-11-22T19:00:00Z.",
        );
        refused(
            "start=2026-10-25T02:30&zone=Europe/Paris",
            "start=\"2026-10-25T02:30\": happens twice in Europe/Paris, where the clock is set back; write 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00",
        );
        refused("start=-1", "start=\"-1\": is before 1970");
    }

    #[test]
    fn a_series_has_a_step_of_its_own_where_none_is_requested() {
        let step = |query: &str| {
            let pairs = form_urlencoded::parse(query.as_bytes());
            let question = EnergyQuestion::of_series(pairs, "", NOW).unwrap();
            assert!(question.has_power);
            (question.step, question.step_text.unwrap())
        };
        let every = |seconds: u64| (EnergyStep::Every(Duration::from_secs(seconds)), seconds.to_string());
        assert_eq!(step("start=1795393600"), every(1));
        assert_eq!(step("start=1795390018"), every(10));
        assert_eq!(step(""), every(300));
        assert_eq!(step("start=2025-11-20T00:00:00Z"), every(86_400));
        assert_eq!(step("start=1000"), every(86_400));
        assert_eq!(step("step=7").1, "7");
    }

    #[test]
    fn a_clock_that_is_a_little_ahead_queries_until_now() {
        assert_eq!(parse("end=1795393650").unwrap().end, NOW);
    }
}
