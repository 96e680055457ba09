//! Configuration files as OpenStack's services have them (oslo.config): `[section]`, `key = value`, a key several times
//! where it has several values, and lines that continue with a space.

/// A file: its sections in order, `DEFAULT` among them.
#[derive(Clone, Debug, Default)]
pub(super) struct OsloFile {
    pub(super) sections: Vec<OsloSection>,
}

/// A section.
#[derive(Clone, Debug)]
pub(super) struct OsloSection {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) options: Vec<OsloOption>,
}

/// A key with a value.
#[derive(Clone, Debug)]
pub(super) struct OsloOption {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) line: usize,
}

impl OsloFile {
    /// Reads a file of the original Kwapi; `None` where it is none of its.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut file = Self::default();
        for (index, line) in text.lines().enumerate() {
            let content = line.trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with([' ', '\t'])
                && let Some(option) = file.sections.last_mut().and_then(|section| section.options.last_mut())
            {
                option.value += "\n";
                option.value += content;
                continue;
            }
            if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                let name = name.trim().to_owned();
                file.sections.push(OsloSection { name, line: index + 1, options: Vec::new() });
                continue;
            }
            let (key, value) = content.split_once(['=', ':'])?;
            let value = unquoted(value.trim()).to_owned();
            let option = OsloOption { key: key.trim().to_owned(), value, line: index + 1 };
            file.sections.last_mut()?.options.push(option);
        }
        let is_of_kwapi = |section: &OsloSection| {
            let known = ["probes_endpoint", "forwarder_endpoint", "driver_metering_secret"];
            known.iter().any(|key| section.get(key).is_some())
                || section.get("driver").is_some() && section.get("probes").is_some()
        };
        file.sections.iter().any(is_of_kwapi).then_some(file)
    }

    /// The section of that name.
    pub(super) fn section(&self, name: &str) -> Option<&OsloSection> {
        self.sections.iter().find(|section| section.name == name)
    }
}

impl OsloSection {
    /// The value of a key, the last if it has several.
    pub(super) fn get(&self, key: &str) -> Option<&OsloOption> {
        self.options.iter().rev().find(|option| option.key == key)
    }

    /// All values of a key.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &OsloOption> {
        self.options.iter().filter(move |option| option.key == key)
    }

    /// The text of a key that is not empty.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(|option| option.value.as_str()).filter(|value| !value.is_empty())
    }

    /// A switch; `None` where it is not there or is none.
    pub(super) fn is_on(&self, key: &str) -> Option<bool> {
        match self.text(key)?.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => Some(true),
            "false" | "0" | "off" | "no" => Some(false),
            _ => None,
        }
    }
}

/// Quotes around a whole value are not part of it.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_repeated_keys_and_lines_that_continue_are_read() {
        let text = "; a comment\n[DEFAULT]\nprobes_endpoint = ipc:///run/one\nprobes_endpoint: ipc:///run/two\n\
                    secret = \"with space \"\n\n[left rack]\nprobes = ['a',\n          'b']\ndriver=Dummy\n";
        let file = OsloFile::read(text).unwrap();
        let default = file.section("DEFAULT").unwrap();
        let endpoints: Vec<&str> =
            default.all("probes_endpoint").map(|option| option.value.as_str()).collect();
        assert_eq!(endpoints, ["ipc:///run/one", "ipc:///run/two"]);
        assert_eq!(default.text("secret"), Some("with space "));
        let rack = file.section("left rack").unwrap();
        assert_eq!((rack.line, rack.get("probes").unwrap().line), (7, 8));
        assert_eq!(rack.text("probes"), Some("['a',\n'b']"));
    }

    #[test]
    fn what_is_of_another_program_is_not_taken() {
        for text in ["", "[DEFAULT]\ndebug = true\n", "key = value\n", "[a]\nno pair\n"] {
            assert!(OsloFile::read(text).is_none(), "{text}");
        }
    }
}
