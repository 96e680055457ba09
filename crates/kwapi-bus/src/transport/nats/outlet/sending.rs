//! Messages in flight to the server, and what becomes of each.

use serde::Deserialize;
use tokio::time::timeout;

use crate::transport::nats::connection::{Connection, Event};
use crate::transport::nats::jetstream::{MESSAGE_TOO_LARGE, check};
use crate::transport::nats::wire::Message;
use crate::transport::nats::{RESPONSE_TIMEOUT, subject};

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SendOutcome {
    /// With this number.
    Stored(u64),
    /// The server will never take it.
    Rejected(&'static str),
    /// A batch that the server does not take, or does not confirm: its messages are sent one by one.
    Refused(String),
    /// It may be stored, or not: it is sent again.
    Unknown(String),
}

/// A message of NATS that was sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) subject: String,
    pub(super) is_batch: bool,
    pub(super) outcome: Option<SendOutcome>,
}

impl Sent {
    pub(super) fn new(subject: String, is_batch: bool) -> Self {
        Self { subject, is_batch, outcome: None }
    }
}

/// The problem where nothing is confirmed.
const NOT_CONFIRMED: &str =
    "the server does not confirm messages; see its log (after a full disk, it takes a restart)";

/// Waits for the confirmations of messages that were numbered from `first` on. What is no confirmation is for `other`.
/// Returns why some were not confirmed; where that may be since they are batches, `None`: such a one is
/// [`SendOutcome::Refused`].
pub(super) async fn confirmed(
    connection: &mut Connection,
    first: u64,
    sent: &mut [Sent],
    other: impl FnMut(&Message),
) -> Option<String> {
    match timeout(RESPONSE_TIMEOUT, confirm(connection, first, sent, other)).await {
        Ok(Ok(())) => None,
        Ok(Err(problem)) => Some(problem),
        Err(_) => {
            let mut is_by_batches = false;
            for sent in sent.iter_mut().filter(|sent| sent.is_batch && sent.outcome.is_none()) {
                // Where somebody else listens to its subject, nobody reports that no stream does.
                sent.outcome = Some(SendOutcome::Refused("not confirmed within 5 s".to_owned()));
                is_by_batches = true;
            }
            (!is_by_batches).then(|| NOT_CONFIRMED.to_owned())
        }
    }
}

/// Reads the confirmations until each has one.
///
/// # Errors
/// When some will not come; why.
async fn confirm(
    connection: &mut Connection,
    first: u64,
    sent: &mut [Sent],
    mut other: impl FnMut(&Message),
) -> Result<(), String> {
    let mut left = sent.iter().filter(|sent| sent.outcome.is_none()).count();
    while left > 0 {
        match connection.next().await? {
            Event::Complaint(complaint) if subject::is_batch_complaint(&complaint) => {
                // Of one that was sent before, nothing is waited for any more.
                left -= refuse(sent, &complaint);
            }
            Event::Complaint(complaint) => return Err(format!("the server reports: {complaint}")),
            Event::Message(message) => {
                let number = connection.reply_number(&message.subject);
                if number.is_none() {
                    other(&message);
                }
                let place = number.and_then(|number| usize::try_from(number.checked_sub(first)?).ok());
                if let Some(sent) = place.and_then(|place| sent.get_mut(place))
                    && sent.outcome.is_none()
                {
                    sent.outcome = Some(outcome_of(&message, sent.is_batch));
                    left -= 1;
                }
            }
        }
    }
    Ok(())
}

/// Takes note that the server does not allow a subject; how many of the batches that are waited for have it.
fn refuse(sent: &mut [Sent], complaint: &str) -> usize {
    let mut count = 0;
    for sent in sent.iter_mut().filter(|sent| sent.is_batch && sent.outcome.is_none()) {
        if complaint.contains(&format!("\"{}\"", sent.subject)) {
            sent.outcome = Some(SendOutcome::Refused(format!("the server reports: {complaint}")));
            count += 1;
        }
    }
    count
}

/// Of a server where nobody takes a subject.
const NOBODY: &str = "no responders";

/// What to do about it, where nobody takes what is sent: the next connection looks which, as far as it may.
pub(super) fn explained(problem: String, stream: &str) -> String {
    if problem != NOBODY {
        return problem;
    }
    format!(
        "no server stores messages of stream {stream}: it was not created, JetStream is not enabled, or a cluster has no leader now"
    )
}

fn outcome_of(message: &Message, is_batch: bool) -> SendOutcome {
    let outcome = if message.status.as_ref().is_some_and(|(code, _)| *code == 503) {
        SendOutcome::Unknown(NOBODY.to_owned())
    } else {
        match check(&message.payload) {
            Ok(()) => SendOutcome::Stored(stored_as(&message.payload)),
            Err(error) if error.is(MESSAGE_TOO_LARGE) => {
                SendOutcome::Rejected("message too large for the stream")
            }
            Err(error) => SendOutcome::Unknown(format!("cannot store messages: {error}")),
        }
    };
    match outcome {
        SendOutcome::Rejected(why) if is_batch => SendOutcome::Refused(why.to_owned()),
        SendOutcome::Unknown(why) if is_batch && why == NOBODY => {
            SendOutcome::Refused("no stream takes its subject".to_owned())
        }
        other => other,
    }
}

/// The number in the stream that a confirmation names; 0 where it does not.
fn stored_as(confirmation: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Stored {
        #[serde(default)]
        seq: u64,
    }
    serde_json::from_slice(confirmation).map_or(0, |Stored { seq }| seq)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn only_what_the_server_confirms_is_stored_and_only_what_it_never_takes_is_given_up() {
        let outcomes = |status: Option<u16>, payload: &'static str| {
            let status = status.map(|code| (code, String::new()));
            let payload = Bytes::from_static(payload.as_bytes());
            let message =
                Message { subject: String::new(), reply: None, status, head: Bytes::new(), payload };
            [outcome_of(&message, false), outcome_of(&message, true)]
        };
        let stored = outcomes(None, r#"{"stream":"power","seq":7}"#);
        assert_eq!(stored, [SendOutcome::Stored(7), SendOutcome::Stored(7)]);
        let [single, batch] = outcomes(Some(503), "");
        assert_eq!(single, SendOutcome::Unknown(NOBODY.to_owned()));
        assert!(matches!(batch, SendOutcome::Refused(_)));
        let [single, batch] = outcomes(None, r#"{"error":{"err_code":10054}}"#);
        assert!(matches!(single, SendOutcome::Rejected(_)) && matches!(batch, SendOutcome::Refused(_)));
        for other in [r#"{"error":{"err_code":10077,"description":"maximum bytes exceeded"}}"#, "", "OK"] {
            let [single, batch] = outcomes(None, other);
            assert!(matches!(single, SendOutcome::Unknown(_)) && single == batch, "{other}");
        }
    }

    #[test]
    fn a_complaint_about_batches_refuses_those_of_its_subject() {
        let mut sent = [("k.a.%batch", true), ("k.a.b.%batch", true), ("k.a.x", false), ("k.a.%batch", true)]
            .map(|(subject, is_batch)| Sent::new(subject.to_owned(), is_batch));
        let complaint = "Permissions Violation for Publish to \"k.a.%batch\"";
        assert!(subject::is_batch_complaint(complaint));
        assert_eq!(refuse(&mut sent, complaint), 2);
        assert_eq!(refuse(&mut sent, complaint), 0, "those of a later one are counted once");
        let is_refused = |sent: &Sent| matches!(sent.outcome, Some(SendOutcome::Refused(_)));
        assert_eq!(sent.each_ref().map(is_refused), [true, false, false, true]);
    }
}
