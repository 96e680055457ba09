//! `kwapi bill`: what a month's energy costs, and whose it is. Energy is queried as by `kwapi energy`; what is made of it
//! is in `kwapi_plugins::bills`.

use std::path::{Path, PathBuf};

use kwapi_plugins::audit::{AuditEvent, AuditLog};
use kwapi_plugins::bills::{
    BillChange, BillFormat, BillKey, BillMonth, BillRun, BillSigner, ClosedBills, KeptBill, MadeBill,
};
use kwapi_plugins::directory::Directory;

use super::energy::{answer, complete_until, print};
use super::owner;
use crate::cli::{BillArgs, BillPrint, VERSION};
use crate::config::Config;
use crate::stack::{configured, host_name, wall_clock};

/// Makes the bill, or reads one that is closed, and prints it.
///
/// # Errors
/// When there is none, as one line.
pub(crate) async fn bill(arguments: &BillArgs, named: Option<&Path>) -> Result<(), String> {
    let config = super::configuration(named)?;
    let directory = Directory::new(configured(&config));
    let month = BillMonth::new(&arguments.month, &config.bill.zone, wall_clock().now())?;
    let command = BillCommand { arguments, named, config: &config, directory: &directory };
    let text = match (arguments.close, arguments.correct) {
        (true, _) => command.close(month).await?,
        (_, true) => command.correct(&month).await?,
        (false, false) => command.print(month).await?,
    };
    print(text.as_bytes())
}

/// What is to be done, and by what.
struct BillCommand<'a> {
    arguments: &'a BillArgs,
    named: Option<&'a Path>,
    config: &'a Config,
    directory: &'a Directory,
}

