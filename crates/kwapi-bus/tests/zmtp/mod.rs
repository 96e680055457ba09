//! ZMTP 3.0 by hand (ZeroMQ RFC 23, mechanism NULL), for peers that no library would let us be.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Nothing that is answered at all takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// A connection after its handshake.
pub(crate) struct Zmtp<S = TcpStream>(S);

impl Zmtp {
    /// Goes to a bound endpoint, `tcp://host:port`, as a socket of `kind`.
    pub(crate) fn connect(url: &str, kind: &str) -> io::Result<Self> {
        Self::shake_hands(TcpStream::connect(url.trim_start_matches("tcp://"))?, kind)
    }

    /// Greets whoever is at the other end of `stream`.
    pub(crate) fn shake_hands(stream: TcpStream, kind: &str) -> io::Result<Self> {
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Self::greet(stream, kind)
    }
}

impl Zmtp<UnixStream> {
    /// Goes to a bound endpoint, `ipc://path`, as a socket of `kind`.
    pub(crate) fn connect_inside(url: &str, kind: &str) -> io::Result<Self> {
        let stream = UnixStream::connect(url.trim_start_matches("ipc://"))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Self::greet(stream, kind)
    }
}

impl<S: Read + Write> Zmtp<S> {
    fn greet(mut stream: S, kind: &str) -> io::Result<Self> {
        let mut greeting = [0; 64];
        greeting[0] = 0xff;
        greeting[9] = 0x7f;
        greeting[10] = 3;
        greeting[12..16].copy_from_slice(b"NULL");
        stream.write_all(&greeting)?;
        stream.read_exact(&mut [0; 64])?;
        let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
        ready.push(u8::try_from(kind.len()).expect("a short name"));
        ready.extend_from_slice(kind.as_bytes());
        stream.write_all(&[4, u8::try_from(ready.len()).expect("a short command")])?;
        stream.write_all(&ready)?;
        let mut head = [0; 2];
        stream.read_exact(&mut head)?;
        stream.read_exact(&mut vec![0; usize::from(head[1])])?;
        Ok(Self(stream))
    }

    /// Sends one frame; with `more` the message continues after it.
    pub(crate) fn send(&mut self, body: &[u8], more: bool) -> io::Result<()> {
        let mut frame = vec![2 | u8::from(more)];
        frame.extend_from_slice(&(body.len() as u64).to_be_bytes());
        frame.extend_from_slice(body);
        self.0.write_all(&frame)
    }

    /// The body of the next frame.
    pub(crate) fn receive(&mut self) -> io::Result<Vec<u8>> {
        let (mut flags, mut size) = ([0], [0; 8]);
        self.0.read_exact(&mut flags)?;
        let bytes = if flags[0] & 2 == 0 { 1 } else { 8 };
        self.0.read_exact(&mut size[8 - bytes..])?;
        let mut body = vec![0; usize::try_from(u64::from_be_bytes(size)).expect("a frame of ours")];
        self.0.read_exact(&mut body)?;
        Ok(body)
    }

    /// Whether the other end has closed the connection; waits for it to send anything.
    pub(crate) fn is_closed(&mut self) -> bool {
        loop {
            match self.0.read(&mut [0; 4_096]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => {
                    return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                }
            }
        }
    }
}
