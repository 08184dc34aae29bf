//! Durable state: a byte codec for what operators save, and the store that publishes one epoch at a time.
//!
//! An epoch is a set of blobs and one record that names them; both become durable together or not at all.
mod bytes;
mod folder;
mod memory;
mod rows;

pub use bytes::{Chunks, StateReader, StateWriter};
pub use folder::FolderStore;
pub use memory::MemoryStore;
pub use rows::{OwnRows, Row, Rows, Stored};

use std::sync::Arc;

/// Why state could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateError(pub String);

impl std::fmt::Display for StateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StateError {}

/// One named blob of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its name, unique for ever.
    pub key: Vec<u8>,
    /// Its content.
    pub value: Vec<u8>,
}

/// What an epoch changes in a store beside its record.
#[derive(Debug, Default)]
pub struct Changes {
    /// New blobs.
    pub blobs: Vec<Blob>,
    /// Rows by their owner, in the order in which they are to be written.
    pub rows: Vec<(String, Vec<Row>)>,
    /// Keys of blobs that no later start will read.
    pub forget: Vec<Vec<u8>>,
}

/// Where epochs become durable.
pub trait Store: Send {
    /// The record of the last durable epoch.
    fn record(&self) -> Result<Option<Vec<u8>>, StateError>;
    /// A blob of a durable epoch.
    fn blob(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;
    /// The rows of an owner: there are none at first.
    fn rows(&self, owner: &str) -> Result<Arc<dyn Rows>, StateError>;
    /// Makes a record and what it changes durable in one step.
    fn publish(&mut self, record: &[u8], changes: Changes) -> Result<(), StateError>;
    /// Forgets the rows of all owners but some.
    fn keep_rows_of(&mut self, owners: &[String]) -> Result<(), StateError>;
}
