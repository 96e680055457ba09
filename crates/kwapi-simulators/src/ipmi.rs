//! Servers' management cards that are not there: IPMI 2.0 over UDP, with the faults real cards have.
//!
//! One socket and one task a card, so thousands fit in a process. The codec is this module's own, written from the
//! specification and not from the driver: IPMI 2.0 rev. 1.1, chapters 13, 22, 33, 35; DCMI 1.5, 6.6.1.

mod bmc;
mod command;
mod crypto;
mod machine;
mod sensor;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use self::bmc::Bmc;
pub use self::sensor::SensorRecord;

/// What a card is made of.
#[derive(Clone, Debug)]
pub struct CardOptions {
    /// Its one account.
    pub username: String,
    /// The account's password.
    pub password: String,
    /// Its K-g; `None` for the usual card, which has none of its own.
    pub card_key: Option<Vec<u8>>,
    /// Cipher suites it takes, of 3 and 17.
    pub suites: Vec<u8>,
    /// The highest privilege the account may have: 2 user, 3 operator, 4 administrator.
    pub privilege_max: u8,
    /// How it answers DCMI Get Power Reading.
    pub dcmi: Dcmi,
    /// The Management Engine behind it, with Intel Node Manager.
    pub node_manager: Option<ManagementEngine>,
    /// Sensors of its SDR repository, in order; each reads the card's watts.
    pub sensors: Vec<SensorRecord>,
    /// The most bytes of a record it returns at once.
    pub record_bytes_max: u8,
    /// The completion code for more than that; `0xCA` as it should be.
    pub too_many_bytes: u8,
    /// The status of Open Session for a suite it does not take; `0x11` as it should be.
    pub suite_refusal: u8,
    /// Whether it makes its keys of the privilege in Open Session, in place of the one in RAKP message 1.
    pub keys_of_open_privilege: bool,
    /// Whether it does not report that it has a K-g.
    pub hides_card_key: bool,
    /// What it offers before a session is proved, as anyone on the way could in its place.
    pub offer: Offer,
    /// Whether the checksums of its messages are wrong, whatever the packet around them.
    pub wrong_checksums: bool,
    /// How long it takes for each message of session opening.
    pub opening_delay: Duration,
}

impl Default for CardOptions {
    fn default() -> Self {
        Self {
            username: "user".to_owned(),
            password: "secret".to_owned(),
            card_key: None,
            suites: vec![3, 17],
            privilege_max: 4,
            dcmi: Dcmi::Active,
            node_manager: None,
            sensors: vec![SensorRecord::watts(1, "Power", 4)],
            record_bytes_max: 24,
            too_many_bytes: 0xCA,
            suite_refusal: 0x11,
            keys_of_open_privilege: false,
            hides_card_key: false,
            offer: Offer::Honest,
            wrong_checksums: false,
            opening_delay: Duration::ZERO,
        }
    }
}

/// What a card offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// What it has.
    Honest,
    /// These algorithms for authentication, integrity and secrecy in its answer to Open Session, whichever were
    /// requested.
    Algorithms([u8; 3]),
    /// IPMI 1.5 only, without authentication.
    LegacyWithoutAuthentication,
}

/// How a card answers DCMI Get Power Reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dcmi {
    /// As it should.
    Active,
    /// Right watts, but it reports that it does not measure (seen: `phosphor-host-ipmid`#167).
    ReportsInactive,
    /// 0 W, not measuring, no period, 1970.
    Dead,
    /// Has no such command (C1h).
    Absent,
    /// Wants this privilege (D4h below it).
    Requires(u8),
    /// Fails so often, with "unspecified error", in each session before it works.
    FailsFirst(u8),
    /// Does not answer the command at all.
    Ignored,
    /// A present power far above its own maximum.
    OverItsMaximum,
    /// These watts, whatever the machine draws, measuring.
    Reports(u16),
}

/// A controller that a card passes messages on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManagementEngine {
    /// The card's channel to it.
    pub channel: u8,
    /// How its answers come back.
    pub returns: Returns,
    /// Whether it reports that it measures.
    pub is_measuring: bool,
}

