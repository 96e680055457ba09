use super::*;

fn numbered(number: &str) -> Beacons {
    Beacons::numbered(number.to_owned())
}

/// Passes a beacon on through `forwarders`, in their order.
fn relay(mut payload: Vec<u8>, forwarders: &mut [&mut Beacons]) -> Vec<u8> {
    for forwarder in forwarders {
        let BeaconAction::Relay(next) = forwarder.receive(&payload) else { panic!("it ended") };
        payload = next;
    }
    payload
}

#[test]
fn one_of_a_loop_cuts_it_and_all_see_it() {
    let (mut a, mut b, mut c) = (numbered("a"), numbered("b"), numbered("c"));
    let back = relay(a.next(), &mut [&mut b, &mut c]);
    assert_eq!(a.receive(&back), BeaconAction::Loop { others: 2, is_ours: true });
    let back = relay(b.next(), &mut [&mut c, &mut a]);
    assert_eq!(b.receive(&back), BeaconAction::Loop { others: 2, is_ours: false });
    let back = relay(c.next(), &mut [&mut a, &mut b]);
    assert_eq!(c.receive(&back), BeaconAction::Loop { others: 2, is_ours: false });
    let direct = a.next();
    assert_eq!(a.receive(&direct), BeaconAction::Loop { others: 0, is_ours: true }, "it listens to itself");
}

#[test]
fn a_loop_that_nobody_cuts_is_cut_by_who_was_to_leave_it() {
    let (mut a, mut b) = (numbered("a"), numbered("b"));
    let mut judged = Vec::new();
    for _ in 0..=PATIENCE {
        let back = relay(b.next(), &mut [&mut a]);
        let BeaconAction::Loop { is_ours, .. } = b.receive(&back) else { panic!("no loop") };
        judged.push(is_ours);
    }
    assert_eq!(judged, [false, false, false, false, false, true]);
    b.has_cut();
    let back = relay(b.next(), &mut [&mut a]);
    assert_eq!(b.receive(&back), BeaconAction::Loop { others: 1, is_ours: false });
}

#[test]
fn nobody_who_has_not_received_a_beacon_can_make_us_cut() {
    let mut forwarder = numbered("a");
    _ = forwarder.next();
    let forged = br#"{"forwarder":"a","token":"0123456789abcdef","hops":[]}"#;
    assert_eq!(forwarder.receive(forged), BeaconAction::Ignore);
    let first = forwarder.next();
    for _ in 0..TOKENS_MAX {
        _ = forwarder.next();
    }
    assert_eq!(forwarder.receive(&first), BeaconAction::Ignore, "half a minute old");
}

#[test]
fn what_goes_round_elsewhere_ends_here() {
    let (mut a, mut b) = (numbered("a"), numbered("b"));
    let passed = relay(a.next(), &mut [&mut b]);
    assert_eq!(b.receive(&passed), BeaconAction::Ignore, "it has been here");
    let mut many: Vec<_> = (0..HOPS_MAX).map(|number| numbered(&format!("f{number}"))).collect();
    let mut all: Vec<_> = many.iter_mut().collect();
    let far = relay(a.next(), &mut all);
    assert_eq!(b.receive(&far), BeaconAction::Ignore, "too far");
}

#[test]
fn a_flood_of_beacons_is_not_passed_on() {
    let (mut a, mut b) = (numbered("a"), numbered("b"));
    let beacon = a.next();
    let passed = (0..1_000).filter(|_| matches!(b.receive(&beacon), BeaconAction::Relay(_))).count();
    assert_eq!(passed, usize::try_from(RELAYED_MAX).unwrap());
    _ = b.next();
    assert!(matches!(b.receive(&beacon), BeaconAction::Relay(_)));
}

#[test]
fn what_is_no_beacon_is_ignored() {
    let mut forwarder = numbered("a");
    let long = format!(r#"{{"forwarder":"b","token":"{}","hops":[]}}"#, "x".repeat(PAYLOAD_BYTES_MAX));
    for payload in ["", "x", "{}", r#"{"forwarder":1,"token":"t","hops":[]}"#, "[]", &long] {
        assert_eq!(forwarder.receive(payload.as_bytes()), BeaconAction::Ignore, "{payload}");
    }
}

#[test]
fn each_forwarder_and_each_beacon_is_another() {
    let mut forwarder = Beacons::new();
    assert_ne!(forwarder.own, Beacons::new().own);
    assert_ne!(forwarder.next(), forwarder.next());
}
