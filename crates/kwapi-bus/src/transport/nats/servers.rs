//! The servers of an endpoint, and which of them is connected to.

use std::collections::{BTreeMap, VecDeque};

use kwapi_core::hex;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::{sleep, timeout};

use super::address::{NatsAddress, SERVERS_MAX, host_and_port};
use super::connection::{Connection, INBOX, Server};
use super::link::Link;
use super::{RESPONSE_TIMEOUT, RETRY_INTERVAL};

/// Where to connect: the servers that are configured, and the others of their cluster, as far as one has named them. Each
/// attempt is at the next of them, so that one that does not answer is left at once.
#[derive(Debug)]
pub(super) struct Servers {
    address: NatsAddress,
    /// The one that is tried next first.
    all: VecDeque<Server>,
    /// Where answers go to connections from here, but for the number of the connection.
    inbox: String,
    /// Connections so far.
    connections: u64,
}

impl Servers {
    pub(super) fn new(address: NatsAddress) -> Self {
        let server = |(host, port): &(String, u16)| Server {
            host: host.clone(),
            port: *port,
            certified: host.clone(),
        };
        let all = address.servers.iter().map(server).collect();
        let mut random = [0; 12];
        let random = SystemRandom::new().fill(&mut random).map(|()| hex::encode(&random));
        let inbox = random.map_or_else(|_| String::new(), |random| format!("{INBOX}.{random}"));
        Self { address, all, inbox, connections: 0 }
    }

    pub(super) fn address(&self) -> &NatsAddress {
        &self.address
    }

    /// Connects; tries again until it has.
    pub(super) async fn open(&mut self, link: &Link) -> Connection {
        loop {
            if let Some(login) = link.login() {
                self.address.config = login;
            }
            match self.try_open().await {
                Ok(connection) => {
                    link.connected();
                    return connection;
                }
                Err(problem) => link.fails(problem),
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Connects to the next of the servers that lets us in.
    ///
    /// # Errors
    /// Why that is not possible at any of them now, as text.
    pub(super) async fn try_open(&mut self) -> Result<Connection, String> {
        if self.inbox.is_empty() {
            // Another's answers could be taken for ours.
            return Err("the system has no random numbers".to_owned());
        }
        let mut problems = BTreeMap::new();
        for _ in 0..self.all.len() {
            let Some(server) = self.all.front().cloned() else { break };
            self.all.rotate_left(1);
            match self.try_one(&server).await {
                Ok(connection) => return Ok(connection),
                Err(problem) => _ = problems.insert(server.to_string(), problem),
            }
        }
        if let (1, Some((_, problem))) = (problems.len(), problems.first_key_value()) {
            return Err(problem.clone());
        }
        let each: Vec<_> = problems.iter().map(|(server, problem)| format!("{server}: {problem}")).collect();
        Err(each.join("; "))
    }

    async fn try_one(&mut self, server: &Server) -> Result<Connection, String> {
        self.connections += 1;
        let inbox = format!("{}-{}", self.inbox, self.connections);
        let opened = timeout(RESPONSE_TIMEOUT, Connection::open(&self.address, server, inbox)).await;
        let (connection, info) = opened.unwrap_or_else(|_| Err("connection timed out".to_owned()))?;
        for (host, port) in info.connect_urls.iter().filter_map(|url| host_and_port(url)) {
            if self.all.len() < SERVERS_MAX && !self.all.iter().any(|it| it.host == host && it.port == port) {
                // A cluster names its servers by address, and a certificate seldom does.
                let is_address = host.parse::<std::net::IpAddr>().is_ok();
                let certified = if is_address { server.certified.clone() } else { host.clone() };
                self.all.push_back(Server { host, port, certified });
            }
        }
        Ok(connection)
    }
}
