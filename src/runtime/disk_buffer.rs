//! The disk buffer before a sink: bodies that wait for their peer in a file queue. What is synced here is settled, so an outage stops nothing else.
//!
//! ```text
//! <state>/buffer/NODE/0000000000000001     segments, in the order of their numbers
//!   head    "tripline buffer", version (u8), kind of the sink (u32 length, name)
//!   record  length of what follows the sum (u32), its XXH3 (u64), the encoded rows,
//!           end of each row (u32), event and identity of each mark (u32, 32 bytes), rows (u32), marks (u32: rows or 0)
//! ```
//! An epoch's record says up to where the buffer was synced and up to where its rows had been delivered. What stands behind the first place at a start was
//! never settled: it is cut off, torn or not, and comes again from the sources. Segments before the second place are deleted once that epoch is durable.
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::component::sink::{Body, Mark};
use crate::state::{StateError, StateReader, StateWriter};

/// Says what the files are, and in which form.
const MAGIC: &[u8] = b"tripline buffer";

/// The form of the files.
const VERSION: u8 = 1;

/// Bytes before what a record's sum is of.
const FRAME: usize = 12;

/// Bytes of an identity.
const ID_BYTES: usize = 32;

/// Most bytes of a segment: what is delivered is given back to the disk in such pieces.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// A place in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    segment: u64,
    offset: u64,
}

/// What an epoch knows of a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// All before it has been delivered.
    pub read: Place,
    /// All before it is on the disk.
    pub written: Place,
}

impl Bounds {
    /// Whether rows wait.
    pub fn is_empty(&self) -> bool {
        self.read == self.written
    }

    /// Appends it to a record.
    pub fn save(&self, out: &mut StateWriter) {
        for place in [self.read, self.written] {
            out.u64(place.segment);
            out.u64(place.offset);
        }
    }

    /// Reads it from a record.
    pub fn load(from: &mut StateReader<'_>) -> std::result::Result<Bounds, StateError> {
        let mut place = || Ok(Place { segment: from.u64()?, offset: from.u64()? });
        Ok(Bounds { read: place()?, written: place()? })
    }
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
}

/// See the module.
pub struct DiskBuffer {
    folder: PathBuf,
    head: Vec<u8>,
    bytes_max: u64,
    /// Oldest first; the last one is written.
    segments: VecDeque<Segment>,
    writer: Arc<File>,
    /// Segments with bytes that may not be on the disk yet, and how many those are.
    unsynced: Vec<(u64, Arc<File>)>,
    unsynced_bytes: u64,
    reader: Option<(u64, File)>,
    bounds: Bounds,
    synced: Place,
    /// What follows the rows of a record.
    scratch: Vec<u8>,
}

impl DiskBuffer {
    /// Opens the buffer of a sink as an epoch left it, empty if none did.
    pub fn open(folder: &Path, kind: &str, bytes_max: u64, sealed: Option<Bounds>) -> Result<DiskBuffer> {
        fs::create_dir_all(folder)?;
        let mut head = StateWriter { bytes: [MAGIC, &[VERSION]].concat() };
        head.bytes(kind.as_bytes());
        let head = head.bytes;
        let held = sealed.filter(|bounds| !bounds.is_empty());
        let mut segments = VecDeque::new();
        for number in numbers(folder)? {
            let path = segment_path(folder, number);
            match held {
                Some(held) if (held.read.segment..=held.written.segment).contains(&number) => {
                    check_head(&path, &head, kind)?;
                    segments.push_back(Segment { number, bytes: fs::metadata(&path)?.len() });
                }
                _ => fs::remove_file(&path)?,
            }
        }
        let (bounds, writer) = match held {
            Some(held) => (held, continue_at(folder, &mut segments, held)?),
            None => {
                let number = sealed.map_or(1, |bounds| bounds.written.segment + 1);
                let start = Place { segment: number, offset: head.len() as u64 };
                segments.push_back(Segment { number, bytes: start.offset });
                (Bounds { read: start, written: start }, begin(folder, number, &head)?)
            }
        };
        Ok(DiskBuffer {
            folder: folder.to_owned(),
            head,
            bytes_max,
            segments,
            writer: Arc::new(writer),
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            synced: bounds.written,
            reader: None,
            bounds,
            scratch: Vec::new(),
        })
    }

