//! `cef` and `leef`: the one-line event formats of ArcSight and of QRadar, with or without a syslog header before them.
//!
//! `CEF:0|vendor|product|version|class id|name|severity|key=value …`: `\|` and `\\` in the header, `\=`, `\\`, `\n` and `\r` in values; a value goes on
//! over blanks until the next ` key=`. Short keys become the dictionary's full names. `LEEF:1.0|vendor|product|version|event id|` with pairs apart by tabs;
//! LEEF 2.0 names its separator in one field more, as a character or as hexadecimal. Source: the CEF and LEEF guides of their vendors.
use super::cef_dictionary::full_name;
use super::pairs::{Names, PairRow, Want};
use super::time::TimeRule;
use super::{Decoder, Shape, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::{Batch, Kind, Slot, Span};

/// Header fields of CEF, in order, behind the version.
const CEF_HEADER: &[&str] = &["deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId", "name", "severity"];
/// Header fields of LEEF, in order, behind the version.
const LEEF_HEADER: &[&str] = &["deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId"];
/// Fields of `cef`: the header, then whatever the extension names.
pub const CEF_SHAPE: Shape = Shape::Flat(CEF_HEADER, &[""]);
/// Fields of `leef`: the header, then whatever the event names.
pub const LEEF_SHAPE: Shape = Shape::Flat(LEEF_HEADER, &[""]);
/// Fields that tell when it happened, the best first.
const CEF_TIMES: &[&str] = &["deviceReceiptTime", "endTime", "startTime"];
const LEEF_TIMES: &[&str] = &["devTime"];

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `cef`
    Cef,
    /// `leef`
    Leef,
}

/// See the module.
pub struct CefDecoder {
    dialect: Dialect,
    names: Names,
    header: Vec<Option<Slot>>,
    /// Full names in the arena of the batch, by the keys that were met.
    known: foldhash::HashMap<&'static str, Span>,
    rule: TimeRule,
    wanted: Wanted,
    subjects: Subjects,
}

impl CefDecoder {
    /// A decoder for what the plan wants.
    pub fn new(dialect: Dialect, wanted: Wanted, rule: TimeRule) -> CefDecoder {
        let header = if dialect == Dialect::Cef { CEF_HEADER } else { LEEF_HEADER };
        CefDecoder {
            dialect,
            names: Names::new(&wanted),
            header: header.iter().map(|name| wanted.slot(name)).collect(),
            known: foldhash::HashMap::default(),
            rule,
            wanted,
            subjects: Subjects::default(),
        }
    }
}

impl Decoder for CefDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        lay_over(batch, &self.wanted);
        self.known.clear();
        let received = batch.input.received;
        let mut subjects = std::mem::take(&mut self.subjects);
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refuse(batch, row, &self.wanted, "no text to decode") };
            let extras = batch.extras_len();
            let mut event = Event { it: PairRow { batch, row: usize::from(row), at, line, extras }, time: None };
            let outcome = match self.dialect {
                Dialect::Cef => self.cef(&mut event),
                Dialect::Leef => self.leef(&mut event),
            };
            let time = event.time;
            match outcome {
                Ok(()) => {
                    if let Some((_, span)) = time
                        && self.wanted.event_time
                        && let Some(time) = self.rule.parse(batch.bytes(span), received)
                    {
                        batch.times[usize::from(row)] = time;
                    }
                    if self.wanted.all {
                        batch.end_extras(self.wanted.layer, usize::from(row), extras);
                    }
                }
                Err(reason) => {
                    batch.truncate_extras(extras);
                    refuse(batch, row, &self.wanted, reason);
                }
            }
        });
        self.subjects = subjects;
    }
}

/// One event, and the best time field met so far.
struct Event<'a> {
    it: PairRow<'a>,
    time: Option<(usize, Span)>,
}

impl Event<'_> {
    fn note_time(&mut self, name: &str, value: Span, times: &[&str]) {
        if let Some(rank) = times.iter().position(|t| *t == name)
            && self.time.is_none_or(|(best, _)| rank < best)
        {
            self.time = Some((rank, value));
        }
    }
}

