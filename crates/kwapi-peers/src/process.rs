//! Programs that run for the length of a test.

use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A running program, ended (with the children it started) when the test lets go of it.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    log: PathBuf,
}

impl Peer {
    /// Starts `command` as the leader of a process group of its own, its output in `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        use std::os::unix::process::CommandExt;
        let out = std::fs::File::create(&log).expect("a log file");
        let err = out.try_clone().expect("a second handle of the log");
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, log }
    }

    /// The lines it has printed so far. One that has no end yet is still being written.
    pub fn log(&self) -> String {
        let mut lines = self.printed();
        lines.truncate(lines.rfind('\n').map_or(0, |end| end + 1));
        lines
    }

    /// All that it has printed so far, to be shown when it fails.
    fn printed(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until `ready` holds.
    ///
    /// # Panics
    /// With what it printed, when it ends or is not ready within `limit`.
    #[must_use]
    pub fn ready(mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Self {
        let start = Instant::now();
        while !ready() {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{status} before it was ready:\n{}", self.printed());
            }
            assert!(start.elapsed() < limit, "not ready within {limit:?}:\n{}", self.printed());
            std::thread::sleep(Duration::from_millis(50));
        }
        self
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process alone, as an operator's `kill` does.
    #[expect(unsafe_code, reason = "the standard library sends no signal but SIGKILL")]
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) takes plain integers; the process is our child and not yet reaped.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// Sends a signal and gives it `limit` to end as it likes to; then it is ended as usual.
    pub fn stop(mut self, signal: i32, limit: Duration) {
        self.signal(signal);
        let start = Instant::now();
        while start.elapsed() < limit && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// With what it printed, when it does not within `limit`.
    pub fn ended(mut self, limit: Duration) -> std::process::ExitStatus {
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status;
            }
            assert!(start.elapsed() < limit, "still running after {limit:?}:\n{}", self.printed());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Peer {
    #[expect(unsafe_code, reason = "the standard library cannot signal a process group")]
    fn drop(&mut self) {
        // SAFETY: kill(2) takes plain integers; a negative id means the group we made for this child.
        unsafe { libc::kill(-self.child.id().cast_signed(), libc::SIGKILL) };
        _ = self.child.wait();
    }
}

/// Below the ports that Linux gives to whoever connects (`ip_local_port_range`, from 32768): one that is found free here
/// is not some connection's own a moment later.
const PORTS: Range<u16> = 20_000..32_000;

/// The ports of [`PORTS`], from a place of this process's own, each once: tests that run at once seldom try the same.
fn ports() -> impl Iterator<Item = u16> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    /// More than a test needs.
    const EACH: u32 = 37;
    let begin = std::process::id().wrapping_mul(EACH);
    PORTS.map(move |_| {
        let place =
            begin.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % u32::from(PORTS.end - PORTS.start);
        PORTS.start + u16::try_from(place).unwrap_or_default()
    })
}

/// A TCP port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    ports().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// A UDP port of 127.0.0.1 that was free a moment ago.
pub fn free_udp_port() -> u16 {
    ports().find(|port| UdpSocket::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// Runs `command` to its end and returns what it printed.
///
/// # Panics
/// With everything it printed, when it fails.
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}\n{errors}", output.status);
    text
}

/// Waits until `done` gives a value.
///
/// # Panics
/// When it gives none within `limit`; `what` names what was waited for.
pub fn wait_until<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lab;

    #[test]
    fn a_line_that_is_still_being_written_is_not_in_the_log() {
        let lab = Lab::empty();
        let mut command = Command::new("sh");
        // The second line stops within a letter of two bytes.
        command.args(["-c", r"printf 'one\nn\303'; exec sleep 600"]);
        let peer = Peer::start(&mut command, lab.join("log"));
        wait_until("the second line", Duration::from_secs(30), || (peer.printed().len() > 5).then_some(()));
        assert_eq!(peer.log(), "one\n");
    }
}
