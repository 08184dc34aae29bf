//! Reading a map file: header, rows, and every fault with its place.
use super::rows::{Condition, Getter, GetterKind, MapFile, MapRow, Setter, SetterKind, Span, fold};
use crate::diagnostic::{Diagnostic, Place};
use crate::event::address::Network;
use crate::limits::MAP_ROWS_MAX;
use crate::pattern;
use crate::table::csv::{self, Cell, Record};

const PREFIXES: [&str; 7] = ["event.", "regex.event.", "range.event.", "cidr.event.", "ci.event.", "set.event.", "set.expr(…).event."];

enum Column {
    Getter(usize),
    Setter(usize),
    Unknown,
}

/// Reads the text that `place` belongs to. Faulty rows are left out of the result and reported.
pub fn read(place: &Place, text: &str, faults: &mut Vec<Diagnostic>) -> MapFile {
    let mut csv = csv::Reader::new(text, ',');
    let records: Vec<Record<'_>> = csv.by_ref().collect();
    let mut reader = Reader { place, faults, file: MapFile { path: place.source.path.clone(), ..MapFile::default() } };
    for fault in csv.faults {
        reader.error(fault.line, fault.column, "csv", fault.message, "double the quotes inside of a quoted cell");
    }
    let Some((header, rows)) = records.split_first() else {
        reader.error(1, 1, "empty_map", "the file has no header row", "its first line names getters and setters");
        return reader.file;
    };
    let columns: Vec<Column> = header.cells.iter().map(|c| reader.header(header.line, c)).collect();
    if reader.file.setters.is_empty() && !columns.iter().any(|c| matches!(c, Column::Unknown)) {
        reader.warn(header.line, 1, "no_setter", "the file sets nothing", "add a `set.event.FIELD` column");
    }
    if rows.len() > MAP_ROWS_MAX {
        reader.error(1, 1, "too_many_rows", &format!("more than {MAP_ROWS_MAX} rows"), "use a table and `enrich`");
        return reader.file;
    }
    for record in rows {
        reader.row(record, &columns);
    }
    reader.file
}

struct Reader<'a> {
    place: &'a Place,
    faults: &'a mut Vec<Diagnostic>,
    file: MapFile,
}

