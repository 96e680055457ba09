use super::*;
use crate::transport::nats::position::SentPosition;

const SPOOL: &str = "00112233445566778899aabbccddeeff";
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn sites() -> SitePositions {
    SitePositions::new("centre".to_owned(), true)
}

fn signed(number: u64, before: u64, consumers: &'static str) -> SignedPosition<'static> {
    let sent = SentPosition { spool: SPOOL, number, before, pass: 3, consumers };
    SignedPosition { sent, key: "lyon", probes: "lyon.*".to_owned() }
}

/// Judges a message for us whose token is its number.
fn judge(sites: &mut SitePositions, number: u64, before: u64) -> Judgement {
    let signed = signed(number, before, "spare,centre");
    sites.judge(&signed, number, false, Duration::ZERO, NOW)
}

/// What is on the disk, what was taken, and the pass in which something is missing.
fn standing(sites: &SitePositions) -> (u64, u64, u64) {
    let [(standing, key)] = sites.standings(NOW).try_into().unwrap();
    assert_eq!(key, "lyon");
    (standing.durable, standing.taken, standing.missing)
}

#[test]
fn each_message_is_taken_once_and_in_order() {
    let mut sites = sites();
    assert_eq!(judge(&mut sites, 10, 9), Judgement::Take, "a site that is new begins with what it sends");
    assert_eq!(judge(&mut sites, 10, 9), Judgement::Known);
    assert_eq!(judge(&mut sites, 3, 2), Judgement::Known);
    // What was between, the site has no more.
    assert_eq!(judge(&mut sites, 20, 10), Judgement::Take);
    assert_eq!(judge(&mut sites, 22, 21), Judgement::Early);
    assert_eq!(standing(&sites), (9, 20, 3));
    assert_eq!(judge(&mut sites, 21, 20), Judgement::Take);
    assert_eq!(judge(&mut sites, 22, 21), Judgement::Take);
    assert_eq!(standing(&sites), (9, 22, 0));
}

#[test]
fn it_stands_at_what_is_on_the_disk_without_a_gap_and_what_was_let_go_of_comes_again() {
    let mut sites = sites();
    (1..=4).for_each(|number| assert_eq!(judge(&mut sites, number, number - 1), Judgement::Take));
    assert_eq!(standing(&sites), (0, 4, 0));
    sites.settle(&(2..=3), true);
    assert_eq!(standing(&sites), (0, 4, 0));
    sites.settle(&(1..=1), false);
    assert_eq!(standing(&sites), (0, 4, 0));
    sites.settle(&(4..=9), true);
    assert_eq!(judge(&mut sites, 2, 1), Judgement::Known);
    assert_eq!(judge(&mut sites, 1, 0), Judgement::Take);
    assert_eq!(judge(&mut sites, 1, 0), Judgement::Known);
    sites.settle(&(1..=1), true);
    assert_eq!(standing(&sites), (4, 4, 0));
    assert!(sites.open.is_empty());
}

#[test]
fn one_for_whom_nothing_is_kept_or_who_is_given_some_probes_takes_what_comes() {
    let (mut unlisted, mut partial) = (sites(), SitePositions::new("centre".to_owned(), false));
    for (number, before) in [(1, 0), (9, 8)] {
        let of_others = signed(number, before, "centre2,spare");
        assert_eq!(unlisted.judge(&of_others, number, false, Duration::ZERO, NOW), Judgement::Take);
        assert_eq!(judge(&mut partial, number, before), Judgement::Take);
    }
    assert!(unlisted.standings(NOW).is_empty(), "nobody waits for it");
    assert_eq!(judge(&mut partial, 5, 4), Judgement::Known);
}

#[test]
fn what_a_site_does_not_send_again_is_given_up_when_nothing_more_comes() {
    let mut sites = sites();
    judge(&mut sites, 1, 0);
    let mut judge =
        |is_last, second| sites.judge(&signed(5, 4, "centre"), 5, is_last, Duration::from_secs(second), NOW);
    assert_eq!(judge(true, 100), Judgement::Early);
    assert_eq!(judge(true, 130), Judgement::Early);
    assert_eq!(judge(false, 500), Judgement::Early, "it may be among what waits");
    assert_eq!(judge(true, 500), Judgement::Take);
}

#[test]
fn a_key_for_other_probes_moves_nothing_in_the_spool_of_a_site() {
    let mut sites = sites();
    judge(&mut sites, 1, 0);
    let theirs = SignedPosition { key: "paris", probes: "paris.*".to_owned(), ..signed(1_000, 1, "centre") };
    assert_eq!(sites.judge(&theirs, 77, false, Duration::ZERO, NOW), Judgement::Take);
    assert_eq!(judge(&mut sites, 2, 1), Judgement::Take);
}

#[test]
fn positions_are_kept_and_a_file_that_is_not_ours_is_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("centre@nats:4222:power.positions");
    let mut before = sites();
    (1..=3).for_each(|number| _ = judge(&mut before, number, number - 1));
    before.settle(&(1..=2), true);
    write_positions(&file, &before.stored()).unwrap();
    let golden = format!(
        r#"{{"version":1,"sites":[{{"spool":"{SPOOL}","probes":"lyon.*","durable":2,"heard_us":1790000000000000}}]}}"#
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), golden);
    let mut after = sites();
    after.read(&file);
    assert_eq!(judge(&mut after, 2, 1), Judgement::Known);
    assert_eq!(judge(&mut after, 3, 2), Judgement::Take);
    for text in ["", "{}", "[]", &golden.replace(":1,", ":2,"), &"[".repeat(10_000)] {
        std::fs::write(&file, text).unwrap();
        let mut none = sites();
        none.read(&file);
        assert_eq!(judge(&mut none, 9, 8), Judgement::Take, "{text}");
    }
}

#[test]
fn positions_of_a_thousand_sites_are_kept_and_no_more() {
    let mut sites = sites();
    for number in 0..2_000_u64 {
        let spool = format!("{number:032x}");
        let sent = SentPosition { spool: &spool, number: 1, before: 0, pass: 1, consumers: "centre" };
        let signed = SignedPosition { sent, key: "lyon", probes: "*".to_owned() };
        let wall = NOW.after(Duration::from_secs(number));
        assert_eq!(sites.judge(&signed, number, false, Duration::ZERO, wall), Judgement::Take);
    }
    assert_eq!(sites.sites.len(), SITES_MAX);
    let newest = sites.standings(NOW).into_iter().map(|(standing, _)| standing.spool).max();
    assert_eq!(newest, Some(format!("{:032x}", 1_999)));
}
