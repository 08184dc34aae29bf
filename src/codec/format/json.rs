//! `json` (RFC 8259): one object a line, decoded in two stages.
//!
//! Stage one marks quotes and structure with masks over 64 bytes; stage two walks the marks, checks the grammar, and writes a span for each wanted
//! path. Strict: UTF-8, escapes, numbers, commas and nesting are checked. Of a repeated key the last counts.
use super::json_trie::{NOTHING, NodeId, Target, Trie};
use super::{Decoder, Shape, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::{Batch, Extra, Family, Kind, Slot, Span, text};
use crate::limits::JSON_DEPTH_MAX;
use crate::simd;

/// Fields of the format.
pub const SHAPE: Shape = Shape::Json;

/// See the module.
pub struct JsonDecoder {
    trie: Trie,
    wanted: Wanted,
    marks: Vec<u32>,
    backslashes: Vec<u64>,
    key: Vec<u8>,
    literals: Vec<Slot>,
    subjects: Subjects,
}

impl JsonDecoder {
    /// A decoder for what the plan wants.
    pub fn new(wanted: Wanted) -> JsonDecoder {
        let trie = Trie::new(&wanted);
        JsonDecoder {
            trie,
            wanted,
            marks: Vec::new(),
            backslashes: Vec::new(),
            key: Vec::new(),
            literals: Vec::new(),
            subjects: Subjects::default(),
        }
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let JsonDecoder { trie, wanted, marks, backslashes, key, literals, subjects } = self;
        lay_over(batch, wanted);
        // A nested document has no bytes of its own to splice: its members are fields like any other.
        let extras = wanted.all && subject != Subject::Line;
        subjects.each(batch, rows, subject, false, |batch, row, at, bytes| {
            let Some(bytes) = bytes else {
                return refuse(batch, row, wanted, if subject == Subject::Line { "not UTF-8" } else { "no text to decode" });
            };
            let found = simd::json_marks(bytes, marks, backslashes);
            let start = batch.extras_len();
            literals.clear();
            let mut walk = Walk {
                bytes,
                marks,
                next: 0,
                pos: 0,
                backslashes: if found.backslash { backslashes } else { &[] },
                row: usize::from(row),
                at,
                extras,
                trie,
                key,
                literals,
                batch,
            };
            let outcome = if found.broken {
                Err("control character in a string, or a string without an end")
            } else {
                walk.document().map_err(Fault::reason)
            };
            if let Err(reason) = outcome {
                batch.truncate_extras(start);
                refuse(batch, row, wanted, reason);
            } else if extras {
                batch.end_extras(wanted.layer, usize::from(row), start);
            }
        });
    }
}

/// Why a document is refused. One byte, so that results stay in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    NotAnObject,
    TextAfter,
    OpenString,
    TooDeep,
    Key,
    Colon,
    CommaOrBrace,
    CommaOrBracket,
    Value,
    Number,
    Escape,
}

impl Fault {
    fn reason(self) -> &'static str {
        match self {
            Fault::NotAnObject => "not a JSON object",
            Fault::TextAfter => "text after the object",
            Fault::OpenString => "a string without an end",
            Fault::TooDeep => "nested too deeply",
            Fault::Key => "a key is expected",
            Fault::Colon => "a colon is expected",
            Fault::CommaOrBrace => "a comma or a closing brace is expected",
            Fault::CommaOrBracket => "a comma or a closing bracket is expected",
            Fault::Value => "a value is expected",
            Fault::Number => "a bad number",
            Fault::Escape => "a bad escape",
        }
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    marks: &'a [u32],
    /// The next mark that was not consumed.
    next: usize,
    pos: usize,
    /// One bit per byte; empty where there is no backslash at all.
    backslashes: &'a [u64],
    row: usize,
    /// Address of the first byte.
    at: usize,
    extras: bool,
    trie: &'a mut Trie,
    key: &'a mut Vec<u8>,
    literals: &'a mut Vec<Slot>,
    batch: &'a mut Batch,
}

