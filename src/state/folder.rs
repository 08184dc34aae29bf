//! The state folder: a lock that names its owner, and a log-structured store for epochs.
//!
//! ```text
//! <state>/lock         pid of the process that holds it (an advisory lock: it dies with the process)
//! <state>/store/       fjall: keyspace `blobs` (key → bytes), keyspace `record` (one key)
//! <state>/dead_letter/ one NDJSON file per node
//! ```
//! A new store is made under a temporary name, synced and renamed, so a kill in the first instant leaves something that opens.
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Blob, StateError, Store};

const RECORD_KEY: &[u8] = b"epoch";

/// Epochs in a folder, held by this process alone.
pub struct FolderStore {
    path: PathBuf,
    database: Database,
    blobs: Keyspace,
    record: Keyspace,
    _lock: File,
}

impl FolderStore {
    /// Opens a folder or makes it. `fresh` forgets what is in it.
    pub fn open(path: &Path, fresh: bool) -> Result<FolderStore, StateError> {
        let failed = |what: &str, e: &dyn std::fmt::Display| StateError(format!("state folder {}: {what}: {e}", path.display()));
        fs::create_dir_all(path).map_err(|e| failed("cannot be made", &e))?;
        let lock = lock(path)?;
        let store = path.join("store");
        if fresh && store.exists() {
            fs::remove_dir_all(&store).map_err(|e| failed("cannot be emptied", &e))?;
        }
        let making = path.join("store.new");
        if making.exists() {
            fs::remove_dir_all(&making).map_err(|e| failed("cannot be cleaned", &e))?;
        }
        if !store.exists() {
            drop(Self::open_database(&making).map_err(|e| failed("cannot be written", &e))?);
            fs::rename(&making, &store).map_err(|e| failed("cannot be renamed", &e))?;
            File::open(path).and_then(|f| f.sync_all()).map_err(|e| failed("cannot be synced", &e))?;
        }
        let (database, blobs, record) = Self::open_database(&store).map_err(|e| failed("cannot be opened", &e))?;
        Ok(FolderStore { path: path.to_owned(), database, blobs, record, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_database(path: &Path) -> fjall::Result<(Database, Keyspace, Keyspace)> {
        let database = Database::builder(path).worker_threads(1).open()?;
        let blobs = database.keyspace("blobs", KeyspaceCreateOptions::default)?;
        let record = database.keyspace("record", KeyspaceCreateOptions::default)?;
        database.persist(PersistMode::SyncAll)?;
        Ok((database, blobs, record))
    }
}

fn lock(path: &Path) -> Result<File, StateError> {
    let name = path.join("lock");
    let failed = |e: std::io::Error| StateError(format!("state folder {}: cannot be locked: {e}", path.display()));
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            return Err(StateError(format!("state folder {} is in use by pid {}", path.display(), pid.trim())));
        }
        Err(fs::TryLockError::Error(e)) => return Err(failed(e)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    write!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

fn failed(e: fjall::Error) -> StateError {
    StateError(format!("state store: {e}"))
}

impl Store for FolderStore {
    fn record(&self) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.record.get(RECORD_KEY).map_err(failed)?.map(|v| v.to_vec()))
    }
    fn blob(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.blobs.get(key).map_err(failed)?.map(|v| v.to_vec()))
    }
    fn publish(&mut self, blobs: Vec<Blob>, record: &[u8], forget: &[Vec<u8>]) -> Result<(), StateError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for blob in blobs {
            batch.insert(&self.blobs, blob.key, blob.value);
        }
        for key in forget {
            batch.remove(&self.blobs, key.as_slice());
        }
        batch.insert(&self.record, RECORD_KEY, record);
        batch.commit().map_err(failed)
    }
}
