//! RFC 5424: `<PRI>1 TIMESTAMP HOST APP PROCID MSGID [SD] MSG`, walked over a bitmap of its structuring bytes.
use super::Wanted;
use super::literal::Literal;
use super::marks::Marks;
use super::syslog::{Common, Row, Structured};
use crate::event::{Extra, Family, Kind, Slot, Span};
use crate::limits::NAME_BYTES_MAX;

/// Elements learned, and parameters of each; beyond it they are searched each time.
const LEARNED_MAX: usize = 64;

/// A parameter: its name with the blank before and the `="` behind it, and where its value goes.
#[derive(Debug)]
struct Param {
    opening: Literal,
    slot: Option<Slot>,
}

impl Param {
    fn name(&self) -> &[u8] {
        let text = self.opening.text();
        &text[1..text.len() - 2]
    }
}

/// One element's parameters in the order in which they were last seen.
#[derive(Debug)]
struct Element {
    /// The name and the blank behind it.
    opening: Literal,
    params: Vec<Param>,
}

/// Which parameters of structured data are wanted, or whether it stays a text.
#[derive(Debug)]
pub(super) struct StructuredData {
    form: Structured,
    /// Where the text goes.
    text: Option<Slot>,
    wanted: Vec<(Box<[u8]>, Slot)>,
    elements: Vec<Element>,
}

impl StructuredData {
    pub(super) fn new(form: Structured, wanted: &Wanted) -> StructuredData {
        let names = wanted.fields.iter().filter_map(|f| Some((f.name.strip_prefix("sd.")?.as_bytes().into(), f.slot)));
        StructuredData { form, text: wanted.slot("structured_data"), wanted: names.collect(), elements: Vec::new() }
    }

    /// The place of an element that was not expected.
    #[inline(never)]
    fn search_element(&mut self, id: &[u8]) -> usize {
        if let Some(at) = self.elements.iter().position(|e| e.opening.text().strip_suffix(b" ") == Some(id)) {
            return at;
        }
        // Element names come from outside: past the bounds, one place is reused.
        let is_long = |element: &Element| element.opening.text().len() > NAME_BYTES_MAX;
        if self.elements.len() == LEARNED_MAX || self.elements.last().is_some_and(is_long) {
            self.elements.pop();
        }
        self.elements.push(Element { opening: Literal::new(&[id, b" "].concat()), params: Vec::new() });
        self.elements.len() - 1
    }

