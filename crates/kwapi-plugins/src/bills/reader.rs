//! The ledger's answer as rows: the CSV of `/v2/energy`, in whole millijoules and milliseconds.

use csv::StringRecord;
use kwapi_core::{BilledQuarter, Increment, ProbeId};

use crate::answers::AnswerRecords;

/// A span of a probe.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AnsweredSpan {
    pub(crate) probe: ProbeId,
    /// Energy and time; of a span of any length.
    pub(crate) quarter: BilledQuarter,
    /// Energy from before the ledger, of RRD files, in millijoules.
    pub(crate) rrd_mj: i64,
    /// Whether it begins or ends within a row of the ledger.
    pub(crate) is_interpolated: bool,
    is_incomplete: bool,
    start: String,
}

impl AnsweredSpan {
    /// Nothing, if no file of it is missing.
    ///
    /// # Errors
    /// When one is, as one line: half a bill would pass for a whole one.
    pub(crate) fn complete(&self) -> Result<(), String> {
        if !self.is_incomplete {
            return Ok(());
        }
        let Self { probe, start, .. } = self;
        Err(format!(
            "no bill: files of the ledger cannot be read for {probe} from {start} on; see `kwapi energy`"
        ))
    }
}

/// Reads an answer as it comes.
#[derive(Debug, Default)]
pub(crate) struct RowReader {
    records: AnswerRecords,
    columns: Option<Vec<usize>>,
}

const COLUMNS: [&str; 14] = [
    "probe",
    "start",
    "measured_joules",
    "estimated_joules",
    "bridged_joules",
    "rrd_joules",
    "measured_seconds",
    "estimated_seconds",
    "bridged_seconds",
    "rrd_seconds",
    "unknown_seconds",
    "absent_seconds",
    "is_interpolated",
    "is_incomplete",
];

impl RowReader {
    /// Takes the next part of the answer, and gives its rows to `take`.
    ///
    /// # Errors
    /// When it makes no sense, or `take` has one, as one line.
    pub(crate) fn take(
        &mut self,
        part: &[u8],
        take: &mut dyn FnMut(AnsweredSpan) -> Result<(), String>,
    ) -> Result<(), String> {
        for record in self.records.take(part)? {
            let Some(columns) = &self.columns else {
                let place = |name: &&str| {
                    let found = record.iter().position(|column| column == *name);
                    found.ok_or_else(|| format!("the answer has no column {name}; is it of this version?"))
                };
                self.columns = Some(COLUMNS.iter().map(place).collect::<Result<_, String>>()?);
                continue;
            };
            take(row(columns, &record).ok_or("the answer cannot be read: a row makes no sense")?)?;
        }
        Ok(())
    }
}

fn row(columns: &[usize], record: &StringRecord) -> Option<AnsweredSpan> {
    let mut cells = columns.iter().map(|place| record.get(*place));
    let mut next = || cells.next().flatten();
    let (probe, start) = (ProbeId::new(next()?).ok()?, next()?.to_owned());
    let mut numbers = [0_i64; 10];
    for number in &mut numbers {
        *number = thousandths(next()?)?;
    }
    let [
        measured_mj,
        estimated_mj,
        bridged_mj,
        rrd_mj,
        measured_ms,
        estimated_ms,
        bridged_ms,
        rrd_ms,
        unknown,
        absent,
    ] = numbers;
    let mut flag = || Some(next()? == "true");
    let (is_interpolated, is_incomplete) = (flag()?, flag()?);
    let begin: jiff::Timestamp = start.parse().ok()?;
    let quarter = BilledQuarter {
        begin_ms: u64::try_from(begin.as_millisecond()).ok()?,
        known: Increment {
            mj: [measured_mj, estimated_mj, bridged_mj],
            ms: [measured_ms, estimated_ms, bridged_ms],
        },
        unknown_ms: u64::try_from(unknown).ok()?,
        // What an RRD file shows is before the ledger: not billed.
        absent_ms: u64::try_from(absent.checked_add(rrd_ms)?).ok()?,
    };
    Some(AnsweredSpan { probe, quarter, rrd_mj, is_interpolated, is_incomplete, start })
}

/// A number with three decimals, in thousandths; nothing is zero.
fn thousandths(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.')?;
    let is_number = part.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let (whole, part): (i64, i64) = (whole.parse().ok()?, part.parse().ok()?);
    whole.checked_mul(1_000)?.checked_add(part).map(|sum| sign * sum).filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "probe,start,end,joules,measured_joules,estimated_joules,bridged_joules,rrd_joules,measured_seconds,estimated_seconds,bridged_seconds,rrd_seconds,unknown_seconds,absent_seconds,is_interpolated,is_incomplete,news\n";

    #[track_caller]
    fn check(answer: &str, expected: &str) {
        let mut reader = RowReader::default();
        let mut shown = String::new();
        // However the answer is cut.
        let read = answer.as_bytes().chunks(7).try_for_each(|part| {
            reader.take(part, &mut |row| {
                row.complete()?;
                let BilledQuarter { begin_ms, known, unknown_ms, absent_ms } = row.quarter;
                shown += &format!("{} {begin_ms} {:?} {:?} ", row.probe, known.mj, known.ms);
                shown += &format!("{unknown_ms} {absent_ms} {}", row.rrd_mj);
                Ok(())
            })
        });
        assert_eq!(read.map_or_else(|error| error, |()| shown), expected);
    }

    #[test]
    fn rows_are_whole_millijoules_and_what_is_missing_makes_no_bill() {
        let row =
            |rest: &str| format!("{HEADER}a.b,1970-01-01T00:15:00Z,1970-01-01T00:30:00Z,1.000,{rest}\n");
        check(
            &row("1.000,-0.002,,,600.000,0.100,0.000,0.000,299.900,0.000,false,false,x"),
            "a.b 900000 [1000, -2, 0] [600000, 100, 0] 299900 0 0",
        );
        check(
            &row(",,,5.000,0.000,0.000,0.000,100.000,0.000,800.000,true,false,x"),
            "a.b 900000 [0, 0, 0] [0, 0, 0] 0 900000 5000",
        );
        check(
            &row(",,,,0.000,0.000,0.000,0.000,900.000,0.000,false,true,x"),
            "no bill: files of the ledger cannot be read for a.b from 1970-01-01T00:15:00Z on; see `kwapi energy`",
        );
        check(&row("1.00,,,,,,,,,,false,false,x"), "the answer cannot be read: a row makes no sense");
        check("probe,start\n", "the answer has no column measured_joules; is it of this version?");
    }
}
