//! The record of an epoch: positions, which blobs hold the operators' state, and what the sinks sealed.
use std::collections::HashSet;

use super::disk_queue::Bounds;
use crate::state::{Blob, StateError, StateReader, StateWriter};

/// Version of the record's form.
const VERSION: u32 = 7;

/// What a sink has sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// What it said itself.
    pub state: Vec<u8>,
    /// Length of its dead letter.
    pub dead_letter: u64,
    /// How far its disk buffer was written and delivered, if it has one.
    pub buffer: Option<Bounds>,
    /// It is seen outside only once it is released.
    pub is_held: bool,
}

impl Sealed {
    fn save(&self, out: &mut StateWriter) {
        out.bytes(&self.state);
        out.u64(self.dead_letter);
        out.u8(u8::from(self.buffer.is_some()));
        if let Some(bounds) = &self.buffer {
            bounds.save(out);
        }
        out.u8(u8::from(self.is_held));
    }

    fn load(from: &mut StateReader<'_>) -> Result<Sealed, StateError> {
        let (state, dead_letter) = (from.bytes()?.to_vec(), from.u64()?);
        let buffer = if from.u8()? == 1 { Some(Bounds::load(from)?) } else { None };
        Ok(Sealed { state, dead_letter, buffer, is_held: from.u8()? == 1 })
    }
}

/// What one unit's state is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitState {
    /// Rule and shard.
    pub name: String,
    /// What a change of makes the state void.
    pub fingerprint: String,
    /// The first epoch of this state: rows that it keeps in the store are told from those of an earlier one by it.
    pub since: u64,
    /// Keys of its blobs, oldest first.
    pub blobs: Vec<Vec<u8>>,
}

impl UnitState {
    /// Whom the rows that it keeps in the store belong to.
    pub fn owner(&self) -> String {
        format!("{}@{:016x}", self.name, self.since)
    }
}

/// An epoch as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub epoch: u64,
    /// Position of each source, by name.
    pub positions: Vec<(String, Vec<u8>)>,
    /// State of each unit.
    pub units: Vec<UnitState>,
    /// What each sink sealed, by name.
    pub sinks: Vec<(String, Sealed)>,
    /// Content hashes of tables and lists, by name.
    pub contents: Vec<(String, u128)>,
    /// Of an epoch that is prepared: the record before it, which counts if a sink turns out not to have released what it holds.
    pub before: Option<Box<Record>>,
}

impl Record {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = StateWriter::default();
        out.u32(VERSION);
        out.u64(self.epoch);
        out.u32(self.positions.len() as u32);
        for (name, position) in &self.positions {
            out.bytes(name.as_bytes());
            out.bytes(position);
        }
        out.u32(self.sinks.len() as u32);
        for (name, sealed) in &self.sinks {
            out.bytes(name.as_bytes());
            sealed.save(&mut out);
        }
        out.u32(self.units.len() as u32);
        for unit in &self.units {
            out.bytes(unit.name.as_bytes());
            out.bytes(unit.fingerprint.as_bytes());
            out.u64(unit.since);
            out.u32(unit.blobs.len() as u32);
            unit.blobs.iter().for_each(|b| out.bytes(b));
        }
        out.u32(self.contents.len() as u32);
        for (name, hash) in &self.contents {
            out.bytes(name.as_bytes());
            out.u128(*hash);
        }
        out.u8(u8::from(self.before.is_some()));
        if let Some(before) = &self.before {
            out.bytes(&before.to_bytes());
        }
        out.bytes
    }

    /// From bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Record, StateError> {
        let mut from = StateReader::new(bytes);
        let version = from.u32()?;
        if version != VERSION {
            return Err(StateError(format!(
                "the state was written in form {version}, and this program reads form {VERSION}: start with --fresh, or with the program that wrote it"
            )));
        }
        let mut record = Record { epoch: from.u64()?, ..Record::default() };
        for _ in 0..from.u32()? {
            record.positions.push((from.text()?.to_owned(), from.bytes()?.to_vec()));
        }
        for _ in 0..from.u32()? {
            record.sinks.push((from.text()?.to_owned(), Sealed::load(&mut from)?));
        }
        for _ in 0..from.u32()? {
            let (name, fingerprint) = (from.text()?.to_owned(), from.text()?.to_owned());
            let mut unit = UnitState { name, fingerprint, since: from.u64()?, blobs: Vec::new() };
            for _ in 0..from.u32()? {
                unit.blobs.push(from.bytes()?.to_vec());
            }
            record.units.push(unit);
        }
        for _ in 0..from.u32()? {
            record.contents.push((from.text()?.to_owned(), from.u128()?));
        }
        if from.u8()? == 1 {
            record.before = Some(Box::new(Record::from_bytes(from.bytes()?)?));
        }
        Ok(record)
    }

    /// The blobs of its units that another record does not name.
    pub fn blobs_beside(&self, other: &Record) -> Vec<Vec<u8>> {
        let all = |record: &Record| record.units.iter().flat_map(|u| u.blobs.clone()).collect::<HashSet<_>>();
        all(self).difference(&all(other)).cloned().collect()
    }

    /// Takes a unit's pieces of an epoch in: they follow its older ones, or replace them. Returns the blobs to write, and adds those to forget.
    pub fn absorb(&mut self, unit: usize, epoch: u64, full: bool, pieces: Vec<Vec<u8>>, forget: &mut Vec<Vec<u8>>) -> Vec<Blob> {
        let state = &mut self.units[unit];
        if full {
            forget.append(&mut state.blobs);
        }
        let mut out = Vec::with_capacity(pieces.len());
        for (number, value) in pieces.into_iter().enumerate() {
            let key = format!("{}/{epoch:016x}/{number:06x}", state.name).into_bytes();
            state.blobs.push(key.clone());
            out.push(Blob { key, value });
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let unit = UnitState { name: "r/0".into(), fingerprint: "f".into(), since: 3, blobs: vec![b"k".to_vec()] };
        let mut record = Record {
            epoch: 7,
            positions: vec![("a".into(), vec![1])],
            units: vec![unit],
            sinks: vec![
                ("s".into(), Sealed { state: vec![1], dead_letter: 3, buffer: Some(Bounds::default()), is_held: true }),
                ("t".into(), Sealed::default()),
            ],
            contents: vec![("t".into(), 9)],
            before: None,
        };
        record.before = Some(Box::new(Record { epoch: 6, ..record.clone() }));
        assert_eq!(Record::from_bytes(&record.to_bytes()).unwrap(), record);
        let mut forget = Vec::new();
        assert_eq!(record.absorb(0, 8, true, vec![vec![1], vec![2]], &mut forget).len(), 2);
        assert_eq!(forget, [b"k".to_vec()]);
        assert!(Record::from_bytes(&[9, 0, 0, 0]).unwrap_err().0.contains("form 9"));
    }
}
