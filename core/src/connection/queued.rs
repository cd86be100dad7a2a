//! Who queued the bytes that an event loop writes for others, several in one call.

use std::collections::VecDeque;

use crate::exchange::Origin;

/// Pieces that may wait to be written; of more, the oldest are forgotten.
const PIECES_MAX: usize = 4_096;

/// Bytes that some code has queued.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Position of the first byte.
    pos: u64,
    end: u64,
    by: Origin,
}

/// The pieces of a connection that are not written yet, in their order.
#[derive(Debug, Default)]
pub(super) struct Pieces(VecDeque<Piece>);

impl Pieces {
    /// `len` bytes were queued, to be written at `pos`.
    pub(super) fn add(&mut self, pos: u64, len: u64, by: Origin) {
        if self.0.back().is_some_and(|last| last.end > pos) {
            // Where they lie is not what it was taken for.
            self.0.clear();
        }
        if self.0.len() >= PIECES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Piece { pos, end: pos.saturating_add(len), by });
    }

    /// Nothing is known to wait.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `len` bytes are written at `pos`. True where they were all queued by code that is known; what was queued otherwise, or
    /// before the agent came, makes the places of the pieces doubtful.
    pub(super) fn begin(&mut self, pos: u64, len: u64) -> bool {
        let end = pos.saturating_add(len);
        let covers = self.0.back().is_some_and(|last| last.end >= end);
        if !covers {
            self.0.clear();
        }
        covers
    }

    /// Who queued the byte at `pos`, and how many bytes from there on; the code is not known where nobody did.
    pub(super) fn at(&mut self, pos: u64, most: u64) -> (Origin, u64) {
        while self.0.front().is_some_and(|piece| piece.end <= pos) {
            self.0.pop_front();
        }
        match self.0.front() {
            Some(piece) if piece.pos <= pos => (piece.by, (piece.end - pos).min(most)),
            Some(piece) => (Origin::default(), (piece.pos - pos).min(most)),
            None => (Origin::default(), most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(unit: u64) -> Origin {
        Origin { unit, ..Origin::default() }
    }

    #[test]
    fn what_is_written_in_one_go_is_told_apart() {
        let mut pieces = Pieces::default();
        pieces.add(10, 5, by(1));
        pieces.add(15, 3, by(2));
        assert!(pieces.begin(10, 8));
        assert_eq!(pieces.at(10, 8), (by(1), 5));
        assert_eq!(pieces.at(15, 3), (by(2), 3));
        assert!(pieces.begin(18, 0) && !pieces.is_empty());
    }

    #[test]
    fn a_socket_that_takes_a_part_takes_the_rest_later() {
        let mut pieces = Pieces::default();
        pieces.add(0, 10, by(1));
        pieces.add(10, 10, by(2));
        assert!(pieces.begin(0, 4));
        assert_eq!(pieces.at(0, 4), (by(1), 4));
        assert!(pieces.begin(4, 16));
        assert_eq!(pieces.at(4, 16), (by(1), 6));
        assert_eq!(pieces.at(10, 10), (by(2), 10));
    }

    #[test]
    fn bytes_that_nobody_was_seen_to_queue_are_nobodys() {
        let mut pieces = Pieces::default();
        pieces.add(20, 5, by(1));
        assert!(pieces.begin(10, 15));
        assert_eq!(pieces.at(10, 15), (Origin::default(), 10));
        assert_eq!(pieces.at(20, 5), (by(1), 5));
        // More is written than was queued: others came before, so the places were wrong.
        pieces.add(25, 5, by(2));
        assert!(!pieces.begin(25, 9));
        assert_eq!(pieces.at(25, 9), (Origin::default(), 9));
        // A piece within another is none.
        pieces.add(40, 10, by(3));
        pieces.add(45, 10, by(4));
        assert_eq!(pieces.at(40, 15), (Origin::default(), 5));
    }
}
