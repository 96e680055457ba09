//! The stream below hyper: keeps back the refusals that hyper writes by itself, so that ours can be sent, and ends a
//! connection whose client does not read.
//!
//! hyper (1.12, `proto/h1/role.rs`, `on_error`) answers a head it cannot read with 400, 414 or 431 and no body, and has
//! no hook to change that (ADR 0023). Such an answer is the last thing it writes; it is recognised there and not passed on.
//! Should a later hyper write it otherwise, it goes out as hyper made it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A client that takes nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// hyper's own refusals are shorter: a status line, a length, `connection` and `date`.
const REFUSAL_BYTES_MAX: usize = 256;

/// A stream that hyper reads from and writes to.
#[derive(Debug)]
pub(super) struct Gate<S> {
    stream: S,
    /// Runs while a write waits for the client.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S> Gate<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, patience: None }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Passes progress on, and gives up when there was none for too long.
    fn wait<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.patience = None;
            return progress;
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        match patience.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // What is before the refusal goes out; hyper then offers the refusal alone.
        let passed = before_refusal(bytes).map_or(bytes, |length| bytes.get(..length).unwrap_or_default());
        if passed.is_empty() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, passed);
        self.wait(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let last = slices.iter().rev().find(|slice| !slice.is_empty());
        if last.is_some_and(|last| before_refusal(last).is_some()) {
            // One by one, until the refusal stands alone.
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(cx, first.map_or(&[], |first| first));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wait(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.wait(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wait(cx, ended)
    }
}

/// How many bytes precede hyper's own refusal, if that is what `bytes` end with. Every 4xx of ours has a body.
fn before_refusal(bytes: &[u8]) -> Option<usize> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let begin = bytes.len().saturating_sub(REFUSAL_BYTES_MAX);
    let tail = bytes.get(begin..)?;
    let status_line = |window: &[u8]| matches!(window, b"HTTP/1.1 4" | b"HTTP/1.0 4");
    let at = tail.windows(10).rposition(status_line)?;
    let head = tail.get(at..)?;
    let has = |line: &[u8]| head.windows(line.len()).any(|window| window == line);
    let is_hypers = [&b" 400 "[..], b" 414 ", b" 431 "].into_iter().any(|code| head.get(8..13) == Some(code))
        && has(b"\r\ncontent-length: 0\r\n");
    is_hypers.then_some(begin + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Option<usize>) {
        assert_eq!(before_refusal(written.as_bytes()), expected, "{written:?}");
    }

    #[test]
    fn hypers_own_refusals_are_kept_back_and_nothing_else() {
        check(
            "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            Some(0),
        );
        check("{}\nHTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", Some(3));
        check("HTTP/1.1 400 Bad Request\r\ncontent-length: 99\r\n\r\n", None);
        check("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", None);
        check("HTTP/1.1 304 Not Modified\r\netag: \"HTTP/1.1 4\"\r\n\r\n", None);
        check("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n{}", None);
        check("\r\n\r\n", None);
        check("", None);
    }
}
