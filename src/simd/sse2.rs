//! The SSE2 versions, which every x86-64 can run: short texts, copied as one or two registers that overlap.
use core::arch::x86_64::*;

use super::{SHORT, short_words};

/// A text of at most [`SHORT`] bytes: its first 16 and its last 16. One of less than 16 stands in the first, filled up with zeros, and in no last.
struct Short {
    len: usize,
    first: __m128i,
    last: Option<__m128i>,
}

impl Short {
    #[inline(always)]
    fn load(text: &[u8]) -> Option<Short> {
        let len = text.len();
        if let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) {
            // SAFETY: both unaligned loads lie inside their 16 bytes.
            let (first, last) = unsafe { (_mm_loadu_si128(first.as_ptr().cast()), _mm_loadu_si128(last.as_ptr().cast())) };
            return (len <= SHORT).then_some(Short { len, first, last: Some(last) });
        }
        let [low, high] = short_words(text)?;
        // SAFETY: SSE2 is part of x86-64.
        let first = unsafe { _mm_set_epi64x(high as i64, low as i64) };
        Some(Short { len, first, last: None })
    }

    /// A text of which JSON must escape no byte.
    #[inline(always)]
    fn load_plain(text: &[u8]) -> Option<Short> {
        Short::load(text).filter(|short| !short.must_be_escaped())
    }

    /// Whether JSON text must escape one of the bytes.
    #[inline(always)]
    fn must_be_escaped(&self) -> bool {
        // SAFETY: SSE2 is part of x86-64.
        let marks = |v: __m128i| unsafe {
            let control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
            let quote = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'"' as i8));
            let slash = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'\\' as i8));
            _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, slash))) as u32
        };
        match self.last {
            Some(last) => marks(self.first) | marks(last) != 0,
            // The zeros that fill it up are no part of the text.
            None => marks(self.first) & ((1 << self.len) - 1) != 0,
        }
    }

    #[inline(always)]
    fn append(&self, out: &mut Vec<u8>) {
        out.reserve(SHORT);
        let len = out.len();
        // SAFETY: there is room for `SHORT` bytes behind `len`, and the text's bytes were written when they become visible.
        unsafe {
            self.store(out.as_mut_ptr().add(len));
            out.set_len(len + self.len);
        }
    }

    /// Writes the text.
    ///
    /// # Safety
    /// `to` has room for [`SHORT`] bytes.
    #[inline(always)]
    unsafe fn store(&self, to: *mut u8) {
        // SAFETY: the first 16 bytes, and of a text of 16 to 32 those up to its end, lie inside the room.
        unsafe {
            _mm_storeu_si128(to.cast(), self.first);
            if let Some(last) = self.last {
                _mm_storeu_si128(to.add(self.len - 16).cast(), last);
            }
        }
    }
}

/// One bit per number: set where it is `wanted`.
#[inline(always)]
pub fn equal_to(numbers: &[u32; 8], wanted: u32) -> u32 {
    let [low, high] = [0, 4].map(|at| numbers[at..].as_ptr().cast());
    // SAFETY: SSE2 is part of x86-64, and each unaligned load lies inside the eight numbers.
    unsafe {
        let wanted = _mm_set1_epi32(wanted as i32);
        let equal = |from: *const __m128i| _mm_cmpeq_epi32(_mm_loadu_si128(from), wanted);
        let words = _mm_packs_epi32(equal(low), equal(high));
        _mm_movemask_epi8(_mm_packs_epi16(words, _mm_setzero_si128())) as u32
    }
}

/// How many numbers from the first on are below a limit.
#[inline(always)]
pub fn leading_below(numbers: &[u16; 8], limit: u16) -> usize {
    // SAFETY: SSE2 is part of x86-64, and the unaligned load covers the eight numbers.
    let below = unsafe {
        // The comparison is one of signed numbers.
        let sign = _mm_set1_epi16(i16::MIN);
        let numbers = _mm_xor_si128(_mm_loadu_si128(numbers.as_ptr().cast()), sign);
        _mm_movemask_epi8(_mm_cmplt_epi16(numbers, _mm_xor_si128(_mm_set1_epi16(limit as i16), sign)))
    };
    below.trailing_ones() as usize / 2
}

