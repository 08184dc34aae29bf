//! One file of a `file` source: who it is, how far it was read, and what became of it.
//!
//! A file is known by the hash of its first line (at most 1 KiB) and an ordinal among files that begin alike; device and inode are hints, for inodes are used again. A renamed file
//! keeps its identity; a truncated one starts a new generation of its partition.
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::file_content::Content;
use crate::event::Origin;
use crate::state::{StateError, StateReader, StateWriter};

/// Bytes of a first line that tell files apart.
pub(super) const FIRST_LINE_MAX: usize = 1024;
/// Generations follow each other in one space of positions.
const GENERATION_SHIFT: u32 = 44;

/// What is remembered of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Path, relative to the pipeline's folder: the partition's name.
    pub(super) name: String,
    /// Hash of the first line, and how many bytes it was taken over.
    pub(super) first_line: (u128, u32),
    /// Number among files that begin alike.
    pub(super) ordinal: u32,
    /// Device and inode.
    pub(super) inode: (u64, u64),
    /// First byte that was not given out.
    pub(super) offset: u64,
    /// Number of the generation in its partition.
    pub(super) generation: u32,
    /// The bytes at the offset belong to a line that was cut.
    pub(super) skipping: bool,
    /// It was packed, and all of it was read.
    pub(super) is_done: bool,
}

impl Known {
    /// Where its generation begins in the positions of its partition.
    pub(super) fn base(&self) -> u64 {
        u64::from(self.generation) << GENERATION_SHIFT
    }

    pub(super) fn save(&self, out: &mut StateWriter) {
        out.bytes(self.name.as_bytes());
        out.u128(self.first_line.0);
        out.u32(self.first_line.1);
        out.u32(self.ordinal);
        out.u64(self.inode.0);
        out.u64(self.inode.1);
        out.u64(self.offset);
        out.u32(self.generation);
        out.u8(u8::from(self.skipping) | u8::from(self.is_done) << 1);
    }

    pub(super) fn load(from: &mut StateReader<'_>) -> Result<Known, StateError> {
        let mut known = Known {
            name: from.text()?.to_owned(),
            first_line: (from.u128()?, from.u32()?),
            ordinal: from.u32()?,
            inode: (from.u64()?, from.u64()?),
            offset: from.u64()?,
            generation: from.u32()?,
            skipping: false,
            is_done: false,
        };
        let flags = from.u8()?;
        (known.skipping, known.is_done) = (flags & 1 != 0, flags & 2 != 0);
        Ok(known)
    }
}

/// An open file.
pub(super) struct Tracked {
    pub(super) path: PathBuf,
    pub(super) content: Content,
    pub(super) known: Known,
    pub(super) origin: Arc<Origin>,
    /// Bytes behind the offset that were read and belong to no whole line yet.
    pub(super) carry: Vec<u8>,
    /// The carry holds lines that were whole when the batch was full.
    pub(super) has_whole_lines: bool,
    /// Bytes to read at once, so that a batch is just full.
    pub(super) want: usize,
    /// Nothing was there at the last look, since then.
    pub(super) silent_since: Option<i64>,
    pub(super) is_idle: bool,
    pub(super) has_ended: bool,
    /// What is packed in it cannot be unpacked any further.
    pub(super) is_broken: bool,
}

impl Tracked {
    /// Position of the byte at the offset.
    pub(super) fn base(&self) -> u64 {
        self.known.base() | self.known.offset
    }

    /// Whether the path leads to another file now, or the file has become shorter than what was read.
    pub(super) fn fate(&self) -> Fate {
        let own_len = self.content.file().metadata().map(|m| m.len());
        let read = self.known.offset + self.carry.len() as u64;
        if !self.content.is_packed() && (own_len.as_ref().is_ok_and(|len| *len < read) || self.begins_anew()) {
            return Fate::Truncated;
        }
        match std::fs::metadata(&self.path) {
            Ok(meta) if (meta.dev(), meta.ino()) != self.known.inode => Fate::Replaced,
            Ok(_) => Fate::Same,
            Err(_) => Fate::Gone,
        }
    }
}

impl Tracked {
    /// Whether the file does not begin any more as it did: it was truncated, and may have grown beyond what was read since.
    pub(super) fn begins_anew(&self) -> bool {
        let mut head = [0; FIRST_LINE_MAX];
        let read = self.content.file().read_at(&mut head, 0);
        !self.content.is_packed() && read.is_ok_and(|read| !begins_as(&head[..read], &self.known))
    }
}

/// See [`Tracked::fate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Same,
    Truncated,
    Replaced,
    Gone,
}

/// The hash of the first line of a content that begins with `head`: none while that is neither whole nor long enough, unless it will not grow.
pub(super) fn first_line(head: &[u8], is_final: bool) -> Option<(u128, u32)> {
    let len = match memchr::memchr(b'\n', head) {
        Some(end) => end + 1,
        None if head.len() == FIRST_LINE_MAX || (is_final && !head.is_empty()) => head.len(),
        None => return None,
    };
    Some((xxh3_128(&head[..len]), len as u32))
}

/// Whether a content that begins with `head` begins as a known one did.
pub(super) fn begins_as(head: &[u8], known: &Known) -> bool {
    head.get(..known.first_line.1 as usize).is_some_and(|line| xxh3_128(line) == known.first_line.0)
}

/// Device and inode of an open file.
pub(super) fn inode(file: &File) -> std::io::Result<(u64, u64)> {
    let meta = file.metadata()?;
    Ok((meta.dev(), meta.ino()))
}

/// What goes into event ids.
pub(super) fn identity(installation: &[u8], known: &Known) -> Vec<u8> {
    let mut out = installation.to_vec();
    out.extend_from_slice(&known.first_line.0.to_le_bytes());
    out.extend_from_slice(&known.ordinal.to_le_bytes());
    out
}

/// A path as the partition's name.
pub(super) fn name_of(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}
