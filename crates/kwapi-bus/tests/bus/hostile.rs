//! Messages that ended the original's listener, and others as unkind.

use kwapi_peers::need_python;

use super::*;

/// Receives every message of a list, each followed by a good one, and compares the causes counted.
async fn check(scheme: Scheme, list: &str, messages: usize, expected: &[(Refusal, u64)]) {
    if !need_python("python") {
        return;
    }
    let lab = Lab::empty();
    let url = ipc(&lab);
    let context = BusContext::new();
    let mut subscriber = subscriber(&context, vec![SourceConfig::new(&url, scheme, keys(scheme))], &["*"]);
    let _peer = python(&lab, "publish.py", &[&url, list, name(scheme), "test-1", SECRET]);
    let received = receive(&mut subscriber, messages + 3).await;
    let watts: Vec<_> = received.iter().map(|received| received.measurement.power.0).collect();
    let all: Vec<_> = (0..messages + 3).map(|seq| seq as f64 + 0.25).collect();
    assert_eq!(watts, all, "a good message after each bad one");
    assert_eq!(refused(&subscriber), expected);
    let counters = subscriber.counters();
    let refusals: u64 = expected.iter().map(|(_, count)| count).sum();
    assert_eq!(counters.received, counters.verified + counters.reserved + refusals);
}

#[tokio::test]
async fn a_stranger_ends_nothing_where_nothing_is_signed() {
    let expected = [
        (Refusal::Frames, 2),
        (Refusal::TooLarge, 2),
        (Refusal::Utf8, 1),
        (Refusal::Json, 3),
        (Refusal::Depth, 1),
        (Refusal::DuplicateMember, 1),
        (Refusal::ProbeId, 1),
        (Refusal::TopicMismatch, 1),
        (Refusal::Power, 9),
        (Refusal::Member, 1),
        (Refusal::Stale, 1),
        (Refusal::Future, 1),
    ];
    check(Scheme::None, "hostile", 25, &expected).await;
}

#[tokio::test]
async fn a_stranger_ends_nothing_where_all_is_signed() {
    let common = [(Refusal::Frames, 2), (Refusal::TooLarge, 2), (Refusal::Utf8, 1), (Refusal::Json, 3)];
    let kwapi_1 = [
        (Refusal::Depth, 1),
        (Refusal::DuplicateMember, 1),
        (Refusal::SignatureMissing, 12),
        (Refusal::Stale, 1),
        (Refusal::Future, 1),
    ];
    check(Scheme::Kwapi1, "hostile", 25, &[common.as_slice(), &kwapi_1].concat()).await;
    let legacy =
        [(Refusal::Depth, 1), (Refusal::SignatureMissing, 13), (Refusal::Stale, 1), (Refusal::Future, 1)];
    check(Scheme::Legacy, "hostile", 25, &[common.as_slice(), &legacy].concat()).await;
}

#[tokio::test]
async fn a_forger_is_reported_by_its_key_and_signature() {
    let kwapi_1 = [(Refusal::SignatureMissing, 1), (Refusal::KeyUnknown, 1), (Refusal::SignatureWrong, 2)];
    check(Scheme::Kwapi1, "signed", 4, &kwapi_1).await;
}
