//! `file`: one JSON object a line, each event once whatever happens.
//!
//! At every epoch the file is synced and its length is sealed; after a crash it is cut to that length and written on. A path that is no regular file (a pipe,
//! `/dev/null`) is a plain stream.
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{BindSink, BoundSink, COMMON};
use crate::component::sink::{Outcome, Sent};
use crate::component::{Body, BoxFuture, Kind, Outage, OutputNames, Sink};
use crate::config::{Field, INPUTS, Options, Type};
use crate::diagnostic::Diagnostic;
use crate::state::{StateReader, StateWriter};

const FIELDS: &[Field] = &[Field::required("path", Type::Text, "the file; it is made where it does not exist")];

/// See the module.
pub static KIND: Kind<BindSink> =
    Kind { name: "file", summary: "appends lines to a file, each once", fields: FIELDS, outputs: OutputNames::Main, bind };

fn bind(options: &Options<'_>) -> Option<BoundSink> {
    options.check(&[FIELDS, COMMON, INPUTS]);
    let (path, place) = options.path("path")?;
    if options.text("path")?.contains('{') {
        options.fault(
            Diagnostic::error(&place, "templated_path", "paths with fields are not supported yet")
                .help("route the events to one `file` sink each"),
        );
        return None;
    }
    Some(BoundSink::new(move || Box::new(FileSink { path: path.clone(), open: Mutex::default() })))
}

struct FileSink {
    path: PathBuf,
    open: Mutex<OpenFile>,
}

/// The file, once it is open.
#[derive(Debug, Default)]
struct OpenFile {
    file: Option<File>,
    /// Bytes that are in the file, all of whole rows.
    length: u64,
    is_stream: bool,
}

impl OpenFile {
    fn open(path: &Path, last: Option<u64>) -> std::io::Result<OpenFile> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let is_stream = std::fs::metadata(path).is_ok_and(|m| !m.is_file());
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let mut length = 0;
        if !is_stream {
            let present = file.metadata()?.len();
            length = last.map_or(present, |sealed| sealed.min(present));
            if present > length {
                file.set_len(length)?;
            }
            file.seek(SeekFrom::Start(length))?;
        }
        Ok(OpenFile { file: Some(file), length, is_stream })
    }

    /// Writes a body whole, or nothing of it: a stream says how many bytes it took.
    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, std::io::Error)> {
        let Some(file) = &mut self.file else { return Err((0, std::io::Error::other("is not open"))) };
        if self.is_stream {
            let mut at = 0;
            while at < bytes.len() {
                match file.write(&bytes[at..]) {
                    Ok(n) => at += n,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => return Err((at, e)),
                }
            }
            return Ok(());
        }
        if let Err(e) = file.write_all(bytes) {
            // A full disk took part of it: none of it counts, and the next try writes it whole.
            file.set_len(self.length).and_then(|()| file.seek(SeekFrom::Start(self.length))).map_err(|e| (0, e))?;
            return Err((0, e));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

impl FileSink {
    fn outage(&self, what: &str, e: &std::io::Error, is_final: bool) -> Outage {
        Outage { message: format!("{}: {what}: {e}", self.path.display()), is_final }
    }

    fn lock(&self) -> MutexGuard<'_, OpenFile> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn connect(&self, last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        let last = last.and_then(|l| StateReader::new(l).u64().ok());
        Box::pin(async move {
            *self.lock() = OpenFile::open(&self.path, last).map_err(|e| self.outage("cannot be opened", &e, false))?;
            Ok(())
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, Outage>> {
        Box::pin(async { try_path(&self.path).map_err(|e| self.outage("cannot be written", &e, false)) })
    }

    fn send<'a>(&'a self, body: &'a Body) -> BoxFuture<'a, Result<Sent, Outage>> {
        Box::pin(async move {
            let mut open = self.lock();
            let Err((taken, e)) = open.write(&body.bytes) else { return Ok(Sent::All) };
            let outage = self.outage("cannot be written", &e, open.is_stream && e.kind() == std::io::ErrorKind::BrokenPipe);
            let there = body.ends.partition_point(|end| *end <= taken);
            if there == 0 || outage.is_final {
                return Err(outage);
            }
            let outcome = |row| if row < there { Outcome::Accepted } else { Outcome::Retry };
            Ok(Sent::Rows((0..body.rows()).map(outcome).collect(), Some(outage)))
        })
    }

    fn seal(&self) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async move {
            let open = self.lock();
            if open.is_stream {
                return Ok(Vec::new());
            }
            if let Some(file) = &open.file {
                file.sync_data().map_err(|e| self.outage("cannot be synced", &e, false))?;
            }
            let mut out = StateWriter::default();
            out.u64(open.length);
            Ok(out.bytes)
        })
    }
}
