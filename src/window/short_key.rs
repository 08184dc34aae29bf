//! Keys that are short enough to lie inside a record, as two words.
use crate::simd;

/// The words of a key of up to 16 bytes, and up to 19 where it is of one part (an address) and without a tenant, whose lengths say little.
#[inline(always)]
pub fn pack(key: &[u8]) -> Option<[u64; 2]> {
    if key.len() <= 16 {
        return simd::short_words(key);
    }
    let [0, 0, len, 0, rest @ ..] = key else { return None };
    if rest.len() > 15 {
        return None;
    }
    let [low, high] = simd::short_words(rest)?;
    Some([low << 8 | u64::from(*len), high << 8 | low >> 56])
}

/// Appends the key of a length that [`pack`] made words of.
pub fn unpack(words: [u64; 2], len: usize, out: &mut Vec<u8>) {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    if len <= 16 {
        return out.extend(bytes.take(len));
    }
    out.extend([0, 0, words[0] as u8, 0]);
    out.extend(bytes.skip(1).take(len - 4));
}
