//! What others make of the tree, as it lies and while it is written: `DuckDB`, pandas and polars.

use std::process::Command;

use super::*;

/// Adds up each step with each program: a line `program step probe energy-mJ known-ms peak`.
const READ: &str = r#"
import sys, duckdb, pandas, polars
root = sys.argv[1]
for step in ("minute", "quarter", "day"):
    files = f"{root}/step={step}/*/*.parquet"
    energy, known = "measured_mj + estimated_mj + bridged_mj", "measured_ms + estimated_ms + bridged_ms"
    for row in duckdb.sql(f"""select probe, sum({energy})::bigint, sum({known})::bigint, max(peak_w)
            from read_parquet('{files}') where typeof(begin) = 'TIMESTAMP WITH TIME ZONE' group by probe""").fetchall():
        print("duckdb", step, *row[:3], float(row[3]))
    frame = pandas.read_parquet(f"{root}/step={step}")
    assert str(frame["begin"].dt.tz) == "UTC", frame.dtypes
    for probe, of in frame.groupby("probe"):
        print("pandas", step, probe, of.eval(energy).sum(), of.eval(known).sum(), of["peak_w"].max())
    sums = polars.scan_parquet(files).group_by("probe").agg(
        polars.sum_horizontal("measured_mj", "estimated_mj", "bridged_mj").sum().alias("mj"),
        polars.sum_horizontal("measured_ms", "estimated_ms", "bridged_ms").sum().alias("ms"),
        polars.col("peak_w").max()).collect()
    for row in sums.iter_rows():
        print("polars", step, *row)
"#;

#[test]
fn duckdb_pandas_and_polars_read_the_tree_and_agree_to_the_millijoule() {
    if !kwapi_peers::need_python("ledger") {
        return;
    }
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let journal = journal(&lab);
    let ledger = open(&journal);
    let chunks: Vec<_> = world.records.chunks(60).collect();
    for records in chunks {
        append(&journal, records);
        ledger.catch_up(wall(0));
        ledger.write(wall(0)).unwrap();
    }
    ledger.merge_one(wall(28 * HOUR));
    let mut ours: BTreeMap<(&str, ProbeId), (i64, i64, f64)> = BTreeMap::new();
    for (step, row) in rows_in_files(&lab) {
        let sums = ours.entry((files::step_name(step), row.probe)).or_default();
        sums.0 += row.row.increment.energy_mj();
        sums.1 += row.row.increment.known_ms();
        sums.2 = sums.2.max(row.row.peak.map_or(0.0, |peak| peak.0));
    }
    let mut wanted: Vec<String> = Vec::new();
    for ((step, probe), (mj, ms, peak)) in &ours {
        for program in ["duckdb", "pandas", "polars"] {
            wanted.push(format!("{program} {step} {probe} {mj} {ms} {peak:?}"));
        }
    }
    wanted.sort();
    // What a kill leaves of a part is none of theirs.
    let day = list(&lab.join("ledger/step=day"))[0].clone();
    std::fs::write(day.join(".part-000000000009-000000000009-0.parquet.new"), b"PAR1").unwrap();
    let python = kwapi_peers::python_environment("ledger");
    let text = kwapi_peers::output(Command::new(python).args(["-c", READ]).arg(lab.join("ledger")));
    let mut theirs: Vec<&str> = text.lines().collect();
    theirs.sort_unstable();
    assert_eq!(theirs, wanted);
}