    /// Up to where it is written, and read.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Whether all was read.
    pub fn is_read(&self) -> bool {
        self.bounds.is_empty()
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes a body behind all others. Says no where its bound leaves no room.
    pub fn append(&mut self, body: &Body) -> Result<bool> {
        self.write_tables(body);
        let size = body.bytes.len() + self.scratch.len();
        let record = (FRAME + size) as u64;
        if !self.has_room(record) {
            return Ok(false);
        }
        if self.is_segment_full() {
            self.roll()?;
        }
        if let Err(e) = self.write_record(body, size) {
            // No half of a record stays.
            self.writer.set_len(self.bounds.written.offset)?;
            return Err(e);
        }
        if self.unsynced.last().is_none_or(|(number, _)| *number != self.bounds.written.segment) {
            self.unsynced.push((self.bounds.written.segment, Arc::clone(&self.writer)));
        }
        self.unsynced_bytes += record;
        self.bounds.written.offset += record;
        if let Some(last) = self.segments.back_mut() {
            last.bytes = self.bounds.written.offset;
        }
        Ok(true)
    }

    fn write_record(&self, body: &Body, size: usize) -> Result<()> {
        let mut sum = Xxh3::new();
        sum.update(&body.bytes);
        sum.update(&self.scratch);
        let mut frame = StateWriter::default();
        frame.u32(size as u32);
        frame.u64(sum.digest());
        let at = self.bounds.written.offset;
        let rows = at + FRAME as u64;
        self.writer.write_all_at(&frame.bytes, at)?;
        self.writer.write_all_at(&body.bytes, rows)?;
        self.writer.write_all_at(&self.scratch, rows + body.bytes.len() as u64)
    }

    /// Whether so many bytes may be added. What is larger than the bound still goes into a buffer that holds little.
    fn has_room(&self, bytes: u64) -> bool {
        self.bytes() + bytes <= self.bytes_max || (self.is_read() && self.bytes() <= self.bytes_max / 4)
    }

    /// Whether the next record begins a segment.
    fn is_segment_full(&self) -> bool {
        self.bounds.written.offset >= SEGMENT_BYTES_MAX.min(self.bytes_max / 4)
    }

    /// What was written last will be sent from memory.
    pub fn skip(&mut self) {
        self.bounds.read = self.bounds.written;
    }

    /// Reads the next body.
    pub fn next(&mut self) -> Result<Option<Body>> {
        while !self.is_read() {
            let Place { segment, offset } = self.bounds.read;
            let length = self.segments.iter().find(|s| s.number == segment).map_or(0, |s| s.bytes);
            if offset >= length && segment < self.bounds.written.segment {
                self.bounds.read = Place { segment: segment + 1, offset: self.head.len() as u64 };
                continue;
            }
            let file = match &self.reader {
                Some((number, file)) if *number == segment => file,
                _ => &self.reader.insert((segment, File::open(segment_path(&self.folder, segment))?)).1,
            };
            let (body, record) = read_record(file, offset, length)
                .map_err(|e| Error::new(e.kind(), format!("{} at {offset}: {e}", segment_path(&self.folder, segment).display())))?;
            self.bounds.read.offset += record;
            return Ok(Some(body));
        }
        Ok(None)
    }

    /// Bytes that no sync has been asked for.
    pub fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes
    }

    /// What makes durable all that was written so far, on whatever thread; it gives what [`DiskBuffer::note_synced`] wants to hear.
    pub fn sync(&mut self) -> impl FnOnce() -> Result<Place> + Send + use<> {
        self.unsynced_bytes = 0;
        let (files, folder, upto) = (self.unsynced.clone(), self.folder.clone(), self.bounds.written);
        move || {
            files.iter().try_for_each(|(_, file)| file.sync_data())?;
            File::open(folder)?.sync_all()?;
            Ok(upto)
        }
    }

    /// All before a place is on the disk.
    pub fn note_synced(&mut self, upto: Place) {
        self.synced = self.synced.max(upto);
        self.unsynced.retain(|(number, _)| *number >= upto.segment);
    }

    /// Whether all before a place is on the disk.
    pub fn is_synced(&self, upto: Place) -> bool {
        self.synced >= upto
    }

    /// Deletes what stands before a place that was delivered, by a durable epoch. What is empty then takes no room.
    pub fn forget(&mut self, read: Place) -> Result<()> {
        while let Some(first) = self.segments.front().filter(|s| s.number < read.segment) {
            fs::remove_file(segment_path(&self.folder, first.number))?;
            self.segments.pop_front();
        }
        if read == self.bounds.written && !self.is_fresh() {
            // Epochs that are under way know this place, too: nothing waits in them, so nothing of it is looked for.
            let start = self.head.len() as u64;
            self.writer.set_len(start)?;
            self.segments.iter_mut().for_each(|segment| segment.bytes = start);
            self.bounds.written.offset = start;
            self.bounds.read = self.bounds.written;
            self.synced = self.bounds.written;
        }
        Ok(())
    }