impl BillCommand<'_> {
    fn format(&self) -> BillFormat {
        match (self.arguments.profile, self.arguments.format) {
            (true, _) => BillFormat::Profile,
            (false, BillPrint::Table) => BillFormat::Table,
            (false, BillPrint::Csv) => BillFormat::Csv,
            (false, BillPrint::Json) => BillFormat::Json,
            (false, BillPrint::Html) => BillFormat::Html,
            (false, BillPrint::Ocmf) => BillFormat::Ocmf,
        }
    }

    fn state(&self) -> PathBuf {
        self.arguments.ledger.state_directory.as_ref().unwrap_or(&self.config.state_directory).clone()
    }

    /// The bill as it was closed and its corrections; nothing where it is open.
    fn kept(&self, month: &BillMonth) -> Result<Vec<KeptBill>, String> {
        ClosedBills::new(&self.state()).of(month.name(), self.arguments.by.as_deref())
    }

    /// As it is called in a message.
    fn name(&self, month: &BillMonth) -> String {
        let by = self.arguments.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
        format!("the bill of {}{by}", month.name())
    }

    async fn print(&self, month: BillMonth) -> Result<String, String> {
        let kept = self.kept(&month)?;
        let wanted = self.arguments.correction.unwrap_or(0);
        match (kept.get(wanted), self.arguments.correction) {
            (Some(kept_bill), _) if self.arguments.probes.is_empty() => {
                // Not on the document, which has the same bytes each time.
                if self.arguments.correction.is_none() && kept.len() > 1 {
                    let count = super::counted(kept.len() - 1, "correction");
                    eprintln!("{} has {count}; print them with --correction NUMBER", self.name(&month));
                }
                Ok(kept_bill.text(self.format()))
            }
            (None, Some(number)) => Err(format!("{} has no correction {number}", self.name(&month))),
            (_, _) if self.format() == BillFormat::Ocmf => Err(format!(
                "{} is not closed; readings are signed when it is closed with --close",
                self.name(&month)
            )),
            (_, _) => {
                self.warn_of_closed(&month)?;
                let mut run =
                    BillRun::new(&self.config.bill, self.directory, month, self.arguments.by.as_deref())?;
                self.query(&mut run).await?;
                let (made, _) = run.end()?;
                made.check()?;
                Ok(made.text(self.format()))
            }
        }
    }

    /// Who prints a closed month in another way must not take that for the bill.
    fn warn_of_closed(&self, month: &BillMonth) -> Result<(), String> {
        let closed = ClosedBills::new(&self.state()).of_month(month.name())?;
        if let Some(closed) = closed.first() {
            let by = closed.by().map_or_else(String::new, |by| format!(" by {by}"));
            eprintln!(
                "{} is closed{by}; what is printed is made of the readings, tariffs and shares of now",
                month.name()
            );
        }
        Ok(())
    }

    async fn close(&self, month: BillMonth) -> Result<String, String> {
        if !month.is_over() {
            return Err(format!("{} is not over; only a whole month can be closed", month.name()));
        }
        if let Some(closed) = self.kept(&month)?.first() {
            let at = kwapi_plugins::answers::when::rfc3339(closed.made_at(), &self.config.bill.zone);
            let name = self.name(&month);
            return Err(format!("{name} was closed {at}; print it without --close, or use --correct"));
        }
        self.wait_for_backlog(&month).await?;
        let mut run = BillRun::new(&self.config.bill, self.directory, month, self.arguments.by.as_deref())?;
        self.query(&mut run).await?;
        let (made, changes) = run.end()?;
        made.check()?;
        self.keep(made, changes)
    }

    /// What is stored of a month and still to be read is no correction of it: the month is closed after that.
    ///
    /// # Errors
    /// While something may be, as one line.
    async fn wait_for_backlog(&self, month: &BillMonth) -> Result<(), String> {
        let until = complete_until(&self.arguments.ledger, self.named).await?;
        let Some(until) = until.filter(|until| !month.is_over_at(*until)) else { return Ok(()) };
        let at = kwapi_plugins::answers::when::rfc3339(until, &self.config.bill.zone);
        Err(format!(
            "history is being read: up to {at}; close {} when it has been read (see kwapi status)",
            month.name()
        ))
    }

    async fn correct(&self, month: &BillMonth) -> Result<String, String> {
        let kept = self.kept(month)?;
        let Some(last) = kept.last() else {
            return Err(format!("{} is not closed; close it with --close", self.name(month)));
        };
        let mut run = BillRun::correcting(&self.config.bill, self.directory, last.made())?;
        self.query(&mut run).await?;
        let (made, changes) = run.end()?;
        if changes.is_empty() {
            eprintln!("nothing to correct: {} is as it was", self.name(month));
            return Ok(String::new());
        }
        self.keep(made, changes)
    }

    /// Keeps a document, with its readings signed, and prints it.
    fn keep(&self, made: MadeBill, changes: Vec<BillChange>) -> Result<String, String> {
        let state = self.state();
        owner::check(&state)?;
        let key = BillKey::open(&state)?;
        let who = user();
        let kept = ClosedBills::new(&state).keep(made, changes, signer(&who), Some(&key))?;
        let event = AuditEvent::BillClosed { who, bill: kept.name(), hash: kept.sha256().to_owned() };
        // The document states the same of itself: it stands without its line.
        if let Err(error) = AuditLog::new(state.join("audit.log"), wall_clock()).append(&event) {
            eprintln!("cannot write audit.log: {error}");
        }
        eprintln!("readings are signed; public key {}", kept.public_key().unwrap_or_default());
        Ok(kept.text(self.format()))
    }

    /// Queries the ledger for what the bill is made of.
    async fn query(&self, run: &mut BillRun<'_>) -> Result<(), String> {
        let [registers, quarters] = run.month().questions(&self.arguments.probes);
        let ledger = &self.arguments.ledger;
        answer(ledger, self.named, &registers, &mut |part| run.take_registers(part)).await?;
        let position = answer(ledger, self.named, &quarters, &mut |part| run.take_quarters(part)).await?;
        run.set_position(position);
        Ok(())
    }
}

/// Who runs this, and where.
fn user() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let name = named.unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()));
    format!("{name} on {}", host_name())
}

fn signer(name: &str) -> BillSigner<'_> {
    BillSigner { name, at: wall_clock().now(), version: VERSION }
}
