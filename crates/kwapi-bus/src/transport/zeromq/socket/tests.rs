use std::os::unix::net::UnixListener;

use super::*;

fn open(url: &str) -> Result<OpenSocket, BusError> {
    OpenSocket::open(&BusContext::new(), SocketType::PUB, &EndpointConfig::new(url), Attach::Bind, 1000)
}

#[track_caller]
fn check(url: &str, expected: &str) {
    let error = open(url).err().map_or_else(|| "no error".to_owned(), |error| error.to_string());
    assert_eq!(error, format!("{url}: {expected}"));
}

#[test]
fn an_address_in_use_is_named() {
    let first = open("tcp://127.0.0.1:*").expect("a free port");
    check(&first.bound()[0], "address in use");
}

#[test]
fn an_address_is_free_as_soon_as_its_socket_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("probes");
    let tcp = open("tcp://127.0.0.1:*").expect("a free port").bound()[0].clone();
    for url in [tcp, format!("ipc://{}", path.display())] {
        for life in 0..200 {
            let open = open(&url);
            assert!(open.is_ok(), "{life}: {:?}", open.err());
        }
    }
}

#[test]
fn the_socket_of_the_living_is_left_alone_and_that_of_the_dead_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("probes");
    let url = format!("ipc://{}", path.display());
    let living = UnixListener::bind(&path).expect("a socket");
    check(&url, "address in use");
    drop(living); // Leaves its file behind, as a killed process does.
    assert!(open(&url).is_ok());
}

#[test]
fn a_file_of_the_operators_is_not_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "mine").expect("room");
    check(&format!("ipc://{}", path.display()), "file exists and is not a socket");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "mine");
    let missing = folder.path().join("no/probes");
    check(
        &format!("ipc://{}", missing.display()),
        &format!("directory {}/no does not exist", folder.path().display()),
    );
}

#[test]
fn an_endpoint_that_is_none_is_refused() {
    check("http://x", "an endpoint must start with tcp://, ipc://, inproc://, nats:// or tls://");
    check("tcp://x\0:1", "an endpoint must not contain control characters");
    assert!(matches!(open("tcp://nowhere"), Err(BusError::System { .. })));
}

#[test]
fn a_bracketed_address_is_ipv6() {
    let open = open("tcp://[::1]:*").expect("a loopback of IPv6");
    assert!(open.bound()[0].starts_with("tcp://[::1]:"), "{:?}", open.bound());
}

#[test]
fn the_high_water_mark_is_bounded_both_ways() {
    let configured = |messages| std::num::NonZeroU32::new(messages);
    assert_eq!(high_water(None, 0), 2_000);
    assert_eq!(high_water(None, 100_000), 400_000);
    assert_eq!(high_water(None, usize::MAX), 1_000_000);
    assert_eq!(high_water(configured(5), 100_000), 5);
    assert_eq!(high_water(configured(u32::MAX), 0), 1_000_000);
    // A thread of this process may be late by a second.
    assert_eq!(high_water_at("inproc://kwapi", None, 10), 65_536);
    assert_eq!(high_water_at("inproc://kwapi", None, 100_000), 400_000);
    assert_eq!(high_water_at("inproc://kwapi", configured(5), 10), 5);
    assert_eq!(high_water_at("tcp://127.0.0.1:1", None, 10), 2_000);
}
