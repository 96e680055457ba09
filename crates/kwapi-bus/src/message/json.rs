//! JSON as the bus needs it: one object's members, in place, without a tree.
//!
//! Nested values are checked and kept as text; the legacy signature, which walks them, scans that text again. The
//! grammar is that of RFC 8259, and `NaN`, `Infinity` and `-Infinity`, which Python writes for numbers: they are read so
//! that the original's signatures verify, and no member of ours accepts them.

use std::borrow::Cow;

use crate::Refusal;

/// An honest message has one level, the Grid'5000 dialect two. Deeper is refused as `depth`.
const DEPTH_MAX: usize = 16;
/// An honest message has at most 22 members. More are refused as `too_large`.
const MEMBERS_MAX: usize = 64;

/// A value where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JsonValue<'a> {
    Null,
    Bool(bool),
    /// The number's text.
    Number(&'a str),
    /// The text without its quotes and escapes.
    Text(Cow<'a, str>),
    /// The list's text, brackets included: see [`elements`].
    List(&'a str),
    /// The object's text, braces included: see [`members`].
    Object(&'a str),
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: JsonValue<'a>,
    /// Where the value begins in the object's text.
    pub(crate) begin: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

/// The members of the object that `text` is, in their order; a name may come twice.
pub(crate) fn members(text: &str) -> Result<Vec<Member<'_>>, Refusal> {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0 };
    let mut members = Vec::with_capacity(16);
    scanner.skip_space();
    scanner.expect(b'{')?;
    scanner.sequence(b'}', |scanner| {
        if members.len() == MEMBERS_MAX {
            return Err(Refusal::TooLarge);
        }
        let name = scanner.string()?;
        scanner.colon()?;
        let begin = scanner.at;
        let value = scanner.value(1)?;
        members.push(Member { name, value, begin, end: scanner.at });
        Ok(())
    })?;
    scanner.end()?;
    Ok(members)
}

/// The elements of the list that `text` is.
pub(crate) fn elements(text: &str) -> Result<Vec<JsonValue<'_>>, Refusal> {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0 };
    let mut elements = Vec::new();
    scanner.expect(b'[')?;
    scanner.sequence(b']', |scanner| {
        elements.push(scanner.value(1)?);
        Ok(())
    })?;
    scanner.end()?;
    Ok(elements)
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Refusal> {
        if self.peek() != Some(byte) {
            return Err(Refusal::Json);
        }
        self.at += 1;
        Ok(())
    }

    fn colon(&mut self) -> Result<(), Refusal> {
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Ok(())
    }

    fn end(&mut self) -> Result<(), Refusal> {
        self.skip_space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Refusal::Json) }
    }

    /// What was passed since `begin`.
    fn passed(&self, begin: usize) -> Result<&'a str, Refusal> {
        self.text.get(begin..self.at).ok_or(Refusal::Json)
    }

    /// Items with commas between them, up to `close`.
    fn sequence(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.skip_space();
            item(self)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Refusal::Json),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<JsonValue<'a>, Refusal> {
        if depth > DEPTH_MAX {
            return Err(Refusal::Depth);
        }
        let begin = self.at;
        match self.peek() {
            Some(b'"') => Ok(JsonValue::Text(self.string()?)),
            Some(b'{') => {
                self.at += 1;
                self.sequence(b'}', |scanner| {
                    scanner.string()?;
                    scanner.colon()?;
                    scanner.value(depth + 1).map(drop)
                })?;
                Ok(JsonValue::Object(self.passed(begin)?))
            }
            Some(b'[') => {
                self.at += 1;
                self.sequence(b']', |scanner| scanner.value(depth + 1).map(drop))?;
                Ok(JsonValue::List(self.passed(begin)?))
            }
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => self.number(),
            Some(b'n') => self.word("null").map(|_| JsonValue::Null),
            Some(b't') => self.word("true").map(|_| JsonValue::Bool(true)),
            Some(b'f') => self.word("false").map(|_| JsonValue::Bool(false)),
            _ => Err(Refusal::Json),
        }
    }

    fn word(&mut self, word: &str) -> Result<&'a str, Refusal> {
        let begin = self.at;
        self.at += word.len();
        let passed = self.passed(begin)?;
        if passed == word { Ok(passed) } else { Err(Refusal::Json) }
    }

    fn digits(&mut self) -> Result<(), Refusal> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == begin { Err(Refusal::Json) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<JsonValue<'a>, Refusal> {
        let begin = self.at;
        match self.peek() {
            Some(b'N') => return self.word("NaN").map(JsonValue::Number),
            Some(b'I') => return self.word("Infinity").map(JsonValue::Number),
            Some(b'-') => {
                self.at += 1;
                if self.peek() == Some(b'I') {
                    self.word("Infinity")?;
                    return self.passed(begin).map(JsonValue::Number);
                }
            }
            _ => {}
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.passed(begin).map(JsonValue::Number)
    }

    /// A text: borrowed as it stands when nothing in it is escaped.
    fn string(&mut self) -> Result<Cow<'a, str>, Refusal> {
        self.expect(b'"')?;
        let mut begin = self.at;
        let mut unescaped: Option<String> = None;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            self.at += plain.ok_or(Refusal::Json)?;
            let passed = self.passed(begin)?;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(passed),
                        Some(text) => Cow::Owned(text + passed),
                    });
                }
                Some(b'\\') => {
                    self.at += 1;
                    let text = unescaped.get_or_insert_default();
                    text.push_str(passed);
                    text.push(self.escape()?);
                    begin = self.at;
                }
                _ => return Err(Refusal::Json), // A control character.
            }
        }
    }

    fn escape(&mut self) -> Result<char, Refusal> {
        let byte = self.peek().ok_or(Refusal::Json)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4()?;
                let code = match first {
                    0xd800..0xdc00 => {
                        self.expect(b'\\')?;
                        self.expect(b'u')?;
                        let low = self.hex4()?.checked_sub(0xdc00).filter(|low| *low < 0x400);
                        0x1_0000 + ((first - 0xd800) << 10) + low.ok_or(Refusal::Json)?
                    }
                    _ => first,
                };
                char::from_u32(code).ok_or(Refusal::Json)?
            }
            _ => return Err(Refusal::Json),
        })
    }

    fn hex4(&mut self) -> Result<u32, Refusal> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Refusal::Json)?;
        self.at += 4;
        digits.chars().try_fold(0, |code, digit| Some(code << 4 | digit.to_digit(16)?)).ok_or(Refusal::Json)
    }
}

#[cfg(test)]
mod tests;
