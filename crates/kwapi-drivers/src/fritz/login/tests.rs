use proptest::prelude::*;

use super::*;

const PASSWORD: &str = "päss-Wört€9";

#[test]
fn a_proof_is_what_python_makes_of_the_challenge() {
    // hashlib.pbkdf2_hmac twice; hashlib.md5 of the text in UTF-16.
    assert_eq!(
        response("2$2000$0a1b2c3d$300$99aabbccdd", PASSWORD).as_deref(),
        Some("99aabbccdd$66f64a799b248ec667610010b142e73050c0bbca80e53440a7f89d08893cb19e")
    );
    assert_eq!(response("5f3a9b10", PASSWORD).as_deref(), Some("5f3a9b10-d379dfb8a315ead915ea42ca36ee4f9b"));
}

#[test]
fn a_challenge_that_is_none_or_requests_too_much_is_refused() {
    for challenge in [
        "",
        "2$",
        "2$0$0a$1$0b",
        "2$4294967295$0a$1$0b",
        "2$1$0a$1200001$0b",
        "2$1$xx$1$0b",
        "2$1$0a$1$0b$1",
        "a b",
        "12&34",
        &"1".repeat(10_000),
    ] {
        assert_eq!(response(challenge, PASSWORD), None, "{}", challenge.chars().take(40).collect::<String>());
    }
    assert!(is_sid("9c977765016899f8") && !is_sid("9c977765016899f&") && !is_sid(""));
}

#[test]
fn what_a_box_reports_of_a_session_is_read() {
    let text = "<SessionInfo><SID>0000000000000000</SID><Challenge>2$1$0a$1$0b</Challenge><BlockTime>64</BlockTime>\
        <Rights></Rights><Users><User last=\"1\">kwapi</User></Users></SessionInfo>";
    let expected = Info {
        sid: NO_SID.to_owned(),
        challenge: "2$1$0a$1$0b".to_owned(),
        block_seconds: 64,
        may_read: false,
    };
    assert_eq!(info(text), Some(expected));
    let granted = text.replace("<Rights>", "<Rights><Name>HomeAuto</Name><Access>2</Access>");
    assert!(info(&granted).is_some_and(|info| info.may_read));
    assert_eq!(info("<html></html>"), None);
}

proptest! {
    #[test]
    fn noise_never_panics(noise in ".{0,200}", challenge in "(2\\$)?[0-9a-f$]{0,40}") {
        _ = info(&noise);
        _ = info(&format!("<SessionInfo><SID>{noise}</SID></SessionInfo>"));
        prop_assume!(challenge.split('$').all(|part| part.len() < 5));
        _ = response(&challenge, "x");
    }
}
