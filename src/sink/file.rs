//! `file`: one JSON object a line, each event once whatever happens.
//!
//! At every epoch the file is synced and its length is sealed; after a crash it is cut to that length and written on. A path that is no regular file (a pipe,
//! `/dev/null`) is a plain stream.
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{BindSink, COMMON, SinkFactory};
use crate::component::{Body, BoxFuture, Kind, Outage, OutputNames, Sink};
use crate::config::{Field, INPUTS, Options, Type};
use crate::diagnostic::Diagnostic;
use crate::state::{StateReader, StateWriter};

const FIELDS: &[Field] = &[Field::required("path", Type::Text, "the file; it is made where it does not exist")];

/// See the module.
pub static KIND: Kind<BindSink> =
    Kind { name: "file", summary: "appends lines to a file, each once", fields: FIELDS, outputs: OutputNames::Main, bind };

fn bind(options: &Options<'_>) -> Option<SinkFactory> {
    options.check(&[FIELDS, COMMON, INPUTS]);
    let (path, place) = options.path("path")?;
    if options.text("path")?.contains('{') {
        options.fault(
            Diagnostic::error(&place, "templated_path", "paths with fields are not supported yet")
                .help("route the events to one `file` sink each"),
        );
        return None;
    }
    Some(Box::new(move || Box::new(FileSink { path: path.clone(), file: None, length: 0, is_regular: true })))
}

struct FileSink {
    path: PathBuf,
    file: Option<File>,
    /// Bytes that are in the file, all of whole rows.
    length: u64,
    is_regular: bool,
}

impl FileSink {
    fn outage(&self, what: &str, e: &std::io::Error) -> Outage {
        let is_final = !self.is_regular && e.kind() == std::io::ErrorKind::BrokenPipe;
        Outage { message: format!("{}: {what}: {e}", self.path.display()), is_final }
    }

    fn open(&mut self, last: Option<u64>) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        self.is_regular = std::fs::metadata(&self.path).map_or(true, |m| m.is_file());
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        if self.is_regular {
            let present = file.metadata()?.len();
            self.length = last.map_or(present, |sealed| sealed.min(present));
            if present > self.length {
                file.set_len(self.length)?;
            }
            file.seek(SeekFrom::Start(self.length))?;
        }
        self.file = Some(file);
        Ok(())
    }

    fn write(&mut self, body: &mut Body) -> std::io::Result<()> {
        let Some(file) = &mut self.file else { return Err(std::io::Error::other("is not open")) };
        let from = if body.sent == 0 { 0 } else { body.ends[body.sent - 1] };
        if self.is_regular {
            if let Err(e) = file.write_all(&body.bytes[from..]) {
                // A full disk took part of it: none of it counts, and the next try writes it whole.
                file.set_len(self.length)?;
                file.seek(SeekFrom::Start(self.length))?;
                return Err(e);
            }
            self.length += (body.bytes.len() - from) as u64;
        } else {
            let mut at = from;
            while at < body.bytes.len() {
                match file.write(&body.bytes[at..]) {
                    Ok(n) => at += n,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => {
                        body.sent = body.ends.partition_point(|end| *end <= at);
                        return Err(e);
                    }
                }
            }
        }
        body.sent = body.rows();
        Ok(())
    }
}

/// Whether a file can be written, or made where it does not exist; nothing of it stays.
fn try_path(path: &Path) -> std::io::Result<String> {
    if path.exists() {
        OpenOptions::new().append(true).open(path)?;
        return Ok(format!("{} can be written", path.display()));
    }
    let folder = path.ancestors().skip(1).find(|a| a.exists() || a.as_os_str().is_empty()).unwrap_or(Path::new("/"));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let name = folder.join(format!(".tripline-{}", std::process::id()));
    File::create_new(&name)?;
    std::fs::remove_file(&name)?;
    Ok(format!("{} can be made", path.display()))
}

impl Sink for FileSink {
    fn connect(&mut self, last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        let last = last.and_then(|l| StateReader::new(l).u64().ok());
        Box::pin(async move { self.open(last).map_err(|e| self.outage("cannot be opened", &e)) })
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<String, Outage>> {
        Box::pin(async { try_path(&self.path).map_err(|e| self.outage("cannot be written", &e)) })
    }

    fn send<'a>(&'a mut self, body: &'a mut Body) -> BoxFuture<'a, Result<(), Outage>> {
        Box::pin(async move { self.write(body).map_err(|e| self.outage("cannot be written", &e)) })
    }

    fn seal(&mut self) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async move {
            if self.is_regular
                && let Some(file) = &self.file
            {
                file.sync_data().map_err(|e| self.outage("cannot be synced", &e))?;
            }
            let mut out = StateWriter::default();
            out.u64(self.length);
            Ok(if self.is_regular { out.bytes } else { Vec::new() })
        })
    }
}
