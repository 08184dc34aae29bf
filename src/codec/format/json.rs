//! `json` (RFC 8259): one object a line, decoded in two stages.
//!
//! Stage one marks quotes, structure and escapes with masks over 64 bytes; stage two walks the marks, checks the grammar, and writes a span for each wanted
//! path. Strict: UTF-8, escapes, numbers, commas and nesting are checked. Of a repeated key the last counts.
use super::json_trie::{Expected, NOTHING, NodeId, Target, Trie};
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
    escapes: Vec<u32>,
    key: Vec<u8>,
    literals: Vec<(Slot, Span)>,
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
            escapes: Vec::new(),
            key: Vec::new(),
            literals: Vec::new(),
            subjects: Subjects::default(),
        }
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let JsonDecoder { trie, wanted, marks, escapes, key, literals, subjects } = self;
        lay_over(batch, wanted);
        // A nested document has no bytes of its own to splice: its members are fields like any other.
        let extras = wanted.all && subject != Subject::Line;
        subjects.each(batch, rows, subject, false, |batch, row, at, bytes| {
            let Some(bytes) = bytes else {
                return refuse(batch, row, wanted, if subject == Subject::Line { "not UTF-8" } else { "no text to decode" });
            };
            let start = batch.extras_len();
            let outcome = if Span::new(Kind::Json, at, bytes.len()) == Span::ABSENT {
                Err("too long")
            } else if !simd::json_marks(bytes, marks, escapes) {
                Err("control character in a string, or a string without an end")
            } else {
                literals.clear();
                let escape = first_of(escapes);
                let mut walk = Walk { bytes, marks, escapes, escape, row: usize::from(row), at, extras, trie, key, literals, batch };
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

/// Where a walk is.
#[derive(Clone, Copy)]
struct Place {
    /// The next byte.
    pos: u32,
    /// The first mark that is not before it.
    mark: u32,
}

impl Place {
    /// Past a structural byte.
    #[inline(always)]
    fn past(self) -> Place {
        Place { pos: self.pos + 1, mark: self.mark + 1 }
    }
}

/// A walk over one document. Its place is handed through the calls by value, so that it stays in registers.
struct Walk<'a> {
    bytes: &'a [u8],
    marks: &'a [u32],
    /// Where escapes begin, of those that were not passed.
    escapes: &'a [u32],
    /// The first of them.
    escape: u32,
    row: usize,
    /// Address of the first byte.
    at: usize,
    extras: bool,
    trie: &'a mut Trie,
    key: &'a mut Vec<u8>,
    /// Values of names with dots that stand as one key: set last, for they win over nested paths.
    literals: &'a mut Vec<(Slot, Span)>,
    batch: &'a mut Batch,
}

/// What stands for the end of the document: no grammar lets it through.
const END: u8 = 0;

/// Bytes that may follow a backslash, without `u`.
const SHORT_ESCAPES: [bool; 256] = {
    let (mut table, letters) = ([false; 256], b"\"\\/bfnrt");
    let mut i = 0;
    while i < letters.len() {
        table[letters[i] as usize] = true;
        i += 1;
    }
    table
};

/// The first escape, or one that no place comes to.
fn first_of(escapes: &[u32]) -> u32 {
    escapes.first().copied().unwrap_or(u32::MAX)
}

/// Whether two bytes come next: what most members have between their parts.
#[inline(always)]
fn is_at(bytes: &[u8], place: Place, two: [u8; 2]) -> bool {
    let at = place.pos as usize;
    bytes.get(at..at + 2) == Some(&two)
}

/// Steps over white space. Returns the byte there.
#[inline(always)]
fn peek(bytes: &[u8], place: Place) -> (Place, u8) {
    match bytes.get(place.pos as usize) {
        Some(byte) if *byte > b' ' => (place, *byte),
        _ => {
            let pos = past_blanks(bytes, place.pos);
            (Place { pos, ..place }, bytes.get(pos as usize).copied().unwrap_or(END))
        }
    }
}

#[inline(never)]
fn past_blanks(bytes: &[u8], pos: u32) -> u32 {
    pos + bytes.iter().skip(pos as usize).take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count() as u32
}

impl Walk<'_> {
    fn document(&mut self) -> Result<(), Fault> {
        let (place, first) = peek(self.bytes, Place { pos: 0, mark: 0 });
        if first != b'{' {
            return Err(Fault::NotAnObject);
        }
        let place = self.object(place, Some(self.trie.root()), 1)?;
        if past_blanks(self.bytes, place.pos) as usize != self.bytes.len() {
            return Err(Fault::TextAfter);
        }
        for (slot, value) in self.literals.drain(..) {
            self.batch.set(slot, self.row, value);
        }
        Ok(())
    }

    /// Reads a string whose opening quote is next. Returns where its inside ends, and whether it holds escapes.
    #[inline(always)]
    fn string(&mut self, place: Place) -> Result<(Place, u32, bool), Fault> {
        let Some(close) = self.marks.get(place.mark as usize + 1) else { return Err(Fault::OpenString) };
        let escaped = self.escape < *close && self.take_escapes(place.pos + 1, *close)?;
        Ok((Place { pos: close + 1, mark: place.mark + 2 }, *close, escaped))
    }

    /// Passes and checks the escapes before `to`. Says whether there was one from `from` on.
    #[inline(never)]
    fn take_escapes(&mut self, from: u32, to: u32) -> Result<bool, Fault> {
        let (bytes, mut found, mut passed) = (&self.bytes[..to as usize], false, 0);
        for escape in self.escapes {
            let at = *escape as usize;
            // Past the end there is no letter: the next string's escape.
            let Some(letter) = bytes.get(at + 1) else { break };
            passed += 1;
            let is_good = SHORT_ESCAPES[usize::from(*letter)] || *letter == b'u' && text::hex4(bytes.get(at + 2..at + 6)).is_some();
            if !is_good {
                return Err(Fault::Escape);
            }
            found |= *escape >= from;
        }
        self.escapes = &self.escapes[passed..];
        self.escape = first_of(self.escapes);
        Ok(found)
    }

    fn object(&mut self, place: Place, node: Option<NodeId>, depth: usize) -> Result<Place, Fault> {
        if depth > JSON_DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        let bytes = self.bytes;
        let mut expected = self.trie.first(node);
        let (mut place, mut first) = peek(bytes, place.past());
        if first == b'}' {
            return Ok(place.past());
        }
        loop {
            if first != b'"' {
                return Err(Fault::Key);
            }
            place = if self.trie.is_at(expected, bytes, place.pos as usize + 1) {
                let (len, target, next) = self.trie.expected(expected);
                expected = next;
                self.member(place, Place { pos: place.pos + len + 2, mark: place.mark + 2 }, false, target, depth)?
            } else {
                let learned;
                (place, learned) = self.surprise(place, node, expected, depth)?;
                expected = learned;
                place
            };
            if is_at(bytes, place, *b",\"") {
                (place, first) = (place.past(), b'"');
                continue;
            }
            let separator;
            (place, separator) = peek(bytes, place);
            match separator {
                b',' => (place, first) = peek(bytes, place.past()),
                b'}' => return Ok(place.past()),
                _ => return Err(Fault::CommaOrBrace),
            }
        }
    }

    /// Reads a member whose key was not expected.
    #[inline(never)]
    fn surprise(&mut self, place: Place, node: Option<NodeId>, mut expected: Expected, depth: usize) -> Result<(Place, Expected), Fault> {
        let (after, to, escaped) = self.string(place)?;
        let mut key = &self.bytes[place.pos as usize + 1..to as usize];
        if escaped {
            self.key.clear();
            text::unescape(key, self.key);
            key = self.key;
        }
        let target = node.map_or(NOTHING, |node| self.trie.search(node, &mut expected, key));
        Ok((self.member(place, after, escaped, target, depth)?, expected))
    }

    /// Reads the rest of a member whose key, with its quotes, is from `key` to `after`.
    #[inline(always)]
    fn member(&mut self, key: Place, after: Place, escaped: bool, target: Target, depth: usize) -> Result<Place, Fault> {
        let key_end = after.pos - 1;
        let (after, first) = if is_at(self.bytes, after, *b":\"") {
            (after.past(), b'"')
        } else {
            let (after, colon) = peek(self.bytes, after);
            if colon != b':' {
                return Err(Fault::Colon);
            }
            peek(self.bytes, after.past())
        };
        let (after, value) = self.value(after, first, target.node(), depth)?;
        if let Some(slot) = target.slot() {
            self.put(slot, target, value);
        }
        if self.extras && depth == 1 {
            let name = self.text_span(key.pos + 1, key_end, escaped);
            self.batch.push_extra(Extra { family: Family::Plain, group: Span::ABSENT, name, value });
        }
        Ok(after)
    }

    fn array(&mut self, place: Place, depth: usize) -> Result<Place, Fault> {
        if depth > JSON_DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        let (mut place, mut first) = peek(self.bytes, place.past());
        if first == b']' {
            return Ok(place.past());
        }
        loop {
            (place, _) = self.value(place, first, None, depth)?;
            let separator;
            (place, separator) = peek(self.bytes, place);
            match separator {
                b',' => (place, first) = peek(self.bytes, place.past()),
                b']' => return Ok(place.past()),
                _ => return Err(Fault::CommaOrBracket),
            }
        }
    }

    /// Reads a value whose first byte is `first`.
    #[inline(always)]
    fn value(&mut self, place: Place, first: u8, node: Option<NodeId>, depth: usize) -> Result<(Place, Span), Fault> {
        let from = place.pos;
        let (place, kind) = match first {
            b'"' => {
                let (end, close, escaped) = self.string(place)?;
                return Ok((end, self.text_span(from + 1, close, escaped)));
            }
            b'{' => (self.object(place, node, depth + 1)?, Kind::Json),
            b'[' => (self.array(place, depth + 1)?, Kind::Json),
            _ => {
                let (pos, kind) = scalar(self.bytes, from as usize, first)?;
                (Place { pos: pos as u32, ..place }, kind)
            }
        };
        Ok((place, self.span(kind, from, place.pos)))
    }

    #[inline(always)]
    fn put(&mut self, slot: Slot, target: Target, value: Span) {
        if target.is_literal() {
            self.literals.push((slot, value));
        } else {
            self.batch.set(slot, self.row, value);
        }
    }

    #[inline(always)]
    fn span(&self, kind: Kind, from: u32, to: u32) -> Span {
        Span::part(kind, self.at + from as usize, (to - from) as usize)
    }

    #[inline(always)]
    fn text_span(&self, from: u32, to: u32, escaped: bool) -> Span {
        self.span(if escaped { Kind::Escaped } else { Kind::Text }, from, to)
    }
}

/// The end and the kind of a number or a word that starts at `from`.
#[inline(always)]
fn scalar(bytes: &[u8], from: usize, first: u8) -> Result<(usize, Kind), Fault> {
    let (word, kind): (&[u8], _) = match first {
        b'0'..=b'9' | b'-' => return Ok((number_end(bytes, from).ok_or(Fault::Number)?, Kind::Number)),
        b't' => (b"true", Kind::Bool),
        b'f' => (b"false", Kind::Bool),
        b'n' => (b"null", Kind::Null),
        _ => return Err(Fault::Value),
    };
    if bytes[from..].starts_with(word) { Ok((from + word.len(), kind)) } else { Err(Fault::Value) }
}

/// Whether a text is a number as JSON writes it.
pub(super) fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && number_end(text, 0) == Some(text.len())
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
