//! What this process has used of the machine, by Linux's `/proc/self` (proc(5)).

use std::collections::BTreeMap;
use std::path::Path;

/// A clock tick of `/proc`, in seconds: always a hundredth on Linux.
const TICK_SECONDS: f64 = 0.01;

/// What the process has used since it began.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Processor seconds, user and system.
    pub(super) cpu: f64,
    /// What of this each kind of thread has used; those that have ended are in none.
    pub(super) threads: BTreeMap<String, ThreadUsage>,
    /// Bytes handed to the system to be written, to files above all.
    pub(super) written: u64,
}

/// What the threads of one kind have used since they began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ThreadUsage {
    /// Processor seconds.
    pub(super) cpu: f64,
    /// Bytes handed to the system to be written.
    pub(super) written: u64,
}

impl Usage {
    pub(super) fn now() -> Self {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let mut threads: BTreeMap<String, ThreadUsage> = BTreeMap::new();
        for entry in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            if let Some((name, cpu)) = cpu_of(&read(&entry.path().join("stat"))) {
                let of_kind = threads.entry(kind_of(&name).to_owned()).or_default();
                of_kind.cpu += cpu;
                of_kind.written += written(&read(&entry.path().join("io")));
            }
        }
        let cpu = cpu_of(&read(Path::new("/proc/self/stat"))).map_or(0.0, |(_, cpu)| cpu);
        Self { cpu, threads, written: written(&read(Path::new("/proc/self/io"))) }
    }

    /// What was used from `earlier` on.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let before = |name: &String| earlier.threads.get(name).copied().unwrap_or_default();
        let used = |name: &String, now: &ThreadUsage| {
            let before = before(name);
            ThreadUsage { cpu: now.cpu - before.cpu, written: now.written.saturating_sub(before.written) }
        };
        let threads = self.threads.iter().map(|(name, now)| (name.clone(), used(name, now))).collect();
        Self { cpu: self.cpu - earlier.cpu, threads, written: self.written.saturating_sub(earlier.written) }
    }
}

/// Resident memory of this process in bytes, now and at the most.
pub(super) fn resident_bytes() -> [f64; 2] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ["VmRSS:", "VmHWM:"].map(|name| kibibytes(&status, name) * 1024.0)
}

/// A line of a `status` file.
fn kibibytes(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
}

/// The name and the processor seconds in a `stat` file.
fn cpu_of(stat: &str) -> Option<(String, f64)> {
    // The name is in parentheses and may have some of its own. Of what follows it, the 12th and 13th are ticks.
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Some((name.to_owned(), ticks.sum::<Result<f64, _>>().ok()? * TICK_SECONDS))
}

/// Threads of one kind have one name, and perhaps a number.
fn kind_of(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || "-/#".contains(c))
}

/// `wchar` of an `io` file.
fn written(io: &str) -> u64 {
    let line = io.lines().find_map(|line| line.strip_prefix("wchar:"));
    line.and_then(|line| line.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_and_names_are_where_linux_puts_them() {
        let stat = "4711 (ZMQbg/IO/1) S 1 2 3 0 -1 4194560 10 0 0 0 250 50 0 0 20 0 9 0 77 1000 200";
        assert_eq!(cpu_of(stat), Some(("ZMQbg/IO/1".to_owned(), 3.0)));
        assert_eq!(cpu_of("1 (a) b) S 1 2 3 0 -1 4 1 0 0 0 1 1 0"), Some(("a) b".to_owned(), 0.02)));
        assert_eq!(cpu_of(""), None);
        assert_eq!(
            ["ZMQbg/IO/1", "ledger", "tokio-rt-worker"].map(kind_of),
            ["ZMQbg/IO", "ledger", "tokio-rt-worker"]
        );
        assert_eq!(written("rchar: 5\nwchar: 4096\nsyscr: 1\n"), 4_096);
    }

    #[test]
    fn what_this_process_uses_is_found() {
        let usage = Usage::now();
        let [now, most] = resident_bytes();
        assert!(!usage.threads.is_empty() && now > 0.0 && most > 0.0, "{usage:?} {now} {most}");
        // The threads that are there have written no more than the process.
        assert!(usage.threads.values().map(|of_kind| of_kind.written).sum::<u64>() <= Usage::now().written);
    }
}
