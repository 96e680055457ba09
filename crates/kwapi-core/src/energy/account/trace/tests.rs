mod places;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::energy::scenarios::{self, Message, Scenario};
use crate::energy::worlds::{Dice, Plan, STOPS, World, WorldFault, world_count};
use crate::{OpenRows, ProbeId, Watts, WrittenRow};

/// A plugin with its ledger: an account, the trace of what it credits, and rows.
#[derive(Default)]
struct Book {
    account: Account,
    trace: Trace,
    open: OpenRows,
    written: Vec<WrittenRow>,
    begun: u32,
    unplaced: u64,
}

type Sums = BTreeMap<(RowStep, u64), Increment>;

impl Book {
    /// Receives a message; returns the rows that it wrote.
    fn receive(&mut self, message: &Accounting, received_at: Duration, max_gap: Duration) -> Vec<WrittenRow> {
        let Ok(credit) = self.account.credit(message, received_at, max_gap) else { return Vec::new() };
        let mut pieces = Vec::new();
        let traced =
            self.trace.take(message.timestamp, Some(message), &credit.decision, &credit.totals, &mut pieces);
        assert!(pieces.windows(2).all(|pair| pair[0].begin < pair[1].begin), "{pieces:?}");
        self.begun += u32::from(traced.begins);
        self.unplaced += traced.unplaced_mj;
        let mut rows = Vec::new();
        let (at, power) = (milliseconds(message.timestamp), Watts(message.seq as f64));
        self.open.take(at, power, &pieces, traced.cause, &mut |row| rows.push(row));
        self.written.extend(&rows);
        rows
    }

    /// All rows, corrections and open ones added to theirs, but for those of nothing.
    fn rows(&self) -> Sums {
        let mut sums = Sums::new();
        let open = self.open.rows();
        for (step, row) in self.written.iter().map(|written| (written.step, written.row)).chain(open) {
            sums.entry((step, row.begin)).or_default().add(&row.increment, 1);
        }
        sums.retain(|_, increment| !increment.is_zero());
        sums
    }

    /// What must hold at any time: energy is the account's by status in each step, time too but for its rounding, and no
    /// row is longer than it is.
    fn check(&self, name: &str) {
        let totals = self.account.totals();
        let rows = self.rows();
        let joules = [totals.measured(), totals.estimated, totals.bridged].map(signed);
        for step in RowStep::ALL {
            let mut sum = Increment::default();
            for ((_, begin), row) in rows.iter().filter(|((of, _), _)| *of == step) {
                sum.add(row, 1);
                let length = step.milliseconds() as i64;
                assert!(row.known_ms() <= length, "{name}: {step:?} {begin}: {row:?}");
            }
            assert_eq!(sum.mj, joules, "{name}: {step:?}");
        }
        for ((_, begin), day) in rows.iter().filter(|((step, _), _)| *step == RowStep::Day) {
            let mut sum = Increment::default();
            let quarters = (RowStep::Quarter, *begin)..(RowStep::Quarter, RowStep::Day.end(*begin));
            for (_, quarter) in rows.range(quarters) {
                sum.add(quarter, 1);
            }
            assert_eq!(sum, *day, "{name}: the day {begin} is the sum of its quarter hours");
        }
    }
}

fn minutes(sums: Sums) -> Vec<(u64, Increment)> {
    let minutes = sums.into_iter().filter(|((step, _), _)| *step == RowStep::Minute);
    minutes.map(|((_, begin), increment)| (begin, increment)).collect()
}

