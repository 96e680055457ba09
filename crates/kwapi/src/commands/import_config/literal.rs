//! Python literals, as the original's options have them: `['A', None, 'C']`, `{'host': '10.0.0.1', 'min': 10}`.

/// Lists in lists go this deep.
const DEPTH_MAX: usize = 16;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Nothing,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Literal>),
    Map(Vec<(String, Literal)>),
}

impl Literal {
    /// Reads one value, and nothing after it.
    ///
    /// # Errors
    /// Where it is none, in words.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text };
        let value = reader.value(DEPTH_MAX)?;
        reader.skip_space();
        if reader.rest.is_empty() { Ok(value) } else { Err(reader.unexpected()) }
    }

    /// As text, where it is text or a number.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            Self::Nothing | Self::Bool(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// As a number, where it is one, also in quotes.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Nothing | Self::Bool(_) | Self::List(_) | Self::Map(_) => None,
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, character: char) -> bool {
        self.skip_space();
        let after = self.rest.strip_prefix(character);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn unexpected(&self) -> String {
        match self.rest.chars().next() {
            Some(_) => format!("unexpected {:?}", self.rest.chars().take(12).collect::<String>()),
            None => "it ends too early".to_owned(),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Literal, String> {
        let depth = depth.checked_sub(1).ok_or("too deeply nested")?;
        self.skip_space();
        if self.take('[') {
            return self.items(']', depth).map(Literal::List);
        }
        if self.take('(') {
            return self.items(')', depth).map(Literal::List);
        }
        if self.take('{') {
            return self.entries(depth).map(Literal::Map);
        }
        let after_prefix = self.rest.strip_prefix(['u', 'b', 'r']).unwrap_or(self.rest);
        if after_prefix.starts_with(['\'', '"']) {
            self.rest = after_prefix;
            return self.quoted().map(Literal::Text);
        }
        self.word()
    }

    fn items(&mut self, end: char, depth: usize) -> Result<Vec<Literal>, String> {
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(self.value(depth)?);
            if !self.take(',') {
                return if self.take(end) { Ok(items) } else { Err(self.unexpected()) };
            }
        }
        Ok(items)
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(String, Literal)>, String> {
        let mut entries = Vec::new();
        while !self.take('}') {
            let key = self.value(depth)?.text().ok_or("a key must be a string")?;
            if !self.take(':') {
                return Err(self.unexpected());
            }
            entries.push((key, self.value(depth)?));
            if !self.take(',') {
                return if self.take('}') { Ok(entries) } else { Err(self.unexpected()) };
            }
        }
        Ok(entries)
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut characters = self.rest.char_indices();
        let quote = characters.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, character)) = characters.next() {
            if Some(character) == quote {
                self.rest = self.rest.get(at + character.len_utf8()..).unwrap_or_default();
                return Ok(text);
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(escaped @ ('\\' | '\'' | '"')) => text.push(escaped),
                // As Python leaves it.
                Some(other) => text.extend(['\\', other]),
                None => break,
            }
        }
        Err("a quote is not closed".to_owned())
    }

    fn word(&mut self) -> Result<Literal, String> {
        let is_part =
            |character: char| character.is_ascii_alphanumeric() || ['.', '+', '-', '_'].contains(&character);
        let end = self.rest.find(|character| !is_part(character)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let value = match word {
            "None" => Literal::Nothing,
            "True" => Literal::Bool(true),
            "False" => Literal::Bool(false),
            _ => match word.parse::<f64>() {
                Ok(number) if number.is_finite() => Literal::Number(number),
                _ => return Err(self.unexpected()),
            },
        };
        self.rest = rest;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Literal {
        Literal::Text(text.to_owned())
    }

    #[test]
    fn lists_and_dictionaries_of_python_are_read() {
        let list = Literal::read(" [ 'a', None, u\"b\\'c\", ] ").unwrap();
        assert_eq!(list, Literal::List(vec![text("a"), Literal::Nothing, text("b'c")]));
        let map = Literal::read("{'host': 'x', 'min': 10, \"on\":True, 'l': (1.5,)}").unwrap();
        let expected = vec![
            ("host".to_owned(), text("x")),
            ("min".to_owned(), Literal::Number(10.0)),
            ("on".to_owned(), Literal::Bool(true)),
            ("l".to_owned(), Literal::List(vec![Literal::Number(1.5)])),
        ];
        assert_eq!(map, Literal::Map(expected));
        assert_eq!(Literal::read("{}").unwrap(), Literal::Map(Vec::new()));
    }

    #[test]
    fn what_is_no_literal_is_refused() {
        for wrong in
            ["", "[", "['a' 'b'", "{'a'}", "{1:}", "'open", "__import__('os')", "[1] 2", "nan", "{[]: 1}"]
        {
            assert!(Literal::read(wrong).is_err(), "{wrong}");
        }
        assert!(Literal::read(&"[".repeat(100_000)).unwrap_err().contains("nested"));
    }
}
