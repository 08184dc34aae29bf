//! The alert document: what it holds and how it is written. All keys are always there.
use std::sync::Arc;

use bumpalo::Bump;

use crate::clock::Timestamp;
use crate::component::correlator::key_parts;
use crate::event::id::{AlertIds, hex};
use crate::event::time::write_rfc3339;
use crate::event::{Slot, text};
use crate::expr::{Program, Row, Template};
use crate::simd;
use crate::table::{Handle, Local, Table};

/// What a rule's alerts say, over the slots of one input.
#[derive(Clone)]
pub struct AlertPrograms {
    /// One line.
    pub title: Template,
    /// Markdown.
    pub description: Template,
    /// A word or what gives one.
    pub severity: Severity,
    /// Type, name of the field, field.
    pub observables: Vec<(String, String, Option<Slot>)>,
    /// Name and address.
    pub links: Vec<(String, Template)>,
    /// Name and value, at the top level.
    pub fields: Vec<(String, Program)>,
    /// What does not depend on an event.
    pub constants: Constants,
    /// The tables that were read on the way.
    pub tables: TablesRead,
}

/// What all alerts of a rule have in common.
#[derive(Clone)]
pub struct Constants {
    pub(super) ids: AlertIds,
    /// `rule`, and what stands before the tenant, as written.
    head: Vec<u8>,
    /// What stands before each value of the key, as written.
    key: Vec<Vec<u8>>,
    /// From behind the key to the first observable, as written.
    middle: Vec<u8>,
}

impl Constants {
    /// Of a rule by its id and name, and the fields that it groups by.
    pub fn new((id, name): (&str, &str), by: &[String], attack: &[String], tags: &[String]) -> Constants {
        use serde_json::json;
        let before = |(i, name): (usize, &String)| format!("{}{}:", if i > 0 { "," } else { "" }, json!(name)).into_bytes();
        Constants {
            ids: AlertIds::new(id),
            head: format!("\"rule\":{{\"id\":{},\"name\":{}}},\"tenant\":", json!(id), json!(name)).into_bytes(),
            key: by.iter().enumerate().map(before).collect(),
            middle: format!("}},\"attack\":{},\"tags\":{},\"observables\":[", json!(attack), json!(tags)).into_bytes(),
        }
    }
}

/// Tables that an alert rests on: those that its rule reads, or a transform between the source and the rule.
#[derive(Clone, Default)]
pub struct TablesRead {
    tables: Vec<(String, Local<Table>)>,
    /// Name and hash of the content of each, as written.
    text: Vec<u8>,
}

impl TablesRead {
    /// Of the names that were met while the rule was bound.
    pub fn new<'t>(tables: impl IntoIterator<Item = (&'t String, &'t Arc<Handle<Table>>)>) -> TablesRead {
        let tables = tables.into_iter().map(|(name, table)| (name.clone(), Local::new(table))).collect();
        let mut made = TablesRead { tables, text: Vec::new() };
        made.write();
        made
    }

    fn refresh(&mut self) {
        let changed = self.tables.iter_mut().fold(false, |any, (_, table)| table.refresh() | any);
        if changed {
            self.write();
        }
    }

    fn write(&mut self) {
        self.text.clear();
        for (i, (name, table)) in self.tables.iter().enumerate() {
            named(i, name, &hex(&table.get().content_hash.to_be_bytes()), &mut self.text);
        }
    }
}

/// Where a severity comes from.
#[derive(Clone)]
pub enum Severity {
    /// One of [`SEVERITIES`].
    Word(&'static str),
    /// An expression.
    Program(Program),
}

/// The severities, lowest first.
pub const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];

impl AlertPrograms {
    /// Takes the newest tables.
    pub fn refresh(&mut self) {
        if let Severity::Program(program) = &mut self.severity {
            program.refresh();
        }
        self.fields.iter_mut().for_each(|(_, p)| p.refresh());
        self.tables.refresh();
    }

    /// Fields that are read.
    pub fn reads(&self) -> Vec<Slot> {
        let mut out: Vec<Slot> = self.title.reads().chain(self.description.reads()).collect();
        out.extend(self.links.iter().flat_map(|(_, t)| t.reads()));
        out.extend(self.observables.iter().filter_map(|(_, _, s)| *s));
        out.extend(self.fields.iter().flat_map(|(_, p)| p.reads.iter().copied()));
        if let Severity::Program(program) = &self.severity {
            out.extend(program.reads.iter().copied());
        }
        out
    }
}

