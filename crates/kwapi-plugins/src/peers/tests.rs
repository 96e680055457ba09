//! Two instances in one process: one queried by its router, the other as the requester.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use kwapi_bus::{Batch, Key, Received};
use kwapi_core::{
    Accounting, Energy, Measurement, MonotonicClock, Pattern, ProbeId, Quality, Timestamp, Totals, WallClock,
    Watts,
};
use tower::ServiceExt as _;

use super::sealed::{PeerIdentity, PeerKeys, SealedKind, draw};
use super::wire::{PeerRequest, read_peer_accounts, read_standings};
use super::*;
use crate::intake::Intake;
use crate::live::{Live, LiveConfig};

mod digests;

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "0123456789abcdef";

/// An instance of the API.
struct Instance {
    live: Live,
    intake: parking_lot::Mutex<Intake>,
    server: PeerServer,
    identity: PeerIdentity,
    millis: Arc<AtomicU64>,
}

impl Instance {
    fn new() -> Self {
        Self::with_keys(&[Key::new("api", SECRET)])
    }

    fn with_keys(keys: &[Key]) -> Self {
        let millis = Arc::new(AtomicU64::new(1_000_000));
        let clock = {
            let millis = Arc::clone(&millis);
            MonotonicClock::new(move || Duration::from_millis(millis.load(Ordering::Relaxed)))
        };
        let wall = WallClock::new(|| Timestamp::from_seconds(NOW));
        let live = Live::open(LiveConfig::default(), Vec::new(), wall, clock);
        let intake = parking_lot::Mutex::new(Intake::new(live.clone(), None));
        let identity = PeerIdentity::draw().unwrap();
        let server = PeerServer::new(live.clone(), identity.clone(), PeerKeys::new(keys));
        Self { live, intake, server, identity, millis }
    }

    /// Receives message `seq` of each probe, with so many joules since its session began at 100 s.
    fn receive(&self, probes: &[&str], seq: u64, joules: u64) {
        self.receive_session(probes, 100, seq, joules);
    }

    fn receive_session(&self, probes: &[&str], session: u64, seq: u64, joules: u64) {
        self.millis.fetch_add(1_000, Ordering::Relaxed);
        for probe in probes {
            let accounting = Accounting {
                timestamp: Timestamp::from_seconds(session + seq),
                session: Timestamp::from_seconds(session),
                seq,
                totals: Totals {
                    energy: Energy::from_millijoules(joules * 1000),
                    measured_ms: seq * 1000,
                    ..Totals::default()
                },
                curve: None,
                meter: None,
                quality: Quality::Measured,
            };
            let measurement = Measurement {
                probe: ProbeId::new(*probe).unwrap(),
                power: Watts(10.0),
                voltage: None,
                current: None,
                accounting: Some(accounting),
            };
            let (received_at, arrived) = (self.live.now(), Timestamp::from_seconds(NOW));
            let received = Received { measurement, key: None, description: None, arrived, received_at };
            self.intake.lock().take(Batch { measurements: vec![received] }, Box::new(|| ()));
        }
    }

    /// A probe's total in joules, and since when.
    fn total(&self, probe: &str) -> Option<(f64, u64)> {
        self.live
            .with_account(probe, |_, account| (account.totals().energy.joules(), account.since().seconds()))
    }

    fn sealed(&self, keys: &[Key], request: &PeerRequest) -> Vec<u8> {
        let (keys, now, nonce) = (PeerKeys::new(keys), Timestamp::from_seconds(NOW), draw().unwrap());
        keys.seal(SealedKind::Request, &self.identity, now, &nonce, &request.encode()).unwrap()
    }

