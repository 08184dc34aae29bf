//! A queue of records on the disk, in segments: what disk buffers and journals have in common.
//!
//! ```text
//! FOLDER/0000000000000001                  segments, in the order of their numbers
//!   head    what its owner says it is: magic, version (u8), of what (u32 length, name)
//!   record  length of what follows the sum (u32), its XXH3 (u64), the record's bytes
//! ```
//! An owner says up to where a queue was read and written when it was last sure of it, and opens it there; or it has the queue look for itself how far
//! its records are whole.
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::state::{StateError, StateReader, StateWriter};

/// Bytes before what a record's sum is of.
const FRAME: usize = 12;

/// Most bytes of a segment: what is delivered is given back to the disk in such pieces.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// What a queue is, which its files say.
#[derive(Clone, Copy, Debug)]
pub struct Nature<'a> {
    /// The first bytes of a file.
    pub magic: &'static [u8],
    /// The form of its records.
    pub version: u8,
    /// What it is called.
    pub name: &'static str,
    /// The family of the node that owns it, and its kind.
    pub owner: (&'static str, &'a str),
}

impl Nature<'_> {
    fn head(&self) -> Vec<u8> {
        let mut head = StateWriter { bytes: [self.magic, &[self.version]].concat() };
        head.bytes(self.owner.1.as_bytes());
        head.bytes
    }
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    segment: u64,
    offset: u64,
}

impl Place {
    /// Whether whole segments lie between it and an earlier place.
    pub fn is_segments_behind(&self, earlier: &Place) -> bool {
        self.segment > earlier.segment
    }

    /// Appends it to a record.
    pub fn save(&self, out: &mut StateWriter) {
        out.u64(self.segment);
        out.u64(self.offset);
    }

    /// Reads it from a record.
    pub fn load(from: &mut StateReader<'_>) -> std::result::Result<Place, StateError> {
        Ok(Place { segment: from.u64()?, offset: from.u64()? })
    }
}

/// What an epoch knows of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// All before it was read, and is done with.
    pub read: Place,
    /// All before it is on the disk.
    pub written: Place,
}

impl Bounds {
    /// Whether records wait.
    pub fn is_empty(&self) -> bool {
        self.read == self.written
    }

    /// Appends it to a record.
    pub fn save(&self, out: &mut StateWriter) {
        self.read.save(out);
        self.written.save(out);
    }

    /// Reads it from a record.
    pub fn load(from: &mut StateReader<'_>) -> std::result::Result<Bounds, StateError> {
        Ok(Bounds { read: Place::load(from)?, written: Place::load(from)? })
    }
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
}

/// See the module.
pub struct DiskQueue {
    folder: PathBuf,
    head: Vec<u8>,
    bytes_max: u64,
    /// Oldest first; the last one is written.
    segments: VecDeque<Segment>,
    writer: Arc<File>,
    /// Segments with bytes that may not be on the disk yet, and how many those are.
    unsynced: Vec<(u64, Arc<File>)>,
    unsynced_bytes: u64,
    reader: Option<(u64, Arc<File>)>,
    bounds: Bounds,
    synced: Place,
    /// Bytes that were cut off when it looked for its end.
    cut_bytes: u64,
}

