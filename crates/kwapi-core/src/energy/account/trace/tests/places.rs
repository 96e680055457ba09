//! Where stretches lie and why, message by message: clocks that fall, messages of the original, stops that grow.

use super::*;
use crate::{CurvePoint, SegmentKind};

fn begin_first() -> Decision {
    Decision::Begin { kind: SegmentKind::First, begin: Timestamp::from_seconds(100), base: Energy::ZERO }
}

/// Receives messages, each with the cause of what it changes.
fn causes(book: &mut Book, messages: &[Accounting]) -> Vec<Cause> {
    let mut trace = book.trace.clone();
    let mut pieces = Vec::new();
    messages
        .iter()
        .map(|message| {
            let before = book.account.clone();
            book.receive(message, Duration::ZERO, Duration::from_secs(60));
            let mut again = before;
            let credit = again.credit(message, Duration::ZERO, Duration::from_secs(60)).unwrap();
            trace.take(message.timestamp, Some(message), &credit.decision, &credit.totals, &mut pieces).cause
        })
        .collect()
}

fn rows(book: &Book) -> Vec<(u64, i64, i64)> {
    let rows =
        |(begin, row): (u64, Increment)| (begin / 1_000, row.energy_mj() / 1_000, row.known_ms() / 1_000);
    minutes(book.rows()).into_iter().map(rows).collect()
}

/// Two stamps of one session in the wrong order, as no publisher of ours sends them: no second counts twice, and what was
/// used lies before the stamp that it would end at.
#[test]
fn stamps_that_fall_within_a_session_cover_nothing_twice() {
    let mut book = Book::default();
    let stamps = [(100, 100), (110, 110), (120, 120), (130, 105), (140, 115), (150, 125)];
    let messages = stamps.map(|(second, stamp)| Accounting {
        timestamp: Timestamp::from_seconds(stamp),
        ..message(100, second, second - 100)
    });
    let causes = causes(&mut book, &messages);
    book.check("falling stamps");
    assert_eq!(rows(&book), [(60, 45, 20), (120, 5, 5)]);
    assert_eq!(causes[2..], [Cause::Silence, Cause::Clock, Cause::Silence, Cause::Silence]);
}

fn on_curve(run: u32, session: u64, begin: u64, message: Accounting) -> Accounting {
    let id = Timestamp::from_seconds(100);
    let curve = Some(CurvePoint { id, run, begin: Energy::from_millijoules(begin * 1_000) });
    Accounting { curve, session: Timestamp::from_seconds(session), ..message }
}

#[test]
fn a_change_of_a_closed_row_gives_the_reason() {
    use Cause::{Clock, Late, Silence, Stop};
    let mut book = Book::default();
    let causes = causes(
        &mut book,
        &[
            on_curve(1, 100, 0, message(100, 100, 0)),
            on_curve(1, 100, 0, message(100, 140, 40)),
            on_curve(1, 100, 0, message(100, 120, 20)),  // late
            on_curve(2, 200, 90, message(200, 200, 0)),  // another run, 50 J in the stop
            on_curve(2, 200, 95, message(200, 210, 10)), // and 5 J more
            on_curve(2, 200, 95, message(200, 220, 20)),
            on_curve(3, 221, 115, message(150, 150, 0)), // the clock was set back
        ],
    );
    assert_eq!(causes, [Silence, Silence, Late, Silence, Stop, Silence, Clock]);
    assert_eq!(book.account.totals().bridged.millijoules(), 55_000);
    book.check("causes");
}

/// A manager that was killed resumes from its record, which has less than it had sent: what it measures until then is cut. The
/// register's first tick lifts the begin of its run, and what was cut lies where it was used.
#[test]
fn what_was_cut_after_a_stop_lies_where_it_was_used_once_the_register_ticks() {
    let second_run = |begin, seconds: std::ops::RangeInclusive<u64>| {
        // 10 W for two seconds, then 1 W.
        let joules = |second: u64| (second - 178).min(2) * 10 + (second - 178).saturating_sub(2);
        seconds.map(move |second| on_curve(2, 178, begin, message(178, second, joules(second))))
    };
    let first_run = (100..=170).map(|second| on_curve(1, 100, 0, message(100, second, second - 100)));
    let mut book = Book::default();
    // The record is 12 J behind: the first seconds of the run are cut, of the second one a part.
    for message in first_run.chain(second_run(58, 178..=239)) {
        book.receive(&message, Duration::ZERO, Duration::from_secs(60));
    }
    book.check("cut");
    assert_eq!(rows(&book), [(60, 20, 20), (120, 50 + 8, 60), (180, 59, 59)]);
    assert_eq!(book.trace.beside_holes.len(), 2, "one that is cut, and one that is not");
    let mut bytes = Vec::new();
    book.trace.encode(&mut bytes);
    assert_eq!(Trace::decode(&bytes).unwrap(), book.trace, "kept over a restart of the plugin");
    for message in second_run(80, 240..=245) {
        book.receive(&message, Duration::ZERO, Duration::from_secs(60));
    }
    book.check("lifted");
    // 10 J of the stop and 12 J of the first two seconds, all of them in the minute that ends at 180.
    assert_eq!(rows(&book), [(60, 20, 20), (120, 50 + 8 + 12 + 10, 60), (180, 60, 60), (240, 5, 5)]);
    assert!(book.trace.beside_holes.is_empty(), "{:?}", book.trace.beside_holes);
}

