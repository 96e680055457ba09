//! Finished graphs, kept within a bound of bytes.

use std::collections::HashMap;

use super::{Graph, Key, Stamp, Subject};

#[derive(Debug)]
struct Kept {
    graph: Graph,
    stamp: Stamp,
    used: u64,
}

/// What one entry costs beside its bytes: key, figures, a place in the table…
const ENTRY_BYTES: usize = 512;
/// …and each probe that its key names.
const NAMED_BYTES: usize = 32;

/// What is to be counted for an entry.
fn cost(key: &Key, graph: &Graph) -> usize {
    let named = match &key.0 {
        Subject::Probe(_) | Subject::Group(_) | Subject::Everything => 0,
        Subject::These(probes) => probes.len(),
    };
    graph.bytes.len() + ENTRY_BYTES + named * NAMED_BYTES
}

/// Graphs by what they show, bounded in bytes at every insertion, which `moka` is not (ADR 0023).
#[derive(Debug, Default)]
pub(super) struct Cache {
    kept: HashMap<Key, Kept>,
    pub(super) bytes: usize,
    /// Counts uses; the higher, the more recent.
    clock: u64,
    pub(super) drawn: u64,
}

impl Cache {
    pub(super) fn get(&mut self, key: &Key, stamp: Stamp) -> Option<Graph> {
        self.clock += 1;
        let kept = self.kept.get_mut(key).filter(|kept| kept.stamp == stamp)?;
        kept.used = self.clock;
        Some(kept.graph.clone())
    }

    pub(super) fn put(&mut self, key: Key, graph: Graph, stamp: Stamp, bytes_max: usize) {
        self.drawn += 1;
        self.bytes += cost(&key, &graph);
        let used = self.clock;
        if let Some(old) = self.kept.remove(&key) {
            self.bytes -= cost(&key, &old.graph);
        }
        self.kept.insert(key, Kept { graph, stamp, used });
        if self.bytes <= bytes_max {
            return;
        }
        // Down to three quarters at once, so that a full cache is not sorted at every graph.
        let mut by_use: Vec<_> = self.kept.iter().map(|(key, kept)| (kept.used, key.clone())).collect();
        by_use.sort_by_key(|(used, _)| *used);
        for (_, key) in by_use {
            if self.bytes <= bytes_max / 4 * 3 {
                break;
            }
            if let Some(old) = self.kept.remove(&key) {
                self.bytes -= cost(&key, &old.graph);
            }
        }
    }
}
