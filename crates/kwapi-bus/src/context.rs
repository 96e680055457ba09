//! The process's one ZeroMQ context, and the doorman of its encrypted endpoints.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use zmq::{Context, Message, Socket, SocketType};

use crate::curve::CurveKey;
use crate::endpoint::BusError;
use crate::worker::{STOP_POLL_MS, Worker};

/// Where libzmq asks who may connect (ZeroMQ RFC 27).
const ZAP: &str = "inproc://zeromq.zap.01";
/// Threads that move bytes; one carries over a million of our messages a second in the clear.
const IO_THREADS: i32 = 2;

/// The process's ZeroMQ context. Make one and hand out clones; it ends with the last of them.
#[derive(Clone)]
pub struct BusContext(Arc<Inner>);

struct Inner {
    /// Before the context: its socket must be closed for that to end.
    doorman: Mutex<Option<Worker>>,
    guests: Arc<Mutex<Guests>>,
    names: AtomicU64,
    context: Context,
}

/// Who is let in, by the domain of the endpoint.
type Guests = HashMap<String, HashSet<CurveKey>>;

impl BusContext {
    /// A new context. One a process is enough, and `inproc` needs it shared.
    pub fn new() -> Self {
        let context = Context::new();
        if let Err(error) = context.set_io_threads(IO_THREADS) {
            tracing::warn!(%error, "the bus runs on one I/O thread");
        }
        Self(Arc::new(Inner {
            doorman: Mutex::new(None),
            guests: Arc::default(),
            names: AtomicU64::new(0),
            context,
        }))
    }

    pub(crate) fn zmq(&self) -> &Context {
        &self.0.context
    }

    /// A name no other in this context has.
    pub(crate) fn unique(&self, what: &str) -> String {
        format!("{what}-{}", self.0.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets `clients` in wherever the domain of the answer is set. The doorman stands before this returns: without
    /// one, libzmq lets everybody in.
    pub(crate) fn admit(&self, clients: HashSet<CurveKey>) -> Result<Admission, BusError> {
        let mut doorman = self.0.doorman.lock();
        if doorman.is_none() {
            let system = |source| BusError::System { url: ZAP.to_owned(), source };
            let socket = self.0.context.socket(SocketType::REP).map_err(system)?;
            socket.set_linger(0).map_err(system)?;
            socket.bind(ZAP).map_err(system)?;
            let guests = self.0.guests.clone();
            *doorman = Some(Worker::start("bus-doorman", move |stop| keep_the_door(&socket, &guests, stop))?);
        }
        let domain = self.unique("kwapi");
        self.0.guests.lock().insert(domain.clone(), clients);
        Ok(Admission { domain, context: self.clone() })
    }
}

impl Default for BusContext {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BusContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BusContext")
    }
}

/// Clients are let in for as long as this is there, and so is the doorman.
pub(crate) struct Admission {
    domain: String,
    context: BusContext,
}

impl Admission {
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.context.0.guests.lock().remove(&self.domain);
    }
}

fn keep_the_door(socket: &Socket, guests: &Mutex<Guests>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match socket.poll(zmq::POLLIN, STOP_POLL_MS) {
            Ok(0) | Err(zmq::Error::EINTR) => continue,
            Ok(_) => {}
            Err(error) => {
                // Leaving the door would let everybody in.
                tracing::error!(%error, "clients cannot be asked who they are");
                std::thread::park_timeout(Duration::from_millis(STOP_POLL_MS.unsigned_abs()));
                continue;
            }
        }
        let Ok(request) = socket.recv_multipart(zmq::DONTWAIT) else { continue };
        let sent = socket.send_multipart(answer(&request, &guests.lock()), 0);
        if let Err(error) = sent {
            tracing::warn!(%error, "a client was not answered");
        }
    }
}

/// The reply of RFC 27: version, request id, status code and text, user id, metadata.
fn answer(request: &[Vec<u8>], guests: &Guests) -> [Message; 6] {
    let (id, is_guest) = match request {
        [_version, id, domain, _address, _identity, mechanism, key] if mechanism == b"CURVE" => {
            let key = CurveKey::try_from(key.as_slice()).ok();
            let domain = std::str::from_utf8(domain).ok().and_then(|domain| guests.get(domain));
            (id.as_slice(), key.zip(domain).is_some_and(|(key, guests)| guests.contains(&key)))
        }
        [_version, id, ..] => (id.as_slice(), false),
        _ => (b"".as_slice(), false),
    };
    let (code, text) = if is_guest { ("200", "OK") } else { ("400", "not in curve.clients") };
    [Message::from("1.0"), id.into(), code.into(), text.into(), "".into(), "".into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_key_of_that_very_endpoint_is_let_in() {
        let guests = Guests::from([("kwapi-0".into(), HashSet::from([[7; 32]]))]);
        let status = |parts: &[&[u8]]| {
            let request: Vec<_> = parts.iter().map(|part| part.to_vec()).collect();
            answer(&request, &guests)[2].to_vec()
        };
        let ask = |domain: &str, mechanism: &str, key: &[u8]| {
            status(&[b"1.0", b"1", domain.as_bytes(), b"127.0.0.1", b"", mechanism.as_bytes(), key])
        };
        assert_eq!(ask("kwapi-0", "CURVE", &[7; 32]), b"200");
        assert_eq!(ask("kwapi-0", "CURVE", &[8; 32]), b"400");
        assert_eq!(ask("kwapi-1", "CURVE", &[7; 32]), b"400");
        assert_eq!(ask("kwapi-0", "PLAIN", &[7; 32]), b"400");
        assert_eq!(ask("kwapi-0", "CURVE", &[7; 31]), b"400");
        assert_eq!(status(&[b"1.0", b"1"]), b"400");
        assert_eq!(status(&[]), b"400");
    }
}
