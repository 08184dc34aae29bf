//! What a threshold shard writes at a barrier and reads at a start.
//!
//! Pieces: `1` the head (partitions, origins, ordinals; always whole), `2` groups, `3` waiting hits, `4` evidence, `5` suppressions (always whole), `6` entries of
//! lists.
use super::copies::waiting_write;
use super::suppress::Suppressions;
use super::threshold::{Groups, Threshold};
use crate::event::Origin;
use crate::state::{Chunks, StateError, StateReader, StateWriter};

const HEAD: u8 = 1;
const GROUPS: u8 = 2;
const WAITING: u8 = 3;
const EVIDENCE: u8 = 4;
const SUPPRESSIONS: u8 = 5;
const LISTS: u8 = 6;

impl Threshold {
    pub(super) fn save_state(&mut self, full: bool) -> Chunks {
        let mut chunks = Chunks::default();
        chunks.begin(HEAD);
        self.save_head(chunks.record());
        chunks.begin(GROUPS);
        match &mut self.groups {
            Groups::Ring(ring) => ring.save(full, &mut chunks),
            Groups::General(groups) => groups.save(full, &mut chunks),
        }
        chunks.begin(WAITING);
        self.arrivals.waiting.save(full, &mut chunks);
        if self.spec.evidence_max > 0 {
            chunks.begin(EVIDENCE);
            self.evidence.save(full, &mut chunks);
        }
        if !self.lists.is_empty() {
            chunks.begin(LISTS);
            self.lists.save(full, &mut chunks);
        }
        if let Some(suppressions) = &self.suppressions {
            chunks.begin(SUPPRESSIONS);
            suppressions.save(&mut chunks);
        }
        // A piece without a record says nothing, unless it says that all is gone.
        chunks.pieces.retain(|p| p.bytes.len() > 1 || p.bytes.first() == Some(&SUPPRESSIONS));
        chunks
    }

    fn save_head(&self, out: &mut StateWriter) {
        self.arrivals.save_head(out);
        out.i64(self.passed.0);
        out.u32(self.passed.1);
        out.u128(self.passed.2);
        out.u32(self.origins.len() as u32);
        for origin in &self.origins {
            out.bytes(origin.source.as_bytes());
            out.bytes(origin.partition.as_bytes());
            out.bytes(&origin.identity);
            out.u8(u8::from(origin.base.is_some()));
            out.u64(origin.base.unwrap_or_default());
        }
        self.ordinals.save(out);
    }

    fn load_head(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.arrivals.load_head(from)?;
        self.passed = (from.i64()?, from.u32()?, from.u128()?);
        self.origins.clear();
        for _ in 0..from.u32()? {
            let (source, partition) = (from.text()?.to_owned(), from.text()?.to_owned());
            let (identity, has_base, base) = (from.bytes()?.to_vec(), from.u8()? == 1, from.u64()?);
            self.origins.push(Origin { source, partition, identity, base: has_base.then_some(base), known: None });
        }
        self.ordinals.load(from)
    }

    /// Reads what one shard of the last run wrote. Called once for each of them.
    pub(super) fn load_state(&mut self, blobs: &[Vec<u8>], keep: &dyn Fn(u64) -> bool) -> Result<(), StateError> {
        let before = (std::mem::take(&mut self.ordinals), self.passed);
        let is_first = !std::mem::replace(&mut self.has_loaded, true);
        let mut suppressions = self.spec.suppress.as_ref().map(|(_, length)| Suppressions::new(*length));
        for blob in blobs {
            let mut from = StateReader::new(blob);
            match from.u8()? {
                HEAD => {
                    self.load_head(&mut from)?;
                    // They are written whole behind every head.
                    suppressions.iter_mut().for_each(Suppressions::clear);
                }
                GROUPS => match &mut self.groups {
                    Groups::Ring(ring) => ring.load(&mut from, keep)?,
                    Groups::General(groups) => groups.load(&mut from, keep)?,
                },
                // Writes wait in every shard alike: those of one shard are enough.
                WAITING => {
                    let wanted = |hash, bytes: &[u8]| if waiting_write(bytes).is_some() { is_first } else { keep(hash) };
                    self.arrivals.load_waiting(&mut from, &wanted)?;
                }
                LISTS => self.lists.load(&mut from)?,
                // Rings of several shards cannot be joined: after a change of their number, evidence starts anew.
                EVIDENCE if is_first => self.evidence.load(&mut from)?,
                EVIDENCE => {}
                SUPPRESSIONS => {
                    if let Some(suppressions) = &mut suppressions {
                        suppressions.load(&mut from, keep)?;
                    }
                }
                _ => return Err(StateError("a piece of state of an unknown kind".into())),
            }
        }
        if let (Some(own), Some(read)) = (&mut self.suppressions, suppressions) {
            own.absorb(read);
        }
        self.arrivals.mend(self.passed);
        self.ordinals.absorb(before.0);
        self.passed = self.passed.max(before.1);
        Ok(())
    }
}
