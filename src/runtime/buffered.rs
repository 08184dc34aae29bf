//! What a delivery does with its disk buffer: bodies in and out, packed, synced and read beside the work, outages of the disk told.
use std::collections::VecDeque;
use std::io::{Error, Result};
use std::sync::Arc;
use std::time::Duration;

use super::beside::Beside;
use super::disk_buffer::{DiskBuffer, Packed, ReadBody};
use super::disk_queue::{Bounds, Place};
use super::edge::Signal;
use super::epoch::{Report, Reports};
use super::telling::Telling;
use crate::clock::Stopwatch;
use crate::component::sink::{Body, WhenFull};
use crate::metrics::Counter;

/// How long a disk that takes nothing is left alone.
pub const REST: Duration = Duration::from_millis(500);

/// After so many bytes a sync begins, so that a barrier finds little left to wait for.
const SYNC_BYTES: u64 = 16 << 20;

/// So many bodies are packed at a time: the next one is not held up by a thread that has lost its core.
const PACKED_AT_ONCE: usize = 2;

/// What is told of a queue without room.
const FULL: &str = "it is full: what leads to it waits for its sink";

/// What a buffer is made of, beside the queue.
pub struct BufferedParts {
    /// The queue.
    pub disk: DiskBuffer,
    /// What becomes of rows that find no room.
    pub when_full: WhenFull,
    /// Counts rows that are dropped.
    pub dropped: Counter,
    /// Bytes on the disk.
    pub bytes: metrics::Gauge,
    /// Name of the sink, and where words for the user go.
    pub name: String,
    /// See above.
    pub reports: Reports,
}

/// See the module.
pub struct Buffered {
    parts: BufferedParts,
    /// Since when a disk that took nothing is left alone.
    rest: Option<Stopwatch>,
    telling: Telling,
    /// Bodies on their way into the queue. They are not lost where they cannot be packed.
    packing: Beside<(Body, Result<Packed>)>,
    /// The first of them, which were packed and cannot be put now.
    packed: VecDeque<(Body, Result<Packed>)>,
    /// Memory of those that were put.
    spares: Vec<(Body, Packed)>,
    syncing: Beside<Result<Place>>,
    /// The next body, read ahead of its time.
    reading: Beside<Result<ReadBody>>,
}

/// What became of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is in the queue.
    Queued,
    /// It found no room, and was dropped.
    Dropped,
    /// It cannot be put now.
    Held,
}

impl Buffered {
    /// A buffer whose disk has not failed yet.
    pub fn new(parts: BufferedParts) -> Buffered {
        parts.bytes.set(parts.disk.bytes() as f64);
        Buffered {
            parts,
            rest: None,
            telling: Telling::default(),
            packing: Beside::default(),
            packed: VecDeque::new(),
            spares: Vec::new(),
            syncing: Beside::default(),
            reading: Beside::default(),
        }
    }

    /// Up to where it was read and written.
    pub fn bounds(&self) -> Bounds {
        self.parts.disk.bounds()
    }

    /// Whether all was read, and nothing is on its way into it.
    pub fn is_read(&self) -> bool {
        self.parts.disk.is_read() && !self.is_coming()
    }

    /// Whether bodies are on their way into the queue.
    pub fn is_coming(&self) -> bool {
        self.packing.is_busy() || !self.packed.is_empty()
    }

    /// Whether a disk that took nothing is left alone.
    pub fn rests(&self) -> bool {
        self.rest.as_ref().is_some_and(|since| since.elapsed() < REST)
    }

