//! Reading a map file again when it changes: whole, with the same columns, or not at all.
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::component::Reload;
use crate::config::load::read_text;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Severity, SourceText};
use crate::limits::CONFIG_BYTES_MAX;
use crate::mapfile::{CompiledMap, lint};
use crate::table::Handle;

/// Reads and compiles a map file. Warnings become errors where `strict` is set.
pub fn load(path: &Path, strict: bool, faults: &mut Vec<Diagnostic>) -> Option<CompiledMap> {
    let shown = path.display().to_string();
    let text = match read_text(path, CONFIG_BYTES_MAX * 4) {
        Ok(text) => text,
        Err(message) => {
            faults.push(Diagnostic::error(&Place::start_of(&shown), "unreadable", message).help("check the path in `files`"));
            return None;
        }
    };
    let source = Arc::new(SourceText { path: shown, text });
    let place = Place { source: Arc::clone(&source), line: 1, column: 1 };
    let mut found = Vec::new();
    let file = crate::mapfile::read(&place, &source.text, &mut found);
    lint::lint(&file, &place, &mut found);
    if strict {
        found.iter_mut().for_each(|f| f.severity = Severity::Error);
    }
    let bad = found.iter().any(|f| f.severity == Severity::Error);
    let map = (!bad).then(|| CompiledMap::new(file));
    if let Some(map) = &map {
        for row in map.rows_without_literal().into_iter().take(20) {
            let line = map.file.rows[row as usize].line;
            let message = "the pattern of this row holds no literal text of three characters or more: it is tried on every value";
            found.push(
                Diagnostic::warning(&Place { line, ..place.clone() }, "slow_pattern", message).help("anchor it, or name a literal part"),
            );
        }
    }
    faults.extend(found);
    map
}

/// What tells that a file changed.
pub fn stamp(path: &Path) -> Option<(std::time::SystemTime, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// Watches one map file.
pub struct MapReload {
    path: PathBuf,
    strict: bool,
    handle: Arc<Handle<CompiledMap>>,
    seen: Option<(std::time::SystemTime, u64)>,
}

impl MapReload {
    /// Watches from now on.
    pub fn new(path: PathBuf, strict: bool, handle: Arc<Handle<CompiledMap>>) -> MapReload {
        let seen = stamp(&path);
        MapReload { path, strict, handle, seen }
    }
}

impl Reload for MapReload {
    fn check(&mut self) -> Result<bool, String> {
        let now = stamp(&self.path);
        if now == self.seen {
            return Ok(false);
        }
        self.seen = now;
        let mut faults = Vec::new();
        let map = load(&self.path, self.strict, &mut faults);
        let old = self.handle.get();
        match map {
            Some(map) if map.file.getters == old.file.getters && map.file.setters == old.file.setters => {
                self.handle.set(map);
                Ok(true)
            }
            Some(_) => Err(format!("{}: other columns than before: the old rows stay until the next start", self.path.display())),
            None => {
                let all = RefCell::new(Diagnostics(faults));
                let first = all.into_inner().sorted().into_iter().find(|f| f.severity == Severity::Error);
                let why = first.map_or_else(String::new, |f| f.render());
                Err(format!("{}: not taken, the old rows stay\n{why}", self.path.display()))
            }
        }
    }
}