#[test]
fn of_messages_that_are_cut_so_many_are_kept() {
    let mut book = Book::default();
    for second in 100..=900 {
        book.receive(&on_curve(1, 100, 0, message(100, second, second - 100)), Duration::ZERO, Duration::MAX);
    }
    for second in 1_000..=1_502 {
        let message = on_curve(2, 1_000, 300, message(1_000, second, second - 1_000));
        book.receive(&message, Duration::ZERO, Duration::MAX);
        assert!(book.trace.beside_holes.len() <= 65, "{second}");
    }
    assert_eq!(book.trace.beside_holes.len(), 65, "64, and the first that is not cut");
    book.receive(&on_curve(2, 1_000, 900, message(1_000, 1_503, 503)), Duration::ZERO, Duration::MAX);
    book.check("many");
    assert_eq!(book.account.totals().energy.millijoules(), 1_403_000);
    assert!(book.trace.beside_holes.is_empty());
}

/// After messages of the original a session whose clock is behind covers nothing that they cover.
#[test]
fn what_messages_of_the_original_cover_is_covered_once() {
    let (mut account, mut trace, mut pieces) = (Account::default(), Trace::default(), Vec::new());
    let mut sum = Increment::default();
    let gap = Duration::from_secs(60);
    for second in (1_000..=1_100).step_by(10) {
        let now = Timestamp::from_seconds(second);
        let credit = account.credit_legacy(Watts(60.0), now, Duration::from_secs(second), gap).unwrap();
        trace.take(now, None, &credit.decision, &credit.totals, &mut pieces);
        pieces.iter().for_each(|piece| sum.add(&piece.increment, 1));
    }
    for second in (1_060..=1_120).step_by(10) {
        let message = message(1_050, second, second - 1_050);
        let credit = account.credit(&message, Duration::from_secs(1_200), gap).unwrap();
        trace.take(message.timestamp, Some(&message), &credit.decision, &credit.totals, &mut pieces);
        pieces.iter().for_each(|piece| sum.add(&piece.increment, 1));
    }
    assert_eq!((sum.ms, sum.energy_mj()), ([120_000, 0, 0], 6_000_000 + 60_000));
    assert_eq!(account.totals().measured_ms, 120_000);
}

#[test]
fn messages_are_kept_only_beside_those_that_may_yet_come() {
    let mut book = Book::default();
    let gap = Duration::from_secs(60);
    let mut kept = Vec::new();
    for second in [100, 101, 103, 104, 102, 106] {
        book.receive(&message(100, second, second - 100), Duration::ZERO, gap);
        kept.push(book.trace.beside_holes.len());
    }
    assert_eq!(kept, [0, 0, 1, 2, 0, 1], "{:?}", book.trace.beside_holes);
    for second in 107..=200 {
        book.receive(&message(100, second, second - 100), Duration::ZERO, gap);
    }
    assert!(book.trace.beside_holes.is_empty(), "{:?}", book.trace.beside_holes);
    book.check("kept");
}

/// Of two minutes one millisecond is estimated: what was used in it lies where it does.
#[test]
fn energy_of_a_status_lies_where_its_time_does() {
    let laid = Laid { from: 0, to: 120_000, mj: [500, 100, 0], ms: [119_999, 1, 0], monotonic: 120_000 };
    let mut rows = Vec::new();
    Spread { since: 0, coverage: &mut None }.lay(&laid, &mut |piece| rows.push(piece));
    let shares: Vec<_> =
        rows.iter().map(|piece| (piece.begin, piece.increment.mj, piece.increment.ms)).collect();
    assert_eq!(shares, [(0, [250, 0, 0], [60_000, 0, 0]), (60_000, [250, 100, 0], [59_999, 1, 0])]);
}

/// Nothing is known of its time: it lies evenly.
#[test]
fn energy_without_time_is_spread_over_all_of_it() {
    let laid = Laid { from: 30_000, to: 90_000, mj: [0, 0, 600], ms: [0; 3], monotonic: 60_000 };
    let mut rows = Vec::new();
    Spread { since: 0, coverage: &mut None }.lay(&laid, &mut |piece| rows.push(piece));
    let shares: Vec<_> =
        rows.iter().map(|piece| (piece.begin, piece.increment.mj, piece.increment.ms)).collect();
    assert_eq!(shares, [(0, [0, 0, 300], [0; 3]), (60_000, [0, 0, 300], [0; 3])]);
}

#[test]
fn the_trace_of_an_account_begins_with_it() {
    let (mut trace, mut pieces) = (Trace::default(), Vec::new());
    let first = message(100, 100, 0);
    let traced = trace.take(first.timestamp, Some(&first), &begin_first(), &Totals::default(), &mut pieces);
    assert_eq!((traced.begins, traced.unplaced_mj, pieces.is_empty()), (true, 0, true));
}

