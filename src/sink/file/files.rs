//! The files of one sink: which are open, how long each is, which are full.
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::journal::{Entry, Journal, sync_folder};
use super::options::Settings;
use crate::clock::{Clock, Timestamp};
use crate::event::time;
use crate::limits::{SINK_FILES_OPEN_MAX, SINK_FILES_TRACKED_MAX};
use crate::state::{StateReader, StateWriter};

/// Version of the sealed form.
const VERSION: u8 = 1;

/// A file that bytes go to.
#[derive(Debug)]
struct Tracked {
    /// None while others are used more.
    file: Option<File>,
    /// Bytes that are in it, all of whole rows.
    length: u64,
    is_stream: bool,
    /// Something was written behind the last seal.
    is_dirty: bool,
    /// Its name is not known to be on the disk.
    is_new: bool,
    /// When its first byte was written.
    since: Timestamp,
    used: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Files {
    settings: Settings,
    tracked: BTreeMap<PathBuf, Tracked>,
    journal: Option<Journal>,
    /// Paths of which the journal tells that they get bytes of this epoch.
    announced: BTreeSet<PathBuf>,
    /// So many more may be opened before those that are open are counted.
    room: usize,
    /// The last epoch that was sealed.
    epoch: u64,
    uses: u64,
    clock: Clock,
}

impl Files {
    /// None is open.
    pub(super) fn new(settings: Settings) -> Files {
        Files {
            settings,
            tracked: BTreeMap::new(),
            journal: None,
            announced: BTreeSet::new(),
            room: 0,
            epoch: 0,
            uses: 0,
            clock: Clock::System,
        }
    }

    /// Brings all files back to what was sealed.
    pub(super) fn connect(&mut self, last: Option<&[u8]>) -> std::io::Result<()> {
        let sealed = last.map(read).transpose().map_err(std::io::Error::other)?;
        if self.settings.needs_journal() {
            let path = self.settings.journal();
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            let mut journal = Journal::open(path)?;
            // Without a state nothing was ever sealed: what is there stays.
            journal.recover(sealed.as_ref().map_or(u64::MAX, |s| s.0))?;
            self.journal = Some(journal);
            self.announced.clear();
        }
        let (epoch, files) = sealed.unwrap_or_default();
        self.epoch = epoch;
        for (path, length, since) in files {
            match self.open(&path, Some(length)) {
                // It was cut; it is opened again when something is written to it.
                Ok(tracked) => drop(self.tracked.insert(path, Tracked { since, file: None, ..tracked })),
                // What was put elsewhere or deleted is not made again before something is written to it.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        if let Some(path) = self.settings.path.clone().filter(|path| !self.tracked.contains_key(path)) {
            self.begin(&path)?;
        }
        Ok(())
    }

    /// Opens a file, cut to what was sealed.
    fn open(&self, path: &Path, sealed: Option<u64>) -> std::io::Result<Tracked> {
        let is_stream = std::fs::metadata(path).is_ok_and(|m| !m.is_file());
        let mut file = OpenOptions::new().write(true).create(sealed.is_none()).truncate(false).open(path)?;
        let mut length = 0;
        if !is_stream {
            let present = file.metadata()?.len();
            length = sealed.map_or(present, |sealed| sealed.min(present));
            if present > length {
                file.set_len(length)?;
            }
            file.seek(SeekFrom::Start(length))?;
        }
        Ok(Tracked { file: Some(file), length, is_stream, is_dirty: false, is_new: false, since: self.clock.now(), used: self.uses })
    }

    /// Tells the journal of those paths that get their first bytes of this epoch: it is made durable once for all of them.
    pub(super) fn announce<'p>(&mut self, paths: impl Iterator<Item = &'p Path>) -> std::io::Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let epoch = self.epoch + 1;
        let begun = |path: &Path| {
            let length = match std::fs::metadata(path) {
                Ok(present) if present.is_file() => Some(present.len()),
                Err(e) if e.kind() == ErrorKind::NotFound => None,
                // A stream has nothing to be undone, and a path that leads nowhere gets no bytes.
                _ => return None,
            };
            Some(Entry::Begun { epoch, path: path.to_owned(), length })
        };
        let new: Vec<&Path> = paths.filter(|path| !self.tracked.contains_key(*path) && !self.announced.contains(*path)).collect();
        journal.note(new.iter().filter_map(|path| begun(path)).collect())?;
        self.announced.extend(new.into_iter().map(Path::to_owned));
        Ok(())
    }

