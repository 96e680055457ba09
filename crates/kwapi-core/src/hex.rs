//! Bytes as hexadecimal digits, two each.

/// Lower-case digits.
pub fn encode(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect()
}

/// The bytes that digits of either case stand for; `None` where one is no digit or their number is odd.
pub fn decode(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<char> = digits.chars().collect();
    let (pairs, []) = digits.as_chunks() else { return None };
    let byte = |[high, low]: &[char; 2]| u8::try_from(high.to_digit(16)? << 4 | low.to_digit(16)?).ok();
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_are_lower_case_and_read_in_either() {
        assert_eq!(encode(&[0x00, 0x0F, 0xA7, 0xFF]), "000fa7ff");
        assert_eq!(decode("000fA7Ff"), Some(vec![0x00, 0x0F, 0xA7, 0xFF]));
        assert_eq!(decode(""), Some(Vec::new()));
        for none in ["0", "0g", "é0", "0x00", " 00", "00 "] {
            assert_eq!(decode(none), None, "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes in prop::collection::vec(any::<u8>(), 0..100), noise in ".*") {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
            _ = decode(&noise);
        }
    }
}
