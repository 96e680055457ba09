//! Seats for connections: every HTTP server of a process takes them from one row, so that clients cannot use up the
//! descriptors that meters and files need. When all are taken, whoever has been idle for longest makes room.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Marks in [`Seat::idle_since`] that a request is in progress.
const BUSY: u64 = 0;

/// The seats of a process; its clones are handles of the same.
#[derive(Clone, Debug)]
pub struct Seats(Arc<Row>);

#[derive(Debug)]
struct Row {
    max: usize,
    table: Mutex<Table>,
    /// Rises with each beginning of idleness: the smallest has lasted for longest.
    turn: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    taken: HashMap<u64, Arc<Seat>>,
    seats_given: u64,
    servers: u64,
}

/// One server's part of the row.
#[derive(Clone, Debug)]
pub(super) struct Part {
    seats: Seats,
    server: u64,
    max: usize,
}

/// A connection's place.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    server: u64,
    idle_since: AtomicU64,
    leave_requested: Notify,
    row: Seats,
}

/// A taken seat; free again when dropped.
#[derive(Debug)]
pub(super) struct Taken(Arc<Seat>);

/// A request under way: its connection is not closed for another.
#[derive(Debug)]
pub(super) struct Busy(Arc<Seat>);

impl Seats {
    /// A row of `max` seats.
    pub fn new(max: usize) -> Self {
        let row = Row { max, table: Mutex::default(), turn: AtomicU64::new(BUSY + 1) };
        Self(Arc::new(row))
    }

    /// How many there are.
    pub fn max(&self) -> usize {
        self.0.max
    }

    /// The part of one more server, of at most `max` seats.
    pub(super) fn part(&self, max: usize) -> Part {
        let mut table = self.0.table.lock();
        table.servers += 1;
        Part { seats: self.clone(), server: table.servers, max }
    }

    fn next_turn(&self) -> u64 {
        self.0.turn.fetch_add(1, Ordering::Relaxed)
    }
}

impl Part {
    /// Takes a seat; none when all are taken by connections with requests under way. Returns whether an idle connection
    /// had to leave for it.
    pub(super) fn take(&self) -> Option<(Taken, bool)> {
        let row = &self.seats;
        let mut table = row.0.table.lock();
        let own = table.taken.values().filter(|seat| seat.server == self.server).count();
        let is_mine = own >= self.max;
        let is_full = is_mine || table.taken.len() >= row.0.max;
        if is_full {
            let idle = |seat: &&Arc<Seat>| {
                (!is_mine || seat.server == self.server) && seat.idle_since.load(Ordering::Relaxed) != BUSY
            };
            let longest =
                table.taken.values().filter(idle).min_by_key(|seat| seat.idle_since.load(Ordering::Relaxed));
            let number = longest?.number;
            if let Some(seat) = table.taken.remove(&number) {
                seat.leave_requested.notify_one();
            }
        }
        table.seats_given += 1;
        let seat = Arc::new(Seat {
            number: table.seats_given,
            server: self.server,
            idle_since: AtomicU64::new(row.next_turn()),
            leave_requested: Notify::new(),
            row: row.clone(),
        });
        table.taken.insert(seat.number, Arc::clone(&seat));
        Some((Taken(seat), is_full))
    }
}

impl Taken {
    /// Its seat, to mark requests on.
    pub(super) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.0)
    }

    /// Waits until the seat is needed for another.
    pub(super) async fn must_leave(&self) {
        self.0.leave_requested.notified().await;
    }
}

impl Seat {
    /// Marks a request as under way until the answer is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.idle_since.store(BUSY, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.row.0.table.lock().taken.remove(&self.0.number);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.row.next_turn(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a connection has been requested to close.
    async fn must_leave(taken: &Taken) -> bool {
        tokio::select! {
            biased;
            () = taken.must_leave() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn the_longest_idle_leaves_first_and_a_busy_one_stays() {
        let part = Seats::new(3).part(9);
        let (a, _) = part.take().unwrap();
        let (b, _) = part.take().unwrap();
        let (c, had_room) = part.take().unwrap();
        assert!(!had_room);
        let request = a.seat().busy();
        let (d, someone_left) = part.take().unwrap();
        assert!(someone_left && must_leave(&b).await && !must_leave(&c).await);
        drop(request); // Idle from now on: after c, d.
        let (_e, _) = part.take().unwrap();
        assert!(must_leave(&c).await && !must_leave(&d).await && !must_leave(&a).await);
    }

    #[tokio::test]
    async fn where_all_are_busy_nobody_leaves_until_one_is_dropped() {
        let part = Seats::new(2).part(9);
        let (a, _) = part.take().unwrap();
        let (b, _) = part.take().unwrap();
        let requests = (a.seat().busy(), b.seat().busy());
        assert!(part.take().is_none());
        drop((requests.0, a));
        assert!(part.take().is_some());
    }

    #[tokio::test]
    async fn a_server_at_its_own_bound_takes_from_itself_and_a_full_row_from_anybody() {
        let seats = Seats::new(3);
        let (pages, status) = (seats.part(2), seats.part(2));
        let (first, _) = status.take().unwrap();
        let (a, _) = pages.take().unwrap();
        let (_b, _) = pages.take().unwrap();
        let (_c, _) = pages.take().unwrap();
        assert!(must_leave(&a).await && !must_leave(&first).await);
        drop(a); // One that had to leave gives no second seat back.
        let (_d, someone_left) = status.take().unwrap();
        assert!(someone_left && must_leave(&first).await);
    }
}
