//! The conversation with `upsd`: lines of text, each answer within bounds of bytes, lines and time.
//!
//! Source: NUT 2.8, `docs/net-protocol.txt`.

use std::io;
use std::time::Duration;

use kwapi_core::NoReading;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::variables::{Variables, parse_variable};
use crate::driver::DriverError;

/// NUT's port (IANA).
const PORT: u16 = 3493;
/// A server in the same building answers within this.
const TIMEOUT: Duration = Duration::from_secs(5);
/// …and with all lines of an answer within this, however many come one by one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// `upsd` writes lines of at most 512 bytes; a longer one ends the session.
const LINE_BYTES_MAX: u64 = 4096;
/// A large PDU has some 40 variables an outlet; an answer with more ends the session.
pub(super) const VARIABLES_MAX: usize = 10_000;
/// …and so does one of more bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Server {
    stream: BufReader<TcpStream>,
    pub(super) host: String,
}

/// The names of the devices that the server at `host` watches; no login is needed for them.
///
/// # Errors
/// See [`DriverError`].
pub async fn devices(host: &str) -> Result<Vec<String>, DriverError> {
    Server::connect(host).await?.devices().await
}

impl Server {
    /// Connects to `host`, with its port or NUT's own.
    ///
    /// # Errors
    /// `Link` where nothing answers there.
    pub(super) async fn connect(host: &str) -> Result<Self, DriverError> {
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if has_port { host.to_owned() } else { format!("{host}:{PORT}") };
        let lost = |why: String| {
            DriverError::link(format!(
                "{host}: {why}; check that upsd is running and has a LISTEN directive for this address"
            ))
        };
        let stream = timeout(TIMEOUT, TcpStream::connect(&host))
            .await
            .map_err(|_| lost(format!("connection timed out after {TIMEOUT:?}")))?
            .map_err(|error| lost(error.to_string()))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host })
    }

    /// What it means that an answer of many lines does not end.
    fn trickled(&self, request: &str) -> DriverError {
        DriverError::link(format!("{}: {request}: response incomplete after {ANSWER_TIMEOUT:?}", self.host))
    }

    async fn send(&mut self, line: &str) -> Result<(), DriverError> {
        self.stream.write_all(format!("{line}\n").as_bytes()).await.map_err(DriverError::Link)
    }

    async fn line(&mut self, request: &str) -> Result<String, DriverError> {
        let lost = |why: String| DriverError::link(format!("{}: {request}: {why}", self.host));
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(LINE_BYTES_MAX);
        match timeout(TIMEOUT, bounded.read_until(b'\n', &mut line)).await {
            Err(_) => return Err(lost(format!("timed out after {TIMEOUT:?}"))),
            Ok(Err(error)) => return Err(lost(error.to_string())),
            Ok(Ok(_)) => {}
        }
        match line.split_last() {
            Some((b'\n', line)) => Ok(String::from_utf8_lossy(line).trim_end().to_owned()),
            None => Err(lost(io::Error::from(io::ErrorKind::UnexpectedEof).to_string())),
            // Out of step with the server, or no NUT server at all: start afresh.
            Some(_) => Err(lost("incomplete line; check that this is a NUT server".to_owned())),
        }
    }

    /// Sends a command whose answer is `OK`. The argument may be a secret, so only the command is ever shown.
    ///
    /// # Errors
    /// `Refused` for any other answer.
    pub(super) async fn request(&mut self, command: &'static str, argument: &str) -> Result<(), DriverError> {
        if argument.contains(char::is_control) {
            return Err(DriverError::Refused(format!("{command}: contains a control character")));
        }
        let quoted = argument.replace('\\', "\\\\").replace('"', "\\\"");
        self.send(&format!("{command} \"{quoted}\"")).await?;
        let answer = self.line(command).await?;
        if answer.starts_with("OK") {
            return Ok(());
        }
        Err(DriverError::Refused(format!(
            "{}: {command}: {answer}; check username and password in upsd.users, or remove both for read-only access",
            self.host
        )))
    }

    /// The name of the only device there.
    ///
    /// # Errors
    /// `NothingToRead` with the names, where there are several or none.
    pub(super) async fn only_ups(&mut self) -> Result<String, DriverError> {
        match <[String; 1]>::try_from(self.devices().await?) {
            Ok([only]) => Ok(only),
            Err(names) => {
                Err(DriverError::NothingToRead(format!("{}: set ups to one of {names:?}", self.host)))
            }
        }
    }

    async fn devices(&mut self) -> Result<Vec<String>, DriverError> {
        let trickled = self.trickled("LIST UPS");
        timeout(ANSWER_TIMEOUT, self.list_devices()).await.unwrap_or(Err(trickled))
    }

    async fn list_devices(&mut self) -> Result<Vec<String>, DriverError> {
        self.send("LIST UPS").await?;
        let mut names = Vec::new();
        let mut bytes = 0;
        loop {
            let line = self.line("LIST UPS").await?;
            bytes += line.len();
            if line.starts_with("END LIST UPS") || bytes > ANSWER_BYTES_MAX {
                break;
            }
            if line.starts_with("ERR") {
                return Err(DriverError::Refused(format!("{}: LIST UPS: {line}", self.host)));
            }
            let name = line.strip_prefix("UPS ").and_then(|rest| rest.split(' ').next());
            // A name is requested as it is written here.
            names.extend(name.filter(|name| !name.contains(char::is_control)).map(str::to_owned));
        }
        Ok(names)
    }

    /// All variables of a device, or why there are none now.
    ///
    /// # Errors
    /// `Link` for what is no answer, or does not end; `Refused` for a device that is not there.
    pub(super) async fn variables(&mut self, ups: &str) -> Result<Result<Variables, NoReading>, DriverError> {
        let trickled = self.trickled(&format!("LIST VAR {ups}"));
        timeout(ANSWER_TIMEOUT, self.list_variables(ups)).await.unwrap_or(Err(trickled))
    }

    async fn list_variables(&mut self, ups: &str) -> Result<Result<Variables, NoReading>, DriverError> {
        let request = format!("LIST VAR {ups}");
        self.send(&request).await?;
        let mut variables = Variables::default();
        let mut bytes = 0;
        loop {
            let line = self.line(&request).await?;
            if line.starts_with("END LIST VAR") {
                return Ok(Ok(variables));
            }
            if let Some(error) = line.strip_prefix("ERR ") {
                return no_variables(error, &self.host, ups);
            }
            bytes += line.len();
            let is_of_another = line.starts_with("VAR ") && !line.starts_with(&format!("VAR {ups} "));
            if let Some((name, value)) = parse_variable(&line).filter(|_| !is_of_another) {
                variables.insert(name, value);
            } else if !line.starts_with("BEGIN LIST VAR") {
                // The rest of the answer would be taken for the next one.
                return Err(DriverError::link(format!(
                    "{}: {request}: invalid variable {line:?}",
                    self.host
                )));
            }
            if variables.len() > VARIABLES_MAX || bytes > ANSWER_BYTES_MAX {
                return Err(DriverError::link(format!("{}: {request}: too many variables", self.host)));
            }
        }
    }
}

/// What an error of `upsd` means (net-protocol.txt, "Error responses").
fn no_variables(error: &str, host: &str, ups: &str) -> Result<Result<Variables, NoReading>, DriverError> {
    match error.split(' ').next().unwrap_or_default() {
        "DATA-STALE" => {
            Ok(Err(NoReading::Stale(format!("{host}: the driver of {ups} has lost its device (DATA-STALE)"))))
        }
        "DRIVER-NOT-CONNECTED" => Ok(Err(NoReading::NotReady(format!(
            "{host}: the driver of {ups} is not running (DRIVER-NOT-CONNECTED); run `upsdrvctl start {ups}` there"
        )))),
        "UNKNOWN-UPS" => Err(DriverError::Refused(format!(
            "{host}: unknown UPS {ups:?}; `upsc -l {host}` lists the available ones"
        ))),
        other => Err(DriverError::Refused(format!("{host}: LIST VAR {ups}: {other}"))),
    }
}