/// Everything that is known at a firing.
#[derive(Clone, Debug, Default)]
pub struct Alert {
    /// Its id.
    pub id: [u8; 32],
    /// 1, or 2 when it tells what was suppressed.
    pub revision: u32,
    /// When it was decided.
    pub time: Timestamp,
    /// Oldest hit in the window.
    pub first_seen: Timestamp,
    /// Newest hit in the window.
    pub last_seen: Timestamp,
    /// The measure, as a number's text.
    pub count: Vec<u8>,
    /// Firings that were suppressed.
    pub suppressed: u64,
    /// What stands before `time`, as written.
    pub head: Vec<u8>,
    /// What stands between `suppressed` and `events`, as written.
    pub middle: Vec<u8>,
    /// From `events` on, as written.
    pub tail: Vec<u8>,
}

/// Parts of an alert while it is made: memory that the next one uses again.
#[derive(Debug, Default)]
pub struct Parts {
    /// A text before it is quoted.
    line: Vec<u8>,
    /// The rule's links and added fields, as written.
    links: Vec<u8>,
    fields: Vec<u8>,
    /// The events, and the ids of the alerts among them, as written.
    pub(super) events: Vec<u8>,
    pub(super) related: Vec<u8>,
    /// How complete the last alert was, and as written: most are as complete as the one before.
    completeness: (Option<Completeness>, Vec<u8>),
}

/// How complete what an alert says is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completeness {
    /// Nothing was missed.
    pub exact: bool,
    /// How far the watermark is behind, in milliseconds of event time.
    pub watermark_lag_ms: i64,
    /// Late hits so far.
    pub late: u64,
    /// Groups closed at a bound so far.
    pub evicted: u64,
    /// Hits released early so far.
    pub forced: u64,
    /// Some evidence of this alert was pushed out.
    pub evidence_evicted: bool,
}

impl Completeness {
    /// As written, from behind the links to the first table.
    fn write(&self, out: &mut Vec<u8>) {
        simd::append(b"},\"completeness\":{\"exact\":", out);
        simd::append(if self.exact { b"true" } else { b"false" }, out);
        member(",\"watermark_lag_ms\":", self.watermark_lag_ms, out);
        member(",\"late\":", self.late as i64, out);
        member(",\"evicted\":", self.evicted as i64, out);
        member(",\"forced\":", self.forced as i64, out);
        member(",\"evidence_evicted\":", i64::from(self.evidence_evicted), out);
        simd::append(b",\"tables\":{", out);
    }
}

impl Alert {
    /// Makes room for the next alert, in the same memory.
    pub fn clear(&mut self) {
        [&mut self.count, &mut self.head, &mut self.middle, &mut self.tail].into_iter().for_each(Vec::clear);
        (self.suppressed, self.revision) = (0, 1);
    }

