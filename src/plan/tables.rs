//! Tables: read at load, and again when their files change.
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::component::Reload;
use crate::component::bind::Tables;
use crate::config::load::read_text;
use crate::config::{Field, Node, Options, Type};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Severity, SourceText, suggest};
use crate::limits::{CONFIG_BYTES_MAX, TABLE_BYTES_MAX};
use crate::table::{Form, Handle, Table, load, mmdb};
use crate::transform::map_reload::stamp;

/// Types of tables.
const TYPES: &[&str] = &["csv", "json", "prefix", "mmdb"];

/// Options of a table.
pub const TABLE: &[Field] = &[
    Field::required(
        "type",
        Type::Word(TYPES),
        "csv, json (an array of objects, or one object a line), prefix (CSV with a column of networks) or mmdb (a MaxMind DB)",
    ),
    Field::required("path", Type::Text, "the file"),
    Field::optional("key", Type::Texts, "of csv and json: the column, or columns, that a row is found by"),
    Field::optional("column", Type::Text, "of prefix: the column of networks; the longest one that holds an address counts"),
    Field::optional("delimiter", Type::Text, "of csv and prefix: one character; default a comma"),
    Field::optional("reload", Type::Bool, "whether a changed file is read again; default true"),
];

/// Reads the tables of a file.
pub(super) fn read(root: &Node, faults: &RefCell<Diagnostics>, reloads: &mut Vec<Box<dyn Reload>>) -> Tables {
    let mut out = Tables::new();
    for (key, node) in root.get("tables").map(Node::entries).unwrap_or_default() {
        let options = Options::new(&key.name, node, faults);
        options.check(&[TABLE]);
        let keys: Vec<String> = options.texts("key").into_iter().map(|(k, _)| k).collect();
        let Some(content) = table_form(&options, keys) else { continue };
        let Some((path, place)) = options.path("path") else { continue };
        let file = TableFile { path, content, per_tenant: false };
        let Some(table) = file.read_first(&place, &options) else { continue };
        let handle = Handle::new(table);
        out.insert(key.name.clone(), Arc::clone(&handle));
        if options.bool("reload", true) {
            reloads.push(Box::new(TableReload::new(file, handle)));
        }
    }
    out
}

/// What the options say of a table's form.
fn table_form(options: &Options<'_>, keys: Vec<String>) -> Option<Content> {
    let (kind, place) = options.placed("type")?;
    let delimiter = options.text("delimiter").and_then(|d| d.chars().next()).unwrap_or(',');
    let form = match kind.as_str() {
        "mmdb" => {
            for key in ["key", "column", "delimiter"] {
                if let Some(node) = options.get(key) {
                    let fault = Diagnostic::error(&node.place, "wrong_key", format!("a mmdb table has no `{key}`"));
                    options.fault(fault.help("its rows are found by `ip`, its columns are those of its records"));
                }
            }
            return Some(Content::MaxMind);
        }
        "csv" => Form::Csv { keys, delimiter },
        "json" => Form::Json { keys },
        "prefix" => Form::Prefix { column: options.text("column").unwrap_or_default(), delimiter },
        _ => {
            let message = format!("there is no table type `{kind}`");
            options.fault(Diagnostic::error(&place, "unknown_type", message).help(suggest(&kind, TYPES.iter().copied())));
            return None;
        }
    };
    let (wanted, other) = if kind == "prefix" { ("column", "key") } else { ("key", "column") };
    if let Some(node) = options.get(other) {
        let fault = Diagnostic::error(&node.place, "wrong_key", format!("a {kind} table has no `{other}`"));
        options.fault(fault.help(format!("write `{wanted}`")));
    }
    if !options.has(wanted) {
        let fault = Diagnostic::error(options.place(), "missing_key", format!("`{}` lacks `{wanted}`", options.name));
        options.fault(fault.help(format!("what a row of a {kind} table is found by")));
        return None;
    }
    Some(Content::Text(form))
}

/// What a file of a table holds.
enum Content {
    Text(Form),
    MaxMind,
}

