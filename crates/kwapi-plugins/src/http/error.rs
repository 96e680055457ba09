//! Errors as JSON, in the one shape that OpenStack's clients read.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// An answer that states what is wrong: `{"error":{"code":404,"title":"Not Found","message":"…"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    status: StatusCode,
    message: String,
}

impl HttpError {
    /// An error with a message for the caller. The message never repeats a secret.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// A request that cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The whole answer as bytes of HTTP/1.1, for a connection that ends with it.
    pub(super) fn message_bytes(&self) -> Vec<u8> {
        let body = self.body();
        let title = self.status.canonical_reason().unwrap_or("Error");
        let head = format!(
            "HTTP/1.1 {} {title}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            self.status.as_u16(),
            body.len()
        );
        (head + &body).into_bytes()
    }

    fn body(&self) -> String {
        let code = self.status.as_u16();
        let title = self.status.canonical_reason().unwrap_or("Error");
        let message = &self.message;
        let error = serde_json::json!({ "error": { "code": code, "title": title, "message": message } });
        format!("{error}\n")
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        (self.status, [(header::CONTENT_TYPE, json)], self.body()).into_response()
    }
}

/// The answer to a path nobody serves.
pub(crate) fn nothing_here() -> HttpError {
    HttpError::new(StatusCode::NOT_FOUND, "Not found.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_code_title_and_message_whatever_is_in_it() {
        let error = HttpError::bad_request("no probe \"a\nb\"");
        assert_eq!(
            error.body(),
            "{\"error\":{\"code\":400,\"message\":\"no probe \\\"a\\nb\\\"\",\"title\":\"Bad Request\"}}\n"
        );
    }
}
