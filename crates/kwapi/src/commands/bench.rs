//! `kwapi bench`: how many probes this machine carries, from driver to API and RRD files, in one process.

mod losses;
mod memory;
mod pages;
mod usage;
mod viewers;

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use kwapi_plugins::live::LiveConfig;
use kwapi_plugins::remote_write::RemoteWrite;

use crate::cli::{BenchArgs, OptionalPart};
use crate::config::{Config, Endpoint};
use crate::shutdown::Shutdown;
use crate::stack::AddressInUse;
use crate::stack::{Descriptors, Listeners, Process, Roles, Stack};

use losses::Losses;
use memory::MemoryCourse;
use usage::{Usage, resident_bytes};
use viewers::Viewers;

/// Outlets of one dummy meter: a whole rack at a time, as PDUs come.
const OUTLETS_PER_METER: usize = 500;
/// Sessions open and the first files are made before measuring begins.
const WARM_UP: Duration = Duration::from_secs(3);

/// Threads that take less of a core are not listed.
const THREAD_SHARE_MIN: f64 = 0.001;
/// The same of what they write, in megabytes a second.
const WRITTEN_MIN: f64 = 0.01;
/// Files that are still being written when their directory is removed are given so long to be.
const REMOVAL_TRIES: u32 = 20;
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// Runs the load and prints what it cost.
///
/// # Errors
/// When a part cannot start, as one line.
pub(crate) async fn bench(arguments: &BenchArgs) -> Result<(), String> {
    if let Some(directory) = &arguments.state_directory {
        std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        return measure(arguments, directory).await;
    }
    let directory =
        tempfile::Builder::new().prefix("kwapi-bench-").tempdir().map_err(|error| error.to_string())?.keep();
    let measured = measure(arguments, &directory).await;
    // What was not written when the stop had to be over is written while it is removed.
    for _ in 0..REMOVAL_TRIES {
        if std::fs::remove_dir_all(&directory).is_ok() {
            return measured;
        }
        tokio::time::sleep(REMOVAL_PAUSE).await;
    }
    eprintln!("cannot remove {}", directory.display());
    measured
}

/// Prints what is measured, before it is.
fn announce(arguments: &BenchArgs) {
    if let Some(probes_max) = raised(arguments.probes) {
        eprintln!(
            "[api] probes_max is {probes_max} for this run; the default is {}",
            LiveConfig::default().probes_max
        );
    }
    let fast =
        if arguments.fast > 0 { format!(", {} of them every ms,", arguments.fast) } else { String::new() };
    eprintln!(
        "{} probes every {} s{fast} for {} s …",
        arguments.probes, arguments.interval, arguments.seconds
    );
}