pub(super) struct TableFile {
    path: PathBuf,
    content: Content,
    /// The first column of the key is the tenant's.
    per_tenant: bool,
}

impl TableFile {
    /// The file of a list, and what it holds. Faults are told.
    pub(super) fn open(path: PathBuf, form: Form, per_tenant: bool, place: &Place, options: &Options<'_>) -> Option<(Table, TableFile)> {
        let file = TableFile { path, content: Content::Text(form), per_tenant };
        Some((file.read_first(place, options)?, file))
    }

    /// Reads it where `place` names it.
    fn read_first(&self, place: &Place, options: &Options<'_>) -> Option<Table> {
        if !self.path.exists() {
            let message = format!("there is no file {}", self.path.display());
            options.fault(Diagnostic::error(place, "missing_file", message).help("paths start from the folder of the pipeline file"));
            return None;
        }
        let mut found = Vec::new();
        let table = self.read(None, &mut found);
        found.into_iter().for_each(|f| options.fault(f));
        table
    }

    /// Reads it. Whose columns are those of its records has the columns that are given, if any.
    fn read(&self, columns: Option<&[String]>, faults: &mut Vec<Diagnostic>) -> Option<Table> {
        // A change while it is read makes it no younger than it is.
        let changed = stamp(&self.path).and_then(|(time, _)| time.duration_since(std::time::UNIX_EPOCH).ok());
        let mut table = self.read_content(columns, faults)?;
        table.changed = changed.and_then(|since| i64::try_from(since.as_nanos()).ok());
        Some(table)
    }

    fn read_content(&self, columns: Option<&[String]>, faults: &mut Vec<Diagnostic>) -> Option<Table> {
        let shown = self.path.display().to_string();
        let form = match &self.content {
            Content::Text(form) => form,
            Content::MaxMind => {
                let read = read_bytes(&self.path).and_then(|bytes| mmdb::read(&bytes, columns));
                return read.map_err(|e| faults.push(Diagnostic::error(&Place::start_of(&shown), "mmdb", e).help("a .mmdb file"))).ok();
            }
        };
        match read_text(&self.path, CONFIG_BYTES_MAX * 16) {
            Ok(text) => {
                let source = Arc::new(SourceText { path: shown, text });
                let place = Place { source: Arc::clone(&source), line: 1, column: 1 };
                let mut table = load(&source.text, form, &place, faults)?;
                table.per_tenant = self.per_tenant;
                Some(table)
            }
            Err(message) => {
                faults.push(Diagnostic::error(&Place::start_of(&shown), "unreadable", message).help("check the path"));
                None
            }
        }
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > TABLE_BYTES_MAX => Err(format!("more than {TABLE_BYTES_MAX} bytes")),
        Ok(_) => std::fs::read(path).map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    }
}

pub(super) struct TableReload {
    file: TableFile,
    handle: Arc<Handle<Table>>,
    seen: Option<(std::time::SystemTime, u64)>,
}

impl TableReload {
    /// Puts what the file holds into `handle` when it changes.
    pub(super) fn new(file: TableFile, handle: Arc<Handle<Table>>) -> TableReload {
        TableReload { seen: stamp(&file.path), file, handle }
    }
}

impl Reload for TableReload {
    fn check(&mut self) -> Result<bool, String> {
        let now = stamp(&self.file.path);
        if now == self.seen {
            return Ok(false);
        }
        self.seen = now;
        let mut faults = Vec::new();
        let columns = self.handle.get().columns.clone();
        let table = self.file.read(Some(&columns), &mut faults);
        let why = faults.iter().find(|f| f.severity == Severity::Error).map(Diagnostic::render);
        match (table, why) {
            (Some(table), None) if table.columns == self.handle.get().columns => {
                self.handle.set(table);
                Ok(true)
            }
            (Some(_), None) => {
                Err(format!("{}: other columns than before: the old rows stay until the next start", self.file.path.display()))
            }
            (_, why) => Err(format!("{}: not taken, the old rows stay\n{}", self.file.path.display(), why.unwrap_or_default())),
        }
    }
}