impl CefDecoder {
    /// Sets the header's fields, from behind the version on. Returns where the header ends.
    fn header(
        &self,
        event: &mut Event<'_>,
        mark: &[u8],
        incomplete: &'static str,
        other: &'static str,
    ) -> Result<(usize, usize), &'static str> {
        let line = event.it.line;
        let version = version(line, mark).ok_or(other)?;
        let mut at = header_end(line, version).ok_or(incomplete)? + 1;
        for slot in &self.header {
            let end = header_end(line, at).ok_or(incomplete)?;
            if let Some(slot) = slot {
                let value = event.it.unescaped(at, end, |b| matches!(b, b'|' | b'\\').then_some(b));
                event.it.batch.set(*slot, event.it.row, value);
            }
            at = end + 1;
        }
        Ok((version, at))
    }

    fn cef(&mut self, event: &mut Event<'_>) -> Result<(), &'static str> {
        let (_, start) = self.header(event, b"CEF:", "the CEF header is incomplete", "not a CEF event")?;
        let line = event.it.line;
        // A value holds blanks: it ends where the next key begins.
        let mut key = next_key(line, start);
        while let Some((key_start, key_end)) = key {
            let from = key_end + 1;
            key = next_key(line, from);
            let end = key.map_or(line.len(), |(next, _)| next);
            self.pair(event, (key_start, key_end), (from, from + line[from..end].trim_ascii_end().len()));
        }
        Ok(())
    }

    fn pair(&mut self, event: &mut Event<'_>, key: (usize, usize), value: (usize, usize)) {
        let short = &event.it.line[key.0..key.1];
        let full = full_name(short);
        let want = self.names.want(full.map_or(short, str::as_bytes));
        let is_time = self.wanted.event_time && full.is_some_and(|full| CEF_TIMES.contains(&full));
        if want == Want::Nothing && !is_time {
            return;
        }
        let value = event.it.unescaped(value.0, value.1, |b| match b {
            b'=' | b'\\' | b'|' => Some(b),
            b'n' => Some(b'\n'),
            b'r' => Some(b'\r'),
            _ => None,
        });
        let own_name = event.it.span(key.0, key.1);
        match full {
            None => event.it.put(want, |_| own_name, value),
            Some(full) => {
                event.note_time(full, value, CEF_TIMES);
                let known = &mut self.known;
                let name = |batch: &mut Batch| *known.entry(full).or_insert_with(|| batch.derive(Kind::Text, full.as_bytes()));
                event.it.put(want, name, value);
            }
        }
    }

    fn leef(&mut self, event: &mut Event<'_>) -> Result<(), &'static str> {
        let (version, mut at) = self.header(event, b"LEEF:", "the LEEF header is incomplete", "not a LEEF event")?;
        let line = event.it.line;
        let mut separator = b'\t';
        if line[version] == b'2'
            && let Some(end) = memchr::memchr(b'|', &line[at..]).filter(|n| *n <= 5).map(|n| at + n)
        {
            separator = leef_separator(&line[at..end]).unwrap_or(separator);
            at = end + 1;
        }
        for part in line[at..].split(|b| *b == separator) {
            if let Some(equals) = memchr::memchr(b'=', part).filter(|n| *n > 0) {
                let (name, value) = (event.it.span(at, at + equals), event.it.span(at + equals + 1, at + part.len()));
                let key = &part[..equals];
                if let Ok(key) = std::str::from_utf8(key) {
                    event.note_time(key, value, LEEF_TIMES);
                }
                event.it.put(self.names.want(key), |_| name, value);
            }
            at += part.len() + 1;
        }
        Ok(())
    }
}

/// Where the version begins. A syslog decoder before may have taken the mark for a program's name: then the version comes first.
fn version(line: &[u8], mark: &[u8]) -> Option<usize> {
    let found = memchr::memmem::find(line, mark).map(|at| at + mark.len());
    let is_version = |len: &usize| *len > 0 && line.get(*len) == Some(&b'|');
    found.or_else(|| Some(line.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count()).filter(is_version).map(|_| 0))
}

/// A separator as LEEF 2.0 writes it: one character, `xHH` or `0xHH`; nothing stands for a tab.
fn leef_separator(text: &[u8]) -> Option<u8> {
    match text {
        [byte] => Some(*byte),
        _ => {
            let hex = text.strip_prefix(b"0").unwrap_or(text).strip_prefix(b"x")?;
            u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
        }
    }
}

/// The next `|` that no backslash escapes.
fn header_end(line: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr::memchr2(b'|', b'\\', line.get(at..)?)?;
        if line[at] == b'|' {
            return Some(at);
        }
        at += 2;
    }
}

/// The next key from `start` on, up to its `=`: a word of letters, digits, `_`, `-`, `.` and brackets that follows a blank, or begins the extension at `start`.
fn next_key(line: &[u8], start: usize) -> Option<(usize, usize)> {
    let mut at = start;
    loop {
        at += memchr::memchr2(b'=', b'\\', line.get(at..)?)?;
        if line[at] == b'\\' {
            at += 2;
            continue;
        }
        let is_word = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']');
        let len = line[start..at].iter().rev().take_while(is_word).count();
        let from = at - len;
        if len > 0 && from.checked_sub(1).is_none_or(|before| line[before] == b' ' || (from == start && line[before] == b'|')) {
            return Some((from, at));
        }
        at += 1;
    }
}
