//! Names of probes that were met in messages that verify, each once in memory.

use std::collections::HashMap;

use kwapi_core::{ProbeId, ProbeIdError, Succession};

/// No more are remembered: each message of another probe has a name of its own.
const NAMES_MAX: usize = 1 << 18;

/// The probes of one endpoint, in the order they were first received. Their messages come in nearly the same order
/// again and again, and share one name: whoever compares names that came from here compares two addresses.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: Vec<ProbeId>,
    numbers: HashMap<ProbeId, u32>,
    succession: Succession,
}

impl Names {
    /// The probe called `name`.
    ///
    /// # Errors
    /// See [`ProbeId::new`].
    pub(super) fn probe(&mut self, name: &str) -> Result<ProbeId, ProbeIdError> {
        let guess = self.succession.guess();
        if let Some(probe) = self.all.get(guess as usize).filter(|probe| probe.as_str() == name) {
            self.succession.note(guess);
            return Ok(probe.clone());
        }
        if let Some((probe, number)) = self.numbers.get_key_value(name) {
            self.succession.note(*number);
            return Ok(probe.clone());
        }
        let probe = ProbeId::new(name)?;
        if self.all.len() < NAMES_MAX {
            let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
            self.all.push(probe.clone());
            self.numbers.insert(probe.clone(), number);
            self.succession.note(number);
        }
        Ok(probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probes_messages_share_one_name_in_whatever_order_they_come() {
        let mut names = Names::default();
        let first: Vec<_> = ["a", "b", "c"].map(|name| names.probe(name).unwrap()).into();
        for name in ["c", "a", "b", "b", "a", "c"] {
            let again = names.probe(name).unwrap();
            assert!(first.iter().any(|probe| std::ptr::eq(probe.as_str(), again.as_str())), "{name}");
            assert_eq!(again.as_str(), name);
        }
        assert_eq!(names.probe(""), Err(ProbeIdError::Empty));
    }

    #[test]
    fn no_more_names_are_kept_than_there_may_be() {
        let mut names = Names::default();
        for number in 0..NAMES_MAX + 3 {
            assert_eq!(names.probe(&number.to_string()).unwrap().as_str(), number.to_string());
        }
        assert_eq!((names.all.len(), names.numbers.len()), (NAMES_MAX, NAMES_MAX));
        assert_eq!(names.probe("7").unwrap().as_str(), "7");
    }
}
