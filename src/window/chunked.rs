//! A list that grows in pieces: what stands in it never moves, so that growing costs no copy and no moment of twice the memory.
use crate::simd;

/// A power of two.
const PIECE: usize = 1 << 16;

/// See the module.
#[derive(Debug)]
pub struct Chunked<T> {
    pieces: Vec<Vec<T>>,
}

impl<T> Default for Chunked<T> {
    fn default() -> Chunked<T> {
        Chunked { pieces: Vec::new() }
    }
}

impl<T> Chunked<T> {
    /// Elements in it.
    pub fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Adds an element and says where it stands.
    pub fn push(&mut self, element: T) -> u32 {
        let number = self.len();
        if number.is_multiple_of(PIECE) {
            // Small lists stay small: only what follows is taken as a whole.
            let room = if number == 0 { 0 } else { PIECE };
            let mut piece = Vec::with_capacity(room);
            simd::prefer_huge_pages(piece.spare_capacity_mut());
            self.pieces.push(piece);
        }
        if let Some(last) = self.pieces.last_mut() {
            last.push(element);
        }
        number as u32
    }

    /// An element, if there are so many.
    pub fn get(&self, at: u32) -> Option<&T> {
        self.pieces.get(at as usize / PIECE)?.get(at as usize % PIECE)
    }

    /// An element, if there are so many.
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.pieces.get_mut(at as usize / PIECE)?.get_mut(at as usize % PIECE)
    }

    /// Asks for the cache line of an element that will be needed soon.
    #[inline(always)]
    pub fn prefetch(&self, at: u32) {
        if let Some(piece) = self.pieces.get(at as usize / PIECE) {
            simd::prefetch(piece, at as usize % PIECE);
        }
    }
}

impl<T> std::ops::Index<u32> for Chunked<T> {
    type Output = T;
    #[inline(always)]
    fn index(&self, at: u32) -> &T {
        &self.pieces[at as usize / PIECE][at as usize % PIECE]
    }
}

impl<T> std::ops::IndexMut<u32> for Chunked<T> {
    #[inline(always)]
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.pieces[at as usize / PIECE][at as usize % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stand_where_they_were_put() {
        let mut list = Chunked::default();
        for n in 0..3 * PIECE as u64 + 7 {
            assert_eq!(u64::from(list.push(n)), n);
        }
        assert_eq!(list.len(), 3 * PIECE + 7);
        list[PIECE as u32] = 1;
        assert_eq!((list[0], list[PIECE as u32], list[3 * PIECE as u32 + 6]), (0, 1, 3 * PIECE as u64 + 6));
        list.prefetch(u32::MAX);
        assert!(!list.is_empty() && Chunked::<u8>::default().is_empty());
    }
}
