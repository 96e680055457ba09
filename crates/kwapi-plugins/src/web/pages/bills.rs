//! `/bill/` and `/bill/<month>/`: which bills there are, and one of them: in short, as the page that `kwapi bill` prints, and
//! as files.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use kwapi_core::Timestamp;

use super::super::Site;
use super::super::answer::{self, Content};
use super::super::overview::Seen;
use super::super::route::FormFields;
use super::{Layout, NotFound, PageRequest, not_found, render};
use crate::answers::EnergyAnswers;
use crate::bills::{BillFormat, BillOverview, BillRequest, Bills, ListedBill, ShownBill, unreadable};
use crate::http::HttpError;
use crate::http::percent::encode;

/// A bill as it is printed may show itself, and load nothing.
const PRINT_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
/// An open page of a bill renews itself no more often.
const REFRESH_SECONDS_MIN: u64 = 60;
/// Labels that are offered, those of so many probes.
const LABELS_MAX: usize = 12;
const LABELLED_MAX: usize = 10_000;
/// The longest name of a label that is requested.
const LABEL_LENGTH_MAX: usize = 200;

#[derive(Debug, Template)]
#[template(path = "bills.html")]
struct ListPage {
    layout: Layout,
    rows: Vec<ListRow>,
}

/// A bill in the list.
#[derive(Debug)]
struct ListRow {
    month: String,
    by: Option<String>,
    href: String,
    /// Of an open one the labels that it may be by: name and address.
    labels: Vec<(String, String)>,
    /// When it was closed.
    closed: Option<String>,
    corrections: usize,
}

#[derive(Debug, Template)]
#[template(path = "month.html")]
struct BillPage {
    layout: Layout,
    overview: BillOverview,
    /// The labels that it may be by: name, address, and whether it is this.
    labels: Vec<(String, String, bool)>,
    /// The address of its files, up to the format.
    files: String,
    /// Corrections: number and address.
    corrections: Vec<(usize, String)>,
}

fn href(month: &str, by: Option<&str>) -> String {
    let query = by.map_or_else(String::new, |by| format!("?by={}", encode(by)));
    format!("/bill/{}/{query}", encode(month))
}

fn answers(site: &Site) -> Option<EnergyAnswers> {
    site.directory.query().map(|query| EnergyAnswers::new(query.clone(), site.directory.clone()))
}

fn no_bills(request: &PageRequest<'_>) -> Response {
    not_found(request, "This process serves no bills.".to_owned(), Vec::new(), 0)
}

/// Why there is no bill, and which there are.
fn refusal(request: &PageRequest<'_>, bills: &Bills, error: &HttpError) -> Response {
    let PageRequest { site, seen, now, conditions, .. } = *request;
    let heading = "No bill";
    let rows = list_rows(site, seen, bills, now).unwrap_or_default();
    let words = |row: &ListRow| {
        let by = row.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
        format!("{}{by}", row.month)
    };
    let instead =
        rows.iter().map(|row| (words(row), row.href.clone())).take(super::SUGGESTIONS_MAX).collect();
    let layout = Layout { here: "/bill/", ..Layout::new(site, seen, heading.to_owned(), None) };
    let page = NotFound { layout, heading, what: error.message().to_owned(), instead, more: 0 };
    render(&page, error.status(), None, conditions)
}

/// The bills there are, the newest first: closed ones by their labels, and open months.
fn list_rows(site: &Site, seen: &Seen, bills: &Bills, now: Timestamp) -> Result<Vec<ListRow>, HttpError> {
    let closed: BTreeMap<String, Vec<ListedBill>> = bills.list().map_err(|why| unreadable(&why))?;
    let open = answers(site).map(|answers| bills.open_months(&answers, &seen.scope, now)).transpose()?;
    let labels = labels(site, seen);
    let mut rows: Vec<ListRow> = Vec::new();
    for month in open.unwrap_or_default().into_iter().filter(|month| !closed.contains_key(month)) {
        let labels = labels.iter().map(|name| (name.clone(), href(&month, Some(name)))).collect();
        rows.push(ListRow {
            href: href(&month, None),
            month,
            by: None,
            labels,
            closed: None,
            corrections: 0,
        });
    }
    for (month, of_month) in closed {
        rows.extend(of_month.into_iter().map(|bill| ListRow {
            month: month.clone(),
            href: href(&month, bill.by.as_deref()),
            by: bill.by,
            labels: Vec::new(),
            closed: Some(bill.closed_in_words),
            corrections: bill.documents.saturating_sub(1),
        }));
    }
    rows.sort_by(|one, other| other.month.cmp(&one.month).then_with(|| one.by.cmp(&other.by)));
    Ok(rows)
}

