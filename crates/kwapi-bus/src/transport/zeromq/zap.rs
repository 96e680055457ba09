//! Authentication of clients at encrypted endpoints: libzmq queries a handler about who may connect (ZAP, ZeroMQ RFC
//! 27).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use zmq::{Context, Message, Socket, SocketType};

use super::curve::CurveKey;
use crate::error::BusError;
use crate::worker::{STOP_POLL_MS, Worker};

/// Where libzmq sends its requests.
const ZAP: &str = "inproc://zeromq.zap.01";

/// The clients that may connect, by the domain of the endpoint, and whether each has been let in.
type Clients = HashMap<String, HashMap<CurveKey, bool>>;

/// The one handler of a context, for as long as anybody is admitted.
pub(super) struct ZapHandler {
    clients: Arc<Mutex<Clients>>,
    _worker: Worker,
}

/// Clients may connect for as long as this is there, and so is the handler.
pub(super) struct Admission {
    domain: String,
    handler: Arc<ZapHandler>,
    /// Whether connections stand that would not be let in any more.
    has_removed: AtomicBool,
}

impl ZapHandler {
    /// Starts the handler; it answers from then on.
    pub(super) fn start(context: &Context) -> Result<Self, BusError> {
        let socket = context.socket(SocketType::REP).map_err(BusError::system(ZAP))?;
        socket.set_linger(0).map_err(BusError::system(ZAP))?;
        socket.bind(ZAP).map_err(BusError::system(ZAP))?;
        let clients = Arc::<Mutex<Clients>>::default();
        let known = clients.clone();
        let worker = Worker::start("bus-zap", move |stop| serve(&socket, &known, stop))?;
        Ok(Self { clients, _worker: worker })
    }

    /// Admits `clients` at endpoints of `domain`.
    pub(super) fn admit(self: Arc<Self>, domain: String, clients: HashSet<CurveKey>) -> Admission {
        let clients = clients.into_iter().map(|client| (client, false)).collect();
        self.clients.lock().insert(domain.clone(), clients);
        Admission { domain, handler: self, has_removed: AtomicBool::new(false) }
    }
}

impl Admission {
    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// Lets in `clients` from now on, and nobody else.
    pub(super) fn replace(&self, clients: &HashSet<CurveKey>) {
        let mut all = self.handler.clients.lock();
        let before = all.remove(&self.domain).unwrap_or_default();
        let is_removed = |(client, was_let_in): (&CurveKey, &bool)| *was_let_in && !clients.contains(client);
        let has_removed = before.iter().any(is_removed);
        let kept = clients.iter().map(|client| (*client, before.get(client).copied().unwrap_or(false)));
        all.insert(self.domain.clone(), kept.collect());
        if has_removed {
            self.has_removed.store(true, Ordering::Release);
        }
    }

    /// Whether somebody was removed who may still be connected, since the last call.
    pub(super) fn take_removed(&self) -> bool {
        self.has_removed.load(Ordering::Acquire) && self.has_removed.swap(false, Ordering::AcqRel)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.handler.clients.lock().remove(&self.domain);
    }
}

fn serve(socket: &Socket, clients: &Mutex<Clients>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match socket.poll(zmq::POLLIN, STOP_POLL_MS) {
            Ok(0) | Err(zmq::Error::EINTR) => continue,
            Ok(_) => {}
            Err(error) => {
                // Without a handler libzmq admits everybody.
                tracing::error!(%error, "cannot poll for CURVE authentication requests");
                std::thread::park_timeout(Duration::from_millis(STOP_POLL_MS.unsigned_abs()));
                continue;
            }
        }
        let Ok(request) = socket.recv_multipart(zmq::DONTWAIT) else { continue };
        let sent = socket.send_multipart(answer(&request, &mut clients.lock()), 0);
        if let Err(error) = sent {
            tracing::warn!(%error, "cannot send a CURVE authentication reply");
        }
    }
}

/// The reply of RFC 27: version, request id, status code and text, user id, metadata. Who is not known is sent away by a
/// temporary error, which closes the connection without a word. The list may change: libzmq's clients come again after that,
/// and after a 400 never.
fn answer(request: &[Vec<u8>], clients: &mut Clients) -> [Message; 6] {
    let (id, is_admitted) = match request {
        [_version, id, domain, _address, _identity, mechanism, key] if mechanism == b"CURVE" => {
            let key = CurveKey::try_from(key.as_slice()).ok();
            let domain = std::str::from_utf8(domain).ok().and_then(|domain| clients.get_mut(domain));
            let known = key.zip(domain).and_then(|(key, clients)| clients.get_mut(&key));
            (id.as_slice(), known.map(|is_let_in| *is_let_in = true).is_some())
        }
        [_version, id, ..] => (id.as_slice(), false),
        _ => (b"".as_slice(), false),
    };
    let (code, text) = if is_admitted { ("200", "OK") } else { ("300", "not in curve.clients") };
    [Message::from("1.0"), id.into(), code.into(), text.into(), "".into(), "".into()]
}

/// Answers a request where one client is known.
#[cfg(feature = "fuzzing")]
pub(crate) fn exercise(request: &[Vec<u8>]) {
    answer(request, &mut Clients::from([("kwapi-0".to_owned(), HashMap::from([([b'k'; 32], false)]))]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_key_of_that_very_endpoint_is_admitted() {
        let clients = Mutex::new(Clients::from([("kwapi-0".into(), HashMap::from([([7; 32], false)]))]));
        let status = |parts: &[&[u8]]| {
            let request: Vec<_> = parts.iter().map(|part| part.to_vec()).collect();
            answer(&request, &mut clients.lock())[2].to_vec()
        };
        let verdict = |domain: &str, mechanism: &str, key: &[u8]| {
            status(&[b"1.0", b"1", domain.as_bytes(), b"127.0.0.1", b"", mechanism.as_bytes(), key])
        };
        assert_eq!(verdict("kwapi-0", "CURVE", &[7; 32]), b"200");
        assert_eq!(verdict("kwapi-0", "CURVE", &[8; 32]), b"300");
        assert_eq!(verdict("kwapi-1", "CURVE", &[7; 32]), b"300");
        assert_eq!(verdict("kwapi-0", "PLAIN", &[7; 32]), b"300");
        assert_eq!(verdict("kwapi-0", "CURVE", &[7; 31]), b"300");
        assert_eq!(status(&[b"1.0", b"1"]), b"300");
        assert_eq!(status(&[]), b"300");
    }

    #[test]
    fn only_who_was_let_in_has_to_be_dropped() {
        let handler = Arc::new(ZapHandler::start(&Context::new()).unwrap());
        let admission = handler.clone().admit("kwapi-0".into(), HashSet::from([[7; 32], [8; 32]]));
        let verdict = |key: u8| {
            let request: [&[u8]; 7] = [b"1.0", b"1", b"kwapi-0", b"", b"", b"CURVE", &[key; 32]];
            let request: Vec<_> = request.iter().map(|part| part.to_vec()).collect();
            answer(&request, &mut handler.clients.lock())[2].to_vec()
        };
        assert_eq!(verdict(7), b"200");
        admission.replace(&HashSet::from([[7; 32], [9; 32]]));
        assert!(!admission.take_removed(), "8 never came");
        assert_eq!([verdict(8), verdict(9)], [b"300", b"200"]);
        admission.replace(&HashSet::from([[9; 32]]));
        assert!(admission.take_removed() && !admission.take_removed());
        assert_eq!([verdict(7), verdict(9)], [b"300", b"200"]);
    }
}
