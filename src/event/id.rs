//! Identities: of an event from its origin, of an alert from its rule, key and time. Sinks use them as idempotency keys.
use sha2::{Digest as _, Sha256};
use xxhash_rust::xxh3::Xxh3Default;

use super::text;
use crate::clock::Timestamp;

/// 32 hex digits of [`event_hash`].
pub fn event_id(origin: &[u8], partition: &[u8], position: u64, raw: &[u8]) -> [u8; 32] {
    hex(&event_hash(origin, partition, position, raw).to_be_bytes())
}

/// XXH3-128 over origin, partition, position and raw bytes.
pub fn event_hash(origin: &[u8], partition: &[u8], position: u64, raw: &[u8]) -> u128 {
    let mut hash = Xxh3Default::new();
    for part in [origin, partition] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(&position.to_le_bytes());
    hash.update(raw);
    hash.digest128()
}

/// The first 32 hex digits of SHA-256 over the netstrings of the parts.
pub fn alert_id<'a>(rule: &str, tenant: &[u8], by: impl Iterator<Item = &'a [u8]>, anchor: Timestamp, ordinal: u32) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut netstrings = Vec::with_capacity(128);
    let mut put = |part: &[u8]| {
        text::write_number(part.len() as i64, &mut netstrings);
        netstrings.push(b':');
        netstrings.extend_from_slice(part);
        netstrings.push(b',');
    };
    put(b"tripline-1");
    put(rule.as_bytes());
    put(tenant);
    by.for_each(&mut put);
    put(anchor.to_string().as_bytes());
    put(ordinal.to_string().as_bytes());
    hash.update(&netstrings);
    let digest = hash.finalize();
    let mut head = [0u8; 16];
    head.copy_from_slice(&digest[..16]);
    hex(&head)
}

fn hex(bytes: &[u8; 16]) -> [u8; 32] {
    let mut out = [0u8; 32];
    for (i, byte) in bytes.iter().enumerate() {
        out[2 * i] = b"0123456789abcdef"[usize::from(byte >> 4)];
        out[2 * i + 1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    out
}
