//! How resident memory goes while the load lasts: whether it grows.

use std::time::Duration;

use super::usage::resident_bytes;

/// Into so many parts the measurement is divided, each of which is reported.
const PARTS: usize = 10;

/// Looks at the process's resident memory once a second, until it is dropped with the future it is in.
#[derive(Debug, Default)]
pub(super) struct MemoryCourse {
    /// In bytes, a second apart: as many as the measurement has seconds.
    bytes: Vec<f64>,
}

impl MemoryCourse {
    /// Looks, for ever.
    pub(super) async fn watch(&mut self) -> std::convert::Infallible {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            self.bytes.push(resident_bytes()[0]);
        }
    }

    /// Least, median and last, in bytes; `None` where there was nothing to see.
    fn summary(&self) -> Option<[f64; 3]> {
        Some([least(&self.bytes)?, median(&self.bytes)?, *self.bytes.last()?])
    }

    /// The median of each tenth of the time, in bytes: where memory grows, they rise to the end.
    fn parts(&self) -> Vec<f64> {
        let each = self.bytes.len().div_ceil(PARTS).max(1);
        self.bytes.chunks(each).filter_map(median).collect()
    }

    /// Prints it.
    pub(super) fn print(&self) {
        let Some([least, median, last]) = self.summary() else { return };
        let megabytes = |bytes: f64| format!("{:.0}", bytes / 1e6);
        let [least, median, last] = [least, median, last].map(megabytes);
        println!("| …least, median, last | {least}, {median}, {last} MB |");
        let parts: Vec<String> = self.parts().into_iter().map(megabytes).collect();
        println!("| …median of each tenth of the time | {} MB |", parts.join(", "));
    }
}

fn least(bytes: &[f64]) -> Option<f64> {
    bytes.iter().copied().min_by(f64::total_cmp)
}

fn median(bytes: &[f64]) -> Option<f64> {
    let mut sorted = bytes.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_shows_in_the_tenths_and_one_peak_does_not() {
        let of = |bytes: Vec<f64>| MemoryCourse { bytes };
        let grows = of((0..600).map(f64::from).collect());
        assert_eq!(grows.summary(), Some([0.0, 300.0, 599.0]));
        assert_eq!(grows.parts(), [30.0, 90.0, 150.0, 210.0, 270.0, 330.0, 390.0, 450.0, 510.0, 570.0]);
        let peak = of((0..600).map(|second| if second == 300 { 900.0 } else { 7.0 }).collect());
        assert_eq!((peak.summary(), peak.parts()), (Some([7.0; 3]), vec![7.0; 10]));
        assert_eq!((of(vec![]).summary(), of(vec![4.0, 5.0]).parts()), (None, vec![4.0, 5.0]));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_once_a_second() {
        let mut course = MemoryCourse::default();
        let ended = tokio::time::timeout(Duration::from_millis(2_500), course.watch()).await;
        assert!(ended.is_err() && course.bytes.len() == 3 && course.bytes.iter().all(|bytes| *bytes > 0.0));
    }
}
