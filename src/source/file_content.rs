//! What a file holds: its own bytes, or those that gzip or zstd packed into it. A packed file is read whole, once: it does not grow.
use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};

use flate2::bufread::MultiGzDecoder;

/// How the bytes of a file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// As its first bytes say.
    Auto,
    /// Not at all.
    None,
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 8878, one frame or several. Windows of more than 128 MiB are refused.
    Zstd,
}

impl Compression {
    /// By its word in a pipeline file.
    pub(super) fn named(word: &str) -> Compression {
        match word {
            "none" => Compression::None,
            "gzip" => Compression::Gzip,
            "zstd" => Compression::Zstd,
            _ => Compression::Auto,
        }
    }

    /// What it is for this file.
    fn of(self, mut file: &File) -> std::io::Result<Compression> {
        if self != Compression::Auto {
            return Ok(self);
        }
        let mut magic = Vec::with_capacity(4);
        file.seek(SeekFrom::Start(0))?;
        file.take(4).read_to_end(&mut magic)?;
        Ok(match magic.as_slice() {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
            _ => Compression::None,
        })
    }
}

/// See the module.
pub(super) struct Content {
    file: File,
    compression: Compression,
    /// What unpacks, where something is packed.
    unpacked: Option<Box<dyn Read + Send>>,
}

impl Content {
    /// The content of a file from its beginning on.
    pub(super) fn open(file: File, compression: Compression) -> std::io::Result<Content> {
        let compression = compression.of(&file)?;
        let mut content = Content { file, compression, unpacked: None };
        content.seek(0)?;
        Ok(content)
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether it is unpacked while it is read.
    pub(super) fn is_packed(&self) -> bool {
        self.compression != Compression::None
    }

    /// Goes to a byte of the content.
    pub(super) fn seek(&mut self, offset: u64) -> std::io::Result<()> {
        if !self.is_packed() {
            return self.file.seek(SeekFrom::Start(offset)).map(drop);
        }
        self.unpacked = None;
        self.file.seek(SeekFrom::Start(0))?;
        let packed = BufReader::new(self.file.try_clone()?);
        let mut unpacked: Box<dyn Read + Send> = match self.compression {
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(packed)?),
            _ => Box::new(MultiGzDecoder::new(packed)),
        };
        std::io::copy(&mut unpacked.by_ref().take(offset), &mut std::io::sink())?;
        self.unpacked = Some(unpacked);
        Ok(())
    }

    /// The first bytes. Goes to the beginning.
    pub(super) fn head(&mut self, most: usize) -> std::io::Result<Vec<u8>> {
        self.seek(0)?;
        let mut head = Vec::with_capacity(most.min(64 * 1024));
        self.by_ref().take(most as u64).read_to_end(&mut head)?;
        self.seek(0)?;
        Ok(head)
    }
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.unpacked {
            Some(unpacked) => unpacked.read(into),
            None => self.file.read(into),
        }
    }
}
