//! A list's CSV: a header that names the key columns, then one key a row; further columns (owner, comment) are carried along.
use crate::diagnostic::{Diagnostic, Place};
use crate::table::Table;
use crate::table::csv;

/// Reads CSV text as a table with the given key columns. Faults point into the text that `place` belongs to.
pub fn read_keyed(text: &str, delimiter: char, keys: &[String], place: &Place, faults: &mut Vec<Diagnostic>) -> Option<Table> {
    let (records, bad) = csv::read(text, delimiter, true);
    let at = |line, column| Place { line, column, ..place.clone() };
    faults.extend(bad.iter().map(|f| Diagnostic::error(&at(f.line, f.column), "csv", f.message)));
    let Some(header) = records.first() else {
        faults.push(Diagnostic::error(place, "empty_table", "the file has no header row").help("its first line names the columns"));
        return None;
    };
    let columns: Vec<String> = header.cells.iter().map(|c| c.text.clone()).collect();
    let mut key_columns = Vec::new();
    for key in keys {
        match columns.iter().position(|c| c == key) {
            Some(column) => key_columns.push(column),
            None => {
                let help = crate::diagnostic::suggest(key, columns.iter().map(String::as_str));
                faults
                    .push(Diagnostic::error(&at(header.line, 1), "unknown_column", format!("the header has no column `{key}`")).help(help));
            }
        }
    }
    for record in records.iter().skip(1).filter(|r| r.cells.len() != columns.len()) {
        let message = format!("{} cells where the header has {}", record.cells.len(), columns.len());
        let fault = if record.cells.len() > columns.len() { Diagnostic::error } else { Diagnostic::warning };
        faults.push(fault(&at(record.line, 1), "cell_count", message));
    }
    if records.len() > crate::limits::TABLE_ROWS_MAX {
        faults.push(Diagnostic::error(place, "too_many_rows", format!("more than {} rows", crate::limits::TABLE_ROWS_MAX)));
        return None;
    }
    if key_columns.len() != keys.len() {
        return None;
    }
    let rows = records.iter().skip(1).map(|r| r.cells.iter().map(|c| c.text.as_str()).collect());
    let (table, doubles) = Table::new(columns, key_columns, rows);
    faults.extend(doubles.iter().map(|d| Diagnostic::warning(&at(records[d.row + 1].line, 1), "duplicate_row", d.message.clone())));
    Some(table)
}