    /// Takes what `other` has of all probes, as the exchange does; how many had something new.
    async fn take_all(&self, other: &Self) -> usize {
        let keys = [Key::new("api", SECRET)];
        let answer = post(&other.server, self.sealed(&keys, &PeerRequest::Standings)).await.unwrap();
        let opened = PeerKeys::new(&keys);
        let opened = opened.open(&answer, SealedKind::Answer, Timestamp::from_seconds(NOW)).unwrap();
        let standings = read_standings(opened.payload, 1_000).unwrap();
        let ids = standings.iter().map(|(probe, _)| probe.to_string()).collect();
        let answer = post(&other.server, self.sealed(&keys, &PeerRequest::Accounts(ids))).await.unwrap();
        let opened = PeerKeys::new(&keys);
        let opened = opened.open(&answer, SealedKind::Answer, Timestamp::from_seconds(NOW)).unwrap();
        let accounts = read_peer_accounts(opened.payload).unwrap();
        self.intake.lock().adopt(&accounts)
    }
}

/// What is answered, or the status of the refusal.
async fn post(server: &PeerServer, body: Vec<u8>) -> Result<Vec<u8>, StatusCode> {
    let request = Request::post(PATH).body(Body::from(body)).unwrap();
    let response = router(server.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    if status == StatusCode::OK { Ok(body.to_vec()) } else { Err(status) }
}

fn requests(server: &PeerServer, result: &str) -> f64 {
    let mut metrics = crate::metrics::Metrics::default();
    metrics.add(server.clone());
    let text = metrics.exposition(crate::scope::Scope::All).prometheus();
    let name = format!("kwapi_api_peer_asks_total{{result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_newcomer_takes_the_total_and_continues() {
    let (old, new) = (Instance::new(), Instance::new());
    for seq in 0..10 {
        old.receive(&["A", "B"], seq, seq * 10);
    }
    for seq in 8..12 {
        new.receive(&["A"], seq, seq * 10);
    }
    assert_eq!(new.total("A"), Some((30.0, 108)));
    assert_eq!(new.take_all(&old).await, 2);
    assert_eq!((new.total("A"), new.total("B")), (Some((110.0, 100)), Some((90.0, 100))));
    assert_eq!(new.take_all(&old).await, 0, "nothing more is to be had");
    for instance in [&old, &new] {
        instance.receive(&["A"], 12, 125);
    }
    assert_eq!((old.total("A"), new.total("A")), (Some((125.0, 100)), Some((125.0, 100))));
}

#[tokio::test]
async fn what_is_not_signed_with_our_key_is_refused_and_counted() {
    let (served, other) = (Instance::new(), Instance::new());
    served.receive(&["A"], 0, 0);
    let key = Key::new("api", SECRET);
    let standings = PeerRequest::Standings;
    let refused = async |body: Vec<u8>| post(&served.server, body).await.unwrap_err().as_u16();
    assert_eq!(refused(Vec::new()).await, 400);
    assert_eq!(refused(standings.encode()).await, 400);
    assert_eq!(refused(vec![b'x'; 300 << 10]).await, 400);
    assert_eq!(refused(other.sealed(&[Key::new("lyon", SECRET)], &standings)).await, 401);
    assert_eq!(
        refused(other.sealed(&[Key::new("api", "another secret of the same id")], &standings)).await,
        401
    );
    assert_eq!(refused(served.sealed(std::slice::from_ref(&key), &standings)).await, 409, "its own question");
    let stale = PeerKeys::new(std::slice::from_ref(&key));
    let before = Timestamp::from_seconds(NOW - 61);
    let stale =
        stale.seal(SealedKind::Request, &other.identity, before, &draw().unwrap(), &standings.encode());
    assert_eq!(refused(stale.unwrap()).await, 403);
    let once = other.sealed(std::slice::from_ref(&key), &standings);
    assert!(post(&served.server, once.clone()).await.is_ok());
    assert_eq!(refused(once).await, 403);
    let too_many = PeerRequest::Accounts(vec!["A".to_owned(); 501]);
    assert_eq!(refused(other.sealed(std::slice::from_ref(&key), &too_many)).await, 400);
    let counted = ["answered", "malformed", "unknown_key", "wrong_signature", "itself", "stale", "replayed"]
        .map(|result| requests(&served.server, result));
    assert_eq!(counted, [1.0, 4.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    let get = Request::get(PATH).body(Body::empty()).unwrap();
    let response = router(served.server.clone()).oneshot(get).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"OPTIONS, POST".parse().unwrap())
    );
}

#[tokio::test]
async fn a_key_covers_only_the_probes_that_it_is_for() {
    let lyon = Key { probes: Pattern::new("lyon.*").unwrap(), ..Key::new("api", SECRET) };
    let served = Instance::with_keys(std::slice::from_ref(&lyon));
    served.receive(&["lyon.a", "paris.a"], 0, 0);
    let other = Instance::new();
    let all = PeerRequest::Accounts(vec!["lyon.a".to_owned(), "paris.a".to_owned(), "nobody".to_owned()]);
    let none = PeerRequest::Digests(exchange::own_digests(&other.live));
    for (question, expected) in [(PeerRequest::Standings, 1), (none, 1), (all, 1)] {
        let answer =
            post(&served.server, other.sealed(std::slice::from_ref(&lyon), &question)).await.unwrap();
        let keys = PeerKeys::new(std::slice::from_ref(&lyon));
        let opened = keys.open(&answer, SealedKind::Answer, Timestamp::from_seconds(NOW)).unwrap();
        let probes: Vec<String> = match question {
            PeerRequest::Standings | PeerRequest::Digests(_) => read_standings(opened.payload, 9)
                .unwrap()
                .iter()
                .map(|(probe, _)| probe.to_string())
                .collect(),
            PeerRequest::Accounts(_) => read_peer_accounts(opened.payload)
                .unwrap()
                .iter()
                .map(|(probe, _)| probe.to_string())
                .collect(),
        };
        assert_eq!((probes.len(), &*probes[0]), (expected, "lyon.a"));
    }
}

/// Serves `router` on loopback; returns its address.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// An exchange of `instance` with whoever listens at `url`, after its first try.
async fn exchanged(instance: &Instance, url: String) -> ApiPeerReport {
    let (adopter, mut adopted) = Adopted::channel();
    let config = ApiPeerConfig { url, ca_file: None };
    let task = start(&config, &instance.server, &adopter, &[]).unwrap();
    loop {
        tokio::select! {
            Some(part) = adopted.next() => {
                let merged = instance.intake.lock().adopt(&part.accounts);
                part.done.send(merged).unwrap();
            }
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        if task.peer.is_tried() {
            return task.peer.report();
        }
    }
}

#[tokio::test]
async fn an_exchange_takes_what_is_lacking() {
    let (old, new) = (Instance::new(), Instance::new());
    for seq in 0..10 {
        old.receive(&["A", "B"], seq, seq * 10);
    }
    new.receive(&["A"], 9, 90);
    let report = exchanged(&new, serve(router(old.server.clone())).await).await;
    assert!(report.is_up && report.accounts_taken == 2 && report.problem.is_none(), "{report:?}");
    assert_eq!((new.total("A"), new.total("B")), (Some((90.0, 100)), Some((90.0, 100))));
}

#[tokio::test]
async fn a_peer_that_is_away_or_forges_is_reported_and_changes_nothing() {
    let instance = Instance::new();
    instance.receive(&["A"], 0, 0);
    instance.receive(&["A"], 5, 50);
    let check = async |url: String, expected: &str| {
        let report = exchanged(&instance, url).await;
        let problem = report.problem.unwrap_or_default();
        assert!(problem.contains(expected), "{problem}");
        assert!(!report.is_up && report.accounts_taken == 0);
        assert_eq!(instance.total("A"), Some((50.0, 100)));
    };
    check("http://127.0.0.1:9".to_owned(), "refused").await;
    check(serve(router(instance.server.clone())).await, "this instance itself").await;
    check(serve(Router::new()).await, "it has no `peers` in [api], or is no API of Kwapi").await;
    let foreign = Instance::with_keys(&[Key::new("api", "a secret of somebody else")]);
    foreign.receive(&["A"], 0, 0);
    foreign.receive(&["A"], 5, 5_000_000);
    check(serve(router(foreign.server.clone())).await, "configure the same `key` in [bus] of both instances")
        .await;
    // One that plays back an answer to somebody else, signed with the right key.
    let other = Instance::new();
    other.receive(&["A"], 0, 0);
    other.receive(&["A"], 5, 5_000_000);
    let keys = [Key::new("api", SECRET)];
    let recorded = post(&other.server, instance.sealed(&keys, &PeerRequest::Standings)).await.unwrap();
    let played = recorded.clone();
    check(serve(Router::new().fallback(async move || played.clone())).await, "replayed").await;
    let mut forged = recorded;
    forged[130] ^= 1; // In what is sent, behind the first line.
    check(serve(Router::new().fallback(async move || forged.clone())).await, "wrong signature").await;
    check(serve(Router::new().fallback(async || "hello")).await, "malformed").await;
}

#[tokio::test]
async fn totals_that_differ_at_the_same_message_are_an_alarm_until_they_agree() {
    let (one, other) = (Instance::new(), Instance::new());
    for seq in 0..10 {
        one.receive(&["A"], seq, seq * 10);
        // The other has missed the last message of the first session.
        if seq < 9 {
            other.receive(&["A"], seq, seq * 10);
        }
    }
    for instance in [&one, &other] {
        instance.receive_session(&["A"], 200, 0, 0);
        instance.receive_session(&["A"], 200, 1, 5);
    }
    let standing = |instance: &Instance| {
        instance.live.with_account("A", |_, account| account.standing()).flatten().unwrap()
    };
    let (theirs, own) = (standing(&one), standing(&other));
    let probe = ProbeId::new("A").unwrap();
    let compared = exchange::compare([(probe.clone(), theirs)].into_iter(), |_| Some(own));
    let by = Energy::from_millijoules(10_000);
    let divergence = state::Divergence { probe: probe.clone(), own: own.energy, others: theirs.energy, by };
    assert_eq!((compared.diverged.as_slice(), compared.wanted.len()), (&[divergence][..], 1));

    let peer = ApiPeer::new("http://b:5000".to_owned());
    let now = Timestamp::from_seconds(NOW);
    // With the first exchange one may have been away.
    peer.succeed("one", 1, compared.diverged.clone(), now);
    assert_eq!((peer.trouble(), peer.report().diverged), (None, 0));
    peer.succeed("one", 0, compared.diverged, now);
    assert_eq!(
        peer.trouble().as_deref(),
        Some(
            "peer http://b:5000: totals differ at the same message: A: 0.000024 kWh here, 0.000026 kWh there, 0.000002778 kWh apart"
        )
    );
    let mut metrics = crate::metrics::Metrics::default();
    metrics.add(peer.clone());
    let text = metrics.exposition(crate::scope::Scope::All).prometheus();
    for line in [
        "kwapi_api_peer_up{peer=\"http://b:5000\"} 1",
        "kwapi_api_peer_exchanges_total{peer=\"http://b:5000\"} 2",
        "kwapi_api_peer_divergences_total{peer=\"http://b:5000\"} 1",
        "kwapi_api_peer_diverged_probes{peer=\"http://b:5000\"} 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{text}");
    }
    assert_eq!(other.take_all(&one).await, 1);
    let own = standing(&other);
    let compared = exchange::compare([(probe, theirs)].into_iter(), |_| Some(own));
    assert_eq!((compared.diverged.len(), compared.wanted.len()), (0, 0));
    peer.succeed("one", 0, Vec::new(), now);
    assert_eq!(peer.trouble(), None);
}
