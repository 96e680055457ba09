//! Where power or energy goes: a column for each level, joined by bands as high as what flows in them (a Sankey diagram).

use std::fmt::Write;

use super::figures::known;
use super::svg::{escape, push_tenths, shorten, tenths};

/// Width of a node, and of the room to the right of the last column for names, in pixels.
const NODE: f64 = 12.0;
const NAMES: f64 = 215.0;
/// Height of what flows in from the left, of a line of text, between nodes of a column and around the picture.
const WHOLE: f64 = 400.0;
const LINE: f64 = 18.0;
const SPACE: f64 = 4.0;
const MARGIN: f64 = 8.0;
/// Height of a node that is not to scale, since it is unknown what flows there; the least that is seen.
const STUB: f64 = 9.0;
const HEIGHT_MIN: f64 = 1.5;
/// What is no more than this is nothing: it would be smaller than any pixel.
const NOTHING: f64 = 1e-9;
/// Mean width of a character at font size 12.
const CHARACTER: f64 = 6.6;

/// What a node of a flow is, which its form shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowForm {
    /// One that is named: its colour, see [`identity`](super::identity).
    Named(usize),
    /// Several that are small.
    Others,
    /// What a meter measured and nobody below it.
    Rest,
    /// It is unknown.
    Unknown,
}

/// A node of a flow, with what it flows on to.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowNode {
    /// What stands beside it.
    pub name: String,
    /// How much it is, as people read it.
    pub text: String,
    /// What flows in from the left, in any unit; `None`: unknown.
    pub amount: Option<f64>,
    /// How it looks.
    pub form: FlowForm,
    /// Where it leads.
    pub href: Option<String>,
    /// What it flows on to, from the top down.
    pub children: Vec<FlowNode>,
}

/// A node with its place in the picture.
struct Placed<'a> {
    node: &'a FlowNode,
    column: usize,
    top: f64,
    /// Of what flows in…
    height: f64,
    /// …and of all of it: those below a meter may have more than it measured.
    whole: f64,
    children: Vec<Placed<'a>>,
}

impl FlowNode {
    fn columns(&self) -> usize {
        1 + self.children.iter().map(Self::columns).max().unwrap_or(0)
    }

    /// The larger of what flows in and what flows on.
    fn most(&self) -> f64 {
        let below: f64 = self.children.iter().filter_map(|child| flows(child.amount)).sum();
        flows(self.amount).unwrap_or(0.0).max(below)
    }
}

fn flows(amount: Option<f64>) -> Option<f64> {
    known(amount).filter(|amount| *amount > NOTHING)
}

/// Draws a flow from `root` on, `width` pixels wide, to go into a page that has the colours (`kw-…`) and the patterns
/// `kw-hatch` and `kw-checks`. `words` describe it to who does not see it.
pub fn draw_flow(root: &FlowNode, width: u16, words: &str) -> String {
    let most = root.most();
    let scale = if most > 0.0 { WHOLE / most } else { 0.0 };
    let mut bottom = MARGIN;
    let placed = place(root, 0, scale, &mut bottom);
    let steps = root.columns().saturating_sub(1).max(1) as f64;
    let picture = Picture { step: (f64::from(width) - NODE - NAMES).max(NODE) / steps };
    let (mut bands, mut nodes) = (String::new(), String::new());
    picture.draw(&placed, &mut bands, &mut nodes);
    let height = bottom + MARGIN;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0}" class="kw-flows" role="group" aria-label="{}" font-family="Inter,system-ui,sans-serif" font-size="12">{bands}{nodes}</svg>"#,
        escape(words)
    )
}

/// Nodes without children stand below each other, from `bottom` on; others beside the middle of theirs.
fn place<'a>(node: &'a FlowNode, column: usize, scale: f64, bottom: &mut f64) -> Placed<'a> {
    let height = flows(node.amount).map_or(STUB, |amount| (amount * scale).max(HEIGHT_MIN));
    let whole = height.max(node.most() * scale);
    let children: Vec<Placed<'a>> =
        node.children.iter().map(|child| place(child, column + 1, scale, bottom)).collect();
    let top = if let (Some(first), Some(last)) = (children.first(), children.last()) {
        let top = f64::midpoint(first.top, last.top + last.whole) - whole / 2.0;
        *bottom = (*bottom + SPACE).max(top + whole + SPACE);
        top.max(MARGIN)
    } else {
        let room = (whole + SPACE).max(LINE);
        let top = *bottom + (room - SPACE - whole).max(0.0) / 2.0;
        *bottom += room;
        top
    };
    Placed { node, column, top, height, whole, children }
}