fn check(scenario: &Scenario) {
    let name = &scenario.name;
    let mut books: BTreeMap<ProbeId, Book> = BTreeMap::new();
    for (step, delivery) in scenario.delivery.iter().enumerate() {
        let Message { probe, accounting } = &scenario.messages[delivery.message];
        let book = books.entry(probe.clone()).or_default();
        let wrote = book.receive(accounting, delivery.received_at, scenario.max_gap);
        let corrects = |row: &&WrittenRow| {
            row.step == RowStep::Minute && row.correction.is_some() && !row.row.increment.is_zero()
        };
        let corrections: Vec<_> =
            wrote.iter().filter(corrects).map(|row| (row.row.begin, row.row.increment)).collect();
        let wanted: Vec<_> = delivery
            .corrections
            .iter()
            .map(|correction| {
                (milliseconds(correction.interval), Increment { mj: correction.mj, ms: correction.ms })
            })
            .collect();
        assert_eq!(corrections, wanted, "{name}: step {step}: message {}", delivery.message);
        book.check(name);
    }
    for (probe, book) in &books {
        let expected = &scenario.expected[probe];
        let rows: Vec<_> = expected
            .rows
            .iter()
            .map(|row| {
                let increment = Increment { mj: row.mj.map(|mj| mj as i64), ms: row.ms.map(|ms| ms as i64) };
                (milliseconds(row.interval), increment)
            })
            .filter(|(_, increment)| !increment.is_zero())
            .collect();
        assert_eq!(minutes(book.rows()), rows, "{name}: {probe}: rows");
        assert_eq!(book.unplaced, 0, "{name}: {probe}: laid by the register alone");
    }
}

#[test]
fn each_scenario_has_its_rows_and_corrections() {
    for scenario in scenarios::all() {
        check(&scenario);
    }
}

/// A delivery that loses, repeats and reorders.
fn mangle(dice: &mut Dice, log: &[(u64, Message)]) -> Vec<Accounting> {
    let spread = dice.pick(&[3, 30, 60]);
    let lose = dice.pick(&[0.0, 0.1]);
    let mut placed: Vec<(u64, Accounting)> = Vec::new();
    for (index, (_, message)) in log.iter().enumerate() {
        if index > 0 && dice.chance(lose) {
            continue;
        }
        for _ in 0..=u8::from(dice.chance(0.1)) {
            placed.push((index as u64 + dice.below(spread), message.accounting));
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, message)| message).collect()
}

#[test]
fn in_any_order_twice_and_restarted_the_rows_are_those_of_in_order() {
    let (mut compared, mut placed_otherwise) = (0, 0);
    for seed in 0..world_count(200) {
        let plan = Plan {
            hours: 6,
            rate: 3,
            max_watts: Some(Watts(1_000.0)),
            ..Plan::new(&STOPS).and(&[WorldFault::Link, WorldFault::Reset])
        };
        let world = World::live(seed, &Plan { has_register: seed % 5 != 0, ..plan });
        let mut dice = Dice::new(seed ^ 0x0dd);
        let mut mangled = Book::default();
        let mut credited = BTreeMap::new();
        for message in mangle(&mut dice, &world.log) {
            let before = mangled.account.clone();
            mangled.receive(&message, Duration::ZERO, world.max_gap);
            if before != mangled.account {
                credited.insert((message.session, message.seq), message);
            }
            if dice.chance(0.05) {
                let mut bytes = Vec::new();
                mangled.trace.encode(&mut bytes);
                mangled.trace = Trace::decode(&bytes).unwrap();
                let bytes = postcard::to_allocvec(&mangled.open).unwrap();
                mangled.open = postcard::from_bytes(&bytes).unwrap();
            }
        }
        mangled.check(&seed.to_string());
        let mut whole = Book::default();
        for message in credited.values() {
            whole.receive(message, Duration::ZERO, world.max_gap);
        }
        whole.check(&seed.to_string());
        assert_eq!((mangled.begun, whole.begun), (1, 1), "{seed}");
        assert_eq!((mangled.unplaced, whole.unplaced), (0, 0), "{seed}: laid by the register alone");
        if mangled.account.totals() != whole.account.totals() {
            continue; // It came after four more runs had begun: as if lost.
        }
        compared += 1;
        let (one, two) = (whole.rows(), mangled.rows());
        let mut apart = Increment::default();
        for key in one.keys().chain(two.keys()) {
            let (one, two) =
                (one.get(key).copied().unwrap_or_default(), two.get(key).copied().unwrap_or_default());
            for (apart, (one, two)) in apart.mj.iter_mut().zip(one.mj.iter().zip(two.mj)) {
                *apart = (*apart).max((one - two).abs());
            }
            assert_eq!(one.ms, two.ms, "{seed}: {key:?}: time");
        }
        placed_otherwise += u64::from(!apart.mj.iter().all(|mj| *mj == 0));
        // Where watts had overshot a coarse register by part of a tick, and a late message shows that, that part is taken
        // from a stretch whose messages are not kept any more.
        let allowed = if world.tick <= 3_600_000 { 0 } else { world.tick as i64 };
        assert!(apart.mj.iter().all(|mj| *mj <= allowed), "{seed}: {apart:?}, ticks of {}", world.tick);
    }
    assert!(compared * 2 > world_count(200), "too easy: {compared} compared");
    assert!(placed_otherwise * 10 < compared, "{placed_otherwise} of {compared}");
}