    /// Whether these bodies could be put into the queue, if it must be.
    pub fn fits<'a>(&self, bodies: impl Iterator<Item = &'a Body>) -> bool {
        self.parts.disk.fits(bodies)
    }

    /// Puts bodies that are being sent into the queue: all of them, or it says no.
    pub fn keep<'a>(&mut self, bodies: impl Iterator<Item = &'a Body>) -> bool {
        for body in bodies {
            let told = match self.attempt(|disk| disk.append(body)) {
                Ok(true) => {
                    self.skip();
                    continue;
                }
                Ok(false) => FULL.to_owned(),
                Err(None) => return false,
                Err(Some(e)) => e.to_string(),
            };
            self.fail(&told);
            return false;
        }
        self.recover();
        true
    }

    /// Puts a body into the queue. That it finds no room, or no disk, is told unless it can go another way.
    pub fn put(&mut self, body: &Body, has_other_way: bool) -> Put {
        let outcome = self.attempt(|disk| disk.append(body));
        self.judge(outcome, body.rows(), has_other_way)
    }

    /// Sends a body on its way into the queue: it is packed beside the work. Leaves memory for the next one, or says no where enough are on their way.
    pub fn begin(&mut self, body: &mut Body, signal: &Arc<Signal>) -> bool {
        if self.packing.count() + self.packed.len() >= PACKED_AT_ONCE {
            return false;
        }
        let (spare, packed) = self.spares.pop().map_or_else(Default::default, |(body, packed)| (body, Some(packed)));
        let mut body = std::mem::replace(body, spare);
        self.packing.begin(signal, move || {
            let packed = packed.map_or_else(Packed::new, Ok).and_then(|mut packed| packed.pack(&mut body).map(|()| packed));
            (body, packed)
        });
        true
    }

    /// Puts what was packed into the queue, in its order.
    fn take_in(&mut self) {
        self.packed.extend(std::iter::from_fn(|| self.packing.collect()));
        while let Some((mut body, packed)) = self.packed.pop_front() {
            let outcome = self.attempt(|disk| match &packed {
                Ok(packed) => disk.append_packed(packed),
                Err(_) => disk.append(&body),
            });
            if self.judge(outcome, body.rows(), false) == Put::Held {
                return self.packed.push_front((body, packed));
            }
            body.clear();
            self.spares.extend(packed.ok().map(|packed| (body, packed)));
        }
    }

    /// Gives back the bodies that find no way into a queue of which all was read: none stays, or none is given.
    pub fn turn_back(&mut self) -> Vec<Body> {
        if self.packed.is_empty() || self.packing.is_busy() || !self.parts.disk.is_read() {
            return Vec::new();
        }
        self.recover();
        self.packed.drain(..).map(|(body, _)| body).collect()
    }

    fn judge(&mut self, outcome: std::result::Result<bool, Option<Error>>, rows: usize, has_other_way: bool) -> Put {
        let told = match outcome {
            Ok(true) => {
                self.recover();
                return Put::Queued;
            }
            // Rows go on, though not this way.
            _ if has_other_way => {
                self.recover();
                return Put::Held;
            }
            Ok(false) if self.parts.when_full == WhenFull::DropNewest => {
                self.parts.dropped.increment(rows as u64);
                return Put::Dropped;
            }
            Ok(false) => FULL.to_owned(),
            Err(None) => return Put::Held,
            Err(Some(e)) => e.to_string(),
        };
        self.fail(&told);
        Put::Held
    }

    /// Whether there was room. Without an error: the disk is left alone.
    fn attempt(&mut self, append: impl FnOnce(&mut DiskBuffer) -> Result<bool>) -> std::result::Result<bool, Option<Error>> {
        if self.rests() {
            return Err(None);
        }
        self.rest = None;
        append(&mut self.parts.disk).map_err(Some)
    }

    /// What was put last is sent from memory.
    pub fn skip(&mut self) {
        self.parts.disk.skip();
    }

    /// Takes the next body out of the queue if it was read; if not, it soon will be, and the signal says so. While it is sent, the one behind it is read
    /// into an empty one.
    pub fn next(&mut self, spare: impl FnOnce() -> Body, signal: &Arc<Signal>) -> Result<Option<Body>> {
        let body = self.reading.collect().transpose()?.map(|(body, record)| {
            self.parts.disk.note_read(record);
            body
        });
        if !self.reading.is_busy() {
            match self.parts.disk.read() {
                Ok(Some(read)) => {
                    let into = spare();
                    self.reading.begin(signal, move || read(into));
                }
                Ok(None) => {}
                // It is told when its turn comes.
                Err(_) if body.is_some() => {}
                Err(e) => return Err(e),
            }
        }
        Ok(body)
    }

    /// Deletes what was delivered before a durable epoch. What cannot be deleted now is deleted after a later one.
    pub fn forget(&mut self, read: Place) {
        self.collect();
        // A sync that is under way will speak of places that would be written anew.
        if !self.syncing.is_busy() {
            let _ = self.parts.disk.forget(read);
            self.parts.bytes.set(self.parts.disk.bytes() as f64);
        }
    }

    /// Whether all before a place is synced; if not, it soon will be, and the signal says so.
    pub fn is_synced(&mut self, upto: Place, signal: &Arc<Signal>) -> bool {
        self.collect();
        let is_synced = self.parts.disk.is_synced(upto);
        if !is_synced {
            self.sync(signal);
        }
        is_synced
    }

    /// Puts what was packed into the queue, and begins to sync what has come together.
    pub fn write_on(&mut self, signal: &Arc<Signal>) {
        self.take_in();
        if self.parts.disk.unsynced_bytes() > SYNC_BYTES {
            self.collect();
            self.sync(signal);
        }
    }

    /// Hears what came of a sync that is over.
    fn collect(&mut self) {
        match self.syncing.collect() {
            None => {}
            Some(Ok(upto)) => self.parts.disk.note_synced(upto),
            Some(Err(e)) => self.fail(&e.to_string()),
        }
    }

    fn sync(&mut self, signal: &Arc<Signal>) {
        if !self.syncing.is_busy() && !self.rests() {
            self.syncing.begin(signal, self.parts.disk.sync());
        }
    }

    /// The disk took nothing: it is asked again after a rest.
    fn fail(&mut self, what: &str) {
        self.rest = Some(Stopwatch::start());
        if self.telling.is_news(what) {
            self.tell("warn", "buffer_outage", what);
        }
    }

    /// Rows go on, through the queue or past it.
    pub fn recover(&mut self) {
        self.parts.bytes.set(self.parts.disk.bytes() as f64);
        if self.telling.end() {
            self.tell("info", "buffer_recovered", "rows go on again");
        }
    }

    /// A word for the user.
    pub fn tell(&self, level: &'static str, event: &'static str, what: &str) {
        let message = format!("disk buffer of {}: {what}", self.parts.name);
        self.parts.reports.send(Report::Word { level, event, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;
    use crate::runtime::assemble::blocking;

    fn body(text: &str) -> Body {
        Body { bytes: text.into(), ends: vec![text.len()], ..Body::default() }
    }

    #[test]
    fn bodies_that_find_no_way_in_come_back_together_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::default();
        let mut buffer = Buffered::new(BufferedParts {
            disk: DiskBuffer::open(folder.path(), "test", 100, None).unwrap(),
            when_full: WhenFull::Wait,
            dropped: registry.counter("tripline_discarded_total", &[]),
            bytes: registry.gauge("tripline_disk_buffer_bytes", &[]),
            name: "es".to_owned(),
            reports: Reports::default(),
        });
        // It is full, though all was read: an epoch has to come before there is room.
        assert_eq!(buffer.put(&body(&"x".repeat(200)), false), Put::Queued);
        buffer.skip();
        let signal = Arc::default();
        let runtime = blocking().unwrap();
        let _entered = runtime.enter();
        assert!(buffer.begin(&mut body("one"), &signal) && buffer.begin(&mut body("two"), &signal));
        assert!(!buffer.begin(&mut body("three"), &signal), "two at a time");
        let mut back = Vec::new();
        let since = Stopwatch::start();
        while back.is_empty() && since.elapsed() < Duration::from_secs(10) {
            buffer.write_on(&signal);
            back = buffer.turn_back();
        }
        assert_eq!(back.iter().map(|body| &*body.bytes).collect::<Vec<_>>(), [b"one", b"two"]);
        assert!(!buffer.is_coming() && buffer.begin(&mut body("three"), &signal));
    }
}
