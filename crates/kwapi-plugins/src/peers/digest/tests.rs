use std::time::Duration;

use kwapi_core::{Account, Accounting, Energy, Quality, Timestamp, Totals};
use proptest::prelude::*;

use super::*;

fn probe(number: u16) -> ProbeId {
    ProbeId::new(format!("hall.n{number}")).unwrap()
}

/// Where an account stands that has received the messages of a session up to `seq`; of a session of `begin` seconds.
fn standing(begin: u64, seq: u64) -> Standing {
    let mut account = Account::default();
    for seq in [0, seq] {
        let accounting = Accounting {
            timestamp: Timestamp::from_seconds(begin + seq),
            session: Timestamp::from_seconds(begin),
            seq,
            totals: Totals {
                energy: Energy::from_millijoules(seq),
                measured_ms: seq * 1_000,
                ..Totals::default()
            },
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        _ = account.credit(&accounting, Duration::from_secs(begin + seq), Duration::from_secs(10));
    }
    account.standing().unwrap()
}

fn digests(of: &[(ProbeId, Standing)], like: &Digests) -> Digests {
    let mut digests = like.empty();
    for (probe, standing) in of {
        digests.add(probe, standing);
    }
    digests
}

/// What a peer with the accounts `theirs` returns to a request with `requested`.
fn answer(theirs: &[(ProbeId, Standing)], requested: &Digests) -> Vec<(ProbeId, Standing)> {
    let own = digests(theirs, requested);
    theirs.iter().filter(|(probe, _)| own.differs(requested, own.bucket(probe))).cloned().collect()
}

#[test]
fn the_numbers_are_these() {
    // Golden: other versions compare them. The referee was Python's hashlib.
    let mut digests = Digests::of_probes(0);
    assert!(digests.add(&probe(7), &standing(100, 5)));
    let place = digests.bucket(&probe(7));
    assert_eq!((digests.0.len(), place, digests.0[place]), (16, 11, 5_371_007_919_318_382_183));
}

#[test]
fn there_are_as_many_buckets_as_there_are_probes_for() {
    let buckets = |probes: usize| Digests::of_probes(probes).0.len();
    assert_eq!([0, 2_000, 4_000, 100_000, 10_000_000].map(buckets), [16, 16, 32, 1_024, 4_096]);
    let of = |buckets: usize| Digests(vec![0; buckets]).is_in_bounds();
    assert_eq!([0, 1, 4_096, 4_097].map(of), [false, true, true, false]);
}

#[test]
fn what_an_instance_has_alone_is_reported_once() {
    let both: Vec<_> = (0..50).map(|number| (probe(number), standing(100, 5))).collect();
    let all: Vec<_> = (0..500).map(|number| (probe(number), standing(100, 9))).collect();
    let own = digests(&both, &Digests::of_probes(both.len()));
    let mut compared = Compared::default();
    let requested = compared.request(&own);
    let standings = answer(&all, &requested);
    assert!(standings.len() > 400, "{}", standings.len());
    // Nothing of it is wanted: the others are probes that this instance does not subscribe to.
    compared.note(own.clone(), &requested, &standings, std::iter::empty());
    let requested = compared.request(&own);
    assert_eq!(answer(&all, &requested), []);
    compared.note(own.clone(), &requested, &[], std::iter::empty());
    assert_eq!(answer(&all, &compared.request(&own)), []);
    // A change here has its bucket sent again, and one there as well.
    let mut changed = both.clone();
    changed[7].1 = standing(200, 3);
    let own = digests(&changed, &own);
    let standings = answer(&all, &compared.request(&own));
    assert!(standings.contains(&all[7]) && standings.len() < 100, "{}", standings.len());
}

proptest! {
    /// Whatever either has received, and whatever was compared before: what differs and has not been compared as it
    /// stands is sent, and what is requested is sent again until it is taken.
    #[test]
    fn what_differs_is_reported(
        rounds in prop::collection::vec(
            (prop::collection::vec((0_u16..60, 1_u64..4, 1_u64..9), 0..40), prop::collection::vec((0_u16..60, 1_u64..4, 1_u64..9), 0..40), any::<bool>()),
            1..6,
        )
    ) {
        let accounts = |messages: &[(u16, u64, u64)]| {
            let mut all: Vec<(ProbeId, Standing)> = Vec::new();
            for (number, begin, seq) in messages {
                if all.iter().all(|(other, _)| *other != probe(*number)) {
                    all.push((probe(*number), standing(begin * 100, *seq)));
                }
            }
            all
        };
        let mut compared = Compared::default();
        // What has been compared, and found to be of no use.
        let mut settled: Vec<(Option<[u8; 40]>, [u8; 40], ProbeId)> = Vec::new();
        for (ours, others, is_wanted) in rounds {
            let (ours, others) = (accounts(&ours), accounts(&others));
            let own = digests(&ours, &Digests::of_probes(ours.len()));
            let requested = compared.request(&own);
            let standings = answer(&others, &requested);
            let of_ours = |probe: &ProbeId| ours.iter().find(|(own, _)| own == probe).and_then(|(_, own)| own.constant());
            for (probe, theirs) in &others {
                let theirs = theirs.constant().unwrap();
                let is_known = of_ours(probe) == Some(theirs) || settled.contains(&(of_ours(probe), theirs, probe.clone()));
                prop_assert!(is_known || standings.iter().any(|(standings, _)| standings == probe), "{probe} is not sent");
            }
            let wanted: Vec<ProbeId> = standings.iter().map(|(probe, _)| probe.clone()).filter(|_| is_wanted).collect();
            if wanted.is_empty() {
                settled.extend(standings.iter().map(|(probe, theirs)| (of_ours(probe), theirs.constant().unwrap(), probe.clone())));
            }
            compared.note(own, &requested, &standings, wanted.iter());
        }
    }
}