#[test]
fn whatever_clocks_registers_and_the_journal_do_the_rows_add_up_to_the_account() {
    use WorldFault::{Link, Reset, Step, Swap, WrongClock};
    let mut unplaced = 0;
    for seed in 0..world_count(150) {
        let faults = [Link, Reset, Step, Swap, WrongClock];
        let plan = Plan { hours: 6, rate: 3, ..Plan::new(&STOPS).and(&faults) };
        let world = World::live(seed, &plan);
        let mut dice = Dice::new(seed ^ 0xc10c);
        let is_ordered = dice.chance(0.5);
        let messages = if is_ordered {
            world.log.iter().map(|(_, message)| message.accounting).collect()
        } else {
            mangle(&mut dice, &world.log)
        };
        let mut book = Book::default();
        for (index, message) in messages.iter().enumerate() {
            let received_at = world.max_gap * 2 * index as u32;
            if index > 0 && dice.chance(0.01) {
                // The journal has lost it: the account has it all the same.
                _ = book.account.credit(message, received_at, world.max_gap);
                continue;
            }
            book.receive(message, received_at, world.max_gap);
        }
        book.receive(messages.last().unwrap(), Duration::MAX, world.max_gap);
        unplaced += book.unplaced;
        let totals = book.account.totals();
        let rows = book.rows();
        let (mut sum, mut quarters) = (Increment::default(), Increment::default());
        for ((step, _), row) in &rows {
            match step {
                RowStep::Minute => sum.add(row, 1),
                RowStep::Quarter => quarters.add(row, 1),
                RowStep::Day => {}
            }
        }
        let joules = [totals.measured(), totals.estimated, totals.bridged].map(signed);
        // What the journal has lost shows in the next record; the last may be among it.
        let short: i64 = joules.iter().sum::<i64>() - sum.energy_mj();
        assert!(short == 0 || book.trace.register() != Some(joules), "{seed}: {short} mJ");
        assert_eq!(sum, quarters, "{seed}");
    }
    assert!(unplaced > 0, "too easy: the journal lost nothing that mattered");
}

fn message(session: u64, second: u64, joules: u64) -> Accounting {
    Accounting {
        timestamp: Timestamp::from_seconds(second),
        session: Timestamp::from_seconds(session),
        seq: second - session,
        totals: Totals {
            energy: Energy::from_millijoules(joules * 1_000),
            measured_ms: (second - session) * 1_000,
            ..Totals::default()
        },
        curve: None,
        meter: None,
        quality: crate::Quality::Measured,
    }
}

/// Takes messages of an account from the `from`th on, as a ledger does that is begun later.
fn sums_from(from: usize, messages: &[Accounting]) -> (i64, u64) {
    let (mut account, mut trace) = (Account::default(), Trace::default());
    let (mut sum, mut begins) = (Increment::default(), 0);
    for (index, message) in messages.iter().enumerate() {
        let credit = account.credit(message, Duration::ZERO, Duration::from_secs(60)).unwrap();
        if index < from {
            continue;
        }
        let mut pieces = Vec::new();
        let at = message.timestamp;
        begins +=
            u64::from(trace.take(at, Some(message), &credit.decision, &credit.totals, &mut pieces).begins);
        pieces.iter().for_each(|piece| sum.add(&piece.increment, 1));
    }
    (sum.energy_mj(), begins)
}

