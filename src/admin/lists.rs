//! A list that events write, as the CSV file that its `path` would be: key, columns, and until when each entry counts.
use std::io::{Result, Write};
use std::sync::PoisonError;

use crate::clock::Timestamp;
use crate::codec::format::text_out::TextWriter;
use crate::event::{Value, time};
use crate::list::{Entry, Mark, SharedList};
use crate::table::load::EXPIRY;

/// Entries that are looked at before writers of the list have their turn.
const PAGE: usize = 4096;

/// Writes all entries that are there when it comes by them.
pub(super) fn write(list: &SharedList, out: &mut impl Write) -> Result<()> {
    let read = || list.read().unwrap_or_else(PoisonError::into_inner);
    let spec = read().spec.clone();
    let columns: Vec<usize> = (0..spec.columns.len()).filter(|column| spec.columns[*column].0 != EXPIRY).collect();
    let mut names: Vec<String> = spec.key_names().chain(columns.iter().map(|column| &spec.columns[*column].0)).cloned().collect();
    names.push(EXPIRY.to_owned());
    let writer = TextWriter::csv(names.clone(), b',');
    let mut text = Vec::new();
    writer.write(names.iter().map(|name| Value::Text(name.as_bytes())), &mut text);
    text.push(b'\n');
    let (mut mark, mut has_more) = (Mark::default(), true);
    while has_more {
        let list = read();
        has_more = list.page(&mut mark, PAGE, |entry| write_entry(&columns, entry, &writer, &mut text));
        drop(list);
        out.write_all(&text)?;
        text.clear();
    }
    Ok(())
}

fn write_entry(columns: &[usize], entry: &Entry, writer: &TextWriter, out: &mut Vec<u8>) {
    let mut end = Vec::new();
    if entry.expires != Timestamp::MAX {
        time::write_rfc3339(entry.expires, &mut end);
    }
    let values = columns.iter().map(|column| entry.value(*column));
    writer.write(entry.key_values().chain(values).chain([Value::Text(&end)]), out);
    out.push(b'\n');
}
