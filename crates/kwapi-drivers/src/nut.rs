//! UPSes and PDUs that a NUT server (`upsd`) watches, over its text protocol.
//!
//! One request brings all variables of a device. Source: `nut/variables.rs`; NUT 2.8, `docs/net-protocol.txt`.

#[doc(hidden)]
pub mod variables;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Secret};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::http::Login;
use crate::outlets::Outlets;
use variables::{Source, Variables, parse_variable};

/// NUT's port (IANA).
const PORT: u16 = 3493;
/// A server in the same building answers within this.
const TIMEOUT: Duration = Duration::from_secs(5);
/// `upsd` writes lines of at most 512 bytes; a longer one ends the session.
const LINE_BYTES_MAX: u64 = 4096;
/// A large PDU has some 40 variables an outlet; an answer with more ends the session.
const VARIABLES_MAX: usize = 10_000;

/// `driver = "nut"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server: `nut1` or `nut1:3493`.
    pub host: String,
    /// The device's name there; may be left out where there is one.
    pub ups: Option<String>,
    /// Not needed to read. With it we log in as a client that a shutdown waits for.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

/// A conversation with a server.
#[derive(Debug)]
pub struct Nut {
    server: Server,
    ups: String,
    outlets: Outlets,
    sources: Vec<(ProbeId, String, Option<Source>)>,
    /// The most variables the device ever showed.
    variables: usize,
}

#[derive(Debug)]
struct Server {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Driver for Nut {
    const NAME: &'static str = "nut";
    const SUMMARY: &'static str = "UPSes and PDUs watched by a NUT server (upsd)";
    type Config = Config;
    type Shared = ();

    fn check(config: &Config) -> Result<(), String> {
        let host = &config.host;
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(format!("host {host:?}: write HOST or HOST:PORT; the device's name there is ups"));
        }
        // An IPv6 address has more than one colon, and no port unless in brackets.
        if let Some((name, port)) = host.split_once(':').filter(|(_, rest)| !rest.contains(':'))
            && (name.is_empty() || port.parse::<u16>().is_err())
        {
            return Err(format!("host {host:?}: write HOST or HOST:PORT, with a port up to 65535"));
        }
        if let Some(ups) = &config.ups
            && (ups.is_empty() || ups.contains([' ', '"', '\\']) || ups.contains(char::is_control))
        {
            return Err(format!("ups {ups:?} is no name that NUT allows"));
        }
        let login = Login::from_keys(config.username.as_ref(), config.password.as_ref());
        login.map(drop).map_err(DriverError::into_message)
    }

