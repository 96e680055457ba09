//! What `kwapi energy` prints: the answer as it comes, or a table made of its lines.

use std::io::{self, Write as _};

use csv::StringRecord;
use kwapi_graph::{energy_text, number_text, watts_text};
use kwapi_plugins::answers::AnswerRecords;

use crate::cli::EnergyPrint;

/// Lines that are looked at for the width of columns.
const LINES: usize = 1_000;
const JOULES_PER_KWH: f64 = 3.6e6;
const HEADINGS: [&str; 7] = ["", "FROM", "TO", "ENERGY", "MEAN", "PEAK", "KNOWN"];
/// Which of them are numbers, aligned at the right.
const NUMBERS: std::ops::Range<usize> = 3..7;

/// Where an answer is printed.
#[derive(Debug)]
pub(super) struct EnergyPrinter {
    format: EnergyPrint,
    records: AnswerRecords,
    columns: Option<StringRecord>,
    lines: Vec<Line>,
    widths: Option<[usize; 7]>,
    rows: u64,
}

#[derive(Debug)]
struct Line {
    cells: [String; 7],
    notes: Vec<&'static str>,
}

impl EnergyPrinter {
    pub(super) fn new(format: EnergyPrint) -> Self {
        Self {
            format,
            records: AnswerRecords::default(),
            columns: None,
            lines: Vec::new(),
            widths: None,
            rows: 0,
        }
    }

    /// Takes the next part of an answer.
    ///
    /// # Errors
    /// When it cannot be printed, or makes no sense, as one line.
    pub(super) fn take(&mut self, part: &[u8]) -> Result<(), String> {
        if self.format != EnergyPrint::Table {
            return print(part);
        }
        for record in self.records.take(part)? {
            match &self.columns {
                None => self.columns = Some(record),
                Some(columns) => {
                    let line = Line::new(columns, &record);
                    self.lines.push(line);
                    self.rows += 1;
                }
            }
            if self.lines.len() >= LINES {
                self.print_lines()?;
            }
        }
        Ok(())
    }

    /// Prints what is left.
    ///
    /// # Errors
    /// When there was nothing, as one line.
    pub(super) fn end(mut self) -> Result<(), String> {
        if self.format != EnergyPrint::Table {
            return Ok(());
        }
        if self.rows == 0 {
            return Err(
                "no probe matches; `kwapi energy` without --probes, --label and --group shows all".to_owned()
            );
        }
        self.print_lines()
    }

    fn print_lines(&mut self) -> Result<(), String> {
        let mut text = String::new();
        let mut headings = HEADINGS.map(str::to_owned);
        let [first, ..] = &mut headings;
        *first = self.columns.as_ref().and_then(|columns| columns.get(0)).unwrap_or_default().to_uppercase();
        let is_first = self.widths.is_none();
        let widths = *self.widths.get_or_insert_with(|| {
            let mut widths = headings.each_ref().map(|heading| heading.chars().count());
            for line in &self.lines {
                for (width, cell) in widths.iter_mut().zip(&line.cells) {
                    *width = (*width).max(cell.chars().count());
                }
            }
            widths
        });
        if is_first {
            text += &aligned(&headings, &widths);
            text += "\n";
        }
        for line in self.lines.drain(..) {
            text += &aligned(&line.cells, &widths);
            if !line.notes.is_empty() {
                text += &format!("  {}", line.notes.join(", "));
            }
            text += "\n";
        }
        print(text.as_bytes())
    }
}

