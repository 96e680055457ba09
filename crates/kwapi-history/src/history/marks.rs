//! How far the journal has been read, and how much of that the files are certain to have.

use std::collections::VecDeque;
use std::time::Duration;

use super::groups::Reached;
use crate::journal::Position;

/// How far the journal had been read, tick by tick, as long as not all of that is known to be written.
#[derive(Debug, Default)]
pub(super) struct ReadMarks {
    marks: VecDeque<ReadMark>,
}

#[derive(Debug)]
struct ReadMark {
    position: Position,
    /// Where groups were then.
    reached: Option<Reached>,
    /// Since when all that was read waits for the files, on the process's clock.
    waits_since: Option<Duration>,
}

impl ReadMarks {
    /// Notes how far the journal has been read at `now`, and how far groups have come by it.
    pub(super) fn note(&mut self, now: Duration, position: Position, reached: Option<Reached>) {
        let is_news = self
            .marks
            .back()
            .is_none_or(|last| last.position != position && (reached.is_none() || last.reached != reached));
        if is_news {
            let waits_since = reached.is_none().then_some(now);
            self.marks.push_back(ReadMark { position, reached, waits_since });
        }
    }

    /// The newest mark of which the files have all, now that they have what groups have determined (see
    /// [`ReadMarks::take_written`]). It and those before it are forgotten.
    pub(super) fn take_completed(&mut self, has_completed: impl Fn(Reached) -> bool) -> Option<Position> {
        let mut completed = None;
        while self.marks.front().is_some_and(|mark| mark.reached.is_none_or(&has_completed)) {
            completed = self.marks.pop_front().map(|mark| mark.position);
        }
        completed
    }

    /// The newest mark before which all has waited for longer than `interval`, in which each file is written once; `has_completed`
    /// is whether groups have written what they had reached. It and those before it are forgotten.
    pub(super) fn take_written(
        &mut self,
        now: Duration,
        interval: Duration,
        has_completed: impl Fn(Reached) -> bool,
    ) -> Option<Position> {
        let open = self.marks.iter_mut().skip_while(|mark| mark.waits_since.is_some());
        for mark in open.take_while(|mark| mark.reached.is_none_or(&has_completed)) {
            mark.waits_since = Some(now);
        }
        let mut written = None;
        let is_written =
            |mark: &ReadMark| mark.waits_since.is_some_and(|since| now.saturating_sub(since) > interval);
        while self.marks.front().is_some_and(is_written) {
            written = self.marks.pop_front().map(|mark| mark.position);
        }
        written
    }
}
