use super::*;

#[test]
fn an_answer_means_what_can_be_done_about_it() {
    let judge = |status: u16, words: &str| {
        let answer = judge(StatusCode::from_u16(status).unwrap(), None, words);
        match answer {
            Answer::Taken => "taken".to_owned(),
            Answer::Refused(words) => format!("refused: {words}"),
            Answer::NotNow { cause, may_be_taken, .. } => {
                format!("{}: {cause}", if may_be_taken { "perhaps" } else { "not now" })
            }
        }
    };
    for (status, expected) in [
        (200, "taken"),
        (204, "taken"),
        (400, "refused: 400 Bad Request: too old"),
        (409, "refused: 409 Conflict: too old"),
        (413, "refused: 413 Payload Too Large: too old"),
        (422, "refused: 422 Unprocessable Entity: too old"),
        (
            401,
            "not now: the server refused access (401 Unauthorized: too old); check bearer_token and headers",
        ),
        (429, "not now: the server accepts no more data at present (429 Too Many Requests: too old)"),
        (503, "perhaps: the server responded with 503 Service Unavailable: too old"),
    ] {
        assert_eq!(judge(status, "too old"), expected);
    }
    for status in [301, 404, 405, 415] {
        let outcome = judge(status, "");
        assert!(outcome.starts_with("not now: ") && outcome.contains("check url"), "{outcome}");
    }
}

#[test]
fn a_wait_that_a_server_requests_is_bounded() {
    let outcome = |text: &'static str| {
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]))
    };
    assert_eq!(outcome("7"), Some(Duration::from_secs(7)));
    assert_eq!(outcome("99999999999"), Some(RETRY_AFTER_MAX));
    for bad in ["", "-1", "soon", "Fri, 27 Nov 2026 10:00:00 GMT", "99999999999999999999999"] {
        assert_eq!(outcome(bad), None, "{bad}");
    }
}
