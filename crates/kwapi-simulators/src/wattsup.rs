//! A Watts up? PRO on a pseudo-terminal, which a driver cannot distinguish from a serial line.
//!
//! It obeys `L` (log externally, every so many seconds) and `R` (erase the memory), ignores the rest, and once configured
//! to log sends a record at once and then one per interval. Faults: it falls silent, sends whatever a test requires,
//! or is unplugged.
//!
//! Source: *Watts Up? Communications Protocol*, 2009-08-24, commands `L`, `R` and `D`.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Mains in Europe.
const VOLTS: f64 = 230.0;
/// Mains frequency, in 0.1 Hz.
const FREQUENCY: u32 = 500;
/// No command is longer; what is has no end and is forgotten.
const COMMAND_BYTES_MAX: usize = 256;
/// The longest interval the meter supports, in seconds.
const INTERVAL_MAX: u64 = 3_600;

/// A meter that is plugged in; dropping it unplugs it.
#[derive(Debug)]
pub struct WattsUpMeter {
    line: Arc<Line>,
    task: JoinHandle<()>,
}

/// The meter's end of the line, and what can be seen of it.
#[derive(Debug)]
struct Line {
    device: AsyncFd<OwnedFd>,
    /// Held so that the meter notices nothing of a driver that comes and goes.
    _computers_end: OwnedFd,
    path: PathBuf,
    is_silent: AtomicBool,
    erasures: AtomicU64,
}

impl WattsUpMeter {
    /// Plugs in a meter; `watts` is called for each record. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the system has no pseudo-terminal left.
    pub fn plug_in(watts: impl FnMut() -> f64 + Send + 'static) -> io::Result<Self> {
        let line = Arc::new(Line::open()?);
        let task = tokio::spawn(run(line.clone(), watts));
        Ok(Self { line, task })
    }

    /// The serial device that a driver opens.
    pub fn path(&self) -> &Path {
        &self.line.path
    }

    /// Stops the records, or lets them come again: a meter that hangs.
    pub fn silence(&self, is_silent: bool) {
        self.line.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Puts `bytes` on the line between two records: noise, half a record, another model's.
    pub fn send(&self, bytes: &[u8]) {
        self.line.write(bytes);
    }

    /// How often it was ordered to erase its owner's memory.
    pub fn erasures(&self) -> u64 {
        self.line.erasures.load(Ordering::Relaxed)
    }

    /// Pulls the plug; the driver's end of the line is dead when this returns.
    pub async fn unplug(mut self) {
        self.task.abort();
        _ = (&mut self.task).await;
    }
}

impl Drop for WattsUpMeter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    fn open() -> io::Result<Self> {
        let device = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&device)?;
        unlockpt(&device)?;
        let name: CString = ptsname(&device, Vec::new())?;
        let path = PathBuf::from(name.into_string().map_err(io::Error::other)?);
        let computers_end: OwnedFd = std::fs::File::options().read(true).write(true).open(&path)?.into();
        let mut settings = tcgetattr(&computers_end)?;
        settings.make_raw();
        tcsetattr(&computers_end, OptionalActions::Now, &settings)?;
        rustix::io::ioctl_fionbio(&device, true)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; an OwnedFd keeps its descriptor while it lives"
        )]
        let device = AsyncFd::new(device)?;
        Ok(Self {
            device,
            _computers_end: computers_end,
            path,
            is_silent: AtomicBool::new(false),
            erasures: AtomicU64::new(0),
        })
    }

    /// Sends `bytes`; what does not fit is lost, as on a serial line that nobody reads.
    fn write(&self, bytes: &[u8]) {
        _ = rustix::io::write(self.device.get_ref(), bytes);
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.device.readable().await?;
            match ready.try_io(|device| Ok(rustix::io::read(device.get_ref(), &mut *buffer)?)) {
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }
}

/// What the meter remembers.
#[derive(Debug, Default)]
struct MeterMemory {
    command: Vec<u8>,
    interval: Option<Duration>,
    joules: f64,
    measured: Option<Instant>,
}

