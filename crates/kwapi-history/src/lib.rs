//! Kwapi's history: the journal and RRD files. Pure but for its files.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "tests start the programs that judge them, and the sizes of their numbers are known"
    )
)]

mod backup;
mod columns;
mod documents;
pub mod foreign;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod history;
pub mod journal;
mod ledger;
mod query;
mod reader_thread;
pub mod rrd;
mod samples;
mod state_version;
pub mod store;
mod tree;
pub mod upgrade;
mod whole_file;

pub use backup::{Backup, BackupError, back_up, finish_restore, is_restore_unfinished, restore};
pub use documents::{Documents, DocumentsError, StoredDocument};
pub use history::{
    Flusher, Groups, GroupsConfig, GroupsCounters, History, HistoryConfig, HistoryCounters, Latest,
};
pub use journal::OpenError;
pub use ledger::{
    Ledger, LedgerConfig, LedgerCounters, LedgerRow, LedgerWriter, StoppedLedger, UnreadableRows,
};
pub use query::{
    Answer, Batches, CalendarStep, EnergyRequest, EnergyRequestError, EnergySpan, EnergyStep, MemberCounts,
    PowerMembers, PowerQuery, PowerSpan, ProbeEnergy, Query, SumEnergy, SumMembers, WindowEnergy, Windows,
    WindowsAnswer,
};
pub use reader_thread::{JournalConsumer, ReaderThread};
pub use samples::{
    ObjectReader, SampleRow, SampleUpload, Samples, SamplesConfig, SamplesCounters, SamplesError,
    SamplesFile, SamplesPage, SamplesWriter, StoppedSamples, UnreadableSamples,
};
pub use whole_file::replace_file;
