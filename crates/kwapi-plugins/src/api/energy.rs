//! `/v2/energy`: how much energy between two instants, and how sure that is.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use crate::answers::EnergyQuestion;
use crate::http::{HttpError, POSITION, StreamHead};
use crate::scope::Scope;

impl Api {
    pub(super) async fn energy(&self, uri: &Uri, headers: &HeaderMap, scope: Scope) -> Response {
        let question = match self.question(uri, headers) {
            Ok(question) => question,
            Err(error) => return error.into_response(),
        };
        let Some(answers) = self.0.answers.clone() else {
            let error = "This process keeps no ledger; ask the one that does (kwapi run, or kwapi rrd), or set enabled = true in [ledger].";
            return HttpError::new(StatusCode::NOT_IMPLEMENTED, error).into_response();
        };
        self.0
            .turns
            .answer(move |sink| {
                let prepared = answers.prepare(question, &scope)?;
                let media_type = prepared.question().format().media_type();
                let mut is_whole = true;
                // Both need the sink, one after the other.
                let sink = std::cell::RefCell::new(sink);
                prepared.write(
                    |position| {
                        let header = position.and_then(|position| HeaderValue::try_from(position).ok());
                        sink.borrow_mut()
                            .begin(StreamHead { media_type, header: header.map(|value| (POSITION, value)) });
                    },
                    &mut |part| {
                        is_whole = sink.borrow_mut().send(part);
                        is_whole
                    },
                )?;
                Ok(is_whole)
            })
            .await
    }

    fn question(&self, uri: &Uri, headers: &HeaderMap) -> Result<EnergyQuestion, HttpError> {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        EnergyQuestion::parse(pairs, accept, self.0.directory.live().wall().now())
    }
}
