//! Two plugins that receive parts of what is published, die and come back with or without their record, and exchange
//! accounts: their result is that of one that receives all of it.

use std::collections::BTreeMap;

use super::*;
use crate::energy::account::StandingOrder;
use crate::energy::account::tests::{MAX_GAP, message};
use crate::energy::worlds::{self, Dice, Plan, STOPS, World, WorldFault};
use crate::{Accounting, Watts};

fn receive_all(account: &mut Account, messages: &[Accounting]) {
    for message in messages {
        let received_at = message.timestamp.since(Timestamp::EPOCH);
        _ = account.credit(message, received_at, MAX_GAP);
    }
}

fn account(messages: &[Accounting]) -> Account {
    let mut account = Account::default();
    receive_all(&mut account, messages);
    account
}

/// What is kept of an account and is not this plugin's alone.
fn kept(account: &Account) -> Account {
    Account { rival: None, received_us: 0, is_resumed: false, lost: 0, ..account.clone() }
}

/// Merges, after all that must hold of any two accounts was seen to hold.
#[track_caller]
fn merge(one: &Account, other: &Account) -> Account {
    let merged = one.merge(other, Duration::ZERO);
    assert_eq!(kept(&merged), kept(&other.merge(one, Duration::ZERO)), "it takes no side");
    assert!(merged.totals().energy >= one.totals().energy.max(other.totals().energy), "no total falls");
    for account in [one, other] {
        if account.first_stamp().is_some() {
            assert!(merged.since() <= account.since());
        }
        assert_eq!(kept(&account.merge(account, Duration::ZERO)), kept(account), "with itself it is itself");
    }
    for account in [one, other] {
        let again = merged.merge(account, Duration::ZERO);
        assert_eq!(
            (again.totals().energy, again.since()),
            (merged.totals().energy, merged.since()),
            "what it has adds nothing more"
        );
    }
    let mut bytes = Vec::new();
    merged.encode(&mut bytes);
    assert_eq!(kept(&Account::decode(&bytes).unwrap()), kept(&merged));
    merged
}

#[track_caller]
fn check(one: &[Accounting], other: &[Accounting], joules: f64, since: u64) {
    let merged = merge(&account(one), &account(other));
    assert_eq!((merged.totals().energy.joules(), merged.since().seconds()), (joules, since));
}

#[test]
fn a_newcomer_has_the_whole_total_and_continues_with_what_it_received_meanwhile() {
    let old: Vec<_> = (101..=120).map(|second| message(100, second, (second - 100) * 10)).collect();
    let newcomer = [message(100, 119, 190), message(100, 124, 240)];
    check(&old, &newcomer, 240.0 - 10.0, 101);
    check(&old, &[], 190.0, 101);
}

#[test]
fn of_two_with_records_the_earlier_begin_and_each_sessions_highest_count() {
    // One has missed the end of the first session, the other its begin and the second session.
    let one = [message(100, 101, 10), message(100, 103, 30), message(200, 205, 70)];
    let other = [message(100, 102, 20), message(100, 150, 500)];
    check(&one, &other, 490.0 + 70.0, 101);
}

#[test]
fn a_session_that_one_alone_received_counts_whole() {
    let one = [message(100, 101, 0), message(300, 310, 40)];
    let other = [message(200, 203, 5), message(200, 220, 100), message(300, 311, 50)];
    check(&one, &other, 100.0 + 50.0, 101);
}

#[test]
fn of_two_publishers_at_the_same_time_nothing_is_counted_twice() {
    // Each plugin received from another manager: the greater total stands, as it is.
    let one: Vec<_> = (101..=150).map(|second| message(100, second, (second - 100) * 10)).collect();
    let other: Vec<_> = (121..=150).map(|second| message(120, second, (second - 120) * 11)).collect();
    check(&one, &other, 490.0, 101);
    // One has received from the first manager for longer, before it took up the second, and so counts less of that.
    let long: Vec<_> = (101..=150)
        .map(|second| message(100, second, (second - 100) * 10))
        .chain((161..=200).map(|second| message(120, second, (second - 120) * 10)))
        .collect();
    let short: Vec<_> = (101..=130)
        .map(|second| message(100, second, (second - 100) * 10))
        .chain((141..=200).map(|second| message(120, second, (second - 120) * 10)))
        .collect();
    let merged = merge(&account(&long), &account(&short));
    let most = account(&long).totals().energy.max(account(&short).totals().energy);
    assert_eq!(merged.totals().energy, most);
}

