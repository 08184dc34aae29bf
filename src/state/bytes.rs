//! Little-endian fixed integers and length-prefixed bytes: what operators write at a barrier.
use super::{Row, StateError};
use crate::limits::STATE_BLOB_BYTES;

/// Appends values to a blob.
#[derive(Debug, Default, Clone)]
pub struct StateWriter {
    /// What was written.
    pub bytes: Vec<u8>,
}

impl StateWriter {
    /// One byte.
    pub fn u8(&mut self, v: u8) {
        self.bytes.push(v);
    }
    /// Four bytes.
    pub fn u32(&mut self, v: u32) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }
    /// Eight bytes.
    pub fn u64(&mut self, v: u64) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }
    /// Eight bytes, signed.
    pub fn i64(&mut self, v: i64) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }
    /// Sixteen bytes.
    pub fn u128(&mut self, v: u128) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }
    /// A length and what `write` appends.
    pub fn bytes_with<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let at = self.bytes.len();
        self.u32(0);
        let out = write(&mut self.bytes);
        let len = (self.bytes.len() - at - 4) as u32;
        self.bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
        out
    }
    /// A length and that many bytes.
    pub fn bytes(&mut self, v: &[u8]) {
        self.u32(v.len() as u32);
        self.bytes.extend_from_slice(v);
    }
}

/// What one operator writes at a barrier: pieces of a bounded size, each of one kind.
#[derive(Debug, Default)]
pub struct Chunks {
    /// The pieces, each beginning with its kind.
    pub pieces: Vec<StateWriter>,
    /// Rows that are kept in the store itself: what changed of them since the last barrier.
    pub rows: Vec<Row>,
}

impl Chunks {
    /// Starts a piece of a kind.
    pub fn begin(&mut self, kind: u8) {
        let mut piece = StateWriter::default();
        piece.u8(kind);
        self.pieces.push(piece);
    }

    /// Where the next record goes: a further piece of the same kind when the present one is full.
    #[inline]
    pub fn record(&mut self) -> &mut StateWriter {
        let full = self.pieces.last().is_none_or(|p| p.bytes.len() >= STATE_BLOB_BYTES);
        if full {
            let kind = self.pieces.last().and_then(|p| p.bytes.first().copied()).unwrap_or_default();
            self.begin(kind);
        }
        let last = self.pieces.len() - 1;
        &mut self.pieces[last]
    }
}

/// Reads values in the order in which they were written.
#[derive(Debug, Clone)]
pub struct StateReader<'a> {
    rest: &'a [u8],
}

impl<'a> StateReader<'a> {
    /// Reads from the start.
    pub fn new(bytes: &'a [u8]) -> StateReader<'a> {
        StateReader { rest: bytes }
    }

    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Some bytes of a fixed number.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(short)?;
        self.rest = rest;
        Ok(*head)
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, StateError> {
        Ok(u8::from_le_bytes(self.array()?))
    }
    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, StateError> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64, StateError> {
        Ok(i64::from_le_bytes(self.array()?))
    }
    /// Sixteen bytes.
    pub fn u128(&mut self) -> Result<u128, StateError> {
        Ok(u128::from_le_bytes(self.array()?))
    }
    /// A length and that many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], StateError> {
        let len = self.u32()? as usize;
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(short)?;
        self.rest = rest;
        Ok(head)
    }
    /// Bytes that must be UTF-8.
    pub fn text(&mut self) -> Result<&'a str, StateError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| StateError("state holds text that is not UTF-8".into()))
    }
}

fn short() -> StateError {
    StateError("state ends in the middle of a value".into())
}
