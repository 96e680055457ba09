//! The little of ASN.1's basic encoding rules (X.690) that SNMP needs.

/// INTEGER
pub(super) const INTEGER: u8 = 0x02;
/// OCTET STRING
pub(super) const OCTET_STRING: u8 = 0x04;
/// NULL
pub(super) const NULL: u8 = 0x05;
/// OBJECT IDENTIFIER
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
/// SEQUENCE
pub(super) const SEQUENCE: u8 = 0x30;

/// Wraps content in a tag and a length.
pub(super) fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 4);
    bytes.push(tag);
    if let Ok(length @ 0..=0x7f) = u8::try_from(content.len()) {
        bytes.push(length);
    } else {
        let length = content.len().to_be_bytes();
        let digits = length.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<u8>>();
        // At most eight digits: the count fits the low bits.
        bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or(0x7f));
        bytes.extend(digits);
    }
    bytes.extend(content);
    bytes
}

/// A signed or unsigned number in the fewest two's complement bytes.
pub(super) fn number(tag: u8, number: i64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let mut content = bytes.as_slice();
    while let [first, rest @ ..] = content {
        let sign = rest.first().map(|next| next & 0x80);
        match (first, sign) {
            (0x00, Some(0x00)) | (0xff, Some(0x80)) => content = rest,
            _ => break,
        }
    }
    wrap(tag, content)
}

/// An object identifier.
pub(super) fn oid(arcs: &[u32]) -> Vec<u8> {
    let mut content = Vec::with_capacity(arcs.len() + 4);
    let (first, rest) = match arcs {
        [first, second, rest @ ..] => (first.saturating_mul(40).saturating_add(*second), rest),
        [first] => (first.saturating_mul(40), [].as_slice()),
        [] => (0, [].as_slice()),
    };
    for arc in std::iter::once(first).chain(rest.iter().copied()) {
        for shift in [28, 21, 14, 7] {
            if arc >> shift != 0 {
                content.push(0x80 | u8::try_from((arc >> shift) & 0x7f).unwrap_or_default());
            }
        }
        content.push(u8::try_from(arc & 0x7f).unwrap_or_default());
    }
    wrap(OBJECT_IDENTIFIER, &content)
}

/// Reads one element after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element; `None` at the end and for what is cut off.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (length, rest) = if length & 0x80 == 0 {
            (usize::from(length), rest)
        } else {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            // No datagram is longer than four digits can express.
            if digits.is_empty() || digits.len() > 4 {
                return None;
            }
            (digits.iter().fold(0_usize, |length, digit| (length << 8) | usize::from(*digit)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The next element, if it has this tag.
    pub(super) fn expect(&mut self, expected: u8) -> Option<&'a [u8]> {
        self.next().and_then(|(tag, content)| (tag == expected).then_some(content))
    }

    /// The next element as an INTEGER of at most four bytes.
    pub(super) fn integer(&mut self) -> Option<i32> {
        let content = self.expect(INTEGER)?;
        if content.is_empty() || content.len() > 4 {
            return None;
        }
        let sign = if content.first()? & 0x80 == 0 { 0 } else { -1 };
        Some(content.iter().fold(sign, |number, byte| (number << 8) | i32::from(*byte)))
    }

    /// The next element as an object identifier.
    pub(super) fn oid(&mut self) -> Option<Vec<u32>> {
        let content = self.expect(OBJECT_IDENTIFIER)?;
        let mut arcs = Vec::new();
        let mut arc = 0_u32;
        let mut is_complete = true;
        for byte in content {
            if arc > u32::MAX >> 7 {
                return None;
            }
            arc = (arc << 7) | u32::from(byte & 0x7f);
            is_complete = byte & 0x80 == 0;
            if is_complete {
                if arcs.is_empty() {
                    let first = (arc / 40).min(2);
                    arcs.extend([first, arc - first * 40]);
                } else {
                    arcs.push(arc);
                }
                arc = 0;
            }
        }
        (is_complete && !arcs.is_empty()).then_some(arcs)
    }
}
