//! A key of a driver: what an operator, the manual and `kwapi check` require of it.

use std::path::Path;

/// One of a driver's own keys of the `[[meter]]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverKey {
    /// What it is called.
    pub name: &'static str,
    /// What it is, in a few words.
    pub meaning: &'static str,
    /// The unit of a number, as it is written behind one: `s`, `W`.
    pub unit: Option<&'static str>,
    /// What holds where it is left out.
    pub default: KeyDefault,
    /// Whether its value is nobody's business: a password, a community. It shows in no log and no error.
    pub is_secret: bool,
    /// Whether it is about access to the device (a user, a protocol, which certificates to trust), and not which it is
    /// or what it measures: a meter that is changed there keeps its registers.
    pub is_login: bool,
    /// What its value names on this machine, if it names anything.
    pub names: Option<Names>,
}

/// What holds where a key is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyDefault {
    /// It must be given.
    Required,
    /// Nothing: the driver does without.
    Nothing,
    /// This value, as TOML has it.
    Value(&'static str),
    /// What these words state.
    Words(&'static str),
}

/// What a key's value names on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// A directory of `*.toml` files, read when a meter opens: the one that another key names, or all of them.
    Definitions {
        /// That other key: `profile`, `map`.
        chosen_by: &'static str,
    },
    /// In `ca:FILE`, the certificates of an authority (PEM), read when a meter opens.
    Authority,
    /// A device of the system, opened for reading and writing.
    Device,
    /// A directory of the kernel's, read at every reading.
    Kernel,
    /// In `unix:PATH`, a socket that the meter makes.
    Socket,
}

impl DriverKey {
    /// A key that may be left out.
    pub const fn new(name: &'static str, meaning: &'static str) -> Self {
        let (unit, default, names) = (None, KeyDefault::Nothing, None);
        Self { name, meaning, unit, default, is_secret: false, is_login: false, names }
    }

    /// A key that must be given.
    pub const fn required(name: &'static str, meaning: &'static str) -> Self {
        Self { default: KeyDefault::Required, ..Self::new(name, meaning) }
    }

    /// The value that holds where it is left out, as TOML has it: `161`, `"auto"`.
    #[must_use]
    pub const fn or(self, value: &'static str) -> Self {
        Self { default: KeyDefault::Value(value), ..self }
    }

    /// What holds where it is left out, in words.
    #[must_use]
    pub(crate) const fn otherwise(self, words: &'static str) -> Self {
        Self { default: KeyDefault::Words(words), ..self }
    }

    /// Its number is in this unit.
    #[must_use]
    pub(crate) const fn in_unit(self, unit: &'static str) -> Self {
        Self { unit: Some(unit), ..self }
    }

    /// Its value is a secret, and part of a login.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self { is_secret: true, is_login: true, ..self }
    }

    /// It is about access to the device, and not which it is.
    #[must_use]
    pub const fn login(self) -> Self {
        Self { is_login: true, ..self }
    }

    /// Its value names something on this machine.
    #[must_use]
    pub(crate) const fn naming(self, names: Names) -> Self {
        Self { names: Some(names), ..self }
    }

    /// What `value`, of this key, names on this machine.
    pub fn path<'a>(&self, value: &'a str) -> Option<(Names, &'a Path)> {
        let names = self.names?;
        let path = match names {
            Names::Definitions { .. } | Names::Device | Names::Kernel => Some(value),
            Names::Authority => value.strip_prefix("ca:"),
            Names::Socket => value.strip_prefix("unix:"),
        };
        path.filter(|path| !path.is_empty()).map(|path| (names, Path::new(path)))
    }
}

impl KeyDefault {
    /// As a table of keys shows it; empty where the key must be given.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Required => "",
            Self::Nothing => "none",
            Self::Value(text) | Self::Words(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_follows_the_prefix_of_its_kind() {
        let tls = DriverKey::new("tls", "certificate verification").naming(Names::Authority);
        assert_eq!(tls.path("ca:/etc/site.pem"), Some((Names::Authority, Path::new("/etc/site.pem"))));
        for none in ["system", "ca:", "sha256:00"] {
            assert_eq!(tls.path(none), None, "{none}");
        }
        let listen = DriverKey::new("listen", "where").naming(Names::Socket);
        assert_eq!(listen.path("unix:/run/a.sock"), Some((Names::Socket, Path::new("/run/a.sock"))));
        assert_eq!(listen.path("127.0.0.1:4711"), None);
        let maps = DriverKey::new("maps", "maps").naming(Names::Definitions { chosen_by: "map" });
        assert_eq!(maps.path("maps.d").map(|(_, path)| path), Some(Path::new("maps.d")));
        assert_eq!(DriverKey::new("unit", "which").path("7"), None);
    }
}
