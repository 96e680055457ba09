//! The quick way through a message in the exact form our own publisher writes: its members in their one order, without
//! space or escapes. Whatever deviates by a byte is left to the general reader, which has the last word: what this one
//! makes of a message is what that one would.

use kwapi_core::{Accounting, CurvePoint, Energy, MeterTotal, Quality, Timestamp, Totals};

/// A message of our form.
#[derive(Debug)]
pub(super) struct Own<'a> {
    /// As it stands: not known yet to be a probe id.
    pub(super) probe: &'a str,
    pub(super) power: f64,
    pub(super) voltage: Option<f64>,
    pub(super) current: Option<f64>,
    pub(super) accounting: Accounting,
    pub(super) signature: Option<Signature<'a>>,
}

/// A signature of `kwapi-1`.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    /// How many bytes of the payload it covers.
    pub(super) signed: usize,
    pub(super) key: &'a str,
    pub(super) hex: &'a str,
}

/// Reads a payload of our form; `None` of any other.
pub(super) fn read(payload: &[u8]) -> Option<Own<'_>> {
    let mut text = Cursor { payload, at: 0 };
    text.expect(b"{\"probe_id\":\"")?;
    let probe = text.plain_text()?;
    text.expect(b",\"w\":")?;
    let power = text.number()?;
    let voltage = text.optional(b",\"v\":", Cursor::number)?;
    let current = text.optional(b",\"a\":", Cursor::number)?;
    let timestamp = text.required(b",\"timestamp_us\":")?;
    let session = text.required(b",\"session\":")?;
    let seq = text.required(b",\"seq\":")?;
    let energy = text.required(b",\"energy_mj\":")?;
    let measured_ms = text.required(b",\"measured_ms\":")?;
    let estimated_ms = text.required(b",\"estimated_ms\":")?;
    let unknown_ms = text.required(b",\"unknown_ms\":")?;
    let estimated = text.optional(b",\"estimated_mj\":", Cursor::count)?;
    let bridged = text.optional(b",\"bridged_mj\":", Cursor::count)?;
    let bridged_ms = text.optional(b",\"bridged_ms\":", Cursor::count)?;
    let curve = text.optional(b",\"curve\":", Cursor::curve)?;
    let meter = text.optional(b",\"meter_energy_mj\":", Cursor::meter)?;
    let is_estimated = text.optional(b",\"q\":\"estimated\"", |_| Some(()))?.is_some();
    let signature = text.optional(b",\"message_signature\":", Cursor::signature)?;
    text.expect(b"}")?;
    if text.at != payload.len() {
        return None;
    }
    let totals = Totals {
        energy: Energy::from_millijoules(energy),
        estimated: Energy::from_millijoules(estimated.unwrap_or(0)),
        bridged: Energy::from_millijoules(bridged.unwrap_or(0)),
        measured_ms,
        estimated_ms,
        bridged_ms: bridged_ms.unwrap_or(0),
        unknown_ms,
    };
    let accounting = Accounting {
        timestamp: Timestamp::from_micros(timestamp),
        session: Timestamp::from_micros(session),
        seq,
        totals,
        curve,
        meter,
        quality: if is_estimated { Quality::Estimated } else { Quality::Measured },
    };
    totals.is_sound().then_some(Own { probe, power, voltage, current, accounting, signature })
}

struct Cursor<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.payload.get(self.at..).unwrap_or_default()
    }

    fn expect(&mut self, text: &[u8]) -> Option<()> {
        self.is_next(text).then_some(())
    }

    /// Passes `text` if it comes next.
    fn is_next(&mut self, text: &[u8]) -> bool {
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.at += text.len();
        }
        is_next
    }

    fn required(&mut self, name: &[u8]) -> Option<u64> {
        self.expect(name)?;
        self.count()
    }

    /// The member of `name`, if it comes next. `None` only where that is not of our form.
    #[expect(clippy::option_option, reason = "the outer is whether to continue")]
    fn optional<T>(&mut self, name: &[u8], value: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.is_next(name) { value(self).map(Some) } else { Some(None) }
    }

    /// A text up to its closing quote, without escapes.
    fn plain_text(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        self.at += length;
        self.expect(b"\"")?;
        std::str::from_utf8(rest.get(..length)?).ok()
    }

    /// Digits: the number they are and how many; `None` where there are none or too many.
    fn digits(&mut self) -> Option<(u64, usize)> {
        let rest = self.rest();
        let (mut number, mut length) = (0_u64, 0);
        for digit in rest.iter().map(|byte| byte.wrapping_sub(b'0')).take_while(|digit| *digit < 10) {
            number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
            length += 1;
        }
        self.at += length;
        (length > 0).then_some((number, length))
    }

    /// An integer as JSON writes one: no zero before other digits.
    fn count(&mut self) -> Option<u64> {
        let first = self.rest().first().copied();
        let (number, length) = self.digits()?;
        (first != Some(b'0') || length == 1).then_some(number)
    }

    /// A decimal without exponent.
    fn number(&mut self) -> Option<f64> {
        const TENS: [f64; 17] =
            [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16];
        /// Below this, an integer and a `f64` are the same.
        const EXACT: u64 = 1 << 53;
        let begin = self.at;
        let whole = self.count()?;
        if !self.is_next(b".") {
            return (whole < EXACT).then_some(whole as f64);
        }
        let (fraction, places) = self.digits()?;
        // Both exact, so that their quotient is the nearest there is to the decimal.
        let scaled = 10_u64
            .checked_pow(u32::try_from(places).ok()?)
            .and_then(|scale| whole.checked_mul(scale)?.checked_add(fraction))
            .filter(|scaled| *scaled < EXACT);
        match (scaled, TENS.get(places)) {
            (Some(scaled), Some(scale)) => Some(scaled as f64 / scale),
            _ => std::str::from_utf8(self.payload.get(begin..self.at)?).ok()?.parse().ok(),
        }
    }

    fn curve(&mut self) -> Option<CurvePoint> {
        let id = Timestamp::from_micros(self.count()?);
        let run = u32::try_from(self.required(b",\"run\":")?).ok().filter(|run| *run > 0)?;
        let begin = Energy::from_millijoules(self.required(b",\"curve_mj\":")?);
        Some(CurvePoint { id, run, begin })
    }

    fn meter(&mut self) -> Option<MeterTotal> {
        let energy = Energy::from_millijoules(self.count()?);
        let since = self.optional(b",\"meter_since_us\":", Self::count)?.map(Timestamp::from_micros);
        Some(MeterTotal { energy, since })
    }

    fn signature(&mut self) -> Option<Signature<'a>> {
        let signed = self.at;
        self.expect(b"\"1:")?;
        let text = self.plain_text()?;
        let (key, hex) = text.split_once(':')?;
        Some(Signature { signed, key, hex })
    }
}
