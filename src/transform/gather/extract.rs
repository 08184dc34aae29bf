//! Which events belong together: the key of each, and whether it begins or ends what is gathered.
use bumpalo::Bump;
use xxhash_rust::xxh3::xxh3_64;

use crate::component::correlator::{RowTimes, push_part, shard_of};
use crate::component::{Extractor, HitBatch, HitRef};
use crate::event::{Batch, Slot, amount};
use crate::expr::Program;
use crate::expr::eval::BatchRow;
use crate::pattern::{Found, Pattern};

/// It begins a new event.
pub const START: u8 = 1;
/// It is the last part.
pub const END: u8 = 2;
/// It has no key and stays as it is.
pub const ALONE: u8 = 4;

/// Role and weight as a hit's amount.
pub fn amount_of(role: u8, weight: u64) -> i128 {
    i128::from(weight) << 8 | i128::from(role)
}

/// What [`amount_of`] put together.
pub fn role_and_weight(amount: i128) -> (u8, u64) {
    ((amount & 0xff) as u8, (amount >> 8) as u64)
}

/// A part of a key.
pub struct KeyPart {
    slot: Option<Slot>,
    pattern: Option<(Pattern, Found)>,
}

impl KeyPart {
    /// A field, or what a pattern's groups match in it; without groups, the whole match.
    pub fn new(slot: Option<Slot>, pattern: Option<Pattern>) -> KeyPart {
        KeyPart { slot, pattern: pattern.map(|p| (p.clone(), p.found())) }
    }

    /// Appends it. False where there is none.
    fn write(&mut self, batch: &Batch, row: usize, text: &mut Vec<u8>, key: &mut Vec<u8>) -> bool {
        let Some(slot) = self.slot else { return false };
        let value = batch.value(slot, row);
        let whole = match value.plain_text() {
            Some(plain) => plain,
            None => {
                text.clear();
                if !value.write_text(text) {
                    return false;
                }
                text
            }
        };
        let Some((pattern, found)) = &mut self.pattern else {
            push_part(whole, key);
            return true;
        };
        if !pattern.find(whole, found) {
            return false;
        }
        let first = usize::from(found.groups() > 1);
        for group in first..found.groups() {
            push_part(found.group(group).map_or(b"", |part| &whole[part]), key);
        }
        true
    }
}

impl Clone for KeyPart {
    fn clone(&self) -> KeyPart {
        KeyPart::new(self.slot, self.pattern.as_ref().map(|(p, _)| p.clone()))
    }
}

/// See the module.
#[derive(Clone)]
pub struct GatherExtractor {
    tenant: Option<Slot>,
    key: Vec<KeyPart>,
    /// An event without one of the fields stays as it is; else absent is a value.
    key_is_needed: bool,
    weight: Option<Slot>,
    start: Option<Program>,
    end: Option<Program>,
    reads: Vec<Slot>,
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    bump: Bump,
    key: Vec<u8>,
    text: Vec<u8>,
}

impl Clone for Scratch {
    fn clone(&self) -> Scratch {
        Scratch::default()
    }
}

impl GatherExtractor {
    /// `conditions`: what starts and what ends an event.
    pub fn new(
        tenant: Option<Slot>,
        key: Vec<KeyPart>,
        key_is_needed: bool,
        weight: Option<Slot>,
        conditions: (Option<Program>, Option<Program>),
        sums: &[Option<Slot>],
    ) -> GatherExtractor {
        let (start, end) = conditions;
        let mut reads: Vec<Slot> = key.iter().map(|k| k.slot).chain(sums.iter().copied()).chain([tenant, weight]).flatten().collect();
        reads.extend(start.iter().chain(&end).flat_map(|c| c.reads.iter().copied()));
        reads.sort();
        reads.dedup();
        GatherExtractor { tenant, key, key_is_needed, weight, start, end, reads, scratch: Scratch::default() }
    }

    /// Writes the key of a row. False where a part is missing.
    fn write_key(&mut self, batch: &Batch, row: usize) -> bool {
        let Scratch { key, text, .. } = &mut self.scratch;
        key.clear();
        text.clear();
        if let Some(tenant) = self.tenant {
            batch.value(tenant, row).write_text(text);
        }
        push_part(text, key);
        for part in &mut self.key {
            if part.write(batch, row, text, key) {
                continue;
            }
            if self.key_is_needed {
                return false;
            }
            // Absent and empty are different values.
            key.extend_from_slice(&u16::MAX.to_le_bytes());
        }
        true
    }

    fn role(&self, batch: &Batch, row: usize) -> u8 {
        let holds = |condition: &Option<Program>| condition.as_ref().is_some_and(|c| c.holds(&BatchRow { batch, row }, &self.scratch.bump));
        (START * u8::from(holds(&self.start))) | (END * u8::from(holds(&self.end)))
    }
}

impl Extractor for GatherExtractor {
    fn extract(&mut self, batch: &mut Batch, rows: &[u16], out: &mut [&mut HitBatch]) {
        for slot in &self.reads {
            batch.resolve(*slot);
        }
        self.scratch.bump.reset();
        let mut times = RowTimes::default();
        for row in rows {
            let row = usize::from(*row);
            let before = times.pass_to(batch, row);
            let (role, hash) = if self.write_key(batch, row) {
                (self.role(batch, row), xxh3_64(&self.scratch.key))
            } else {
                self.scratch.key.clear();
                (ALONE, 0)
            };
            let weight = self.weight.map_or(1, |slot| amount::weight(batch.value(slot, row)));
            let hits = &mut out[shard_of(hash, out.len())];
            let at = hits.keys.len() as u32;
            hits.keys.extend_from_slice(&self.scratch.key);
            hits.amounts.push(amount_of(role, u64::try_from(weight).unwrap_or(u64::MAX >> 8)));
            hits.hits.push(HitRef { row: row as u16, hash, key: (at, self.scratch.key.len() as u32), before });
        }
    }

    fn on_barrier(&mut self) {
        self.start.iter_mut().chain(&mut self.end).for_each(Program::refresh);
    }
}