    /// Begins to write to a path.
    fn begin(&mut self, path: &Path) -> std::io::Result<()> {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        let is_new = !path.exists();
        self.announce(std::iter::once(path))?;
        let tracked = self.open(path, None)?;
        self.tracked.insert(path.to_owned(), Tracked { is_new, ..tracked });
        Ok(())
    }

    /// Sees to it that a path can be written to.
    fn prepare(&mut self, path: &Path) -> std::io::Result<()> {
        let known = self.tracked.get(path).map(|t| (t.file.is_some(), t.length));
        if let Some((true, _)) = known {
            return Ok(());
        }
        self.make_room();
        let Some((_, length)) = known else { return self.begin(path) };
        match self.open(path, Some(length)) {
            // Somebody deleted it while it was closed.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.tracked.remove(path);
                self.announced.remove(path);
                self.begin(path)
            }
            Err(e) => Err(e),
            Ok(opened) => {
                if let Some(tracked) = self.tracked.get_mut(path) {
                    tracked.file = opened.file;
                }
                Ok(())
            }
        }
    }

    /// Writes bytes whole, or nothing of them: a stream says how many it took.
    pub(super) fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), (usize, std::io::Error)> {
        self.prepare(path).map_err(|e| (0, e))?;
        self.uses += 1;
        let Some(tracked) = self.tracked.get_mut(path) else { return Err((0, std::io::Error::other("is not open"))) };
        (tracked.used, tracked.is_dirty) = (self.uses, true);
        tracked.write(bytes)
    }

    /// Closes those files that were not written to for longest, where too many are open. What they hold is made durable when the epoch is sealed.
    fn make_room(&mut self) {
        if self.room == 0 {
            let mut uses: Vec<u64> = self.tracked.values().filter(|t| t.file.is_some()).map(|t| t.used).collect();
            self.room = SINK_FILES_OPEN_MAX.saturating_sub(uses.len());
            if self.room == 0 {
                let many = uses.len() / 4;
                let (_, newest, _) = uses.select_nth_unstable(many);
                let newest = *newest;
                self.tracked.values_mut().filter(|t| t.used <= newest).for_each(|t| t.file = None);
                self.room = many;
            }
        }
        self.room -= 1;
    }

    /// Makes all durable, renames files that are full, and says how to come back to here.
    pub(super) fn seal(&mut self, epoch: u64) -> std::io::Result<Vec<u8>> {
        let mut folders = BTreeMap::new();
        for (path, tracked) in self.tracked.iter().filter(|(_, t)| t.is_dirty && !t.is_stream) {
            tracked.sync(path)?;
            if tracked.is_new {
                folders.insert(path.parent(), path);
            }
        }
        folders.values().try_for_each(|path| sync_folder(path))?;
        self.tracked.values_mut().for_each(|tracked| tracked.is_new &= !tracked.is_dirty);
        let now = self.clock.now();
        let full: Vec<PathBuf> = self
            .tracked
            .iter()
            .filter(|(_, t)| !t.is_stream && self.settings.is_full(t.length, t.since, now))
            .map(|(p, _)| p.clone())
            .collect();
        for path in full {
            self.rotate(&path, epoch, now)?;
        }
        self.epoch = epoch;
        self.announced.clear();
        // Whatever is not written to any more is safe as it is; only what may rotate by its age is kept in mind.
        let (keeps, only) = (self.settings.rotates_by_age(), self.settings.path.clone());
        self.tracked.retain(|path, t| std::mem::take(&mut t.is_dirty) || keeps || t.is_stream || only.as_ref() == Some(path));
        if let Some(last) = self.tracked.len().checked_sub(SINK_FILES_TRACKED_MAX + 1) {
            let mut uses: Vec<u64> = self.tracked.values().map(|t| t.used).collect();
            let oldest = *uses.select_nth_unstable(last).1;
            self.tracked.retain(|_, t| t.used > oldest);
        }
        let mut out = StateWriter::default();
        out.u8(VERSION);
        out.u64(epoch);
        for (path, tracked) in self.tracked.iter().filter(|(_, t)| !t.is_stream) {
            out.bytes(path.as_os_str().as_encoded_bytes());
            out.u64(tracked.length);
            out.i64(tracked.since);
        }
        Ok(out.bytes)
    }

    fn rotate(&mut self, path: &Path, epoch: u64, now: Timestamp) -> std::io::Result<()> {
        let to = rotated(path, now);
        if let Some(journal) = &mut self.journal {
            journal.note(vec![Entry::Renamed { epoch, from: path.to_owned(), to: to.clone() }])?;
        }
        self.tracked.remove(path);
        match std::fs::rename(path, &to) {
            // Somebody took it away: then it is not written to any more either.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
            Ok(()) => sync_folder(path),
        }
    }

    /// An epoch is durable.
    pub(super) fn commit(&mut self, epoch: u64) -> std::io::Result<()> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.forget(epoch))
    }

    /// Whether a path is a stream, whose reader may go away.
    pub(super) fn is_stream(&self, path: &Path) -> bool {
        self.tracked.get(path).is_some_and(|t| t.is_stream)
    }
}

