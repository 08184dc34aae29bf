//! Keys that were seen within a time: how often each may be taken, and when it counts anew. What `dedupe` and `throttle` remember.
use std::collections::{HashMap, VecDeque};

use crate::clock::Timestamp;
use crate::state::{Chunks, StateError, StateReader};

/// One key's present time span.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: Timestamp,
    taken: u64,
    dirty: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Recent {
    within: i64,
    most: u64,
    capacity: usize,
    spans: HashMap<Box<[u8]>, Span>,
    /// Starts of spans with their keys, oldest first; a key that has begun anew since stands there again.
    starts: VecDeque<(Timestamp, Box<[u8]>)>,
    dirty: Vec<Box<[u8]>>,
    /// Greatest time so far: what lies a span behind it is forgotten.
    now: Timestamp,
    /// Keys given up at the bound.
    pub evicted: u64,
}

impl Recent {
    /// Each key may be taken `most` times within so long of the first. At `capacity` keys the oldest is forgotten.
    pub fn new(within: i64, most: u64, capacity: usize) -> Recent {
        Recent {
            within,
            most,
            capacity,
            spans: HashMap::new(),
            starts: VecDeque::new(),
            dirty: Vec::new(),
            now: Timestamp::MIN,
            evicted: 0,
        }
    }

    /// Whether a key may be taken at a time. Times come in order of arrival, which need not be theirs: an earlier one belongs to the span that is open.
    pub fn take(&mut self, key: &[u8], time: Timestamp) -> bool {
        self.now = self.now.max(time);
        let within = self.within;
        let passes = match self.spans.get_mut(key) {
            Some(span) if time < span.start.saturating_add(within) => {
                let passes = span.taken < self.most;
                span.taken += u64::from(passes);
                if passes && !std::mem::replace(&mut span.dirty, true) {
                    self.dirty.push(key.into());
                }
                passes
            }
            _ => {
                self.begin(key, Span { start: time, taken: 1, dirty: true });
                self.dirty.push(key.into());
                true
            }
        };
        self.forget();
        passes
    }

    fn begin(&mut self, key: &[u8], span: Span) {
        self.spans.insert(key.into(), span);
        self.starts.push_back((span.start, key.into()));
    }

    /// Forgets spans that are over, and the oldest beyond the bound.
    fn forget(&mut self) {
        while let Some((start, _)) = self.starts.front() {
            let is_over = start.saturating_add(self.within) <= self.now;
            if !is_over && self.spans.len() <= self.capacity {
                return;
            }
            let Some((start, key)) = self.starts.pop_front() else { return };
            if self.spans.get(&key).is_some_and(|span| span.start == start) {
                self.spans.remove(&key);
                self.evicted += u64::from(!is_over);
            }
        }
    }

    /// Keys that are remembered.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Writes all keys, or those that changed since the last call.
    pub fn save(&mut self, full: bool, chunks: &mut Chunks) {
        let changed = std::mem::take(&mut self.dirty);
        let keys: &mut dyn Iterator<Item = &[u8]> =
            if full { &mut self.spans.keys().map(|k| &**k) } else { &mut changed.iter().map(|k| &**k) };
        for key in keys {
            if let Some(span) = self.spans.get(key) {
                let out = chunks.record();
                out.bytes(key);
                out.i64(span.start);
                out.u64(span.taken);
            }
        }
        for key in changed {
            if let Some(span) = self.spans.get_mut(&key) {
                span.dirty = false;
            }
        }
    }

    /// Reads what [`Recent::save`] wrote, oldest first.
    pub fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        while !from.is_empty() {
            let key = from.bytes()?;
            let span = Span { start: from.i64()?, taken: from.u64()?, dirty: false };
            self.now = self.now.max(span.start);
            self.begin(key, span);
        }
        // The order in which they were written is not that of their starts.
        self.starts.make_contiguous().sort_by_key(|(start, _)| *start);
        self.forget();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_its_definition(events in prop::collection::vec((0u8..5, 0i64..8), 0..200), within in 1i64..40, most in 1u64..4, cut in 0usize..200) {
            let mut recent = Recent::new(within, most, 1000);
            let mut open: HashMap<u8, (i64, u64)> = HashMap::new();
            let mut saved: Vec<Vec<u8>> = Vec::new();
            let mut time = 0;
            for (i, (key, step)) in events.iter().enumerate() {
                time += step;
                let span = open.entry(*key).or_insert((time, 0));
                if time >= span.0 + within {
                    *span = (time, 0);
                }
                let passes = span.1 < most;
                span.1 += u64::from(passes);
                prop_assert_eq!(recent.take(&[*key], time), passes, "event {}", i);
                if i % 7 == 0 {
                    let mut chunks = Chunks::default();
                    chunks.begin(0);
                    recent.save(i == 0, &mut chunks);
                    saved.extend(chunks.pieces.into_iter().map(|p| p.bytes));
                    // A restart at an epoch changes nothing.
                    if i == cut - cut % 7 {
                        recent = Recent::new(within, most, 1000);
                        for bytes in &saved {
                            recent.load(&mut StateReader::new(&bytes[1..])).unwrap();
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn at_the_bound_the_oldest_is_forgotten() {
        let mut recent = Recent::new(100, 1, 2);
        assert!(recent.take(b"a", 1) && recent.take(b"b", 2) && !recent.take(b"a", 3) && recent.take(b"c", 4));
        assert_eq!((recent.len(), recent.evicted), (2, 1));
        assert!(recent.take(b"a", 5) && !recent.take(b"c", 6));
        assert!(recent.take(b"z", 1_000));
        assert_eq!(recent.len(), 1);
    }
}
