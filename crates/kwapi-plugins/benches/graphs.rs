//! What a graph costs, from the RRD files to the picture, beside librrd, which draws the same files in the same run:
//! `cargo bench -p kwapi-plugins --bench graphs`. Prints a table.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench: it takes real time, starts RRDtool to compare with, and fails by panicking"
)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use kwapi_core::{Period, Series, Timestamp};
use kwapi_graph::{
    EnergyFigure, Figures, HUE_DEFAULT, Look, Size, StackedSum, Tariff, Theme, draw_probe, draw_summary, png,
    window,
};
use kwapi_history::rrd::{self, Consolidation, Rrd};
use kwapi_history::store::POWER;

const START: u64 = 1_700_000_000;
const NOW: u64 = START + 3_700;
const PERIOD: Period = Period::Hour;
const PROBES: usize = 1_000;
/// What a hundred thousand probes are drawn from: racks of 500.
const GROUPS: usize = 200;
const TURNS: usize = 15;

fn file(directory: &Path, probe: usize) -> PathBuf {
    directory.join(format!("{probe}.rrd"))
}

/// Files as `kwapi rrd` writes them, of an hour and a little more.
fn write_files(directory: &Path) {
    for probe in 0..PROBES {
        let mut rrd = Rrd::new(&POWER, START);
        for second in 1..=NOW - START {
            let watts = 150.0 + (probe % 97) as f64 + ((second * 7 + probe as u64 * 13) % 41) as f64;
            rrd.update(Timestamp::from_seconds(START + second), &[Some(watts)]).unwrap();
        }
        rrd::create(&file(directory, probe), &rrd).unwrap();
    }
}

fn read(path: &Path) -> Series {
    let rrd = rrd::read(path).unwrap();
    let step = PERIOD.step_seconds();
    let (start, end) = window(PERIOD, NOW);
    let archive = rrd.archive(Consolidation::Average, step).unwrap();
    let count = usize::try_from((end - start) / step).unwrap();
    let rows = rrd.rows(archive, start, count, Some(NOW)).unwrap();
    Series::whole(rows.start, rows.step, rows.values)
}

fn look(size: Size) -> Look {
    let tariff = Some(Tariff { currency: "EUR".to_owned(), price_per_kwh: 0.25 });
    Look { size, theme: Theme::Light, zone: TimeZone::UTC, power_max: None, hue: HUE_DEFAULT, tariff }
}

fn draw_one(path: &Path) -> String {
    let series = read(path);
    draw_probe("lyon.rack1.web1", PERIOD, &series, Figures::of(&series, NOW), NOW, None, &look(Size::PROBE))
}

fn draw_all(directory: &Path) -> String {
    let mut sum = StackedSum::new(PERIOD, NOW);
    for probe in 0..PROBES {
        sum.add(&format!("lyon.rack{}.web{probe}", probe / 24), &read(&file(directory, probe)));
    }
    draw_summary(PERIOD, &sum.finish(), &[], NOW, &look(Size::SUMMARY))
}

/// As the summary of very many is drawn: from the files of their groups.
fn draw_groups(directory: &Path) -> String {
    let mut sum = StackedSum::new(PERIOD, NOW);
    for group in 0..GROUPS {
        let series = read(&file(directory, group));
        let shares = vec![1.0; series.watts.len()];
        sum.add_group(&format!("lyon.rack{group}"), &series, &shares, 500, EnergyFigure::default());
    }
    draw_summary(PERIOD, &sum.finish(), &[], NOW, &look(Size::SUMMARY))
}

/// RRDtool that draws one graph after the other, so that its start does not count.
struct Librrd {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Librrd {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new("rrdtool");
        let mut process = command
            .arg("-")
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, stdin, stdout: BufReader::new(stdout) }
    }

    fn draw(&mut self, format: &str, size: Size, probes: usize) {
        let (start, end) = window(PERIOD, NOW);
        let mut line = format!(
            "graph out.{} --imgformat {format} --full-size-mode --width {} --height {} --start {start} --end {end}",
            format.to_lowercase(),
            size.width,
            size.height
        );
        for probe in 0..probes {
            _ = write!(line, " DEF:p{probe}={probe}.rrd:w:AVERAGE AREA:p{probe}#336699:probe{probe}:STACK");
        }
        writeln!(self.stdin, "{line}").unwrap();
        self.stdin.flush().unwrap();
        let mut answer = String::new();
        while !answer.starts_with("OK") {
            answer.clear();
            assert!(self.stdout.read_line(&mut answer).unwrap() > 0, "rrdtool ended");
            assert!(!answer.starts_with("ERROR"), "{answer}");
        }
    }
}

impl Drop for Librrd {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// The median of some turns, and the least.
fn time(mut draw: impl FnMut()) -> [Duration; 2] {
    draw();
    let mut turns: Vec<_> = (0..TURNS)
        .map(|_| {
            let begin = Instant::now();
            draw();
            begin.elapsed()
        })
        .collect();
    turns.sort_unstable();
    [turns.get(TURNS / 2), turns.first()].map(|turn| turn.copied().unwrap_or_default())
}

fn row(name: &str, [median, least]: [Duration; 2], bytes: usize, beside: Option<[Duration; 2]>) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let beside = beside.map_or_else(String::new, |[median, _]| format!("{:.2} ms", milliseconds(median)));
    println!(
        "| {name} | {:.2} ms ({:.2} at least) | {bytes} | {beside} |",
        milliseconds(median),
        milliseconds(least)
    );
}

fn main() {
    // `cargo test --benches` and the like only check whether it runs.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    write_files(directory);
    let one = file(directory, 7);
    let mut librrd = Librrd::start(directory);
    println!("| an hour, from the files | median | bytes | librrd |\n|---|---|---|---|");
    let theirs = time(|| librrd.draw("SVG", Size::PROBE, 1));
    row("a probe as SVG", time(|| drop(draw_one(&one))), draw_one(&one).len(), Some(theirs));
    let theirs = time(|| librrd.draw("PNG", Size::PROBE, 1));
    let draw = || png(&draw_one(&one), 1).unwrap();
    row("a probe as PNG", time(|| drop(draw())), draw().len(), Some(theirs));
    let theirs = time(|| librrd.draw("SVG", Size::SUMMARY, PROBES));
    row(
        "the summary of 1 000 probes as SVG",
        time(|| drop(draw_all(directory))),
        draw_all(directory).len(),
        Some(theirs),
    );
    let draw = || draw_groups(directory);
    row("the summary of 100 000 probes in 200 groups as SVG", time(|| drop(draw())), draw().len(), None);
}
