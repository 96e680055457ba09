//! A machine room of simulated IPMI cards, each read every second, with the cards in processes of their own beside it.
//!
//!     cargo bench -p kwapi-drivers --bench ipmi_rack -- [--cards 5000] [--seconds 30] [--hanging-percent 5]
//!
//! Prints how late readings begin and are in hand, the memory a card takes and the processor time a reading takes; and
//! that of a reading by `ipmitool`, in the same run. Fails when a number of the issue is missed.

#![expect(
    clippy::disallowed_methods,
    reason = "a bench starts the simulator and ipmitool, and is no product code"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::ProbeId;
use kwapi_drivers::ipmi::{Config, Ipmi, Shared};
use kwapi_drivers::{Driver, DriverError, Outlets, Readings};
use kwapi_simulators::ipmi::{Card, CardOptions, Fault};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// A process may open 1 024 sockets on most systems; a simulated card needs one.
const CARDS_A_PROCESS: usize = 900;
const INTERVAL: Duration = Duration::from_secs(1);
/// Sessions are opened this often: a pace a room of real cards would stand, too.
const OPENING_PACE: Duration = Duration::from_micros(1_500);
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
    let is_met = runtime.block_on(measure(
        option("--cards", 5_000)?,
        Duration::from_secs(option("--seconds", 30)?.try_into()?),
        option("--hanging-percent", 5)?,
    ))?;
    if is_met { Ok(()) } else { Err("a number is missed".into()) }
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
    let (told, mut tell) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            _ = told.send(line);
        }
    });
    runtime.block_on(async {
        while tell.recv().await.is_some() {
            for (number, card) in running.iter().enumerate() {
                if number % 100 < hanging_percent {
                    card.set_fault(Fault::Hang);
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

    fn tell(&mut self) -> Result<(), Failed> {
        Ok(writeln!(self.0.stdin.as_mut().ok_or("no standard input")?, "hang")?)
    }
}

/// What the meters of the room did while they were watched.
#[derive(Default)]
struct Tally {
    /// From when a reading was due until it was asked for.
    begun: Vec<Duration>,
    /// From when a reading was due until it was in hand.
    in_hand: Vec<Duration>,
    failures: u64,
    is_watched: bool,
}

async fn measure(cards: usize, watched: Duration, hanging_percent: usize) -> Result<bool, Failed> {
    let mut simulators = Vec::new();
    let mut ports = Vec::new();
    for first in (0..cards).step_by(CARDS_A_PROCESS) {
        let (simulator, its) = Simulator::start(CARDS_A_PROCESS.min(cards - first), hanging_percent)?;
        simulators.push(simulator);
        ports.extend(its);
    }
    println!("{cards} cards in {} simulator processes", simulators.len());

    let shared = Arc::<Shared>::default();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let memory_before = resident_bytes()?;
    let start = Instant::now();
    let mut tasks = Vec::new();
    for (number, port) in (0..).zip(&ports) {
        let config: Config = toml::from_str(&format!(
            "host = '127.0.0.1'\nport = {port}\nusername = 'user'\npassword = 'secret'"
        ))?;
        let outlets = Outlets::by_position([Some(ProbeId::new(format!("room.card{number}"))?)]);
        let due = start + OPENING_PACE * number;
        tasks.push(tokio::spawn(poll(config, outlets, Arc::clone(&shared), due, Arc::clone(&tally))));
    }
    let opened = OPENING_PACE * u32::try_from(cards)? + INTERVAL * 2;
    sleep_until(start + opened).await;
    let memory = (resident_bytes()? - memory_before) / cards as f64;

    for simulator in &mut simulators {
        simulator.tell()?;
    }
    // The hanging ones are noticed meanwhile, and their reopening is part of what is watched.
    sleep_until(start + opened + INTERVAL * 2).await;
    tally.lock().is_watched = true;
    let processor_before = processor_seconds()?;
    tokio::time::sleep(watched).await;
    let processor = processor_seconds()?.0 - processor_before.0;
    let tally = std::mem::take(&mut *tally.lock());
    for task in tasks {
        task.abort();
    }

    let expected = cards as f64 * (100 - hanging_percent) as f64 / 100.0 * watched.as_secs_f64();
    let readings = tally.in_hand.len() as f64;
    let reading = processor / readings;
    println!(
        "readings: {readings} of {expected:.0} in {watched:?}; {} failures of the hanging",
        tally.failures
    );
    let begun = Lateness::of(tally.begun);
    let in_hand = Lateness::of(tally.in_hand);
    println!("lateness of asking:  {begun}");
    println!("lateness of reading: {in_hand}");
    println!("memory a card: {:.1} KiB", memory / 1024.0);
    println!("processor a reading: {:.1} µs", reading * 1e6);
    let is_met = in_hand.p99 < LATENESS_P99_MAX && memory < MEMORY_A_CARD_MAX && readings > expected * 0.99;
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
    Ok(is_met && ratio >= IPMITOOL_RATIO_MIN)
}

/// One meter at its fixed pace, its phase where it was opened. The manager does this with more care.
async fn poll(
    config: Config,
    outlets: Outlets,
    shared: Arc<Shared>,
    mut due: Instant,
    tally: Arc<Mutex<Tally>>,
) {
    let mut readings = Readings::default();
    let mut meter: Option<Ipmi> = None;
    loop {
        sleep_until(due).await;
        let begun = due.elapsed();
        let is_new = meter.is_none();
        let result = read(&mut meter, &config, &outlets, &shared, &mut readings).await;
        let is_complete = readings.drain().filter(|(_, reading)| reading.is_ok()).count() == 1;
        let mut tally = tally.lock();
        if tally.is_watched {
            match result {
                Ok(()) if is_complete && !is_new => {
                    tally.begun.push(begun);
                    tally.in_hand.push(due.elapsed());
                }
                _ => tally.failures += 1,
            }
        }
        drop(tally);
        due += INTERVAL;
        if meter.is_none() {
            due = due.max(Instant::now() + INTERVAL);
        }
    }
}

async fn read(
    meter: &mut Option<Ipmi>,
    config: &Config,
    outlets: &Outlets,
    shared: &Arc<Shared>,
    readings: &mut Readings,
) -> Result<(), DriverError> {
    let mut open = match meter.take() {
        Some(open) => open,
        None => Box::pin(Ipmi::open(config, outlets, shared)).await?,
    };
    open.read(readings).await?;
    *meter = Some(open);
    Ok(())
}

struct Lateness {
    p50: Duration,
    p99: Duration,
    worst: Duration,
}

impl Lateness {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |share: usize| {
            all.get(all.len() * share / 1_000).or(all.last()).copied().unwrap_or(Duration::MAX)
        };
        Self { p50: at(500), p99: at(990), worst: at(1_000) }
    }
}

impl std::fmt::Display for Lateness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "median {:.1?}, p99 {:.1?}, worst {:.1?}", self.p50, self.p99, self.worst)
    }
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
