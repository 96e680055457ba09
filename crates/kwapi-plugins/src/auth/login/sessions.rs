//! Logins that are open. A browser has a random name of its own for each; the token that stands for its owner stays here,
//! and is judged at every request as if it had been sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kwapi_core::Secret;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// Logins at a time. Full: the one unused for longest ends.
const OPEN_MAX: usize = 4_096;
/// Of one owner. Full: the one unused for longest ends, so that nobody pushes others out.
const OF_OWNER_MAX: usize = 64;

/// An open login.
#[derive(Clone, Debug)]
pub(super) struct OpenLogin {
    /// Whose it is.
    pub(super) who: Arc<str>,
    /// What stands for them.
    pub(super) token: Arc<Secret>,
    opened: Instant,
    used: Instant,
}

/// The open logins, by the hash of what their browsers call them, so that memory does not hold a cookie that is good.
#[derive(Debug, Default)]
pub(super) struct OpenLogins(Mutex<HashMap<[u8; 32], OpenLogin>>);

impl OpenLogins {
    /// Opens one, and returns its name; `None` where the system has no random numbers.
    pub(super) fn open(&self, who: Arc<str>, token: Secret, now: Instant) -> Option<String> {
        let mut random = [0; 32];
        let provider = rustls::crypto::ring::default_provider();
        provider.secure_random.fill(&mut random).ok()?;
        let name = URL_SAFE_NO_PAD.encode(random);
        let mut all = self.0.lock();
        make_room(&mut all, OF_OWNER_MAX, |login| login.who == who);
        make_room(&mut all, OPEN_MAX, |_| true);
        all.insert(hash(&name), OpenLogin { who, token: Arc::new(token), opened: now, used: now });
        Some(name)
    }

    /// The login of this name, which counts as used now; `None` where there is none, or it has ended: unused for `idle_max`,
    /// or older than `age_max`.
    pub(super) fn find(
        &self,
        name: &str,
        (idle_max, age_max): (Duration, Duration),
        now: Instant,
    ) -> Option<OpenLogin> {
        let (mut all, key) = (self.0.lock(), hash(name));
        let login = all.get_mut(&key)?;
        if now.duration_since(login.used) >= idle_max || now.duration_since(login.opened) >= age_max {
            all.remove(&key);
            return None;
        }
        login.used = now;
        Some(login.clone())
    }

    /// Ends one, if it is there.
    pub(super) fn close(&self, name: &str) -> Option<OpenLogin> {
        self.0.lock().remove(&hash(name))
    }
}

fn hash(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}

/// Ends those that were unused for longest until there is room for one more of this kind.
fn make_room(all: &mut HashMap<[u8; 32], OpenLogin>, most: usize, is_of_kind: impl Fn(&OpenLogin) -> bool) {
    while all.values().filter(|login| is_of_kind(login)).count() >= most {
        let of_kind = all.iter().filter(|(_, login)| is_of_kind(login));
        let Some(oldest) = of_kind.min_by_key(|(_, login)| login.used).map(|(key, _)| *key) else { return };
        all.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIMES: (Duration, Duration) = (Duration::from_secs(100), Duration::from_secs(1_000));

    fn open(logins: &OpenLogins, who: &str, now: Instant) -> String {
        logins.open(who.into(), Secret::new(format!("{who}-token")), now).unwrap()
    }

    #[test]
    fn a_login_ends_unused_or_old_or_closed_and_its_name_cannot_be_guessed() {
        let (logins, start) = (OpenLogins::default(), Instant::now());
        let at = |second: u64| start + Duration::from_secs(second);
        let [a, b, c] = [0; 3].map(|second| open(&logins, "ada", at(second)));
        assert!(a != b && a.len() == 43);
        assert_eq!(logins.find(&a, LIFETIMES, at(99)).unwrap().token.expose(), "ada-token");
        assert!(logins.find(&b, LIFETIMES, at(100)).is_none() && logins.find(&b, LIFETIMES, at(1)).is_none());
        assert!((1..10).all(|turn| logins.find(&a, LIFETIMES, at(99 * turn)).is_some()));
        assert!(logins.find(&a, LIFETIMES, at(1_000)).is_none());
        assert!(logins.close(&c).is_some() && logins.find(&c, LIFETIMES, at(1)).is_none());
        assert!(logins.find("", LIFETIMES, at(1)).is_none());
    }

    #[test]
    fn one_owner_has_room_of_its_own_and_all_together_are_bounded() {
        let (logins, now) = (OpenLogins::default(), Instant::now());
        let bob = open(&logins, "bob", now);
        let later = |turn: usize| now + Duration::from_micros(turn as u64 + 1);
        let names: Vec<String> = (0..200).map(|turn| open(&logins, "ada", later(turn))).collect();
        let is_open = |name: &String| logins.find(name, LIFETIMES, later(200)).is_some();
        assert!(is_open(&bob) && is_open(&names[199]) && is_open(&names[200 - OF_OWNER_MAX]));
        assert!(!is_open(&names[199 - OF_OWNER_MAX]));
        (0..5_000).for_each(|turn| drop(open(&logins, &format!("user{turn}"), later(300 + turn))));
        assert_eq!(logins.0.lock().len(), OPEN_MAX);
    }
}
