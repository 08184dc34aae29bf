//! The disk buffer before a sink: bodies that wait for their peer in a file queue. What is synced here is settled, so an outage stops nothing else. Bodies for
//! a sink that keeps up go by it, where an epoch leaves nothing to seal there.
//!
//! ```text
//! <state>/buffer/NODE/         see `disk_queue`; the head says "tripline buffer" and the kind of the sink
//!   record  the encoded rows as a frame of zstd (RFC 8878), end of each row (u32), event and identity of each mark (u32, 32 bytes),
//!           bytes of the encoded rows (u32), rows (u32), marks (u32: rows or 0), bytes from a row's identity to its event (u32)
//! ```
//! Rows of a sink are much alike, and a disk takes a third of what a core packs: packed, an outage takes a sixth of the place and the disk keeps up. What
//! cannot be packed is an identity: one that stands in its row too, where it stands in all others (the last number; 0: it does not), is blanked there.
//!
//! An epoch's record says up to where the buffer was synced and up to where its rows had been delivered. What stands behind the first place at a start was
//! never settled: it is cut off, torn or not, and comes again from the sources. Segments before the second place are deleted once that epoch is durable.
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use super::disk_queue::{Bounds, DiskQueue, Nature, Place};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, compress_bound};

use crate::component::sink::{Body, Mark};
use crate::state::{StateReader, StateWriter};

/// Bytes of an identity.
const ID_BYTES: usize = 32;

/// More than a record has beside its rows and their tables: counts, the queue's frame, and the head of a segment that it may begin.
const RECORD_BYTES_MAX: usize = 256;

/// The level of zstd: logs are packed to a tenth at 1.8 GB/s; level 1 would pack them to a fifteenth at 1.2 GB/s.
const LEVEL: i32 = -3;

/// Shorter matches are none: rows of one kind have longer ones, and a tenth less time goes into them.
const MATCH_BYTES_MIN: u32 = 7;

/// See the module.
pub struct DiskBuffer {
    queue: DiskQueue,
    packed: Packed,
    /// Memory of a record that was read.
    record: Vec<u8>,
}

/// A body that was read, and what [`DiskBuffer::note_read`] wants to hear of it.
pub type ReadBody = (Body, Record);

/// A record that was read.
pub struct Record {
    /// Bytes that it takes in the queue.
    bytes: u64,
    content: Vec<u8>,
}

/// A body as it stands in a record, and what packs it.
pub struct Packed {
    packer: Compressor<'static>,
    rows: Vec<u8>,
    tables: Vec<u8>,
}

fn nature(kind: &str) -> Nature<'_> {
    Nature { magic: b"tripline buffer", version: 3, name: "disk buffer", owner: ("sink", kind) }
}

impl DiskBuffer {
    /// Opens the buffer of a sink as an epoch left it, empty if none did.
    pub fn open(folder: &Path, kind: &str, bytes_max: u64, sealed: Option<Bounds>) -> Result<DiskBuffer> {
        Ok(DiskBuffer { queue: DiskQueue::open(folder, nature(kind), bytes_max, sealed)?, packed: Packed::new()?, record: Vec::new() })
    }

    /// Up to where it is written, and read.
    pub fn bounds(&self) -> Bounds {
        self.queue.bounds()
    }

    /// Whether all was read.
    pub fn is_read(&self) -> bool {
        self.queue.is_read()
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.queue.bytes()
    }

