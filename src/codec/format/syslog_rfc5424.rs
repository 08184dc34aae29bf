//! RFC 5424: `<PRI>1 TIMESTAMP HOST APP PROCID MSGID [SD] MSG`, walked over a bitmap of its structuring bytes.
use super::Wanted;
use super::syslog::{Common, Marks, Row};
use crate::event::text::is_same;
use crate::event::{Extra, Family, Kind, Slot, Span};

/// Parameters learned of one element; beyond it they are searched each time.
const LEARNED_MAX: usize = 64;

/// One element's parameters in the order in which they were last seen.
#[derive(Debug, Default)]
struct Element {
    id: Box<[u8]>,
    learned: Vec<(Box<[u8]>, Option<Slot>)>,
    next: usize,
}

/// Which parameters of structured data are wanted.
#[derive(Debug, Default)]
pub(super) struct StructuredData {
    wanted: Vec<(Box<[u8]>, Slot)>,
    elements: Vec<Element>,
}

impl StructuredData {
    pub(super) fn new(wanted: &Wanted) -> StructuredData {
        let names = wanted.fields.iter().filter_map(|f| Some((f.name.strip_prefix("sd.")?.as_bytes().into(), f.slot)));
        StructuredData { wanted: names.collect(), elements: Vec::new() }
    }

    #[inline(always)]
    fn element(&mut self, id: &[u8], hint: usize) -> usize {
        let found = match self.elements.get(hint) {
            Some(element) if is_same(&element.id, id) => Some(hint),
            _ => self.elements.iter().position(|e| *e.id == *id),
        };
        let at = found.unwrap_or_else(|| {
            // Element names come from outside: past the bound, one place is reused.
            if self.elements.len() == LEARNED_MAX {
                self.elements.pop();
            }
            self.elements.push(Element { id: id.into(), ..Element::default() });
            self.elements.len() - 1
        });
        self.elements[at].next = 0;
        at
    }

    #[inline(always)]
    fn slot(&mut self, element: usize, name: &[u8]) -> Option<Slot> {
        let element = &mut self.elements[element];
        if let Some((known, slot)) = element.learned.get(element.next)
            && is_same(known, name)
        {
            element.next += 1;
            return *slot;
        }
        if let Some(at) = element.learned.iter().position(|(n, _)| **n == *name) {
            element.next = at + 1;
            return element.learned[at].1;
        }
        let dotted = element.id.len();
        let is = |w: &[u8]| w.len() == dotted + 1 + name.len() && w.starts_with(&element.id) && w[dotted] == b'.' && w.ends_with(name);
        let slot = self.wanted.iter().find(|(w, _)| is(w)).map(|(_, s)| *s);
        if element.learned.len() < LEARNED_MAX {
            element.learned.push((name.into(), slot));
            element.next = element.learned.len();
        }
        slot
    }
}

/// The next blank, if the line has one.
#[inline(always)]
fn blank(marks: &mut Marks<'_>, line: &[u8]) -> Option<usize> {
    loop {
        let at = marks.next();
        if *line.get(at)? == b' ' {
            return Some(at);
        }
    }
}

