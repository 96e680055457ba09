//! A link that can be cut: a relay of TCP connections on loopback.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Passes connections on until it is cut. Then it swallows what comes, as a dead link does: nobody is notified.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    /// Odd while it is cut. What was connected before a cut stays dead after it.
    cuts: Arc<AtomicU64>,
}

impl Relay {
    /// Starts one to a port of 127.0.0.1. It runs until the process ends.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let cuts = Arc::new(AtomicU64::new(0));
        let shared = cuts.clone();
        std::thread::spawn(move || {
            for here in listener.incoming().flatten() {
                let Ok(there) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let (Ok(back), Ok(forth)) = (here.try_clone(), there.try_clone()) else { continue };
                let begun = shared.load(Ordering::SeqCst);
                for (from, to) in [(here, there), (forth, back)] {
                    let cuts = shared.clone();
                    std::thread::spawn(move || pass(from, to, &cuts, begun));
                }
            }
        });
        Self { port, cuts }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nothing passes from now on.
    pub fn cut(&self) {
        self.cuts.fetch_or(1, Ordering::SeqCst);
    }

    /// New connections are passed on again.
    pub fn heal(&self) {
        let next = |cuts: u64| (cuts % 2 == 1).then_some(cuts + 1);
        _ = self.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
    }
}

/// Passes on what comes until one end closes.
fn pass(mut from: TcpStream, mut to: TcpStream, cuts: &AtomicU64, begun: u64) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let is_dead = begun % 2 == 1 || cuts.load(Ordering::SeqCst) != begun;
        if !is_dead && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    _ = to.shutdown(Shutdown::Both);
    _ = from.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_a_link_that_is_cut_and_what_is_new_passes_one_that_is_healed() {
        let echo = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let relay = Relay::start(echo.local_addr().unwrap().port());
        let connect = || {
            let near = TcpStream::connect(("127.0.0.1", relay.port())).unwrap();
            (near, echo.accept().unwrap().0)
        };
        let passes = |(near, far): &mut (TcpStream, TcpStream), text: &[u8]| {
            near.write_all(text).unwrap();
            far.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
            let mut received = [0; 1];
            far.read(&mut received).is_ok_and(|count| count == 1)
        };
        let mut first = connect();
        assert!(passes(&mut first, b"a"));
        relay.cut();
        assert!(!passes(&mut first, b"b") && !passes(&mut connect(), b"c"));
        relay.heal();
        assert!(!passes(&mut first, b"d") && passes(&mut connect(), b"e"));
    }
}
