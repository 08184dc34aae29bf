//! A table from a text: CSV with a header, JSON, or CSV with a column of networks. Every fault has its place.
use super::csv::{self, Record};
use super::rows::{RowFault, Table};
use super::{json, networks::Networks};
use crate::clock::Timestamp;
use crate::diagnostic::{Diagnostic, Place, suggest};
use crate::event::address::Network;
use crate::limits::TABLE_ROWS_MAX;

/// What a text holds, and what its rows are found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// CSV with a header; the columns that make a key.
    Csv {
        /// The key.
        keys: Vec<String>,
        /// Between cells.
        delimiter: char,
    },
    /// CSV with a header; the columns that make a key. A column `expiry` says until when a row counts: a time of RFC 3339, or a day, with its end in UTC.
    List {
        /// The key.
        keys: Vec<String>,
    },
    /// Objects; the members that make a key.
    Json {
        /// The key.
        keys: Vec<String>,
    },
    /// CSV with a header; an address is looked for in the networks of a column, and the longest prefix counts.
    Prefix {
        /// The column of networks.
        column: String,
        /// Between cells.
        delimiter: char,
    },
}

/// Reads a table. Faults point into the text that `place` belongs to.
pub fn load(text: &str, form: &Form, place: &Place, faults: &mut Vec<Diagnostic>) -> Option<Table> {
    match form {
        Form::Csv { keys, delimiter } => {
            let (columns, records) = records(text, *delimiter, place, faults)?;
            let keys = key_columns(keys, &columns, &at(place, 1), faults)?;
            let (table, doubles) = Table::new(columns, keys, cells(&records));
            report(&doubles, |row| at(place, records[row].line), faults);
            Some(table)
        }
        Form::List { keys } => {
            let (columns, records) = records(text, ',', place, faults)?;
            let keys = key_columns(keys, &columns, &at(place, 1), faults)?;
            let expiry = columns.iter().position(|column| column == EXPIRY);
            let mut ends = expiry.map(|column| expiries(&records, column, place, faults)).unwrap_or_default();
            let (mut table, doubles) = Table::new(columns, keys, cells(&records));
            report(&doubles, |row| at(place, records[row].line), faults);
            // Of two rows with one key the table has the first.
            for double in doubles.iter().rev().filter(|_| expiry.is_some()) {
                ends.remove(double.row);
            }
            table.set_expiry(ends);
            Some(table)
        }
        Form::Json { keys } => {
            let (columns, rows) = json::read(text)
                .map_err(|(line, message)| {
                    faults.push(Diagnostic::error(&at(place, line), "json", message).help("an array of objects, or one object a line"))
                })
                .ok()?;
            if !is_bounded(rows.len(), place, faults) {
                return None;
            }
            let keys = key_columns(keys, &columns, place, faults)?;
            let (table, doubles) = Table::new(columns, keys, rows.iter().map(|row| row.iter().map(String::as_str).collect()));
            report(&doubles, |_| place.clone(), faults);
            Some(table)
        }
        Form::Prefix { column, delimiter } => {
            let (columns, records) = records(text, *delimiter, place, faults)?;
            let key = key_columns(std::slice::from_ref(column), &columns, &at(place, 1), faults)?[0];
            let networks = networks(&records, key, place, faults);
            let (index, doubles) = Networks::new(&networks);
            let doubles: Vec<RowFault> = doubles.into_iter().map(|row| RowFault::double(row as usize)).collect();
            report(&doubles, |row| at(place, records[row].line), faults);
            Some(Table::of_networks(columns, key, cells(&records), index))
        }
    }
}

fn at(place: &Place, line: usize) -> Place {
    Place { line, column: 1, ..place.clone() }
}

fn report(doubles: &[RowFault], place: impl Fn(usize) -> Place, faults: &mut Vec<Diagnostic>) {
    faults.extend(doubles.iter().map(|d| Diagnostic::warning(&place(d.row), "duplicate_row", d.message.clone())));
}

fn cells(records: &[Record]) -> impl Iterator<Item = Vec<&str>> {
    records.iter().map(|r| r.cells.iter().map(|c| c.text.as_str()).collect())
}

/// Header and rows of a CSV text.
fn records(text: &str, delimiter: char, place: &Place, faults: &mut Vec<Diagnostic>) -> Option<(Vec<String>, Vec<Record>)> {
    let (mut records, bad) = csv::read(text, delimiter, true);
    faults.extend(bad.iter().map(|f| Diagnostic::error(&Place { line: f.line, column: f.column, ..place.clone() }, "csv", f.message)));
    if records.is_empty() {
        faults.push(Diagnostic::error(place, "empty_table", "the file has no header row").help("its first line names the columns"));
        return None;
    }
    let columns: Vec<String> = records.remove(0).cells.into_iter().map(|c| c.text).collect();
    for record in records.iter().filter(|r| r.cells.len() != columns.len()) {
        let message = format!("{} cells where the header has {}", record.cells.len(), columns.len());
        let fault = if record.cells.len() > columns.len() { Diagnostic::error } else { Diagnostic::warning };
        faults.push(fault(&at(place, record.line), "cell_count", message));
    }
    is_bounded(records.len(), place, faults).then_some((columns, records))
}

