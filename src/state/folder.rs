//! The state folder: a lock that names its owner, and a log-structured store for epochs.
//!
//! ```text
//! <state>/lock         pid of the process that holds it (an advisory lock: it dies with the process)
//! <state>/store/       fjall: keyspace `blobs` (key → bytes), keyspace `record` (one key), keyspaces `rows-…` (one for each owner of rows)
//! <state>/dead_letter/ one NDJSON file per node
//! ```
//! A new store is made under a temporary name, synced and renamed, so a kill in the first instant leaves something that opens.
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use xxhash_rust::xxh3::xxh3_128;

use super::{Changes, Rows, StateError, Store, Stored};

const RECORD_KEY: &[u8] = b"epoch";
const ROWS: &str = "rows-";
/// Bytes of an owner's rows that the store gathers in memory before it writes them out.
const ROWS_MEMORY: u64 = 16 << 20;

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

    fn rows_of(&self, owner: &str) -> Result<Keyspace, StateError> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(ROWS_MEMORY);
        self.database.keyspace(&rows_name(owner), options).map_err(failed)
    }
}

/// The name of the keyspace that holds the rows of an owner, whose own name may be of any length.
fn rows_name(owner: &str) -> String {
    format!("{ROWS}{:032x}", xxh3_128(owner.as_bytes()))
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
    fn rows(&self, owner: &str) -> Result<Arc<dyn Rows>, StateError> {
        Ok(Arc::new(FolderRows(self.rows_of(owner)?)))
    }
    fn publish(&mut self, record: &[u8], changes: Changes) -> Result<(), StateError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for blob in changes.blobs {
            batch.insert(&self.blobs, blob.key, blob.value);
        }
        for key in changes.forget {
            batch.remove(&self.blobs, key);
        }
        for (owner, rows) in changes.rows {
            let keyspace = self.rows_of(&owner)?;
            for (key, value) in rows {
                match value {
                    Some(value) => batch.insert(&keyspace, &*key, &*value),
                    None => batch.remove(&keyspace, &*key),
                }
            }
        }
        batch.insert(&self.record, RECORD_KEY, record);
        batch.commit().map_err(failed)
    }
    fn keep_rows_of(&mut self, owners: &[String]) -> Result<(), StateError> {
        let kept: Vec<String> = owners.iter().map(|owner| rows_name(owner)).collect();
        for name in self.database.list_keyspace_names() {
            if name.starts_with(ROWS) && !kept.iter().any(|kept| **kept == *name) {
                let keyspace = self.database.keyspace(&name, KeyspaceCreateOptions::default).map_err(failed)?;
                self.database.delete_keyspace(keyspace).map_err(failed)?;
            }
        }
        Ok(())
    }
}

struct FolderRows(Keyspace);

impl Rows for FolderRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(key).map_err(failed)?.map(|value| value.to_vec()))
    }
    fn scan(&self, from: &[u8], before: &[u8], most: usize) -> Result<Vec<Stored>, StateError> {
        let row = |guard: fjall::Guard| guard.into_inner().map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(failed);
        self.0.range(from.to_vec()..before.to_vec()).take(most).map(row).collect()
    }
}
