//! One question and its answer over UDP: sent again when it seems lost, given up when the card stays silent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, Reading};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout, timeout_at};

use super::completion::{Remedy, meaning, remedy};
use super::routes::{Inbox, Ports, Routes};
use crate::deadline;
use crate::driver::DriverError;

/// How long each sending waits for its answer, in fifths of the time an answer may take: with the default of 5 s, until
/// 1, 3 and 5 s after the first. The pauses grow because a slow card that gets a request twice is slower.
const SENDING_ENDS_FIFTHS: [u32; 3] = [1, 3, 5];

/// A Close Session that is not acknowledged for so long may be lost, and is sent once more. The end of the process
/// waits longer.
const CLOSE_ACKNOWLEDGED: Duration = Duration::from_millis(500);

/// What may have happened to a card that does not answer within a session.
pub(super) const SILENT: &str = "the BMC stopped responding or lost the session, as after a restart";

/// The way to one card, for one session.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) card: SocketAddr,
    pub(super) inbox: Arc<Inbox>,
    routes: Arc<Routes>,
    socket: Arc<UdpSocket>,
    /// How long one answer may take, all retransmissions included.
    patience: Duration,
}

/// A question that stayed unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unanswered {
    pub(super) what: &'static str,
    patience: Duration,
    /// Datagrams that came meanwhile and were no answer to it.
    unusable: u32,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.routes.remove(self.card, &self.inbox);
    }
}

impl Link {
    pub(super) async fn to(card: SocketAddr, ports: &Ports, patience: Duration) -> Result<Self, DriverError> {
        let (socket, routes, inbox) = ports.connect(card).await?;
        Ok(Self { card, inbox, routes, socket, patience })
    }

    /// Sends requests until `answer` takes a datagram for the answer. `question` makes a new datagram for each
    /// sending, since each carries its own session sequence number.
    pub(super) async fn exchange<T>(
        &self,
        what: &'static str,
        question: impl FnMut() -> Vec<u8>,
        answer: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<T, Failure> {
        self.exchange_until(what, question, answer, &SENDING_ENDS_FIFTHS).await
    }

    /// As [`Self::exchange`], but sends the question once.
    pub(super) async fn exchange_once<T>(
        &self,
        what: &'static str,
        question: impl FnMut() -> Vec<u8>,
        answer: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<T, Failure> {
        self.exchange_until(what, question, answer, &[5]).await
    }

    async fn exchange_until<T>(
        &self,
        what: &'static str,
        mut question: impl FnMut() -> Vec<u8>,
        mut answer: impl FnMut(&[u8]) -> Option<T>,
        sending_ends_fifths: &[u32],
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let fifth = self.patience / 5;
        let mut unusable = 0;
        self.inbox.clear();
        for &end in sending_ends_fifths {
            self.socket.send_to(&question(), self.card).await.map_err(DriverError::Link)?;
            while let Ok(datagram) = timeout_at(start + fifth * end, self.inbox.take()).await {
                if let Some(answer) = answer(&datagram) {
                    deadline::answered();
                    return Ok(answer);
                }
                unusable += 1;
            }
        }
        Err(Failure::Unanswered(Unanswered { what, patience: self.patience, unusable }))
    }

    /// The port all cards see us at.
    #[cfg(test)]
    pub(super) fn local_port(&self) -> u16 {
        self.socket.local_addr().map(|address| address.port()).unwrap_or_default()
    }

    /// Sends a Close Session once more if it is not acknowledged.
    pub(super) async fn resend(&self, datagram: &[u8]) {
        if timeout(CLOSE_ACKNOWLEDGED, self.inbox.take()).await.is_err() {
            self.send(datagram);
            // What comes in answer to it finds somebody to be for.
            _ = timeout(CLOSE_ACKNOWLEDGED, self.inbox.take()).await;
        }
    }

    /// Sends without waiting for anything; for a good-bye. Lost when the socket is not ready, as on a network it may be.
    pub(super) fn send(&self, datagram: &[u8]) {
        if let Err(error) = self.socket.try_send_to(datagram, self.card) {
            tracing::debug!(card = %self.card, %error, "cannot send Close Session");
        }
    }
}

/// Why a request returned nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// No answer at all.
    Unanswered(Unanswered),
    /// The card answered with a completion code other than success.
    Completed { what: &'static str, code: u8 },
    /// Anything that already determines what the manager is to do.
    Driver(DriverError),
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

impl Failure {
    /// The error for the manager. `card` goes into the message; `advice` states what to try when nothing responds.
    pub(super) fn of(self, card: SocketAddr, advice: &str) -> DriverError {
        match self {
            Self::Unanswered(Unanswered { what, patience, unusable }) => {
                let received = match unusable {
                    0 => "no response".to_owned(),
                    count => format!("{count} invalid datagrams and no response"),
                };
                DriverError::link(format!(
                    "{card}: {received} to {what} within {patience:?} (timeout_seconds); {advice}"
                ))
            }
            Self::Completed { what, code } => {
                let message = format!("{card}: {what}: {} ({code:#04x})", meaning(code));
                match remedy(code) {
                    Remedy::Later | Remedy::State => DriverError::Busy(message),
                    Remedy::Privilege => DriverError::Refused(format!(
                        "{message}; set privilege to \"operator\" or \"administrator\" and grant the user that level on the BMC"
                    )),
                    Remedy::Unsupported | Remedy::Reserve | Remedy::Fewer | Remedy::Absent => {
                        DriverError::Refused(message)
                    }
                }
            }
            Self::Driver(error) => error,
        }
    }
}

/// What a completion code means for a source that worked before.
pub(super) fn no_reading(
    card: SocketAddr,
    what: &'static str,
    code: u8,
) -> Result<Result<Reading, NoReading>, DriverError> {
    match remedy(code) {
        Remedy::State => Ok(Err(NoReading::NotAvailable(format!("{what}: {} ({code:#04x})", meaning(code))))),
        Remedy::Later | Remedy::Privilege => Err(Failure::Completed { what, code }.of(card, "")),
        Remedy::Unsupported | Remedy::Reserve | Remedy::Fewer | Remedy::Absent => {
            Err(DriverError::link(format!(
                "{card}: {what} is no longer available: {} ({code:#04x}); looking for another source",
                meaning(code)
            )))
        }
    }
}
