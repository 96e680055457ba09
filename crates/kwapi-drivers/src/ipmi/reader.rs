//! Takes bytes off the front of a packet; a packet that ends too early is `None`, never a panic.

/// What is left to read. IPMI sends least significant bytes first (IPMI 2.0, 2.4).
#[derive(Clone, Copy, Debug)]
pub(super) struct ByteReader<'a>(&'a [u8]);

impl<'a> ByteReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Bytes as an operator compares them with a manual, at most 32 of them: `dc ec 00 …`.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    const SHOWN_MAX: usize = 32;
    let mut text = String::new();
    for byte in bytes.iter().take(SHOWN_MAX) {
        let gap = if text.is_empty() { "" } else { " " };
        _ = write!(text, "{gap}{byte:02x}");
    }
    if bytes.len() > SHOWN_MAX {
        _ = write!(text, " … ({} bytes)", bytes.len());
    }
    text
}
