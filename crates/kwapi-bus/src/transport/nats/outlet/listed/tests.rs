use super::*;
use crate::key::Key;

const SPOOL: &str = "00112233445566778899aabbccddeeff";
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn keys(secret: &str) -> PositionKeys {
    PositionKeys::new(&[Key::new("lyon", secret)]).unwrap()
}

fn ours() -> PositionKeys {
    keys("a secret of Lyon's")
}

fn listed() -> ListedConsumers {
    ListedConsumers::new(SPOOL.to_owned(), &["centre".to_owned(), "spare".to_owned()])
}

fn standing(consumer: &str, durable: u64, missing: u64, at: u64) -> Standing {
    let (consumer, spool) = (consumer.to_owned(), SPOOL.to_owned());
    Standing { consumer, spool, durable, taken: durable + 1, missing, at: NOW.after(Duration::from_secs(at)) }
}

/// Receives it now, in pass 7, with numbers up to 100.
fn receive(
    listed: &mut ListedConsumers,
    standing: &Standing,
    by: &PositionKeys,
) -> Result<Option<u64>, StandingRefusal> {
    listed.receive(standing.write(by, "lyon").unwrap().as_bytes(), &ours(), NOW, 7, 100)
}

#[test]
fn what_all_listed_consumers_have_is_durable_and_it_never_falls() {
    let mut listed = listed();
    assert_eq!(receive(&mut listed, &standing("centre", 50, 0, 0), &ours()), Ok(None));
    assert_eq!(listed.durable(), 0, "the other one never reported");
    assert_eq!(receive(&mut listed, &standing("spare", 40, 0, 0), &ours()), Ok(None));
    assert_eq!(listed.durable(), 40);
    assert_eq!(receive(&mut listed, &standing("spare", 20, 0, 1), &ours()), Ok(None));
    assert_eq!(listed.durable(), 40);
}

#[test]
fn a_consumer_that_lacks_something_of_this_pass_is_sent_it_and_of_another_pass_is_not() {
    let mut listed = listed();
    assert_eq!(receive(&mut listed, &standing("centre", 50, 7, 0), &ours()), Ok(Some(51)));
    assert_eq!(receive(&mut listed, &standing("centre", 50, 6, 1), &ours()), Ok(None));
}

#[test]
fn what_is_forged_replayed_or_of_another_changes_nothing_and_is_counted_by_cause() {
    let mut listed = listed();
    let well = standing("centre", 50, 0, 0);
    assert_eq!(receive(&mut listed, &well, &ours()), Ok(None));
    assert_eq!(receive(&mut listed, &well, &ours()), Err(StandingRefusal::Replayed));
    let late = |at| standing("spare", 90, 7, at);
    assert_eq!(receive(&mut listed, &late(0), &keys("another secret here")), Err(StandingRefusal::Signature));
    assert_eq!(receive(&mut listed, &standing("nobody", 90, 7, 2), &ours()), Err(StandingRefusal::Foreign));
    let elsewhere = Standing { spool: SPOOL.replace('0', "1"), ..late(2) };
    assert_eq!(receive(&mut listed, &elsewhere, &ours()), Err(StandingRefusal::Foreign));
    assert_eq!(receive(&mut listed, &late(61), &ours()), Err(StandingRefusal::Clock));
    let old = Standing { at: NOW.before(Duration::from_secs(301)), ..late(0) };
    assert_eq!(receive(&mut listed, &old, &ours()), Err(StandingRefusal::Clock));
    assert_eq!(receive(&mut listed, &standing("spare", 100, 7, 2), &ours()), Err(StandingRefusal::Ahead));
    let other = PositionKeys::new(&[Key::new("paris", "a secret of Paris's")]).unwrap();
    let text = late(2).write(&other, "paris").unwrap();
    assert_eq!(listed.receive(text.as_bytes(), &ours(), NOW, 7, 100), Err(StandingRefusal::Key));
    assert_eq!(listed.receive(b"", &ours(), NOW, 7, 100), Err(StandingRefusal::Malformed));
    assert_eq!(listed.durable(), 0);
    let counted: Vec<_> = listed.refused().collect();
    let expected = [
        ("malformed", 1),
        ("key", 1),
        ("signature", 1),
        ("foreign", 2),
        ("clock", 2),
        ("replayed", 1),
        ("ahead", 1),
    ];
    assert_eq!(counted, expected);
}

#[test]
fn what_is_known_of_one_that_is_listed_no_longer_counts_no_more() {
    let known = [("centre", 30), ("former", 1)].map(|(name, durable)| Listed {
        name: name.to_owned(),
        durable,
        reported_us: NOW.micros(),
    });
    let mut listed = ListedConsumers::new(SPOOL.to_owned(), &["centre".to_owned()]);
    listed.remember(&known);
    assert_eq!((listed.durable(), listed.all().len()), (30, 1));
    assert_eq!(receive(&mut listed, &standing("centre", 50, 0, 0), &ours()), Err(StandingRefusal::Replayed));
    assert_eq!(receive(&mut listed, &standing("centre", 50, 0, 1), &ours()), Ok(None));
}
