//! The AVX2 versions: 64 bytes a step as two loads; the last, partial block is read through a zeroed copy.
use core::arch::x86_64::*;

use super::JsonMarks;

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

    /// Bytes that are at most `limit`, unsigned.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn at_most(self, limit: u8) -> u64 {
        let n = _mm256_set1_epi8(limit as i8);
        join(_mm256_cmpeq_epi8(_mm256_min_epu8(self.0, n), self.0), _mm256_cmpeq_epi8(_mm256_min_epu8(self.1, n), self.1))
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn join(low: __m256i, high: __m256i) -> u64 {
    u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32
}

/// Bytes of `a` that are one of two, or of `b` that are one of two: joined as vectors, so that only one mask is taken out.
#[target_feature(enable = "avx2")]
#[inline]
fn any_of(a: Block, of_a: [u8; 2], b: Block, of_b: [u8; 2]) -> u64 {
    let side = |a: __m256i, b: __m256i| {
        let is = |v: __m256i, n: u8| _mm256_cmpeq_epi8(v, _mm256_set1_epi8(n as i8));
        _mm256_or_si256(_mm256_or_si256(is(a, of_a[0]), is(a, of_a[1])), _mm256_or_si256(is(b, of_b[0]), is(b, of_b[1])))
    };
    join(side(a.0, b.0), side(a.1, b.1))
}

/// Calls `step` with each block, its offset and its length; the last block is filled up with zeros.
#[target_feature(enable = "avx2")]
#[inline]
fn blocks(bytes: &[u8], mut step: impl FnMut(&[u8; 64], usize, usize)) {
    let (whole, rest) = bytes.as_chunks::<64>();
    let mut at = 0;
    for block in whole {
        step(block, at, 64);
        at += 64;
    }
    if !rest.is_empty() {
        let mut last = [0u8; 64];
        last[..rest.len()].copy_from_slice(rest);
        step(&last, at, rest.len());
    }
}

/// Appends the positions of the set bits, plus `at`.
#[inline(always)]
fn push_bits(mut word: u64, at: u32, out: &mut Vec<u32>) {
    let count = word.count_ones() as usize;
    if count == 0 {
        return;
    }
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
    blocks(bytes, |block, at, len| {
        let word = Block::load(block).equal(needle) & (u64::MAX >> (64 - len));
        push_bits(word, base + at as u32, out);
    });
}

#[target_feature(enable = "avx2,bmi1,popcnt")]
pub fn bitmap<const N: usize>(bytes: &[u8], needles: [u8; N], out: &mut Vec<u64>) {
    out.clear();
    out.reserve(bytes.len().div_ceil(64));
    blocks(bytes, |block, _, len| {
        let block = Block::load(block);
        let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for needle in needles {
            let n = _mm256_set1_epi8(needle as i8);
            low = _mm256_or_si256(low, _mm256_cmpeq_epi8(block.0, n));
            high = _mm256_or_si256(high, _mm256_cmpeq_epi8(block.1, n));
        }
        out.push(join(low, high) & (u64::MAX >> (64 - len)));
    });
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
pub fn json_marks(bytes: &[u8], out: &mut Vec<u32>, backslashes: &mut Vec<u64>) -> JsonMarks {
    out.clear();
    backslashes.clear();
    backslashes.reserve(bytes.len().div_ceil(64));
    let mut marks = JsonMarks::default();
    let (mut carry, mut in_string) = (0u64, 0u64);
    let mut control_in_string = 0u64;
    blocks(bytes, |raw, at, len| {
        let block = Block::load(raw);
        let backslash = block.equal(b'\\');
        marks.backslash |= backslash != 0;
        backslashes.push(backslash);
        let quotes = block.equal(b'"') & !escaped_bits(backslash, &mut carry);
        let product = _mm_clmulepi64_si128(_mm_set_epi64x(0, quotes as i64), _mm_set1_epi8(-1), 0);
        let strings = _mm_cvtsi128_si64(product) as u64 ^ in_string;
        in_string = ((strings as i64) >> 63) as u64;
        let valid = u64::MAX >> (64 - len);
        control_in_string |= block.at_most(0x1f) & strings & valid;
        // `[` and `{`, `]` and `}` differ in bit 0x20 only, and no other byte joins them.
        let bit = _mm256_set1_epi8(0x20);
        let folded = Block(_mm256_or_si256(block.0, bit), _mm256_or_si256(block.1, bit));
        let marks_outside = any_of(folded, [b'{', b'}'], block, [b':', b',']) & !strings;
        push_bits((marks_outside | quotes) & valid, at as u32, out);
    });
    marks.broken = control_in_string != 0 || in_string != 0;
    marks
}
