//! ArcSight map files: rows of conditions (getters) and assignments (setters), first matching row wins.
//!
//! A file is read ([`read()`]), its cells parsed and checked ([`rows`], [`lint`]), and compiled ([`compiled`]) so that an event costs nearly the same with ten
//! rows as with ten thousand: exact cells in hashes on the joined key, patterns behind their literals, ranges and networks in interval tables.
pub mod compiled;
pub mod exact;
pub mod functions;
pub mod interval;
pub mod lint;
pub mod read;
pub mod regex_column;
pub mod rows;
pub mod shape;
#[cfg(test)]
mod tests;

pub use compiled::{CompiledMap, Scratch};
pub use read::read;
pub use rows::{Getter, GetterKind, MapFile, Setter, SetterKind};
