//! The AVX2 versions: 64 bytes a step as two loads; the last, partial block is read through a zeroed copy.
use core::arch::x86_64::*;

/// 64 bytes in two registers.
#[derive(Clone, Copy)]
struct Block(__m256i, __m256i);

impl Block {
    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(bytes: &[u8; 64]) -> Block {
        // SAFETY: both unaligned loads lie inside the 64 bytes.
        unsafe { Block(_mm256_loadu_si256(bytes.as_ptr().cast()), _mm256_loadu_si256(bytes.as_ptr().add(32).cast())) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn equal(self, needle: u8) -> u64 {
        let n = _mm256_set1_epi8(needle as i8);
        join(_mm256_cmpeq_epi8(self.0, n), _mm256_cmpeq_epi8(self.1, n))
    }

    /// Whether a byte is below 0x20.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn has_control(self) -> bool {
        let high = _mm256_set1_epi8(0xe0u8 as i8);
        let none = _mm256_setzero_si256();
        let is = |v| _mm256_cmpeq_epi8(_mm256_and_si256(v, high), none);
        _mm256_movemask_epi8(_mm256_or_si256(is(self.0), is(self.1))) != 0
    }

    /// Bytes that are at most `limit`, unsigned.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn at_most(self, limit: u8) -> u64 {
        let n = _mm256_set1_epi8(limit as i8);
        join(_mm256_cmpeq_epi8(_mm256_min_epu8(self.0, n), self.0), _mm256_cmpeq_epi8(_mm256_min_epu8(self.1, n), self.1))
    }
}

/// Bytes that a table holds at their lower half; of others, the table gives a zero.
#[target_feature(enable = "avx2")]
#[inline]
fn in_table(table: __m256i, block: Block) -> u64 {
    let is = |v| _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, v), v);
    join(is(block.0), is(block.1))
}

#[target_feature(enable = "avx2")]
#[inline]
fn join(low: __m256i, high: __m256i) -> u64 {
    u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32
}

/// Bytes that structure JSON: each is looked up by its lower half. `[` and `{`, `]` and `}` differ in bit 0x20 only; of other bytes, 0x0c and 0x1a
/// look like `,` and `:` this way.
#[target_feature(enable = "avx2")]
#[inline]
fn json_structure(block: Block) -> u64 {
    let table = _mm256_broadcastsi128_si256(_mm_setr_epi8(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x3a, 0x7b, 0x2c, 0x7d, 0, 0));
    let bit = _mm256_set1_epi8(0x20);
    let is = |v: __m256i| _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, v), _mm256_or_si256(v, bit));
    join(is(block.0), is(block.1))
}

/// Calls `step` with each block and its offset; the last block is filled up with zeros.
#[target_feature(enable = "avx2")]
#[inline]
fn blocks(bytes: &[u8], mut step: impl FnMut(&[u8; 64], usize)) {
    let (whole, rest) = bytes.as_chunks::<64>();
    let mut last = [0u8; 64];
    last[..rest.len()].copy_from_slice(rest);
    // One call, so that the step is inlined.
    for index in 0..bytes.len().div_ceil(64) {
        step(whole.get(index).unwrap_or(&last), index * 64);
    }
}

/// Positions that a step appends without looking at the capacity each time.
struct Positions<'a> {
    out: &'a mut Vec<u32>,
    len: usize,
}

