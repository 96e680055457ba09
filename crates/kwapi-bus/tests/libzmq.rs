//! What `crates/zmq-sys` promises of the libzmq it builds.

#[test]
fn curve_is_there_and_the_library_is_the_one_we_build() {
    assert_eq!(zmq::has("curve"), Some(true));
    assert_eq!(zmq::version(), (4, 3, 5));
    assert!(zmq::CurveKeyPair::new().is_ok());
}

#[test]
fn an_error_libzmq_only_passes_on_is_no_panic() {
    let file = std::env::current_exe().expect("this test has a file");
    let socket = zmq::Context::new().socket(zmq::PUB).expect("a socket");
    // The system reports ENOTDIR, which the zmq crate does not have.
    assert_eq!(socket.bind(&format!("ipc://{}/x", file.display())), Err(zmq::Error::ENOENT));
}
