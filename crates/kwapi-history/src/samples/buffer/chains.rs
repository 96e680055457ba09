//! Chains of bytes in pieces of one size, which are all forgotten at once: a hundred thousand short queues without an
//! allocation each, and without the room that growing vectors keep for later.

/// What a chain has room for at a time.
const PIECE_BYTES: usize = 60;
/// Pieces that are allocated together: 64 KiB.
const PAGE_PIECES: usize = 1 << 10;

#[derive(Debug, Default)]
pub(super) struct Chains {
    /// All but the last are full.
    pages: Vec<Vec<Piece>>,
    count: u32,
}

#[derive(Clone, Debug)]
struct Piece {
    bytes: [u8; PIECE_BYTES],
    next: u32,
}

/// One chain; a new one is empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain {
    first: u32,
    last: u32,
    bytes: u32,
}

impl Chain {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

impl Chains {
    /// What all of them take in memory.
    pub(super) fn bytes(&self) -> usize {
        self.count as usize * size_of::<Piece>()
    }

    /// Appends to a chain. Full, at four thousand million pieces: what does not fit is left out.
    pub(super) fn extend(&mut self, chain: &mut Chain, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = chain.bytes as usize % PIECE_BYTES;
            if used == 0 {
                let Some(at) = self.add() else { return };
                if chain.is_empty() {
                    chain.first = at;
                } else if let Some(last) = self.piece_mut(chain.last) {
                    last.next = at;
                }
                chain.last = at;
            }
            let Some(room) = self.piece_mut(chain.last).and_then(|piece| piece.bytes.get_mut(used..)) else {
                return;
            };
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            room.iter_mut().zip(now).for_each(|(room, byte)| *room = *byte);
            chain.bytes = chain.bytes.saturating_add(u32::try_from(now.len()).unwrap_or(u32::MAX));
            bytes = later;
        }
    }

    /// The bytes of a chain.
    pub(super) fn joined(&self, chain: &Chain) -> Vec<u8> {
        let length = chain.bytes as usize;
        let mut bytes = Vec::with_capacity(length.next_multiple_of(PIECE_BYTES));
        let mut at = chain.first;
        while bytes.len() < length {
            let Some(piece) = self.piece(at) else { break };
            bytes.extend_from_slice(&piece.bytes);
            at = piece.next;
        }
        bytes.truncate(length);
        bytes
    }

    /// Forgets all chains.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn add(&mut self) -> Option<u32> {
        let at = self.count;
        self.count = at.checked_add(1)?;
        if self.pages.last().is_none_or(|page| page.len() == PAGE_PIECES) {
            self.pages.push(Vec::with_capacity(PAGE_PIECES));
        }
        self.pages.last_mut()?.push(Piece { bytes: [0; PIECE_BYTES], next: 0 });
        Some(at)
    }

    fn piece(&self, at: u32) -> Option<&Piece> {
        self.pages.get(at as usize / PAGE_PIECES)?.get(at as usize % PAGE_PIECES)
    }

    fn piece_mut(&mut self, at: u32) -> Option<&mut Piece> {
        self.pages.get_mut(at as usize / PAGE_PIECES)?.get_mut(at as usize % PAGE_PIECES)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chains_that_grow_in_turn_have_what_each_was_given(
            turns in prop::collection::vec((0..5_usize, prop::collection::vec(any::<u8>(), 0..150)), 0..200)
        ) {
            let (mut chains, mut expected) = (Chains::default(), vec![Vec::new(); 5]);
            let mut all = [Chain::default(); 5];
            for (chain, bytes) in turns {
                chains.extend(&mut all[chain], &bytes);
                expected[chain].extend(bytes);
            }
            for (chain, expected) in all.iter().zip(&expected) {
                prop_assert_eq!(&chains.joined(chain), expected);
                prop_assert_eq!(chain.is_empty(), expected.is_empty());
            }
            let pieces: usize = expected.iter().map(|bytes| bytes.len().div_ceil(PIECE_BYTES)).sum();
            prop_assert_eq!(chains.bytes(), pieces * size_of::<Piece>());
            chains.clear();
            prop_assert_eq!(chains.bytes(), 0);
        }
    }
}
