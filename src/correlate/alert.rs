//! The alert document: what it holds and how it is written. All keys are always there.
use bumpalo::Bump;

use crate::clock::Timestamp;
use crate::event::{Slot, text, time};
use crate::expr::{Program, Row, Template};

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
    /// Constant words.
    pub tags: Vec<String>,
    /// Constant technique ids.
    pub attack: Vec<String>,
}

/// Where a severity comes from.
#[derive(Clone)]
pub enum Severity {
    /// A word.
    Word(String),
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
    pub id: String,
    /// 1, or 2 when it tells what was suppressed.
    pub revision: u32,
    /// When it was decided.
    pub time: Timestamp,
    /// Oldest hit in the window.
    pub first_seen: Timestamp,
    /// Newest hit in the window.
    pub last_seen: Timestamp,
    /// The measure, as a number's text.
    pub count: String,
    /// Firings that were suppressed.
    pub suppressed: u64,
    /// What stands between `suppressed` and `events`, as written.
    pub middle: Vec<u8>,
    /// What stands before `time`, as written.
    pub head: Vec<u8>,
    /// From `events` on, as written.
    pub tail: Vec<u8>,
}

impl Alert {
    /// The document, one line without its end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.head.len() + self.middle.len() + self.tail.len());
        out.extend_from_slice(format!("{{\"alert\":{{\"id\":\"{}\",\"revision\":{}}},", self.id, self.revision).as_bytes());
        out.extend_from_slice(&self.head);
        for (key, at) in [("time", self.time), ("first_seen", self.first_seen), ("last_seen", self.last_seen)] {
            out.extend_from_slice(format!("\"{key}\":\"").as_bytes());
            time::write_rfc3339(at, &mut out);
            out.extend_from_slice(b"\",");
        }
        out.extend_from_slice(format!("\"count\":{},\"suppressed\":{},", self.count, self.suppressed).as_bytes());
        out.extend_from_slice(&self.middle);
        out.extend_from_slice(&self.tail);
        out.push(b'}');
        out
    }

    /// Writes what depends on the deciding event.
    pub fn describe<R: Row>(&mut self, rule: (&str, &str), by: &[String], key: &[&[u8]], programs: &AlertPrograms, row: &R, bump: &Bump) {
        let (id, name) = rule;
        let out = &mut self.head;
        let member = |key: &str, value: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(format!("\"{key}\":").as_bytes());
            text::quote(value, out);
            out.push(b',');
        };
        out.extend_from_slice(b"\"rule\":{\"id\":");
        text::quote(id.as_bytes(), out);
        out.extend_from_slice(b",\"name\":");
        text::quote(name.as_bytes(), out);
        out.extend_from_slice(b"},");
        member("tenant", key.first().copied().unwrap_or_default(), out);
        let mut line = Vec::new();
        programs.title.write(row, &mut line);
        member("title", &line, out);
        line.clear();
        programs.description.write(row, &mut line);
        member("description", &line, out);
        line.clear();
        match &programs.severity {
            Severity::Word(word) => line.extend_from_slice(word.as_bytes()),
            Severity::Program(program) => {
                program.value(row, bump).write_text(&mut line);
            }
        }
        let known = SEVERITIES.iter().find(|s| s.as_bytes() == line).copied().unwrap_or("medium");
        member("severity", known.as_bytes(), out);
        self.describe_middle(by, key, programs, row, bump);
    }

    fn describe_middle<R: Row>(&mut self, by: &[String], key: &[&[u8]], programs: &AlertPrograms, row: &R, bump: &Bump) {
        let out = &mut self.middle;
        out.extend_from_slice(b"\"key\":{");
        for (i, (name, value)) in by.iter().zip(key.iter().skip(1)).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            text::quote(name.as_bytes(), out);
            out.push(b':');
            text::quote(value, out);
        }
        out.extend_from_slice(b"},");
        for (name, words) in [("attack", &programs.attack), ("tags", &programs.tags)] {
            out.extend_from_slice(format!("\"{name}\":{},", serde_json::json!(words)).as_bytes());
        }
        out.extend_from_slice(b"\"observables\":[");
        let mut seen: Vec<(&str, Vec<u8>)> = Vec::new();
        for (kind, field, slot) in &programs.observables {
            let mut value = Vec::new();
            if !slot.is_some_and(|slot| row.value(slot).write_text(&mut value)) || seen.iter().any(|(k, v)| k == kind && *v == value) {
                continue;
            }
            if !seen.is_empty() {
                out.push(b',');
            }
            for (key, part) in [("{\"type\":", kind.as_bytes()), (",\"value\":", value.as_slice()), (",\"role\":", field.as_bytes())] {
                out.extend_from_slice(key.as_bytes());
                text::quote(part, out);
            }
            out.push(b'}');
            seen.push((kind, value));
        }
        out.extend_from_slice(b"],");
        let tail = &mut self.tail;
        for (name, program) in &programs.fields {
            let value = program.value(row, bump);
            if value.is_present() {
                tail.push(b',');
                text::quote(name.as_bytes(), tail);
                tail.push(b':');
                write_value(value, tail);
            }
        }
        // Kept for `finish`, which puts it at the very end.
        let fields = std::mem::take(tail);
        tail.extend_from_slice(b"\"links\":{");
        for (i, (name, template)) in programs.links.iter().enumerate() {
            if i > 0 {
                tail.push(b',');
            }
            text::quote(name.as_bytes(), tail);
            tail.push(b':');
            let mut link = Vec::new();
            template.write(row, &mut link);
            text::quote(&link, tail);
        }
        tail.extend_from_slice(b"},");
        tail.push(0);
        tail.extend_from_slice(&fields);
    }

    /// Puts events and completeness at their places.
    pub fn finish(&mut self, events: &[u8], completeness: &str) {
        let parts = std::mem::take(&mut self.tail);
        let at = parts.iter().position(|b| *b == 0).unwrap_or(parts.len());
        let out = &mut self.tail;
        out.extend_from_slice(b"\"events\":[");
        out.extend_from_slice(events);
        out.extend_from_slice(b"],\"related\":[],");
        out.extend_from_slice(&parts[..at]);
        out.extend_from_slice(b"\"completeness\":");
        out.extend_from_slice(completeness.as_bytes());
        out.extend_from_slice(parts.get(at + 1..).unwrap_or_default());
    }
}

fn write_value(value: crate::event::Value<'_>, out: &mut Vec<u8>) {
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
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(id);
    out.extend_from_slice(b"\",\"time\":\"");
    time::write_rfc3339(at, out);
    out.extend_from_slice(b"\",\"text\":");
    text::quote(String::from_utf8_lossy(raw).as_bytes(), out);
    out.push(b'}');
}
