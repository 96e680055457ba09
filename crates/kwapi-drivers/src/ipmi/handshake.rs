//! Opens an RMCP+ session: finds a cipher suite and a privilege that card and account have, and proves the password.
//!
//! Source: IPMI 2.0 rev. 1.1, 13.15 (session activation), 13.31 (RAKP).

use std::net::SocketAddr;

use super::config::{Config, Privilege};
use super::crypto::{Keys, Suite};
use super::link::{Failure, Link};
use super::opening::Capabilities;
use super::packet::{self, Packet, payload};
use super::rakp::{self, Answered, Denial, Exchange};
use super::session::{Seal, Session};
use super::shared::Shared;
use crate::driver::DriverError;

/// Why one attempt at a session came to nothing.
enum Setback {
    /// Another cipher suite may do.
    Suite(DriverError),
    /// A lower privilege may do.
    Privilege(DriverError),
    /// Nothing else will do.
    Final(DriverError),
}

pub(super) async fn open(
    mut link: Link,
    config: &Config,
    shared: &Shared,
    capabilities: Capabilities,
) -> Result<(Session, Privilege), DriverError> {
    let memory = shared.memory(link.card);
    let mut suites = config.suites()?;
    // What did last time goes first, unless the operator named one.
    let known = memory.lock().suite.and_then(Suite::from_id);
    suites.sort_by_key(|suite| Some(*suite) != known);
    let mut privileges = config.privileges();
    let mut privilege = privileges.next().unwrap_or(Privilege::User);
    let mut last = DriverError::Refused(format!("{}: no cipher suite to try", link.card));
    for suite in suites {
        loop {
            match attempt(&link, config, suite, privilege, capabilities).await {
                Ok((suite, keys, id)) => {
                    memory.lock().suite = Some(suite.id());
                    return Ok((Session::new(link, Seal::Plus(keys), id, 0), privilege));
                }
                Err(Setback::Final(error)) => return Err(error),
                Err(Setback::Suite(error)) => {
                    last = error;
                    break;
                }
                Err(Setback::Privilege(error)) => match privileges.next() {
                    Some(lower) => privilege = lower,
                    None => return Err(error),
                },
            }
            // A session id of ours is used once, so that no late answer to the last attempt fits this one.
            link = Link::to(link.card, shared, config.patience()?).await?;
        }
        link = Link::to(link.card, shared, config.patience()?).await?;
    }
    Err(last)
}

/// One run through the messages of session opening: the suite the card took, the keys, and its id of the session.
async fn attempt(
    link: &Link,
    config: &Config,
    suite: Suite,
    privilege: Privilege,
    capabilities: Capabilities,
) -> Result<(Suite, Keys, u32), Setback> {
    let (suite, managed) = agree_on_suite(link, config, suite, privilege).await?;
    let card_key = config.card_key()?;
    let password = config.password.expose().as_bytes();
    let exchange = Exchange {
        suite,
        console: link.inbox.console,
        managed,
        console_random: rand::random(),
        privilege: privilege.number(),
        user: config.username.as_bytes(),
        password,
        card_key: card_key.as_deref().unwrap_or(password),
    };
    prove(link, config, &exchange, privilege, capabilities).await
}

/// Open Session. The suite is the card's choice where the operator made none.
async fn agree_on_suite(
    link: &Link,
    config: &Config,
    suite: Suite,
    privilege: Privilege,
) -> Result<(Suite, u32), Setback> {
    let tag = rand::random();
    let request = rakp::open_session_request(tag, link.inbox.console, suite);
    let parse = |reply: &[u8]| rakp::open_session_response(reply, tag);
    let (managed, chosen) =
        match ask(link, "Open Session Request", payload::OPEN_SESSION_REQUEST, &request, parse).await {
            Ok((Ok(answer), _)) => answer,
            Ok((Err(status), _)) => {
                return Err(denied(link.card, config, suite, privilege, "Open Session", status));
            }
            // Some cards meet a suite they do not know with silence; they have just answered something else.
            Err(failure) => {
                return Err(Setback::Suite(failure.of(link.card, "it may know no cipher suite we speak")));
            }
        };
    match chosen {
        Some(chosen) if chosen == suite || config.cipher_suite.is_none() => Ok((chosen, managed)),
        _ => Err(Setback::Suite(DriverError::Refused(format!(
            "{}: the card takes none of our cipher suites but one that protects less than suite {}",
            link.card,
            suite.id()
        )))),
    }
}