    /// Whether these bodies are within its bound.
    pub fn fits<'a>(&self, bodies: impl Iterator<Item = &'a Body>) -> bool {
        self.queue.fits(bodies.map(record_bytes).sum())
    }

    /// Writes a body behind all others. Says no where its bound leaves no room.
    pub fn append(&mut self, body: &Body) -> Result<bool> {
        self.packed.write(body, 0)?;
        self.queue.append([&self.packed.rows, &self.packed.tables])
    }

    /// Writes what was packed behind all others. Says no where its bound leaves no room.
    pub fn append_packed(&mut self, packed: &Packed) -> Result<bool> {
        self.queue.append([&packed.rows, &packed.tables])
    }

    /// What was written last will be sent from memory.
    pub fn skip(&mut self) {
        self.queue.skip();
    }

    /// What reads the next body, if there is one, into an empty one, on whatever thread.
    pub fn read(&mut self) -> Result<Option<impl FnOnce(Body) -> Result<ReadBody> + Send + use<>>> {
        let Some(read) = self.queue.read()? else { return Ok(None) };
        let mut content = std::mem::take(&mut self.record);
        Ok(Some(move |mut body: Body| {
            let bytes = read(&mut content)?;
            unpack(&content, &mut body)?;
            Ok((body, Record { bytes, content }))
        }))
    }

    /// The next body was read.
    pub fn note_read(&mut self, record: Record) {
        self.queue.note_read(record.bytes);
        self.record = record.content;
    }

    /// Bytes that no sync has been asked for.
    pub fn unsynced_bytes(&self) -> u64 {
        self.queue.unsynced_bytes()
    }

    /// What makes durable all that was written so far, on whatever thread; it gives what [`DiskBuffer::note_synced`] wants to hear.
    pub fn sync(&mut self) -> impl FnOnce() -> Result<Place> + Send + use<> {
        self.queue.sync()
    }

    /// All before a place is on the disk.
    pub fn note_synced(&mut self, upto: Place) {
        self.queue.note_synced(upto);
    }

    /// Whether all before a place is on the disk.
    pub fn is_synced(&self, upto: Place) -> bool {
        self.queue.is_synced(upto)
    }

    /// Deletes what stands before a place that was delivered, by a durable epoch. What is empty then takes no room. The next epochs may still name this
    /// place as the one up to which the sink has come, so it is not given out again.
    pub fn forget(&mut self, read: Place) -> Result<()> {
        self.queue.forget(read)?;
        self.queue.turn_over(read)
    }
}

impl Packed {
    /// Nothing yet.
    pub fn new() -> Result<Packed> {
        let mut packer = Compressor::new(LEVEL)?;
        packer.set_parameter(CParameter::MinMatch(MATCH_BYTES_MIN))?;
        Ok(Packed { packer, rows: Vec::new(), tables: Vec::new() })
    }

    /// Packs a body, in the place of the one before. It is as it was when that is done.
    pub fn pack(&mut self, body: &mut Body) -> Result<()> {
        let distance = distance_of_ids(body);
        write_ids(body, distance, |_| [b'0'; ID_BYTES]);
        let packed = self.write(body, distance);
        write_ids(body, distance, |mark| mark.id);
        packed
    }

    fn write(&mut self, body: &Body, distance: usize) -> Result<()> {
        self.rows.reserve(compress_bound(body.bytes.len()).saturating_sub(self.rows.len()));
        self.packer.compress_to_buffer(&body.bytes, &mut self.rows)?;
        self.write_tables(body, distance);
        Ok(())
    }

    /// Everything of a record that stands behind the packed rows.
    fn write_tables(&mut self, body: &Body, distance: usize) {
        let mut out = StateWriter { bytes: std::mem::take(&mut self.tables) };
        out.bytes.clear();
        body.ends.iter().for_each(|end| out.u32(*end as u32));
        for mark in &body.marks {
            out.u32(mark.event_at as u32);
            out.bytes.extend_from_slice(&mark.id);
        }
        out.u32(body.bytes.len() as u32);
        out.u32(body.ends.len() as u32);
        out.u32(body.marks.len() as u32);
        out.u32(distance as u32);
        self.tables = out.bytes;
    }
}

/// How far before its event each row has its identity; 0 where not all have it in one place.
fn distance_of_ids(body: &Body) -> usize {
    let head = |row: usize, mark: &Mark| &body.bytes[body.range(row..row + 1).start..mark.event_at];
    let Some(first) = body.marks.first() else { return 0 };
    let first_head = head(0, first);
    let Some(at) = memchr::memmem::rfind(first_head, &first.id) else { return 0 };
    let distance = first_head.len() - at;
    let has_it = |(row, mark): (usize, &Mark)| {
        let head = head(row, mark);
        head.len().checked_sub(distance).is_some_and(|at| head[at..].starts_with(&mark.id))
    };
    if body.marks.iter().enumerate().all(has_it) { distance } else { 0 }
}

