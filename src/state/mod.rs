//! Durable state: a byte codec for what operators save, and the store that publishes one epoch at a time.
//!
//! An epoch is a set of blobs and one record that names them; both become durable together or not at all.
mod bytes;
mod folder;
mod memory;

pub use bytes::{Chunks, StateReader, StateWriter};
pub use folder::FolderStore;
pub use memory::MemoryStore;

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

/// Where epochs become durable.
pub trait Store: Send {
    /// The record of the last durable epoch.
    fn record(&self) -> Result<Option<Vec<u8>>, StateError>;
    /// A blob of a durable epoch.
    fn blob(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;
    /// Makes blobs and record durable in one step, and forgets what no later start will read.
    fn publish(&mut self, blobs: Vec<Blob>, record: &[u8], forget: &[Vec<u8>]) -> Result<(), StateError>;
}
