//! How much two instances exchange that agree, and with one that does not support digests.

use super::*;

/// The first `count` probes of a large site.
fn hall(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("hall.rack{}.node-{}", number / 40, number % 40)).collect()
}

/// A server that answers as one of an earlier version: it does not support digests.
fn of_before(server: PeerServer) -> Router {
    Router::new().fallback(async move |request: Request<Body>| {
        let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
        let keys = PeerKeys::new(&[Key::new("api", SECRET)]);
        let opened = keys.open(&body, SealedKind::Request, Timestamp::from_seconds(NOW));
        let is_known = opened
            .is_ok_and(|opened| !matches!(PeerRequest::decode(opened.payload), Ok(PeerRequest::Digests(_))));
        if is_known {
            post(&server, body.to_vec()).await.map(axum::body::Bytes::from)
        } else {
            Err(StatusCode::BAD_REQUEST)
        }
    })
}

#[tokio::test]
async fn an_instance_of_before_is_queried_for_all() {
    let (old, new) = (Instance::new(), Instance::new());
    for seq in 0..3 {
        old.receive(&["A", "B"], seq, seq * 10);
    }
    new.receive(&["A"], 2, 20);
    let report = exchanged(&new, serve(of_before(old.server.clone())).await).await;
    assert!(report.is_up && report.accounts_taken == 2 && report.problem.is_none(), "{report:?}");
    assert_eq!((new.total("A"), new.total("B")), (Some((20.0, 100)), Some((20.0, 100))));
    assert_eq!(requests(&old.server, "answered"), 2.0, "standings, then the accounts");
}

#[tokio::test]
async fn of_a_hundred_thousand_probes_that_agree_a_few_bytes_are_exchanged() {
    let (one, other) = (Instance::new(), Instance::new());
    let names = hall(100_000);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for instance in [&one, &other] {
        instance.receive(&names, 0, 0);
        instance.receive(&names, 5, 50);
    }
    // They are never queried at the same message.
    one.receive(&names[..60_000], 6, 61);
    let keys = [Key::new("api", SECRET)];
    let sizes = async |question: PeerRequest| {
        let sealed = other.sealed(&keys, &question);
        let (request_bytes, begun) = (sealed.len(), std::time::Instant::now());
        let answer = post(&one.server, sealed).await.unwrap();
        let keys = PeerKeys::new(&keys);
        let opened = keys.open(&answer, SealedKind::Answer, Timestamp::from_seconds(NOW)).unwrap();
        let standings = read_standings(opened.payload, 200_000).unwrap();
        println!(
            "requested {request_bytes} bytes, received {} bytes, {} standings, {:?}",
            answer.len(),
            standings.len(),
            begun.elapsed()
        );
        (request_bytes, answer.len(), standings)
    };
    let begun = std::time::Instant::now();
    let digests = || PeerRequest::Digests(exchange::own_digests(&other.live));
    println!("own digests in {:?}", {
        _ = digests();
        begun.elapsed()
    });
    let (_, whole, standings) = sizes(PeerRequest::Standings).await;
    assert!(whole > 3_000_000 && standings.len() == 100_000, "{whole}");
    let (request_bytes, answered, standings) = sizes(digests()).await;
    assert!(request_bytes < 12_000 && answered < 300 && standings.is_empty(), "{request_bytes} {answered}");
    // One of them loses the end of a session of three probes: three buckets are sent.
    for (instance, joules) in [(&one, 70), (&other, 61)] {
        instance.receive(&names[..3], 7, joules);
        instance.receive_session(&names[..3], 300, 0, 0);
        instance.receive_session(&names[..3], 300, 1, 2);
    }
    let (_, answered, standings) = sizes(digests()).await;
    assert!(answered < 40_000 && standings.len() < 600, "{answered} {}", standings.len());
    let compared = exchange::compare(standings.into_iter(), |probe| {
        other.live.with_account(probe.as_str(), |_, account| account.standing()).flatten()
    });
    let mut found: Vec<&str> = compared.wanted.iter().map(|(probe, _)| probe.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, &names[..3]);
}
