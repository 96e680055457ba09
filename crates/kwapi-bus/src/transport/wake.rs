//! Wakes the subscriber's thread, which waits on sockets of ZeroMQ, when something came on another way.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The end that is waited on.
#[derive(Debug)]
pub(crate) struct Alarm {
    ours: UnixStream,
    waker: Waker,
}

/// The end that wakes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<Other>);

#[derive(Debug)]
struct Other {
    theirs: UnixStream,
    is_set: AtomicBool,
}

impl Alarm {
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let waker = Waker(Arc::new(Other { theirs, is_set: AtomicBool::new(false) }));
        Ok(Self { ours, waker })
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Readable once somebody has woken.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.ours.as_raw_fd()
    }

    /// Takes note; to be called before looking for what came.
    pub(crate) fn clear(&self) {
        // Whatever the flag holds: who has set it may not have written yet.
        let mut bytes = [0; 64];
        _ = (&self.ours).read(&mut bytes);
        self.waker.0.is_set.store(false, Ordering::Release);
    }
}

impl Waker {
    /// Wakes; to be called after what came is in its place.
    pub(crate) fn wake(&self) {
        if !self.0.is_set.swap(true, Ordering::AcqRel) {
            _ = (&self.0.theirs).write(&[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(alarm: &Alarm) -> bool {
        let mut items = [zmq::PollItem::from_fd(alarm.descriptor(), zmq::POLLIN)];
        zmq::poll(&mut items, 0).unwrap() == 1
    }

    #[test]
    fn it_rings_once_however_often_it_is_woken_and_again_after_it_was_cleared() {
        let alarm = Alarm::new().unwrap();
        let waker = alarm.waker();
        assert!(!is_readable(&alarm));
        for _ in 0..3 {
            (0..100_000).for_each(|_| waker.wake());
            assert!(is_readable(&alarm));
            alarm.clear();
            assert!(!is_readable(&alarm));
        }
    }
}
