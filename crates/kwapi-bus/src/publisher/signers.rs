//! The keys that a publisher signs with, in turn.

use kwapi_core::Timestamp;

use crate::key::{Key, KeyError, Scheme};
use crate::message::Signer;

/// What a publisher signs with, each while its key is valid.
#[derive(Debug)]
pub(super) struct Signers {
    /// Those that begin last come first.
    all: Vec<(Option<Key>, Signer)>,
    /// Whether the newest measurement found none.
    has_none: bool,
}

impl Signers {
    pub(super) fn new(scheme: Scheme, keys: &[Key]) -> Result<Self, KeyError> {
        let mut all = match keys {
            [] => vec![(None, Signer::new(scheme, None)?)],
            keys => {
                let signer = |key: &Key| Ok((Some(key.clone()), Signer::new(scheme, Some(key))?));
                keys.iter().map(signer).collect::<Result<Vec<_>, KeyError>>()?
            }
        };
        if let Some(twice) =
            keys.iter().enumerate().find(|(at, key)| keys.iter().skip(at + 1).any(|it| it.id == key.id))
        {
            return Err(KeyError::Twice(twice.1.id.clone()));
        }
        all.sort_by_key(|(key, _)| std::cmp::Reverse(key.as_ref().and_then(|key| key.valid_from)));
        Ok(Self { all, has_none: false })
    }

    /// The one for what was measured at `at`; `None` where no key is valid then, which is logged once.
    pub(super) fn at(&mut self, at: Option<Timestamp>) -> Option<&Signer> {
        let is_valid = |key: &Option<Key>| key.as_ref().zip(at).is_none_or(|(key, at)| key.is_valid(at));
        let found = self.all.iter().find(|(key, _)| is_valid(key));
        if found.is_none() && !self.has_none {
            tracing::error!("no signing key is valid now; nothing is published. Add one to `key` in [bus]");
        } else if found.is_some() && self.has_none {
            tracing::info!("a signing key is valid again; publishing");
        }
        self.has_none = found.is_none();
        found.map(|(_, signer)| signer)
    }
}

#[cfg(test)]
mod tests {
    use kwapi_core::Measurement;

    use super::*;
    use crate::message::Wire;

    #[test]
    fn of_the_keys_that_are_valid_the_one_that_began_last_signs() {
        let at = Timestamp::from_seconds;
        let key = |id: &str, from, until| Key {
            valid_from: Some(at(from)),
            valid_until: Some(at(until)),
            ..Key::new(id, "0123456789abcdef")
        };
        let keys = [key("old", 10, 30), key("new", 20, 40)];
        let mut signers = Signers::new(Scheme::Kwapi1, &keys).unwrap();
        let mut id = |second| {
            let mut wire = Wire::default();
            let measurement = Measurement {
                probe: kwapi_core::ProbeId::new("a").unwrap(),
                power: kwapi_core::Watts(1.0),
                voltage: None,
                current: None,
                accounting: None,
            };
            signers.at(Some(at(second)))?.encode(&measurement, &mut wire);
            let payload = String::from_utf8(wire.payload).unwrap();
            let (_, signature) = payload.split_once("\"1:").unwrap();
            Some(signature.split_once(':').unwrap().0.to_owned())
        };
        let (old, new) = (|| Some("old".to_owned()), || Some("new".to_owned()));
        assert_eq!([9, 10, 19, 20, 30, 39, 40].map(&mut id), [None, old(), old(), new(), new(), new(), None]);
        let twice = [key("k", 1, 2), key("k", 2, 3)];
        assert_eq!(Signers::new(Scheme::Kwapi1, &twice).err(), Some(KeyError::Twice("k".into())));
        assert!(Signers::new(Scheme::Kwapi1, &[]).is_err() && Signers::new(Scheme::None, &keys).is_err());
    }
}
