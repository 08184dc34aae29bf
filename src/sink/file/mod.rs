//! `file`: one JSON object a line, each event once whatever happens.
//!
//! At every epoch files are synced and their lengths are sealed; after a crash they are cut to those and written on. Where fields decide the path, or full files
//! get another name, a [`journal`] beside them says what happened since. A path that is no regular file (a pipe, `/dev/null`) is a plain stream.
//! Packed files consist of one gzip member or zstd frame for each body, so that they can be cut, too.
mod files;
mod journal;
mod options;

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::files::Files;
pub use self::options::KIND;
use self::options::Settings;
use crate::component::sink::{OutRow, Outcome, Sent, Then};
use crate::component::{Body, BoxFuture, Outage, Sink};
use crate::expr::eval::BatchRow;
use crate::state::{StateReader, StateWriter};

/// Bytes of a field in a path: file systems take 255 for a name.
const FIELD_BYTES_MAX: usize = 100;

/// Before the path of a row whose text stands behind it; then comes the event, for the dead letter.
const TEXT: char = '\0';

/// See the module.
struct FileSink {
    settings: Settings,
    files: Mutex<Files>,
}

/// Rows of a body that go to one path.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    rows: Vec<usize>,
}

impl FileSink {
    fn new(settings: Settings) -> FileSink {
        FileSink { files: Mutex::new(Files::new(settings.clone())), settings }
    }

    fn outage(&self, what: &str, e: &Error, then: Then) -> Outage {
        Outage { message: format!("{}: {what}: {e}", self.settings.shown()), then }
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A body of rows that all go to one path.
    fn send_to(&self, path: &Path, body: &Body) -> Result<Sent, Outage> {
        let mut files = self.lock();
        let packed = self.settings.compression.pack(&body.bytes).map_err(|e| self.outage("cannot be packed", &e, Then::Retry))?;
        let Err((taken, e)) = files.write(path, &packed) else { return Ok(Sent::All) };
        let is_gone = files.is_stream(path) && e.kind() == ErrorKind::BrokenPipe;
        let outage = self.outage("cannot be written", &e, if is_gone { Then::End } else { Then::Retry });
        let there = if self.settings.compression.is_none() { body.ends.partition_point(|end| *end <= taken) } else { 0 };
        if there == 0 || outage.then == Then::End {
            return Err(outage);
        }
        let outcome = |row| if row < there { Outcome::Accepted } else { Outcome::Retry };
        Ok(Sent::Rows((0..body.rows()).map(outcome).collect(), Some(outage)))
    }

    /// A body whose rows say where they go.
    fn send_by_row(&self, body: &Body) -> Result<Sent, Outage> {
        let mut parts: Vec<(&str, Part)> = Vec::new();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for row in 0..body.rows() {
            let mut from = StateReader::new(&body.bytes[body.range(row..row + 1)]);
            let path = from.text().map_err(|e| Outage::new(e.0))?;
            let (path, row_bytes) = match path.strip_prefix(TEXT) {
                Some(path) => (path, from.bytes().map_err(|e| Outage::new(e.0))?),
                None => (path, from.rest()),
            };
            let number = *numbers.entry(path).or_insert_with(|| {
                parts.push((path, Part::default()));
                parts.len() - 1
            });
            parts[number].1.bytes.extend_from_slice(row_bytes);
            parts[number].1.rows.push(row);
        }
        let (mut outcomes, mut trouble) = (vec![Outcome::Accepted; body.rows()], None);
        let mut files = self.lock();
        let parts: Vec<(&str, PathBuf, Part)> =
            parts.into_iter().map(|(name, part)| (name, self.settings.folder.join(name), part)).collect();
        files.announce(parts.iter().map(|(_, path, _)| path.as_path())).map_err(|e| self.outage("cannot be begun", &e, Then::Retry))?;
        for (name, path, part) in parts {
            let packed = self.settings.compression.pack(&part.bytes).map_err(|e| self.outage("cannot be packed", &e, Then::Retry))?;
            let Err((_, e)) = files.write(&path, &packed) else { continue };
            let outcome = if is_for_good(&e) {
                Outcome::Rejected { status: None, reason: format!("{name}: {e}") }
            } else {
                trouble = Some(self.outage("cannot be written", &e, Then::Retry));
                Outcome::Retry
            };
            part.rows.iter().for_each(|row| outcomes[*row] = outcome.clone());
        }
        Ok(if outcomes.iter().all(|o| *o == Outcome::Accepted) { Sent::All } else { Sent::Rows(outcomes, trouble) })
    }
}

/// Whether a path can never be written.
fn is_for_good(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidFilename | ErrorKind::IsADirectory | ErrorKind::NotADirectory | ErrorKind::InvalidInput)
}