    /// The slot of a parameter that was not expected, and the place after it.
    #[inline(never)]
    fn search_param(&mut self, element: usize, name: &[u8], next: usize) -> (Option<Slot>, usize) {
        let element = &mut self.elements[element];
        if let Some(at) = element.params.iter().position(|p| p.name() == name) {
            return (element.params[at].slot, at + 1);
        }
        let id = element.opening.text();
        let is = |w: &[u8]| w.strip_prefix(&id[..id.len() - 1]).and_then(|w| w.strip_prefix(b".")) == Some(name);
        let slot = self.wanted.iter().find(|(w, _)| is(w)).map(|(_, s)| *s);
        if element.params.len() == LEARNED_MAX || name.len() > NAME_BYTES_MAX {
            return (slot, next);
        }
        // Beside its neighbour, so that optional parameters do not break the order for the rest.
        element.params.insert(next, Param { opening: Literal::new(&[b" ", name, b"=\""].concat()), slot });
        (slot, next + 1)
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

const BAD: &str = "the structured data is malformed";

/// The length of a name that starts at `from`.
fn name_len(line: &[u8], from: usize) -> Result<usize, &'static str> {
    line[from..].iter().position(|b| matches!(b, b' ' | b']' | b'=' | b'"')).filter(|len| *len > 0).ok_or(BAD)
}

/// The closing quote of a value, and whether the value holds escapes.
#[inline(always)]
fn value_end(line: &[u8], mut marks: Marks<'_>) -> Option<(usize, bool)> {
    loop {
        let at = marks.next();
        match line.get(at)? {
            b'"' => return Some((at, false)),
            b'\\' => return escaped_value_end(line, at),
            _ => {}
        }
    }
}

/// The closing quote of a value whose first backslash is at `slash`, and whether one escapes something.
#[inline(never)]
fn escaped_value_end(line: &[u8], slash: usize) -> Option<(usize, bool)> {
    let (mut at, mut escaped) = (slash, false);
    loop {
        match line.get(at)? {
            b'"' => return Some((at, escaped)),
            b'\\' if matches!(line.get(at + 1)?, b'"' | b'\\' | b']') => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// The name of the parameter behind the blank at `blank`, and where its value begins.
fn param_at(line: &[u8], blank: usize) -> Result<(&[u8], usize), &'static str> {
    let name = &line[blank + 1..][..name_len(line, blank + 1)?];
    let value = blank + name.len() + 3;
    if line.get(..value).is_some_and(|head| head.ends_with(b"=\"")) { Ok((name, value)) } else { Err(BAD) }
}

/// Where the elements at `at` end.
fn elements_end(line: &[u8], marks: &Marks<'_>, mut at: usize) -> Result<usize, &'static str> {
    while line.get(at) == Some(&b'[') {
        let mut stop = at + 1 + name_len(line, at + 1)?;
        while line.get(stop) == Some(&b' ') {
            let (_, value) = param_at(line, stop)?;
            stop = value_end(line, marks.from(value)).ok_or(BAD)?.0 + 1;
        }
        if line.get(stop) != Some(&b']') {
            return Err(BAD);
        }
        at = stop + 1;
    }
    Ok(at)
}

impl Common {
    /// Decodes from the version on.
    #[inline(never)] // as for the structured data
    pub(super) fn rfc5424(&mut self, row: &mut Row<'_>, mut marks: Marks<'_>, all: bool) -> Result<(), &'static str> {
        let line = row.line;
        // VERSION, TIMESTAMP, HOST, APP, PROCID and MSGID end with a blank each.
        let mut ends = [0; 6];
        for end in &mut ends {
            *end = blank(&mut marks, line).ok_or("the RFC 5424 header is incomplete")?;
        }
        let [version, time_end, host, app, procid, msgid] = ends;
        let time = &line[version + 1..time_end];
        if *time != *b"-" {
            let time = self.dates.parse_rfc3339(time).ok_or("the RFC 5424 timestamp is not RFC 3339")?;
            row.put_time(self, time, version + 1, time_end);
        }
        let slots = &self.slots;
        for (slot, from, to) in
            [(slots.hostname, time_end, host), (slots.appname, host, app), (slots.procid, app, procid), (slots.msgid, procid, msgid)]
        {
            row.put_unless_nil(slot, from + 1, to);
        }
        let mut at = self.structured_data(row, marks, msgid + 1, all)?;
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
    #[inline(never)] // its loops want the registers for themselves
    fn structured_data(&mut self, row: &mut Row<'_>, marks: Marks<'_>, mut at: usize, all: bool) -> Result<usize, &'static str> {
        let line = row.line;
        if line.get(at) == Some(&b'-') {
            return Ok(at + 1);
        }
        let mut hint = 0;
        if line.get(at) != Some(&b'[') {
            return Err(BAD);
        }
        if self.structured.form == Structured::Text {
            let end = elements_end(line, &marks, at)?;
            row.put(self.structured.text, at, end);
            return Ok(end);
        }
        while line.get(at) == Some(&b'[') {
            let id = at + 1;
            let expected = self.structured.elements.get(hint).filter(|e| e.opening.is_at(line, id));
            let (element, id_end) = match expected {
                Some(element) => (hint, id + element.opening.text().len() - 1),
                None => {
                    let len = name_len(line, id)?;
                    (self.structured.search_element(&line[id..id + len]), id + len)
                }
            };
            hint = element + 1;
            let (mut stop, mut next) = (id_end, 0);
            loop {
                let params = &self.structured.elements[element].params;
                let (value, slot) = match params.get(next) {
                    Some(param) if param.opening.is_at(line, stop) => {
                        next += 1;
                        (stop + param.opening.text().len(), param.slot)
                    }
                    _ if line.get(stop) != Some(&b' ') => break,
                    _ => {
                        let (name, value) = param_at(line, stop)?;
                        let slot;
                        (slot, next) = self.structured.search_param(element, name, next);
                        (value, slot)
                    }
                };
                let (close, escaped) = value_end(line, marks.from(value)).ok_or(BAD)?;
                if escaped || all {
                    let value_span = match escaped {
                        false => row.span(value, close),
                        true => row.batch.derive_with(Kind::Text, |out| unescape(&row.line[value..close], out)),
                    };
                    self.put_param(row, (id, id_end), (stop + 1, value - 2), slot, value_span, all);
                } else {
                    row.put(slot, value, close);
                }
                stop = close + 1;
            }
            if line.get(stop) != Some(&b']') {
                return Err(BAD);
            }
            at = stop + 1;
        }
        Ok(at)
    }

    /// Puts a parameter whose value is not what stands in the line, or whose name is to be kept.
    #[inline(never)]
    fn put_param(&self, row: &mut Row<'_>, id: (usize, usize), name: (usize, usize), slot: Option<Slot>, value: Span, all: bool) {
        if let Some(slot) = slot {
            row.batch.set(slot, row.row, value);
        }
        if all {
            let (group, name) = (row.span(id.0, id.1), row.span(name.0, name.1));
            row.batch.push_extra(Extra { family: Family::StructuredData, group, name, value });
        }
    }
}

/// Appends a value without the backslashes before `"`, `\` and `]`.
fn unescape(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'\\', text) {
        let special = matches!(text.get(at + 1), Some(b'"' | b'\\' | b']'));
        out.extend_from_slice(&text[..at + usize::from(!special)]);
        if special {
            out.push(text[at + 1]);
        }
        text = &text[at + 1 + usize::from(special)..];
    }
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::syslog::{Structured, SyslogDecoder};
    use super::super::time::TimeRule;
    use super::super::{Decoder, Subject, Wanted, WantedField};
    use crate::event::{Batch, Input, Slot};
    use proptest::prelude::*;

    /// Decodes the lines as one batch. Each row: the value of `sd.id1.a`, and all parameters with their values.
    fn decode(lines: &[Vec<u8>]) -> Vec<(String, Vec<(String, String)>)> {
        let fields = vec![WantedField { name: "sd.id1.a".to_owned(), slot: Slot(0), base: None }];
        let mut decoder = SyslogDecoder::new(Structured::Fields, Wanted { fields, all: true, ..Wanted::default() }, TimeRule::default());
        let mut batch = Batch::default();
        batch.reset(Arc::new(Input::of_lines(lines.iter().map(Vec::as_slice), Arc::default(), 0)), 1);
        decoder.decode(&mut batch, &(0..lines.len() as u16).collect::<Vec<_>>(), Subject::Line);
        let text = |span| String::from_utf8_lossy(batch.bytes(span)).into_owned();
        (0..lines.len())
            .map(|row| {
                let extras = batch.extras(0, row).iter().filter(|e| e.family == crate::event::Family::StructuredData);
                let all = extras.map(|e| (format!("{}.{}", text(e.group), text(e.name)), text(e.value))).collect();
                (text(batch.cell(Slot(0), row)), all)
            })
            .collect()
    }

    /// The field `name` of each line, where structured data is taken as `form`; none where the line is refused.
    fn field(form: Structured, name: &str, lines: &[Vec<u8>]) -> Vec<Option<String>> {
        let fields = vec![WantedField { name: name.to_owned(), slot: Slot(0), base: None }];
        let mut decoder = SyslogDecoder::new(form, Wanted { fields, ..Wanted::default() }, TimeRule::default());
        let mut batch = Batch::default();
        batch.reset(Arc::new(Input::of_lines(lines.iter().map(Vec::as_slice), Arc::default(), 0)), 1);
        decoder.decode(&mut batch, &(0..lines.len() as u16).collect::<Vec<_>>(), Subject::Line);
        let is_refused = |row: usize| batch.faults.iter().any(|(at, ..)| usize::from(*at) == row);
        let text = |row| String::from_utf8_lossy(batch.bytes(batch.cell(Slot(0), row))).into_owned();
        (0..lines.len()).map(|row| (!is_refused(row)).then(|| text(row))).collect()
    }

    #[test]
    fn structured_data_may_stay_a_text() {
        let lines = [r#"<34>1 - h a - - [id1 a="b\"]" c=""][id2] text"#, "<34>1 - h a - - - text", "<34>1 - h a - - [id1 a=b] text"];
        let lines: Vec<Vec<u8>> = lines.iter().map(|l| l.as_bytes().to_vec()).collect();
        let expected = [Some(r#"[id1 a="b\"]" c=""][id2]"#.to_owned()), Some(String::new()), None];
        assert_eq!(field(Structured::Text, "structured_data", &lines), expected);
    }

    proptest! {
        /// As a text or in fields: the same lines are refused, and the message is the same.
        #[test]
        fn both_forms_read_alike(tails in prop::collection::vec("(\\[[a-c]{1,2}( [ab]{1,2}=\"[a-z \\\\\"\\]]{0,4}\"){0,3}\\]?){0,3}( [a-z]{0,3})?|-( x)?", 1..6)) {
            let lines: Vec<Vec<u8>> = tails.iter().map(|tail| format!("<34>1 - h a - - {tail}").into_bytes()).collect();
            prop_assert_eq!(field(Structured::Text, "message", &lines), field(Structured::Fields, "message", &lines));
        }

        #[test]
        fn structured_data_comes_back(rows in prop::collection::vec(
            prop::collection::vec(("id[12]", prop::collection::vec(("[a-c]|a_long_parameter_name", r#"[ -~é]{0,20}"#), 0..4)), 1..4), 1..6)) {
            let mut lines = Vec::new();
            let mut expected = Vec::new();
            for elements in &rows {
                let mut line = "<34>1 2026-01-02T03:04:05Z h a - - ".to_owned();
                let (mut all, mut wanted) = (Vec::new(), String::new());
                for (id, params) in elements {
                    line += &format!("[{id}");
                    for (name, value) in params {
                        let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace(']', "\\]");
                        line += &format!(" {name}=\"{escaped}\"");
                        all.push((format!("{id}.{name}"), value.clone()));
                        if id == "id1" && name == "a" {
                            wanted.clone_from(value);
                        }
                    }
                    line += "]";
                }
                lines.push(line.into_bytes());
                expected.push((wanted, all));
            }
            prop_assert_eq!(decode(&lines), expected);
        }

        #[test]
        fn any_bytes_are_survived(head in prop::sample::select(vec!["<34>1 - - - - - ", "<34>1 2026-01-02T03:04:05Z h a p m [id1 a=\"", "<1", ""]),
            tail in prop::collection::vec(prop::sample::select(b"[]=\" \\a1-\xc3:".to_vec()), 0..30)) {
            decode(&[[head.as_bytes(), &tail].concat(), b"<34>1 - - - - - [id1 a=\"b\"]".to_vec()]);
        }
    }
}
