//! Cisco message texts: `%FACILITY-SEVERITY-MNEMONIC: text [key: value] key=value`.
use super::Wanted;
use super::syslog::Row;
use crate::event::text::is_same;
use crate::event::{Extra, Family, Kind, Slot, Span};
use crate::simd;

/// Which parts of Cisco messages are wanted.
#[derive(Debug, Default)]
pub(super) struct Cisco {
    facility: Option<Slot>,
    severity: Option<Slot>,
    mnemonic: Option<Slot>,
    keys: Vec<(Box<[u8]>, Slot)>,
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
                Some(key) => cisco.keys.push((key.as_bytes().into(), field.slot)),
                None => {}
            }
        }
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
        if all || !self.keys.is_empty() {
            self.body(row, text, all);
        }
    }

    /// Finds `[key: value]` and `key=value`.
    fn body(&mut self, row: &mut Row<'_>, text: usize, all: bool) {
        let line = row.line;
        let (mut at, mut close) = (text, 0);
        self.next = 0;
        loop {
            let mark = simd::find_near(line, at, [b'[', b'=']);
            if mark >= line.len() {
                return;
            }
            at = mark + 1;
            if line[mark] == b'=' {
                let from = line[text..mark]
                    .iter()
                    .rposition(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')))
                    .map_or(text, |n| text + n + 1);
                let end = simd::find_near(line, at, [b' ', b',', b';']);
                if from < mark && end > at {
                    self.pair(row, (from, mark), (at, end), all);
                }
                at = end;
                continue;
            }
            // What nothing closes is looked for once, however many brackets open.
            if close < at {
                close = simd::find_near(line, at, [b']']);
            }
            if close == line.len() {
                continue;
            }
            let mut colon = simd::find_near(line, at, [b':', b']']);
            while colon + 1 < close && line[colon + 1] != b' ' {
                colon = simd::find_near(line, colon + 1, [b':', b']']);
            }
            if colon + 1 < close {
                self.pair(row, (at, colon), (colon + 2, close), all);
            }
            at = close;
        }
    }

    fn pair(&mut self, row: &mut Row<'_>, key: (usize, usize), value: (usize, usize), all: bool) {
        let name = &row.line[key.0..key.1];
        let found = match self.keys.get(self.next) {
            Some((known, _)) if is_same(known, name) => Some(self.next),
            _ => self.keys.iter().position(|(known, _)| **known == *name),
        };
        if let Some(found) = found {
            self.next = found + 1;
            row.put(Some(self.keys[found].1), value.0, value.1);
        }
        if all {
            let name = Span::new(Kind::Text, row.at + key.0, key.1 - key.0);
            let value = Span::new(Kind::Text, row.at + value.0, value.1 - value.0);
            row.batch.push_extra(Extra { family: Family::Cisco, group: Span::ABSENT, name, value });
        }
    }
}
