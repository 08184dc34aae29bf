//! What happens to files between two epochs, so that it can be undone: a path gets its first byte, a full file gets another name.
//!
//! Each entry is on the disk before what it tells of happens. After a crash the entries behind the last durable epoch are undone, newest first; those of a
//! durable epoch are forgotten. An entry is a length, that many bytes, and their XXH3: a torn one tells of nothing that happened.
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::state::{StateError, StateReader, StateWriter};

/// The extension of a journal that is made to take the place of another one.
const MADE: &str = "new";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A path is about to get bytes of an epoch: how long it was, none where it was not there.
    Begun { epoch: u64, path: PathBuf, length: Option<u64> },
    /// A file is about to get another name, at the end of an epoch.
    Renamed { epoch: u64, from: PathBuf, to: PathBuf },
}

impl Entry {
    fn epoch(&self) -> u64 {
        match self {
            Entry::Begun { epoch, .. } | Entry::Renamed { epoch, .. } => *epoch,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = StateWriter::default();
        let path = |out: &mut StateWriter, path: &Path| out.bytes(path.as_os_str().as_encoded_bytes());
        out.u64(self.epoch());
        match self {
            Entry::Begun { path: begun, length, .. } => {
                out.u8(u8::from(length.is_some()));
                out.u64(length.unwrap_or(0));
                path(&mut out, begun);
            }
            Entry::Renamed { from, to, .. } => {
                out.u8(2);
                path(&mut out, from);
                path(&mut out, to);
            }
        }
        out.bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Entry, StateError> {
        let mut from = StateReader::new(bytes);
        let (epoch, kind) = (from.u64()?, from.u8()?);
        if kind == 2 {
            return Ok(Entry::Renamed { epoch, from: from.text()?.into(), to: from.text()?.into() });
        }
        let length = from.u64()?;
        Ok(Entry::Begun { epoch, length: (kind == 1).then_some(length), path: from.text()?.into() })
    }

    /// Makes it not have happened. What was undone before stays so.
    fn undo(&self) -> std::io::Result<()> {
        let outcome = match self {
            Entry::Begun { path, length: None, .. } => std::fs::remove_file(path),
            Entry::Begun { path, length: Some(length), .. } => OpenOptions::new().write(true).open(path).and_then(|file| {
                // Never longer than it is: what is not there any more cannot be made up.
                file.set_len(file.metadata()?.len().min(*length))
            }),
            Entry::Renamed { from, to, .. } => std::fs::rename(to, from),
        };
        match outcome {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Option<File>,
    entries: Vec<Entry>,
    /// An entry was not written whole: what stands behind the others is cut off before more is written.
    is_torn: bool,
}

impl Journal {
    /// The journal of a path, as the last run left it. One that it was about to put in its place is of no use.
    pub(super) fn open(path: PathBuf) -> std::io::Result<Journal> {
        remove(&path.with_extension(MADE))?;
        let bytes = match std::fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        Ok(Journal { entries: read(&bytes), path, file: None, is_torn: false })
    }

    /// Undoes what happened behind an epoch, and forgets all.
    pub(super) fn recover(&mut self, durable: u64) -> std::io::Result<()> {
        while let Some(entry) = self.entries.last().filter(|e| e.epoch() > durable) {
            let renames = matches!(entry, Entry::Renamed { .. });
            if renames {
                // What came after a file got its name is undone, and must not be undone again when the file has its old name back.
                self.cut()?;
            }
            entry.undo()?;
            self.entries.pop();
            if renames {
                self.cut()?;
            }
        }
        self.forget(u64::MAX)
    }

    /// Cuts the file to the entries that are left.
    fn cut(&self) -> std::io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(self.entries.iter().map(|entry| framed(entry).len() as u64).sum())?;
        file.sync_all()?;
        sync_folder(&self.path)
    }

    /// Tells of things before they happen.
    pub(super) fn note(&mut self, entries: Vec<Entry>) -> std::io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        if self.is_torn {
            self.cut()?;
        }
        if self.file.is_none() {
            self.file = Some(OpenOptions::new().create(true).append(true).open(&self.path)?);
            sync_folder(&self.path)?;
        }
        if let Some(file) = &mut self.file {
            self.is_torn = true;
            file.write_all(&entries.iter().flat_map(framed).collect::<Vec<u8>>())?;
            file.sync_data()?;
        }
        self.is_torn = false;
        self.entries.extend(entries);
        Ok(())
    }

    /// Forgets what happened up to a durable epoch.
    pub(super) fn forget(&mut self, durable: u64) -> std::io::Result<()> {
        if !self.entries.iter().any(|e| e.epoch() <= durable) {
            return Ok(());
        }
        self.entries.retain(|e| e.epoch() > durable);
        self.file = None;
        if self.entries.is_empty() {
            return remove(&self.path);
        }
        let made = self.path.with_extension(MADE);
        let mut file = File::create(&made)?;
        self.entries.iter().try_for_each(|entry| file.write_all(&framed(entry)))?;
        file.sync_data()?;
        std::fs::rename(&made, &self.path)?;
        sync_folder(&self.path)
    }
}

/// Removes a file that may be there.
fn remove(path: &Path) -> std::io::Result<()> {
    std::fs::remove_file(path).or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

fn framed(entry: &Entry) -> Vec<u8> {
    let bytes = entry.to_bytes();
    let mut out = StateWriter::default();
    out.bytes(&bytes);
    out.u64(xxh3_64(&bytes));
    out.bytes
}

fn read(bytes: &[u8]) -> Vec<Entry> {
    let mut from = StateReader::new(bytes);
    let mut out = Vec::new();
    while let (Ok(bytes), Ok(sum)) = (from.bytes(), from.u64()) {
        match Entry::from_bytes(bytes) {
            Ok(entry) if sum == xxh3_64(bytes) => out.push(entry),
            _ => break,
        }
    }
    out
}

/// Makes the names in the folder of a path durable.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_happened_behind_an_epoch_is_undone_however_often() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "old").unwrap();
        let mut journal = Journal::open(at("j")).unwrap();
        journal.note(vec![Entry::Begun { epoch: 1, path: at("kept"), length: None }]).unwrap();
        fs::write(at("kept"), "1").unwrap();
        journal.note(vec![Entry::Begun { epoch: 2, path: at("a"), length: Some(3) }]).unwrap();
        fs::write(at("a"), "old and new").unwrap();
        journal.note(vec![Entry::Renamed { epoch: 2, from: at("a"), to: at("a.1") }]).unwrap();
        fs::rename(at("a"), at("a.1")).unwrap();
        journal.note(vec![Entry::Begun { epoch: 3, path: at("a"), length: None }]).unwrap();
        fs::write(at("a"), "newer").unwrap();
        // A torn entry tells of nothing.
        let whole = fs::read(at("j")).unwrap();
        fs::write(at("j"), [&whole[..], &[9; 5]].concat()).unwrap();
        // A crash while it is undone: what was undone is undone again without harm.
        let mut journal = Journal::open(at("j")).unwrap();
        journal.entries.last().unwrap().undo().unwrap();
        journal.entries.pop();
        let mut again = Journal::open(at("j")).unwrap();
        again.entries.pop();
        again.cut().unwrap();
        again.entries.last().unwrap().undo().unwrap();
        Journal::open(at("j")).unwrap().recover(1).unwrap();
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "old");
        assert!(at("kept").exists() && !at("a.1").exists() && !at("j").exists());
    }

    #[test]
    fn a_durable_epoch_is_forgotten_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let mut journal = Journal::open(path.clone()).unwrap();
        let entry = |epoch: u64| Entry::Begun { epoch, path: "p".into(), length: Some(epoch) };
        journal.note((1..=3).map(entry).collect()).unwrap();
        journal.forget(2).unwrap();
        // An entry that was not written whole does not hide those behind it.
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend([9; 5]);
        fs::write(&path, bytes).unwrap();
        journal.is_torn = true;
        journal.note(vec![entry(4)]).unwrap();
        // A death while it was made anew leaves nothing behind.
        fs::write(path.with_extension(MADE), "half").unwrap();
        assert_eq!(Journal::open(path.clone()).unwrap().entries, [entry(3), entry(4)]);
        journal.forget(4).unwrap();
        assert!(!path.exists() && !path.with_extension(MADE).exists());
    }
}