impl Tracked {
    fn sync(&self, path: &Path) -> std::io::Result<()> {
        match &self.file {
            Some(file) => file.sync_data(),
            None => match OpenOptions::new().write(true).open(path) {
                // Somebody deleted it while it was closed.
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
                opened => opened?.sync_data(),
            },
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, std::io::Error)> {
        let Some(file) = &mut self.file else { return Err((0, std::io::Error::other("is not open"))) };
        if self.is_stream {
            let mut at = 0;
            while at < bytes.len() {
                match file.write(&bytes[at..]) {
                    Ok(n) => at += n,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err((at, e)),
                }
            }
            return Ok(());
        }
        if let Err(e) = file.write_all(bytes) {
            // A full disk took part of it: none of it counts, and the next try writes it whole.
            file.set_len(self.length).and_then(|()| file.seek(SeekFrom::Start(self.length))).map_err(|e| (0, e))?;
            return Err((0, e));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

type Sealed = (u64, Vec<(PathBuf, u64, Timestamp)>);

fn read(bytes: &[u8]) -> Result<Sealed, String> {
    let of = |bytes: &[u8]| -> Result<Sealed, crate::state::StateError> {
        let mut from = StateReader::new(bytes);
        let version = from.u8()?;
        if version != VERSION {
            return Err(crate::state::StateError(format!("files in an unknown form {version}")));
        }
        let (epoch, mut files) = (from.u64()?, Vec::new());
        while !from.is_empty() {
            files.push((from.text()?.into(), from.u64()?, from.i64()?));
        }
        Ok((epoch, files))
    };
    of(bytes).map_err(|e| format!("{}: start with --fresh", e.0))
}

/// The name of a full file: the time stands before the first dot, and a number where that is taken.
fn rotated(path: &Path, now: Timestamp) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let at = name.char_indices().skip(1).find(|(_, c)| *c == '.').map_or(name.len(), |(at, _)| at);
    let (stem, rest) = name.split_at(at);
    let stamp: String = time::rfc3339(now).chars().take(19).filter(|c| *c != '-' && *c != ':').collect();
    (0..)
        .map(|n| path.with_file_name(if n == 0 { format!("{stem}.{stamp}Z{rest}") } else { format!("{stem}.{stamp}Z-{n}{rest}") }))
        .find(|to| !to.exists())
        .unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_named_after_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let name = |path: &Path| rotated(path, 1_772_000_000_000_000_000);
        assert_eq!(name(&at("a.ndjson.gz")), at("a.20260225T061320Z.ndjson.gz"));
        std::fs::write(at("a.20260225T061320Z.ndjson.gz"), "").unwrap();
        assert_eq!(name(&at("a.ndjson.gz")), at("a.20260225T061320Z-1.ndjson.gz"));
        assert_eq!(name(&at(".hidden")), at(".hidden.20260225T061320Z"));
    }
}
