//! Masks over 64 bytes, copies of short texts, and what is said to the memory system: the one room where `unsafe` is allowed.
//!
//! Every function has a scalar twin that property tests and a fuzz target hold equal. AVX2 is chosen at run time; it and AVX-512
//! measured alike for this work, so there is no third version. SSE2 is there on every x86-64.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
pub mod scalar;
#[cfg(target_arch = "x86_64")]
mod sse2;
#[cfg(test)]
mod tests;

#[cfg(not(target_arch = "x86_64"))]
pub use scalar::{append, append_plain, begins_with, equal_to, find_near, is_first_at, leading_below, marks, quote_plain};
#[cfg(target_arch = "x86_64")]
pub use sse2::{append, append_plain, begins_with, equal_to, find_near, is_first_at, leading_below, marks, quote_plain};

#[cfg(target_arch = "x86_64")]
fn avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("popcnt")
}

/// Appends the offset of every `needle` in `bytes`, plus `base`.
pub fn offsets(bytes: &[u8], needle: u8, base: u32, out: &mut Vec<u32>) {
    #[cfg(target_arch = "x86_64")]
    if avx2() {
        // SAFETY: the features that the function is compiled for were just detected.
        return unsafe { avx2::offsets(bytes, needle, base, out) };
    }
    scalar::offsets(bytes, needle, base, out);
}

/// Replaces `out` by one bit per byte, 64 to a word: set where the byte is one of the needles. Returns whether all bytes are ASCII.
pub fn bitmap<const N: usize>(bytes: &[u8], needles: [u8; N], out: &mut Vec<u64>) -> bool {
    #[cfg(target_arch = "x86_64")]
    if avx2() {
        // SAFETY: the features that the function is compiled for were just detected.
        return unsafe { avx2::bitmap(bytes, needles, out) };
    }
    scalar::bitmap(bytes, needles, out)
}

/// Offset of the first byte at or after `from` that JSON text must escape: below 0x20, `"` or `\`. The length where there is none.
pub fn find_escape(bytes: &[u8], from: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() - from >= 32 && avx2() {
        // SAFETY: the features that the function is compiled for were just detected.
        return unsafe { avx2::find_escape(bytes, from) };
    }
    scalar::find_escape(bytes, from)
}

/// Bytes that a short text may have: most keys and values of an event are shorter.
pub const SHORT: usize = 32;

/// The ends of a text of at most 16 bytes, as two words that overlap: with its length they are the text.
#[inline(always)]
pub fn ends(text: &[u8]) -> Option<[u64; 2]> {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return (text.len() <= 16).then(|| [word(first), word(last)]);
    }
    Some(match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => [half(first), half(last)],
        _ => [text.iter().rev().fold(0, |w, b| w << 8 | u64::from(*b)), 0],
    })
}

/// A text of at most 16 bytes as two words, filled up with zeros. They are made of its ends: bytes that are copied and read again as words
/// would stall.
#[inline(always)]
pub fn short_words(text: &[u8]) -> Option<[u64; 2]> {
    let [first, last] = ends(text)?;
    let len = text.len();
    Some(match len {
        // Half the bits at a time: no shift takes all 64.
        8.. => [first, last >> (4 * (16 - len)) >> (4 * (16 - len))],
        4.. => [first | last << (8 * (len - 4)), 0],
        _ => [first, 0],
    })
}

/// Whether two texts are the same. Short ones are compared without a call.
#[inline(always)]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && match (ends(a), ends(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        }
}

/// The first stage of JSON decoding. Replaces `out` by the offsets of every unescaped quote and of every `{ } [ ] : ,` outside strings, and `escapes` by
/// those of the backslashes that escape the next byte. 0x0c and 0x1a outside strings count as structure: no grammar lets them through. False where a
/// control character stands inside a string, or a string is not closed.
pub fn json_marks(bytes: &[u8], out: &mut Vec<u32>, escapes: &mut Vec<u32>) -> bool {
    #[cfg(target_arch = "x86_64")]
    if avx2() {
        // SAFETY: the features that the function is compiled for were just detected.
        return unsafe { avx2::json_marks(bytes, out, escapes) };
    }
    scalar::json_marks(bytes, out, escapes)
}

/// Asks for the memory of a text that will be copied soon: of a long one for its beginning, behind which the processor goes on by itself.
#[inline(always)]
pub fn prefetch_text(text: &[u8]) {
    for at in (0..text.len().min(512)).step_by(64) {
        prefetch(text, at);
    }
}

/// Asks for the cache lines of an element that will be needed soon. An index beyond the slice does no harm.
#[inline(always)]
pub fn prefetch<T>(slice: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of::<T>()).step_by(64) {
        let address = slice.as_ptr().wrapping_add(index).cast::<i8>().wrapping_add(line);
        // SAFETY: a prefetch reads nothing that the program can see, and one of memory that is not there is no fault.
        unsafe { core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index);
}

/// Asks the system to back memory that is read at random with huge pages: most of the cost of such a read is the translation of its address. Where the
/// system has none, or the memory is small, nothing happens.
pub fn prefer_huge_pages<T>(memory: &mut [T]) {
    #[cfg(target_os = "linux")]
    {
        const HUGE: usize = 2 << 20;
        let range = memory.as_mut_ptr_range();
        let (from, to) = ((range.start as usize).next_multiple_of(HUGE), range.end as usize / HUGE * HUGE);
        if from < to {
            // SAFETY: whole pages inside a live allocation; the advice changes how they are backed, not what they hold. A refusal is no fault.
            unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}
