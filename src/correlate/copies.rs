//! Lists that events write, as a reader keeps them: a copy of each, given its writes in the same order as the reader's hits.
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::component::{HitBatch, list_write};
use crate::event::Batch;
use crate::list::{List, ListSpec, Wrote};
use crate::state::{Chunks, OwnRows, StateError, StateReader};
use crate::window::arrivals::{Arrivals, Inlet};

/// An input that brings writes.
#[derive(Clone)]
pub struct WritePort {
    /// How its times are judged.
    pub inlet: Inlet,
    /// Which of the reader's lists it writes.
    pub list: usize,
    /// The columns that it sets.
    pub columns: Vec<usize>,
    /// It takes entries away.
    pub removes: bool,
}

/// What an input of a reader is, by its number among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// It brings hits.
    Hits(usize),
    /// It brings writes.
    Writes(usize),
}

/// What a rule knows of the lists that events write.
#[derive(Clone, Default)]
pub struct Listed {
    /// The lists that it reads.
    pub specs: Vec<Arc<ListSpec>>,
    /// The inputs that bring writes to them.
    pub writes: Vec<WritePort>,
    /// How it writes one of them itself.
    pub own: Option<WritePort>,
}

/// A waiting record begins with the number of its input; this bit says that it brings writes.
const WRITES: u32 = 1 << 31;

impl WritePort {
    /// Writes a list as a record says.
    pub fn write(&self, list: &mut List, time: Timestamp, bytes: &[u8]) -> Wrote {
        let Ok((key, set)) = list_write::read(bytes, &self.columns) else { return Wrote::Taken };
        if self.removes {
            list.remove(key, time);
            return Wrote::Taken;
        }
        list.write(key, time, &set)
    }
}

/// Puts the writes of a batch among what waits: they count as hits do, and none is lost for being late. `port` brings those of a writer.
pub fn arrive(arrivals: &mut Arrivals, port: usize, writer: usize, batch: &Batch, hits: &HitBatch) {
    let arrival = arrivals.begin(port, batch);
    for hit in &hits.hits {
        let row = usize::from(hit.row);
        let (judged, _) = arrivals.judge(&arrival, batch, row, hit.before);
        let time = judged.behind.unwrap_or(judged.time).max(arrivals.partitions.released);
        // Behind the event itself, in the order in which the nodes that write are bound.
        let tie = arrivals.tie(&arrival, batch, row) | (writer as u128 + 1).min(0xff);
        arrivals.waiting.push(time, (arrival.partition as u32, arrival.rank), tie, hit.hash, |bytes| {
            bytes.extend_from_slice(&(writer as u32 | WRITES).to_le_bytes());
            bytes.extend_from_slice(hits.key(hit));
        });
    }
    arrivals.end(&arrival, batch);
}

/// The writer and the record of what [`arrive`] put among what waits; none where it is a hit.
pub fn waiting_write(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let number = u32::from_le_bytes(*head);
    (number & WRITES != 0).then_some(((number & !WRITES) as usize, rest))
}

/// See the module.
#[derive(Default)]
pub struct Copies {
    lists: Vec<List>,
}

impl Copies {
    /// Copies of lists, each as its file has it.
    pub fn new(specs: &[Arc<ListSpec>]) -> Copies {
        Copies { lists: specs.iter().map(|spec| List::new(Arc::clone(spec))).collect() }
    }

    /// A list.
    pub fn get(&self, number: u16) -> Option<&List> {
        self.lists.get(usize::from(number))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// About how many bytes a full save of all lists takes.
    pub fn size_hint(&self) -> usize {
        self.lists.iter().map(List::size_hint).sum()
    }

    /// Whether all may be written further before what changed is durable.
    pub fn has_room(&self) -> bool {
        self.lists.iter().all(List::has_room)
    }

    /// Holds the entries of lists on the disk in rows of a store.
    pub fn attach(&mut self, rows: &OwnRows) {
        (0..).zip(&mut self.lists).for_each(|(number, list)| list.attach(number, rows));
    }

    /// Takes a write in its turn.
    pub fn write(&mut self, port: &WritePort, time: Timestamp, bytes: &[u8]) {
        if let Some(list) = self.lists.get_mut(port.list) {
            port.write(list, time, bytes);
        }
    }

    /// Writes all, or what changed since the last barrier.
    pub fn save(&mut self, full: bool, chunks: &mut Chunks) {
        for (number, list) in self.lists.iter_mut().enumerate() {
            list.save(number as u32, full, chunks);
        }
    }

    /// Reads what [`Copies::save`] wrote.
    pub fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        while !from.is_empty() {
            let number = from.u32()? as usize;
            self.lists.get_mut(number).ok_or_else(|| StateError("state of a list that there is not".into()))?.load(from)?;
        }
        Ok(())
    }
}