/// Writes what stands in the place of each identity, where they have one.
fn write_ids(body: &mut Body, distance: usize, id: impl Fn(&Mark) -> [u8; ID_BYTES]) {
    for mark in body.marks.iter().filter(|_| distance > 0) {
        let place = mark.event_at.checked_sub(distance).and_then(|at| body.bytes.get_mut(at..at + ID_BYTES));
        if let Some(place) = place {
            place.copy_from_slice(&id(mark));
        }
    }
}

/// Bytes that a body takes at most, with what the queue adds to it.
fn record_bytes(body: &Body) -> u64 {
    (RECORD_BYTES_MAX + compress_bound(body.bytes.len()) + body.ends.len() * 4 + body.marks.len() * (4 + ID_BYTES)) as u64
}

/// Fills an empty body with what a record holds.
fn unpack(record: &[u8], body: &mut Body) -> Result<()> {
    let wrong = || Error::new(ErrorKind::InvalidData, "a record is none of a disk buffer");
    let (packed, length, distance) = read_tables(record, body).ok_or_else(wrong)?;
    body.bytes.reserve_exact(length);
    let unpacked = Decompressor::new()?.decompress_to_buffer(packed, &mut body.bytes)?;
    write_ids(body, distance, |mark| mark.id);
    if unpacked == length { Ok(()) } else { Err(wrong()) }
}

