use super::*;

/// What is reported of a device whose opening failed with an error number of Linux's.
fn check(number: i32, expected: &str, is_refused: bool) {
    let error = cannot_open(Path::new("/dev/ttyX0"), "meter", &io::Error::from_raw_os_error(number));
    assert_eq!(matches!(error, DriverError::Refused(_)), is_refused, "{error:?}");
    let text = match &error {
        DriverError::Refused(text) => text.clone(),
        other => std::error::Error::source(other).map(ToString::to_string).unwrap_or_default(),
    };
    assert!(text.starts_with("/dev/ttyX0: ") && text.contains(expected), "{text}");
}

#[test]
fn each_refusal_has_its_own_remedy() {
    check(13, "group that owns it (often dialout)", true);
    check(1, "DeviceAllow=/dev/ttyX0 rw", true);
    check(2, "check that the meter is plugged in", false);
    check(6, "check that the meter is plugged in", false);
}
