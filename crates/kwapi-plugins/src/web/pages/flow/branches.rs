//! Branches of a flow as they are shown: nodes of the picture and rows of the table.

use std::fmt::Write as _;

use kwapi_core::ProbeId;
use kwapi_graph::{FlowForm, FlowNode, identity};

use super::super::super::flow::answers::FlowAnswer;
use super::super::super::flow::{FlowBranch, FlowBranchKind, FlowMeasure, FlowTree};
use super::super::super::overview::Seen;
use super::super::super::{Site, words};
use super::super::probe_path;
use super::super::table::columns::Amounts;
use super::KWH;
use super::request::FlowRequest;

/// The colour of all probes together.
const ALL: usize = 7;

/// A row of the table.
#[derive(Debug)]
pub(super) struct FlowRow {
    pub(super) level: usize,
    pub(super) name: String,
    pub(super) href: Option<String>,
    /// How it looks in the picture, and how much it is of the whole, as little pictures.
    pub(super) swatch: String,
    pub(super) bar: String,
    pub(super) power: String,
    pub(super) share: String,
    pub(super) energy: String,
    pub(super) known: String,
    pub(super) is_whole: bool,
    pub(super) silent: usize,
}

/// What a page is made of.
pub(super) struct View<'a> {
    pub(super) site: &'a Site,
    pub(super) seen: &'a Seen,
    pub(super) request: &'a FlowRequest<'a>,
    pub(super) answer: &'a FlowAnswer,
    pub(super) tree: &'a FlowTree<'a>,
    pub(super) is_open: &'a dyn Fn(&str) -> bool,
}

impl View<'_> {
    pub(super) fn root_name(&self) -> String {
        match self.request.group {
            Some(group) => group.to_string(),
            None if self.seen.is_everything => "All probes".to_owned(),
            None => "All probes that you may see".to_owned(),
        }
    }

    pub(super) fn is_unknown(&self, kind: FlowBranchKind) -> bool {
        match kind {
            FlowBranchKind::Unknown(_) => true,
            FlowBranchKind::Place(at) => self.tree.total(at, self.request.measure).is_none(),
            FlowBranchKind::Others { .. } | FlowBranchKind::Rest => false,
        }
    }

    /// The places around this one, from the first on.
    pub(super) fn around(&self) -> Vec<(String, String)> {
        let Some(group) = self.request.group else { return Vec::new() };
        let (time, measure) = (self.request.time, self.request.measure);
        let mut around = vec![("All".to_owned(), self.request.href(None, time, measure))];
        let groups = kwapi_core::groups_of(group).filter(|name| (self.is_open)(name));
        around.extend(groups.map(|name| (name.to_owned(), self.request.within(name))));
        around
    }

    /// What a branch is called below the place `above`.
    fn name(&self, branch: &FlowBranch, above: &str) -> String {
        match branch.kind {
            FlowBranchKind::Place(0) => self.root_name(),
            FlowBranchKind::Place(at) => {
                let path = self.tree.place(at).map(|place| place.path).unwrap_or_default();
                let name = path.strip_prefix(above).and_then(|rest| rest.strip_prefix('.'));
                name.filter(|name| !above.is_empty() && !name.is_empty()).unwrap_or(path).to_owned()
            }
            FlowBranchKind::Others { count, are_probes: true } => format!("{count} probes"),
            FlowBranchKind::Others { count, are_probes: false } => format!("{count} others"),
            FlowBranchKind::Rest => "Rest, not metered below".to_owned(),
            FlowBranchKind::Unknown(count) => format!("{count} unknown"),
        }
    }

    /// Where a branch leads; what is taken together is at the address of the place `above`.
    fn href(&self, branch: &FlowBranch, above: &str) -> Option<String> {
        let group = self.request.group.map(ProbeId::as_str).unwrap_or_default();
        match branch.kind {
            FlowBranchKind::Place(0) | FlowBranchKind::Rest => None,
            FlowBranchKind::Place(at) => {
                let path = self.tree.place(at)?.path;
                if self.tree.leads_on(at) && (self.is_open)(path) {
                    return Some(self.request.within(path));
                }
                let probe = &self.tree.probe(at)?.probe;
                self.seen.has(probe).then(|| probe_path(probe))
            }
            _ if above == group => Some("#table".to_owned()),
            FlowBranchKind::Others { .. } | FlowBranchKind::Unknown(_) => {
                (self.is_open)(above).then(|| self.request.within(above))
            }
        }
    }

    fn form(&self, kind: FlowBranchKind) -> FlowForm {
        match kind {
            _ if self.is_unknown(kind) => FlowForm::Unknown,
            FlowBranchKind::Place(0) if self.request.group.is_none() => FlowForm::Named(ALL),
            FlowBranchKind::Place(at) => {
                FlowForm::Named(identity(self.tree.place(at).map(|place| place.path).unwrap_or_default()))
            }
            FlowBranchKind::Others { .. } | FlowBranchKind::Unknown(_) => FlowForm::Others,
            FlowBranchKind::Rest => FlowForm::Rest,
        }
    }

    fn path_of<'a>(&'a self, branch: &FlowBranch, above: &'a str) -> &'a str {
        match branch.kind {
            FlowBranchKind::Place(at) => self.tree.place(at).map_or(above, |place| place.path),
            _ => above,
        }
    }

    /// What of the picture is to be explained: its form, and in words.
    pub(super) fn keys(&self, picture: &FlowBranch) -> Vec<(String, &'static str)> {
        let mut keys = Vec::new();
        let mut explain = |form: FlowForm, words: &'static str| {
            let box_of = ink(form);
            keys.push((
                format!(
                    r#"<svg viewBox="0 0 14 10" aria-hidden="true"><rect {box_of} x=".5" y=".5" width="13" height="9"/></svg>"#
                ),
                words,
            ));
        };
        if has_branch(picture, &|kind| kind == FlowBranchKind::Rest) {
            explain(FlowForm::Rest, "rest: the meter less what is below it");
        }
        if has_branch(picture, &|kind| self.is_unknown(kind)) {
            explain(FlowForm::Unknown, "unknown: not to scale");
        }
        if has_branch(picture, &|kind| matches!(kind, FlowBranchKind::Others { .. })) {
            explain(FlowForm::Others, "below 1.8 % of the whole, taken together");
        }
        keys
    }

    pub(super) fn node(&self, branch: &FlowBranch, above: &str, columns: &Columns) -> FlowNode {
        let path = self.path_of(branch, above);
        let text = match (branch.kind, branch.amount(self.request.measure)) {
            // Its name shows it.
            (FlowBranchKind::Unknown(_), _) => String::new(),
            (_, None) => "unknown".to_owned(),
            (_, amount) => columns.with_unit(self.request.measure, amount),
        };
        FlowNode {
            name: match branch.kind {
                FlowBranchKind::Rest => "Rest, not metered".to_owned(),
                _ => self.name(branch, above),
            },
            text,
            amount: branch.amount(self.request.measure),
            form: self.form(branch.kind),
            href: self.href(branch, above),
            children: branch.children.iter().map(|child| self.node(child, path, columns)).collect(),
        }
    }

    pub(super) fn add_rows(
        &self,
        rows: &mut Vec<FlowRow>,
        branch: &FlowBranch,
        above: &str,
        level: usize,
        columns: &Columns,
    ) {
        rows.push(self.row(branch, above, level, columns));
        let path = self.path_of(branch, above);
        for child in &branch.children {
            self.add_rows(rows, child, path, level + 1, columns);
        }
    }

    pub(super) fn row(&self, branch: &FlowBranch, above: &str, level: usize, columns: &Columns) -> FlowRow {
        let measure = self.request.measure;
        let whole = self.tree.total(0, measure).filter(|whole| *whole > 0.0);
        let share = whole.zip(branch.amount(measure)).map(|(whole, amount)| amount / whole);
        let (known, is_whole, silent) = match branch.kind {
            FlowBranchKind::Place(at) => {
                let share = self.tree.known_share(at);
                let place = self.tree.place(at);
                let silent =
                    place.map(|place| place.ends.saturating_sub(place.ends_known)).unwrap_or_default();
                (share.map(words::percent), share.is_none_or(|share| share >= 1.0), silent)
            }
            FlowBranchKind::Others { .. } | FlowBranchKind::Rest | FlowBranchKind::Unknown(_) => {
                (None, true, 0)
            }
        };
        let ink = ink(self.form(branch.kind));
        FlowRow {
            level,
            name: self.name(branch, above),
            href: self.href(branch, above),
            swatch: format!(
                r#"<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true"><rect {ink} width="10" height="10"/></svg>"#
            ),
            bar: share.map(|share| bar(share, &ink)).unwrap_or_default(),
            power: columns.power.text(branch.power),
            share: share.map_or_else(|| "–".to_owned(), |share| format!("{:.1}", share * 100.0)),
            energy: columns.energy.text(branch.energy.map(|mj| mj / KWH)),
            known: known.unwrap_or_else(|| "–".to_owned()),
            is_whole,
            silent,
        }
    }
}