/// How a card returns the answer to what it passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// As an answer of its own, after the one that confirms that it was forwarded.
    Apart,
    /// Within the answer that confirms it.
    Within,
    /// Not at all: the controller is silent.
    Never,
}

/// What is wrong with a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BmcFault {
    /// Nothing.
    #[default]
    None,
    /// Answers nothing.
    Hang,
    /// Answers each command of a session with "node busy" (C0h).
    Busy,
    /// Sends the first half of each answer.
    HalfPacket,
    /// Sends noise in place of each answer.
    Garbage,
    /// Continues to report the last watts, with the last stamp.
    Stale,
    /// Loses every other datagram sent to it.
    Lossy,
    /// Answers, but loses its SDR reservation so many times more.
    LosesReservations(u8),
    /// Answers, but so many more SDR reads and then no further one.
    StopsRecords(u8),
    /// Answers one SDR read with a record that is none of its and leads back to the first.
    JunkRecord,
}

/// A running card; gone when dropped.
#[derive(Debug)]
pub struct Card {
    address: SocketAddr,
    bmc: Arc<Mutex<Bmc>>,
    task: AbortHandle,
}

impl Drop for Card {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Card {
    /// Starts a card at `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// When the address cannot be bound, or the process may open no more sockets.
    pub async fn start(address: impl Into<SocketAddr>, options: CardOptions) -> io::Result<Self> {
        let socket = UdpSocket::bind(address.into()).await?;
        let address = socket.local_addr()?;
        let bmc = Arc::new(Mutex::new(Bmc::new(options)));
        let task = tokio::spawn(serve(socket, Arc::clone(&bmc))).abort_handle();
        Ok(Self { address, bmc, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what its machine draws.
    pub fn set_watts(&self, watts: u16) {
        self.bmc.lock().machine.set_watts(watts);
    }

    /// Breaks it, or mends it with [`BmcFault::None`].
    pub fn set_fault(&self, fault: BmcFault) {
        self.bmc.lock().machine.fault = fault;
    }

    /// Takes a sensor's reading away, as when its supply is pulled, or gives it back.
    pub fn set_available(&self, sensor: u8, is_available: bool) {
        let unavailable = &mut self.bmc.lock().machine.unavailable;
        _ = if is_available { unavailable.remove(&sensor) } else { unavailable.insert(sensor) };
    }

    /// Changes how it answers DCMI Get Power Reading.
    pub fn set_dcmi(&self, dcmi: Dcmi) {
        self.bmc.lock().machine.options.dcmi = dcmi;
    }

    /// Restarts it, so that it has no session any more.
    pub fn forget_sessions(&self) {
        self.bmc.lock().forget_sessions();
    }

    /// How many sessions are open on it.
    pub fn sessions(&self) -> usize {
        self.bmc.lock().sessions()
    }

    /// How many datagrams came.
    pub fn datagrams(&self) -> u64 {
        self.bmc.lock().datagrams
    }

    /// How many SDR reads came.
    pub fn record_reads(&self) -> u64 {
        self.bmc.lock().machine.record_reads
    }

    /// How many wrong proofs of a password came; a real card locks the account after some.
    pub fn wrong_proofs(&self) -> u64 {
        self.bmc.lock().wrong_proofs
    }
}

async fn serve(socket: UdpSocket, bmc: Arc<Mutex<Bmc>>) {
    let socket = Arc::new(socket);
    // Longer than any request; what is longer is cut and then refused.
    let mut buffer = [0; 512];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let datagram = buffer.get(..length).unwrap_or_default();
        let (answer, second) = {
            let mut bmc = bmc.lock();
            (bmc.answer(datagram), bmc.second.take())
        };
        let delay = bmc.lock().machine.options.opening_delay;
        // As on any network, an answer may be lost.
        let Some(answer) = answer else { continue };
        // Messages of session opening: payload types 10h to 15h of RMCP+.
        let is_opening = datagram.get(4) == Some(&6) && datagram.get(5).is_some_and(|kind| *kind < 0x40);
        if is_opening && !delay.is_zero() {
            let socket = Arc::clone(&socket);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                socket.send_to(&answer, from).await
            });
        } else {
            _ = socket.send_to(&answer, from).await;
            if let Some(second) = second {
                _ = socket.send_to(&second, from).await;
            }
        }
    }
}
