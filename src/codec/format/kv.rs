//! `kv`: `key=value key2="a value"`. Quotes of either kind hold separators; `\"` and `\\` inside them stand for themselves.
use super::marks::{MarkMap, Marks};
use super::pairs::{BEGINNING, Keys, Naming, PairRow};
use super::{Decoder, Shape, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::Batch;

/// Fields of the format: whatever the line names.
pub const SHAPE: Shape = Shape::Flat(&[], &[""]);

/// What stands between pairs and inside of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvOptions {
    /// Between pairs; none: white space.
    pub separator: Option<u8>,
    /// Between a key and its value.
    pub assign: u8,
}

impl Default for KvOptions {
    fn default() -> KvOptions {
        KvOptions { separator: None, assign: b'=' }
    }
}

impl KvOptions {
    fn separates(&self, byte: u8) -> bool {
        match self.separator {
            Some(separator) => byte == separator,
            None => byte.is_ascii_whitespace(),
        }
    }
}

/// See the module.
pub struct KvDecoder {
    options: KvOptions,
    keys: Keys,
    wanted: Wanted,
    map: MarkMap<8>,
    subjects: Subjects,
}

impl KvDecoder {
    /// A decoder for what the plan wants.
    pub fn new(options: KvOptions, wanted: Wanted) -> KvDecoder {
        let naming = Naming { lead: b"", assign: options.assign, full: |_| None, times: &[] };
        let space = options.separator.map_or(*b" \t\n\x0c\r", |separator| [separator; 5]);
        let marks = [b'"', b'\'', b'\\', space[0], space[1], space[2], space[3], space[4]];
        KvDecoder { options, keys: Keys::new(naming, &wanted), wanted, map: MarkMap::new(marks), subjects: Subjects::default() }
    }
}

impl Decoder for KvDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let KvDecoder { options, keys, wanted, map, subjects } = self;
        lay_over(batch, wanted);
        map.read(batch, subject);
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refuse(batch, row, wanted, "no text to decode") };
            let extras = batch.extras_len();
            let mut it = PairRow { batch, row: usize::from(row), at, line, extras, time: None };
            if pairs(options, keys, &mut it, map.of(at, line)) == 0 {
                return refuse(batch, row, wanted, "no pair of a key and a value");
            }
            if wanted.all {
                batch.end_extras(wanted.layer, usize::from(row), extras);
            }
        });
    }
}

/// Puts all pairs. Returns how many there were. Words without a value are passed over.
fn pairs(options: &KvOptions, keys: &mut Keys, row: &mut PairRow<'_>, marks: Marks<'_>) -> usize {
    let line = row.line;
    let (mut at, mut found, mut last) = (0, 0, BEGINNING);
    while at < line.len() {
        if options.separates(line[at]) || line[at] == b' ' {
            at += 1;
            continue;
        }
        let (expected, key) = keys.expected(keys.get(last));
        let from;
        if key.opening.is_at(line, at) {
            (last, from) = (expected, at + key.opening.text().len());
        } else {
            let is_end = |b: &u8| *b == options.assign || options.separates(*b);
            let end = line[at..].iter().position(is_end).map_or(line.len(), |n| at + n);
            if line.get(end) != Some(&options.assign) {
                at = end;
                continue;
            }
            let name = trim(line, at, end);
            from = end + 1;
            if name.0 == name.1 {
                at = value(options, line, from, marks).end;
                continue;
            }
            (last, at) = (keys.search(last, &line[name.0..name.1]), name.0);
        }
        let it = value(options, line, from, marks);
        let span = if it.escaped { row.unescaped(it.from, it.to, letter) } else { row.span(it.from, it.to) };
        row.put(keys.get(last), |_| at, span);
        found += 1;
        at = it.end;
    }
    found
}

fn letter(byte: u8) -> Option<u8> {
    matches!(byte, b'"' | b'\'' | b'\\').then_some(byte)
}

/// Where a value lies, where what holds it ends, and whether backslashes stand in it.
struct Value {
    from: usize,
    to: usize,
    end: usize,
    escaped: bool,
}

/// The value at `from`. A quote that nothing closes is part of a plain value.
#[inline(always)]
fn value(options: &KvOptions, line: &[u8], from: usize, marks: Marks<'_>) -> Value {
    if let Some(quote @ (b'"' | b'\'')) = line.get(from)
        && let Some((close, escaped)) = marks.from(from + 1).next_unescaped(line, *quote)
    {
        return Value { from: from + 1, to: close, end: close + 1, escaped };
    }
    let mut marks = marks.from(from);
    loop {
        let at = marks.next().min(line.len());
        if line.get(at).is_none_or(|byte| options.separates(*byte)) {
            return Value { from, to: at, end: at, escaped: false };
        }
    }
}

/// A part without blanks at its ends.
fn trim(line: &[u8], from: usize, to: usize) -> (usize, usize) {
    let text = &line[from..to];
    let left = text.iter().take_while(|b| **b == b' ').count();
    let right = text[left..].iter().rev().take_while(|b| **b == b' ').count();
    (from + left, to - right)
}
