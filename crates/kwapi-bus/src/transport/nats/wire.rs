//! The client protocol of NATS: lines of text, messages with a length. Pure; nothing here reads or writes.
//!
//! Source: docs.nats.io, reference, NATS protocols, client protocol.

use bytes::{Buf, Bytes, BytesMut};

/// The longest line of a server: INFO names every server of a cluster.
const LINE_BYTES_MAX: usize = 64 << 10;
/// The largest message, with its headers, eight times what a server takes by default.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
const LINE_END: &[u8] = b"\r\n";
/// What begins the headers of a message.
const HEADERS: &[u8] = b"NATS/1.0\r\n";
/// A longer head is of others, and not looked through.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerOp {
    /// Who it is and what it requests, in JSON.
    Info(String),
    Message(Message),
    Ping,
    Pong,
    Ok,
    /// What it complains of.
    Error(String),
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) reply: Option<String>,
    /// Of a message of the server's own: a code as in HTTP, and a text.
    pub(super) status: Option<(u16, String)>,
    /// The lines before the payload, as they came.
    pub(super) head: Bytes,
    pub(super) payload: Bytes,
}

impl Message {
    /// The value of the header `name`, where there is one.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// The value of the header `name` in the lines before a payload: of its first line, as it is written.
pub(super) fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    if head.len() > HEAD_BYTES_MAX {
        return None;
    }
    let is_it = |line: &&str| line.split_once(':').is_some_and(|(of, _)| of == name);
    let line = str::from_utf8(head).ok()?.split("\r\n").skip(1).find(is_it)?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// Takes the server's next operation from `buffer`; `None` while it is incomplete.
///
/// # Errors
/// When it is not the protocol, or larger than anything honest: the connection is of no more use then.
pub(super) fn next(buffer: &mut BytesMut) -> Result<Option<ServerOp>, String> {
    let Some(end) = buffer.windows(2).position(|two| two == LINE_END) else {
        return if buffer.len() > LINE_BYTES_MAX { Err("line too long".to_owned()) } else { Ok(None) };
    };
    let line = buffer.get(..end).unwrap_or_default();
    let line = str::from_utf8(line).map_err(|_| "line is not UTF-8".to_owned())?;
    let (verb, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let after = end + LINE_END.len();
    let op = match verb.to_ascii_uppercase().as_str() {
        "MSG" | "HMSG" => return message(buffer, verb.eq_ignore_ascii_case("HMSG"), after),
        "INFO" => ServerOp::Info(rest.trim().to_owned()),
        "PING" => ServerOp::Ping,
        "PONG" => ServerOp::Pong,
        "+OK" => ServerOp::Ok,
        "-ERR" => ServerOp::Error(rest.trim().trim_matches('\'').to_owned()),
        _ => return Err(format!("unknown operation {:?}", verb.chars().take(20).collect::<String>())),
    };
    buffer.advance(after);
    Ok(Some(op))
}

/// `MSG subject sid [reply] size`, `HMSG subject sid [reply] headers size`, and after the line so many bytes.
fn message(buffer: &mut BytesMut, has_headers: bool, after: usize) -> Result<Option<ServerOp>, String> {
    let refused = || "malformed message".to_owned();
    let line = buffer.get(..after).and_then(|line| str::from_utf8(line).ok()).ok_or_else(refused)?;
    let words: Vec<&str> = line.split_ascii_whitespace().skip(1).collect();
    let (subject, reply, sizes) = match (words.as_slice(), has_headers) {
        ([subject, _, size], false) => (*subject, None, ["0", *size]),
        ([subject, _, reply, size], false) => (*subject, Some(*reply), ["0", *size]),
        ([subject, _, headers, size], true) => (*subject, None, [*headers, *size]),
        ([subject, _, reply, headers, size], true) => (*subject, Some(*reply), [*headers, *size]),
        _ => return Err(refused()),
    };
    let [headers, size] = sizes.map(|size| size.parse::<usize>().ok());
    let (Some(headers), Some(size)) = (headers, size) else { return Err(refused()) };
    if headers > size {
        return Err(refused());
    }
    if size > MESSAGE_BYTES_MAX {
        return Err(format!("message of {size} bytes"));
    }
    if buffer.len() < after + size + LINE_END.len() {
        return Ok(None);
    }
    let (subject, reply) = (subject.to_owned(), reply.map(str::to_owned));
    buffer.advance(after);
    let head = buffer.split_to(headers).freeze();
    let payload = buffer.split_to(size - headers).freeze();
    if !buffer.starts_with(LINE_END) {
        return Err(refused());
    }
    buffer.advance(LINE_END.len());
    Ok(Some(ServerOp::Message(Message { subject, reply, status: status(&head), head, payload })))
}

/// The status in a head such as `NATS/1.0 503 No Responders`.
fn status(head: &[u8]) -> Option<(u16, String)> {
    let line = str::from_utf8(head).ok()?.lines().next()?;
    let rest = line.strip_prefix("NATS/1.0")?.trim();
    let (code, text) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((code.parse().ok()?, text.trim().to_owned()))
}

/// Appends a message. Subjects are ours: without white space.
pub(super) fn publish(out: &mut BytesMut, subject: &str, reply: Option<&str>, payload: &[u8]) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(subject.as_bytes());
    if let Some(reply) = reply {
        out.extend_from_slice(b" ");
        out.extend_from_slice(reply.as_bytes());
    }
    out.extend_from_slice(format!(" {}\r\n", payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(LINE_END);
}

/// Appends a message with one header. Name and value are ours: without line ends.
pub(super) fn publish_with(
    out: &mut BytesMut,
    subject: &str,
    reply: &str,
    header: (&str, &str),
    payload: &[u8],
) {
    let (name, value) = header;
    let head = HEADERS.len() + name.len() + 2 + value.len() + 2 * LINE_END.len();
    out.extend_from_slice(format!("HPUB {subject} {reply} {head} {}\r\n", head + payload.len()).as_bytes());
    out.extend_from_slice(HEADERS);
    out.extend_from_slice(format!("{name}: {value}\r\n\r\n").as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(LINE_END);
}

/// Appends a subscription.
pub(super) fn subscribe(out: &mut BytesMut, subject: &str, number: u64) {
    out.extend_from_slice(format!("SUB {subject} {number}\r\n").as_bytes());
}

/// Appends the end of a subscription.
pub(super) fn unsubscribe(out: &mut BytesMut, number: u64) {
    out.extend_from_slice(format!("UNSUB {number}\r\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<ServerOp>, String> {
        let mut buffer = BytesMut::from(bytes);
        let mut all = Vec::new();
        while let Some(op) = next(&mut buffer)? {
            all.push(op);
        }
        Ok(all)
    }

    fn message(reply: Option<&str>, status: Option<(u16, &str)>, payload: &'static str) -> ServerOp {
        ServerOp::Message(Message {
            subject: "power.a".to_owned(),
            reply: reply.map(str::to_owned),
            status: status.map(|(code, text)| (code, text.to_owned())),
            head: Bytes::new(),
            payload: Bytes::from_static(payload.as_bytes()),
        })
    }

    /// What was read, but for heads.
    fn without_heads(mut all: Vec<ServerOp>) -> Vec<ServerOp> {
        for op in &mut all {
            if let ServerOp::Message(message) = op {
                message.head = Bytes::new();
            }
        }
        all
    }

    #[test]
    fn what_a_server_sends_is_read_however_it_is_cut() {
        let text = b"INFO {\"max_payload\":9}\r\nPING\r\n+OK\r\nMSG power.a 7 2\r\n{}\r\nMSG power.a 7 back.1 0\r\n\r\n\
            HMSG power.a 1 30 30\r\nNATS/1.0 503 No Responders\r\n\r\n\r\nHMSG power.a 1 back 12 14\r\nNATS/1.0\r\n\r\n{}\r\n\
            -ERR 'Stale Connection'\r\npong\r\n";
        let expected = [
            ServerOp::Info("{\"max_payload\":9}".to_owned()),
            ServerOp::Ping,
            ServerOp::Ok,
            message(None, None, "{}"),
            message(Some("back.1"), None, ""),
            message(None, Some((503, "No Responders")), ""),
            message(Some("back"), None, "{}"),
            ServerOp::Error("Stale Connection".to_owned()),
            ServerOp::Pong,
        ];
        assert_eq!(without_heads(read(text).unwrap()), expected);
        let (mut buffer, mut all) = (BytesMut::new(), Vec::new());
        for byte in text {
            buffer.extend_from_slice(&[*byte]);
            all.extend(next(&mut buffer).unwrap());
        }
        assert_eq!(without_heads(all), expected);
    }

    #[test]
    fn a_header_is_found_by_its_name_and_a_giant_head_is_not_looked_through() {
        let mut out = BytesMut::new();
        publish_with(&mut out, "power.a", "back", ("Kwapi-Position", "one two"), b"{}");
        assert_eq!(&out[..], b"HPUB power.a back 37 39\r\nNATS/1.0\r\nKwapi-Position: one two\r\n\r\n{}\r\n");
        let head =
            b"NATS/1.0\r\nOther: Kwapi-Position: x\r\nKwapi-Position:  one two \r\nKwapi-Position: 2\r\n\r\n";
        assert_eq!(header(head, "Kwapi-Position"), Some("one two"));
        assert_eq!(header(head, "kwapi-position"), None);
        assert_eq!(header(b"", "Kwapi-Position"), None);
        assert_eq!(header(b"NATS/1.0\r\nKwapi-Position: \xff\r\n\r\n", "Kwapi-Position"), None);
        let giant = format!("NATS/1.0\r\nKwapi-Position: {}\r\n\r\n", "x".repeat(1_000_000));
        let mut text = format!("HMSG power.a 1 {0} {0}\r\n", giant.len()).into_bytes();
        text.extend_from_slice(giant.as_bytes());
        text.extend_from_slice(b"\r\n");
        let read = read(&text).unwrap();
        let [ServerOp::Message(message)] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!((message.header("Kwapi-Position"), message.payload.len()), (None, 0));
    }

    #[test]
    fn what_is_no_protocol_or_too_large_ends_the_connection() {
        for bytes in [
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            b"MSG a\r\n".to_vec(),
            b"MSG a 1 x\r\n".to_vec(),
            b"MSG a 1 99999999999999999999\r\n".to_vec(),
            b"MSG a 1 9000000\r\n".to_vec(),
            b"MSG a 1 2\r\n{}xx".to_vec(),
            b"HMSG a 1 9 2\r\n".to_vec(),
            b"\xff\r\n".to_vec(),
            vec![b'x'; LINE_BYTES_MAX + 1],
        ] {
            assert!(read(&bytes).is_err(), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn what_we_send_has_its_length() {
        let mut out = BytesMut::new();
        publish(&mut out, "power.a", Some("back.1"), b"{}");
        publish(&mut out, "power.a", None, b"");
        subscribe(&mut out, "power.>", 3);
        unsubscribe(&mut out, 3);
        let expected = b"PUB power.a back.1 2\r\n{}\r\nPUB power.a 0\r\n\r\nSUB power.> 3\r\nUNSUB 3\r\n";
        assert_eq!(&out[..], expected);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), verb in 0_usize..4) {
            let mut text = ["MSG a 1 ", "HMSG a 1 ", "INFO ", ""][verb].as_bytes().to_vec();
            text.extend(bytes);
            text.extend_from_slice(b"\r\n");
            _ = read(&text);
        }
    }
}
