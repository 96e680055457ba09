//! Opens an RMCP+ session: finds a cipher suite and a privilege that card and account have, and proves the password.
//!
//! Source: IPMI 2.0 rev. 1.1, 13.15 (session activation), 13.31 (RAKP).

use std::net::SocketAddr;

use super::config::{IpmiConfig, Privilege};
use super::crypto::{Keys, Suite};
use super::link::{Failure, Link};
use super::outside::Capabilities;
use super::packet::{self, Packet, payload};
use super::rakp::{self, Answered, Denial, Exchange};
use super::session::{RmcpSession, Seal};
use super::shared::IpmiShared;
use crate::driver::DriverError;

/// Why one attempt at a session came to nothing.
enum Setback {
    /// Another cipher suite may do.
    Suite(DriverError),
    /// A lower privilege may do.
    Privilege(DriverError),
    /// The card's proof does not fit: naming the privilege from the first message on may do, else the password is wrong.
    Proof(DriverError),
    /// A message that was sent twice confused the card: sending each once may do.
    Crossed(DriverError),
    /// Nothing else will do.
    Final(DriverError),
}

/// What one attempt tries.
#[derive(Clone, Copy)]
struct Attempt {
    suite: Suite,
    privilege: Privilege,
    /// Whether Open Session names the privilege; otherwise it requests the highest there is. Some cards make their keys
    /// of what stands there (`FreeIPMI`'s workaround "opensesspriv"), others refuse there what the account may not
    /// have.
    names_privilege: bool,
    /// Whether each message is sent once only: a slow card draws a new random number for each that it gets.
    sends_once: bool,
}

pub(super) async fn open(
    card: SocketAddr,
    config: &IpmiConfig,
    shared: &IpmiShared,
    capabilities: Capabilities,
) -> Result<(RmcpSession, Privilege), DriverError> {
    // Such a card grants a session whose keys we could not make, and which we could not close.
    if capabilities.has_card_key && config.kg.is_none() {
        return Err(DriverError::Refused(format!("{card}: the BMC requires a K-g key; set kg")));
    }
    let memory = shared.memory(card);
    let mut suites = config.suites()?;
    // What did last time goes first, unless the operator named one.
    let known = memory.lock().suite.and_then(Suite::from_id);
    suites.sort_by_key(|suite| Some(*suite) != known);
    let mut privileges = config.privileges();
    let mut privilege = privileges.next().unwrap_or(Privilege::User);
    let mut names_privilege = config.privilege.is_some() || memory.lock().requires_privilege_first;
    let mut sends_once = memory.lock().is_slow;
    let mut last = DriverError::Refused(format!("{card}: no cipher suite to try"));
    for suite in suites {
        loop {
            let attempt = Attempt { suite, privilege, names_privilege, sends_once };
            // A session id of ours is used once, so that no late answer to the last attempt fits this one.
            let link = Link::to(card, &shared.ports, config.patience()?).await?;
            match attempt.run(link, config).await {
                Ok((suite, session)) => {
                    let mut memory = memory.lock();
                    memory.suite = Some(suite.id());
                    memory.is_slow = sends_once;
                    memory.requires_privilege_first = names_privilege && config.privilege.is_none();
                    return Ok((session, privilege));
                }
                Err(Setback::Suite(error)) => {
                    last = match last {
                        // That all sessions are taken is more significant than that another suite is not there.
                        busy @ DriverError::Busy(_) => busy,
                        _ => error,
                    };
                    break;
                }
                Err(Setback::Privilege(error)) => match privileges.next() {
                    Some(lower) => privilege = lower,
                    None => return Err(error),
                },
                Err(Setback::Proof(_)) if !names_privilege => names_privilege = true,
                Err(Setback::Crossed(_)) if !sends_once => {
                    sends_once = true;
                    memory.lock().is_slow = true;
                }
                Err(Setback::Final(error) | Setback::Proof(error) | Setback::Crossed(error)) => {
                    return Err(error);
                }
            }
        }
    }
    Err(last)
}

