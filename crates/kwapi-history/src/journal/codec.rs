//! Numbers as the journal's blocks have them: varints (LEB128; signed ones zigzag) and short decimals.

/// A decimal with at most three places is this and its thousandths, doubled; any other is [`DOUBLE`] and eight bytes.
const DOUBLE: u64 = 1;
/// In a change of a quantity: it is in tenths and not in thousandths, of which a tenth has a hundred.
const TENTHS: u64 = 1 << 1;
const TENTH: i64 = 100;
const CHANGE_BITS: u32 = 2;

pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, zigzag(value));
}

/// Small numbers of either sign as small ones of none.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The argument of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// What `now` has over `then`, wrapping: any two numbers are near each other one way or the other.
pub(crate) fn put_change(out: &mut Vec<u8>, now: u64, then: u64) {
    put_signed(out, now.wrapping_sub(then).cast_signed());
}

/// A quantity: meters report watts, volts and amperes with three places at most, as good as always.
pub(crate) fn put_decimal(out: &mut Vec<u8>, value: f64) {
    if let Some(thousandths) = whole_thousandths(value) {
        put(out, thousandths << 1);
    } else {
        put(out, DOUBLE);
        out.extend(value.to_le_bytes());
    }
}

/// A quantity by what it has over the one before: whole tenths, as most of them are, in a byte less. Not in any file.
pub(crate) fn put_decimal_change(out: &mut Vec<u8>, value: f64, before: &mut u64) {
    let Some(thousandths) = whole_thousandths(value) else {
        put(out, DOUBLE);
        out.extend(value.to_le_bytes());
        return;
    };
    // Both are short of 2^40, so that the change fits beside the marks.
    let change = thousandths.wrapping_sub(*before).cast_signed();
    *before = thousandths;
    if change % TENTH == 0 {
        put(out, zigzag(change / TENTH) << CHANGE_BITS | TENTHS);
    } else {
        put(out, zigzag(change) << CHANGE_BITS);
    }
}

/// The thousandths of a number that they give back to the bit.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked in the same line")]
fn whole_thousandths(value: f64) -> Option<u64> {
    let thousandths = (value * 1e3).round();
    let fits = (0.0..1e12).contains(&thousandths) && (thousandths / 1e3).to_bits() == value.to_bits();
    fits.then_some(thousandths as u64)
}

/// Bytes yet to be read. Past their end everything is missing.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        self.varint().map(unzigzag)
    }

    /// What [`put_change`] has written over the same `then`.
    pub(crate) fn change(&mut self, then: u64) -> Option<u64> {
        Some(then.wrapping_add(self.signed()?.cast_unsigned()))
    }

    pub(crate) fn double(&mut self) -> Option<f64> {
        Some(f64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    pub(crate) fn decimal(&mut self) -> Option<f64> {
        match self.varint()? {
            DOUBLE => self.double(),
            thousandths if thousandths & 1 == 0 => Some((thousandths >> 1) as f64 / 1e3),
            _ => None,
        }
    }

    /// What [`put_decimal_change`] has written over the same `before`.
    pub(crate) fn decimal_change(&mut self, before: &mut u64) -> Option<f64> {
        let head = self.varint()?;
        if head == DOUBLE {
            return self.double();
        }
        let change = unzigzag(head >> CHANGE_BITS);
        let change = if head & TENTHS == 0 { change } else { change.wrapping_mul(TENTH) };
        *before = before.wrapping_add(change.cast_unsigned());
        Some(*before as f64 / 1e3)
    }
}
