//! What keeps a list for transforms: it takes the writes in the order of event time, and puts them into the copy that transforms look at. Where it is asked for,
//! it says which entries came to their end.
//!
//! Pieces of its state: `1` the head (always whole), `2` writes that wait, `3` entries.
use std::sync::{Arc, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

use super::alert::write_value;
use super::copies::{InputKind, WritePort, arrive, waiting_write};
use crate::clock::{NEVER, Timestamp};
use crate::component::correlator::AlertRows;
use crate::component::{Correlator, HitBatch};
use crate::event::{Batch, Origin, text, time};
use crate::limits::HITS_WAITING_MAX;
use crate::list::{Entry, List, ListSpec, SharedList, Wrote};
use crate::metrics::Registry;
use crate::state::{Chunks, OwnRows, StateError, StateReader};
use crate::window::arrivals::Arrivals;
use crate::window::watermark::Activity;

const HEAD: u8 = 1;
const WAITING: u8 = 2;
const ENTRIES: u8 = 3;

/// Counters of a list.
#[derive(Clone)]
pub struct ListCounters {
    entries: metrics::Gauge,
    evicted: metrics::Counter,
    rejected: metrics::Counter,
}

impl ListCounters {
    /// The counters of a list of a name.
    pub fn new(registry: &Registry, list: &str) -> ListCounters {
        let evicted = |reason: &str| registry.counter("tripline_evicted_total", &[("rule", list), ("reason", reason)]);
        ListCounters {
            entries: registry.gauge("tripline_list_entries", &[("list", list)]),
            evicted: evicted("capacity"),
            rejected: evicted("rejected"),
        }
    }
}

/// See the module.
pub struct Keeper {
    list: Arc<SharedList>,
    spec: Arc<ListSpec>,
    ports: Vec<WritePort>,
    /// Which of them each port of the unit is.
    inputs: Vec<usize>,
    arrivals: Arrivals,
    /// The last write that was taken.
    passed: (Timestamp, u32, u128),
    counters: ListCounters,
}

impl Keeper {
    /// Keeps a list that is as its file has it. `inputs`: what each port of the unit brings.
    pub fn new(list: Arc<SharedList>, ports: Vec<WritePort>, inputs: &[InputKind], counters: ListCounters) -> Keeper {
        let spec = Arc::clone(&list.read().unwrap_or_else(PoisonError::into_inner).spec);
        *list.write().unwrap_or_else(PoisonError::into_inner) = List::new(Arc::clone(&spec));
        let inputs: Vec<usize> =
            inputs.iter().filter_map(|i| if let InputKind::Writes(number) = i { Some(*number) } else { None }).collect();
        Keeper {
            arrivals: Arrivals::new(inputs.iter().map(|number| ports[*number].inlet).collect()),
            passed: (NEVER, 0, 0),
            counters,
            list,
            spec,
            ports,
            inputs,
        }
    }

    /// Takes the writes that `ready` lets go.
    fn release(&mut self, ready: impl Fn(Timestamp) -> bool, out: &mut AlertRows) {
        if self.arrivals.waiting.first_time().is_none_or(|first| !ready(first)) {
            return;
        }
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        while let Some((hit, payload)) = self.arrivals.waiting.pop(&ready) {
            self.passed = (hit.time, hit.rank, hit.tie);
            if self.spec.expiry_event {
                say_ends(&self.spec, &mut list, hit.time, out);
            }
            let Some((writer, record)) = waiting_write(payload) else { continue };
            match self.ports.get(writer).map(|port| port.write(&mut list, hit.time, record)) {
                Some(Wrote::Evicted) => self.counters.evicted.increment(1),
                Some(Wrote::Rejected) => self.counters.rejected.increment(1),
                Some(Wrote::Taken) | None => {}
            }
        }
        self.counters.entries.set(list.len() as f64);
    }

    /// Says what is over at a time that all writes of before have come to.
    fn pass(&mut self, time: Timestamp, out: &mut AlertRows) {
        if self.spec.expiry_event {
            say_ends(&self.spec, &mut self.list.write().unwrap_or_else(PoisonError::into_inner), time, out);
        }
    }

    fn advance(&mut self, out: &mut AlertRows) {
        let (watermark, single) = self.arrivals.watermark();
        self.release(|time| time < watermark || (single && time == watermark), out);
        while self.arrivals.waiting.len() > HITS_WAITING_MAX
            && let Some(first) = self.arrivals.waiting.first_time()
        {
            self.release(|time| time <= first, out);
        }
        self.pass(watermark, out);
    }
}

/// Takes out what is over at a time, and says it.
fn say_ends(spec: &ListSpec, list: &mut List, time: Timestamp, out: &mut AlertRows) {
    list.expire(time, |entry| {
        out.lines.push(|line| write_end(spec, entry, line));
        out.times.push(entry.expires);
        out.ties.push(u128::from(entry.number));
        out.positions.push(xxh3_64(&[&*entry.key, &entry.created.to_le_bytes(), &entry.expires.to_le_bytes()].concat()));
    });
}

/// Writes the event that an entry becomes: its key and its columns as fields, and what is known of its life.
fn write_end(spec: &ListSpec, entry: &Entry, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"list\":{\"name\":");
    text::quote(spec.name.as_bytes(), out);
    for (name, at) in [(",\"created\":\"", entry.created), (",\"written\":\"", entry.written), (",\"expired\":\"", entry.expires)] {
        // The list's file does not say since when it holds an entry.
        if at != NEVER {
            out.extend_from_slice(name.as_bytes());
            time::write_rfc3339(at, out);
            out.push(b'"');
        }
    }
    out.push(b'}');
    let columns = spec.columns.iter().enumerate().map(|(column, (name, _))| (name, entry.value(column)));
    for (name, value) in spec.key_names().zip(entry.key_values()).chain(columns).filter(|(_, value)| value.is_present()) {
        out.push(b',');
        text::quote(name.as_bytes(), out);
        out.push(b':');
        write_value(value, out);
    }
    out.push(b'}');
}

