//! A server's connection that stalls in the middle of an upload, for as long as a test requires.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use kwapi_peers::wait_until;

use crate::harness::PATIENCE;

/// Between a service and a server: lets so many bytes of an upload pass, and no more until it is opened.
pub(super) struct Weir {
    port: u16,
    state: Arc<WeirState>,
}

#[derive(Default)]
struct WeirState {
    /// The port of the server behind it.
    server: AtomicU16,
    is_open: AtomicBool,
    held: AtomicU64,
}

impl Weir {
    pub(super) fn before(server: u16, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let weir = Self { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        weir.turn_to(server);
        let state = Arc::clone(&weir.state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = state.server.load(Ordering::SeqCst);
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let (back_from, back_to) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
                let state = Arc::clone(&state);
                std::thread::spawn(move || {
                    pass(client, upstream, |chunk, passed| state.hold(chunk, passed, bytes));
                });
                std::thread::spawn(move || pass(back_from, back_to, |_, passed| passed));
            }
        });
        weir
    }

    /// From now on connections go to this port.
    pub(super) fn turn_to(&self, server: u16) {
        self.state.server.store(server, Ordering::SeqCst);
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until an upload is on its way and stuck.
    pub(super) fn wait(&self) {
        wait_until("an upload on its way", PATIENCE * 2, || {
            (self.state.held.load(Ordering::SeqCst) > 0).then_some(())
        });
    }

    pub(super) fn open(&self) {
        self.state.is_open.store(true, Ordering::SeqCst);
    }
}

impl WeirState {
    /// Counts the bytes of an upload; waits where it has come so far.
    fn hold(&self, chunk: &[u8], passed: u64, bytes: u64) -> u64 {
        let is_upload = passed > 0 || chunk.starts_with(b"PUT ");
        let passed = if is_upload { passed + chunk.len() as u64 } else { 0 };
        if passed > bytes && !self.is_open.load(Ordering::SeqCst) {
            self.held.fetch_add(1, Ordering::SeqCst);
            while !self.is_open.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        passed
    }
}

/// Copies until either side ends; `look` sees each piece before it is passed on.
fn pass(mut from: TcpStream, mut to: TcpStream, look: impl Fn(&[u8], u64) -> u64) {
    let (mut piece, mut passed) = ([0; 512], 0);
    while let Ok(length) = from.read(&mut piece)
        && length > 0
    {
        passed = look(&piece[..length], passed);
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}
