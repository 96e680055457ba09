//! A machine room of simulated IPMI cards, each kept by the driver manager and read every second, with the cards in
//! processes of their own beside it.
//!
//!     cargo bench -p kwapi-drivers --bench ipmi_rack -- [--cards 5000] [--seconds 30] [--hanging-percent 5]
//!
//! Prints how late readings are in hand behind their ticks, the memory a card takes and the processor time a reading
//! takes, all of the manager as it ships; and that of a reading by `ipmitool`, in the same run. Fails when a number of the
//! issue is missed.

#![expect(
    clippy::disallowed_methods,
    reason = "a bench starts the simulator and ipmitool, and is no product code"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp, WallClock};
use kwapi_drivers::manager::{Manager, MeterSpec, MeterStatus};
use kwapi_drivers::{Outlets, registry};
use kwapi_simulators::ipmi::{BmcFault, Card, CardOptions};
use tokio::time::{Instant, sleep};

/// A process may open 1 024 sockets on most systems; a simulated card needs one.
const CARDS_A_PROCESS: usize = 900;
const INTERVAL: Duration = Duration::from_secs(1);
/// All cards have a session by then, or the bench reports how many have.
const OPENING_MAX: Duration = Duration::from_secs(120);
/// A hanging card is noticed by its deadline, ten seconds.
const NOTICING: Duration = Duration::from_secs(12);
const TICKS_PER_SECOND: f64 = 100.0;

const LATENESS_P99_MAX: Duration = Duration::from_millis(100);
const MEMORY_A_CARD_MAX: f64 = 20.0 * 1024.0;
const IPMITOOL_RATIO_MIN: f64 = 500.0;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: usize| {
        let value = arguments.iter().skip_while(|argument| *argument != name).nth(1);
        value.map_or(Ok(default), |value| value.parse::<usize>())
    };
    match option("--simulate", 0)? {
        0 => {}
        cards => return simulate(cards, option("--hanging-percent", 5)?),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let is_within = runtime.block_on(measure(
        option("--cards", 5_000)?,
        Duration::from_secs(option("--seconds", 30)?.try_into()?),
        option("--hanging-percent", 5)?,
    ))?;
    if is_within { Ok(()) } else { Err("a number is missed".into()) }
}

/// The other side: cards on ports that are printed one a line. A line on standard input makes some of them hang.
fn simulate(cards: usize, hanging_percent: usize) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let running = runtime.block_on(async {
        let mut running = Vec::new();
        for number in 0..cards {
            let card = Card::start((Ipv4Addr::LOCALHOST, 0), CardOptions::default()).await?;
            card.set_watts(u16::try_from(200 + number % 100).unwrap_or_default());
            println!("{}", card.address().port());
            running.push(card);
        }
        println!();
        Ok::<_, std::io::Error>(running)
    })?;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            _ = sender.send(line);
        }
    });
    runtime.block_on(async {
        while receiver.recv().await.is_some() {
            for (number, card) in running.iter().enumerate() {
                if number % 100 < hanging_percent {
                    card.set_fault(BmcFault::Hang);
                }
            }
        }
    });
    Ok(())
}

/// A simulator process, ended when dropped.
struct Simulator(Child);

impl Drop for Simulator {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Simulator {
    fn start(cards: usize, hanging_percent: usize) -> Result<(Self, Vec<u16>), Failed> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--simulate", &cards.to_string(), "--hanging-percent", &hanging_percent.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let lines = BufReader::new(out).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let ports = lines.map(|line| line.parse()).collect::<Result<Vec<u16>, _>>()?;
        Ok((Self(child), ports))
    }

    fn hang(&mut self) -> Result<(), Failed> {
        Ok(writeln!(self.0.stdin.as_mut().ok_or("no standard input")?, "hang")?)
    }
}

