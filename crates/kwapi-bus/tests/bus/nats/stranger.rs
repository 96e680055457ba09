//! A client of NATS that shares nothing with ours: a socket and a few lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// A connection, and where it is answered.
pub(super) struct Stranger(BufReader<TcpStream>, String);

impl Stranger {
    /// Connects to `host:port`.
    pub(super) fn connect(address: &str) -> Self {
        Self::connect_with(address, "")
    }

    /// The same as a user.
    pub(super) fn log_in(address: &str, user: &str, password: &str) -> Self {
        Self::connect_with(address, &format!(",\"user\":\"{user}\",\"pass\":\"{password}\""))
    }

    fn connect_with(address: &str, login: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("a server");
        let answers = format!("answers.{}", stream.local_addr().expect("an address").port());
        write!(stream, "CONNECT {{\"verbose\":false,\"headers\":true{login}}}\r\nSUB {answers} 1\r\n")
            .expect("sent");
        Self(BufReader::new(stream), answers)
    }

    /// Listens to a subject, and does nothing with what comes.
    pub(super) fn listen(&mut self, subject: &str) {
        write!(self.0.get_mut(), "SUB {subject} 2\r\nPING\r\n").expect("sent");
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            self.0.read_line(&mut line).expect("an answer");
        }
    }

    /// Sends a message that nobody answers.
    pub(super) fn send(&mut self, subject: &str, payload: &[u8]) {
        let stream = self.0.get_mut();
        write!(stream, "PUB {subject} {}\r\n", payload.len()).expect("sent");
        stream.write_all(payload).and_then(|()| stream.write_all(b"\r\n")).expect("sent");
    }

    /// Sends a request whose answers go to a subject.
    pub(super) fn send_for(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        let stream = self.0.get_mut();
        write!(stream, "PUB {subject} {reply} {}\r\n", payload.len()).expect("sent");
        stream.write_all(payload).and_then(|()| stream.write_all(b"\r\n")).expect("sent");
    }

    /// Sends a message that nobody answers, with lines of headers.
    pub(super) fn send_with(&mut self, subject: &str, lines: &str, payload: &[u8]) {
        let head = format!("NATS/1.0\r\n{lines}\r\n");
        let stream = self.0.get_mut();
        write!(stream, "HPUB {subject} {} {}\r\n{head}", head.len(), head.len() + payload.len())
            .expect("sent");
        stream.write_all(payload).and_then(|()| stream.write_all(b"\r\n")).expect("sent");
    }

    /// Sends a message and returns the answer.
    pub(super) fn request(&mut self, subject: &str, payload: &[u8]) -> Value {
        let (stream, answers) = (self.0.get_mut(), &self.1);
        write!(stream, "PUB {subject} {answers} {}\r\n", payload.len()).expect("sent");
        stream.write_all(payload).and_then(|()| stream.write_all(b"\r\n")).expect("sent");
        self.answer()
    }

    /// Sends a message with headers (`NAME: VALUE`, a line each) and returns the answer.
    pub(super) fn request_with(&mut self, headers: &str, subject: &str, payload: &[u8]) -> Value {
        let (stream, answers) = (self.0.get_mut(), &self.1);
        let head = format!("NATS/1.0\r\n{headers}\r\n\r\n");
        let sizes = (head.len(), head.len() + payload.len());
        write!(stream, "HPUB {subject} {answers} {} {}\r\n{head}", sizes.0, sizes.1).expect("sent");
        stream.write_all(payload).and_then(|()| stream.write_all(b"\r\n")).expect("sent");
        self.answer()
    }

    fn answer(&mut self) -> Value {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("an answer");
            assert!(!line.is_empty() && !line.starts_with("-ERR"), "{line}");
            if line.starts_with("PING") {
                self.0.get_mut().write_all(b"PONG\r\n").expect("sent");
            }
            if line.starts_with("MSG answers.") {
                let size = line.split_ascii_whitespace().last().and_then(|size| size.parse::<usize>().ok());
                let mut answer = vec![0; size.expect("a size") + 2];
                self.0.read_exact(&mut answer).expect("the answer");
                return serde_json::from_slice(answer.trim_ascii_end()).expect("JSON");
            }
        }
    }
}
