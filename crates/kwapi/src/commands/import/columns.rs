//! Which columns of a file are what.

use kwapi_core::ProbeId;
use kwapi_drivers::manager::LogUnits;
use kwapi_history::foreign::{Cell, Instants, Stamps};

use crate::cli;

/// The columns of an import, in the order in which they are requested.
pub(super) struct Columns {
    wanted: Vec<String>,
    power: Option<usize>,
    register: Option<usize>,
    stamps: Stamps,
    probe: Vec<Piece>,
    units: LogUnits,
    has_decimal_comma: bool,
}

/// A piece of a probe's id.
#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    /// The value of a wanted column.
    Column(usize),
}

/// What a row holds.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// Neither watts nor register.
    Nothing,
    /// A reading.
    Of { probe: ProbeId, instants: Instants, power: Option<f64>, register: Option<String> },
}

impl Columns {
    /// As configured by the operator.
    ///
    /// # Errors
    /// When a zone or a template makes no sense, as one line.
    pub(super) fn of(arguments: &cli::ImportArgs) -> Result<Self, String> {
        let mut wanted = vec![arguments.time.clone()];
        let mut place = |column: &String| {
            wanted.iter().position(|other| other == column).unwrap_or_else(|| {
                wanted.push(column.clone());
                wanted.len() - 1
            })
        };
        let power = arguments.power.as_ref().map(&mut place);
        let register = arguments.register.as_ref().map(&mut place);
        let probe = pieces(&arguments.probe, &mut place)?;
        let zone = arguments.zone.as_deref().map(jiff::tz::TimeZone::get).transpose();
        let zone = zone.map_err(|error| format!("--zone: {error}"))?;
        Ok(Self {
            wanted,
            power,
            register,
            stamps: Stamps { format: arguments.time_format.clone(), zone },
            probe,
            units: LogUnits {
                power: arguments.power_unit.unwrap_or_default(),
                energy: arguments.register_unit.unwrap_or_default(),
                tick: arguments.tick,
                range: arguments.range,
            },
            has_decimal_comma: arguments.decimal_comma,
        })
    }

    /// Their names.
    pub(super) fn wanted(&self) -> &[String] {
        &self.wanted
    }

    pub(super) fn units(&self) -> LogUnits {
        self.units
    }

    /// What a row holds.
    ///
    /// # Errors
    /// What makes no sense in it.
    pub(super) fn reading(&self, cells: &[Cell]) -> Result<Reading, String> {
        let number = |place: Option<usize>| -> Option<String> {
            let text = cells.get(place?)?.text()?;
            Some(if self.has_decimal_comma { text.replace(',', ".") } else { text.into_owned() })
        };
        let register = number(self.register);
        let power = number(self.power)
            .map(|text| text.parse::<f64>().map_err(|_| format!("{text:?} is no number")))
            .transpose()?;
        if register.is_none() && power.is_none() {
            return Ok(Reading::Nothing);
        }
        let instants = self.instants(cells)?;
        Ok(Reading::Of { probe: self.probe(cells)?, instants, power, register })
    }

    pub(super) fn instants(&self, cells: &[Cell]) -> Result<Instants, String> {
        let cell = cells.first().unwrap_or(&Cell::Empty);
        self.stamps.read(cell).map_err(|error| error.to_string())
    }

    /// The probe of a row.
    pub(super) fn probe(&self, cells: &[Cell]) -> Result<ProbeId, String> {
        let mut name = String::new();
        for piece in &self.probe {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Column(place) => {
                    let text = cells.get(*place).and_then(Cell::text);
                    let column = || self.wanted.get(*place).map_or("", String::as_str);
                    name.push_str(&text.ok_or_else(|| format!("column {:?} is empty", column()))?);
                }
            }
        }
        ProbeId::new(&name).map_err(|error| format!("{name:?}: {error}"))
    }
}

/// The pieces of a template: `rack{rack}.{outlet}`.
fn pieces(template: &str, place: &mut impl FnMut(&String) -> usize) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((text, column)) = rest.split_once('{') {
        let (column, after) = column.split_once('}').ok_or("--probe: a `{` is not closed")?;
        pieces.push(Piece::Text(text.to_owned()));
        pieces.push(Piece::Column(place(&column.to_owned())));
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use kwapi_core::Timestamp;

    use super::*;

    fn columns(words: &str) -> Result<Columns, String> {
        let words = format!("kwapi import f.csv {words}");
        let cli = cli::Cli::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?;
        let Some(cli::Command::Import(arguments)) = cli.command else { panic!("another command") };
        Columns::of(&arguments)
    }

    fn cells(texts: &[&str]) -> Vec<Cell> {
        let cell = |text: &&str| if text.is_empty() { Cell::Empty } else { Cell::Text((*text).to_owned()) };
        texts.iter().map(cell).collect()
    }

    #[test]
    fn a_probe_is_named_by_columns() {
        let columns =
            columns("--time at --register wh --register-unit Wh --probe rwth.rack{rack}.{num}").unwrap();
        assert_eq!(columns.wanted(), ["at", "wh", "rack", "num"]);
        let reading = columns.reading(&cells(&["1713899470", "7.5", "100", "2"])).unwrap();
        let at = Timestamp::from_seconds(1_713_899_470);
        assert_eq!(
            reading,
            Reading::Of {
                probe: ProbeId::new("rwth.rack100.2").unwrap(),
                instants: Instants { first: at, second: None },
                power: None,
                register: Some("7.5".to_owned()),
            }
        );
        let wrong = columns.reading(&cells(&["1713899470", "7.5", "", "2"])).unwrap_err();
        assert_eq!(wrong, "column \"rack\" is empty");
        assert!(columns.reading(&cells(&["1713899470", "7.5", "a b\u{7}", "2"])).is_err());
    }

    #[test]
    fn no_value_is_no_reading_and_no_number_is_reported() {
        let columns = columns("--time at --power w --probe a --decimal-comma").unwrap();
        assert_eq!(columns.reading(&cells(&["1713899470", ""])), Ok(Reading::Nothing));
        let Ok(Reading::Of { power, .. }) = columns.reading(&cells(&["1713899470", "1,5"])) else { panic!() };
        assert_eq!(power, Some(1.5));
        assert_eq!(columns.reading(&cells(&["1713899470", "n/a"])), Err("\"n/a\" is no number".to_owned()));
        assert_eq!(columns.reading(&cells(&["", "1"])), Err("no time".to_owned()));
    }

    #[test]
    fn what_is_missing_is_reported_before_a_file_is_opened() {
        for (words, expected) in [
            ("--time at --probe a", "--power"),
            ("--time at --register wh --probe a", "--register-unit"),
            ("--time at --power w --probe a{", "not closed"),
            ("--time at --power w --probe a --zone Mars/Base", "zone"),
        ] {
            let error = columns(words).err().unwrap_or_default();
            assert!(error.contains(expected), "{words}: {error}");
        }
    }
}