async fn measure(cards: usize, watched: Duration, hanging_percent: usize) -> Result<bool, Failed> {
    let mut simulators = Vec::new();
    let mut ports = Vec::new();
    for first in (0..cards).step_by(CARDS_A_PROCESS) {
        let (simulator, its) = Simulator::start(CARDS_A_PROCESS.min(cards - first), hanging_percent)?;
        simulators.push(simulator);
        ports.extend(its);
    }
    println!("{cards} cards in {} simulator processes; load {}", simulators.len(), load()?);

    let entry = registry::find("ipmi").ok_or("no IPMI driver")?;
    let specs = ports.iter().enumerate().map(|(number, port)| {
        let keys = format!("host = '127.0.0.1'\nport = {port}\nusername = 'user'\npassword = 'secret'");
        let outlets = Outlets::by_position([Some(ProbeId::new(format!("room.card{number}"))?)]);
        let spec = MeterSpec::new(format!("card{number}"), entry.configure(keys.parse()?)?, outlets);
        Ok::<_, Failed>(MeterSpec { interval: INTERVAL, ..spec })
    });
    let specs: Vec<MeterSpec> = specs.collect::<Result<_, _>>()?;

    let published = Arc::new(AtomicU64::new(0));
    let sink = {
        let published = published.clone();
        Arc::new(move |_, _| _ = published.fetch_add(1, Ordering::Relaxed))
    };
    let memory_before = resident_bytes()?;
    let start = Instant::now();
    let clock = WallClock::new(move || Timestamp::from_seconds(1_800_000_000).after(start.elapsed()));
    let manager = Manager::new(sink, clock);
    manager.apply(specs);
    let opening = processor_seconds()?.0;
    while running(&manager) < cards && start.elapsed() < OPENING_MAX {
        sleep(Duration::from_millis(200)).await;
    }
    let failures: u64 = manager.statuses().iter().map(|status| status.failures).sum();
    println!(
        "{} of {cards} cards read {:.1} s after the start, with {:.1} s of processor time and {failures} failures",
        running(&manager),
        start.elapsed().as_secs_f64(),
        processor_seconds()?.0 - opening
    );
    sleep(INTERVAL * 2).await;
    let memory = (resident_bytes()? - memory_before) / cards as f64;

    for simulator in &mut simulators {
        simulator.hang()?;
    }
    // While hanging ones are noticed and tried again, the others are watched.
    sleep(NOTICING).await;
    let (before, sent) = (manager.lateness(), published.load(Ordering::Relaxed));
    let missed = ticks_missed(&manager.statuses(), hanging_percent);
    let processor_before = processor_seconds()?;
    sleep(watched).await;
    let processor = processor_seconds()?.0 - processor_before.0;
    let lateness = manager.lateness().since(&before);
    let readings = (published.load(Ordering::Relaxed) - sent) as f64;
    let statuses = manager.statuses();
    let missed = ticks_missed(&statuses, hanging_percent) - missed;
    manager.stop().await;

    let living = (0..cards).filter(|number| !hangs(*number, hanging_percent)).count();
    let expected = living as f64 * watched.as_secs_f64();
    let reading = processor / readings;
    println!(
        "readings: {readings} of {expected:.0} in {watched:?}; {missed} ticks missed by cards that do not hang"
    );
    let at = |share| lateness.quantile(share).unwrap_or(Duration::MAX);
    println!("lateness in hand: median {:.1?}, p99 {:.1?}, worst {:.1?}", at(0.5), at(0.99), at(1.0));
    println!("memory a card: {:.1} KiB", memory / 1024.0);
    println!("processor a reading: {:.1} µs; load {}", reading * 1e6, load()?);
    let is_within = at(0.99) < LATENESS_P99_MAX && memory < MEMORY_A_CARD_MAX && readings > expected * 0.99;
    let ratio = match ipmitool_seconds(*ports.last().ok_or("no cards")?) {
        Ok(seconds) => {
            println!("ipmitool: {:.1} ms a reading, {:.0} times ours", seconds * 1e3, seconds / reading);
            seconds / reading
        }
        Err(error) => {
            println!("ipmitool: not measured ({error})");
            f64::INFINITY
        }
    };
    Ok(is_within && ratio >= IPMITOOL_RATIO_MIN)
}

fn running(manager: &Manager) -> usize {
    manager.statuses().iter().filter(|status| status.reads > 0).count()
}

/// Whether the simulator makes this card hang: it counts its own.
fn hangs(number: usize, hanging_percent: usize) -> bool {
    number % CARDS_A_PROCESS % 100 < hanging_percent
}

/// Ticks without a reading, of cards that do not hang.
fn ticks_missed(statuses: &[MeterStatus], hanging_percent: usize) -> u64 {
    let number = |status: &MeterStatus| status.name.trim_start_matches("card").parse().unwrap_or_default();
    statuses
        .iter()
        .filter(|status| !hangs(number(status), hanging_percent))
        .map(|status| status.ticks_missed)
        .sum()
}

/// What else the machine does.
fn load() -> Result<String, Failed> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

fn resident_bytes() -> Result<f64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024.0)
}

/// Processor time, user and system, of this process and of its children that have ended.
fn processor_seconds() -> Result<(f64, f64), Failed> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    // proc(5): utime, stime, cutime and cstime are fields 14 to 17; the command's ")" ends field 2.
    let [own_user, own_system, children_user, children_system] = fields.get(11..15).ok_or("short stat")?
    else {
        return Err("short stat".into());
    };
    Ok(((own_user + own_system) / TICKS_PER_SECOND, (children_user + children_system) / TICKS_PER_SECOND))
}

/// Processor time of one reading by `ipmitool` of the same card.
fn ipmitool_seconds(port: u16) -> Result<f64, Failed> {
    const RUNS: u32 = 20;
    let before = processor_seconds()?.1;
    for _ in 0..RUNS {
        let port = port.to_string();
        let output = Command::new("ipmitool")
            .args(["-I", "lanplus", "-H", "127.0.0.1", "-p", &port, "-U", "user", "-P", "secret", "-C", "17"])
            .args(["dcmi", "power", "reading"])
            .output()?;
        if !String::from_utf8_lossy(&output.stdout).contains("Instantaneous power reading") {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
    }
    Ok((processor_seconds()?.1 - before) / f64::from(RUNS))
}
