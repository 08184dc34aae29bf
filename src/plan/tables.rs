//! Tables and lists: read at load, and again when their files change.
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use crate::component::Reload;
use crate::component::bind::Tables;
use crate::config::load::read_text;
use crate::config::{Field, Node, Options, Type};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Severity, SourceText, suggest};
use crate::limits::CONFIG_BYTES_MAX;
use crate::list::import::read_keyed;
use crate::table::{Handle, Table};
use crate::transform::map_reload::stamp;

/// Options of a table.
pub const TABLE: &[Field] = &[
    Field::required("type", Type::Word(&["csv"]), "csv"),
    Field::required("path", Type::Text, "the file"),
    Field::required("key", Type::Texts, "the column, or columns, that a row is found by"),
    Field::optional("delimiter", Type::Text, "one character; default a comma"),
    Field::optional("reload", Type::Bool, "whether a changed file is read again; default true"),
];

/// Options of a list.
pub const LIST: &[Field] =
    &[Field::required("key", Type::Texts, "the columns that make a key"), Field::required("path", Type::Text, "the CSV file")];

/// Reads all tables or all lists of a file.
pub fn read(root: &Node, lists: bool, faults: &RefCell<Diagnostics>, reloads: &mut Vec<Box<dyn Reload>>) -> Tables {
    let mut out = Tables::new();
    let (family, fields) = if lists { ("lists", LIST) } else { ("tables", TABLE) };
    for (key, node) in root.get(family).map(Node::entries).unwrap_or_default() {
        let options = Options::new(&key.name, node, faults);
        options.check(&[fields]);
        if let Some((kind, place)) = options.placed("type").filter(|(k, _)| !lists && k != "csv") {
            options
                .fault(Diagnostic::error(&place, "unknown_type", format!("there is no table type `{kind}`")).help(suggest(&kind, ["csv"])));
            continue;
        }
        let Some((path, place)) = options.path("path") else { continue };
        let file = TableFile {
            path,
            keys: options.texts("key").into_iter().map(|(k, _)| k).collect(),
            delimiter: options.text("delimiter").and_then(|d| d.chars().next()).unwrap_or(','),
        };
        if !file.path.exists() {
            let message = format!("there is no file {}", file.path.display());
            options.fault(Diagnostic::error(&place, "missing_file", message).help("paths start from the folder of the pipeline file"));
            continue;
        }
        let mut found = Vec::new();
        let table = file.read(&mut found);
        found.into_iter().for_each(|f| options.fault(f));
        if let Some(table) = table {
            let handle = Handle::new(table);
            out.insert(key.name.clone(), Arc::clone(&handle));
            if options.bool("reload", true) {
                let seen = stamp(&file.path);
                reloads.push(Box::new(TableReload { file, handle, seen }));
            }
        }
    }
    out
}

struct TableFile {
    path: PathBuf,
    keys: Vec<String>,
    delimiter: char,
}

impl TableFile {
    fn read(&self, faults: &mut Vec<Diagnostic>) -> Option<Table> {
        let shown = self.path.display().to_string();
        match read_text(&self.path, CONFIG_BYTES_MAX * 16) {
            Ok(text) => {
                let source = Arc::new(SourceText { path: shown, text });
                let place = Place { source: Arc::clone(&source), line: 1, column: 1 };
                read_keyed(&source.text, self.delimiter, &self.keys, &place, faults)
            }
            Err(message) => {
                faults.push(Diagnostic::error(&Place::start_of(&shown), "unreadable", message).help("check the path"));
                None
            }
        }
    }
}

struct TableReload {
    file: TableFile,
    handle: Arc<Handle<Table>>,
    seen: Option<(std::time::SystemTime, u64)>,
}

impl Reload for TableReload {
    fn check(&mut self) -> Result<bool, String> {
        let now = stamp(&self.file.path);
        if now == self.seen {
            return Ok(false);
        }
        self.seen = now;
        let mut faults = Vec::new();
        let table = self.file.read(&mut faults);
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