impl Attempt {
    /// One run through the messages of session opening: the suite the card took, and the session.
    async fn run(self, link: Link, config: &IpmiConfig) -> Result<(Suite, RmcpSession), Setback> {
        let (suite, managed) = agree_on_suite(&link, config, self).await?;
        let card_key = config.card_key().map_err(DriverError::from)?;
        let password = config.password.expose().as_bytes();
        let exchange = Exchange {
            suite,
            console: link.inbox.console,
            managed,
            console_random: rand::random(),
            privilege: self.privilege.number(),
            user: config.username.as_bytes(),
            password,
            card_key: card_key.as_deref().unwrap_or(password),
        };
        Ok((suite, prove(link, config, &exchange, self).await?))
    }
}

/// Open Session. The suite is the card's choice where the operator made none.
async fn agree_on_suite(link: &Link, config: &IpmiConfig, attempt: Attempt) -> Result<(Suite, u32), Setback> {
    let suite = attempt.suite;
    let tag = rand::random();
    let privilege =
        if attempt.names_privilege { attempt.privilege.number() } else { rakp::HIGHEST_PRIVILEGE };
    let request = rakp::open_session_request(tag, privilege, link.inbox.console, suite);
    let parse = |reply: &[u8]| rakp::open_session_response(reply, tag);
    let what = "Open Session Request";
    // Sent again where it seems lost, also to a slow card: the first answer is taken, whichever it is.
    let (managed, chosen) = match query(link, what, payload::OPEN_SESSION_REQUEST, &request, false, parse)
        .await
    {
        Ok((Ok(answer), _)) => answer,
        Ok((Err(status), _)) => {
            return Err(match denied(link.card, config, attempt, "Open Session", status) {
                Setback::Privilege(error) if attempt.names_privilege => Setback::Privilege(error),
                // Cards refuse a suite with all sorts of statuses: another may do, whatever this one reports.
                Setback::Privilege(error)
                | Setback::Final(error)
                | Setback::Proof(error)
                | Setback::Crossed(error)
                | Setback::Suite(error) => Setback::Suite(error),
            });
        }
        // Some cards meet a suite they do not support with silence; they have just responded to something else.
        Err(failure) => {
            return Err(Setback::Suite(failure.of(link.card, "it may support none of our cipher suites")));
        }
    };
    match chosen {
        Some(chosen) if chosen == suite || config.cipher_suite.is_none() => Ok((chosen, managed)),
        _ => Err(Setback::Suite(DriverError::Refused(format!(
            "{}: the BMC offers only a cipher suite weaker than suite {}",
            link.card,
            suite.id()
        )))),
    }
}

/// RAKP messages 1 to 4: the card proves that it has the password, then we do, then it that it has understood. From our
/// proof on the card may hold a session: it is closed when this is dropped, whatever came of it.
async fn prove(
    link: Link,
    config: &IpmiConfig,
    exchange: &Exchange<'_>,
    attempt: Attempt,
) -> Result<RmcpSession, Setback> {
    let (card, suite, once) = (link.card, exchange.suite, attempt.sends_once);
    let failed = |failure: Failure| {
        let advice = "the BMC stopped responding while the session was being opened; if it is slow, raise timeout_seconds";
        Setback::Final(failure.of(card, advice))
    };
    let refused = |message: String| DriverError::Refused(format!("{card}: {message}"));
    let refusal = || packet::plus(payload::RAKP_3, 0, 0, &exchange.message_3_refusing(rand::random()));

    let tag = rand::random();
    let parse = |reply: &[u8]| exchange.message_2(reply, tag);
    let message_1 = exchange.message_1(tag);
    let (answer, sendings) =
        query(&link, "RAKP message 1", payload::RAKP_1, &message_1, once, parse).await.map_err(failed)?;
    let proof = answer.map_err(|status| denied(card, config, attempt, "RAKP message 1", status))?;
    let Some(proof) = proof else {
        link.send(&refusal());
        return Err(Setback::Proof(refused(format!(
            "authentication failed for user {:?}: wrong password; it was detected before being sent, so the BMC did not count a failed login",
            config.username
        ))));
    };

    let tag = rand::random();
    let session_key = exchange.session_key(&proof);
    let session = RmcpSession::new(link, Seal::Plus(Keys::derive(suite, &session_key)), exchange.managed, 0);
    let parse = |reply: &[u8]| exchange.message_4(reply, tag, &proof, &session_key);
    let message_3 = exchange.message_3(tag, &proof);
    let (answer, _) = query(&session.link, "RAKP message 3", payload::RAKP_3, &message_3, once, parse)
        .await
        .map_err(failed)?;
    match answer {
        Ok(true) => Ok(session),
        Ok(false) => {
            // Our keys are not the card's, so it will not take our Close Session; some take this.
            session.link.send(&refusal());
            Err(Setback::Final(refused(if config.kg.is_some() {
                "kg does not match the BMC's K-g key".to_owned()
            } else {
                "the BMC's integrity check value is wrong; if it has a K-g key, set kg".to_owned()
            })))
        }
        // A card draws a new random number for each RAKP message 1: sent twice, the proofs may have crossed.
        Err(status) if sendings > 1 => Err(Setback::Crossed(DriverError::link(format!(
            "{card}: session opening failed after a retransmission (RAKP status {status:#04x}); the BMC is slow, raise timeout_seconds"
        )))),
        Err(status) => Err(denied(card, config, attempt, "RAKP message 3", status)),
    }
}