impl Reader<'_> {
    fn at(&self, line: usize, column: usize) -> Place {
        Place { line, column, ..self.place.clone() }
    }

    fn error(&mut self, line: usize, column: usize, code: &'static str, message: &str, help: &str) {
        let fault = Diagnostic::error(&self.at(line, column), code, message).help(help);
        self.faults.push(fault);
    }

    fn warn(&mut self, line: usize, column: usize, code: &'static str, message: &str, help: &str) {
        let fault = Diagnostic::warning(&self.at(line, column), code, message).help(help);
        self.faults.push(fault);
    }

    fn header(&mut self, line: usize, cell: &Cell) -> Column {
        let name = cell.text.trim();
        let getters = [
            ("event.", GetterKind::Exact),
            ("regex.event.", GetterKind::Regex),
            ("range.event.", GetterKind::Range),
            ("cidr.event.", GetterKind::Cidr),
            ("ci.event.", GetterKind::Folded),
        ];
        for (prefix, kind) in getters {
            if let Some(field) = name.strip_prefix(prefix).filter(|f| !f.is_empty()) {
                self.file.getters.push(Getter { kind, field: field.to_owned() });
                return Column::Getter(self.file.getters.len() - 1);
            }
        }
        let setter = if let Some(field) = name.strip_prefix("set.event.") {
            Some((SetterKind::Constant, field))
        } else if let Some((fields, field)) = name.strip_prefix("set.expr(").and_then(|r| r.split_once(").event.")) {
            let fields = fields.split('|').map(|f| f.trim().trim_start_matches("event.").to_owned()).filter(|f| !f.is_empty()).collect();
            Some((SetterKind::Expression(fields), field))
        } else if let Some(field) = name.strip_prefix("set.").filter(|f| !f.contains('(')) {
            self.warn(
                line,
                cell.column,
                "setter_without_event",
                &format!("`{name}` lacks `event.`"),
                &format!("write `set.event.{field}`"),
            );
            Some((SetterKind::Constant, field))
        } else {
            None
        };
        match setter.filter(|(_, field)| !field.is_empty()) {
            Some((kind, field)) => {
                self.file.setters.push(Setter { kind, field: field.to_owned() });
                Column::Setter(self.file.setters.len() - 1)
            }
            None => {
                let help = format!("a header cell begins with one of {}", PREFIXES.join(" "));
                self.error(line, cell.column, "unknown_prefix", &format!("`{name}` is neither a getter nor a setter"), &help);
                Column::Unknown
            }
        }
    }

    fn row(&mut self, record: &Record, columns: &[Column]) {
        let faults_before = self.faults.len();
        if record.cells.len() > columns.len() {
            let column = record.cells[columns.len()].column;
            let message = format!("{} cells where the header has {}", record.cells.len(), columns.len());
            return self.error(record.line, column, "cell_count", &message, "quote a cell that holds a comma");
        }
        if record.cells.len() < columns.len() {
            let message = format!("{} cells where the header has {}: the missing ones are empty", record.cells.len(), columns.len());
            self.warn(record.line, 1, "cell_count", &message, "add the commas");
        }
        let mut row = MapRow {
            line: record.line,
            conditions: vec![Condition::Anything; self.file.getters.len()],
            values: vec![(String::new(), 1); self.file.setters.len()],
        };
        for (column, cell) in columns.iter().zip(&record.cells) {
            match column {
                Column::Getter(i) => {
                    let kind = self.file.getters[*i].kind;
                    if cell.text.is_empty() {
                        self.warn(
                            record.line,
                            cell.column,
                            "empty_getter",
                            "an empty condition matches anything",
                            "that is meant? then leave it",
                        );
                    } else if let Some(condition) = self.condition(record.line, cell, kind) {
                        row.conditions[*i] = condition;
                    }
                }
                Column::Setter(i) => row.values[*i] = (cell.text.to_string(), cell.column),
                Column::Unknown => {}
            }
        }
        if !self.faults[faults_before..].iter().any(|f| f.severity == crate::diagnostic::Severity::Error) {
            self.file.rows.push(row);
        }
    }

    fn condition(&mut self, line: usize, cell: &Cell, kind: GetterKind) -> Option<Condition> {
        let text = &cell.text;
        match kind {
            GetterKind::Exact => Some(Condition::Exact(text.to_string())),
            GetterKind::Folded => Some(Condition::Folded(fold(text))),
            GetterKind::Regex => match pattern::parse(text) {
                Ok(hir) => Some(Condition::Regex(text.to_string(), hir)),
                Err(e) => {
                    let column = cell.column + usize::from(cell.quoted) + e.at;
                    self.error(line, column, "bad_pattern", &format!("bad pattern: {}", e.message), e.help);
                    None
                }
            },
            GetterKind::Range | GetterKind::Cidr => {
                let mut spans = Vec::new();
                let mut column = cell.column + usize::from(cell.quoted);
                for part in text.split('|') {
                    match self.span(line, column, part.trim(), kind) {
                        Some(span) => spans.push(span),
                        None => return None,
                    }
                    column += part.chars().count() + 1;
                }
                Some(Condition::Ranges(spans))
            }
        }
    }

    fn span(&mut self, line: usize, column: usize, part: &str, kind: GetterKind) -> Option<Span> {
        if kind == GetterKind::Cidr {
            let Some(network) = Network::parse(part) else {
                self.error(line, column, "bad_network", &format!("`{part}` is no network"), "as in `10.0.0.0/8`, several joined by `|`");
                return None;
            };
            if network.host_bits {
                self.warn(
                    line,
                    column,
                    "host_bits",
                    &format!("`{part}` has bits behind its prefix: they are ignored"),
                    "write the first address of the network",
                );
            }
            return Some(network.into());
        }
        let Some(span) = Span::parse(part) else {
            self.error(
                line,
                column,
                "bad_range",
                &format!("`{part}` is no range"),
                "as in `1-1024` or `10.0.0.1-10.0.0.99`, several joined by `|`",
            );
            return None;
        };
        if !span.is_ordered() {
            self.warn(line, column, "empty_range", &format!("`{part}` ends before it begins: it matches nothing"), "swap its ends");
        }
        Some(span)
    }
}
