//! Lists that events write: entries found by their key, with columns that are merged, an end of life and a bound.
//!
//! A list means one thing only: what its writes, taken in their order, have made of it. Whoever reads it holds a copy that was given the same writes
//! ([`List`]), so readers need no locks and see exactly what was ordered before them.
mod cell;
mod entries;
mod history;
mod layer;
mod schedule;
mod shelf;
mod state;

use std::sync::{Arc, RwLock};

use crate::table::Table;

pub use cell::{Cell, Merge};
pub use entries::{Entry, List, Wrote};
pub use schedule::Schedule;
pub use shelf::Mark;

/// A copy that several readers share, as it stands when they look.
pub type SharedList = RwLock<List>;

/// Which entry goes where there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evict {
    /// The one that was made first.
    Oldest,
    /// The one whose last write is longest ago.
    Lru,
    /// The new one.
    Reject,
}

/// Where entries are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory; they are saved at barriers.
    Memory,
    /// In rows of the store; what changed is in memory until its epoch is durable.
    Disk,
}

/// What a pipeline file says of a list.
#[derive(Debug)]
pub struct ListSpec {
    /// Its name.
    pub name: String,
    /// Names of the key's parts.
    pub key: Vec<String>,
    /// The tenant's field, which is the first part of the key where every tenant has a list of its own.
    pub tenant: Option<String>,
    /// Names of the other columns, and how a further value joins the one before.
    pub columns: Vec<(String, Merge)>,
    /// How long an entry lives, in nanoseconds.
    pub ttl: Option<i64>,
    /// Whether every write lets it live that long anew.
    pub is_sliding: bool,
    /// Entries.
    pub capacity: usize,
    /// Where they are held.
    pub storage: Storage,
    /// What happens at that bound.
    pub evict: Evict,
    /// Moments that are the end of all entries of before, except those of the file.
    pub clear: Option<Schedule>,
    /// Whether the end of an entry becomes an event.
    pub expiry_event: bool,
    /// Entries that a file holds: they are there from the start, and are never evicted.
    pub base: Option<Arc<Table>>,
}

impl ListSpec {
    /// The number of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(column, _)| column == name)
    }

    /// Parts of a key, the tenant among them.
    pub fn key_parts(&self) -> usize {
        self.key.len() + usize::from(self.tenant.is_some())
    }

    /// Names of the parts of a key, the tenant's field among them.
    pub fn key_names(&self) -> impl Iterator<Item = &String> {
        self.tenant.iter().chain(&self.key)
    }

    /// What a change of makes the list start from its file: one line.
    pub fn fingerprint(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|(name, merge)| format!("{name} {merge:?}").to_lowercase()).collect();
        let list = format!("{} [{}] per tenant {} {{{}}}", self.name, self.key.join(", "), self.tenant.is_some(), columns.join(", "));
        match self.storage {
            Storage::Memory => list,
            // The rows of a list on the disk are not gone through when a schedule has come since.
            Storage::Disk => format!("{list} on the disk, cleared at {:?}", self.clear),
        }
    }

    /// Whether the list's file holds a key.
    fn is_in_file(&self, key: &[u8]) -> bool {
        self.base.as_ref().is_some_and(|table| table.find(key).is_some())
    }
}
