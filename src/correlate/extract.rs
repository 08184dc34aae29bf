//! Finding the hits of a rule in a lane: the condition, the key, and the shard that owns it.
use bumpalo::Bump;
use xxhash_rust::xxh3::xxh3_64;

use crate::component::correlator::{RowTimes, push_part, shard_of};
use crate::component::{Extractor, HitBatch, HitRef};
use crate::event::{Batch, Slot, amount};
use crate::expr::Program;
use crate::expr::eval::BatchRow;
use crate::window::general::Measure;

/// See the module.
#[derive(Clone)]
pub struct RuleExtractor {
    /// Which events are hits.
    pub condition: Option<Program>,
    /// The tenant's field, if there are tenants.
    pub tenant: Option<Slot>,
    /// Grouping fields; none where the field cannot exist.
    pub by: Vec<Option<Slot>>,
    /// Which of them choose the shard.
    pub shard_by: Vec<bool>,
    /// Whether absent is a value.
    pub missing_is_value: bool,
    /// What is measured.
    pub measure: Measure,
    /// The measured field.
    pub field: Option<Slot>,
    /// The weight's field.
    pub weight: Option<Slot>,
    /// Columns that the rule will read as values.
    pub reads: Vec<Slot>,
    /// Events without a grouping field.
    pub missing_key: metrics::Counter,
    /// Reset per batch.
    pub scratch: Scratch,
}

/// Scratch memory of an extractor.
#[derive(Default)]
pub struct Scratch {
    bump: Bump,
    text: Vec<u8>,
    key: Vec<u8>,
    shard_key: Vec<u8>,
}

impl Clone for Scratch {
    fn clone(&self) -> Scratch {
        Scratch::default()
    }
}

impl RuleExtractor {
    /// Writes the key of a row. False where a part is missing.
    #[inline]
    fn key(&mut self, batch: &Batch, row: usize) -> bool {
        let Scratch { text, key, shard_key, .. } = &mut self.scratch;
        key.clear();
        shard_key.clear();
        let tenant = self.tenant.map(|slot| batch.value(slot, row));
        text.clear();
        if let Some(tenant) = tenant {
            tenant.write_text(text);
        }
        push_part(text, key);
        push_part(text, shard_key);
        for (slot, chooses) in self.by.iter().zip(&self.shard_by) {
            let from = key.len();
            let value = slot.map(|slot| batch.value(slot, row));
            match value.and_then(|v| v.plain_text()) {
                Some(text) => push_part(text, key),
                None => {
                    text.clear();
                    if !value.is_some_and(|v| v.write_text(text)) && !self.missing_is_value {
                        return false;
                    }
                    push_part(text, key);
                }
            }
            if *chooses {
                shard_key.extend_from_slice(&key[from..]);
            }
        }
        true
    }

    /// Hash of the key; its upper byte comes from the parts that choose the shard.
    #[inline]
    fn hash(&self) -> u64 {
        let Scratch { key, shard_key, .. } = &self.scratch;
        let hash = xxh3_64(key);
        if key.len() == shard_key.len() { hash } else { hash >> 8 | xxh3_64(shard_key) >> 56 << 56 }
    }

    #[inline]
    fn amount(&mut self, batch: &Batch, row: usize) -> Option<i128> {
        match self.measure {
            Measure::Count => Some(self.weight.map_or(1, |slot| amount::weight(batch.value(slot, row)))),
            Measure::Distinct => amount::distinct(batch.value(self.field?, row), &mut self.scratch.text),
            Measure::Sum | Measure::Average | Measure::Rank(_) => amount::decimal(batch.value(self.field?, row)),
        }
    }
}

impl Extractor for RuleExtractor {
    fn extract(&mut self, batch: &mut Batch, rows: &[u16], out: &mut [&mut HitBatch]) {
        for slot in &self.reads {
            batch.resolve(*slot);
        }
        self.scratch.bump.reset();
        let mut times = RowTimes::default();
        let mut missing = 0;
        let has_amounts = self.measure != Measure::Count || self.weight.is_some();
        for row in rows {
            let row = usize::from(*row);
            let before = times.pass_to(batch, row);
            if let Some(condition) = &self.condition
                && !condition.holds(&BatchRow { batch, row }, &self.scratch.bump)
            {
                continue;
            }
            if !self.key(batch, row) {
                missing += 1;
                continue;
            }
            let Some(amount) = self.amount(batch, row) else { continue };
            let hash = self.hash();
            let shard = shard_of(hash, out.len());
            let hits = &mut out[shard];
            let at = hits.keys.len() as u32;
            hits.keys.extend_from_slice(&self.scratch.key);
            hits.hits.push(HitRef { row: row as u16, hash, key: (at, self.scratch.key.len() as u32), before });
            if has_amounts {
                hits.amounts.push(amount);
            }
        }
        if missing > 0 {
            self.missing_key.increment(missing);
        }
    }

    fn on_barrier(&mut self) {
        if let Some(condition) = &mut self.condition {
            condition.refresh();
        }
    }
}
