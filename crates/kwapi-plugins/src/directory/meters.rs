//! What the directory looks up in the meters of this process.

use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp};

/// A meter of this process at present.
#[derive(Clone, Debug, PartialEq)]
pub struct MeterNow {
    /// The operator's name for it.
    pub name: String,
    /// Its driver.
    pub driver: &'static str,
    /// Its state in one word, as `kwapi status` has it.
    pub state: &'static str,
    /// What that means for whoever looks after it.
    pub health: MeterHealth,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// The latest error there was, also when all is well again.
    pub last_error: Option<String>,
    /// What to try, in whole sentences; nothing where there is nothing to be tried.
    pub advice: Option<&'static str>,
    /// What is worth knowing of it although it is read, each in a few words.
    pub findings: Vec<String>,
    /// How long its latest answer took; `None` before the first, and for meters that push.
    pub latency: Option<Duration>,
    /// When the latest reading came.
    pub last_reading: Option<Timestamp>,
    /// How many probes it has.
    pub probes: usize,
    /// Those of them that are silent.
    pub silent: Vec<ProbeId>,
}

/// Where the values of a probe come from, as its meter in this process has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeOrigin {
    /// The operator's name for its meter.
    pub meter: String,
    /// The driver of that.
    pub driver: &'static str,
    /// The meter's state in one word, as `kwapi status` has it.
    pub state: &'static str,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// How long its latest answer took; `None` before the first, and for meters that push.
    pub latency: Option<Duration>,
    /// How its power comes about, in words; `None` before the first.
    pub power: Option<&'static str>,
    /// How its energy comes about, in words.
    pub energy: &'static str,
}

/// What a meter's state means for whoever looks after it, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MeterHealth {
    /// It is not read.
    Troubled,
    /// It is read, and something about it is not as it should be.
    WorthALook,
    /// It has not been read yet.
    Starting,
    /// It is read.
    Well,
}