#[test]
fn what_one_has_closed_is_closed() {
    let sessions: Vec<_> = (1..=7)
        .flat_map(|session| {
            (1..=9).map(move |second| message(session * 100, session * 100 + second, second * 10))
        })
        .collect();
    let whole = account(&sessions);
    for from in 0..sessions.len() {
        for upto in [from, sessions.len() - 1, sessions.len() - 12, sessions.len() - 30] {
            let upto = upto.max(from.saturating_sub(1)); // What neither received is not reported by the other.
            let (one, other) = (account(&sessions[..=upto]), account(&sessions[from..]));
            let merged = merge(&one, &other).totals().energy;
            // Of a session that both have closed, one of them from within it, it is unknown what both have of it.
            let is_open = upto >= 3 * 9;
            assert!(
                merged <= whole.totals().energy && (merged == whole.totals().energy || !is_open),
                "{from} {upto}"
            );
        }
    }
}

#[test]
fn one_that_ended_before_the_other_began_is_not_lost() {
    let early: Vec<_> = (1..=6)
        .flat_map(|session| {
            (1..=9).map(move |second| message(session * 100, session * 100 + second, second * 10))
        })
        .collect();
    let late: Vec<_> = (11..=16)
        .flat_map(|session| {
            (1..=9).map(move |second| message(session * 100, session * 100 + second, second * 10))
        })
        .collect();
    check(&early, &late, f64::from(2 * (80 + 5 * 90)), 101);
}

#[test]
fn legacy_messages_of_the_longer_record_count() {
    let legacy = |seconds: std::ops::Range<u64>| {
        let mut account = Account::default();
        for second in seconds {
            let (now, received_at) = (Timestamp::from_seconds(second), Duration::from_secs(second));
            account.credit_legacy(Watts(10.0), now, received_at, MAX_GAP).unwrap();
        }
        account
    };
    let merged = merge(&legacy(100..130), &legacy(110..131));
    assert_eq!((merged.totals().energy.joules(), merged.since().seconds()), (290.0, 100));
}

#[test]
fn a_publisher_that_only_the_other_has_received_is_not_taken_for_silent() {
    let other = account(&[message(100, 101, 10), message(100, 102, 20)]);
    let mut merged = Account::default().merge(&other, Duration::from_secs(1_000));
    let rival = message(90, 103, 5_000);
    let refused = merged.credit(&rival, Duration::from_secs(1_005), MAX_GAP);
    assert_eq!(refused, Err(crate::Refused::ConflictingPublisher));
}

/// A plugin in a world: what it received, and whether it receives at all.
struct Plugin {
    account: Account,
    record: Account,
    is_cut_off: bool,
}

impl Plugin {
    fn new() -> Self {
        Self { account: Account::default(), record: Account::default(), is_cut_off: true }
    }
}

/// How two plugins fare in a world.
struct DeliveryFaults {
    /// How likely a message is lost on the way to one of them.
    lose: f64,
    /// How likely they exchange accounts, at each message.
    exchange: f64,
    /// Whether they begin with an old record after a death, or with nothing.
    forgets: bool,
}

/// Delivers a world's messages to both, each its own share of them, and returns them with what either has received.
fn live(world: &World, dice: &mut Dice, delivery: &DeliveryFaults) -> ([Plugin; 2], Vec<(u64, Accounting)>) {
    let mut plugins = [Plugin::new(), Plugin::new()];
    let mut union = Vec::new();
    let (late, messages) = (dice.below(world.log.len() as u64 / 2 + 1) as usize, &world.log);
    let curve = |message: &Accounting| message.curve.map_or(message.session, |curve| curve.id);
    for (index, (at, message)) in messages.iter().enumerate() {
        let message = message.accounting;
        let now = Duration::from_millis(*at);
        plugins[0].is_cut_off &= index != 0;
        plugins[1].is_cut_off &= index != late;
        let next = messages.get(index + 1);
        // What the first message of all and the last of a curve carry is in no other.
        let is_alone = index == 0 || next.is_none_or(|(_, next)| curve(&next.accounting) != curve(&message));
        let mut is_received = false;
        for (side, plugin) in plugins.iter_mut().enumerate() {
            let is_due = index >= if side == 0 { 0 } else { late };
            if is_due && dice.chance(0.01) {
                // It dies and comes back, or the way to it is cut and mended.
                plugin.is_cut_off = !plugin.is_cut_off;
                if plugin.is_cut_off && dice.chance(0.5) {
                    let forgets = delivery.forgets && dice.chance(0.5);
                    plugin.account = if forgets { Account::default() } else { plugin.record.clone() };
                    plugin.account.resume(now);
                }
            }
            let is_lost = plugin.is_cut_off || dice.chance(delivery.lose);
            let last_chance = is_alone && side == 1 && !is_received;
            if is_lost && !last_chance && !(is_alone && side == 0) {
                continue;
            }
            is_received = true;
            _ = plugin.account.credit(&message, now, world.max_gap);
            // What is received is on record within seconds; a disk may be put back to what it was before.
            if !delivery.forgets || dice.chance(0.2) {
                plugin.record = plugin.account.clone();
            }
        }
        if is_received {
            union.push((*at, message));
        }
        if dice.chance(delivery.exchange) {
            exchange(&mut plugins, now, dice);
        }
    }
    (plugins, union)
}