/// Units of the two columns of a page, of which the picture has one.
pub(super) struct Columns {
    pub(super) power: Amounts,
    pub(super) energy: Amounts,
}

impl Columns {
    /// An amount and its unit.
    pub(super) fn apart(&self, measure: FlowMeasure, amount: Option<f64>) -> (String, String) {
        match measure {
            FlowMeasure::Power => (self.power.text(amount), self.power.unit.clone()),
            FlowMeasure::Energy => (self.energy.text(amount.map(|mj| mj / KWH)), self.energy.unit.clone()),
        }
    }

    pub(super) fn with_unit(&self, measure: FlowMeasure, amount: Option<f64>) -> String {
        let (text, unit) = self.apart(measure, amount);
        if amount.is_some() { format!("{text}\u{a0}{unit}") } else { text }
    }
}

fn has_branch(branch: &FlowBranch, is_wanted: &dyn Fn(FlowBranchKind) -> bool) -> bool {
    is_wanted(branch.kind) || branch.children.iter().any(|child| has_branch(child, is_wanted))
}

fn ink(form: FlowForm) -> String {
    match form {
        FlowForm::Named(colour) => format!(r#"class="kw-c{colour}""#),
        FlowForm::Others => r#"class="kw-c0""#.to_owned(),
        FlowForm::Rest => r#"class="kw-frame" fill="url(#kw-checks)""#.to_owned(),
        FlowForm::Unknown => r#"class="kw-frame" fill="url(#kw-hatch)""#.to_owned(),
    }
}

/// A share of the whole, which may be a little more than that.
fn bar(share: f64, ink: &str) -> String {
    let mut out = String::from(
        r#"<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">"#,
    );
    _ = write!(out, r#"<rect {ink} width="{:.2}" height="10"/></svg>"#, (share * 100.0).clamp(0.0, 100.0));
    out
}
