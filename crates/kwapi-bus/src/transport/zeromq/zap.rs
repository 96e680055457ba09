//! Authentication of clients at encrypted endpoints: libzmq asks a handler who may connect (ZAP, ZeroMQ RFC 27).

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

/// The clients that may connect, by the domain of the endpoint.
type Clients = HashMap<String, HashSet<CurveKey>>;

/// The one handler of a context, for as long as anybody is admitted.
pub(super) struct ZapHandler {
    clients: Arc<Mutex<Clients>>,
    _worker: Worker,
}

/// Clients may connect for as long as this is there, and so is the handler.
pub(super) struct Admission {
    domain: String,
    handler: Arc<ZapHandler>,
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
        self.clients.lock().insert(domain.clone(), clients);
        Admission { domain, handler: self }
    }
}

impl Admission {
    pub(super) fn domain(&self) -> &str {
        &self.domain
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
        let sent = socket.send_multipart(answer(&request, &clients.lock()), 0);
        if let Err(error) = sent {
            tracing::warn!(%error, "cannot send a CURVE authentication reply");
        }
    }
}

/// The reply of RFC 27: version, request id, status code and text, user id, metadata.
fn answer(request: &[Vec<u8>], clients: &Clients) -> [Message; 6] {
    let (id, is_admitted) = match request {
        [_version, id, domain, _address, _identity, mechanism, key] if mechanism == b"CURVE" => {
            let key = CurveKey::try_from(key.as_slice()).ok();
            let domain = std::str::from_utf8(domain).ok().and_then(|domain| clients.get(domain));
            (id.as_slice(), key.zip(domain).is_some_and(|(key, clients)| clients.contains(&key)))
        }
        [_version, id, ..] => (id.as_slice(), false),
        _ => (b"".as_slice(), false),
    };
    let (code, text) = if is_admitted { ("200", "OK") } else { ("400", "not in curve.clients") };
    [Message::from("1.0"), id.into(), code.into(), text.into(), "".into(), "".into()]
}

/// Answers a request where one client is known.
#[cfg(feature = "fuzzing")]
pub(crate) fn exercise(request: &[Vec<u8>]) {
    answer(request, &Clients::from([("kwapi-0".to_owned(), HashSet::from([[b'k'; 32]]))]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_key_of_that_very_endpoint_is_admitted() {
        let clients = Clients::from([("kwapi-0".into(), HashSet::from([[7; 32]]))]);
        let status = |parts: &[&[u8]]| {
            let request: Vec<_> = parts.iter().map(|part| part.to_vec()).collect();
            answer(&request, &clients)[2].to_vec()
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