/// One takes the other's, as it is or as it was on record; or both do.
fn exchange(plugins: &mut [Plugin; 2], now: Duration, dice: &mut Dice) {
    let before = [plugins[0].account.clone(), plugins[1].account.clone()];
    for (side, plugin) in plugins.iter_mut().enumerate() {
        if dice.chance(0.7) {
            let total = plugin.account.totals().energy;
            plugin.account = plugin.account.merge(&before[1 - side], now);
            assert!(plugin.account.totals().energy >= total);
        }
    }
}

#[test]
fn two_plugins_that_receive_parts_come_to_what_was_used() {
    let (mut compared, mut refused, mut runs) = (0, 0, 0);
    let count = worlds::world_count(1_500);
    for seed in 0..count {
        let steps: &[WorldFault] = if seed % 3 == 0 { &[WorldFault::Step] } else { &[] };
        let plan = Plan::new(&STOPS).and(&[WorldFault::Link, WorldFault::Reset]).and(steps);
        let plan =
            Plan { hours: 6, rate: 1, max_watts: Some(Watts(1_000.0)), has_register: seed % 4 != 0, ..plan };
        let world = World::live(seed, &plan);
        let mut dice = Dice::new(seed ^ 0x7e11);
        let lose = dice.pick(&[0.0, 0.1, 0.4]);
        let delivery = DeliveryFaults { lose, exchange: dice.pick(&[0.0, 0.01, 0.2]), forgets: false };
        let ([one, other], union) = live(&world, &mut dice, &delivery);
        let mut truth = Account::default();
        for (at, message) in &union {
            refused += u64::from(truth.credit(message, Duration::from_millis(*at), world.max_gap).is_err());
        }
        let Some((at, _)) = world.log.last() else { continue };
        let merged = merge(&one.account, &other.account);
        assert!(merged.totals().energy <= truth.totals().energy, "{seed}: more than was used");
        runs += merged.runs.len();
        if merged.totals().energy != truth.totals().energy {
            continue;
        }
        compared += 1;
        // Whoever began while the clock was behind has the earlier stamp.
        assert!(
            merged.since() == truth.since() || !steps.is_empty() && merged.since() < truth.since(),
            "{seed}"
        );
        // One more message to both, and they agree at it.
        let now = Duration::from_millis(at + 1_000);
        let newest = world.log.last().unwrap().1.accounting;
        let more = Accounting {
            seq: newest.seq + 1,
            timestamp: Timestamp::from_micros(newest.timestamp.micros() + 1_000_000),
            ..newest
        };
        let mut both = [one.account.merge(&other.account, now), other.account.merge(&one.account, now)];
        for account in &mut both {
            account.credit(&more, now, world.max_gap).unwrap();
        }
        truth.credit(&more, now, world.max_gap).unwrap();
        let [one, other] = both;
        assert_eq!((one.totals(), one.since()), (other.totals(), other.since()), "{seed}");
        assert_eq!(one.totals().energy, truth.totals().energy, "{seed}");
        assert_eq!(
            one.standing().unwrap().compare(&other.standing().unwrap()),
            StandingOrder::Equal,
            "{seed}"
        );
    }
    println!("{compared} of {count} compared, {runs} runs, {refused} refused");
    assert!(compared * 100 >= count * 95 && runs as u64 > count, "{compared} of {count}, {runs} runs");
}

#[test]
fn records_lost_on_the_way_never_make_energy() {
    for seed in 0..worlds::world_count(600) {
        let faults = [WorldFault::Link, WorldFault::Reset, WorldFault::Swap, WorldFault::WrongClock];
        let plan =
            Plan { hours: 6, rate: 2, max_watts: Some(Watts(1_000.0)), ..Plan::new(&STOPS).and(&faults) };
        let world = World::live(seed, &plan);
        let mut dice = Dice::new(seed ^ 0x10f7);
        let delivery =
            DeliveryFaults { lose: dice.pick(&[0.0, 0.3]), exchange: dice.pick(&[0.01, 0.1]), forgets: true };
        let ([one, other], union) = live(&world, &mut dice, &delivery);
        let merged = merge(&one.account, &other.account);
        // Each curve's highest point less its lowest, of all that was received.
        let mut curves: BTreeMap<Timestamp, u64> = BTreeMap::new();
        for (_, message) in &union {
            let begin = message.curve.map_or(0, |curve| curve.begin.millijoules());
            let highest = curves.entry(message.curve.map_or(message.session, |curve| curve.id)).or_default();
            *highest = (*highest).max(begin + message.totals.energy.millijoules());
        }
        let most: u64 = curves.values().sum();
        assert!(
            merged.totals().energy.millijoules() <= most,
            "{seed}: {} of {most}",
            merged.totals().energy.millijoules()
        );
    }
}
