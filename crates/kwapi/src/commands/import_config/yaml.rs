//! YAML, as far as the files of Prometheus and its exporters need it: texts, lists and mappings. All scalars are texts; an
//! alias stands for what it names.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Lists in lists go this deep.
const DEPTH_MAX: usize = 100;
/// Values in one document, those that aliases repeat counted each time.
const NODES_MAX: usize = 4_000_000;
/// A text of so many bytes counts as one value more.
const TEXT_BYTES: usize = 64;
const TOO_MANY: &str = "too many values";

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Yaml {
    Nothing,
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

/// A list or mapping that is not closed yet.
struct Open {
    value: Yaml,
    /// The key whose value comes next.
    key: Option<String>,
    anchor: usize,
}

impl Yaml {
    /// Reads the first document of a text.
    ///
    /// # Errors
    /// Where it is no YAML, or too much of it, with the line.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut open: Vec<Open> = Vec::new();
        let mut anchors: Vec<(usize, Self, usize)> = Vec::new();
        let mut nodes = 0_usize;
        for event in Parser::new_from_str(text) {
            let (event, _) = event.map_err(|error| error.to_string())?;
            let (value, anchor) = match event {
                Event::Scalar(text, style, anchor, _) => {
                    let is_plain = style == ScalarStyle::Plain;
                    let is_nothing = is_plain && ["", "~", "null"].contains(&text.as_ref());
                    (if is_nothing { Self::Nothing } else { Self::Text(text.into_owned()) }, anchor)
                }
                Event::Alias(anchor) => {
                    let named = anchors.iter().rev().find(|(name, ..)| *name == anchor);
                    let (_, value, size) = named.ok_or("an alias names what is not complete")?;
                    nodes += size;
                    if nodes > NODES_MAX {
                        return Err(TOO_MANY.to_owned());
                    }
                    (value.clone(), 0)
                }
                Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _)
                    if open.len() >= DEPTH_MAX =>
                {
                    return Err(format!("too deeply nested ({anchor})"));
                }
                Event::SequenceStart(anchor, _) => {
                    open.push(Open { value: Self::List(Vec::new()), key: None, anchor });
                    continue;
                }
                Event::MappingStart(anchor, _) => {
                    open.push(Open { value: Self::Map(Vec::new()), key: None, anchor });
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(Open { value, anchor, .. }) = open.pop() else { continue };
                    (value, anchor)
                }
                Event::DocumentEnd | Event::StreamEnd => break,
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => continue,
            };
            nodes += match &value {
                Self::Text(text) => 1 + text.len() / TEXT_BYTES,
                Self::Nothing | Self::List(_) | Self::Map(_) => 1,
            };
            if nodes > NODES_MAX {
                return Err(TOO_MANY.to_owned());
            }
            if anchor > 0 {
                let size = value.size();
                nodes += size;
                anchors.push((anchor, value.clone(), size));
            }
            let Some(parent) = open.last_mut() else { return Ok(value) };
            match (&mut parent.value, parent.key.take()) {
                (Self::List(items), _) => items.push(value),
                (Self::Map(entries), Some(key)) => entries.push((key, value)),
                (Self::Map(_), None) => match value {
                    Self::Text(key) => parent.key = Some(key),
                    Self::Nothing => parent.key = Some(String::new()),
                    Self::List(_) | Self::Map(_) => return Err("a key must be a text".to_owned()),
                },
                (Self::Nothing | Self::Text(_), _) => {}
            }
        }
        Ok(Self::Nothing)
    }

    fn size(&self) -> usize {
        match self {
            Self::Nothing => 1,
            Self::Text(text) => 1 + text.len() / TEXT_BYTES,
            Self::List(items) => items.iter().map(Self::size).sum::<usize>() + 1,
            Self::Map(entries) => entries.iter().map(|(_, value)| value.size()).sum::<usize>() + 1,
        }
    }

    /// What a mapping has under a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().rev().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The text under a key.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::text)
    }

    /// Its text, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Nothing | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The items of a list; of anything else there are none.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Nothing | Self::Text(_) | Self::Map(_) => &[],
        }
    }

    /// The entries of a mapping; of anything else there are none.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            Self::Nothing | Self::Text(_) | Self::List(_) => &[],
        }
    }

    /// The texts of a list, or the one that stands in its place.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            _ => self.items().iter().filter_map(Self::text).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_mappings_and_aliases_are_read() {
        let yaml =
            Yaml::read("a: &x [1, 'two', null]\nb: { c: *x }\n'd e':\n- f: |\n    g\n    h\n- ~\n").unwrap();
        let list = yaml.get("a").unwrap();
        assert_eq!(list.texts(), ["1", "two"]);
        assert_eq!(yaml.get("b").unwrap().get("c"), Some(list));
        assert_eq!(yaml.get("d e").unwrap().items()[0].text_of("f"), Some("g\nh\n"));
        assert_eq!(yaml.get("d e").unwrap().items()[1], Yaml::Nothing);
        assert_eq!(Yaml::read("").unwrap(), Yaml::Nothing);
    }

    #[test]
    fn what_is_no_yaml_or_too_much_is_refused() {
        for wrong in ["a: [1", "a: b: c", "{a: 1", "? [1]\n: 2", "*nobody"] {
            assert!(Yaml::read(wrong).is_err(), "{wrong}");
        }
        assert!(Yaml::read(&"[".repeat(10_000)).is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            bomb += &format!("a{level}: &a{level} [{before}]\n");
        }
        assert_eq!(Yaml::read(&bomb), Err("too many values".to_owned()));
        let long = format!("a: &a '{}'\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(1_000));
        assert_eq!(Yaml::read(&long), Err("too many values".to_owned()));
    }
}
