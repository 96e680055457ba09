//! What this crate is for.

#[test]
fn curve_is_there_and_its_library_is_ours() {
    assert_eq!(zmq::has("curve"), Some(true));
    assert_eq!(zmq::version(), (4, 3, 5));
    assert!(zmq::CurveKeyPair::new().is_ok());
}

#[test]
fn an_error_outside_the_manual_is_no_panic() {
    let file = std::env::current_exe().expect("this test has a file");
    let socket = zmq::Context::new().socket(zmq::PUB).expect("a socket");
    let below_a_file = format!("ipc://{}/x", file.display());
    assert!(socket.bind(&below_a_file).is_err());
}
