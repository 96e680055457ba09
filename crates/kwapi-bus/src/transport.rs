//! The seam between what carries messages and what reads them: a transport yields frames, each with its place where
//! the transport keeps them, and is informed which places are safe.

pub(crate) mod inlets;
pub(crate) mod nats;
pub(crate) mod wake;
pub(crate) mod zeromq;

use std::ops::RangeInclusive;
use std::time::Duration;

use kwapi_core::Timestamp;

use crate::key::KeyPrints;

/// Where a message stands in what a source keeps; rising from one message of a source to the next.
pub(crate) type Token = u64;

/// A message as a transport delivers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// Topic and payload. Any other number of frames is for the reader to refuse.
    pub(crate) frames: &'a [&'a [u8]],
    /// Whether it comes as it is sent, and will not come again. Only then does age count against it.
    pub(crate) is_live: bool,
    /// Its place, where the transport delivers it again until that is acknowledged.
    pub(crate) token: Option<Token>,
    /// How many more the transport keeps for us after it, as far as it reports.
    pub(crate) later: u64,
    /// Of what a source has had before and is read again: the keys whose measurements were taken then
    /// ([`crate::key::Key::print`]).
    pub(crate) taken: Option<&'a KeyPrints>,
    /// The keys whose measurements are to be set aside although they are accepted: older ones of theirs have to come first, and
    /// cannot be read yet.
    pub(crate) withheld: Option<&'a KeyPrints>,
}

/// How the connection to a source that keeps its messages is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// Whether messages pass.
    pub(crate) works: bool,
    /// How many wait there, by its latest report.
    pub(crate) waiting: u64,
    /// How many were fetched and not taken yet.
    pub(crate) fetched: u64,
    /// For how long it may lack what is kept elsewhere for it; `None` where it does not.
    pub(crate) lacking_for: Option<Duration>,
}

/// The receiving end of a transport, with the sources it reads from, owned by the subscriber's thread.
pub(crate) trait Inlet: Send + 'static {
    /// Why the transport has failed as a whole.
    type Failure: std::fmt::Display;

    /// Waits for messages, a tenth of a second at most.
    ///
    /// # Errors
    /// When there will be no more.
    fn wait(&mut self) -> Result<(), Self::Failure>;

    /// Hands on what one source has, `count` messages at most.
    fn take(&mut self, source: usize, count: usize, each: impl FnMut(Arrival<'_>));

    /// Whether a source keeps its messages: it is then left alone while there is no room for more.
    fn keeps(&self, source: usize) -> bool;

    /// Takes note that the messages at these places are safe, or not worth keeping.
    fn acknowledge(&mut self, source: usize, places: RangeInclusive<Token>);

    /// Takes note that no accepted key verifies the message at this place: it is acknowledged, and read again once another key
    /// is accepted.
    fn set_aside(&mut self, source: usize, place: Token) {
        self.acknowledge(source, place..=place);
    }

    /// Takes note that a key has verified a message of a source.
    fn note_verified(&mut self, _source: usize, _key: &str) {}

    /// Takes note of messages that were taken when the source was read before.
    fn note_known(&mut self, _source: usize, _count: u64) {}

    /// Whether messages of a source are to be verified with the keys that were accepted last: not while some are under way that
    /// come before those that these keys verify.
    fn may_take_keys(&mut self, _source: usize) -> bool {
        true
    }

    /// Takes note that the messages at these places were let go of and are not safe: those of a source that keeps its
    /// messages come again.
    fn release(&mut self, _source: usize, _places: RangeInclusive<Token>) {}

    /// How a source that keeps its messages is doing.
    fn keeping(&self, _source: usize) -> Keeping {
        Keeping { works: true, ..Keeping::default() }
    }

    /// Takes note up to when all that a source keeps is safe here.
    fn note_read(&mut self, _source: usize, _until: Timestamp) {}

    /// Whether a source that shows the present ahead of the record is to be listened to.
    fn listen(&mut self, _source: usize, _is_wanted: bool) {}

    /// Takes note that messages of a source that shows the present were dropped here.
    fn note_dropped(&mut self, _source: usize, _count: u64) {}
}
