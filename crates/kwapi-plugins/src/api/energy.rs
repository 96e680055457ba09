//! `/v2/energy`: how much energy between two instants, and how sure that is. `/v2/series`: power over time besides.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use crate::answers::{EnergyQuestion, NO_LEDGER};
use crate::http::{HttpError, POSITION, StreamHead};
use crate::scope::Scope;

impl Api {
    /// Answers a question about energy, or (`has_power`) about power and energy over time.
    pub(super) async fn energy(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        scope: Scope,
        has_power: bool,
    ) -> Response {
        let question = match self.question(uri, headers, has_power) {
            Ok(question) => question,
            Err(error) => return error.into_response(),
        };
        let Some(answers) = self.0.answers.clone() else {
            return HttpError::new(StatusCode::NOT_IMPLEMENTED, NO_LEDGER).into_response();
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

    fn question(&self, uri: &Uri, headers: &HeaderMap, has_power: bool) -> Result<EnergyQuestion, HttpError> {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let now = self.0.directory.live().wall().now();
        if has_power {
            EnergyQuestion::of_series(pairs, accept, now)
        } else {
            EnergyQuestion::parse(pairs, accept, now)
        }
    }
}
