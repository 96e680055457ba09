//! The hosts an operator means: names, addresses, ranges, CIDR blocks.

use std::net::Ipv4Addr;

use kwapi_core::ranges::expand_names;

/// A larger block than this (/16) is a typing mistake, and would take an hour at a polite rate.
const BLOCK_BITS_MAX: u32 = 16;
/// More hosts than this in all take days at a polite rate, and are refused.
const HOSTS_MAX: usize = 200_000;

/// Expands them, in the order they stand.
///
/// # Errors
/// When one makes no sense, as one line.
pub(super) fn expand(written: &[String]) -> Result<Vec<String>, String> {
    let mut hosts = Vec::new();
    for text in written {
        match text.split_once('/') {
            Some((address, bits)) => hosts.extend(block(text, address, bits)?),
            None => hosts.extend(expand_names(text).map_err(|error| error.to_string())?),
        }
        if hosts.len() > HOSTS_MAX {
            return Err(format!("{text}: more than {HOSTS_MAX} hosts in total; split it"));
        }
    }
    Ok(hosts)
}

/// The hosts of an IPv4 block; of a real network, without its own and its broadcast address.
fn block(text: &str, address: &str, bits: &str) -> Result<Vec<String>, String> {
    let (Ok(address), Ok(bits)) = (address.parse::<Ipv4Addr>(), bits.parse::<u32>()) else {
        return Err(format!("{text}: invalid block; write it like 10.0.0.0/24"));
    };
    let host_bits =
        32_u32.checked_sub(bits).ok_or_else(|| format!("{text}: the prefix must be at most /32"))?;
    if host_bits > BLOCK_BITS_MAX {
        return Err(format!("{text}: larger than a /{}; split it", 32 - BLOCK_BITS_MAX));
    }
    let size = 1_u32 << host_bits;
    let network = u32::from(address) & !(size - 1);
    let (first, end) = if host_bits >= 2 { (1, size - 1) } else { (0, size) };
    Ok((first..end).map(|offset| Ipv4Addr::from(network + offset).to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match expand(&[text.to_owned()]) {
            Ok(hosts) => hosts.join(" "),
            Err(problem) => problem,
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn a_block_is_its_hosts() {
        check("10.0.0.9/30", "10.0.0.9 10.0.0.10");
        check("10.0.0.8/31", "10.0.0.8 10.0.0.9");
        check("10.0.0.8/32", "10.0.0.8");
        check("n[1-2]-bmc", "n1-bmc n2-bmc");
    }

    #[test]
    fn nonsense_is_refused() {
        check("10.0.0.0/8", "10.0.0.0/8: larger than a /16; split it");
        check("10.0.0.0/33", "10.0.0.0/33: the prefix must be at most /32");
        check("host/x", "host/x: invalid block; write it like 10.0.0.0/24");
    }
}
