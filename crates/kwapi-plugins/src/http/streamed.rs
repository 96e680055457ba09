//! Answers that are made while they are sent: by a thread that reads files, a part at a time, as the client takes them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::HttpError;

/// Answers made at once. More wait their turn.
const TURNS: usize = 4;
/// How long one waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(10);
/// Parts between the thread and the connection. Full: the thread waits.
const PARTS: usize = 4;
/// No answer takes longer: files of the ledger are not merged meanwhile.
const ANSWER_MAX: Duration = Duration::from_secs(600);

/// The turns of a server's long answers. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct AnswerTurns(Arc<Semaphore>);

impl Default for AnswerTurns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TURNS)))
    }
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct StreamHead {
    pub(crate) media_type: &'static str,
    /// A header of its own, if it has one.
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
}

/// Where a thread puts an answer.
#[derive(Debug)]
pub(crate) struct StreamSink {
    head: Option<oneshot::Sender<Result<StreamHead, HttpError>>>,
    parts: mpsc::Sender<Option<Bytes>>,
    begun: Instant,
}

impl StreamSink {
    /// Begins the answer: it is a success from now on.
    pub(crate) fn begin(&mut self, head: StreamHead) {
        if let Some(sender) = self.head.take() {
            _ = sender.send(Ok(head));
        }
    }

    /// Sends a part; false: nobody takes the rest, or it takes too long.
    pub(crate) fn send(&mut self, part: Vec<u8>) -> bool {
        self.begun.elapsed() < ANSWER_MAX && self.parts.blocking_send(Some(part.into())).is_ok()
    }
}

impl AnswerTurns {
    /// Answers with what `work` sends, on a thread that may block. `work` returns whether the answer is whole: one that
    /// is not ends with the connection, so that nobody takes it for one. Its error counts only before it has begun.
    pub(crate) async fn answer(
        &self,
        work: impl FnOnce(&mut StreamSink) -> Result<bool, HttpError> + Send + 'static,
    ) -> Response {
        let turn = tokio::time::timeout(TURN_WAIT, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let error = HttpError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many answers are being made; try again.",
            );
            return ([(header::RETRY_AFTER, HeaderValue::from_static("10"))], error).into_response();
        };
        let (head_sender, head) = oneshot::channel();
        let (parts, receiver) = mpsc::channel(PARTS);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let mut sink = StreamSink { head: Some(head_sender), parts, begun: Instant::now() };
            match work(&mut sink) {
                Ok(true) => _ = sink.parts.blocking_send(None),
                Ok(false) => {}
                Err(error) => {
                    if let Some(head) = sink.head.take() {
                        _ = head.send(Err(error));
                    }
                }
            }
        });
        match head.await {
            Ok(Ok(StreamHead { media_type, header })) => {
                let mut response = Response::new(Body::new(Streamed { parts: receiver, is_whole: false }));
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
                headers.extend(header);
                response
            }
            Ok(Err(error)) => error.into_response(),
            Err(_) => {
                tracing::error!("request failed");
                HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error; see the log.")
                    .into_response()
            }
        }
    }
}

/// A body of the parts that a thread sends.
#[derive(Debug)]
struct Streamed {
    parts: mpsc::Receiver<Option<Bytes>>,
    is_whole: bool,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_whole {
            return Poll::Ready(None);
        }
        match self.parts.poll_recv(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Some(part))) => Poll::Ready(Some(Ok(Frame::data(part)))),
            Poll::Ready(Some(None)) => {
                self.is_whole = true;
                Poll::Ready(None)
            }
            Poll::Ready(None) => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    fn head() -> StreamHead {
        StreamHead { media_type: "text/csv", header: None }
    }

    #[tokio::test]
    async fn an_answer_is_sent_in_parts_and_has_a_type() {
        let response = AnswerTurns::default()
            .answer(|sink| {
                sink.begin(head());
                Ok((0..100_u8).all(|part| sink.send(vec![part])))
            })
            .await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/csv");
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body.to_vec(), (0..100).collect::<Vec<u8>>());
    }

    #[tokio::test]
    async fn an_error_before_the_first_part_is_the_answer() {
        let response = AnswerTurns::default().answer(|_| Err(HttpError::bad_request("no"))).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn half_an_answer_is_no_answer() {
        let response = AnswerTurns::default()
            .answer(|sink| {
                sink.begin(head());
                sink.send(b"half".to_vec());
                Ok(false)
            })
            .await;
        assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());
    }

    #[tokio::test]
    async fn who_leaves_ends_the_work_and_gives_the_turn_back() {
        let turns = AnswerTurns::default();
        let (ended, end) = oneshot::channel();
        let response = turns
            .answer(|sink| {
                sink.begin(head());
                while sink.send(vec![0; 1_000]) {}
                _ = ended.send(());
                Ok(false)
            })
            .await;
        drop(response);
        end.await.unwrap();
        let all = Arc::clone(&turns.0).acquire_many_owned(u32::try_from(TURNS).unwrap()).await;
        assert!(all.is_ok());
    }
}