fn is_bounded(rows: usize, place: &Place, faults: &mut Vec<Diagnostic>) -> bool {
    if rows > TABLE_ROWS_MAX {
        faults.push(Diagnostic::error(place, "too_many_rows", format!("more than {TABLE_ROWS_MAX} rows")));
    }
    rows <= TABLE_ROWS_MAX
}

/// The numbers of the columns that make a key.
fn key_columns(keys: &[String], columns: &[String], place: &Place, faults: &mut Vec<Diagnostic>) -> Option<Vec<usize>> {
    let mut out = Vec::new();
    for key in keys {
        match columns.iter().position(|c| c == key) {
            Some(column) => out.push(column),
            None => {
                let help = suggest(key, columns.iter().map(String::as_str));
                faults.push(Diagnostic::error(place, "unknown_column", format!("the header has no column `{key}`")).help(help));
            }
        }
    }
    (out.len() == keys.len()).then_some(out)
}

/// The column of a list that says until when a row counts.
const EXPIRY: &str = "expiry";

/// From when on each row is no more.
fn expiries(records: &[Record], column: usize, place: &Place, faults: &mut Vec<Diagnostic>) -> Vec<Timestamp> {
    let read = |text: &str| -> Option<Timestamp> {
        let time = match text.parse::<jiff::Timestamp>() {
            Ok(time) => time,
            Err(_) => {
                let end = text.parse::<jiff::civil::Date>().ok()?.tomorrow().ok()?;
                jiff::tz::Offset::UTC.to_timestamp(end.at(0, 0, 0, 0)).ok()?
            }
        };
        i64::try_from(time.as_nanosecond()).ok()
    };
    let mut end = |record: &Record| {
        let cell = record.cells.get(column).filter(|cell| !cell.text.is_empty())?;
        let end = read(&cell.text);
        if end.is_none() {
            let place = Place { line: record.line, column: cell.column, ..place.clone() };
            let fault = Diagnostic::error(&place, "bad_expiry", format!("`{}` is no time", cell.text));
            faults.push(fault.help("as in 2026-12-31T18:00:00Z, or a day: 2026-12-31 counts to its end in UTC"));
        }
        end
    };
    records.iter().map(|record| end(record).unwrap_or(Timestamp::MAX)).collect()
}

/// The networks of a column, with their rows.
fn networks(records: &[Record], column: usize, place: &Place, faults: &mut Vec<Diagnostic>) -> Vec<(Network, u32)> {
    let mut out = Vec::new();
    for (row, record) in records.iter().enumerate() {
        let Some(cell) = record.cells.get(column) else { continue };
        let cell_place = Place { line: record.line, column: cell.column, ..place.clone() };
        match Network::parse(&cell.text) {
            Some(network) => {
                if network.host_bits {
                    let message = format!("`{}` has bits set behind its prefix: they are ignored", cell.text);
                    faults.push(Diagnostic::warning(&cell_place, "host_bits", message));
                }
                out.push((network, row as u32));
            }
            None => faults.push(
                Diagnostic::error(&cell_place, "bad_network", format!("`{}` is no network", cell.text))
                    .help("as in 10.0.0.0/8, 2001:db8::/32 or a single address"),
            ),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, form: &Form) -> (Option<Table>, Vec<String>) {
        let mut faults = Vec::new();
        let table = load(text, form, &Place::start_of("t"), &mut faults);
        (table, faults.iter().map(|f| format!("{}:{} {}", f.place.line, f.place.column, f.message)).collect())
    }

    #[test]
    fn the_longest_prefix_counts() {
        let form = Form::Prefix { column: "net".into(), delimiter: ',' };
        let (table, faults) = read("net,zone\n10.0.0.0/8,inside\n10.1.0.0/16,dmz\n10.1.2.3/16,twice\nnonsense,x\n", &form);
        let table = table.unwrap();
        let zone = |address: &str| table.find(format!("{address}\u{0}").replace('\u{0}', "").as_bytes()).and_then(|row| table.cell(row, 1));
        assert_eq!((zone("10.9.0.1"), zone("10.1.9.9"), zone("11.0.0.1")), (Some(&b"inside"[..]), Some(&b"dmz"[..]), None));
        let want = [
            "4:1 `10.1.2.3/16` has bits set behind its prefix: they are ignored",
            "5:1 `nonsense` is no network",
            "4:1 a row with this key stands above",
        ];
        assert_eq!(faults, want);
    }

    #[test]
    fn json_rows_are_found_by_their_key() {
        let (table, faults) = read(r#"[{"host":"a","owner":{"mail":"x@y"}},{"host":"b"}]"#, &Form::Json { keys: vec!["host".into()] });
        let table = table.unwrap();
        let row = table.find(b"a\xff").unwrap();
        assert_eq!((table.cell(row, table.column("owner.mail").unwrap()), faults.len()), (Some(&b"x@y"[..]), 0));
        assert_eq!(read("[{\"a\":1}]", &Form::Json { keys: vec!["b".into()] }).1, ["1:1 the header has no column `b`"]);
    }
}
