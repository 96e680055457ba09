//! Faults are simulated; TLS is checked against openssl's own server.

#![allow(clippy::disallowed_methods, reason = "a test starts the peer it uses")]

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kwapi_peers::{Lab, Peer, free_port, need, output};
use kwapi_simulators::{HttpAnswer, HttpDevice, HttpRequest};

use super::body::BODY_BYTES_MAX;
use super::*;

mod faults;

fn login() -> Login {
    Login::from_keys(Some("admin"), Some(&Secret::new("hunter2"))).expect("both are set")
}

async fn get(respond: impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static, login: Login) -> String {
    let simulator = HttpDevice::start(respond).await.expect("a port");
    let address = simulator.address().to_string();
    let device = DeviceClient::new(&Clients::default(), &address, "http", &DeviceTls::System, login)
        .expect("a device");
    let text = match device.get("/status", Some("token=hunter2")).await {
        Ok(answer) => match answer.found() {
            Ok(Some(answer)) => answer.text(),
            Ok(None) => "nothing there".to_owned(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    assert!(!text.contains("hunter2"), "a secret shows: {text}");
    text.replace(&address, "HOST")
}

#[tokio::test]
async fn each_status_names_the_remedy() {
    for (status, expected) in [
        (404, "nothing there"),
        (
            403,
            "refused: GET http://HOST/status: 403 Forbidden: permission denied for this user; grant read access or use another user",
        ),
        (503, "busy: GET http://HOST/status: 503 Service Unavailable"),
        (500, "busy: GET http://HOST/status: 500 Internal Server Error"),
        (418, "refused: GET http://HOST/status: 418 I'm a teapot"),
    ] {
        assert_eq!(get(move |_| HttpAnswer::status(status), Login::default()).await, expected);
    }
}

#[tokio::test]
async fn a_redirect_is_named_and_not_followed() {
    let text =
        get(|_| HttpAnswer::status(301).with_header("location", "https://x/y?z=hunter2"), login()).await;
    assert!(text.contains("301") && text.contains("\"https://x/y\"; configure that address"), "{text}");
}

#[tokio::test]
async fn basic_is_offered_only_when_requested_and_once() {
    let basic = |accept: bool| {
        move |request: &HttpRequest| match request.header("authorization") {
            Some("Basic YWRtaW46aHVudGVyMg==") if accept => HttpAnswer::ok("42"),
            _ => HttpAnswer::status(401).with_header("www-authenticate", "Basic realm=\"x\""),
        }
    };
    assert_eq!(get(basic(true), login()).await, "42");
    assert!(get(basic(false), login()).await.contains("check username and password"));
    assert!(get(basic(true), Login::default()).await.contains("set username and password"));
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_a_request() {
    let simulator = HttpDevice::start(|_| HttpAnswer::status(401)).await.expect("a port");
    let address = simulator.address().to_string();
    let device = DeviceClient::new(&Clients::default(), &address, "http", &DeviceTls::System, login())
        .expect("a device");
    assert!(matches!(device.get("/", None).await, Err(DriverError::Locked(_))));
    let with_login =
        simulator.requests().iter().filter(|request| request.header("authorization").is_some()).count();
    assert_eq!(with_login, 1);
}

#[tokio::test]
async fn half_an_answer_is_a_lost_link_and_so_is_no_server() {
    let text = get(|_| HttpAnswer::Half(b"{\"power\": 42.0}".to_vec()), Login::default()).await;
    assert!(text.starts_with("link lost: GET http://HOST/status: "), "{text}");
    let nobody = format!("127.0.0.1:{}", free_port());
    let device =
        DeviceClient::new(&Clients::default(), &nobody, "http", &DeviceTls::System, Login::default())
            .expect("a device");
    let text = device.get("/", None).await.expect_err("nobody listens").to_string();
    assert!(text.contains("refused") && text.contains("check the address"), "{text}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let text = get(|_| HttpAnswer::ok(vec![b'x'; BODY_BYTES_MAX + 1]), Login::default()).await;
    assert!(text.contains("more than"), "{text}");
}

#[tokio::test]
async fn an_expired_digest_nonce_is_renewed_and_a_wrong_password_is_not_repeated() {
    let challenge = |nonce: &str| {
        let challenge = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\", algorithm=SHA-256");
        HttpAnswer::status(401).with_header("www-authenticate", &challenge)
    };
    let device = |accepts_old_from: usize| async move {
        let requests = AtomicUsize::new(0);
        let respond = move |request: &HttpRequest| {
            let sent = request.header("authorization").unwrap_or_default().to_owned();
            let requests = requests.fetch_add(1, Ordering::Relaxed);
            match (
                requests >= accepts_old_from,
                sent.contains("nonce=\"old\""),
                sent.contains("nonce=\"new\""),
            ) {
                (true, true, _) | (_, _, true) => HttpAnswer::ok("42"),
                (false, true, _) => challenge("new"),
                _ => challenge("old"),
            }
        };
        let simulator = HttpDevice::start(respond).await.expect("a port");
        let address = simulator.address().to_string();
        let device = DeviceClient::new(&Clients::default(), &address, "http", &DeviceTls::System, login());
        (simulator, device.expect("a device"))
    };
    // Never accepted: a wrong password, whatever the nonce.
    let (simulator, wrong) = device(usize::MAX).await;
    assert!(matches!(wrong.get("/", None).await, Err(DriverError::Locked(_))));
    assert_eq!(simulator.requests().len(), 2);
    // Accepted once: then a new nonce is a new nonce.
    let (simulator, right) = device(0).await;
    assert!(right.get("/", None).await.is_ok() && right.get("/", None).await.is_ok());
    assert_eq!(simulator.requests().len(), 3, "the second request logs in at once");
    let counted =
        simulator.requests().last().and_then(|last| last.header("authorization").map(str::to_owned));
    assert!(counted.is_some_and(|sent| sent.contains("nc=00000002")));
}

#[test]
fn an_address_with_a_login_is_refused_without_repeating_it() {
    for address in ["http://admin:hunter2@host/", "ftp://host", "http://", "a b"] {
        let error =
            DeviceClient::new(&Clients::default(), address, "http", &DeviceTls::System, Login::default())
                .expect_err(address)
                .to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// What `https://localhost/status` of openssl sends to a client with each choice of trust.
#[tokio::test]
async fn a_certificate_is_judged_as_configured() {
    if !need(&["openssl"]) {
        return;
    }
    let (lab, port) = (Lab::empty(), free_port());
    std::fs::write(lab.join("status"), "42").expect("room");
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.current_dir(lab.path()).args(arguments);
        command
    };
    let names = "subjectAltName=DNS:localhost";
    let subject = ["-subj", "/CN=bmc", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"];
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"];
    output(&mut openssl(&[request.as_slice(), subject.as_slice()].concat()));
    let fingerprint = output(&mut openssl(&["x509", "-in", "cert.pem", "-noout", "-fingerprint", "-sha256"]));
    let fingerprint = fingerprint.trim().split('=').next_back().expect("a fingerprint").to_owned();
    let accept = port.to_string();
    let serve = ["s_server", "-WWW", "-cert", "cert.pem", "-key", "key.pem", "-accept", &accept];
    let _server = Peer::start(&mut openssl(&serve), lab.join("log"))
        .ready(Duration::from_secs(10), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());

    let get = async |tls: String| {
        let tls = DeviceTls::try_from(tls).expect("a choice");
        let address = format!("https://localhost:{port}");
        let device = DeviceClient::new(&Clients::default(), &address, "https", &tls, Login::default());
        match device.expect("a device").get("/status", None).await {
            Ok(answer) => answer.text(),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(get(format!("sha256:{fingerprint}")).await, "42");
    assert_eq!(get("insecure".to_owned()).await, "42");
    assert_eq!(get(format!("ca:{}", lab.join("cert.pem").display())).await, "42");
    let plain = fingerprint.replace(':', "").to_lowercase();
    let unknown = get("system".to_owned()).await;
    assert!(unknown.contains(&format!("tls = \"sha256:{plain}\"")), "{unknown}");
    let other = get(format!("sha256:{}", "00".repeat(32))).await;
    assert!(other.contains("fingerprint mismatch: pinned 0000") && other.contains(&plain), "{other}");
}

/// A device of old TLS gets advice in its error, and one with an old certificate is read by its pin, by openssl's own
/// server.
#[tokio::test]
async fn old_tls_is_named_and_an_old_certificate_is_taken_by_its_pin() {
    if !need(&["openssl"]) {
        return;
    }
    let lab = Lab::empty();
    std::fs::write(lab.join("status"), "42").expect("room");
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.current_dir(lab.path()).args(arguments);
        command
    };
    // Without extensions openssl makes a certificate of version 1; with them, one of version 3.
    let mut pins = Vec::new();
    for (name, key, extensions) in [
        ("v1", "rsa:2048", false),
        ("short", "rsa:1024", true),
        ("oldest", "rsa:1024", false),
        ("p521", "ec:p521.param", true),
    ] {
        let (key_file, request, certificate) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let curve = ["genpkey", "-genparam", "-algorithm", "EC", "-out", "p521.param", "-pkeyopt"];
        output(&mut openssl(&[curve.as_slice(), &["ec_paramgen_curve:P-521"]].concat()));
        let new = ["req", "-newkey", key, "-nodes", "-keyout", &key_file, "-subj", "/CN=bmc", "-out"];
        let names = ["-x509", "-addext", "subjectAltName=DNS:localhost"];
        if extensions {
            output(&mut openssl(&[new.as_slice(), &[&certificate], &names].concat()));
        } else {
            output(&mut openssl(&[new.as_slice(), &[&request]].concat()));
            let sign = ["x509", "-req", "-in", &request, "-signkey", &key_file, "-out", &certificate];
            output(&mut openssl(&sign));
        }
        let show = ["x509", "-in", &certificate, "-noout", "-fingerprint", "-sha256"];
        let fingerprint = output(&mut openssl(&show));
        let fingerprint = fingerprint.trim().split('=').next_back().expect("a fingerprint").to_owned();
        pins.push(format!("sha256:{fingerprint}"));
    }
    let other = format!("sha256:{}", "00".repeat(32));
    let (insecure, system) = ("insecure".to_owned(), "system".to_owned());
    for (certificate, server, tls, expected) in [
        (
            "v1",
            &["-tls1_2", "-cipher", "AES256-SHA:@SECLEVEL=0"][..],
            &insecure,
            "enable TLS 1.2 with ECDHE and AES-GCM",
        ),
        (
            "v1",
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
            &insecure,
            "enable TLS 1.2 with ECDHE and AES-GCM",
        ),
        ("v1", &["-tls1_2", "-cipher", "ALL:@SECLEVEL=0"][..], &pins[0], "42"),
        ("v1", &["-tls1_3", "-cipher", "ALL:@SECLEVEL=0"][..], &pins[0], "42"),
        ("v1", &["-tls1_2", "-cipher", "ALL:@SECLEVEL=0"][..], &other, "fingerprint mismatch"),
        (
            "v1",
            &["-tls1_2", "-cipher", "ALL:@SECLEVEL=0"][..],
            &system,
            "X.509 version 1 certificates cannot be verified by an authority",
        ),
        ("short", &["-tls1_2", "-cipher", "ALL:@SECLEVEL=0"][..], &pins[1], "42"),
        ("oldest", &["-tls1_2", "-cipher", "ALL:@SECLEVEL=0"][..], &pins[2], "42"),
        ("short", &["-tls1_3", "-cipher", "ALL:@SECLEVEL=0"][..], &pins[1], "and use TLS 1.2"),
        (
            "p521",
            &["-tls1_3", "-cipher", "ALL"][..],
            &pins[3],
            "has a key on the curve P-521, which is not supported",
        ),
        (
            "p521",
            &["-tls1_3", "-cipher", "ALL"][..],
            &system,
            "has a key on the curve P-521, which is not supported",
        ),
        (
            "p521",
            &["-tls1_2", "-cipher", "ALL"][..],
            &pins[3],
            "its certificate has a key on the curve P-521",
        ),
        // As a server of its own mind, which signs by PSS where it may.
        ("short", &["-tls1_2", "-serverpref", "-cipher", "ALL:@SECLEVEL=0"][..], &pins[1], "42"),
    ] {
        let port = free_port();
        let (accept, key_file, certificate) =
            (port.to_string(), format!("{certificate}.key"), format!("{certificate}.pem"));
        let serve = ["s_server", "-WWW", "-cert", &certificate, "-key", &key_file, "-accept", &accept];
        let _server = Peer::start(&mut openssl(&[serve.as_slice(), server].concat()), lab.join("log"))
            .ready(Duration::from_secs(10), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let choice = DeviceTls::try_from(tls.clone()).expect("a choice");
        let address = format!("https://localhost:{port}");
        let device = DeviceClient::new(&Clients::default(), &address, "https", &choice, Login::default());
        let text = match device.expect("a device").get("/status", None).await {
            Ok(answer) => answer.text(),
            Err(error) => error.to_string(),
        };
        assert!(text.contains(expected), "{server:?}, {tls:?}: {text}");
        assert!(!text.contains("check the address"), "{server:?}, {tls:?}: {text}");
    }
}