/// Takes what stands behind the packed rows out of a record; says what these are, how long when unpacked, and where identities were blanked.
fn read_tables<'r>(record: &'r [u8], body: &mut Body) -> Option<(&'r [u8], usize, usize)> {
    let (rest, counts) = record.split_last_chunk::<16>()?;
    let mut from = StateReader::new(counts);
    let mut count = || Some(from.u32().ok()? as usize);
    let (length, rows, marks, distance) = (count()?, count()?, count()?, count()?);
    let tables = rows.checked_mul(4)?.checked_add(marks.checked_mul(4 + ID_BYTES)?)?;
    let (packed, tables) = rest.split_at_checked(rest.len().checked_sub(tables)?)?;
    let mut from = StateReader::new(tables);
    for _ in 0..rows {
        body.ends.push(from.u32().ok()? as usize);
    }
    for _ in 0..marks {
        body.marks.push(Mark { event_at: from.u32().ok()? as usize, id: from.array::<ID_BYTES>().ok()? });
    }
    Some((packed, length, distance))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::path::PathBuf;

    use super::*;
    use proptest::prelude::*;

    /// Text that cannot be packed by much.
    fn noise(seed: usize, length: usize) -> String {
        let words = (0u64..).map(|at| format!("{:016x}", xxhash_rust::xxh3::xxh3_64_with_seed(&at.to_le_bytes(), seed as u64)));
        words.flat_map(String::into_bytes).take(length).map(char::from).collect()
    }

    /// The last segment.
    fn last(folder: &Path) -> PathBuf {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).max().unwrap()
    }

    fn body(rows: &[&str]) -> Body {
        let mut body = Body::default();
        for (number, row) in rows.iter().enumerate() {
            body.marks.push(Mark { event_at: body.bytes.len(), id: [number as u8; 32] });
            body.bytes.extend_from_slice(row.as_bytes());
            body.ends.push(body.bytes.len());
        }
        body
    }

    fn rows_of(body: &Body) -> Vec<String> {
        (0..body.rows()).map(|row| String::from_utf8_lossy(&body.bytes[body.range(row..row + 1)]).into_owned()).collect()
    }

    fn sync(buffer: &mut DiskBuffer) {
        let upto = buffer.sync()().unwrap();
        buffer.note_synced(upto);
        assert!(buffer.is_synced(buffer.bounds().written));
    }

    fn next(buffer: &mut DiskBuffer) -> Option<Body> {
        let (body, record) = buffer.read().unwrap()?(Body::default()).unwrap();
        buffer.note_read(record);
        Some(body)
    }

    fn rest(buffer: &mut DiskBuffer) -> Vec<String> {
        std::iter::from_fn(|| next(buffer)).flat_map(|body| rows_of(&body)).collect()
    }

    proptest! {
        /// Whatever is written, read, sealed, torn and reopened in whatever order: what was sealed comes out, in its order, once.
        #[test]
        fn what_was_sealed_comes_out_once_and_in_order(steps in proptest::collection::vec((0u8..6, 1usize..2_000), 1..60), torn in 0usize..200) {
            let folder = tempfile::tempdir().unwrap();
            let open = |sealed| DiskBuffer::open(folder.path(), "test", 40_000, sealed).unwrap();
            let mut buffer = open(None);
            let (mut sealed, mut is_durable) = (buffer.bounds(), false);
            let mut queue: VecDeque<String> = VecDeque::new();
            // Up to where the sink has come, all rows behind that, and those that the last epoch knows.
            let mut come = sealed.read;
            let (mut kept, mut since, mut number) = (Vec::<String>::new(), Vec::<String>::new(), 0);
            for (step, size) in steps {
                match step {
                    0 | 1 => {
                        let row = format!("{number:04}{}", noise(number, size));
                        let mut body = body(&[&row, "second"]);
                        let has_room = if step == 0 {
                            buffer.append(&body).unwrap()
                        } else {
                            let mut packed = Packed::new().unwrap();
                            packed.pack(&mut body).unwrap();
                            buffer.append_packed(&packed).unwrap()
                        };
                        if has_room {
                            number += 1;
                            since.extend([row.clone(), "second".to_owned()]);
                            queue.extend([row, "second".to_owned()]);
                        } else {
                            prop_assert!(buffer.bytes() > 30_000);
                        }
                    }
                    2 => {
                        let read = next(&mut buffer).map(|b| rows_of(&b)).unwrap_or_default();
                        prop_assert_eq!(&read, &queue.drain(..read.len()).collect::<Vec<_>>());
                    }
                    3 => {
                        sync(&mut buffer);
                        (sealed, is_durable, kept) = (buffer.bounds(), true, queue.iter().cloned().collect());
                        come = sealed.read;
                        since.clone_from(&kept);
                        buffer.forget(sealed.read).unwrap();
                    }
                    // What was read since the last epoch is still under way.
                    4 => {
                        sync(&mut buffer);
                        sealed = Bounds { read: come, written: buffer.bounds().written };
                        (is_durable, kept) = (true, since.clone());
                        buffer.forget(sealed.read).unwrap();
                    }
                    _ => {
                        drop(buffer);
                        let mut file = OpenOptions::new().append(true).open(last(folder.path())).unwrap();
                        file.write_all(&vec![7; torn]).unwrap();
                        buffer = open(is_durable.then_some(sealed));
                        queue = kept.iter().cloned().collect();
                        since.clone_from(&kept);
                        come = buffer.bounds().read;
                    }
                }
            }
            prop_assert_eq!(rest(&mut buffer), queue.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_full_buffer_says_so_and_is_given_back_to_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut buffer = DiskBuffer::open(folder.path(), "test", 10_000, None).unwrap();
        let row = noise(0, 1_000);
        let written = (0..).take_while(|_| buffer.append(&body(&[&row])).unwrap()).count();
        assert!((8..10).contains(&written), "{written}");
        assert_eq!(rest(&mut buffer).len(), written);
        assert!(!buffer.append(&body(&[&row])).unwrap(), "nothing is deleted before an epoch is durable");
        sync(&mut buffer);
        buffer.forget(buffer.bounds().read).unwrap();
        assert!(buffer.bytes() < 100, "{}", buffer.bytes());
        assert!(buffer.append(&body(&[&noise(1, 50_000)])).unwrap(), "one that is too large goes alone");
        assert!(!buffer.append(&body(&["z"])).unwrap());
    }

    #[test]
    fn rows_that_are_alike_take_little_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut buffer = DiskBuffer::open(folder.path(), "test", 1_000_000, None).unwrap();
        let rows: Vec<String> =
            (0..1_000).map(|n| format!(r#"{{"message":"Failed password for {}","facility":"auth"}}"#, noise(n, 8))).collect();
        let body = body(&rows.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(buffer.append(&body).unwrap());
        // Marks are not packed.
        let packed = buffer.bytes() as usize - body.rows() * (4 + 4 + ID_BYTES);
        assert!(packed * 3 < body.bytes.len(), "{packed} of {}", body.bytes.len());
        assert_eq!(rest(&mut buffer), rows);
    }

    #[test]
    fn identities_take_room_once() {
        let folder = tempfile::tempdir().unwrap();
        let buffer_of = |name: &str| DiskBuffer::open(&folder.path().join(name), "test", 1_000_000, None).unwrap();
        let body_of = |stands: fn(usize) -> bool| {
            let mut body = Body::default();
            for number in 0..1_000 {
                let id: [u8; 32] = noise(number, 32).into_bytes().try_into().unwrap();
                let shown = if stands(number) { id } else { [b'x'; 32] };
                body.bytes.extend_from_slice(&[b"{\"_id\":\"", shown.as_slice(), b"\"}\n"].concat());
                body.marks.push(Mark { event_at: body.bytes.len(), id });
                body.bytes.extend_from_slice(b"{\"a\":1}\n");
                body.ends.push(body.bytes.len());
            }
            body
        };
        for (name, stands, bytes_max) in [("all", (|_| true) as fn(usize) -> bool, 3_000), ("all but one", |row| row != 500, 50_000)] {
            let (mut buffer, mut body, mut packed) = (buffer_of(name), body_of(stands), Packed::new().unwrap());
            let rows = rows_of(&body);
            packed.pack(&mut body).unwrap();
            assert_eq!(rows_of(&body), rows, "it is as it was");
            assert!(packed.rows.len() < bytes_max, "{name}: {}", packed.rows.len());
            assert!(buffer.append_packed(&packed).unwrap());
            let read = next(&mut buffer).unwrap();
            assert_eq!(rows_of(&read), rows);
            assert!(read.marks.iter().zip(&body.marks).all(|(read, put)| (read.event_at, read.id) == (put.event_at, put.id)));
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut buffer = DiskBuffer::open(folder.path(), "test", 10_000, None).unwrap();
        buffer.append(&body(&["one"])).unwrap();
        buffer.append(&body(&["two"])).unwrap();
        sync(&mut buffer);
        let sealed = buffer.bounds();
        drop(buffer);
        let path = last(folder.path());
        let whole = fs::read(&path).unwrap();
        let open = |kind: &str| DiskBuffer::open(folder.path(), kind, 10_000, Some(sealed));
        let damage = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
        };
        let told = |outcome: Result<DiskBuffer>| outcome.err().unwrap().to_string();
        assert!(told(open("other")).contains("was not written by a sink of type other"));
        damage("tripline buffer".len());
        assert!(told(open("test")).contains("it has form 2, and this program reads form 3"));
        damage(0);
        assert!(told(open("test")).contains("no segment of a disk buffer"));
        damage(whole.len() - 1);
        let mut damaged = open("test").unwrap();
        assert_eq!(rows_of(&next(&mut damaged).unwrap()), ["one"]);
        assert!(damaged.read().unwrap().unwrap()(Body::default()).err().unwrap().to_string().contains("the record is damaged"));
        assert_eq!(damaged.bounds().written, sealed.written);
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(told(open("test")).contains("it is shorter than it was"));
        fs::remove_file(&path).unwrap();
        assert!(told(open("test")).contains("a segment is missing"));
    }
}
