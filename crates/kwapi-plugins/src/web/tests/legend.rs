//! The figures under a graph are those that rrdtool reports of the same file.

use std::path::Path;
use std::process::Command;

use kwapi_graph::watts_texts;
use kwapi_history::journal::{Credited, Journal, JournalConfig};
use kwapi_history::{History, HistoryConfig, store};
use kwapi_peers::{Lab, need, output};

use super::*;

/// A row of each archive ends here: what is in progress is shown by Kwapi alone.
const END: u64 = 2_950 * 604_800;
/// So long before it the probe was first measured.
const WEEKS: u64 = 2;
/// Between samples.
const PACE: u64 = 300;

/// Power that never repeats itself, with an hour of nothing in the midst and another right before the end.
fn samples() -> Vec<Credited> {
    let begin = END - WEEKS * 604_800;
    let is_silent =
        |at: u64| (END - 400_000..END - 396_400).contains(&at) || (END - 7_000..END - 3_400).contains(&at);
    let sample = |number: u64| Credited {
        probe: ProbeId::new("hall.a").unwrap(),
        // The first holds for a second: the history begins with a row of each archive.
        at: Timestamp::from_seconds(begin + (number * PACE).max(1)),
        power: Watts(200.0 + ((number * 7_919) % 1_013) as f64 / 10.0 + (number as f64 / 50.0).sin() * 40.0),
        voltage: None,
        current: None,
        accounting: None,
        taken: None,
    };
    (0..=WEEKS * 604_800 / PACE).map(sample).filter(|sample| !is_silent(sample.at.seconds())).collect()
}

/// What rrdtool reports of a file over a period: the least, the most, the mean and the newest row.
#[expect(clippy::disallowed_methods, reason = "a test starts the program that judges it")]
fn of_rrdtool(power: &Path, peaks: &Path, period: Period) -> [Option<f64>; 4] {
    let step = period.step_seconds();
    // Of a second there is no peak beside its mean.
    let [least, most] = if step == 1 { [power; 2] } else { [peaks; 2] };
    let [min, max] = if step == 1 { ["AVERAGE"; 2] } else { ["MIN", "MAX"] };
    let start = END - period.seconds().div_ceil(step) * step;
    let mut command = Command::new("rrdtool");
    command.args(["graph", "/dev/null", "--start", &start.to_string(), "--end", &(END - 1).to_string()]);
    command.args(["--step", &step.to_string(), "--width", "4000"]);
    for (name, file, consolidation) in [("w", power, "AVERAGE"), ("l", least, min), ("m", most, max)] {
        command.arg(format!("DEF:{name}={}:w:{consolidation}:step={step}", file.display()));
    }
    for (name, of) in [("a", "l,MINIMUM"), ("b", "m,MAXIMUM"), ("c", "w,AVERAGE"), ("d", "w,LAST")] {
        command.args([format!("VDEF:{name}={of}"), format!("PRINT:{name}:%.9lf")]);
    }
    let output = output(&mut command);
    let numbers: Vec<f64> = output.lines().skip(1).map(|line| line.trim().parse().unwrap()).collect();
    numbers
        .into_iter()
        .map(|number| Some(number).filter(|number: &f64| number.is_finite()))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

#[tokio::test]
async fn least_most_mean_and_last_are_those_of_rrdtool_over_every_period() {
    if !need(&["rrdtool"]) {
        return;
    }
    let lab = Lab::empty();
    let at = Timestamp::from_seconds(END);
    let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), at).unwrap();
    let config =
        HistoryConfig { gaps: kwapi_core::Gaps::new(Duration::from_secs(600)), ..HistoryConfig::default() };
    let history = History::open(config, &journal).unwrap();
    journal.append(&Arc::new(samples()), at).unwrap();
    history.catch_up();
    assert!(history.flush_all());
    let stem = store::file_stem(&ProbeId::new("hall.a").unwrap());
    let file = |ending: &str| lab.join("rrd").join(format!("{stem}{ending}"));
    let clock = WallClock::new(move || at);
    let site = router(Directory::default().with_history(Arc::new(history)), settings(), clock, None);
    let shown = page(&site, "/probe/hall.a/").await;
    let mut known = 0;
    for period in Period::ALL {
        let figures = of_rrdtool(&file(".rrd"), &file(".peaks.rrd"), period);
        known += figures.iter().flatten().count();
        let words = watts_texts(figures);
        let (_, legend) = shown.split_once(&format!("id=\"legend-{period}\"")).unwrap();
        for (name, words) in ["Min", "Max", "Avg", "Last"].iter().zip(words) {
            let expected = format!("<dt>{name}</dt><dd>{words}</dd>");
            let (legend, _) = legend.split_once("</dl>").unwrap();
            assert!(legend.contains(&expected), "{period}: {expected} {figures:?} in {legend}");
        }
    }
    assert_eq!(known, 4 * Period::ALL.len());
}
