//! The rows of an answer in CSV, as its text comes.

use csv::StringRecord;

/// Text that is not a whole row yet.
#[derive(Debug, Default)]
pub struct AnswerRecords(Vec<u8>);

impl AnswerRecords {
    /// Takes the next part of an answer; returns the rows that are whole now, the header among them.
    ///
    /// # Errors
    /// When it makes no sense, as one line.
    pub fn take(&mut self, part: &[u8]) -> Result<Vec<StringRecord>, String> {
        self.0.extend_from_slice(part);
        // A line break within quotes is part of a label.
        let (mut is_quoted, mut end) = (false, None);
        for (at, byte) in self.0.iter().enumerate() {
            match byte {
                b'"' => is_quoted = !is_quoted,
                b'\n' if !is_quoted => end = Some(at),
                _ => {}
            }
        }
        let Some(end) = end else { return Ok(Vec::new()) };
        let rest = self.0.split_off(end + 1);
        let whole = std::mem::replace(&mut self.0, rest);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&*whole);
        let records: Result<Vec<StringRecord>, csv::Error> = reader.records().collect();
        records.map_err(|error| format!("the answer cannot be read: {error}"))
    }
}
