//! The way of a peer's accounts to the intake, which alone changes what is live.

use kwapi_core::{Account, ProbeId};
use tokio::sync::{mpsc, oneshot};

/// Parts that wait. Full: the exchange with peers waits.
const PARTS: usize = 2;

/// Accounts of a peer, and whom to notify once they have been merged, and how many of them had something new.
#[derive(Debug)]
pub(crate) struct AdoptedPart {
    pub(crate) accounts: Vec<(ProbeId, Account)>,
    pub(crate) done: oneshot::Sender<usize>,
}

/// Where an intake takes accounts of peers from.
#[derive(Debug)]
pub struct Adopted(mpsc::Receiver<AdoptedPart>);

/// Hands accounts over; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Adopter(mpsc::Sender<AdoptedPart>);

impl Adopted {
    /// Both ends.
    pub fn channel() -> (Adopter, Self) {
        let (sender, receiver) = mpsc::channel(PARTS);
        (Adopter(sender), Self(receiver))
    }

    /// The next part; `None` once nobody can hand any over.
    pub(crate) async fn next(&mut self) -> Option<AdoptedPart> {
        self.0.recv().await
    }
}

impl Adopter {
    /// Has the intake merge `accounts`; how many had something new. `None`: the intake has ended.
    pub(super) async fn adopt(&self, accounts: Vec<(ProbeId, Account)>) -> Option<usize> {
        let (done, merged) = oneshot::channel();
        self.0.send(AdoptedPart { accounts, done }).await.ok()?;
        merged.await.ok()
    }
}
