//! `kwapi report`: the numbers of a year that the operator of a data centre reports. Energy is queried as by
//! `kwapi energy`; what is made of it is in `kwapi_plugins::report`.

use std::path::Path;

use kwapi_plugins::directory::Directory;
use kwapi_plugins::report::ReportRun;

use super::energy::{answer, print};
use crate::cli::{EnergyPrint, ReportArgs};
use crate::stack::{configured, wall_clock};

/// Makes the report and prints it.
///
/// # Errors
/// When there is none, as one line.
pub(crate) async fn report(arguments: &ReportArgs, named: Option<&Path>) -> Result<(), String> {
    let config = super::configuration(named)?;
    let directory = Directory::new(configured(&config));
    let mut run = ReportRun::new(&directory, arguments.year, &config.bill.zone, wall_clock().now())?;
    let question = run.energy_question();
    answer(&arguments.ledger, named, &question, &mut |part| run.take_energy(part)).await?;
    if let Some(question) = run.peak_question() {
        answer(&arguments.ledger, named, &question, &mut |part| run.take_peak(part)).await?;
    }
    let report = run.end()?;
    let text = match arguments.format {
        EnergyPrint::Table => report.table(),
        EnergyPrint::Csv => report.csv(),
        EnergyPrint::Json => report.json(),
    };
    print(text.as_bytes())
}
