//! Registers that a meter refuses, leaves unanswered or answers in drips; raw bytes are the meters.

use super::*;

/// A meter that answers each request for registers by a rule: the words, an exception, or nothing. With the registers
/// requested from it.
struct Scripted {
    port: u16,
    requests: Arc<parking_lot::Mutex<Vec<(u8, u16, u16)>>>,
}

#[derive(Clone, Copy)]
enum ScriptedReply {
    Zeros,
    Exception(u8),
    Nothing,
}

impl Scripted {
    async fn start(rule: impl Fn(u16, u16, usize) -> ScriptedReply + Send + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = [0; 12];
            while stream.read_exact(&mut request).await.is_ok() {
                let [t1, t2, _, _, _, _, unit, function, at1, at2, _, count] = request;
                let at = u16::from_be_bytes([at1, at2]);
                let nth = log.lock().iter().filter(|(_, known, _)| *known == at).count();
                log.lock().push((unit, at, u16::from(count)));
                let pdu = match rule(at, u16::from(count), nth) {
                    ScriptedReply::Zeros => {
                        [&[function, 2 * count][..], &vec![0; usize::from(2 * count)]].concat()
                    }
                    ScriptedReply::Exception(code) => vec![function | 0x80, code],
                    ScriptedReply::Nothing => continue,
                };
                let length = u8::try_from(pdu.len() + 1).expect("short");
                let frame = [&[t1, t2, 0, 0, 0, length, unit][..], &pdu].concat();
                if stream.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
        Self { port, requests }
    }

    async fn open(&self, map: &str) -> Modbus {
        let keys = format!("host = \"127.0.0.1:{}\"\nmap = \"{map}\"\nunit = 255", self.port);
        open(&keys, &one(), &Arc::default()).await.expect("open")
    }

    /// The registers requested since the last call.
    fn requests(&self) -> Vec<u16> {
        self.requests
            .lock()
            .drain(..)
            .map(|(unit, at, _)| {
                assert_eq!(unit, 255);
                at
            })
            .collect()
    }
}

/// Lets a while go by, without waiting.
async fn pass(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_register_that_was_refused_is_requested_again() {
    let starting = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let still = Arc::clone(&starting);
    let is_starting = move || still.load(std::sync::atomic::Ordering::SeqCst);
    let rule = move |at: u16, _, _| {
        if at == 0x48 && is_starting() { ScriptedReply::Exception(2) } else { ScriptedReply::Zeros }
    };
    let device = Scripted::start(rule).await;
    let mut meter = device.open("eastron-sdm630").await;
    assert_eq!(round(&mut meter).await, "A: 0 W");
    assert_eq!(round(&mut meter).await, "A: 0 W");
    assert_eq!(device.requests(), [0x34, 0x48, 0x34], "not with every round");
    let refused = meter.findings().into_iter().find(|finding| !finding.is_used).expect("a refusal");
    assert_eq!(
        (refused.value.as_str(), refused.why.as_str()),
        ("illegal data address", "requested again every 60 s")
    );
    starting.store(false, std::sync::atomic::Ordering::SeqCst);
    pass(REFUSAL_PAUSE).await;
    assert_eq!(round(&mut meter).await, "A: 0 W, 0 J");
    assert!(meter.findings().iter().all(|finding| finding.is_used));
}

#[tokio::test]
async fn one_bad_register_costs_itself_alone() {
    // Volts, amperes and watts of a phase are neighbours on this meter, which lacks the amperes.
    let device = Scripted::start(|at, count, _| match (at, count) {
        (0x0000, 18) | (0x0006, _) => ScriptedReply::Exception(2),
        (0x0048, _) => ScriptedReply::Exception(4),
        _ => ScriptedReply::Zeros,
    })
    .await;
    let keys = format!("host = \"127.0.0.1:{}\"\nmap = \"eastron-sdm630\"\nunit = 255", device.port);
    let mut meter = open(&keys, &Outlets::all("m.{outlet}"), &Arc::default()).await.expect("open");
    for _ in 0..2 {
        let expected =
            "m.L1: 0 W, 0 V, 0 J\nm.L2: 0 W, 0 V, 0 A, 0 J\nm.L3: 0 W, 0 V, 0 A, 0 J\nm.total: 0 W";
        assert_eq!(round(&mut meter).await, expected);
    }
}

#[tokio::test]
async fn a_register_that_is_never_answered_costs_itself_alone() {
    let device =
        Scripted::start(|at, _, _| if at == 0x48 { ScriptedReply::Nothing } else { ScriptedReply::Zeros })
            .await;
    let mut meter = device.open("eastron-sdm630").await;
    assert_eq!(round(&mut meter).await, "A: 0 W");
    assert_eq!(round(&mut meter).await, "A: 0 W");
    assert_eq!(device.requests(), [0x34, 0x48, 0x34]);
}

#[tokio::test]
async fn a_meter_that_starts_again_is_busy_and_not_refused() {
    let device = Scripted::start(
        |_, _, nth| if nth == 0 { ScriptedReply::Zeros } else { ScriptedReply::Exception(2) },
    )
    .await;
    let mut meter = device.open("eastron-sdm630").await;
    assert_eq!(round(&mut meter).await, "A: 0 W, 0 J");
    for _ in 0..2 {
        let outcome = round(&mut meter).await;
        assert!(
            outcome.starts_with("busy: ") && outcome.ends_with("exception 2, illegal data address"),
            "{outcome}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_trickles_is_given_up_and_the_next_is_read_on_a_new_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        // The first connection sends a header that declares 250 bytes, and one of them each second.
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 12];
        stream.read_exact(&mut request).await.expect("a request");
        let [t1, t2, ..] = request;
        stream.write_all(&[t1, t2, 0, 0, 0, 251, 1]).await.expect("a header");
        while stream.write_all(&[4]).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"eastron-sdm120\"");
    let lines = Arc::default();
    let mut meter = open(&keys, &one(), &lines).await.expect("a connection");
    for _ in 0..2 {
        let outcome = tokio::time::timeout(Duration::from_secs(5), round(&mut meter)).await.expect("a bound");
        assert!(outcome.starts_with("link lost: ") && outcome.contains("timed out after 2s"), "{outcome}");
    }
}
