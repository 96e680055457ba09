//! Colours by role. Shapes carry class names only, so that one drawing serves the page and the picture.

/// Where a graph's colours come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Theme {
    /// The page's own style sheet: the drawing carries none, and is written into the page.
    Page,
    /// A style of its own that follows the viewer's light or dark preference: a picture served alone.
    Alone,
    /// Always light: paper, mail, and the PNG the original served.
    Light,
    /// Always dark.
    Dark,
}

/// One colour for each role; the page's style sheet has the same roles as `--kw-…`.
struct Colours {
    back: &'static str,
    text: &'static str,
    dim: &'static str,
    grid: &'static str,
    gap: &'static str,
    line: &'static str,
    area: &'static str,
    partial: &'static str,
    others: &'static str,
    hatch: &'static str,
}

const LIGHT: Colours = Colours {
    back: "#ffffff",
    text: "#1c2430",
    dim: "#5c6675",
    grid: "#e3e7ec",
    gap: "#eef0f3",
    line: "#1f6fb2",
    area: "#cfe2f2",
    partial: "#c77700",
    others: "#b4bdc9",
    hatch: "#7b8694",
};

const DARK: Colours = Colours {
    back: "#14181e",
    text: "#e6eaf0",
    dim: "#98a3b3",
    grid: "#2a313b",
    gap: "#20262e",
    line: "#62b0ee",
    area: "#1d3e5a",
    partial: "#f0a63c",
    others: "#465260",
    hatch: "#667282",
};

impl Theme {
    /// The `<style>` element that goes into the drawing.
    pub(super) fn style(self) -> String {
        match self {
            Self::Page => String::new(),
            Self::Alone => format!(
                "<style>{}@media (prefers-color-scheme:dark){{{}}}</style>",
                LIGHT.rules(),
                DARK.rules()
            ),
            Self::Light => format!("<style>{}</style>", LIGHT.rules()),
            Self::Dark => format!("<style>{}</style>", DARK.rules()),
        }
    }

    /// The same for what shows how sure a drawing is, with the hatch that a page has once.
    pub(super) fn mark_style(self) -> String {
        let rules = match self {
            Self::Page => return String::new(),
            Self::Alone => {
                let dark = DARK.mark_rules();
                format!("{}@media (prefers-color-scheme:dark){{{dark}}}", LIGHT.mark_rules())
            }
            Self::Light => LIGHT.mark_rules(),
            Self::Dark => DARK.mark_rules(),
        };
        format!("<style>{rules}</style>{HATCH}")
    }
}

/// As in the pages' layout, but of tiles that are not turned: whole pixels repeat, so a PNG of them stays small.
const HATCH: &str = r#"<defs><pattern id="kw-hatch" width="8" height="8" patternUnits="userSpaceOnUse"><path class="kw-hatching" d="M-2 2L2-2M0 8L8 0M6 10L10 6"/></pattern></defs>"#;

impl Colours {
    fn rules(&self) -> String {
        let Self { back, text, dim, grid, gap, line, area, partial, others, hatch: _ } = self;
        format!(
            ".kw-back{{fill:{back}}}.kw-text{{fill:{text}}}.kw-dim{{fill:{dim}}}\
             .kw-grid{{stroke:{grid};fill:none}}.kw-axis{{stroke:{dim};fill:none}}.kw-gap{{fill:{gap}}}\
             .kw-line{{stroke:{line};fill:none}}.kw-area{{fill:{area}}}.kw-edge{{stroke:{back}}}\
             .kw-partial{{fill:{partial}}}.kw-others{{fill:{others};stroke:{back}}}"
        )
    }

    fn mark_rules(&self) -> String {
        let Self { back, dim, line, area, hatch, .. } = self;
        format!(
            ".kw-hatching{{stroke:{hatch};stroke-width:2.5}}.kw-hatched{{fill-opacity:.55}}\
             .kw-frame{{stroke:{hatch};stroke-width:1}}.kw-sure{{fill:{hatch}}}.kw-strokes{{stroke:{dim};fill:none}}\
             .kw-bridged{{fill:{area};fill-opacity:.35;stroke:{line};stroke-width:1}}\
             .kw-halo{{paint-order:stroke;stroke:{back};stroke-width:3px;stroke-opacity:.9;stroke-linejoin:round}}"
        )
    }
}