/// Labels of the probes that are seen.
fn labels(site: &Site, seen: &Seen) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for probe in seen.parts.iter().take(LABELLED_MAX) {
        labels.extend(site.directory.configured_labels(probe).into_keys());
        if labels.len() > LABELS_MAX {
            labels.pop_last();
        }
    }
    labels
}

/// `/bill/`.
pub(super) fn list(request: &PageRequest<'_>) -> Response {
    let PageRequest { site, seen, now, conditions, .. } = *request;
    let Some(bills) = &site.bills else { return no_bills(request) };
    let rows = match list_rows(site, seen, bills, now) {
        Ok(rows) => rows,
        Err(error) => return refusal(request, bills, &error),
    };
    render(
        &ListPage { layout: layout(site, seen, "Bills".to_owned()), rows },
        StatusCode::OK,
        None,
        conditions,
    )
}

fn layout(site: &Site, seen: &Seen, title: String) -> Layout {
    let refresh_seconds = site.settings.refresh_interval.as_secs().max(REFRESH_SECONDS_MIN);
    Layout { here: "/bill/", refresh_seconds, ..Layout::new(site, seen, title, None) }
}

/// `/bill/<month>/`.
pub(super) fn one(request: &PageRequest<'_>, month: &str, query: &FormFields) -> Response {
    let PageRequest { site, seen, now, conditions, .. } = *request;
    let Some(bills) = &site.bills else { return no_bills(request) };
    let refused = |error: &HttpError| refusal(request, bills, error);
    let by = query.get("by").map(str::trim).filter(|by| !by.is_empty());
    if by.is_some_and(|by| by.len() > LABEL_LENGTH_MAX) {
        return refused(&HttpError::bad_request("No label has so long a name."));
    }
    let Ok(correction) = query.get("correction").map(str::parse).transpose() else {
        return refused(&HttpError::bad_request("correction must be a number."));
    };
    let format = match query.get("format") {
        None => None,
        Some("html") => Some((BillFormat::Html, "text/html; charset=utf-8", "html")),
        Some("csv") => Some((BillFormat::Csv, "text/csv; charset=utf-8", "csv")),
        Some("profile") => Some((BillFormat::Profile, "text/csv; charset=utf-8", "profile.csv")),
        Some("json") => Some((BillFormat::Json, "application/json", "json")),
        Some("ocmf") => Some((BillFormat::Ocmf, "text/plain; charset=utf-8", "ocmf.txt")),
        Some(_) => {
            return refused(&HttpError::bad_request("format must be html, csv, profile, json or ocmf."));
        }
    };
    let answers = answers(site);
    let request = BillRequest { month, by, correction };
    if let Some((format, kind, ending)) = format {
        let text = match bills.text(answers.as_ref(), request, format, &seen.scope, now) {
            Ok(text) => text,
            Err(error) => return refused(&error),
        };
        let by = by.map_or_else(String::new, |by| format!(" by {by}"));
        let correction = correction.map_or_else(String::new, |number| format!(" correction {number}"));
        let name = format!("bill {month}{by}{correction}.{ending}");
        let is_page = format == BillFormat::Html;
        let content = Content {
            kind,
            bytes: Bytes::from(text),
            modified: None,
            cache_control: "private, no-cache",
            disposition: (!is_page).then(|| answer::attachment(&name)),
            position: None,
        };
        let mut response = content.answer(StatusCode::OK, conditions);
        if is_page {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, PRINT_POLICY);
        }
        return response;
    }
    match bills.shown(answers.as_ref(), BillRequest { correction: None, ..request }, &seen.scope, now) {
        Ok(shown) => {
            let page = BillPage::new(site, seen, bills, month, by, &shown);
            render(&page, StatusCode::OK, None, conditions)
        }
        Err(error) => refused(&error),
    }
}

impl BillPage {
    fn new(
        site: &Site,
        seen: &Seen,
        bills: &Bills,
        month: &str,
        by: Option<&str>,
        shown: &ShownBill,
    ) -> Self {
        let overview = BillOverview::new(shown);
        let mut names = labels(site, seen);
        let closed = bills.list().unwrap_or_default().remove(month).unwrap_or_default();
        names.extend(closed.into_iter().filter_map(|bill| bill.by));
        names.extend(by.map(str::to_owned));
        let mut labels = vec![("All together".to_owned(), href(month, None), by.is_none())];
        labels.extend(names.into_iter().map(|name| {
            let (href, is_this) = (href(month, Some(&name)), by == Some(name.as_str()));
            (name, href, is_this)
        }));
        let address = href(month, by);
        let files = format!("{address}{}format=", if by.is_some() { '&' } else { '?' });
        let title = format!("Bill, {}", overview.head.month);
        Self {
            layout: layout(site, seen, title),
            labels,
            corrections: (1..=overview.corrections)
                .map(|number| (number, format!("{files}html&correction={number}")))
                .collect(),
            files,
            overview,
        }
    }
}
