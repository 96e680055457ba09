//! Percent-encoding of names in addresses, for whoever reads or writes one (RFC 3986, section 2).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but the unreserved characters (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes a name as a segment of a path or a value of a query.
pub(crate) fn encode(name: &str) -> String {
    utf8_percent_encode(name, RESERVED).to_string()
}

/// Decodes a segment of a path. Nothing where it is empty, a `%` has not two digits after it, or it is not UTF-8: nothing is
/// called so.
pub(crate) fn decode(segment: &str) -> Option<String> {
    let is_whole = segment.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        let mut digit = || digits.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        digit() && digit()
    });
    let text = percent_decode_str(segment).decode_utf8().ok().filter(|_| is_whole)?;
    (!text.is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_segment_must_be_whole_and_utf_8() {
        for (segment, expected) in [
            ("a%2Fb", Some("a/b")),
            ("%C3%a9", Some("é")),
            ("a+b", Some("a+b")),
            ("%25", Some("%")),
            ("", None),
            ("%FF", None),
            ("%2", None),
            ("a%", None),
            ("%+1", None),
            ("%é1", None),
        ] {
            assert_eq!(decode(segment).as_deref(), expected, "{segment}");
        }
    }

    #[test]
    fn unreserved_characters_stay_as_they_are() {
        assert_eq!(encode("aZ9-._~/ é%"), "aZ9-._~%2F%20%C3%A9%25");
    }

    proptest! {
        #[test]
        fn any_name_is_read_as_it_was_written(name in "\\PC{1,40}") {
            prop_assert_eq!(decode(&encode(&name)), Some(name));
        }

        #[test]
        fn noise_never_panics(segment in any::<String>()) {
            _ = decode(&segment);
        }
    }
}
