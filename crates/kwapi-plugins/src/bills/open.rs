//! Open bills, made once for all requests within some seconds.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwapi_core::ProbeId;
use parking_lot::Mutex;

use super::config::BillConfig;
use super::month::BillMonth;
use super::run::MadeBill;

/// A bill that took longer than this to make is kept…
const CHEAP: Duration = Duration::from_millis(50);
/// …for so long at least, and for so many times as long as it took.
const KEPT_MIN: Duration = Duration::from_secs(5);
const REST: u32 = 9;
/// As many are kept. Full: the oldest is dropped.
const KEPT_MAX: usize = 4;

/// Of what a bill is made: of anything else it is another one.
#[derive(Clone, Debug)]
pub(super) struct OpenOf {
    /// The month, and how much of it is over.
    pub(super) month: BillMonth,
    pub(super) by: Option<String>,
    pub(super) config: Arc<BillConfig>,
    /// The directory's, which a reload replaces with the labels.
    pub(super) sums: Arc<HashSet<ProbeId>>,
}

impl OpenOf {
    fn is_same(&self, other: &Self) -> bool {
        self.month == other.month
            && self.by == other.by
            && Arc::ptr_eq(&self.config, &other.config)
            && Arc::ptr_eq(&self.sums, &other.sums)
    }
}

/// Bills that took long to make. They are of everything; what a scope shows is chosen of them.
#[derive(Debug)]
pub(super) struct OpenBills {
    kept: Mutex<VecDeque<OpenBill>>,
    cheap: Duration,
}

impl Default for OpenBills {
    fn default() -> Self {
        Self { kept: Mutex::default(), cheap: CHEAP }
    }
}

#[derive(Debug)]
struct OpenBill {
    of: OpenOf,
    made: Arc<MadeBill>,
    at: Instant,
    took: Duration,
}

impl OpenBill {
    fn is_kept(&self, cheap: Duration) -> bool {
        self.took > cheap && self.at.elapsed() < KEPT_MIN.max(self.took.saturating_mul(REST))
    }
}

impl OpenBills {
    /// A bill, as it is kept or as `make` makes it. Requests meanwhile wait.
    ///
    /// # Errors
    /// Those of `make`; nothing is kept then.
    pub(super) fn made<E>(
        &self,
        of: OpenOf,
        make: impl FnOnce(&OpenOf) -> Result<MadeBill, E>,
    ) -> Result<Arc<MadeBill>, E> {
        let mut all = self.kept.lock();
        all.retain(|open| open.is_kept(self.cheap));
        if let Some(open) = all.iter().find(|open| open.of.is_same(&of)) {
            return Ok(Arc::clone(&open.made));
        }
        let begin = Instant::now();
        let made = Arc::new(make(&of)?);
        if all.len() >= KEPT_MAX {
            all.pop_front();
        }
        let took = begin.elapsed();
        all.push_back(OpenBill { of, made: Arc::clone(&made), at: Instant::now(), took });
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_that_took_long_is_made_once_and_another_configuration_makes_another() {
        let open = OpenBills { cheap: Duration::ZERO, ..OpenBills::default() };
        let count = std::cell::Cell::new(0);
        let [config, changed] = [(); 2].map(|()| Arc::new(crate::bills::tests::config("0.2", &[])));
        let sums = Arc::default();
        let now = kwapi_core::Timestamp::from_seconds(1_795_428_000);
        let month = BillMonth::new("2026-11", &jiff::tz::TimeZone::UTC, now).unwrap();
        let bill_of = |by: &str, config: &Arc<BillConfig>| {
            let (config, sums) = (Arc::clone(config), Arc::clone(&sums));
            let of = OpenOf { month: month.clone(), by: Some(by.to_owned()), config, sums };
            let made = open.made(of, |_| {
                count.set(count.get() + 1);
                Ok::<_, String>(crate::bills::tests::february_bill())
            });
            made.unwrap()
        };
        let first = bill_of("department", &config);
        assert!(Arc::ptr_eq(&first, &bill_of("department", &config)));
        bill_of("room", &config);
        bill_of("department", &changed);
        assert_eq!(count.get(), 3);
        for by in 0..KEPT_MAX {
            bill_of(&by.to_string(), &config);
        }
        assert_eq!(open.kept.lock().len(), KEPT_MAX);
        assert_eq!(open.made(OpenOf { month, by: None, config, sums }, |_| Err("why")), Err("why"));
    }
}