async fn run(line: Arc<Line>, mut watts: impl FnMut() -> f64 + Send) {
    let mut meter = MeterMemory::default();
    let mut next = Instant::now();
    let mut buffer = [0; COMMAND_BYTES_MAX];
    loop {
        tokio::select! {
            received = line.read(&mut buffer) => {
                let Ok(received) = received else { return };
                for byte in buffer.iter().take(received) {
                    if meter.receive(*byte, &line.erasures) {
                        next = Instant::now();
                    }
                }
            }
            () = sleep_until(next), if meter.interval.is_some() => {
                let record = meter.record(watts().max(0.0), Instant::now());
                if !line.is_silent.load(Ordering::Relaxed) {
                    line.write(record.as_bytes());
                }
                next += meter.interval.unwrap_or(Duration::from_secs(1));
            }
        }
    }
}

impl MeterMemory {
    /// Takes one byte of a command; whether it ended one that starts the log.
    fn receive(&mut self, byte: u8, erasures: &AtomicU64) -> bool {
        if self.command.len() >= COMMAND_BYTES_MAX {
            self.command.clear();
        }
        if byte != b';' {
            self.command.push(byte);
            return false;
        }
        let command = String::from_utf8_lossy(&std::mem::take(&mut self.command)).into_owned();
        let command = command.rsplit('#').next().unwrap_or_default();
        let fields: Vec<_> = command.split(',').collect();
        match fields.as_slice() {
            ["L", "W", _, "E", _, seconds] => {
                let seconds = seconds.parse().unwrap_or(1).clamp(1, INTERVAL_MAX);
                self.interval = Some(Duration::from_secs(seconds));
                true
            }
            ["R", "W", ..] => {
                self.joules = 0.0;
                erasures.fetch_add(1, Ordering::Relaxed);
                false
            }
            _ => false,
        }
    }

    /// One record: W, V, A, Wh, cost, month's kWh and cost, maxima, minima, power factor, duty cycle, power cycles,
    /// Hz, VA; `_` where the meter has nothing.
    fn record(&mut self, watts: f64, now: Instant) -> String {
        let elapsed = self.measured.replace(now).map_or(Duration::ZERO, |before| now.duration_since(before));
        self.joules += watts * elapsed.as_secs_f64();
        let tenths = (watts * 10.0).round();
        let milliamperes = (watts / VOLTS * 1e3).round();
        let watt_hours = (self.joules / 360.0).floor();
        format!(
            "#d,-,18,{tenths:.0},{:.0},{milliamperes:.0},{watt_hours:.0},0,_,_,_,_,_,_,_,_,100,_,0,{FREQUENCY},{tenths:.0};\r\n",
            VOLTS * 10.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_manuals_fields_and_the_counter_counts() {
        let (mut meter, now) = (MeterMemory::default(), Instant::now());
        meter.record(3_600.0, now);
        let record = meter.record(3_600.0, now + Duration::from_secs(1));
        assert_eq!(record, "#d,-,18,36000,2300,15652,10,0,_,_,_,_,_,_,_,_,100,_,0,500,36000;\r\n");
        assert_eq!(record.split(',').count(), 3 + 18);
    }

    #[test]
    fn only_whole_commands_are_obeyed() {
        let erasures = AtomicU64::new(0);
        let mut meter = MeterMemory::default();
        let mut receive = |bytes: &str| bytes.bytes().any(|byte| meter.receive(byte, &erasures));
        assert!(!receive("~~L,W,3;#L,W,3,E,,"));
        assert!(receive("1;"));
        assert!(!receive(&"x".repeat(1_000)));
        assert!(!receive(";#R,W,0;"));
        assert_eq!(erasures.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn nothing_is_sent_before_the_meter_is_set_to_log() {
        let meter = WattsUpMeter::plug_in(|| 50.0).unwrap();
        let driver = std::fs::File::options().read(true).write(true).open(meter.path()).unwrap();
        tokio::task::yield_now().await;
        rustix::io::ioctl_fionbio(&driver, true).unwrap();
        assert!(rustix::io::read(&driver, &mut [0; 8]).is_err());
        rustix::io::write(&driver, b"#L,W,3,E,,1;").unwrap();
        rustix::io::ioctl_fionbio(&driver, false).unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut buffer = [0; 8];
            rustix::io::read(&driver, &mut buffer).map(|_| buffer)
        });
        assert_eq!(&read.await.unwrap().unwrap(), b"#d,-,18,");
        assert_eq!(meter.erasures(), 0);
        meter.unplug().await;
    }
}