struct Picture {
    /// From one column to the next, in pixels.
    step: f64,
}

impl Picture {
    fn left(&self, column: usize) -> f64 {
        self.step * column as f64
    }

    fn draw(&self, placed: &Placed<'_>, bands: &mut String, nodes: &mut String) {
        let mut at = placed.top;
        for child in &placed.children {
            if flows(child.node.amount).is_some() {
                self.band(placed.column, at, child, bands);
                at += child.height;
            }
            self.draw(child, bands, nodes);
        }
        self.node(placed, nodes);
    }

    /// From the right of a node of `column`, `from` the top of the picture, to a child.
    fn band(&self, column: usize, from: f64, child: &Placed<'_>, out: &mut String) {
        let (left, right) = (self.left(column) + NODE, self.left(child.column));
        let middle = f64::midpoint(left, right);
        let class = match child.node.form {
            FlowForm::Named(colour) => format!(r#"class="kw-flow kw-c{colour}""#),
            FlowForm::Others | FlowForm::Unknown => r#"class="kw-flow kw-c0""#.to_owned(),
            FlowForm::Rest => r#"class="kw-rest" fill="url(#kw-checks)""#.to_owned(),
        };
        let mut path = String::new();
        let mut go = |command: char, numbers: &[f64]| {
            path.push(command);
            for (index, number) in numbers.iter().enumerate() {
                if index > 0 {
                    path.push(' ');
                }
                push_tenths(&mut path, tenths(*number));
            }
        };
        go('M', &[left, from]);
        go('C', &[middle, from, middle, child.top, right, child.top]);
        go('V', &[child.top + child.height]);
        let (to, end) = (child.top + child.height, from + child.height);
        go('C', &[middle, to, middle, end, left, end]);
        path.push('Z');
        _ = write!(out, r#"<path {class} d="{path}"/>"#);
    }

    fn node(&self, placed: &Placed<'_>, out: &mut String) {
        let Placed { node, column, top, height, whole, children } = placed;
        let left = self.left(*column);
        let room = if children.is_empty() { NAMES } else { self.step } - NODE - 12.0;
        let characters = room / CHARACTER - node.text.chars().count() as f64 - 1.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "6 to some hundreds")]
        let name = shorten(&node.name, characters.max(6.0) as usize);
        match &node.href {
            Some(href) => _ = write!(out, r#"<a href="{}">"#, escape(href)),
            None => out.push_str("<g>"),
        }
        let title = format!("{}: {}", node.name, node.text);
        _ = write!(out, "<title>{}</title>", escape(&title));
        let mut push = |form: &str, top: f64, height: f64| {
            _ = write!(
                out,
                r#"<rect {form} x="{left:.1}" y="{top:.1}" width="{NODE}" height="{height:.1}"/>"#
            );
        };
        match node.form {
            FlowForm::Named(colour) => push(&format!(r#"class="kw-c{colour}""#), *top, *height),
            FlowForm::Others => push(r#"class="kw-c0""#, *top, *height),
            FlowForm::Rest => push(r#"class="kw-frame" fill="url(#kw-checks)""#, *top, *height),
            FlowForm::Unknown => push(r#"class="kw-frame" fill="url(#kw-hatch)""#, *top, *height),
        }
        if whole - height > 0.5 {
            // More flows on than was measured.
            push(r#"class="kw-excess""#, top + height, whole - height);
        }
        _ = write!(
            out,
            r#"<text class="kw-text kw-halo" x="{:.1}" y="{:.1}">{} <tspan class="kw-dim">{}</tspan></text>"#,
            left + NODE + 6.0,
            top + whole / 2.0 + 4.2,
            escape(&name),
            escape(&node.text)
        );
        out.push_str(if node.href.is_some() { "</a>" } else { "</g>" });
    }
}

#[cfg(test)]
mod tests;
