//! Failed logins: five a minute an address and name, thirty a minute an address. More wait.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Failures of one name from one address within [`WINDOW`].
const FAILURES_MAX: usize = 5;
/// Failures of all names from one address: who guesses names is no better than who guesses passwords.
const OF_ADDRESS_MAX: usize = 30;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses and names that are remembered. Full: those that failed longest ago are forgotten.
const REMEMBERED_MAX: usize = 8_192;

/// Whose attempts: an address, and a name given from there; none for all of them.
type Who = (IpAddr, Option<String>);

/// The failures of the last minute.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<Who, VecDeque<Instant>>>);

impl Attempts {
    /// Begins an attempt, which counts as failed until it is [forgiven](Self::forgive): many at once are no way around.
    ///
    /// # Errors
    /// With how long to wait, when there were too many.
    pub(super) fn begin(&self, address: IpAddr, name: &str, now: Instant) -> Result<(), Duration> {
        let mut all = self.0.lock();
        for who in whos(address, name) {
            let most = if who.1.is_some() { FAILURES_MAX } else { OF_ADDRESS_MAX };
            let Some(failures) = all.get_mut(&who) else { continue };
            failures.retain(|at| now.duration_since(*at) < WINDOW);
            if failures.len() >= most
                && let Some(first) = failures.front()
            {
                return Err(WINDOW.saturating_sub(now.duration_since(*first)));
            }
        }
        make_room(&mut all, now);
        for who in whos(address, name) {
            all.entry(who).or_default().push_back(now);
        }
        Ok(())
    }

    /// Takes back an attempt that did not fail, or whose outcome is unknown.
    pub(super) fn forgive(&self, address: IpAddr, name: &str) {
        let mut all = self.0.lock();
        for who in whos(address, name) {
            if let Some(failures) = all.get_mut(&who) {
                failures.pop_back();
                if failures.is_empty() {
                    all.remove(&who);
                }
            }
        }
    }
}

fn whos(address: IpAddr, name: &str) -> [Who; 2] {
    /// A name is long enough to be distinguished from others by so many characters.
    const CHARS_MAX: usize = 100;
    let address = network(address);
    let name = name.chars().take(CHARS_MAX).flat_map(char::to_lowercase).collect();
    [(address, Some(name)), (address, None)]
}

/// An address; of IPv6 its network, since everybody has 2^64 addresses there.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

fn make_room(all: &mut HashMap<Who, VecDeque<Instant>>, now: Instant) {
    if all.len() + 2 <= REMEMBERED_MAX {
        return;
    }
    all.retain(|_, failures| failures.back().is_some_and(|at| now.duration_since(*at) < WINDOW));
    // An eighth at once, so that a full table is not searched at every attempt.
    if all.len() + 2 > REMEMBERED_MAX {
        let mut ages: Vec<Instant> = all.values().filter_map(|failures| failures.back().copied()).collect();
        ages.sort_unstable();
        let limit = ages.get(REMEMBERED_MAX / 8).copied();
        let mut left = REMEMBERED_MAX / 8;
        all.retain(|_, failures| {
            let is_old = left > 0 && failures.back().copied() <= limit;
            left -= usize::from(is_old);
            !is_old
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    #[test]
    fn the_sixth_failure_of_a_name_from_an_address_waits_and_others_do_not() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let at = |second: u64| start + Duration::from_secs(second);
        for second in 0..5 {
            attempts.begin(HERE, "ada", at(second)).unwrap();
        }
        assert_eq!(attempts.begin(HERE, "ADA", at(19)), Err(Duration::from_secs(41)));
        attempts.begin(HERE, "bob", at(19)).unwrap();
        attempts.begin(THERE, "ada", at(19)).unwrap();
        attempts.begin(HERE, "ada", at(60)).unwrap();
        assert_eq!(attempts.begin(HERE, "ada", at(60)), Err(Duration::from_secs(1)));
    }

    #[test]
    fn what_succeeded_does_not_count_and_many_at_once_do() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..40 {
            attempts.begin(HERE, "ada", now).unwrap();
            attempts.forgive(HERE, "ada");
        }
        assert!(attempts.0.lock().is_empty());
        let under_way = (0..20).filter(|_| attempts.begin(HERE, "ada", now).is_ok()).count();
        assert_eq!(under_way, FAILURES_MAX);
    }

    #[test]
    fn who_guesses_names_waits_as_well_and_a_network_of_ipv6_is_one_address() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let address = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 9, 9, 9, last));
        let let_in = (0..100).filter(|name| attempts.begin(address(*name), &name.to_string(), now).is_ok());
        assert_eq!(let_in.count(), OF_ADDRESS_MAX);
        attempts.begin(HERE, "0", now).unwrap();
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..20_000_u32 {
            _ = attempts.begin(IpAddr::V4(number.into()), "ada", now);
            assert!(attempts.0.lock().len() <= REMEMBERED_MAX);
        }
    }
}
