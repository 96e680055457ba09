//! Bills that are closed, and their corrections: documents that are never changed, kept in the state directory, from which
//! they are printed.
//!
//! A document has the bill, prices and owners as they were used, and the checksum of the document of its month before it.

use std::path::Path;

use kwapi_core::{Timestamp, chain};
use kwapi_history::{Documents, StoredDocument};
use serde::{Deserialize, Serialize};

use super::changes::BillChange;
use super::ocmf::{BillKey, SignedReadings};
use super::run::MadeBill;

/// What a document states that it is.
const FORMAT: &str = "kwapi-bill 1";

/// A document: a bill as it was closed, or a correction of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct BillDocument {
    format: String,
    /// 0: the bill as it was closed; 1 and so on: its corrections.
    pub(super) number: usize,
    pub(super) made_at: Timestamp,
    /// Who made it.
    pub(super) made_by: String,
    /// Of Kwapi.
    version: String,
    /// Checksum of the document of its month before it.
    previous: Option<String>,
    pub(super) made: MadeBill,
    /// How it differs from the document of its bill before it.
    pub(super) changes: Vec<BillChange>,
    /// The sum of that.
    pub(super) before: Option<BillSum>,
    /// Readings that others can check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signed: Option<SignedReadings>,
}

/// What a bill comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BillSum {
    pub(super) energy_wh: i64,
    pub(super) amount: i64,
}

/// A document on the disk.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptBill {
    pub(super) document: BillDocument,
    /// Of its text, in hexadecimal digits.
    pub(super) sha256: String,
}

/// Who makes a document, when and with what.
#[derive(Clone, Copy, Debug)]
pub struct BillSigner<'a> {
    /// Who.
    pub name: &'a str,
    /// When.
    pub at: Timestamp,
    /// The version of Kwapi.
    pub version: &'a str,
}

/// The closed bills of a state directory.
#[derive(Clone, Debug)]
pub struct ClosedBills(Documents);

impl KeptBill {
    /// The bill.
    pub fn made(&self) -> &MadeBill {
        &self.document.made
    }

    /// When it was made.
    pub fn made_at(&self) -> Timestamp {
        self.document.made_at
    }

    /// Its label.
    pub fn by(&self) -> Option<&str> {
        self.document.made.facts.by.as_deref()
    }

    /// SHA-256 of its text, in hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Its month, and its label if it has one: `2026-10 by department`.
    pub fn name(&self) -> String {
        let by = self.by().map_or_else(String::new, |by| format!(" by {by}"));
        format!("{}{by}", self.document.made.facts.month.name())
    }

    fn read(stored: StoredDocument) -> Result<Self, String> {
        let StoredDocument { text, sha256 } = stored;
        let unreadable = |why: String| format!("document {sha256} cannot be read: {why}");
        let document: BillDocument =
            serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        if document.format != FORMAT {
            return Err(unreadable(format!("it is of another version ({})", document.format)));
        }
        Ok(Self { document, sha256 })
    }
}

impl ClosedBills {
    /// Those of the state directory `state`.
    pub fn new(state: &Path) -> Self {
        Self(Documents::new(state))
    }

    /// The months that have documents, and how many.
    ///
    /// # Errors
    /// When the disk refuses, as one line.
    pub(super) fn months(&self) -> Result<Vec<(String, usize)>, String> {
        let months = self.0.folders().map_err(|error| chain(&error))?;
        Ok(months.into_iter().map(|month| (month.clone(), self.0.count(&month))).collect())
    }

    /// All documents of a month, in the order in which they were made.
    ///
    /// # Errors
    /// When one cannot be read or is not as it was written, as one line.
    pub fn of_month(&self, month: &str) -> Result<Vec<KeptBill>, String> {
        let stored = self.0.read(month).map_err(|error| chain(&error))?;
        let mut documents: Vec<KeptBill> = Vec::new();
        for stored in stored {
            let kept = KeptBill::read(stored)?;
            let last = documents.last().map(|last| last.sha256.as_str());
            if kept.document.previous.as_deref() != last {
                return Err(format!(
                    "a document of {month} before {} is missing; restore it from a backup",
                    kept.sha256
                ));
            }
            documents.push(kept);
        }
        Ok(documents)
    }

    /// The bill of a month by a label as it was closed, and its corrections; nothing where it is open.
    ///
    /// # Errors
    /// See [`ClosedBills::of_month`].
    pub fn of(&self, month: &str, by: Option<&str>) -> Result<Vec<KeptBill>, String> {
        let mut documents = self.of_month(month)?;
        documents.retain(|kept| kept.by() == by);
        Ok(documents)
    }

    /// Closes a bill, or keeps a correction of it: `changes` are those to the document before. Its readings are signed with
    /// `key`.
    ///
    /// # Errors
    /// When the month is not over or the disk refuses, as one line.
    pub fn keep(
        &self,
        made: MadeBill,
        changes: Vec<BillChange>,
        signer: BillSigner<'_>,
        key: Option<&BillKey>,
    ) -> Result<KeptBill, String> {
        let month = &made.facts.month;
        if !month.is_over() {
            return Err(format!("{} is not over; only a whole month can be closed", month.name()));
        }
        if made.facts.zone.iana_name().is_none() {
            return Err("set `zone` in [bill] to close a month, for example \"Europe/Paris\"".to_owned());
        }
        let name = month.name().to_owned();
        let all = self.of_month(&name)?;
        let of_bill: Vec<&KeptBill> =
            all.iter().filter(|kept| kept.by() == made.facts.by.as_deref()).collect();
        let before = of_bill.last().map(|kept| {
            let bill = &kept.document.made.bill;
            BillSum { energy_wh: bill.energy_wh, amount: bill.amount }
        });
        let signed = key.map(|key| key.sign(&made, signer.version)).transpose()?;
        let document = BillDocument {
            format: FORMAT.to_owned(),
            number: of_bill.len(),
            made_at: signer.at,
            made_by: signer.name.to_owned(),
            version: signer.version.to_owned(),
            previous: all.last().map(|kept| kept.sha256.clone()),
            made,
            changes,
            before,
            signed,
        };
        let text =
            serde_json::to_vec(&document).map_err(|error| format!("cannot write the bill: {error}"))?;
        // What is printed now is what is printed later: read as it was written.
        KeptBill::read(self.0.add(&name, all.len(), &text).map_err(|error| chain(&error))?)
    }
}
