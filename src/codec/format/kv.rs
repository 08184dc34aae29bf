//! `kv`: `key=value key2="a value"`. Quotes of either kind hold separators; `\"` and `\\` inside them stand for themselves.
use super::pairs::{Names, PairRow};
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
    names: Names,
    wanted: Wanted,
    subjects: Subjects,
}

impl KvDecoder {
    /// A decoder for what the plan wants.
    pub fn new(options: KvOptions, wanted: Wanted) -> KvDecoder {
        KvDecoder { options, names: Names::new(&wanted), wanted, subjects: Subjects::default() }
    }
}

impl Decoder for KvDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let KvDecoder { options, names, wanted, subjects } = self;
        lay_over(batch, wanted);
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refuse(batch, row, wanted, "no text to decode") };
            let extras = batch.extras_len();
            let mut it = PairRow { batch, row: usize::from(row), at, line, extras };
            if pairs(options, names, &mut it, 0) == 0 {
                return refuse(batch, row, wanted, "no pair of a key and a value");
            }
            if wanted.all {
                batch.end_extras(wanted.layer, usize::from(row), extras);
            }
        });
    }
}

/// Puts all pairs from `at` on. Returns how many there were. Words without a value are passed over.
fn pairs(options: &KvOptions, names: &Names, row: &mut PairRow<'_>, mut at: usize) -> usize {
    let line = row.line;
    let mut found = 0;
    while at < line.len() {
        if options.separates(line[at]) || line[at] == b' ' {
            at += 1;
            continue;
        }
        let is_end = |b: &u8| *b == options.assign || options.separates(*b);
        let key_end = line[at..].iter().position(is_end).map_or(line.len(), |n| at + n);
        if line.get(key_end) != Some(&options.assign) {
            at = key_end;
            continue;
        }
        let key = trim(line, at, key_end);
        let from = key_end + 1;
        let (value, end) = match line.get(from) {
            Some(quote @ (b'"' | b'\'')) if let Some(close) = closing(line, from + 1, *quote) => {
                (row.unescaped(from + 1, close, |b| matches!(b, b'"' | b'\'' | b'\\').then_some(b)), close + 1)
            }
            _ => {
                let end = line[from..].iter().position(|b| options.separates(*b)).map_or(line.len(), |n| from + n);
                (row.span(from, end), end)
            }
        };
        if key.0 < key.1 {
            let span = row.span(key.0, key.1);
            row.put(names.want(&line[key.0..key.1]), |_| span, value);
            found += 1;
        }
        at = end;
    }
    found
}

fn closing(line: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    loop {
        at += memchr::memchr2(quote, b'\\', line.get(at..)?)?;
        if line[at] == quote {
            return Some(at);
        }
        at += 2;
    }
}

/// A part without blanks at its ends.
fn trim(line: &[u8], from: usize, to: usize) -> (usize, usize) {
    let text = &line[from..to];
    let left = text.iter().take_while(|b| **b == b' ').count();
    let right = text[left..].iter().rev().take_while(|b| **b == b' ').count();
    (from + left, to - right)
}
