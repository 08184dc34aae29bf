//! Identities: of an event from its origin, of an alert from its rule, key and time. Sinks use them as idempotency keys.
use std::cell::RefCell;

use sha2::{Digest as _, Sha256};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use super::text;
use crate::clock::Timestamp;
use crate::simd;

/// Bytes that are hashed in one go.
const SHORT: usize = 512;

thread_local! {
    /// Where short input is put together.
    static ONE_PIECE: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(SHORT + simd::SHORT));
}

/// XXH3-128 over origin, partition, position and raw bytes.
pub fn event_hash(origin: &[u8], partition: &[u8], position: u64, raw: &[u8]) -> u128 {
    // Of short input the hash in one go is much cheaper than a state that is filled bit by bit.
    let numbers = [origin.len() as u64, partition.len() as u64, position].map(u64::to_le_bytes);
    if size_of_val(&numbers) + origin.len() + partition.len() + raw.len() <= SHORT {
        return ONE_PIECE.with_borrow_mut(|piece| {
            piece.clear();
            piece.extend_from_slice(&numbers[0]);
            simd::append(origin, piece);
            piece.extend_from_slice(&numbers[1]);
            simd::append(partition, piece);
            piece.extend_from_slice(&numbers[2]);
            piece.extend_from_slice(raw);
            xxh3_128(piece)
        });
    }
    let mut hash = Xxh3Default::new();
    [&numbers[0][..], origin, &numbers[1], partition, &numbers[2], raw].into_iter().for_each(|part| hash.update(part));
    hash.digest128()
}

/// Makes the ids of a rule's alerts.
#[derive(Clone, Debug)]
pub struct AlertIds {
    /// The netstrings that all of them have in common.
    common: Vec<u8>,
}

impl AlertIds {
    /// Of the rule with an id.
    pub fn new(rule: &str) -> AlertIds {
        let mut common = Vec::new();
        [b"tripline-1", rule.as_bytes()].into_iter().for_each(|part| netstring(part, &mut common));
        AlertIds { common }
    }

    /// The first 32 hex digits of SHA-256 over the netstrings of the parts.
    pub fn id<'a>(&self, tenant: &[u8], by: impl Iterator<Item = &'a [u8]>, anchor: Timestamp, ordinal: u32) -> [u8; 32] {
        let digest = ONE_PIECE.with_borrow_mut(|netstrings| {
            netstrings.clear();
            simd::append(&self.common, netstrings);
            netstring(tenant, netstrings);
            by.for_each(|part| netstring(part, netstrings));
            netstring(text::digits(anchor, &mut [0; 20]), netstrings);
            netstring(text::digits(i64::from(ordinal), &mut [0; 20]), netstrings);
            Sha256::digest(&*netstrings)
        });
        let mut head = [0u8; 16];
        head.copy_from_slice(&digest[..16]);
        hex(&head)
    }
}

fn netstring(part: &[u8], out: &mut Vec<u8>) {
    text::write_number(part.len() as i64, out);
    out.push(b':');
    simd::append(part, out);
    out.push(b',');
}

/// 32 hex digits.
pub fn hex(bytes: &[u8; 16]) -> [u8; 32] {
    let mut out = [0u8; 32];
    for (i, byte) in bytes.iter().enumerate() {
        out[2 * i] = b"0123456789abcdef"[usize::from(byte >> 4)];
        out[2 * i + 1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_go_and_bit_by_bit_are_the_same() {
        for len in [0usize, 3, 100, 440, 455, 456, 457, 2000] {
            let raw: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut hash = Xxh3Default::new();
            for part in [&6u64.to_le_bytes()[..], b"origin", &9u64.to_le_bytes(), b"partition", &7u64.to_le_bytes(), &raw] {
                hash.update(part);
            }
            assert_eq!(event_hash(b"origin", b"partition", 7, &raw), hash.digest128(), "{len}");
        }
    }
}
