//! Power over time, as it is written, and as `DuckDB` and pandas make it of the samples.

use std::process::Command;

use kwapi_history::{Samples, SamplesConfig};

use super::*;

/// Messages of a probe every seven seconds for three hours, less ten minutes of silence, of powers that are never the same.
fn unsteady(name: &str) -> Vec<Credited> {
    let mut used = 0;
    let mut before = 0;
    let received = (0..1_543_u64).filter(|seq| !(600..686).contains(seq));
    let records = received.map(|seq| {
        let ms = seq * 7_000 + seq * 13 % 500;
        let watts = 100 + seq * seq % 377;
        let mut record = hour(name, 1).swap_remove(usize::from(seq > 0));
        // Of the silence nothing is known.
        let spacing = ms - before;
        used += if spacing < 60_000 { watts * spacing } else { 0 };
        before = ms;
        record.at = Timestamp::from_micros((BEGIN * 1_000 + ms) * 1_000);
        record.power = Watts(watts as f64 + 0.25);
        let accounting = record.accounting.as_mut().unwrap();
        (accounting.timestamp, accounting.seq) = (record.at, seq);
        accounting.totals.energy = Energy::from_millijoules(used);
        accounting.totals.measured_ms = ms - if seq >= 686 { 602_000 } else { 0 };
        let (register, taken) = (accounting.totals, record.taken.as_mut().unwrap());
        taken.register = register;
        record
    });
    records.collect()
}

/// A house of these records, some of whose samples are in a second file; the rest is not written yet.
fn house_with_samples(records: &[Credited]) -> House {
    let lab = Lab::empty();
    let wall = Timestamp::from_seconds(BEGIN);
    let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), wall).unwrap();
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    let samples = Arc::new(Samples::open(SamplesConfig::default(), &journal).unwrap());
    for chunk in records.chunks(records.len().div_ceil(3)) {
        journal.append(&Arc::new(chunk.to_vec()), wall).unwrap();
        samples.catch_up(wall);
        samples.write(wall).unwrap();
    }
    ledger.catch_up(wall);
    ledger.write(wall).unwrap();
    let query = Query::new(ledger, None).with_samples(Some(samples));
    House { lab, answers: EnergyAnswers::new(query, Directory::default()) }
}

fn series(house: &House, query: &str, now: u64) -> Result<String, String> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let question = EnergyQuestion::of_series(pairs, "", Timestamp::from_seconds(now));
    let prepared = house.answers.prepare(question.unwrap(), &Scope::All).unwrap();
    let mut text = Vec::new();
    let written = prepared.write(|_| (), &mut |part| {
        text.extend(part);
        true
    });
    written.map_err(|error| error.message().to_owned())?;
    Ok(String::from_utf8(text).unwrap())
}

/// Least, mean and most watts, the share known and the source of each row of one subject.
fn rows(house: &House, query: &str) -> Value {
    let text = series(house, &format!("start={BEGIN}&{query}"), BEGIN + 3_600).unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    let of = |row: &Value| {
        let names = ["watts_min", "watts_mean", "watts_max", "watts_known_share", "watts_source"];
        names.map(|name| row[name].clone())
    };
    let rows_of =
        |subject: &Value| -> Vec<_> { subject["rows"].as_array().unwrap().iter().map(of).collect() };
    json!(answer["series"].as_array().unwrap().iter().map(rows_of).collect::<Vec<_>>())
}

#[test]
fn power_stands_beside_the_energy_of_each_row() {
    let all: Vec<Credited> =
        [("r", 100), ("r.a", 30), ("x", 7)].into_iter().flat_map(|(name, watts)| hour(name, watts)).collect();
    let house = house_with_samples(&all);
    let even = |watts: f64| json!([watts, watts, watts, 1.0, "samples"]);
    assert_eq!(
        rows(&house, "step=1800"),
        json!([[even(100.0), even(100.0)], [even(30.0), even(30.0)], [even(7.0), even(7.0)]])
    );
    assert_eq!(rows(&house, "group=r&step=hour"), json!([[even(100.0)]]));
    assert_eq!(rows(&house, "by=total&step=day"), json!([[even(107.0)]]));
    assert_eq!(rows(&house, "pattern=r.*&by=group&step=day"), json!([[even(30.0)]]));
    let text = series(&house, &format!("start={BEGIN}&probe=x&step=1800"), BEGIN + 3_600).unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    let energy = energy_of(&house, "probe=x&step=1800");
    let mut row = answer["series"][0]["rows"][1].clone();
    row.as_object_mut().unwrap().retain(|name, _| !name.starts_with("watts_"));
    assert_eq!((&row, &answer["position"]), (&energy["energy"][0]["rows"][1], &energy["position"]));
    assert_eq!((&answer["step"], &answer["unreadable_samples"]), (&json!("1800"), &json!([])));
}

