//! When a certificate begins and ends to be valid: the one thing of X.509 that rustls does not report.
//!
//! Source: RFC 5280, sections 4.1 (structure) and 4.1.2.5 (times); ITU-T X.690, section 8.1 (tag, length, value).

use kwapi_core::Timestamp;

/// The first tags of a certificate, in order (X.690, sections 8.9, 8.3 and 8.14).
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// `[0] EXPLICIT`, the version; left out by version 1.
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub begin: Timestamp,
    /// Not after.
    pub end: Timestamp,
}

impl Validity {
    /// Reads it from a certificate in DER; nothing, if that is no certificate.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = take(certificate, SEQUENCE)?;
        let (mut rest, _) = take(certificate, SEQUENCE)?;
        if let Some((_, after)) = take(rest, VERSION) {
            rest = after;
        }
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            // Serial number, signature algorithm, issuer.
            (_, rest) = take(rest, tag)?;
        }
        let (validity, _) = take(rest, SEQUENCE)?;
        let (begin, rest) = time(validity)?;
        let (end, _) = time(rest)?;
        Some(Self { begin, end })
    }
}

/// The value of what begins with `tag`, and what follows it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    if *found != tag {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(*first), rest),
        // The length itself, in this many bytes; four describe more than any certificate has.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A time, always in UTC: `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from 2050 on.
fn time(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (text, rest) = take(bytes, UTC_TIME).or_else(|| take(bytes, GENERALIZED_TIME))?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match text.len() {
        12 if text < "50" => format!("20{text}"),
        12 => format!("19{text}"),
        14 => text.to_owned(),
        _ => return None,
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", &text).ok()?;
    let seconds = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    // Before 1970 is as good as 1970.
    Some((Timestamp::from_seconds(u64::try_from(seconds).unwrap_or(0)), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn certificate(begin: (i32, u8, u8), end: (i32, u8, u8)) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(begin.0, begin.1, begin.2);
        parameters.not_after = rcgen::date_time_ymd(end.0, end.1, end.2);
        let key = rcgen::KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let validity = Validity::of(&certificate((1999, 12, 31), (2050, 1, 2))).unwrap();
        assert_eq!(validity.begin, Timestamp::from_seconds(946_598_400));
        assert_eq!(validity.end, Timestamp::from_seconds(2_524_694_400));
    }

    #[test]
    fn a_cut_certificate_has_no_validity() {
        let whole = certificate((2026, 1, 1), (2027, 1, 1));
        for length in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            Validity::of(&noise);
        }

        #[test]
        fn a_spoilt_certificate_never_panics(at in 0..300_usize, byte in any::<u8>()) {
            let mut spoilt = certificate((2026, 1, 1), (2027, 1, 1));
            if let Some(place) = spoilt.get_mut(at) {
                *place = byte;
            }
            Validity::of(&spoilt);
        }
    }
}
