//! Bills: what a month's energy costs, and whose it is, as `kwapi bill` prints it. Energy is that of two answers of
//! `/v2/energy`; prices and owners are the configuration's; what is made of them is `kwapi_core::BillMaker`'s.
//!
//! A month that is over may be closed: its bill is a document from then on, which is printed as it is, and corrected by
//! further documents.

mod changes;
mod closed;
mod config;
mod correction;
mod csv;
mod facts;
mod html;
mod json;
mod month;
mod ocmf;
mod open;
mod overview;
mod reader;
mod request;
mod run;
mod served;
mod table;

pub use changes::BillChange;
pub use closed::{BillSigner, ClosedBills, KeptBill};
pub use config::{BillConfig, SharesOf};
pub(crate) use facts::kwh;
pub use month::BillMonth;
pub(crate) use month::{milliseconds, question};
pub use ocmf::BillKey;
pub(crate) use overview::BillOverview;
pub(crate) use reader::{AnsweredSpan, RowReader};
pub(crate) use request::{BillRequest, ShownBill, unreadable};
pub use run::{BillRun, MadeBill};
pub use served::Bills;
pub(crate) use served::ListedBill;

use crate::answers::when::rfc3339;
use closed::BillDocument;

/// How a bill is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillFormat {
    /// For people.
    Table,
    /// For programs, a line each.
    Csv,
    /// One document.
    Json,
    /// A page for people, that prints well on A4.
    Html,
    /// Each quarter hour as CSV, instead of the bill.
    Profile,
    /// The signed readings of a closed bill, a record a line.
    Ocmf,
}

/// Prints a document in every form, if it is one.
#[cfg(feature = "fuzzing")]
pub(crate) fn print_anything(bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<BillDocument>(bytes) else { return };
    let kept = KeptBill { document, sha256: "00".repeat(32) };
    for format in [
        BillFormat::Table,
        BillFormat::Csv,
        BillFormat::Json,
        BillFormat::Html,
        BillFormat::Profile,
        BillFormat::Ocmf,
    ] {
        _ = kept.text(format);
        _ = kept.made().text(format);
    }
}

impl MadeBill {
    /// The bill as text. It is open: made again it may be another one.
    pub fn text(&self, format: BillFormat) -> String {
        self.print(format, None)
    }

    fn print(&self, format: BillFormat, kept: Option<&KeptBill>) -> String {
        let (bill, facts) = (&self.bill, &self.facts);
        match format {
            BillFormat::Table => table::text(bill, facts, kept.map(KeptBill::made_line).as_deref()),
            BillFormat::Csv => csv::text(bill, facts),
            BillFormat::Json => {
                let mut document = json::document(bill, facts);
                if let (Some(kept), Some(document)) = (kept, document.as_object_mut()) {
                    document.insert("document".to_owned(), correction::document_json(kept));
                }
                format!("{document:#}\n")
            }
            BillFormat::Html => html::bill(bill, facts, kept),
            BillFormat::Profile => csv::profile(bill, facts),
            // Readings are signed when a bill is closed.
            BillFormat::Ocmf => kept.map(KeptBill::signed_text).unwrap_or_default(),
        }
    }
}

impl KeptBill {
    /// The document as text, of the same bytes each time. A correction is what differs.
    pub fn text(&self, format: BillFormat) -> String {
        let document = &self.document;
        if document.number == 0 {
            return document.made.print(format, Some(self));
        }
        match format {
            BillFormat::Table => correction::table(self),
            BillFormat::Csv => correction::csv(document),
            BillFormat::Json => format!("{:#}\n", correction::json(self)),
            BillFormat::Html => html::correction(self),
            BillFormat::Profile => csv::profile(&document.made.bill, &document.made.facts),
            BillFormat::Ocmf => self.signed_text(),
        }
    }

    /// The key that checks its readings, as `SubjectPublicKeyInfo` in hexadecimal digits.
    pub fn public_key(&self) -> Option<&str> {
        self.document.signed.as_ref().map(|signed| signed.public_key.as_str())
    }

    fn signed_text(&self) -> String {
        self.document.signed.as_ref().map(ocmf::SignedReadings::text).unwrap_or_default()
    }

    /// When it was made, in the bill's zone.
    fn made_instant(&self) -> String {
        rfc3339(self.document.made_at, &self.document.made.facts.zone)
    }

    /// The same in words, as pages write instants.
    fn made_in_words(&self) -> String {
        self.document.made.facts.instant_in_words(self.document.made_at.micros() / 1_000)
    }

    /// When and by whom it was made, for people.
    fn made_line(&self) -> String {
        let BillDocument { made_by, number, .. } = &self.document;
        let what = if *number == 0 { "Closed" } else { "Made" };
        format!("{what} {} by {made_by}; document {}", self.made_instant(), self.sha256)
    }
}

#[cfg(test)]
pub(crate) mod tests;