    async fn open(config: &Config, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        Self::check(config).map_err(DriverError::Refused)?;
        let login = Login::from_keys(config.username.as_ref(), config.password.as_ref())?;
        let mut server = Server::connect(&config.host).await?;
        let ups = match &config.ups {
            Some(ups) => ups.clone(),
            None => server.only_ups().await?,
        };
        if let Some((username, password)) = &login.user {
            server.ask("USERNAME", username).await?;
            server.ask("PASSWORD", password.expose()).await?;
            server.ask("LOGIN", &ups).await?;
        }
        Ok(Self { server, ups, outlets: outlets.clone(), sources: Vec::new(), variables: 0 })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let variables = match self.server.variables(&self.ups).await? {
            Ok(variables) => variables,
            Err(no_reading) => {
                let known = self.sources.iter().map(|(probe, ..)| probe);
                for probe in self.outlets.named().iter().map(|outlet| &outlet.probe).chain(known) {
                    readings.push(probe, Err(no_reading.clone()));
                }
                return Ok(());
            }
        };
        // Just after its start upsd knows a device only in part.
        let is_incomplete = self.sources.iter().any(|(.., source)| source.is_none());
        if self.sources.is_empty() || is_incomplete || variables.len() > self.variables {
            let mut found = sources(&self.outlets, &variables);
            for kept in self.sources.drain(..).filter(|(.., source)| source.is_some()) {
                found.retain(|(probe, ..)| *probe != kept.0);
                found.push(kept);
            }
            self.sources = found;
        }
        self.variables = self.variables.max(variables.len());
        if self.sources.is_empty() {
            return Err(DriverError::Busy(format!("{}: {} says no watts yet", self.server.host, self.ups)));
        }
        for (probe, key, source) in &self.sources {
            let reading = match source {
                Some(source) => variables.read(source),
                None => Err(NoReading::NoSuchOutlet(format!(
                    "{key:?}: {} says no watts of it; it does of {:?}",
                    self.ups,
                    variables.outlets()
                ))),
            };
            readings.push(probe, reading);
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let finding = |(probe, key, source): &(ProbeId, String, Option<Source>)| Finding {
            what: format!("{probe}: {key}"),
            value: source.as_ref().map_or_else(|| "nothing".to_owned(), Source::name),
            is_used: source.is_some(),
            why: format!("of {} variables of {}; NUT has no energy counter", self.variables, self.ups),
        };
        self.sources.iter().map(finding).collect()
    }
}

/// Where each probe's watts are. A single probe by position is the whole device, where that says its power.
fn sources(outlets: &Outlets, variables: &Variables) -> Vec<(ProbeId, String, Option<Source>)> {
    if outlets.wants_all() {
        let mut keys = variables.outlets();
        if keys.is_empty() && variables.source("total").is_some() {
            keys.push("total".to_owned());
        }
        let found = keys.into_iter().filter_map(|key| {
            let probe = outlets.probe(&key, variables.label(&key))?;
            let source = variables.source(&key);
            Some((probe, key, source))
        });
        return found.collect();
    }
    if let [only] = outlets.named()
        && only.key == "1"
        && let Some(source) = variables.source("total")
    {
        return vec![(only.probe.clone(), "total".to_owned(), Some(source))];
    }
    let named = outlets.named().iter();
    named.map(|outlet| (outlet.probe.clone(), outlet.key.clone(), variables.source(&outlet.key))).collect()
}

impl Server {
    async fn connect(host: &str) -> Result<Self, DriverError> {
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if has_port { host.to_owned() } else { format!("{host}:{PORT}") };
        let lost = |why: String| {
            DriverError::link(format!("{host}: {why}; is upsd running and does it LISTEN there?"))
        };
        let stream = timeout(TIMEOUT, TcpStream::connect(&host))
            .await
            .map_err(|_| lost(format!("no connection within {TIMEOUT:?}")))?
            .map_err(|error| lost(error.to_string()))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host })
    }

    async fn send(&mut self, line: &str) -> Result<(), DriverError> {
        self.stream.write_all(format!("{line}\n").as_bytes()).await.map_err(DriverError::Link)
    }

    async fn line(&mut self, asked: &str) -> Result<String, DriverError> {
        let lost = |why: String| DriverError::link(format!("{}: {asked}: {why}", self.host));
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(LINE_BYTES_MAX);
        match timeout(TIMEOUT, bounded.read_until(b'\n', &mut line)).await {
            Err(_) => return Err(lost(format!("no answer within {TIMEOUT:?}"))),
            Ok(Err(error)) => return Err(lost(error.to_string())),
            Ok(Ok(_)) => {}
        }
        match line.split_last() {
            Some((b'\n', line)) => Ok(String::from_utf8_lossy(line).trim_end().to_owned()),
            None => Err(lost(io::Error::from(io::ErrorKind::UnexpectedEof).to_string())),
            // Out of step with the server, or no NUT server at all: begin anew.
            Some(_) => Err(lost("a line without end; is this a NUT server?".to_owned())),
        }
    }

    /// Sends a command whose answer is `OK`. The argument may be a secret, so only the command is ever shown.
    async fn ask(&mut self, command: &'static str, argument: &str) -> Result<(), DriverError> {
        if argument.contains(char::is_control) {
            return Err(DriverError::Refused(format!("{command}: a control character in it")));
        }
        let quoted = argument.replace('\\', "\\\\").replace('"', "\\\"");
        self.send(&format!("{command} \"{quoted}\"")).await?;
        let answer = self.line(command).await?;
        if answer.starts_with("OK") {
            return Ok(());
        }
        Err(DriverError::Refused(format!(
            "{}: {command}: {answer}; check username and password in upsd.users, or leave both out to read only",
            self.host
        )))
    }

    async fn only_ups(&mut self) -> Result<String, DriverError> {
        self.send("LIST UPS").await?;
        let mut names = Vec::new();
        loop {
            let line = self.line("LIST UPS").await?;
            if line.starts_with("END LIST UPS") || names.len() >= VARIABLES_MAX {
                break;
            }
            if line.starts_with("ERR") {
                return Err(DriverError::Refused(format!("{}: LIST UPS: {line}", self.host)));
            }
            names
                .extend(line.strip_prefix("UPS ").and_then(|rest| rest.split(' ').next()).map(str::to_owned));
        }
        match <[String; 1]>::try_from(names) {
            Ok([only]) => Ok(only),
            Err(names) => Err(DriverError::Refused(format!("{}: set ups to one of {names:?}", self.host))),
        }
    }

    async fn variables(&mut self, ups: &str) -> Result<Result<Variables, NoReading>, DriverError> {
        let asked = format!("LIST VAR {ups}");
        self.send(&asked).await?;
        let mut variables = Variables::default();
        loop {
            let line = self.line(&asked).await?;
            if line.starts_with("END LIST VAR") {
                return Ok(Ok(variables));
            }
            if let Some(error) = line.strip_prefix("ERR ") {
                return no_variables(error, &self.host, ups);
            }
            if let Some((name, value)) = parse_variable(&line) {
                variables.insert(name, value);
            } else if !line.starts_with("BEGIN LIST VAR") {
                // The rest of the answer would be taken for the next one.
                return Err(DriverError::link(format!("{}: {asked}: {line:?} is no variable", self.host)));
            }
            if variables.len() > VARIABLES_MAX {
                return Err(DriverError::link(format!("{}: {asked}: too many variables", self.host)));
            }
        }
    }
}

/// What an error of `upsd` means (net-protocol.txt, "Error responses").
fn no_variables(error: &str, host: &str, ups: &str) -> Result<Result<Variables, NoReading>, DriverError> {
    match error.split(' ').next().unwrap_or_default() {
        "DATA-STALE" => {
            Ok(Err(NoReading::Stale(format!("{host}: the driver of {ups} has lost the device (DATA-STALE)"))))
        }
        "DRIVER-NOT-CONNECTED" => Ok(Err(NoReading::NotReady(format!(
            "{host}: the driver of {ups} does not run (DRIVER-NOT-CONNECTED); try `upsdrvctl start {ups}` there"
        )))),
        "UNKNOWN-UPS" => {
            Err(DriverError::Refused(format!("{host}: no device {ups:?} there; `upsc -l {host}` lists them")))
        }
        other => Err(DriverError::Refused(format!("{host}: LIST VAR {ups}: {other}"))),
    }
}

#[cfg(test)]
mod tests;