async fn measure(arguments: &BenchArgs, directory: &Path) -> Result<(), String> {
    let shutdown =
        Shutdown::on_signals().map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let file = directory.join("kwapi.toml");
    std::fs::write(&file, toml(arguments, &directory.display().to_string()))
        .map_err(|error| error.to_string())?;
    let config = Config::read(&file).map_err(|error| error.to_string())?;
    let process = Process::new(&Descriptors::of(&config, Roles::RUN));
    let inside = [Endpoint::new("inproc://kwapi-bench")];
    // Only viewers of pages use it over HTTP: it has no listeners without them.
    let listeners = match (arguments.viewers, arguments.pages) {
        (0, false) => Listeners::default(),
        _ => Listeners::bind(&config, Roles::RUN, &process.seats, AddressInUse::IsAnError)?,
    };
    let web = listeners.addresses().web.map(|(_, address)| address);
    let starting = Instant::now();
    let stack = Stack::start(&process, &config, Roles::RUN, &inside, listeners, &shutdown)?;
    let (Some(drivers), Some(live), Some(history)) = (stack.drivers(), stack.live(), stack.history()) else {
        return Err("part of the load is missing".to_owned());
    };
    let started = starting.elapsed().as_secs_f64();
    let lost_at_start = Losses::now(&stack);
    crate::notify::ready();
    announce(arguments);
    tokio::time::sleep(WARM_UP).await;
    let viewers = match web.filter(|_| arguments.viewers > 0) {
        Some(address) => Some(Viewers::open(arguments.viewers, address, live)?),
        None => None,
    };
    if viewers.is_some() {
        // Their coming is not what is measured.
        tokio::time::sleep(WARM_UP).await;
    }

    let (begin, used_before) = (Instant::now(), Usage::now());
    let looked_before = viewers.as_ref().map(|viewers| viewers.counts()).unwrap_or_default();
    let (collected_before, recorded_before) = (live.counts(), history.counters());
    let (published_before, lost_before) = (drivers.counters().published, Losses::now(&stack));
    let mut memory = MemoryCourse::default();
    let sent_before = stack.remote_writes().map(RemoteWrite::sent).next();
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(arguments.seconds)) => {}
        () = shutdown.begun() => {}
        never = memory.watch() => match never {},
    }
    let (seconds, used) = (begin.elapsed().as_secs_f64(), Usage::now().since(&used_before));
    let looked = viewers.as_ref().map(|viewers| viewers.counts());
    // What was published has a moment to arrive before it is called lost.
    let published = drivers.counters().published - published_before;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (collected, recorded) = (live.counts(), history.counters());
    let sent = stack.remote_writes().map(RemoteWrite::sent).next();
    let missed: u64 = drivers.manager().statuses().iter().map(|meter| meter.ticks_missed).sum();

    println!("| figure | value |\n|---|---|");
    println!("| probes | {} |", arguments.probes);
    println!("| seconds measured | {seconds:.1} |");
    println!("| published per second | {:.0} |", published as f64 / seconds);
    println!(
        "| collected per second | {:.0} |",
        (collected.credited - collected_before.credited) as f64 / seconds
    );
    let stored = recorded.recorded - recorded_before.recorded;
    println!("| recorded per second | {:.0} |", stored as f64 / seconds);
    losses::print([&lost_at_start, &lost_before, &Losses::now(&stack)]);
    if let (Some([connected, events, bytes]), [_, events_before, bytes_before]) = (looked, looked_before) {
        println!("| viewers connected | {connected} |");
        println!(
            "| events per viewer and second | {:.2} |",
            (events - events_before) as f64 / seconds / connected.max(1) as f64
        );
        println!("| sent to viewers per second | {:.2} MB |", (bytes - bytes_before) as f64 / seconds / 1e6);
    }
    if let (Some(sent), Some(sent_before)) = (sent, sent_before) {
        println!(
            "| sent by remote write per second, power and energy | {:.0} |",
            (sent - sent_before) as f64 / seconds
        );
    }
    println!("| readings missed | {missed} |");
    println!("| start, until measurements are taken | {started:.1} s |");
    println!("| CPU, share of one core | {:.1} % |", 100.0 * used.cpu / seconds);
    let (threads, megabytes) = (&used.threads, |bytes: u64| bytes as f64 / seconds / 1e6);
    for (thread, of_kind) in threads.iter().filter(|(_, of_kind)| of_kind.cpu / seconds >= THREAD_SHARE_MIN) {
        println!("| …of which `{thread}` | {:.1} % |", 100.0 * of_kind.cpu / seconds);
    }
    println!("| written per second | {:.2} MB |", megabytes(used.written));
    for (thread, of_kind) in threads.iter().filter(|(_, of_kind)| megabytes(of_kind.written) >= WRITTEN_MIN) {
        println!("| …of which `{thread}` | {:.2} MB |", megabytes(of_kind.written));
    }
    print!("{}", pages::rows(web.filter(|_| arguments.pages)).await?);
    let [resident, most] = resident_bytes();
    println!("| resident memory | {:.0} MB |", resident / 1e6);
    println!("| …at most | {:.0} MB |", most / 1e6);
    memory.print();
    stack.stop().await;
    Ok(())
}

/// How many probes the API must be configured to keep for so many to be measured, where that is more than it keeps by
/// default.
fn raised(probes: usize) -> Option<usize> {
    (probes > LiveConfig::default().probes_max).then_some(probes)
}

fn toml(arguments: &BenchArgs, directory: &str) -> String {
    let probes_max = raised(arguments.probes).map(|probes_max| format!("probes_max = {probes_max}\n"));
    // Where viewers find the pages: any port that is free.
    let listens = "rrd.listen = '127.0.0.1:0'\nstatus.listen = '127.0.0.1:0'\n";
    let mut toml = format!(
        "state_directory = '{directory}'\n{listens}[api]\nlisten = '127.0.0.1:0'\n{}[bus]\nkey = {{ id = 'bench', secret = '0123456789abcdef0123456789abcdef' }}\n\
         [drivers]\ninterval_seconds = {}\n",
        probes_max.unwrap_or_default(),
        arguments.interval
    );
    for part in &arguments.without {
        let section = match part {
            OptionalPart::Groups => "groups",
            OptionalPart::Ledger => "ledger",
            OptionalPart::Samples => "samples",
        };
        _ = writeln!(toml, "[{section}]\nenabled = false");
    }
    if let Some(url) = &arguments.remote_write {
        // As a literal string of TOML, which has no escapes; what is wrong with it is reported as of any configuration.
        _ = writeln!(toml, "[[remote_write]]\nurl = '{url}'");
    }
    let fast = arguments.fast.min(arguments.probes);
    if fast > 0 {
        _ = write!(
            toml,
            "[[meter]]\nname = 'fast'\ndriver = 'dummy'\ninterval_seconds = 0.001\nwatts = 240\nswing_watts = 160\n\
             swing_seconds = 0.7\noutlets = {fast}\nprobe = 'bench.fast.{{outlet}}'\n"
        );
    }
    let mut left = arguments.probes - fast;
    for number in 1.. {
        let outlets = left.min(OUTLETS_PER_METER);
        if outlets == 0 {
            break;
        }
        left -= outlets;
        _ = write!(
            toml,
            "[[meter]]\nname = 'rack {number}'\ndriver = 'dummy'\nwatts = 200\njitter_watts = 50\nseed = {number}\n\
             outlets = {outlets}\nprobe = 'bench.rack{number}.{{outlet}}'\n"
        );
    }
    toml
}
