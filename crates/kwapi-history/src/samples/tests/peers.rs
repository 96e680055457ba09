//! What others make of the tree, as it lies and while it is written: `DuckDB`, pandas and polars.

use std::process::Command;

use super::*;

/// Adds up each probe with each program: a line `program probe rows power register volts first last`.
const READ: &str = r#"
import sys, duckdb, pandas, polars
root = sys.argv[1]
files = f"{root}/*/*/*.parquet"
def show(program, probe, rows, power, register, volts, first, last, estimated, total):
    print(program, probe, int(rows), f"{power:.6f}", int(register or 0), f"{(volts or 0) + 0.0:.6f}", int(first), int(last), int(estimated), int(total))
for row in duckdb.sql(f"""select probe, count(*), sum(power_w), max(register_mj), sum(voltage_v), epoch_us(min(time)),
        epoch_us(max(time)), count(*) filter (status = 'estimated'), max(total_mj)
        from read_parquet('{files}', hive_partitioning = true)
        where typeof(time) = 'TIMESTAMP WITH TIME ZONE' and hour = extract('hour' from time at time zone 'UTC')
        group by probe""").fetchall():
    show("duckdb", *row)
frame = pandas.read_parquet(root)
assert str(frame["time"].dt.tz) == "UTC", frame.dtypes
for probe, of in frame.groupby("probe"):
    register = of["register_mj"].max()
    show("pandas", probe, len(of), of["power_w"].sum(), 0 if pandas.isna(register) else register, of["voltage_v"].sum(),
         of["time"].min().value // 1000, of["time"].max().value // 1000, (of["status"] == "estimated").sum(), of["total_mj"].max())
sums = polars.scan_parquet(files).group_by("probe").agg(
    polars.len(), polars.col("power_w").sum(), polars.col("register_mj").max(), polars.col("voltage_v").sum(),
    polars.col("time").min().dt.epoch("us").alias("first"), polars.col("time").max().dt.epoch("us").alias("last"),
    (polars.col("status") == "estimated").sum().alias("estimated"), polars.col("total_mj").max()).collect()
for row in sums.iter_rows():
    show("polars", *row)
"#;

#[test]
fn duckdb_pandas_and_polars_read_the_tree_as_it_lies() {
    if !kwapi_peers::need_python("ledger") {
        return;
    }
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = journal(&lab);
    let samples = open(&journal);
    for records in world.records.chunks(150) {
        append(&journal, records);
        samples.catch_up(wall(0));
        samples.write(wall(0)).unwrap();
    }
    samples.merge_one(wall(5 * HOUR));
    // The first of a probe in each file has its total; the largest of these is what a file shows at once.
    let mut totals: BTreeMap<ProbeId, u64> = BTreeMap::new();
    for path in parts(&lab) {
        let mut last = None;
        for (probe, sample) in rows_of(&path) {
            if last.as_ref() != Some(&probe) {
                let total = totals.entry(probe.clone()).or_default();
                *total = (*total).max(sample.total.unwrap().millijoules());
            }
            last = Some(probe);
        }
    }
    let mut wanted = Vec::new();
    for (probe, total) in totals {
        let of: Vec<SampleRow> =
            world.truth().into_iter().filter(|(id, _)| *id == probe).map(|(_, sample)| sample).collect();
        let register = of.iter().filter_map(|sample| sample.register).max().unwrap_or_default().millijoules();
        let volts: f64 =
            of.iter().filter_map(|sample| sample.voltage).map(|volts| volts.0).sum::<f64>() + 0.0;
        let power: f64 = of.iter().map(|sample| sample.power.0).sum();
        let (first, last) = (of[0].at.micros(), of[of.len() - 1].at.micros());
        let estimated = of.iter().filter(|sample| sample.quality == Quality::Estimated).count();
        let rows = of.len();
        for program in ["duckdb", "pandas", "polars"] {
            wanted.push(format!(
                "{program} {probe} {rows} {power:.6} {register} {volts:.6} {first} {last} {estimated} {total}"
            ));
        }
    }
    wanted.sort();
    // What a kill leaves of a part is none of theirs.
    let folder = parts(&lab)[0].parent().unwrap().to_owned();
    std::fs::write(folder.join(".part-000000000009-000000000009.parquet.new"), b"PAR1").unwrap();
    let python = kwapi_peers::python_environment("ledger");
    let text = kwapi_peers::output(Command::new(python).args(["-c", READ]).arg(lab.join("samples")));
    let mut theirs: Vec<&str> = text.lines().collect();
    theirs.sort_unstable();
    assert_eq!(theirs, wanted);
}