#[test]
fn what_a_slower_route_delivers_of_a_fast_session_lies_where_it_was_measured() {
    // Across a minute's end at 60 s, a thousand a second, with more power in each second than in the one before.
    let fast = |seq: u64| Accounting {
        timestamp: Timestamp::from_micros(58_700_000 + seq * 1_000),
        seq,
        totals: Totals {
            energy: Energy::from_millijoules(seq * seq / 10),
            measured_ms: seq,
            ..Totals::default()
        },
        ..message(58, 58, 0)
    };
    let is_lost = |seq: &u64| (1_250..1_350).contains(seq) || seq % 113 == 7;
    let (mut whole, mut late) = (Book::default(), Book::default());
    for seq in 0..3_500 {
        whole.receive(&fast(seq), Duration::ZERO, Duration::from_secs(10));
        if !is_lost(&seq) {
            late.receive(&fast(seq), Duration::ZERO, Duration::from_secs(10));
        }
        if seq >= 900 && is_lost(&(seq - 900)) {
            late.receive(&fast(seq - 900), Duration::ZERO, Duration::from_secs(10));
        }
    }
    late.check("late");
    assert_eq!(late.account.lost(), (2_600..3_500).filter(is_lost).count() as u64);
    assert_eq!((late.rows(), late.unplaced), (whole.rows(), 0));
}

#[test]
fn begun_later_it_reports_what_came_since() {
    let messages =
        [message(100, 100, 0), message(100, 110, 50), message(100, 111, 60), message(100, 120, 90)];
    assert_eq!(sums_from(0, &messages), (90_000, 1));
    assert_eq!(sums_from(1, &messages), (40_000, 1));
    assert_eq!(sums_from(3, &messages), (0, 1));
}

/// A ledger that is begun with the first message received of a session: what it carries came before.
#[test]
fn begun_with_a_session_that_follows_it_reports_what_came_after_that_message() {
    let messages =
        [message(100, 100, 0), message(100, 110, 50), message(200, 203, 90), message(200, 210, 95)];
    assert_eq!(sums_from(0, &messages), (145_000, 1));
    assert_eq!(sums_from(2, &messages), (5_000, 1));
}

#[test]
fn an_account_that_started_afresh_is_followed_from_there() {
    let (mut trace, mut pieces) = (Trace::default(), Vec::new());
    let mut sum = Increment::default();
    for messages in
        [[message(100, 100, 0), message(100, 110, 50)], [message(200, 200, 0), message(200, 220, 20)]]
    {
        let mut account = Account::default();
        for message in messages {
            let credit = account.credit(&message, Duration::ZERO, Duration::from_secs(60)).unwrap();
            trace.take(message.timestamp, Some(&message), &credit.decision, &credit.totals, &mut pieces);
            pieces.iter().for_each(|piece| sum.add(&piece.increment, 1));
        }
    }
    assert_eq!(sum.energy_mj(), 70_000);
}

#[test]
fn messages_of_the_original_lie_where_they_were_received() {
    let (mut account, mut trace, mut pieces) = (Account::default(), Trace::default(), Vec::new());
    let mut rows = Vec::new();
    for second in [3_590, 3_600, 3_610, 7_300] {
        let now = Timestamp::from_seconds(second);
        let received_at = Duration::from_secs(second);
        let credit = account.credit_legacy(Watts(60.0), now, received_at, Duration::from_secs(60)).unwrap();
        trace.take(now, None, &credit.decision, &credit.totals, &mut pieces);
        rows.extend(
            pieces.iter().map(|piece| (piece.begin / 1_000, piece.increment.mj[0], piece.increment.ms[0])),
        );
    }
    assert_eq!(rows, [(3_540, 600_000, 10_000), (3_600, 600_000, 10_000)]);
}

#[test]
fn bytes_that_are_no_trace_are_reported() {
    let mut bytes = Vec::new();
    Trace::default().encode(&mut bytes);
    assert_eq!(Trace::decode(&bytes), Ok(Trace::default()));
    for end in 0..bytes.len() {
        assert_eq!(Trace::decode(&bytes[..end]), Err(crate::SnapshotError::Damaged));
    }
    bytes[0] = 200;
    assert_eq!(Trace::decode(&bytes), Err(crate::SnapshotError::Later(200)));
}
