//! What `DuckDB` and pandas make of the ledger's files while they are written, and what we answer: the same, to the
//! millijoule.

use std::process::Command;

use super::*;

/// Sums a probe's minutes from one instant to another (Unix milliseconds) with each program.
const READ: &str = r#"
import sys, duckdb, pandas
root, probe, start, end = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
energy, known = "measured_mj + estimated_mj + bridged_mj", "measured_ms + estimated_ms + bridged_ms"
print(*duckdb.execute(f"""select sum({energy})::bigint, sum({known})::bigint from read_parquet('{root}/step=minute/*/*.parquet')
    where probe = ? and epoch_ms("begin") >= ? and epoch_ms("begin") < ?""", [probe, start, end]).fetchone())
frame = pandas.read_parquet(f"{root}/step=minute")
at = frame["begin"].astype("datetime64[ms, UTC]").astype("int64")
frame = frame[(frame["probe"] == probe) & (at >= start) & (at < end)]
print(frame.eval(energy).sum(), frame.eval(known).sum())
"#;

#[test]
#[expect(clippy::disallowed_methods, reason = "a test starts the programs that judge it")]
fn duckdb_and_pandas_agree_to_the_millijoule_while_the_ledger_is_written() {
    if !kwapi_peers::need_python("ledger") {
        return;
    }
    let lab = Lab::empty();
    let wall = Timestamp::from_seconds(BEGIN);
    let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), wall).unwrap();
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    // One that draws an odd number of watts, received every seven seconds, over three hours.
    let step = 7_000;
    let records: Vec<Credited> = (0..1_543)
        .map(|seq| {
            let mut record = hour("odd", 1).swap_remove(usize::from(seq > 0));
            record.at = Timestamp::from_micros((BEGIN * 1_000 + seq * step) * 1_000);
            let accounting = record.accounting.as_mut().unwrap();
            (accounting.timestamp, accounting.seq) = (record.at, seq);
            accounting.totals.energy = Energy::from_millijoules(seq * 7 * 13_337 + seq % 5);
            accounting.totals.measured_ms = seq * step;
            let (register, taken) = (accounting.totals, record.taken.as_mut().unwrap());
            taken.register = register;
            record
        })
        .collect();
    let answers = EnergyAnswers::new(Query::new(ledger.clone(), None), Directory::default());
    let house = House { lab, answers };
    for (n, chunk) in records.chunks(515).enumerate() {
        journal.append(&Arc::new(chunk.to_vec()), wall).unwrap();
        ledger.catch_up(wall);
        ledger.write(wall).unwrap();
        let newest = ((n as u64 + 1) * 515).min(1_543) * 7 - 7;
        let (start, end) = (BEGIN + 240, BEGIN + newest / 60 * 60);
        let python = kwapi_peers::python_environment("ledger");
        let mut command = Command::new(python);
        command.args(["-c", READ]).arg(house.lab.join("ledger")).arg("odd");
        command.args([(start * 1_000).to_string(), (end * 1_000).to_string()]);
        let theirs = kwapi_peers::output(&mut command);
        let answer = energy_until(&house, &format!("step=hour&end={end}&probe=odd"), start, BEGIN + 20_000);
        let rows = answer["energy"][0]["rows"].as_array().unwrap();
        // Printed with three decimals: millijoules and milliseconds as they are.
        let sum = |name: &str| -> u64 {
            rows.iter()
                .map(|row| Energy::from_joules(row[name].as_f64().unwrap()).unwrap().millijoules())
                .sum()
        };
        let ours = format!("{} {}\n", sum("joules"), sum("measured_seconds"));
        assert_eq!(theirs, ours.repeat(2), "after {newest} s");
        assert!(rows.iter().all(|row| row["is_interpolated"] == false), "{rows:?}");
    }
}