impl From<DriverError> for Setback {
    fn from(error: DriverError) -> Self {
        Self::Final(error)
    }
}

/// Sends one message of the opening, `once` or again where it seems lost, and waits for its reply; also returns how
/// often it was sent.
async fn query<T>(
    link: &Link,
    what: &'static str,
    payload_type: u8,
    message: &[u8],
    once: bool,
    parse: impl Fn(&[u8]) -> Option<Answered<T>>,
) -> Result<(Answered<T>, u32), Failure> {
    let mut sendings = 0;
    let question = || {
        sendings += 1;
        packet::plus(payload_type, 0, 0, message)
    };
    let answer = |datagram: &[u8]| match packet::parse(datagram)? {
        // Each reply's type follows its request's (13.27.3).
        Packet::Plus { payload_type: its, session: 0, payload, .. } if its == payload_type + 1 => {
            parse(payload)
        }
        Packet::Plus { .. } | Packet::Legacy { .. } => None,
    };
    let answer = if once {
        link.exchange_once(what, question, answer).await?
    } else {
        link.exchange(what, question, answer).await?
    };
    Ok((answer, sendings))
}

/// What a status other than success in the opening means for the operator.
fn denied(card: SocketAddr, config: &IpmiConfig, attempt: Attempt, step: &str, status: u8) -> Setback {
    let user = &config.username;
    let Attempt { suite, privilege, .. } = attempt;
    let refused =
        |message: String| DriverError::Refused(format!("{card}: {message} ({step}, status {status:#04x})"));
    // Cards report in other ways, too, that an account may not have the privilege.
    let lower = if config.privilege == Some(Privilege::User) {
        ""
    } else {
        "; if the user has a lower privilege, set privilege = \"user\""
    };
    match rakp::denial(status) {
        Denial::Suite => Setback::Suite(refused(format!(
            "the BMC rejects cipher suite {}; enable suite 17 or 3 on it",
            suite.id()
        ))),
        Denial::Privilege => Setback::Privilege(refused(format!(
            "user {user:?} is not allowed privilege {:?}; set a lower one, such as privilege = \"user\"",
            privilege.name()
        ))),
        Denial::Full => Setback::Final(DriverError::Busy(format!(
            "{card}: no free session on the BMC; another program holds them, or they expire within a minute"
        ))),
        Denial::User => {
            Setback::Final(refused(format!("unknown user {user:?}, or not enabled for LAN{lower}")))
        }
        Denial::Proof => {
            Setback::Final(refused(format!("authentication failed for user {user:?}; check password and kg")))
        }
        Denial::Forgotten => Setback::Final(DriverError::link(format!(
            "{card}: the BMC dropped the session while it was being opened ({step}, status {status:#04x})"
        ))),
        Denial::Other => Setback::Final(refused(format!("the BMC rejected the session{lower}"))),
    }
}