    /// Whether the last segment holds nothing yet.
    fn is_fresh(&self) -> bool {
        self.bounds.written.offset <= self.head.len() as u64
    }

    /// Starts the next segment.
    fn roll(&mut self) -> Result<()> {
        let number = self.bounds.written.segment + 1;
        self.writer = Arc::new(begin(&self.folder, number, &self.head)?);
        self.bounds.written = Place { segment: number, offset: self.head.len() as u64 };
        self.segments.push_back(Segment { number, bytes: self.bounds.written.offset });
        self.unsynced.push((number, Arc::clone(&self.writer)));
        Ok(())
    }

    /// Everything of a record that stands behind the encoded rows.
    fn write_tables(&mut self, body: &Body) {
        let mut out = StateWriter { bytes: std::mem::take(&mut self.scratch) };
        out.bytes.clear();
        body.ends.iter().for_each(|end| out.u32(*end as u32));
        for mark in &body.marks {
            out.u32(mark.event_at as u32);
            out.bytes.extend_from_slice(&mark.id);
        }
        out.u32(body.ends.len() as u32);
        out.u32(body.marks.len() as u32);
        self.scratch = out.bytes;
    }
}

/// The numbers of the segments in a folder, in order.
fn numbers(folder: &Path) -> Result<Vec<u64>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder)? {
        out.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    out.sort_unstable();
    Ok(out)
}

fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}"))
}

/// Makes a segment. One that a failed try left holds nothing.
fn begin(folder: &Path, number: u64, head: &[u8]) -> Result<File> {
    let file = File::create(segment_path(folder, number))?;
    file.write_all_at(head, 0)?;
    Ok(file)
}

fn check_head(path: &Path, head: &[u8], kind: &str) -> Result<()> {
    let mut found = vec![0; head.len()];
    let wrong = |what: String| Err(Error::new(ErrorKind::InvalidData, format!("{}: {what}", path.display())));
    if File::open(path)?.read_exact_at(&mut found, 0).is_err() || !found.starts_with(MAGIC) {
        return wrong("this is no segment of a disk buffer".to_owned());
    }
    let version = found[MAGIC.len()];
    if version != VERSION {
        return wrong(format!(
            "it has form {version}, and this program reads form {VERSION}: let the program that wrote it deliver it first"
        ));
    }
    if found != head {
        return wrong(format!("it was not written by a sink of type {kind}: let the old pipeline deliver it first"));
    }
    Ok(())
}

/// Cuts off what was never settled, and opens the last segment for more.
fn continue_at(folder: &Path, segments: &mut VecDeque<Segment>, held: Bounds) -> Result<File> {
    let path = segment_path(folder, held.written.segment);
    let lost = |what: &str| Error::new(ErrorKind::InvalidData, format!("{}: {what}, and rows in it were settled", path.display()));
    if segments.len() as u64 != held.written.segment - held.read.segment + 1 {
        return Err(lost("a segment is missing"));
    }
    let last = segments.back_mut().filter(|last| last.bytes >= held.written.offset).ok_or_else(|| lost("it is shorter than it was"))?;
    let file = OpenOptions::new().write(true).open(&path)?;
    file.set_len(held.written.offset)?;
    last.bytes = held.written.offset;
    Ok(file)
}

/// The body at a place of a segment, and the bytes of its record.
fn read_record(file: &File, offset: u64, length: u64) -> Result<(Body, u64)> {
    let damaged = || Error::new(ErrorKind::InvalidData, "the record is damaged");
    let mut frame = [0; FRAME];
    file.read_exact_at(&mut frame, offset)?;
    let mut from = StateReader::new(&frame);
    let (size, sum) = (from.u32().map_err(|_| damaged())?, from.u64().map_err(|_| damaged())?);
    let record = FRAME as u64 + u64::from(size);
    if offset + record > length {
        return Err(damaged());
    }
    let mut bytes = Vec::with_capacity(size as usize);
    let mut file = file;
    file.seek(SeekFrom::Start(offset + FRAME as u64))?;
    file.take(u64::from(size)).read_to_end(&mut bytes)?;
    if bytes.len() != size as usize || xxh3_64(&bytes) != sum {
        return Err(damaged());
    }
    Ok((body_of(bytes).ok_or_else(damaged)?, record))
}

