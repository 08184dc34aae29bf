//! The bytes that structure a format, found for a whole input at once and then walked line by line.
use super::Subject;
use crate::event::Batch;
use crate::simd;

/// Where some bytes stand in the input of a batch.
#[derive(Debug)]
pub(super) struct MarkMap<const N: usize> {
    marks: [u8; N],
    input: Vec<u64>,
    /// Bytes of the input that the map covers.
    end: usize,
    /// The map of a text that lies elsewhere.
    own: Vec<u64>,
}

impl<const N: usize> MarkMap<N> {
    pub(super) fn new(marks: [u8; N]) -> MarkMap<N> {
        MarkMap { marks, input: Vec::new(), end: 0, own: Vec::new() }
    }

    /// Maps the input of a batch, if its lines are what is decoded. Returns whether it was seen that all of it is ASCII.
    pub(super) fn read(&mut self, batch: &Batch, subject: Subject) -> bool {
        self.end = 0;
        if subject != Subject::Line {
            return false;
        }
        self.end = batch.input.bytes().len();
        simd::bitmap(batch.input.bytes(), self.marks, &mut self.input)
    }

    /// Marks other bytes from now on: in what is left of this batch text by text, in the next one in the whole input.
    #[inline(always)]
    pub(super) fn change(&mut self, marks: [u8; N]) {
        if marks != self.marks {
            (self.marks, self.end) = (marks, 0);
        }
    }

    /// The marks of a text that begins at an address of the batch.
    #[inline(always)]
    pub(super) fn of(&mut self, at: usize, text: &[u8]) -> Marks<'_> {
        if at < self.end {
            return Marks::new(&self.input, at, 0);
        }
        simd::bitmap(text, self.marks, &mut self.own);
        Marks::new(&self.own, 0, 0)
    }
}

/// Positions of the marks of a line, from a bitmap. Behind the line those of the next one follow: who walks asks the line for the byte.
#[derive(Clone, Copy)]
pub(super) struct Marks<'a> {
    words: &'a [u64],
    /// What is left of a word, and the words behind it.
    word: u64,
    rest: &'a [u64],
    /// Position of the word's first bit; it may stand before the line.
    origin: isize,
    /// Bit of the line's first byte.
    base: usize,
}

impl<'a> Marks<'a> {
    #[inline(always)]
    fn new(words: &'a [u64], base: usize, from: usize) -> Marks<'a> {
        let bit = base + from;
        let (word, rest) = match words.get(bit / 64..) {
            Some([word, rest @ ..]) => (word & (u64::MAX << (bit % 64)), rest),
            _ => (0, &[][..]),
        };
        Marks { words, word, rest, origin: from as isize - (bit % 64) as isize, base }
    }

    /// The marks from a position of the line on.
    #[inline(always)]
    pub(super) fn from(self, from: usize) -> Marks<'a> {
        Marks::new(self.words, self.base, from)
    }

    /// The next position, relative to the line; `usize::MAX` at the end of the map.
    #[inline(always)]
    pub(super) fn next(&mut self) -> usize {
        self.until_refused(|_| false)
    }

    /// Gives one mark after the other to a step, until that says false or the map ends. Returns the mark that was refused;
    /// `usize::MAX` at the end of the map.
    #[inline(always)]
    pub(super) fn until_refused(&mut self, mut step: impl FnMut(usize) -> bool) -> usize {
        loop {
            while self.word != 0 {
                let mark = (self.origin + self.word.trailing_zeros() as isize) as usize;
                self.word &= self.word - 1;
                if !step(mark) {
                    return mark;
                }
            }
            self.origin += 64;
            let Some((word, rest)) = self.rest.split_first() else { return usize::MAX };
            (self.word, self.rest) = (*word, rest);
        }
    }

    /// The next place of a byte that no backslash escapes, and whether one escaped anything before it. The byte and the backslash are marks.
    #[inline(always)]
    pub(super) fn next_unescaped(&mut self, line: &[u8], byte: u8) -> Option<(usize, bool)> {
        let mut escaped = false;
        loop {
            let at = self.next();
            match *line.get(at)? {
                b'\\' => {
                    escaped = true;
                    self.pass(at + 1);
                }
                found if found == byte => return Some((at, escaped)),
                _ => {}
            }
        }
    }

    /// Passes over a position, if it is marked and comes next: the byte behind a backslash.
    #[inline(always)]
    pub(super) fn pass(&mut self, position: usize) {
        let mut ahead = *self;
        if ahead.next() == position {
            *self = ahead;
        }
    }
}
