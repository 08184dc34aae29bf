//! Cisco message texts: `%FACILITY-SEVERITY-MNEMONIC: text [key: value] key=value`.
use super::Wanted;
use super::literal::Literal;
use super::syslog::Row;
use crate::event::{Extra, Family, Kind, Slot, Span};
use crate::limits::NAME_BYTES_MAX;
use crate::simd;

/// Keys that are remembered beside those that are wanted. They come from outside.
const LEARNED_MAX: usize = 32;

/// A key, and where its value goes.
#[derive(Debug)]
struct Key {
    /// As it stands in brackets: `[key: `.
    opening: Literal,
    slot: Option<Slot>,
}

impl Key {
    fn new(name: &[u8], slot: Option<Slot>) -> Key {
        Key { opening: Literal::new(&[b"[", name, b": "].concat()), slot }
    }

    fn name(&self) -> &[u8] {
        let text = self.opening.text();
        &text[1..text.len() - 2]
    }
}

/// Which parts of Cisco messages are wanted.
#[derive(Debug, Default)]
pub(super) struct Cisco {
    facility: Option<Slot>,
    severity: Option<Slot>,
    mnemonic: Option<Slot>,
    /// In the order in which they were last seen.
    keys: Vec<Key>,
    wanted: usize,
    /// The key that is expected next.
    next: usize,
}

impl Cisco {
    pub(super) fn new(wanted: &Wanted) -> Cisco {
        let mut cisco = Cisco::default();
        for field in &wanted.fields {
            match field.name.strip_prefix("cisco.") {
                Some("facility") => cisco.facility = Some(field.slot),
                Some("severity") => cisco.severity = Some(field.slot),
                Some("mnemonic") => cisco.mnemonic = Some(field.slot),
                // No text has a key with one of these in it.
                Some(key) if !key.contains(']') && !key.contains(": ") => cisco.keys.push(Key::new(key.as_bytes(), Some(field.slot))),
                _ => {}
            }
        }
        cisco.wanted = cisco.keys.len();
        cisco
    }

    /// Decodes the code at `code` and the text behind it.
    pub(super) fn decode(&mut self, row: &mut Row<'_>, code: (usize, usize), text: usize, all: bool) {
        let line = row.line;
        // The severity is the one digit between two dashes; facilities may hold dashes of their own.
        let mut dash = simd::find_near(line, code.0, [b'-']);
        while dash + 2 < code.1 && !(line[dash + 1].is_ascii_digit() && line[dash + 2] == b'-') {
            dash = simd::find_near(line, dash + 1, [b'-']);
        }
        if dash + 2 >= code.1 {
            return;
        }
        let parts = [
            (self.facility, "facility", code.0 + 1, dash),
            (self.severity, "severity", dash + 1, dash + 2),
            (self.mnemonic, "mnemonic", dash + 3, code.1),
        ];
        for (slot, name, from, to) in parts {
            row.put(slot, from, to);
            if all {
                let name = row.batch.derive(Kind::Text, name.as_bytes());
                let value = Span::new(Kind::Text, row.at + from, to - from);
                row.batch.push_extra(Extra { family: Family::Cisco, group: Span::ABSENT, name, value });
            }
        }
        if all || self.wanted > 0 {
            self.body(row, text, all);
        }
    }

    /// Finds `[key: value]` and `key=value`.
    fn body(&mut self, row: &mut Row<'_>, text: usize, all: bool) {
        let line = row.line;
        let next_mark = |at| simd::find_near(line, at, [b'[', b'=']);
        let (mut mark, mut close) = (next_mark(text), 0);
        self.next = 0;
        while mark < line.len() {
            let mut at = mark + 1;
            if line[mark] == b'=' {
                let from = line[text..mark]
                    .iter()
                    .rposition(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')))
                    .map_or(text, |n| text + n + 1);
                let end = simd::find_near(line, at, [b' ', b',', b';']);
                if from < mark && end > at {
                    let key = self.key(&line[from..mark]);
                    self.put(row, key, (from, mark), (at, end), all);
                }
                mark = next_mark(end);
                continue;
            }
            // What nothing closes is looked for once, however many brackets open.
            if close < at {
                close = simd::find_near(line, at, [b']']);
            }
            if close < line.len() {
                self.bracket(row, (mark, close), all);
                at = close;
                if line.get(close + 1) == Some(&b' ') && line.get(close + 2) == Some(&b'[') {
                    mark = close + 2;
                    continue;
                }
            }
            mark = next_mark(at);
        }
    }

    /// Puts `[key: value]`, if that is what stands between two brackets.
    #[inline(always)]
    fn bracket(&mut self, row: &mut Row<'_>, (open, close): (usize, usize), all: bool) {
        let line = row.line;
        if let Some(expected) = self.keys.get(self.next)
            && expected.opening.is_at(line, open)
        {
            // A key holds no bracket, so what closes stands behind it.
            let from = open + expected.opening.text().len();
            return self.put(row, Some(self.next), (open + 1, from - 2), (from, close), all);
        }
        let mut colon = simd::find_near(line, open + 1, [b':', b']']);
        while colon + 1 < close && line[colon + 1] != b' ' {
            colon = simd::find_near(line, colon + 1, [b':', b']']);
        }
        if colon + 1 < close {
            let key = self.key(&line[open + 1..colon]);
            self.put(row, key, (open + 1, colon), (colon + 2, close), all);
        }
    }

    /// The number of a key that was not expected. None: it is not wanted, and too long or one too many to remember it.
    #[inline(never)]
    fn key(&mut self, name: &[u8]) -> Option<usize> {
        let is_it = |key: &Key| simd::equal(key.name(), name);
        // Behind the one that came last first: pairs without brackets keep an order, too.
        let (passed, ahead) = self.keys.split_at(self.next);
        let known = ahead.iter().position(is_it).map(|at| self.next + at).or_else(|| passed.iter().position(is_it));
        known.or_else(|| {
            (self.keys.len() < self.wanted + LEARNED_MAX && (1..=NAME_BYTES_MAX).contains(&name.len())).then(|| {
                // Beside its neighbour, so that optional keys do not break the order for the rest.
                self.keys.insert(self.next, Key::new(name, None));
                self.next
            })
        })
    }

    #[inline(always)]
    fn put(&mut self, row: &mut Row<'_>, key: Option<usize>, name: (usize, usize), value: (usize, usize), all: bool) {
        if let Some(key) = key {
            self.next = key + 1;
            row.put(self.keys[key].slot, value.0, value.1);
        }
        if all {
            let name = Span::new(Kind::Text, row.at + name.0, name.1 - name.0);
            let value = Span::new(Kind::Text, row.at + value.0, value.1 - value.0);
            row.batch.push_extra(Extra { family: Family::Cisco, group: Span::ABSENT, name, value });
        }
    }
}
