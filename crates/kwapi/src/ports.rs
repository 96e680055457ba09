//! Where the well-known ports are taken: who usually lives there, and which key moves us.

use std::io;
use std::net::SocketAddr;

/// An error about listening on `address`, which `key` of the configuration sets.
pub(crate) fn cannot_listen(address: SocketAddr, key: &str, error: &io::Error) -> String {
    let advice = format!("set `{key}` to another address, or port 0 for any");
    match error.kind() {
        io::ErrorKind::AddrInUse => match usual_tenant(address.port()) {
            Some(tenant) => {
                format!(
                    "port {} on {} is in use, usually by {tenant}; {advice}",
                    address.port(),
                    address.ip()
                )
            }
            None => format!("port {} on {} is in use; {advice}", address.port(), address.ip()),
        },
        io::ErrorKind::PermissionDenied => {
            format!(
                "permission denied to listen on {address}: ports below 1024 require CAP_NET_BIND_SERVICE; {advice}"
            )
        }
        _ => format!("cannot listen on {address}: {error}; {advice}"),
    }
}

fn usual_tenant(port: u16) -> Option<&'static str> {
    match port {
        5000 => Some("Keystone"),
        8080 => Some("another web server, or an earlier kwapi"),
        8777 => Some("Ceilometer's API"),
        5061..=5064 => Some("another kwapi's status listener"),
        9090 => Some("Prometheus"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_who_lives_there_and_which_key_changes_it() {
        let error = io::Error::from(io::ErrorKind::AddrInUse);
        let message = cannot_listen(([127, 0, 0, 1], 5000).into(), "api.listen", &error);
        assert_eq!(
            message,
            "port 5000 on 127.0.0.1 is in use, usually by Keystone; set `api.listen` to another address, or port 0 for any"
        );
    }
}