    /// The document, one line without its end.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(256 + self.head.len() + self.middle.len() + self.tail.len());
        simd::append(ALERT_ID, out);
        out.extend_from_slice(&self.id);
        member("\",\"revision\":", i64::from(self.revision), out);
        simd::append(b"},", out);
        out.extend_from_slice(&self.head);
        simd::append(b"\"time\":\"", out);
        let time = out.len();
        write_rfc3339(self.time, out);
        let time = time..out.len();
        simd::append(b"\",\"first_seen\":\"", out);
        write_rfc3339(self.first_seen, out);
        simd::append(b"\",\"last_seen\":\"", out);
        // Most alerts are decided by their last hit.
        if self.last_seen == self.time {
            out.extend_from_within(time)
        } else {
            write_rfc3339(self.last_seen, out)
        }
        simd::append(b"\",\"count\":", out);
        simd::append(&self.count, out);
        member(",\"suppressed\":", self.suppressed as i64, out);
        out.push(b',');
        out.extend_from_slice(&self.middle);
        out.extend_from_slice(&self.tail);
        out.push(b'}');
    }

    /// Writes what depends on the deciding event. `key`: tenant and key.
    pub fn describe<R: Row>(&mut self, key: &[u8], programs: &AlertPrograms, row: &R, bump: &Bump, parts: &mut Parts) {
        let (out, line) = (&mut self.head, &mut parts.line);
        out.extend_from_slice(&programs.constants.head);
        text::quote(key_parts(key).next().unwrap_or_default(), out);
        line.clear();
        programs.title.write(row, line);
        quoted(",\"title\":", line, out);
        line.clear();
        programs.description.write(row, line);
        quoted(",\"description\":", line, out);
        let severity = match &programs.severity {
            Severity::Word(word) => word,
            Severity::Program(program) => {
                line.clear();
                program.value(row, bump).write_text(line);
                SEVERITIES.into_iter().find(|s| s.as_bytes() == line).unwrap_or("medium")
            }
        };
        simd::append(b",\"severity\":\"", out);
        simd::append(severity.as_bytes(), out);
        simd::append(b"\",", out);
        for (i, (name, template)) in programs.links.iter().enumerate() {
            line.clear();
            template.write(row, line);
            named(i, name, line, &mut parts.links);
        }
        for (name, program) in &programs.fields {
            let value = program.value(row, bump);
            if value.is_present() {
                quoted(",", name.as_bytes(), &mut parts.fields);
                parts.fields.push(b':');
                write_value(value, &mut parts.fields);
            }
        }
        self.describe_middle(key, programs, row);
    }

    fn describe_middle<R: Row>(&mut self, key: &[u8], programs: &AlertPrograms, row: &R) {
        let out = &mut self.middle;
        simd::append(b"\"key\":{", out);
        for (before, value) in programs.constants.key.iter().zip(key_parts(key).skip(1)) {
            simd::append(before, out);
            text::quote(value, out);
        }
        out.extend_from_slice(&programs.constants.middle);
        let mut seen: Vec<(&str, Vec<u8>)> = Vec::new();
        for (kind, field, slot) in &programs.observables {
            let mut value = Vec::new();
            if !slot.is_some_and(|slot| row.value(slot).write_text(&mut value)) || seen.iter().any(|(k, v)| k == kind && *v == value) {
                continue;
            }
            quoted(if seen.is_empty() { "{\"type\":" } else { ",{\"type\":" }, kind.as_bytes(), out);
            quoted(",\"value\":", &value, out);
            quoted(",\"role\":", field.as_bytes(), out);
            out.push(b'}');
            seen.push((kind, value));
        }
        simd::append(b"],", out);
    }

    /// Puts events, links, added fields and completeness at their places.
    pub fn finish(&mut self, completeness: &Completeness, tables: &TablesRead, parts: &mut Parts) {
        let out = &mut self.tail;
        let Parts { events, related, links, fields, .. } = parts;
        for (key, part) in [("\"events\":[", events), ("],\"related\":[", related), ("],\"links\":{", links)] {
            simd::append(key.as_bytes(), out);
            simd::append(part, out);
            part.clear();
        }
        let (last, written) = &mut parts.completeness;
        if last.replace(*completeness) != Some(*completeness) {
            written.clear();
            completeness.write(written);
        }
        out.extend_from_slice(written);
        simd::append(&tables.text, out);
        simd::append(b"}}", out);
        out.append(fields);
    }
}

/// What every alert begins with, up to its id.
const ALERT_ID: &[u8] = b"{\"alert\":{\"id\":\"";

/// The id of an alert from its document.
pub fn id_of(document: &[u8]) -> Option<&[u8]> {
    document.strip_prefix(ALERT_ID)?.get(..32)
}

#[inline]
fn quoted(before: &str, value: &[u8], out: &mut Vec<u8>) {
    simd::append(before.as_bytes(), out);
    text::quote(value, out);
}

fn named(index: usize, name: &str, value: &[u8], out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
    text::quote(name.as_bytes(), out);
    out.push(b':');
    text::quote(value, out);
}

#[inline]
fn member(before: &str, number: i64, out: &mut Vec<u8>) {
    simd::append(before.as_bytes(), out);
    text::write_number(number, out);
}

/// Writes a value as JSON.
pub(super) fn write_value(value: crate::event::Value<'_>, out: &mut Vec<u8>) {
    use crate::event::Value;
    match value {
        Value::Text(t) => text::quote(t, out),
        Value::Absent => out.extend_from_slice(b"null"),
        other => {
            other.write_text(out);
        }
    }
}

/// Appends one event of an alert.
pub fn write_event(id: &[u8; 32], at: Timestamp, raw: &[u8], out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b',');
    }
    simd::append(b"{\"id\":\"", out);
    simd::append(id, out);
    simd::append(b"\",\"time\":\"", out);
    write_rfc3339(at, out);
    simd::append(b"\",\"text\":", out);
    match std::str::from_utf8(raw) {
        Ok(_) => text::quote(raw, out),
        Err(_) => text::quote(String::from_utf8_lossy(raw).as_bytes(), out),
    }
    out.push(b'}');
}