/// Half a second of the wall clock, and none of the monotonic one.
#[test]
fn a_stretch_without_time_of_its_own_covers_none() {
    let laid = Laid { from: 0, to: 500, mj: [5, 0, 0], ms: [0; 3], monotonic: 0 };
    let mut rows = Vec::new();
    Spread { since: 0, coverage: &mut None }.lay(&laid, &mut |piece| rows.push(piece));
    assert_eq!(
        rows.iter().map(|piece| (piece.increment.mj, piece.increment.ms)).collect::<Vec<_>>(),
        [([5, 0, 0], [0; 3])]
    );
}

/// A publisher that keeps no record starts afresh under an id before ours, when ours is gone.
#[test]
fn the_time_before_a_rival_is_in_no_row() {
    let mut book = Book::default();
    let gap = Duration::from_secs(25);
    for second in (1_000..=1_050).step_by(10) {
        book.receive(&message(1_000, second, second - 1_000), Duration::from_secs(second), gap);
    }
    for second in (1_090..=1_120).step_by(10) {
        let rival =
            Accounting { session: Timestamp::from_seconds(995), ..message(1_090, second, second - 1_090) };
        book.receive(&rival, Duration::from_secs(second), gap);
    }
    book.check("rival");
    let known: i64 = rows(&book).iter().map(|(_, _, known)| known).sum();
    assert_eq!((known, book.account.totals().measured_ms), (80, 80_000));
}

/// The account begins in a run whose register ticks later: that was used before its first message.
#[test]
fn what_an_accounts_first_run_adds_to_its_stop_lies_at_its_begin() {
    let mut book = Book::default();
    let gap = Duration::from_secs(60);
    book.receive(&on_curve(2, 130, 50, message(100, 170, 0)), Duration::ZERO, gap);
    book.receive(&on_curve(2, 130, 57, message(100, 190, 20)), Duration::ZERO, gap);
    assert_eq!((rows(&book), book.unplaced), (vec![(120, 7 + 10, 10), (180, 10, 10)], 0));
    book.check("its begin");
}

proptest::proptest! {
    /// A file that is damaged and has a right checksum all the same.
    #[test]
    fn noise_is_no_trace_or_one_that_continues(
        noise: Vec<u8>, flipped in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..8), 1..4),
    ) {
        let mut book = Book::default();
        for second in [100, 101, 103, 104, 106] {
            book.receive(&message(100, second, second - 100), Duration::ZERO, Duration::from_secs(60));
        }
        book.receive(&on_curve(2, 200, 50, message(170, 200, 0)), Duration::ZERO, Duration::from_secs(60));
        let mut bytes = Vec::new();
        book.trace.encode(&mut bytes);
        for (index, bit) in flipped {
            let index = index.index(bytes.len());
            bytes[index] ^= 1_u8 << bit;
        }
        for bytes in [noise, bytes] {
            let Ok(mut trace) = Trace::decode(&bytes) else { continue };
            let mut pieces = Vec::new();
            for message in [
                on_curve(2, 200, 60, message(170, 210, 30)),
                message(100, 105, 5),
                on_curve(3, 300, 90, message(250, 300, 0)),
                message(100, 107, 9),
            ] {
                let register = Totals { energy: message.totals.energy, ..Totals::default() };
                for decision in [Decision::Continue, Decision::Insert, begin_first()] {
                    trace.take(message.timestamp, Some(&message), &decision, &register, &mut pieces);
                }
                let legacy = Decision::Legacy { gained: message.totals.energy, covered_ms: 10_000 };
                trace.take(message.timestamp, None, &legacy, &register, &mut pieces);
            }
        }
    }
}

/// A stretch of so many milliseconds of wall and monotonic time: the step it is emitted in, and how much of it is known.
fn lay(wall: u64, monotonic: u64) -> (RowStep, i64) {
    let laid = Laid { from: 0, to: wall, mj: [1, 0, 0], ms: [monotonic, 0, 0], monotonic };
    let mut rows = Vec::new();
    Spread { since: 0, coverage: &mut None }.lay(&laid, &mut |piece| rows.push(piece));
    (rows[0].step, rows.iter().map(|piece| piece.increment.ms[0]).sum())
}

#[test]
fn minutes_are_reported_of_a_week_quarters_of_400_days_and_of_more_days() {
    const DAY: u64 = 86_400_000;
    assert_eq!(lay(7 * DAY, 7 * DAY).0, RowStep::Minute);
    assert_eq!(lay(7 * DAY + 1, 7 * DAY).0, RowStep::Quarter);
    assert_eq!(lay(400 * DAY, 400 * DAY).0, RowStep::Quarter);
    assert_eq!(lay(400 * DAY + 1, 400 * DAY).0, RowStep::Day);
}

#[test]
fn a_clock_that_gains_a_second_and_a_hundredth_was_not_set() {
    assert_eq!(lay(11_100, 10_000).1, 11_100);
    assert_eq!(lay(11_101, 10_000).1, 10_000);
}
