//! The bounded queue between a socket's thread and everybody else.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

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

    pub(crate) fn push(&self, item: T) {
        self.extend(std::iter::once(item));
    }

    pub(crate) fn extend(&self, items: impl IntoIterator<Item = T>) {
        let mut dropped = 0;
        {
            let mut state = self.state.lock();
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
        self.filled.notify_one();
        self.filled_async.notify_one();
    }

    /// What is left can be read; then the reader is told that there is no more.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_one();
        self.filled_async.notify_one();
    }

    /// Everything there is, waiting up to `limit` for something; `None` once closed and empty.
    pub(crate) fn take_all(&self, limit: Duration) -> Option<VecDeque<T>> {
        let mut state = self.state.lock();
        if state.items.is_empty() && !state.is_closed {
            self.filled.wait_for(&mut state, limit);
        }
        if state.items.is_empty() && state.is_closed { None } else { Some(std::mem::take(&mut state.items)) }
    }

    /// At least one and at most `count` of the oldest; `None` once closed and empty. Dropping the future loses none.
    pub(crate) async fn take(&self, count: usize) -> Option<Vec<T>> {
        loop {
            {
                let mut state = self.state.lock();
                if !state.items.is_empty() {
                    let count = count.min(state.items.len());
                    return Some(state.items.drain(..count).collect());
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

    #[test]
    fn a_thread_reads_all_at_once() {
        let queue = DropOldest::new(3);
        assert_eq!(queue.take_all(Duration::ZERO), Some(VecDeque::new()));
        queue.extend([1, 2]);
        queue.close();
        assert_eq!(queue.take_all(Duration::ZERO), Some(VecDeque::from([1, 2])));
        assert_eq!(queue.take_all(Duration::ZERO), None);
    }
}