/// Makes the text of a field, from `start` on, a part of one name: it leads nowhere else, whatever an event holds.
fn tame(path: &mut Vec<u8>, start: usize) {
    path[start..].iter_mut().filter(|b| **b == b'/' || **b < b' ').for_each(|b| *b = b'_');
    let mut end = path.len().min(start + FIELD_BYTES_MAX);
    while end > start && end < path.len() && path[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    path.truncate(end);
    if matches!(&path[start..], b"" | b"." | b"..") {
        path.truncate(start);
        path.push(b'_');
    }
}

/// Whether a file can be written, or made where it does not exist; nothing of it stays.
fn try_path(path: &Path) -> std::io::Result<String> {
    if path.exists() && !path.is_dir() {
        std::fs::OpenOptions::new().append(true).open(path)?;
        return Ok(format!("{} can be written", path.display()));
    }
    // A file that stands where a folder is meant shows here, too.
    let first = path.ancestors().skip(usize::from(!path.is_dir())).find(|a| a.exists() || a.as_os_str().is_empty());
    let folder = first.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = folder.join(format!(".tripline-{}", std::process::id()));
    std::fs::File::create_new(&name)?;
    std::fs::remove_file(&name)?;
    Ok(format!("{} can be made", path.display()))
}

impl Sink for FileSink {
    fn connect(&self, last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        let opened = self.lock().connect(last).map_err(|e| self.outage("cannot be opened", &e, Then::Retry));
        Box::pin(async { opened })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, Outage>> {
        let path = self.settings.path.as_ref().unwrap_or(&self.settings.folder);
        Box::pin(async { try_path(path).map_err(|e| self.outage("cannot be written", &e, Then::Retry)) })
    }

    fn encode(&self, row: &OutRow<'_>, body: &mut Body) {
        if let Some(template) = row.input.templates.first() {
            let mut path = Vec::new();
            template.write_with(&BatchRow { batch: row.batch, row: row.row }, &mut path, tame);
            let mut out = StateWriter { bytes: std::mem::take(&mut body.bytes) };
            if self.settings.encoding.is_json() {
                out.bytes(&path);
            } else {
                path.insert(0, TEXT as u8);
                out.bytes(&path);
                let mut text = Vec::new();
                self.settings.encoding.write(row, &mut text);
                out.bytes(&text);
            }
            body.bytes = out.bytes;
            return row.end(row.identity(), body);
        }
        self.settings.encoding.write(row, &mut body.bytes);
        body.ends.push(body.bytes.len());
    }

    fn send<'a>(&'a self, body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
        Box::pin(async move {
            match &self.settings.path {
                Some(path) => self.send_to(path, body),
                None => self.send_by_row(body),
            }
        })
    }

    fn seal(&self, epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async move { self.lock().seal(epoch).map_err(|e| self.outage("cannot be synced", &e, Then::Retry)) })
    }

    fn commit(&self, epoch: u64) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async move { self.lock().commit(epoch).map_err(|e| self.outage("its journal cannot be written", &e, Then::Retry)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_leads_nowhere_else() {
        let tamed = |text: &str| {
            let mut path = [b"logs/", text.as_bytes()].concat();
            tame(&mut path, 5);
            String::from_utf8(path[5..].to_vec()).unwrap()
        };
        assert_eq!(["../../etc/passwd", "..", "", "a\u{0}b\n", "web-1"].map(tamed), [".._.._etc_passwd", "_", "_", "a_b_", "web-1"]);
        assert_eq!(tamed(&"é".repeat(60)), "é".repeat(50));
    }
}
