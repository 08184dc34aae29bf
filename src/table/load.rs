//! A table from a text: CSV with a header, JSON, or CSV with a column of networks. Every fault has its place.
use super::csv::{self, Record};
use super::rows::{Builder, Pushed, RowFault, TOO_LARGE, Table};
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
            let (columns, reader) = header(text, *delimiter, place, faults)?;
            let keys = key_columns(keys, &columns, &at(place, 1), faults)?;
            let mut builder = Builder::new(columns, keys);
            rows(reader, &mut builder, place, faults, |builder, record, _| builder.push_keyed(texts(record)))?;
            Some(builder.finish())
        }
        Form::List { keys } => {
            let (columns, reader) = header(text, ',', place, faults)?;
            let keys = key_columns(keys, &columns, &at(place, 1), faults)?;
            let expiry = columns.iter().position(|column| column == EXPIRY);
            let mut ends = Vec::new();
            let mut builder = Builder::new(columns, keys);
            rows(reader, &mut builder, place, faults, |builder, record, faults| {
                let pushed = builder.push_keyed(texts(record));
                if let Some(column) = expiry.filter(|_| pushed == Pushed::Taken) {
                    ends.push(end_of(record, column, place, faults).unwrap_or(Timestamp::MAX));
                }
                pushed
            })?;
            let mut table = builder.finish();
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
            let (columns, reader) = header(text, *delimiter, place, faults)?;
            let key = key_columns(std::slice::from_ref(column), &columns, &at(place, 1), faults)?[0];
            let (mut networks, mut lines) = (Vec::new(), Vec::new());
            let mut builder = Builder::new(columns, vec![key]);
            rows(reader, &mut builder, place, faults, |builder, record, faults| {
                let Some(row) = builder.push(texts(record)) else { return Pushed::TooLarge };
                networks.extend(network_of(record, key, place, faults).map(|network| (network, row)));
                lines.push(record.line);
                Pushed::Taken
            })?;
            let (index, doubles) = Networks::new(&networks);
            let doubles: Vec<RowFault> = doubles.into_iter().map(|row| RowFault::double(row as usize)).collect();
            report(&doubles, |row| at(place, lines[row]), faults);
            Some(builder.finish_networks(index))
        }
    }
}

fn at(place: &Place, line: usize) -> Place {
    Place { line, column: 1, ..place.clone() }
}

fn report(doubles: &[RowFault], place: impl Fn(usize) -> Place, faults: &mut Vec<Diagnostic>) {
    faults.extend(doubles.iter().map(|d| Diagnostic::warning(&place(d.row), "duplicate_row", d.message.clone())));
}

fn texts<'r>(record: &'r Record<'_>) -> impl Iterator<Item = &'r str> {
    record.cells.iter().map(|cell| &*cell.text)
}

/// The header of a CSV text, and what reads its rows.
fn header<'t>(text: &'t str, delimiter: char, place: &Place, faults: &mut Vec<Diagnostic>) -> Option<(Vec<String>, csv::Reader<'t>)> {
    let mut reader = csv::Reader::new(text, delimiter);
    match reader.next() {
        Some(header) => Some((header.cells.into_iter().map(|cell| cell.text.into_owned()).collect(), reader)),
        None => {
            faults.push(Diagnostic::error(place, "empty_table", "the file has no header row").help("its first line names the columns"));
            None
        }
    }
}

/// Reads the rows of a CSV text one by one. Faults of all are told; none where there are too many.
fn rows(
    mut reader: csv::Reader<'_>,
    builder: &mut Builder,
    place: &Place,
    faults: &mut Vec<Diagnostic>,
    mut take: impl FnMut(&mut Builder, &Record<'_>, &mut Vec<Diagnostic>) -> Pushed,
) -> Option<()> {
    let columns = builder.columns();
    let (lines, bytes) = reader.rest();
    builder.reserve(lines.min(TABLE_ROWS_MAX), bytes);
    for count in 1.. {
        let Some(record) = reader.next() else { break };
        if !is_bounded(count, place, faults) {
            return None;
        }
        if record.cells.len() != columns {
            let message = format!("{} cells where the header has {columns}", record.cells.len());
            let fault = if record.cells.len() > columns { Diagnostic::error } else { Diagnostic::warning };
            faults.push(fault(&at(place, record.line), "cell_count", message));
        }
        match take(builder, &record, faults) {
            Pushed::Taken => {}
            Pushed::Double => report(&[RowFault::double(0)], |_| at(place, record.line), faults),
            Pushed::TooLarge => {
                faults.push(Diagnostic::error(&at(place, record.line), "too_large", TOO_LARGE));
                return None;
            }
        }
    }
    let fault = |f: &csv::CsvFault| Diagnostic::error(&Place { line: f.line, column: f.column, ..place.clone() }, "csv", f.message);
    faults.extend(reader.faults.iter().map(fault));
    Some(())
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
pub const EXPIRY: &str = "expiry";

/// From when on a row is no more, if it says so.
fn end_of(record: &Record<'_>, column: usize, place: &Place, faults: &mut Vec<Diagnostic>) -> Option<Timestamp> {
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
    let cell = record.cells.get(column).filter(|cell| !cell.text.is_empty())?;
    let end = read(&cell.text);
    if end.is_none() {
        let place = Place { line: record.line, column: cell.column, ..place.clone() };
        let fault = Diagnostic::error(&place, "bad_expiry", format!("`{}` is no time", cell.text));
        faults.push(fault.help("as in 2026-12-31T18:00:00Z, or a day: 2026-12-31 counts to its end in UTC"));
    }
    end
}

/// The network of a row.
fn network_of(record: &Record<'_>, column: usize, place: &Place, faults: &mut Vec<Diagnostic>) -> Option<Network> {
    let cell = record.cells.get(column)?;
    let cell_place = Place { line: record.line, column: cell.column, ..place.clone() };
    let Some(network) = Network::parse(&cell.text) else {
        faults.push(
            Diagnostic::error(&cell_place, "bad_network", format!("`{}` is no network", cell.text))
                .help("as in 10.0.0.0/8, 2001:db8::/32 or a single address"),
        );
        return None;
    };
    if network.host_bits {
        let message = format!("`{}` has bits set behind its prefix: they are ignored", cell.text);
        faults.push(Diagnostic::warning(&cell_place, "host_bits", message));
    }
    Some(network)
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
