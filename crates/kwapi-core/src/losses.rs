//! Whether what is handed over gets through, by what became of the latest: a counter of losses shows that something was lost
//! once, not that it is being lost now.

use std::borrow::Cow;
use std::time::{Duration, Instant};

/// A loss is present for so long: longer than most meters take from one reading to the next.
const PRESENT: Duration = Duration::from_secs(60);
/// So much is lost, over so long, and nothing gets through between: then all is being lost. One message that was never to be
/// taken is no sign of that, nor is a moment.
const ALL_COUNT_MIN: u64 = 3;
const ALL_LASTING_MIN: Duration = Duration::from_secs(10);
/// That is so for as long as nothing gets through, however seldom a meter is read; but not of a source that has ended.
const ALL_PRESENT: Duration = Duration::from_secs(3_600);

/// What becomes of the latest measurements.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    recent: Option<Recent>,
    /// Since anything got through.
    unbroken: Option<Unbroken>,
}

/// Losses less than [`PRESENT`] apart.
#[derive(Clone, Debug)]
struct Recent {
    since: Instant,
    latest: Instant,
    count: u64,
    why: Cow<'static, str>,
}

#[derive(Clone, Debug)]
struct Unbroken {
    since: Instant,
    count: u64,
}

/// That measurements are being lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many were lost in a row, or with less than a minute between two.
    pub count: u64,
    /// Since the first of them.
    pub lasting: Duration,
    /// Whether nothing has got through since.
    pub is_all: bool,
    /// Why the latest was.
    pub why: Cow<'static, str>,
}

impl Losses {
    /// Takes note that some were lost.
    pub fn lose(&mut self, count: u64, why: impl Into<Cow<'static, str>>, now: Instant) {
        if count == 0 {
            return;
        }
        let before = self.recent.take().filter(|recent| recent.is_within(PRESENT, now));
        self.recent = Some(Recent {
            since: before.as_ref().map_or(now, |before| before.since),
            latest: now,
            count: before.map_or(0, |before| before.count).saturating_add(count),
            why: why.into(),
        });
        let unbroken = self.unbroken.get_or_insert(Unbroken { since: now, count: 0 });
        unbroken.count = unbroken.count.saturating_add(count);
    }

    /// Takes note that something got through.
    pub fn pass(&mut self) {
        self.unbroken = None;
    }

    /// What is being lost at `now`; `None` where nothing is.
    pub fn present(&self, now: Instant) -> Option<Loss> {
        let recent = self.recent.as_ref()?;
        let all = self.unbroken.as_ref().filter(|unbroken| {
            unbroken.count >= ALL_COUNT_MIN
                && now.saturating_duration_since(unbroken.since) >= ALL_LASTING_MIN
                && recent.is_within(ALL_PRESENT, now)
        });
        let (since, count) = match all {
            Some(unbroken) => (unbroken.since, unbroken.count),
            None if recent.is_within(PRESENT, now) => (recent.since, recent.count),
            None => return None,
        };
        let lasting = now.saturating_duration_since(since);
        Some(Loss { count, lasting, is_all: all.is_some(), why: recent.why.clone() })
    }
}

impl Loss {
    /// As a clause, of `things` in the plural.
    pub fn text(&self, things: &str) -> String {
        let Self { count, why, .. } = self;
        let seconds = self.lasting.as_secs();
        if self.is_all {
            format!("all {things} lost for {seconds} s ({count}): {why}")
        } else {
            format!("{count} {things} lost in the last {seconds} s: {why}")
        }
    }
}

impl Recent {
    fn is_within(&self, limit: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.latest) < limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is present after so many seconds, as `count lasting`, with `all` where nothing gets through. Of each event its
    /// second: `-1` is one that was lost, `+` what got through.
    #[track_caller]
    fn check(events: &[(u64, &str)], at: u64, expected: &str) {
        let begun = Instant::now();
        let second = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut losses = Losses::default();
        for (seconds, event) in events {
            match event.strip_prefix('-') {
                Some(count) => losses.lose(count.parse().unwrap(), "why", second(*seconds)),
                None => losses.pass(),
            }
        }
        let shown = losses.present(second(at)).map_or_else(String::new, |loss| {
            let all = if loss.is_all { " all" } else { "" };
            format!("{} {}{all}", loss.count, loss.lasting.as_secs())
        });
        assert_eq!(shown, expected, "{events:?} at {at}");
    }

    #[test]
    fn losses_of_the_last_minute_are_present_ones_and_former_ones_are_not() {
        check(&[], 5, "");
        check(&[(0, "+")], 5, "");
        check(&[(0, "-1"), (1, "+")], 5, "1 5");
        check(&[(0, "-1"), (1, "+")], 60, "");
        check(&[(0, "-1"), (1, "+"), (50, "-2"), (51, "+")], 100, "3 100");
        check(&[(0, "-5"), (1, "+"), (70, "-2"), (71, "+")], 80, "2 10");
        check(&[(0, "-0")], 5, "");
    }

    #[test]
    fn a_loss_reports_how_much_how_long_and_why() {
        let lasting = Duration::from_secs(12);
        let loss = |is_all| Loss { count: 40, lasting, is_all, why: "no key; add one".into() };
        assert_eq!(loss(true).text("messages"), "all messages lost for 12 s (40): no key; add one");
        assert_eq!(loss(false).text("messages"), "40 messages lost in the last 12 s: no key; add one");
    }

    #[test]
    fn all_is_lost_where_several_were_and_nothing_got_through_for_a_while() {
        let all = [(0, "+"), (1, "-1"), (2, "-1"), (3, "-1")];
        check(&all, 4, "3 3");
        check(&all, 11, "3 10 all");
        // However seldom something is handed over: until something gets through, or nothing is handed over any more.
        check(&all, 3_000, "3 2999 all");
        check(&all, 3_603, "");
        check(&[(0, "-1"), (300, "-1"), (600, "-1")], 700, "3 700 all");
        check(&[(1, "-9"), (2, "+")], 20, "9 19");
        check(&[(1, "-9"), (2, "+"), (30, "-1")], 50, "10 49");
        check(&[(1, "-1"), (2, "-1")], 50, "2 49");
    }
}
