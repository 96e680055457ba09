use super::*;

const WORKS: Keeping = Keeping { works: true, waiting: 0, fetched: 0, lacking_for: None };
const DOWN: Keeping = Keeping { works: false, waiting: 0, fetched: 0, lacking_for: None };

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + second)
}

fn second(second: u64) -> Duration {
    Duration::from_secs(second)
}

/// A source that has delivered messages stamped at each second up to `last`, with `later` after them.
fn source(last: u64, later: u64, now: u64) -> StoredSource {
    let mut source = StoredSource::new(0, Some(1), second(0));
    (0..=last).for_each(|stamp| source.note_message(stamp, at(stamp), later, second(now)));
    source
}

#[test]
fn all_is_read_up_to_the_oldest_message_that_is_not_safe() {
    let mut source = source(9, 0, 100);
    source.look(WORKS, Some(at(500)), second(100));
    assert_eq!(source.read_until, Some(at(0)));
    source.settles(&(0..=3), true);
    source.look(WORKS, Some(at(500)), second(100));
    assert_eq!(source.read_until, Some(at(4)));
    source.settles(&(4..=9), true);
    source.look(WORKS, Some(at(501)), second(100));
    assert_eq!(source.read_until, Some(at(501)), "nothing is left");
    source.look(DOWN, Some(at(600)), second(199));
    assert_eq!(source.read_until, Some(at(9)), "what waits behind a connection that is gone is not known");
}

#[test]
fn what_waits_at_the_server_or_is_to_come_again_is_not_read() {
    let mut waits = source(9, 5, 100);
    waits.settles(&(0..=9), true);
    waits.look(WORKS, Some(at(500)), second(100));
    assert_eq!(waits.read_until, Some(at(9)));
    let mut again = source(9, 0, 100);
    again.settles(&(0..=8), true);
    again.settles(&(9..=9), false);
    again.look(WORKS, Some(at(500)), second(100));
    assert_eq!(again.read_until, Some(at(9)));
    let mut bound = StoredSource::new(0, None, second(0));
    bound.look(Keeping { waiting: 7, ..WORKS }, Some(at(500)), second(1));
    assert_eq!(bound.read_until, None);
    bound.look(WORKS, None, second(1));
    assert_eq!(bound.read_until, None, "our clock is wrong");
}

#[test]
fn what_was_announced_and_does_not_come_is_not_waited_for_for_ever() {
    let mut source = source(9, 500, 100);
    source.settles(&(0..=9), true);
    source.look(WORKS, Some(at(500)), second(100));
    assert_eq!(source.read_until, Some(at(9)), "the last one announced more");
    source.look(Keeping { waiting: 1, ..WORKS }, Some(at(600)), second(150));
    source.look(Keeping { fetched: 1, ..WORKS }, Some(at(600)), second(155));
    source.look(DOWN, Some(at(610)), second(200));
    source.look(WORKS, Some(at(620)), second(210));
    source.look(WORKS, Some(at(680)), second(270));
    assert_eq!(source.read_until, Some(at(9)), "not for a minute without a break");
    source.look(WORKS, Some(at(681)), second(271));
    assert_eq!(source.read_until, Some(at(681)));
}

#[test]
fn what_a_site_has_not_sent_to_the_centre_yet_is_not_read() {
    let mut source = source(9, 0, 100);
    source.settles(&(0..=9), true);
    let lacking = |seconds| Keeping { lacking_for: Some(second(seconds)), ..WORKS };
    source.look(lacking(40), Some(at(500)), second(100));
    assert_eq!(source.read_until, Some(at(460)), "another site's messages are read up to the present");
    source.look(lacking(50), Some(at(510)), second(110));
    assert_eq!(source.read_until, Some(at(460)));
    source.look(WORKS, Some(at(520)), second(120));
    assert_eq!(source.read_until, Some(at(520)));
}

#[test]
fn the_present_is_shown_from_elsewhere_while_a_source_is_behind_and_a_while_after() {
    let mut source = StoredSource::new(0, Some(1), second(0));
    assert!(source.look(DOWN, None, second(0)), "nothing is known of it");
    source.note_message(1, at(1), 9, second(1));
    assert!(source.look(WORKS, None, second(1)));
    source.note_message(2, at(2), 0, second(2));
    assert!(source.look(WORKS, None, second(2)), "it may fall back again");
    assert!(source.look(WORKS, None, second(10)));
    assert!(!source.look(WORKS, None, second(11)));
    source.note_message(3, at(3), 2, second(12));
    assert!(!source.look(WORKS, None, second(12)), "a moment is no backlog");
    assert!(source.look(WORKS, None, second(14)));
    source.note_message(4, at(4), 0, second(14));
    assert!(!source.look(WORKS, None, second(40)));
    assert!(!source.look(DOWN, None, second(40)));
    assert!(source.look(DOWN, None, second(42)));
}

/// Which of sources wait: each by its last stamp, how many are later, and when it last delivered something.
#[track_caller]
fn check(sources: &[(Option<u64>, u64, u64)], now: u64, expected: &[bool]) {
    let mut sources: Vec<_> = sources
        .iter()
        .map(|(last, later, moved)| {
            let mut source = StoredSource::new(0, None, second(*moved));
            if let Some(last) = last {
                source.note_message(0, at(*last), *later, second(*moved));
            }
            source.look(
                Keeping {
                    works: *later > 0 || last.is_some(),
                    waiting: *later,
                    fetched: 0,
                    lacking_for: None,
                },
                None,
                second(now),
            );
            source
        })
        .collect();
    note_order(&mut sources, second(now));
    let waiting: Vec<_> = sources.iter().map(|source| source.waits(second(now))).collect();
    assert_eq!(waiting, expected);
}

#[test]
fn sources_that_are_behind_are_read_in_the_order_of_their_stamps() {
    check(&[(Some(1_000), 5, 50), (Some(900), 5, 50)], 50, &[true, false]);
    check(&[(Some(1_000), 5, 50), (Some(980), 5, 50)], 50, &[false, false]);
    // Read to its end, it may be as old as it likes.
    check(&[(Some(1_000), 5, 50), (Some(10), 0, 50)], 50, &[false, false]);
    // What does not move is not waited for.
    check(&[(Some(1_000), 5, 50), (Some(900), 5, 39)], 50, &[false, false]);
    check(&[(Some(1_000), 0, 50), (Some(900), 5, 50), (Some(950), 5, 50)], 50, &[true, false, true]);
    check(&[(Some(1_000), 5, 50)], 50, &[false]);
}

#[test]
fn what_has_delivered_nothing_yet_is_waited_for_and_not_for_long() {
    check(&[(Some(1_000), 5, 3), (None, 5, 0)], 3, &[true, false]);
    check(&[(Some(1_000), 5, 11), (None, 5, 0)], 11, &[false, false]);
    check(&[(None, 5, 0), (None, 5, 0)], 3, &[false, false]);
    // The other does not stand yet.
    check(&[(None, 5, 0), (None, 0, 0)], 3, &[true, false]);
    check(&[(None, 5, 0), (None, 0, 0)], 12, &[false, false]);
}

#[test]
fn no_source_waits_for_longer_than_an_hour() {
    let mut sources = [source(1_000, 5, 0), source(10, 5, 0)];
    let mut waits = |now: u64| {
        for source in &mut sources {
            source.moved = second(now);
            source.look(WORKS, None, second(now));
        }
        note_order(&mut sources, second(now));
        sources[0].waits(second(now))
    };
    assert!(waits(1) && waits(3_600));
    assert!(!waits(3_601) && !waits(9_000));
}