/// RAKP messages 1 to 4: the card proves that it knows the password, then we do, then it that it has understood.
async fn prove(
    link: &Link,
    config: &Config,
    exchange: &Exchange<'_>,
    privilege: Privilege,
    capabilities: Capabilities,
) -> Result<(Suite, Keys, u32), Setback> {
    let (card, suite) = (link.card, exchange.suite);
    let failed = |failure: Failure| {
        Setback::Final(failure.of(card, "the card stopped answering while a session opened"))
    };
    let refused = |message: String| Setback::Final(DriverError::Refused(format!("{card}: {message}")));

    let tag = rand::random();
    let parse = |reply: &[u8]| exchange.message_2(reply, tag);
    let (answer, sendings) = ask(link, "RAKP message 1", payload::RAKP_1, &exchange.message_1(tag), parse)
        .await
        .map_err(failed)?;
    let proof = answer.map_err(|status| denied(card, config, suite, privilege, "RAKP message 1", status))?;
    let Some(proof) = proof else {
        link.tell(&packet::plus(payload::RAKP_3, 0, 0, &exchange.message_3_refusing(rand::random())));
        return Err(refused(format!(
            "wrong password for user {:?}: the card's proof does not fit it. No wrong proof was sent, so the card did \
             not count a failure",
            config.username
        )));
    };

    let tag = rand::random();
    let session_key = exchange.session_key(&proof);
    let parse = |reply: &[u8]| exchange.message_4(reply, tag, &proof, &session_key);
    let (answer, _) = ask(link, "RAKP message 3", payload::RAKP_3, &exchange.message_3(tag, &proof), parse)
        .await
        .map_err(failed)?;
    match answer {
        Ok(true) => Ok((suite, Keys::derive(suite, &session_key), exchange.managed)),
        Ok(false) if config.kg.is_some() => Err(refused("kg is not the card's K-g key".to_owned())),
        Ok(false) if capabilities.has_card_key => {
            Err(refused("the card has a K-g key of its own: set kg".to_owned()))
        }
        Ok(false) => Err(refused("the card's last proof is wrong; has it a K-g key? then set kg".to_owned())),
        // A card draws a new random number for each RAKP message 1: sent twice, the proofs may have crossed.
        Err(status) if sendings > 1 => Err(Setback::Final(DriverError::link(format!(
            "{card}: session opening crossed itself (RAKP status {status:#04x}), as happens with a slow card"
        )))),
        Err(status) => Err(denied(card, config, suite, privilege, "RAKP message 3", status)),
    }
}

impl From<DriverError> for Setback {
    fn from(error: DriverError) -> Self {
        Self::Final(error)
    }
}

/// Sends one message of the opening and waits for its reply; also says how often it was sent.
async fn ask<T>(
    link: &Link,
    what: &'static str,
    payload_type: u8,
    message: &[u8],
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
    let answer = link.ask(what, question, answer).await?;
    Ok((answer, sendings))
}

/// What a status other than success in the opening means for the operator.
fn denied(
    card: SocketAddr,
    config: &Config,
    suite: Suite,
    privilege: Privilege,
    step: &str,
    status: u8,
) -> Setback {
    let user = &config.username;
    let refused =
        |message: String| DriverError::Refused(format!("{card}: {message} ({step}, status {status:#04x})"));
    match rakp::denial(status) {
        Denial::Suite => Setback::Suite(refused(format!(
            "the card does not take cipher suite {}; enable suite 17 or 3 on it",
            suite.id()
        ))),
        Denial::Privilege => Setback::Privilege(refused(format!(
            "the account {user:?} may not have the privilege {:?}; set a lower one",
            privilege.name()
        ))),
        Denial::Full => Setback::Final(DriverError::Busy(format!(
            "{card}: all sessions of the card are taken; another program keeps them, or they end within a minute"
        ))),
        Denial::User => {
            Setback::Final(refused(format!("the card knows no user {user:?}, or it may not use the LAN")))
        }
        Denial::Proof => Setback::Final(refused(format!("wrong password for user {user:?}, or wrong kg"))),
        Denial::Forgotten => Setback::Final(DriverError::link(format!(
            "{card}: the card forgot the session while it opened ({step}, status {status:#04x})"
        ))),
        Denial::Other => Setback::Final(refused("the card refuses a session".to_owned())),
    }
}
