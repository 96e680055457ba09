//! The bounded queue between a socket's thread and everybody else.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

/// How many items a queue takes at least before it drops one: as many as the intake holds while a disk does not answer. A
/// process that is kept from the processor for a second loses nothing of a hundred thousand probes, whatever number of
/// them its configuration names.
pub(crate) const LENGTH_MIN: usize = 1 << 17;
/// The most items that an empty queue keeps room for.
const IDLE_ROOM_MAX: usize = 4_096;

/// A queue that never makes its writer wait. Full: the oldest is dropped and counted. It has one reader, on a thread
/// or in a task.
#[derive(Debug)]
pub(crate) struct DropOldest<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    filled_async: Notify,
    capacity: usize,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    is_closed: bool,
}

impl<T> DropOldest<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State { items: VecDeque::new(), is_closed: false }),
            filled: Condvar::new(),
            filled_async: Notify::new(),
            capacity: capacity.max(1),
            dropped: AtomicU64::new(0),
        }
    }

    /// How many were dropped because the reader was slow.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How many more it takes before one is dropped.
    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.state.lock().items.len())
    }

    /// How many wait.
    pub(crate) fn length(&self) -> usize {
        self.state.lock().items.len()
    }

    pub(crate) fn push(&self, item: T) {
        self.extend(std::iter::once(item));
    }

    /// Adds all of them; returns how many were dropped for that.
    pub(crate) fn extend(&self, items: impl IntoIterator<Item = T>) -> u64 {
        let mut dropped = 0;
        let was_empty;
        {
            let mut state = self.state.lock();
            was_empty = state.items.is_empty();
            for item in items {
                if state.items.len() == self.capacity {
                    state.items.pop_front();
                    dropped += 1;
                }
                state.items.push_back(item);
            }
        }
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        // A reader waits where there is nothing, and has been woken for what there was.
        if was_empty {
            self.filled.notify_one();
            self.filled_async.notify_one();
        }
        dropped
    }

    /// What is left can be read; then the reader learns that there is no more.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_one();
        self.filled_async.notify_one();
    }

    /// Puts everything there is into `taken`, which is empty and lends the queue its room meanwhile; waits up to `limit`
    /// for something. Whether more may come: not once it is closed and was empty.
    pub(crate) fn take_all(&self, taken: &mut VecDeque<T>, limit: Duration) -> bool {
        taken.clear();
        if taken.capacity() > IDLE_ROOM_MAX {
            *taken = VecDeque::new();
        }
        let mut state = self.state.lock();
        if state.items.is_empty() && !state.is_closed {
            self.filled.wait_for(&mut state, limit);
        }
        std::mem::swap(&mut state.items, taken);
        !(taken.is_empty() && state.is_closed)
    }

    /// At least one and at most `count` of the oldest; `None` once closed and empty. Dropping the future loses none.
    pub(crate) async fn take(&self, count: usize) -> Option<Vec<T>> {
        loop {
            {
                let mut state = self.state.lock();
                if !state.items.is_empty() {
                    let count = count.min(state.items.len());
                    let taken = state.items.drain(..count).collect();
                    if !state.items.is_empty() {
                        // For the next, should that be another one.
                        self.filled_async.notify_one();
                    } else if state.items.capacity() > IDLE_ROOM_MAX {
                        state.items = VecDeque::new();
                    }
                    return Some(taken);
                }
                if state.is_closed {
                    return None;
                }
            }
            self.filled_async.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_go_first_and_are_counted() {
        let queue = DropOldest::new(3);
        queue.extend(1..=5);
        assert_eq!(queue.dropped(), 2);
        assert_eq!(queue.take(2).await, Some(vec![3, 4]));
        queue.close();
        assert_eq!(queue.take(2).await, Some(vec![5]));
        assert_eq!(queue.take(2).await, None);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_an_item_and_by_the_end() {
        let queue = std::sync::Arc::new(DropOldest::new(3));
        let reader = tokio::spawn({
            let queue = queue.clone();
            async move { (queue.take(9).await, queue.take(9).await) }
        });
        tokio::task::yield_now().await;
        queue.push(1);
        tokio::task::yield_now().await;
        queue.close();
        assert_eq!(reader.await.unwrap(), (Some(vec![1]), None));
    }

    #[tokio::test]
    async fn what_is_left_by_one_reader_wakes_the_next() {
        let queue = std::sync::Arc::new(DropOldest::new(9));
        let readers = [0; 3].map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.take(2).await })
        });
        tokio::task::yield_now().await;
        queue.extend(1..=6);
        let mut taken = Vec::new();
        for reader in readers {
            taken.extend(reader.await.unwrap().unwrap());
        }
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 3, 4, 5, 6]);
    }

    #[tokio::test]
    async fn a_queue_that_was_long_once_gives_its_room_back() {
        let queue = DropOldest::new(100_000);
        queue.extend(0..50_000);
        for _ in 0..50 {
            queue.take(1_000).await;
        }
        assert!(queue.state.lock().items.capacity() <= IDLE_ROOM_MAX);
    }

    #[test]
    fn a_thread_reads_all_at_once() {
        let (queue, mut taken) = (DropOldest::new(3), VecDeque::new());
        assert!(queue.take_all(&mut taken, Duration::ZERO) && taken.is_empty());
        queue.extend([1, 2]);
        queue.close();
        assert!(queue.take_all(&mut taken, Duration::ZERO));
        assert_eq!(taken, [1, 2]);
        assert!(!queue.take_all(&mut taken, Duration::ZERO) && taken.is_empty());
    }
}