#[test]
fn what_is_not_known_is_left_empty_and_counted() {
    let house = house_with_samples(&hour("a", 10));
    let csv =
        series(&house, &format!("start={}&step=1800&format=csv", BEGIN - 1_800), BEGIN + 7_200).unwrap();
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let columns = [
        "probe",
        "start",
        "end",
        "watts_min",
        "watts_mean",
        "watts_max",
        "watts_known_share",
        "watts_source",
        "joules",
    ];
    assert_eq!(lines[0][..9], columns);
    let known: Vec<_> = lines[1..].iter().map(|line| line[3..9].join(",")).collect();
    let (none, some) = (",,,0.0,,", "10.0,10.0,10.0,1.0,samples,18000.000");
    assert_eq!(known, [none, some, some, none, none]);
}

#[test]
fn more_than_is_answered_is_refused_with_what_to_do() {
    let house = house_with_samples(&hour("a", 10));
    let refused = |query: &str| series(&house, query, BEGIN + 4_000_000_000).unwrap_err();
    assert_eq!(
        refused(&format!("start={BEGIN}&step=1&end={}", BEGIN + 2_000_000)),
        "2000001 values requested; the limit is 1048576: request fewer probes, a longer step or less time."
    );
    assert_eq!(
        refused(&format!("start={BEGIN}&end={}", BEGIN + 3_600 * 131_073)),
        "Samples of 131073 hours required, those of all probes together; the limit is 131072: request fewer probes or less time."
    );
}

/// What each program makes of the samples and of the answer: rows, and how far they are apart at most.
const READ: &str = r#"
import sys, duckdb, pandas, numpy
root, answer = sys.argv[1], sys.argv[2]
gap = 60_000_000
apart = duckdb.execute(f"""
    with samples as (select probe, epoch_us("time") as stamp, power_w, lag(epoch_us("time")) over (partition by probe order by "time") as earlier
            from read_parquet('{root}/*/*/*.parquet')),
        answered as (select probe, epoch_us("start"::timestamptz) as begins, epoch_us("end"::timestamptz) as ends,
            watts_min, watts_mean, watts_max, watts_known_share from read_csv('{answer}')),
        pieces as (select answered.*, power_w, case when stamp is not null then least(stamp, ends) - greatest(earlier, begins) end as length from answered left join samples
            on samples.probe = answered.probe and earlier < ends and stamp > begins and stamp - earlier <= {gap}),
        made as (select probe, begins, ends, watts_min, watts_mean, watts_max, watts_known_share, sum(power_w * length) / sum(length) as mean,
            min(power_w) as lowest, max(power_w) as highest, coalesce(sum(length), 0) / (ends - begins) as share from pieces
            group by probe, begins, ends, watts_min, watts_mean, watts_max, watts_known_share)
    select count(*), count(mean), max(abs(mean - watts_mean)) < 1e-9, max(abs(lowest - watts_min)) = 0, max(abs(highest - watts_max)) = 0,
        max(abs(share - watts_known_share)) < 1e-9, count(*) filter ((mean is null) <> (watts_mean is null)) from made""").fetchone()
print(*apart)
answered = pandas.read_csv(answer)
samples = pandas.read_parquet(root).sort_values(["probe", "time"])
rows = known = wrong = 0
for probe, of in answered.groupby("probe"):
    mine = samples[samples["probe"].astype(str) == probe]
    at = mine["time"].astype("datetime64[us, UTC]").astype("int64").to_numpy()
    at, before, w = at[1:], at[:-1], mine["power_w"].to_numpy()[1:]
    at, before, w = at[(k := at - before <= gap)], before[k], w[k]
    for row in of.itertuples():
        b, e = (pandas.Timestamp(t).value // 1000 for t in (row.start, row.end))
        length = numpy.clip(numpy.minimum(at, e) - numpy.maximum(before, b), 0, None)
        rows += 1
        if not length.any():
            wrong += not pandas.isna(row.watts_mean)
            continue
        known += 1
        in_it = w[length > 0]
        wrong += abs((w * length).sum() / length.sum() - row.watts_mean) > 1e-9
        wrong += in_it.min() != row.watts_min or in_it.max() != row.watts_max
        wrong += abs(length.sum() / (e - b) - row.watts_known_share) > 1e-9
print(rows, known, wrong)
"#;

#[test]
#[expect(clippy::disallowed_methods, reason = "a test starts the programs that judge it")]
fn duckdb_and_pandas_make_the_same_of_the_samples() {
    if !kwapi_peers::need_python("ledger") {
        return;
    }
    let house = house_with_samples(&[unsteady("odd"), unsteady("rack.odd")].concat());
    for step in ["minute", "97", "hour"] {
        let (start, end) = (BEGIN + 11, BEGIN + 11_003);
        let csv = series(&house, &format!("start={start}&step={step}&format=csv"), end).unwrap();
        let count = csv.lines().count() - 1;
        let file = house.lab.join("series.csv");
        std::fs::write(&file, csv).unwrap();
        let python = kwapi_peers::python_environment("ledger");
        let mut command = Command::new(python);
        command.args(["-c", READ]).arg(house.lab.join("samples")).arg(&file);
        let theirs = kwapi_peers::output(&mut command);
        // Of ten minutes nobody was there, and after the last sample.
        let known = theirs.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap();
        assert!(known > count / 2 && (step == "hour" || known < count), "{step}: {theirs}");
        let expected = format!("{count} {known} True True True True 0\n{count} {known} 0\n");
        assert_eq!(theirs, expected, "step {step}");
    }
}
