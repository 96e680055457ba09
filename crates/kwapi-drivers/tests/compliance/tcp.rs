//! A device at a TCP port that one answer at a time comes from, with the faults of all of them.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::suite::Fault;

/// Makes an answer of what came, once it is a whole request; `None` until then.
pub(crate) type Answer = fn(&[u8], Option<Fault>) -> Option<Vec<u8>>;

pub(crate) struct TcpDevice {
    pub(crate) port: u16,
    fault: Arc<Mutex<Option<Fault>>>,
    server: JoinHandle<()>,
}

impl TcpDevice {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let fault = Arc::new(Mutex::new(None));
        let present = Arc::clone(&fault);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answer, Arc::clone(&present)));
            }
        });
        Self { port, fault, server }
    }

    /// Does `fault` to it.
    pub(crate) fn inflict(&self, fault: Fault) {
        *self.fault.lock() = Some(fault);
        if fault == Fault::Disconnect {
            self.server.abort();
        }
    }
}

impl Drop for TcpDevice {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, fault: Arc<Mutex<Option<Fault>>>) {
    let mut request = Vec::new();
    loop {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let present = *fault.lock();
        let Some(answer) = answer(&request, present) else { continue };
        request.clear();
        let (answer, is_last) = match present {
            Some(Fault::Hang) => continue,
            Some(Fault::Garbage) => (vec![0xff; 600], false),
            Some(Fault::HalfAnswer) => (answer.into_iter().take(7).collect(), true),
            _ => (answer, false),
        };
        if stream.write_all(&answer).await.is_err() || is_last {
            return;
        }
    }
}