impl Walk<'_> {
    fn document(&mut self) -> Result<(), Fault> {
        let root = self.trie.root();
        if self.peek() != Some(b'{') {
            return Err(Fault::NotAnObject);
        }
        self.object(Some(root), 1)?;
        if self.peek().is_some() { Err(Fault::TextAfter) } else { Ok(()) }
    }

    /// The next byte that is no white space.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.pos)?;
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.pos += 1;
        }
    }

    /// Steps over a structural byte.
    #[inline(always)]
    fn step(&mut self) {
        self.pos += 1;
        self.next += 1;
    }

    /// Reads a string whose opening quote is next. Returns first byte and length of its inside.
    #[inline(always)]
    fn string(&mut self) -> Result<(usize, usize, bool), Fault> {
        let from = self.pos + 1;
        let close = *self.marks.get(self.next + 1).ok_or(Fault::OpenString)? as usize;
        self.next += 2;
        self.pos = close + 1;
        let escaped = self.has_backslash(from, close);
        if escaped {
            self.check_escapes(from, close)?;
        }
        Ok((from, close - from, escaped))
    }

    /// Whether a backslash stands in a range.
    #[inline(always)]
    fn has_backslash(&self, from: usize, to: usize) -> bool {
        if self.backslashes.is_empty() || from == to {
            return false;
        }
        let (first, last) = (from / 64, (to - 1) / 64);
        let head = u64::MAX << (from % 64);
        let tail = u64::MAX >> (63 - (to - 1) % 64);
        if first == last {
            return self.backslashes[first] & head & tail != 0;
        }
        self.backslashes[first] & head != 0
            || self.backslashes[last] & tail != 0
            || self.backslashes[first + 1..last].iter().any(|w| *w != 0)
    }

    /// Checks the escapes in a range, from backslash to backslash.
    fn check_escapes(&self, from: usize, to: usize) -> Result<(), Fault> {
        let mut at = from;
        while let Some(found) = self.next_backslash(at, to) {
            let inside = &self.bytes[found..to];
            at = found
                + match inside.get(1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                    Some(b'u') if text::hex4(inside.get(2..6)).is_some() => 6,
                    _ => return Err(Fault::Escape),
                };
        }
        Ok(())
    }

    #[inline(always)]
    fn next_backslash(&self, from: usize, to: usize) -> Option<usize> {
        let mut index = from / 64;
        let mut word = self.backslashes.get(index)? & (u64::MAX << (from % 64));
        while word == 0 {
            index += 1;
            if index * 64 >= to {
                return None;
            }
            word = *self.backslashes.get(index)?;
        }
        let at = index * 64 + word.trailing_zeros() as usize;
        (at < to).then_some(at)
    }

    fn object(&mut self, node: Option<NodeId>, depth: usize) -> Result<(), Fault> {
        if depth > JSON_DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        if let Some(node) = node {
            self.trie.begin(node);
        }
        self.step();
        if self.peek() == Some(b'}') {
            self.step();
            return Ok(());
        }
        loop {
            // Most members are `"key":"text",` without a blank: six marks say all about one.
            while let Some(ended) = self.plain_member(node, depth)? {
                if ended {
                    return Ok(());
                }
            }
            if self.peek() != Some(b'"') {
                return Err(Fault::Key);
            }
            let (from, len, escaped) = self.string()?;
            let target = match node {
                Some(node) if escaped => {
                    self.key.clear();
                    text::unescape(&self.bytes[from..from + len], self.key);
                    self.trie.find(node, self.key)
                }
                Some(node) => self.trie.find(node, &self.bytes[from..from + len]),
                None => NOTHING,
            };
            if self.peek() != Some(b':') {
                return Err(Fault::Colon);
            }
            self.step();
            let value = self.value(target.node, depth)?;
            if target.slot.is_some() {
                self.put(target, value);
            }
            if self.extras && depth == 1 {
                let kind = if escaped { Kind::Escaped } else { Kind::Text };
                self.batch.push_extra(Extra {
                    family: Family::Plain,
                    group: Span::ABSENT,
                    name: Span::new(kind, self.at + from, len),
                    value,
                });
            }
            match self.peek() {
                Some(b',') => self.step(),
                Some(b'}') => break self.step(),
                _ => return Err(Fault::CommaOrBrace),
            }
        }
        Ok(())
    }

    /// Takes a member of the commonest form; says whether it was the last. None where it is of another form.
    #[inline(always)]
    fn plain_member(&mut self, node: Option<NodeId>, depth: usize) -> Result<Option<bool>, Fault> {
        let Some(marks) = self.marks.get(self.next..).and_then(|m| m.first_chunk::<6>()) else { return Ok(None) };
        let [quote, key_end, colon, open, end, stop] = marks.map(|m| m as usize);
        let adjacent = quote == self.pos && colon == key_end + 1 && open == colon + 1 && stop == end + 1;
        let Some(window) = self.bytes.get(quote..=stop) else { return Ok(None) };
        if !adjacent || window[0] != b'"' || window[colon - quote] != b':' || window[open - quote] != b'"' {
            return Ok(None);
        }
        let ended = match window[stop - quote] {
            b',' => false,
            b'}' => true,
            _ => return Ok(None),
        };
        let mut kind = Kind::Text;
        if self.has_backslash(quote, stop) {
            if self.has_backslash(quote, colon) {
                return Ok(None);
            }
            self.check_escapes(open + 1, end)?;
            kind = Kind::Escaped;
        }
        let key = &window[1..key_end - quote];
        let value = Span::new(kind, self.at + open + 1, end - open - 1);
        if let Some(node) = node {
            let target = self.trie.find(node, key);
            if target.slot.is_some() {
                self.put(target, value);
            }
        }
        if self.extras && depth == 1 {
            let name = Span::new(Kind::Text, self.at + quote + 1, key_end - quote - 1);
            self.batch.push_extra(Extra { family: Family::Plain, group: Span::ABSENT, name, value });
        }
        self.next += 6;
        self.pos = stop + 1;
        Ok(Some(ended))
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        if depth > JSON_DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        self.step();
        if self.peek() == Some(b']') {
            self.step();
            return Ok(());
        }
        loop {
            self.value(None, depth)?;
            match self.peek() {
                Some(b',') => self.step(),
                Some(b']') => break self.step(),
                _ => return Err(Fault::CommaOrBracket),
            }
        }
        Ok(())
    }

    #[inline]
    fn value(&mut self, node: Option<NodeId>, depth: usize) -> Result<Span, Fault> {
        let first = self.peek().ok_or(Fault::Value)?;
        let from = self.pos;
        let kind = match first {
            b'"' => {
                let (from, len, escaped) = self.string()?;
                return Ok(Span::new(if escaped { Kind::Escaped } else { Kind::Text }, self.at + from, len));
            }
            b'{' => {
                self.object(node, depth + 1)?;
                Kind::Json
            }
            b'[' => {
                self.array(depth + 1)?;
                Kind::Json
            }
            b'0'..=b'9' | b'-' => {
                self.pos = number_end(self.bytes, from).ok_or(Fault::Number)?;
                Kind::Number
            }
            _ => {
                let (word, kind): (&[u8], _) = match first {
                    b't' => (b"true", Kind::Bool),
                    b'f' => (b"false", Kind::Bool),
                    b'n' => (b"null", Kind::Null),
                    _ => return Err(Fault::Value),
                };
                if !self.bytes[from..].starts_with(word) {
                    return Err(Fault::Value);
                }
                self.pos = from + word.len();
                kind
            }
        };
        Ok(Span::new(kind, self.at + from, self.pos - from))
    }

    #[inline(always)]
    fn put(&mut self, target: Target, value: Span) {
        let Some(slot) = target.slot else { return };
        if target.literal {
            self.literals.push(slot);
        } else if target.nested && !self.literals.is_empty() && self.literals.contains(&slot) {
            return;
        }
        self.batch.set(slot, self.row, value);
    }
}

/// Where a number that starts at `from` ends; none where its form is wrong.
#[inline]
fn number_end(bytes: &[u8], from: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        while matches!(bytes.get(at), Some(b'0'..=b'9')) {
            at += 1;
        }
        at
    };
    let start = from + usize::from(bytes[from] == b'-');
    let mut at = digits(start);
    if at == start || (bytes[start] == b'0' && at > start + 1) {
        return None;
    }
    if bytes.get(at) == Some(&b'.') {
        let end = digits(at + 1);
        if end == at + 1 {
            return None;
        }
        at = end;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let end = digits(at + 1 + sign);
        if end == at + 1 + sign {
            return None;
        }
        at = end;
    }
    Some(at)
}