impl<'a> Positions<'a> {
    /// Room for the positions of `most` bytes, and for what a step writes beyond them.
    fn after(out: &'a mut Vec<u32>, most: usize) -> Positions<'a> {
        out.reserve(most + 64 + STEP);
        let len = out.len();
        Positions { out, len }
    }

    /// Appends the positions of the set bits, plus `at`: always a whole step of them, so that most words cost one branch.
    #[target_feature(enable = "bmi1,popcnt")]
    #[inline]
    fn push(&mut self, mut word: u64, at: u32) {
        let count = word.count_ones() as usize;
        let mut done = 0;
        while done < count {
            // SAFETY: `after` reserved a place for each byte and a step more, and a position is pushed at most once per byte.
            let to = unsafe { self.out.as_mut_ptr().add(self.len + done) };
            for i in 0..STEP {
                // SAFETY: as above.
                unsafe { to.add(i).write(at + word.trailing_zeros()) };
                word &= word.wrapping_sub(1);
            }
            done += STEP;
        }
        self.len += count;
    }

    fn end(self) {
        // SAFETY: the places up to `len` were written.
        unsafe { self.out.set_len(self.len) };
    }
}

/// Positions written at once.
const STEP: usize = 8;

/// [`Positions::push`] for words with few bits, and for lists that stay short: no more is reserved or written than is needed.
#[inline(always)]
fn push_bits(mut word: u64, at: u32, out: &mut Vec<u32>) {
    let count = word.count_ones() as usize;
    out.reserve(64);
    let start = out.len();
    // SAFETY: 64 places were reserved and a word has at most 64 bits; only the `count` places that were written become visible.
    unsafe {
        let mut to = out.as_mut_ptr().add(start);
        while word != 0 {
            to.write(at + word.trailing_zeros());
            to = to.add(1);
            word &= word - 1;
        }
        out.set_len(start + count);
    }
}

#[target_feature(enable = "avx2,bmi1,popcnt")]
pub fn offsets(bytes: &[u8], needle: u8, base: u32, out: &mut Vec<u32>) {
    debug_assert!(needle != 0, "zeros fill up the last block");
    blocks(bytes, |block, at| {
        let word = Block::load(block).equal(needle);
        if word != 0 {
            push_bits(word, base + at as u32, out);
        }
    });
}

/// A table that holds each needle at its lower half, and elsewhere what belongs elsewhere; none where it would gain nothing, or two needles want
/// one place.
fn nibble_table<const N: usize>(needles: [u8; N]) -> Option<[u8; 16]> {
    let mut table: [u8; 16] = std::array::from_fn(|nibble| 15 - nibble as u8);
    for needle in needles {
        let place = &mut table[usize::from(needle & 15)];
        if !needle.is_ascii() || (*place & 15 == needle & 15 && *place != needle) {
            return None;
        }
        *place = needle;
    }
    (N > 2).then_some(table)
}

#[target_feature(enable = "avx2,bmi1,popcnt")]
pub fn bitmap<const N: usize>(bytes: &[u8], needles: [u8; N], out: &mut Vec<u64>) -> bool {
    let count = bytes.len().div_ceil(64);
    out.clear();
    out.reserve(count);
    let to = out.as_mut_ptr();
    // SAFETY: `blocks` calls once for each of the `count` places that were reserved.
    let write = |at: usize, word: u64| unsafe { to.add(at / 64).write(word) };
    let mut all = _mm256_setzero_si256();
    let mut note = |block: Block| all = _mm256_or_si256(all, _mm256_or_si256(block.0, block.1));
    if let Some(table) = nibble_table(needles) {
        // SAFETY: the unaligned load lies inside the 16 bytes.
        let table = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) });
        blocks(bytes, |block, at| {
            let block = Block::load(block);
            note(block);
            write(at, in_table(table, block));
        });
    } else {
        blocks(bytes, |block, at| {
            let block = Block::load(block);
            note(block);
            let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
            for needle in needles {
                let n = _mm256_set1_epi8(needle as i8);
                low = _mm256_or_si256(low, _mm256_cmpeq_epi8(block.0, n));
                high = _mm256_or_si256(high, _mm256_cmpeq_epi8(block.1, n));
            }
            write(at, join(low, high));
        });
    }
    // SAFETY: all of them were written.
    unsafe { out.set_len(count) };
    // What fills up the last block is no needle, even where a zero is one.
    if let (Some(last), rest @ 1..) = (out.last_mut(), bytes.len() % 64) {
        *last &= (1 << rest) - 1;
    }
    _mm256_movemask_epi8(all) == 0
}

#[target_feature(enable = "avx2,bmi1,popcnt")]
pub fn find_escape(bytes: &[u8], from: usize) -> usize {
    let quote = _mm256_set1_epi8(b'"' as i8);
    let slash = _mm256_set1_epi8(b'\\' as i8);
    let control = _mm256_set1_epi8(0x1f);
    let mut at = from;
    while at + 32 <= bytes.len() {
        // SAFETY: the 32 bytes from `at` lie inside the slice.
        let b = unsafe { _mm256_loadu_si256(bytes.as_ptr().add(at).cast()) };
        let found = _mm256_or_si256(
            _mm256_cmpeq_epi8(_mm256_min_epu8(b, control), b),
            _mm256_or_si256(_mm256_cmpeq_epi8(b, quote), _mm256_cmpeq_epi8(b, slash)),
        );
        let mask = _mm256_movemask_epi8(found) as u32;
        if mask != 0 {
            return at + mask.trailing_zeros() as usize;
        }
        at += 32;
    }
    super::scalar::find_escape(bytes, at)
}

/// Bits whose byte is escaped by a run of backslashes of odd length before it. `carry`: the block before ended in such a run.
#[inline(always)]
fn escaped_bits(backslash: u64, carry: &mut u64) -> u64 {
    if backslash == 0 {
        return std::mem::take(carry);
    }
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let backslash = backslash & !*carry;
    let follows = backslash << 1 | *carry;
    let odd_starts = backslash & !EVEN & !follows;
    let (ends_from_odd, overflow) = odd_starts.overflowing_add(backslash);
    *carry = u64::from(overflow);
    (EVEN ^ (ends_from_odd << 1)) & follows
}

#[target_feature(enable = "avx2,pclmulqdq,bmi1,popcnt")]
pub fn json_marks(bytes: &[u8], out: &mut Vec<u32>, escapes: &mut Vec<u32>) -> bool {
    out.clear();
    escapes.clear();
    let mut marks = Positions::after(out, bytes.len());
    let (mut carry, mut in_string) = (0u64, 0u64);
    let mut control_in_string = 0u64;
    // The zeros that fill up the last block are no mark, and inside a string they are in one that is not closed.
    blocks(bytes, |raw, at| {
        let block = Block::load(raw);
        let mut quotes = block.equal(b'"');
        let backslash = block.equal(b'\\');
        if backslash | carry != 0 {
            let escaped = escaped_bits(backslash, &mut carry);
            quotes &= !escaped;
            push_bits(backslash & !escaped, at as u32, escapes);
        }
        let product = _mm_clmulepi64_si128(_mm_set_epi64x(0, quotes as i64), _mm_set1_epi8(-1), 0);
        let strings = _mm_cvtsi128_si64(product) as u64 ^ in_string;
        in_string = ((strings as i64) >> 63) as u64;
        if block.has_control() {
            control_in_string |= block.at_most(0x1f) & strings;
        }
        let marks_outside = json_structure(block) & !strings;
        marks.push(marks_outside | quotes, at as u32);
    });
    marks.end();
    control_in_string == 0 && in_string == 0
}
