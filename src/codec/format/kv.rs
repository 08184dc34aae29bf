//! `kv`: `key=value key2="a value"`. Quotes of either kind hold separators; `\"` and `\\` inside them stand for themselves.
use super::marks::{MarkMap, Marks};
use super::pairs::{BEGINNING, Keys, Naming, PairRow, Places};
use super::{Decoder, Shape, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::Batch;
use crate::simd;

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
    map: MarkMap<5>,
    subjects: Subjects,
    places: Places,
}

impl KvDecoder {
    /// A decoder for what the plan wants.
    pub fn new(options: KvOptions, wanted: Wanted) -> KvDecoder {
        let naming = Naming { lead: b"", assign: options.assign, full: |_| None, times: &[] };
        let separators = options.separator.map_or(*b" \t\n\x0c\r", |separator| [separator; 5]);
        KvDecoder {
            options,
            keys: Keys::new(naming, &wanted),
            wanted,
            map: MarkMap::new(separators),
            subjects: Subjects::default(),
            places: Places::default(),
        }
    }
}

impl Decoder for KvDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let KvDecoder { options, keys, wanted, map, subjects, places } = self;
        lay_over(batch, wanted);
        subjects.is_ascii = map.read(batch, subject);
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refuse(batch, row, wanted, "no text to decode") };
            let mut it = PairRow::new(batch, usize::from(row), at, line, places);
            let extras = it.extras;
            if !pairs(options, keys, &mut it, &map.of(at, line)) {
                return refuse(batch, row, wanted, "no pair of a key and a value");
            }
            if wanted.all {
                batch.end_extras(wanted.layer, usize::from(row), extras);
            }
        });
    }
}

/// How far a line has been read.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    /// The key met last.
    last: usize,
    /// No separator stands before: who has sought the next one once in pairs that touch each other need not seek it for each.
    touching: usize,
}

/// Puts all pairs. Returns whether there were any. Words without a value are passed over.
fn pairs(options: &KvOptions, keys: &mut Keys, row: &mut PairRow<'_>, marks: &Marks<'_>) -> bool {
    let line = row.line;
    // Where separators stand inside of what opens a pair, none is expected.
    let touching = if options.separates(options.assign) { usize::MAX } else { 0 };
    let mut place = Place { at: 0, last: BEGINNING, touching };
    loop {
        if place.at >= place.touching {
            expected_pairs(keys, row, marks, &mut place);
        }
        let Place { at, last, .. } = place;
        let Some(byte) = line.get(at) else { return last != BEGINNING };
        if options.separates(*byte) || *byte == b' ' {
            place.at += 1;
            continue;
        }
        let is_end = |b: &u8| *b == options.assign || options.separates(*b);
        let end = line[at..].iter().position(is_end).map_or(line.len(), |n| at + n);
        if line.get(end) != Some(&options.assign) {
            place.at = end;
            continue;
        }
        let name = trim(line, at, end);
        let it = value(line, end + 1, marks);
        place.at = it.end;
        if name.0 < name.1 {
            place.last = keys.search(last, &line[name.0..name.1], it.quoted);
            let span = if it.escaped { row.unescaped(it.from, it.to, letter) } else { row.span(it.from, it.to) };
            row.put(keys.get(place.last), |_| name.0, span);
        }
    }
}

/// Puts pairs as long as the keys come as expected, and no value is rare in its form.
#[inline(never)] // the loop wants the registers for itself
fn expected_pairs(keys: &Keys, row: &mut PairRow<'_>, marks: &Marks<'_>, place: &mut Place) {
    let line = row.line;
    let mut at = place.at;
    let mut separators = marks.from(at);
    let mut current = keys.get(place.last);
    while at < line.len() {
        let key = keys.expected(current);
        if !key.opening.is_at(line, at) {
            break;
        }
        let from = at + key.opening.text().len();
        let mut separator = separators.next().min(line.len());
        let mut to = separator;
        if key.quoted {
            to = separator.wrapping_sub(1);
            if !closes_at(line, from, to) {
                // It is long, or holds a separator.
                to = simd::find_near(line, from, [b'"', b'\\']);
                if line.get(to) != Some(&b'"') {
                    break;
                }
                while separator <= to {
                    separator = separators.next().min(line.len());
                }
                if separator > to + 1 {
                    place.touching = separator;
                    break;
                }
            }
        } else if matches!(line.get(from), Some(b'"' | b'\'')) {
            break;
        }
        row.put(key, |_| at, row.span(from, to));
        (current, at) = (key, separator + 1);
    }
    (place.at, place.last) = (at, current.number);
}

/// Whether a short quoted value that begins at `from` ends at `to`, without a backslash.
#[inline(always)]
fn closes_at(line: &[u8], from: usize, to: usize) -> bool {
    let block = line.get(from..).and_then(|rest| rest.first_chunk());
    block.is_some_and(|block| simd::is_first_at(block, to.wrapping_sub(from), b'"', b'\\'))
}

fn letter(byte: u8) -> Option<u8> {
    matches!(byte, b'"' | b'\'' | b'\\').then_some(byte)
}

/// Where a value lies, where what holds it ends, whether that is a pair of double quotes, and whether backslashes stand in it.
struct Value {
    from: usize,
    to: usize,
    end: usize,
    quoted: bool,
    escaped: bool,
}

/// The value at `from`. A quote that nothing closes is part of a plain value.
fn value(line: &[u8], from: usize, separators: &Marks<'_>) -> Value {
    if let Some(quote @ (b'"' | b'\'')) = line.get(from)
        && let Some((close, escaped)) = closing(line, from + 1, *quote)
    {
        return Value { from: from + 1, to: close, end: close + 1, quoted: *quote == b'"', escaped };
    }
    let to = separators.from(from).next().min(line.len());
    Value { from, to, end: to, quoted: false, escaped: false }
}

/// The next quote of a kind that no backslash escapes, and whether one escaped anything before it.
fn closing(line: &[u8], mut at: usize, quote: u8) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        at = simd::find_near(line, at, [quote, b'\\']);
        if *line.get(at)? == quote {
            return Some((at, escaped));
        }
        (at, escaped) = (at + 2, true);
    }
}

/// A part without blanks at its ends.
fn trim(line: &[u8], from: usize, to: usize) -> (usize, usize) {
    let text = &line[from..to];
    let left = text.iter().take_while(|b| **b == b' ').count();
    let right = text[left..].iter().rev().take_while(|b| **b == b' ').count();
    (from + left, to - right)
}