impl Correlator for Keeper {
    fn on_partition(&mut self, port: usize, origin: &Origin, activity: Activity, now: Timestamp, out: &mut AlertRows) {
        self.arrivals.on_partition(port, origin, activity, now);
        self.advance(out);
    }

    fn on_opened(&mut self, _port: usize, out: &mut AlertRows) {
        self.arrivals.on_opened();
        self.advance(out);
    }

    fn on_quiet(&mut self, port: usize, batches: &[Arc<Batch>], out: &mut AlertRows) {
        self.arrivals.pass(port, batches);
        self.advance(out);
    }

    fn on_hits(&mut self, port: usize, batch: &Arc<Batch>, hits: &HitBatch, out: &mut AlertRows) {
        arrive(&mut self.arrivals, port, self.inputs[port], batch, hits);
        self.advance(out);
    }

    fn on_watermark(&mut self, port: usize, time: Timestamp, out: &mut AlertRows) {
        self.arrivals.on_watermark(port, time);
        self.advance(out);
    }

    fn on_end(&mut self, _close: bool, out: &mut AlertRows) {
        self.release(|_| true, out);
        self.arrivals.partitions.released = self.arrivals.partitions.released.max(self.arrivals.partitions.greatest());
        self.pass(self.arrivals.partitions.released, out);
    }

    fn watermark(&self) -> Timestamp {
        self.arrivals.partitions.released
    }

    fn has_room(&self) -> bool {
        self.list.read().unwrap_or_else(PoisonError::into_inner).has_room()
    }

    fn attach(&mut self, rows: OwnRows) {
        self.list.write().unwrap_or_else(PoisonError::into_inner).attach(0, &rows);
    }

    fn save(&mut self, full: bool) -> Chunks {
        let mut chunks = Chunks::default();
        chunks.begin(HEAD);
        let head = chunks.record();
        self.arrivals.save_head(head);
        head.i64(self.passed.0);
        head.u32(self.passed.1);
        head.u128(self.passed.2);
        chunks.begin(WAITING);
        self.arrivals.waiting.save(full, &mut chunks);
        chunks.begin(ENTRIES);
        self.list.write().unwrap_or_else(PoisonError::into_inner).save(0, full, &mut chunks);
        chunks.pieces.retain(|piece| piece.bytes.len() > 1);
        chunks
    }

    fn load(&mut self, blobs: &[Vec<u8>], _keep: &dyn Fn(u64) -> bool) -> Result<(), StateError> {
        for blob in blobs {
            let mut from = StateReader::new(blob);
            match from.u8()? {
                HEAD => {
                    self.arrivals.load_head(&mut from)?;
                    self.passed = (from.i64()?, from.u32()?, from.u128()?);
                }
                WAITING => self.arrivals.load_waiting(&mut from, &|_, _| true)?,
                ENTRIES => {
                    let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
                    while !from.is_empty() {
                        from.u32()?;
                        list.load(&mut from)?;
                    }
                }
                _ => return Err(StateError("a piece of state of an unknown kind".into())),
            }
        }
        self.arrivals.mend(self.passed);
        // What came to its end before the barrier was said then.
        let passed = self.arrivals.partitions.released.max(self.passed.0);
        self.list.write().unwrap_or_else(PoisonError::into_inner).expire(passed, |_| ());
        Ok(())
    }

    fn size_hint(&self) -> usize {
        let entries = self.list.read().unwrap_or_else(PoisonError::into_inner).size_hint();
        entries + self.arrivals.waiting.len() * 256 + 4096
    }
}