impl Line {
    fn new(columns: &StringRecord, record: &StringRecord) -> Self {
        let cell = |name: &str| {
            let at = columns.iter().position(|column| column == name);
            at.and_then(|at| record.get(at)).unwrap_or_default()
        };
        let number = |name: &str| cell(name).parse::<f64>().ok();
        let seconds = ["measured_seconds", "estimated_seconds", "bridged_seconds", "rrd_seconds"];
        let known: f64 = seconds.iter().filter_map(|name| number(name)).sum();
        let rest: f64 = ["unknown_seconds", "absent_seconds"].iter().filter_map(|name| number(name)).sum();
        let share = if known + rest > 0.0 { known / (known + rest) } else { 0.0 };
        // What is not whole is not shown as whole.
        let percent = if rest > 0.0 { (share * 1_000.0).floor() / 10.0 } else { share * 100.0 };
        let watts = |name: &str| number(name).map_or_else(|| "-".to_owned(), watts_text);
        let mut notes = Vec::new();
        if cell("source").contains("rrd") {
            notes.push("rrd");
        }
        if cell("is_interpolated") == "true" {
            notes.push("part of a row");
        }
        if cell("is_incomplete") == "true" {
            notes.push("incomplete");
        }
        let name = match record.get(0).unwrap_or_default() {
            "" if columns.get(0) == Some("total") => "total",
            "" => "(none)",
            name => name,
        };
        let cells = [
            name.to_owned(),
            cell("start").replace('T', " "),
            cell("end").replace('T', " "),
            number("kwh").map_or_else(|| "-".to_owned(), experiment_text),
            watts("mean_watts"),
            watts("peak_watts"),
            format!("{percent:.1} %"),
        ];
        Self { cells, notes }
    }
}

/// Energy as a table has it: what an experiment of seconds uses is shown in joules, as kilowatt-hours have too few
/// digits for it.
fn experiment_text(kwh: f64) -> String {
    const JOULES_BELOW_KWH: f64 = 0.01;
    if kwh != 0.0 && kwh.abs() < JOULES_BELOW_KWH {
        return format!("{} J", number_text(kwh * JOULES_PER_KWH, 1));
    }
    energy_text(kwh)
}

fn aligned(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let cell =
            if NUMBERS.contains(&index) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
        line += if index > 0 { "  " } else { "" };
        line += &cell;
    }
    line.trim_end().to_owned()
}

/// Prints to standard output.
///
/// # Errors
/// When it cannot be written, as one line.
pub(in crate::commands) fn print(bytes: &[u8]) -> Result<(), String> {
    match io::stdout().write_all(bytes) {
        Ok(()) => Ok(()),
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(format!("cannot print: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &str = "probe,start,end,kwh,mean_watts,peak_watts,measured_seconds,unknown_seconds,source,is_interpolated,is_incomplete";

    #[track_caller]
    fn check(row: &str, expected: &str) {
        let record = |text: &str| StringRecord::from(text.split(',').collect::<Vec<_>>());
        let line = Line::new(&record(COLUMNS), &record(row));
        assert_eq!(format!("{} | {}", line.cells.join("  "), line.notes.join(", ")), expected);
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_what_is_not_whole_has_a_note() {
        check(
            "a,2026-11-26T14:00:00Z,2026-11-26T15:00:00Z,0.5,500.0,612.5,3600.000,0.000,ledger,false,false",
            "a  2026-11-26 14:00:00Z  2026-11-26 15:00:00Z  0.5000 kWh  500.0 W  612.5 W  100.0 % | ",
        );
        check(
            "a,2026-11-26T14:00:00Z,2026-11-26T15:00:00Z,,,,0.000,3600.000,,false,true",
            "a  2026-11-26 14:00:00Z  2026-11-26 15:00:00Z  -  -  -  0.0 % | incomplete",
        );
        check(
            "a,2026-11-26T14:00:00Z,2026-11-26T14:00:07Z,0.00015380833333333334,79.1,764.9,7.000,0.000,ledger,false,false",
            "a  2026-11-26 14:00:00Z  2026-11-26 14:00:07Z  553.7 J  79.1 W  764.9 W  100.0 % | ",
        );
        check(
            ",2026-11-26T14:00:30Z,2026-11-26T15:00:00Z,0.5,500.0,,3569.999,0.001,ledger+rrd,true,false",
            "(none)  2026-11-26 14:00:30Z  2026-11-26 15:00:00Z  0.5000 kWh  500.0 W  -  99.9 % | rrd, part of a row",
        );
    }
}