impl DiskQueue {
    /// Opens a queue as an epoch left it, empty if none did. What stands behind it is cut off.
    pub fn open(folder: &Path, nature: Nature<'_>, bytes_max: u64, sealed: Option<Bounds>) -> Result<DiskQueue> {
        fs::create_dir_all(folder)?;
        let head = nature.head();
        let held = sealed.filter(|bounds| !bounds.is_empty());
        let mut segments = VecDeque::new();
        for number in numbers(folder)? {
            let path = segment_path(folder, number);
            match held {
                Some(held) if (held.read.segment..=held.written.segment).contains(&number) => {
                    check_head(&path, &head, nature)?;
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
        Ok(DiskQueue {
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
            cut_bytes: 0,
        })
    }

    /// Opens a queue with all whole records behind a place, empty if there is no place, and hands them over. Behind one that is refused it is cut off.
    pub fn recover(
        folder: &Path,
        nature: Nature<'_>,
        bytes_max: u64,
        read: Option<Place>,
        mut found: impl FnMut(&[u8]) -> bool,
    ) -> Result<DiskQueue> {
        fs::create_dir_all(folder)?;
        let whole = read.map(|read| whole_behind(folder, nature, read, &mut found)).transpose()?;
        let queue = DiskQueue::open(folder, nature, bytes_max, whole.map(|(bounds, _)| bounds))?;
        Ok(DiskQueue { cut_bytes: whole.map_or(0, |(_, cut)| cut), ..queue })
    }

    /// Bytes that were cut off when it looked for its end.
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
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

    /// Writes a record of two parts behind all others. Says no where its bound leaves no room.
    pub fn append(&mut self, parts: [&[u8]; 2]) -> Result<bool> {
        let record = (FRAME + parts[0].len() + parts[1].len()) as u64;
        if !self.has_room(record) {
            return Ok(false);
        }
        if self.is_segment_full() {
            self.roll()?;
        }
        if let Err(e) = self.write_record(parts) {
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

    fn write_record(&self, parts: [&[u8]; 2]) -> Result<()> {
        let mut sum = Xxh3::new();
        parts.iter().for_each(|part| sum.update(part));
        let mut frame = StateWriter::default();
        frame.u32((parts[0].len() + parts[1].len()) as u32);
        frame.u64(sum.digest());
        let mut at = self.bounds.written.offset;
        for part in [frame.bytes.as_slice(), parts[0], parts[1]] {
            self.writer.write_all_at(part, at)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    /// Whether so many bytes may be added. What is larger than the bound still goes into a queue that holds little.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.fits(bytes) || (self.is_read() && self.bytes() <= self.bytes_max / 4)
    }

    /// Whether so many bytes are within the bound.
    pub fn fits(&self, bytes: u64) -> bool {
        self.bytes() + bytes <= self.bytes_max
    }

    /// Whether the next record begins a segment.
    fn is_segment_full(&self) -> bool {
        self.bounds.written.offset >= SEGMENT_BYTES_MAX.min(self.bytes_max / 4)
    }

    /// What was written so far needs no reading.
    pub fn skip(&mut self) {
        self.bounds.read = self.bounds.written;
    }

    /// Reads the next record into memory whose content is of no use any more. Says no where there is none.
    pub fn next(&mut self, record: &mut Vec<u8>) -> Result<bool> {
        let Some(read) = self.read()? else { return Ok(false) };
        let bytes = read(record)?;
        self.note_read(bytes);
        Ok(true)
    }

    /// What reads the next record, if there is one, on whatever thread; it gives what [`DiskQueue::note_read`] wants to hear.
    pub fn read(&mut self) -> Result<Option<impl FnOnce(&mut Vec<u8>) -> Result<u64> + Send + use<>>> {
        while !self.is_read() {
            let Place { segment, offset } = self.bounds.read;
            let length = self.segments.iter().find(|s| s.number == segment).map_or(0, |s| s.bytes);
            if offset >= length && segment < self.bounds.written.segment {
                self.bounds.read = Place { segment: segment + 1, offset: self.head.len() as u64 };
                continue;
            }
            let file = match &self.reader {
                Some((number, file)) if *number == segment => file,
                _ => &self.reader.insert((segment, Arc::new(File::open(segment_path(&self.folder, segment))?))).1,
            };
            let (file, path) = (Arc::clone(file), segment_path(&self.folder, segment));
            return Ok(Some(move |record: &mut Vec<u8>| {
                read_record(&file, offset, length, record).map_err(|e| Error::new(e.kind(), format!("{} at {offset}: {e}", path.display())))
            }));
        }
        Ok(None)
    }

    /// The next record, of so many bytes, was read.
    pub fn note_read(&mut self, bytes: u64) {
        self.bounds.read.offset += bytes;
    }

    /// Bytes that no sync has been asked for.
    pub fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes
    }

    /// What makes durable all that was written so far, on whatever thread; it gives what [`DiskQueue::note_synced`] wants to hear.
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

    /// Deletes what stands before a place that was read, by a durable epoch.
    pub fn forget(&mut self, read: Place) -> Result<()> {
        while let Some(first) = self.segments.front().filter(|s| s.number < read.segment) {
            fs::remove_file(segment_path(&self.folder, first.number))?;
            self.segments.pop_front();
        }
        self.unsynced.retain(|(number, _)| *number >= read.segment);
        Ok(())
    }

    /// Where all was read up to this place, by a durable epoch, the bytes go back to the disk, and places go on in a new segment.
    pub fn turn_over(&mut self, read: Place) -> Result<()> {
        if read != self.bounds.written || !self.is_read() || self.is_fresh() {
            return Ok(());
        }
        let start = self.head.len() as u64;
        self.writer.set_len(start)?;
        if let Some(last) = self.segments.back_mut() {
            last.bytes = start;
        }
        self.roll()?;
        self.bounds.read = self.bounds.written;
        Ok(())
    }

    /// Bytes of the segment that is written.
    pub fn last_bytes(&self) -> u64 {
        self.segments.back().map_or(0, |last| last.bytes)
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

fn check_head(path: &Path, head: &[u8], nature: Nature<'_>) -> Result<()> {
    let mut found = vec![0; head.len()];
    let wrong = |what: String| Err(Error::new(ErrorKind::InvalidData, format!("{}: {what}", path.display())));
    if File::open(path)?.read_exact_at(&mut found, 0).is_err() || !found.starts_with(nature.magic) {
        return wrong(format!("this is no segment of a {}", nature.name));
    }
    let version = found[nature.magic.len()];
    if version != nature.version {
        return wrong(format!(
            "it has form {version}, and this program reads form {}: let the program that wrote it deliver it first",
            nature.version
        ));
    }
    if found != head {
        let (family, kind) = nature.owner;
        return wrong(format!("it was not written by a {family} of type {kind}: let the old pipeline deliver it first"));
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

/// From where and up to where records behind a place are whole, each of which is handed over, and how many bytes stand behind them. A queue that was empty at a place, or lost what it had there,
/// has gone on in a later segment.
fn whole_behind(folder: &Path, nature: Nature<'_>, from: Place, found: &mut dyn FnMut(&[u8]) -> bool) -> Result<(Bounds, u64)> {
    let head = nature.head();
    let start_of = |segment: u64| Place { segment, offset: head.len() as u64 };
    let length_of = |segment: u64| Ok::<u64, Error>(fs::metadata(segment_path(folder, segment))?.len());
    let mut later: VecDeque<u64> = numbers(folder)?.into_iter().filter(|number| *number >= from.segment).collect();
    let is_there = later.front() == Some(&from.segment) && length_of(from.segment)? >= from.offset;
    if !is_there {
        later.retain(|number| *number > from.segment);
    }
    let start = if is_there { from } else { later.front().map_or(from, |number| start_of(*number)) };
    let mut until = start;
    let mut rest = 0;
    let mut record = Vec::new();
    while let Some(segment) = later.pop_front() {
        if length_of(segment)? < head.len() as u64 {
            // It died while it was made.
            break;
        }
        if segment > start.segment {
            until = start_of(segment);
        }
        check_head(&segment_path(folder, segment), &head, nature)?;
        let (file, length) = (File::open(segment_path(folder, segment))?, length_of(segment)?);
        while let Ok(bytes) = read_record(&file, until.offset, length, &mut record)
            && found(&record)
        {
            until.offset += bytes;
        }
        rest = length - until.offset;
        if rest > 0 || later.front().is_some_and(|next| *next != segment + 1) {
            break;
        }
    }
    for segment in later {
        rest += length_of(segment)?.saturating_sub(head.len() as u64);
    }
    Ok((Bounds { read: start, written: until }, rest))
}

/// Reads the record at a place of a segment, and says how many bytes it takes there.
fn read_record(mut file: &File, offset: u64, length: u64, record: &mut Vec<u8>) -> Result<u64> {
    let damaged = || Error::new(ErrorKind::InvalidData, "the record is damaged");
    let mut frame = [0; FRAME];
    file.read_exact_at(&mut frame, offset)?;
    let mut from = StateReader::new(&frame);
    let (size, sum) = (from.u32().map_err(|_| damaged())?, from.u64().map_err(|_| damaged())?);
    let bytes = FRAME as u64 + u64::from(size);
    if offset + bytes > length {
        return Err(damaged());
    }
    record.clear();
    record.reserve(size as usize);
    file.seek(SeekFrom::Start(offset + FRAME as u64))?;
    file.take(u64::from(size)).read_to_end(record)?;
    if record.len() != size as usize || xxh3_64(record) != sum {
        return Err(damaged());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use proptest::prelude::*;

    const NATURE: Nature<'_> = Nature { magic: b"test", version: 1, name: "queue", owner: ("node", "k") };

    proptest! {
        /// A queue that looks for itself finds all whole records behind a place, whatever stands behind them.
        #[test]
        fn whole_records_are_found(sizes in proptest::collection::vec(0usize..3_000, 0..60), reads in 0usize..60, torn in 0usize..60) {
            let folder = tempfile::tempdir().unwrap();
            let open = |place, found: &mut Vec<Vec<u8>>| {
                DiskQueue::recover(folder.path(), NATURE, 40_000, place, |record| {
                    found.push(record.to_vec());
                    true
                })
                .unwrap()
            };
            let mut queue = open(None, &mut Vec::new());
            let mut records = Vec::new();
            for (number, size) in sizes.into_iter().enumerate() {
                let record = vec![number as u8; size];
                if queue.append([&record[..size / 2], &record[size / 2..]]).unwrap() {
                    records.push(record);
                }
            }
            let reads = reads.min(records.len());
            let mut read = Vec::new();
            for record in &records[..reads] {
                prop_assert!(queue.next(&mut read).unwrap());
                prop_assert_eq!(&read, record);
            }
            let place = queue.bounds().read;
            queue.forget(place).unwrap();
            let last = numbers(folder.path()).unwrap().pop().unwrap();
            drop(queue);
            OpenOptions::new().append(true).open(segment_path(folder.path(), last)).unwrap().write_all(&vec![3; torn]).unwrap();
            let mut found = Vec::new();
            let mut queue = open(Some(place), &mut found);
            prop_assert_eq!(&found, &records[reads..]);
            prop_assert_eq!(queue.cut_bytes(), torn as u64);
            // It goes on behind them.
            prop_assert!(queue.append([b"more", b""]).unwrap() || !queue.has_room(16));
            for record in &records[reads..] {
                prop_assert!(queue.next(&mut read).unwrap());
                prop_assert_eq!(&read, record);
            }
        }
    }

    #[test]
    fn a_place_that_the_disk_has_lost_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { segment: 7, offset: 5_000 };
        let open = || DiskQueue::recover(folder.path(), NATURE, 40_000, Some(place), |_| panic!("nothing is there")).unwrap();
        let mut queue = open();
        assert!(queue.is_read() && queue.bounds().read > place);
        assert!(queue.append([b"a", b"b"]).unwrap());
        let mut read = Vec::new();
        assert!(queue.next(&mut read).unwrap());
        assert_eq!(read, b"ab");
        // A segment that was made, and nothing more.
        let next = queue.bounds().read.segment + 1;
        drop(queue);
        File::create(segment_path(folder.path(), next)).unwrap();
        let mut found = 0;
        DiskQueue::recover(folder.path(), NATURE, 40_000, Some(place), |_| {
            found += 1;
            true
        })
        .unwrap();
        assert_eq!(found, 1);
    }
}