/// A body from what follows the sum of a record.
fn body_of(mut bytes: Vec<u8>) -> Option<Body> {
    let (rest, counts) = bytes.split_last_chunk::<8>()?;
    let mut from = StateReader::new(counts);
    let (rows, marks) = (from.u32().ok()? as usize, from.u32().ok()? as usize);
    let tables = rows.checked_mul(4)?.checked_add(marks.checked_mul(4 + ID_BYTES)?)?;
    let length = rest.len().checked_sub(tables)?;
    let mut from = StateReader::new(&rest[length..]);
    let mut body = Body::default();
    for _ in 0..rows {
        body.ends.push(from.u32().ok()? as usize);
    }
    for _ in 0..marks {
        body.marks.push(Mark { event_at: from.u32().ok()? as usize, id: from.array::<ID_BYTES>().ok()? });
    }
    bytes.truncate(length);
    body.bytes = bytes;
    Some(body)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use proptest::prelude::*;

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

    fn rest(buffer: &mut DiskBuffer) -> Vec<String> {
        std::iter::from_fn(|| buffer.next().unwrap()).flat_map(|body| rows_of(&body)).collect()
    }

    proptest! {
        /// Whatever is written, read, sealed, torn and reopened in whatever order: what was sealed comes out, in its order, once.
        #[test]
        fn what_was_sealed_comes_out_once_and_in_order(steps in proptest::collection::vec((0u8..5, 1usize..2_000), 1..60), torn in 0usize..200) {
            let folder = tempfile::tempdir().unwrap();
            let open = |sealed| DiskBuffer::open(folder.path(), "test", 40_000, sealed).unwrap();
            let mut buffer = open(None);
            let (mut sealed, mut is_durable) = (buffer.bounds(), false);
            let mut queue: VecDeque<String> = VecDeque::new();
            // What the last epoch knows: rows that wait, and those of them that have been read since.
            let (mut kept, mut number) = (Vec::<String>::new(), 0);
            for (step, size) in steps {
                match step {
                    0 | 1 => {
                        let row = format!("{number:04}{}", "x".repeat(size));
                        let body = body(&[&row, "second"]);
                        if buffer.append(&body).unwrap() {
                            number += 1;
                            queue.extend([row, "second".to_owned()]);
                        } else {
                            prop_assert!(buffer.bytes() > 30_000);
                        }
                    }
                    2 => {
                        let read = buffer.next().unwrap().map(|b| rows_of(&b)).unwrap_or_default();
                        prop_assert_eq!(&read, &queue.drain(..read.len()).collect::<Vec<_>>());
                    }
                    3 => {
                        sync(&mut buffer);
                        (sealed, is_durable, kept) = (buffer.bounds(), true, queue.iter().cloned().collect());
                        buffer.forget(sealed.read).unwrap();
                    }
                    _ => {
                        drop(buffer);
                        let last = numbers(folder.path()).unwrap().pop().unwrap();
                        let mut file = OpenOptions::new().append(true).open(segment_path(folder.path(), last)).unwrap();
                        file.write_all(&vec![7; torn]).unwrap();
                        buffer = open(is_durable.then_some(sealed));
                        queue = kept.iter().cloned().collect();
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
        let row = "x".repeat(1_000);
        let written = (0..).take_while(|_| buffer.append(&body(&[&row])).unwrap()).count();
        assert!((8..10).contains(&written), "{written}");
        assert_eq!(rest(&mut buffer).len(), written);
        assert!(!buffer.append(&body(&[&row])).unwrap(), "nothing is deleted before an epoch is durable");
        sync(&mut buffer);
        buffer.forget(buffer.bounds().read).unwrap();
        assert!(buffer.bytes() < 100, "{}", buffer.bytes());
        assert!(buffer.append(&body(&["y".repeat(50_000).as_str()])).unwrap(), "one that is too large goes alone");
        assert!(!buffer.append(&body(&["z"])).unwrap());
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
        let path = segment_path(folder.path(), 1);
        let whole = fs::read(&path).unwrap();
        let open = |kind: &str| DiskBuffer::open(folder.path(), kind, 10_000, Some(sealed));
        let damage = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
        };
        let told = |outcome: Result<DiskBuffer>| outcome.err().unwrap().to_string();
        assert!(told(open("other")).contains("was not written by a sink of type other"));
        damage(MAGIC.len());
        assert!(told(open("test")).contains("it has form 0, and this program reads form 1"));
        damage(0);
        assert!(told(open("test")).contains("no segment of a disk buffer"));
        damage(whole.len() - 1);
        let mut damaged = open("test").unwrap();
        assert_eq!(rows_of(&damaged.next().unwrap().unwrap()), ["one"]);
        assert!(damaged.next().unwrap_err().to_string().contains("the record is damaged"));
        assert_eq!(damaged.bounds().written, sealed.written);
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(told(open("test")).contains("it is shorter than it was"));
        fs::remove_file(&path).unwrap();
        assert!(told(open("test")).contains("a segment is missing"));
    }
}