impl Common {
    /// Decodes from the version on.
    pub(super) fn rfc5424(&mut self, row: &mut Row<'_>, mut marks: Marks<'_>, all: bool) -> Result<(), &'static str> {
        const SHORT: &str = "the RFC 5424 header is incomplete";
        let line = row.line;
        let mut from = blank(&mut marks, line).ok_or(SHORT)? + 1;
        let to = blank(&mut marks, line).ok_or(SHORT)?;
        if line[from..to] != *b"-" {
            let time = self.dates.parse_rfc3339(&line[from..to]).ok_or("the RFC 5424 timestamp is not RFC 3339")?;
            row.put_time(self, time, from, to);
        }
        for slot in [self.slots.hostname, self.slots.appname, self.slots.procid] {
            from = from.max(to) + 1;
            let to = blank(&mut marks, line).ok_or(SHORT)?;
            row.put_unless_nil(slot, from, to);
            from = to;
        }
        from += 1;
        let to = blank(&mut marks, line).ok_or(SHORT)?;
        row.put_unless_nil(self.slots.msgid, from, to);
        let mut at = self.structured_data(row, &mut marks, to + 1, all)?;
        if at == line.len() {
            return Ok(());
        }
        if line[at] != b' ' {
            return Err("a blank is expected after the structured data");
        }
        at += 1;
        if line[at..].starts_with("\u{feff}".as_bytes()) {
            at += 3;
        }
        row.put(self.slots.message, at, line.len());
        Ok(())
    }

    /// Decodes the structured data at `at`. Returns where it ends.
    #[inline(always)]
    fn structured_data(&mut self, row: &mut Row<'_>, marks: &mut Marks<'_>, mut at: usize, all: bool) -> Result<usize, &'static str> {
        const BAD: &str = "the structured data is malformed";
        let line = row.line;
        if line.get(at) == Some(&b'-') {
            return Ok(at + 1);
        }
        let mut hint = 0;
        if line.get(at) != Some(&b'[') {
            return Err(BAD);
        }
        while line.get(at) == Some(&b'[') {
            let id = at + 1;
            let mut stop = marks.next();
            let id_end = stop;
            let element = self.structured.element(line.get(id..id_end).ok_or(BAD)?, hint);
            hint = element + 1;
            while line.get(stop) == Some(&b' ') {
                let name = stop + 1;
                let equals = marks.next();
                if line.get(equals) != Some(&b'=') || equals == name || marks.next() != equals + 1 || line.get(equals + 1) != Some(&b'"') {
                    return Err(BAD);
                }
                let (value, escaped) = (equals + 2, self.value_end(line, marks));
                let (close, escaped) = escaped.ok_or(BAD)?;
                let slot = self.structured.slot(element, &line[name..equals]);
                if slot.is_some() || all {
                    let span = self.param(row, value, close, escaped);
                    if let Some(slot) = slot {
                        row.batch.set(slot, row.row, span);
                    }
                    if all {
                        let group = Span::new(Kind::Text, row.at + id, id_end - id);
                        let name = Span::new(Kind::Text, row.at + name, equals - name);
                        row.batch.push_extra(Extra { family: Family::StructuredData, group, name, value: span });
                    }
                }
                stop = marks.next();
                if stop != close + 1 {
                    return Err(BAD);
                }
            }
            if line.get(stop) != Some(&b']') || id_end == id {
                return Err(BAD);
            }
            at = stop + 1;
        }
        Ok(at)
    }

    /// The closing quote of a value, and whether the value holds escapes.
    #[inline(always)]
    fn value_end(&self, line: &[u8], marks: &mut Marks<'_>) -> Option<(usize, bool)> {
        let mut escaped = false;
        loop {
            let at = marks.next();
            match line.get(at)? {
                b'"' => return Some((at, escaped)),
                b'\\' => {
                    if matches!(line.get(at + 1)?, b'"' | b'\\' | b']') {
                        escaped = true;
                        marks.next();
                    }
                }
                _ => {}
            }
        }
    }

    #[inline(always)]
    fn param(&self, row: &mut Row<'_>, from: usize, to: usize, escaped: bool) -> Span {
        if !escaped {
            return Span::new(Kind::Text, row.at + from, to - from);
        }
        let mut bytes = &row.line[from..to];
        row.batch.derive_with(Kind::Text, |out| {
            while let Some(at) = memchr::memchr(b'\\', bytes) {
                let special = matches!(bytes.get(at + 1), Some(b'"' | b'\\' | b']'));
                out.extend_from_slice(&bytes[..at + usize::from(!special)]);
                if special {
                    out.push(bytes[at + 1]);
                }
                bytes = &bytes[at + 1 + usize::from(special)..];
            }
            out.extend_from_slice(bytes);
        })
    }
}