/// One bit per byte of the block: set where it is one of the needles.
#[inline(always)]
fn marks_of_16<const N: usize>(block: &[u8; 16], needles: [u8; N]) -> u32 {
    // SAFETY: SSE2 is part of x86-64, and the unaligned load lies inside the block.
    unsafe {
        let block = _mm_loadu_si128(block.as_ptr().cast());
        let found = needles.map(|needle| _mm_cmpeq_epi8(block, _mm_set1_epi8(needle as i8)));
        _mm_movemask_epi8(found.into_iter().fold(_mm_setzero_si128(), |all, one| _mm_or_si128(all, one))) as u32
    }
}

/// One bit per byte of the block, its first one lowest: set where it is one of the needles.
#[inline(always)]
pub fn marks<const N: usize>(block: &[u8; 64], needles: [u8; N]) -> u64 {
    block.as_chunks().0.iter().rev().fold(0, |marks, block| marks << 16 | u64::from(marks_of_16(block, needles)))
}

/// Offset of the first byte at or after `from` that is one of the needles, the length where there is none: for one that is near, in text that is not short.
#[inline(always)]
pub fn find_near<const N: usize>(bytes: &[u8], from: usize, needles: [u8; N]) -> usize {
    let marks = |block| marks_of_16(block, needles);
    let Some(mut rest) = bytes.get(from..) else { return bytes.len() };
    let offset = |rest: &[u8], found: u32| bytes.len() - rest.len() + found.trailing_zeros() as usize;
    while let Some((block, next)) = rest.split_first_chunk::<16>() {
        match marks(block) {
            0 => rest = next,
            found => return offset(rest, found),
        }
    }
    // The rest, and what stands before it.
    match bytes.last_chunk::<16>() {
        Some(block) => match marks(block) >> (16 - rest.len()) {
            0 => bytes.len(),
            found => offset(rest, found),
        },
        None => super::scalar::find_near(bytes, bytes.len() - rest.len(), needles),
    }
}

/// Whether a block is the head, where the mask says.
#[inline(always)]
pub fn begins_with(block: &[u8; 16], head: &[u8; 16], mask: &[u8; 16]) -> bool {
    // SAFETY: SSE2 is part of x86-64, and the unaligned loads lie inside the blocks.
    unsafe {
        let load = |bytes: &[u8; 16]| _mm_loadu_si128(bytes.as_ptr().cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(load(block), load(mask)), load(head))) == 0xffff
    }
}

/// Whether the first of two different bytes that a block holds stands at `at`, and is `byte`.
#[inline(always)]
pub fn is_first_at(block: &[u8; 16], at: usize, byte: u8, other: u8) -> bool {
    // SAFETY: SSE2 is part of x86-64, and the unaligned load lies inside the block.
    let (found, before) = unsafe {
        let block = _mm_loadu_si128(block.as_ptr().cast());
        let equal = |byte: u8| _mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8(byte as i8))) as u32;
        (equal(byte), equal(other))
    };
    let up_to_first = found ^ found.wrapping_sub(1);
    found != 0 && found.trailing_zeros() as usize == at && before & up_to_first == 0
}

/// Appends a text. A short one is copied without a call and without a loop.
#[inline(always)]
pub fn append(text: &[u8], out: &mut Vec<u8>) {
    match Short::load(text) {
        Some(short) => short.append(out),
        None => out.extend_from_slice(text),
    }
}

/// Appends a short text that may stand in JSON as it is. False, and nothing is appended, where it is long, or a byte of it must be escaped.
#[inline(always)]
pub fn append_plain(text: &[u8], out: &mut Vec<u8>) -> bool {
    Short::load_plain(text).map(|short| short.append(out)).is_some()
}

/// [`append_plain`] between quotes.
#[inline(always)]
pub fn quote_plain(text: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(short) = Short::load_plain(text) else { return false };
    out.reserve(SHORT + 2);
    let len = out.len();
    // SAFETY: there is room for two quotes and `SHORT` bytes between them, and all that becomes visible was written.
    unsafe {
        let to = out.as_mut_ptr().add(len);
        to.write(b'"');
        short.store(to.add(1));
        to.add(1 + short.len).write(b'"');
        out.set_len(len + 2 + short.len);
    }
    true
}
