//! `cef` and `leef`: the one-line event formats of ArcSight and of QRadar, with or without a syslog header before them.
//!
//! `CEF:0|vendor|product|version|class id|name|severity|key=value …`: `\|` and `\\` in the header, `\=`, `\\`, `\n` and `\r` in values; a value goes on
//! over blanks until the next ` key=`. Short keys become the dictionary's full names. `LEEF:1.0|vendor|product|version|event id|` with pairs apart by tabs;
//! LEEF 2.0 names its separator in one field more, as a character or as hexadecimal. Source: the CEF and LEEF guides of their vendors.
use super::cef_dictionary::full_name;
use super::marks::{MarkMap, Marks};
use super::pairs::{BEGINNING, Key, Keys, Naming, PairRow, Places};
use super::time::TimeRule;
use super::{Decoder, Shape, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::{Batch, Slot};

/// Header fields of CEF, in order, behind the version.
const CEF_HEADER: &[&str] = &["deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId", "name", "severity"];
/// Header fields of LEEF, in order, behind the version.
const LEEF_HEADER: &[&str] = &["deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId"];
/// Fields of `cef`: the header, then whatever the extension names.
pub const CEF_SHAPE: Shape = Shape::Flat(CEF_HEADER, &[""]);
/// Fields of `leef`: the header, then whatever the event names.
pub const LEEF_SHAPE: Shape = Shape::Flat(LEEF_HEADER, &[""]);
const CEF_NAMING: Naming = Naming { lead: b" ", assign: b'=', full: full_name, times: &["deviceReceiptTime", "endTime", "startTime"] };
const LEEF_NAMING: Naming = Naming { lead: b"", assign: b'=', full: |_| None, times: &["devTime"] };

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `cef`
    Cef,
    /// `leef`
    Leef,
}

impl Dialect {
    /// Header fields, in order, behind the version.
    pub fn header(self) -> &'static [&'static str] {
        match self {
            Dialect::Cef => CEF_HEADER,
            Dialect::Leef => LEEF_HEADER,
        }
    }
}

/// See the module.
pub struct CefDecoder {
    dialect: Dialect,
    keys: Keys,
    header: Vec<Option<Slot>>,
    rule: TimeRule,
    wanted: Wanted,
    map: MarkMap<3>,
    /// What stands between the pairs of LEEF: as the last event told.
    separators: MarkMap<1>,
    subjects: Subjects,
    places: Places,
}

impl CefDecoder {
    /// A decoder for what the plan wants.
    pub fn new(dialect: Dialect, wanted: Wanted, rule: TimeRule) -> CefDecoder {
        let naming = match dialect {
            Dialect::Cef => CEF_NAMING,
            Dialect::Leef => LEEF_NAMING,
        };
        CefDecoder {
            dialect,
            keys: Keys::new(naming, &wanted),
            header: dialect.header().iter().map(|name| wanted.slot(name)).collect(),
            rule,
            wanted,
            map: MarkMap::new([b'|', b'=', b'\\']),
            separators: MarkMap::new([b'\t']),
            subjects: Subjects::default(),
            places: Places::default(),
        }
    }
}

impl Decoder for CefDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let CefDecoder { dialect, keys, header, rule, wanted, map, separators, subjects, places } = self;
        lay_over(batch, wanted);
        subjects.is_ascii = map.read(batch, subject);
        if *dialect == Dialect::Leef {
            separators.read(batch, subject);
        }
        keys.begin();
        let received = batch.input.received;
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refuse(batch, row, wanted, "no text to decode") };
            let mut it = PairRow::new(batch, usize::from(row), at, line, places);
            let marks = map.of(at, line);
            let outcome = match dialect {
                Dialect::Cef => cef(&mut it, marks, header, keys),
                Dialect::Leef => leef(&mut it, marks, separators, header, keys),
            };
            let (time, extras) = (it.time, it.extras);
            match outcome {
                Ok(()) => {
                    if let Some((_, span)) = time
                        && let Some(time) = rule.parse(batch.bytes(span), received)
                    {
                        batch.times[usize::from(row)] = time;
                    }
                    if wanted.all {
                        batch.end_extras(wanted.layer, usize::from(row), extras);
                    }
                }
                Err(reason) => {
                    batch.truncate_extras(extras);
                    refuse(batch, row, wanted, reason);
                }
            }
        });
    }
}

fn cef(row: &mut PairRow<'_>, mut marks: Marks<'_>, slots: &[Option<Slot>], keys: &mut Keys) -> Result<(), &'static str> {
    let version = version(row.line, b"CEF:").ok_or("not a CEF event")?;
    let start = header(row, &mut marks, version, slots).ok_or("the CEF header is incomplete")?.1;
    extension(row, marks, start, keys);
    Ok(())
}

fn leef(
    row: &mut PairRow<'_>,
    mut marks: Marks<'_>,
    separators: &mut MarkMap<1>,
    slots: &[Option<Slot>],
    keys: &mut Keys,
) -> Result<(), &'static str> {
    let version = version(row.line, b"LEEF:").ok_or("not a LEEF event")?;
    let (is_second, mut at) = header(row, &mut marks, version, slots).ok_or("the LEEF header is incomplete")?;
    let line = row.line;
    let mut separator = b'\t';
    if is_second && let Some(end) = memchr::memchr(b'|', &line[at..]).filter(|n| *n <= 5).map(|n| at + n) {
        separator = leef_separator(&line[at..end]).unwrap_or(separator);
        at = end + 1;
    }
    separators.change([separator]);
    leef_pairs(row, &separators.of(row.at, line), at, keys);
    Ok(())
}

/// Puts the pairs of LEEF, from a position on.
fn leef_pairs(row: &mut PairRow<'_>, separators: &Marks<'_>, at: usize, keys: &mut Keys) {
    let (line, mut place) = (row.line, LeefPlace { at, last: BEGINNING });
    while let Some(end) = expected_leef_pairs(row, separators.from(place.at), &mut place, keys) {
        let LeefPlace { at, last } = place;
        place.at = end + 1;
        if let Some(len) = memchr::memchr(b'=', &line[at..end]).filter(|len| *len > 0) {
            place.last = keys.search(last, &line[at..at + len], false);
            row.put(keys.get(place.last), |_| at, row.span(at + len + 1, end));
        }
    }
}

/// How far a line of LEEF has been read, and the key met last.
struct LeefPlace {
    at: usize,
    last: usize,
}

/// Puts pairs as long as the keys come as expected. Returns where the first ends that does not.
#[inline(never)] // the loop wants the registers for itself
fn expected_leef_pairs(row: &mut PairRow<'_>, mut separators: Marks<'_>, place: &mut LeefPlace, keys: &Keys) -> Option<usize> {
    let line = row.line;
    let (mut at, mut current) = (place.at, keys.get(place.last));
    while at < line.len() {
        let end = separators.next().min(line.len());
        let key = keys.expected(current);
        let value = at + key.opening.text().len();
        if value > end || !key.opening.is_at(line, at) {
            *place = LeefPlace { at, last: current.number };
            return Some(end);
        }
        row.put(key, |_| at, row.span(value, end));
        (current, at) = (key, end + 1);
    }
    None
}

/// Sets the header's fields, from the version at `at` on. Returns whether that is 2, and where the header ends.
#[inline(always)]
fn header(row: &mut PairRow<'_>, marks: &mut Marks<'_>, at: usize, slots: &[Option<Slot>]) -> Option<(bool, usize)> {
    let line = row.line;
    let is_second = *line.get(at)? == b'2';
    *marks = marks.from(at);
    let mut at = marks.next_unescaped(line, b'|')?.0 + 1;
    for slot in slots {
        let (end, escaped) = marks.next_unescaped(line, b'|')?;
        if let Some(slot) = slot {
            let value = if escaped { row.unescaped(at, end, header_letter) } else { row.span(at, end) };
            row.set(*slot, value);
        }
        at = end + 1;
    }
    Some((is_second, at))
}

fn header_letter(byte: u8) -> Option<u8> {
    matches!(byte, b'|' | b'\\').then_some(byte)
}

/// A key that stands in an extension.
#[derive(Clone, Copy)]
struct Place {
    /// Its number; [`BEGINNING`]: there is none yet.
    key: usize,
    /// Where its value begins.
    value: usize,
}

/// Puts the pairs of CEF's extension. A value holds blanks: it ends where the next key begins.
fn extension(row: &mut PairRow<'_>, mut marks: Marks<'_>, start: usize, keys: &mut Keys) {
    let mut place = first_key(row.line, start, keys);
    marks = marks.from(place.value);
    while let Some((from, end)) = expected_pairs(row, &mut marks, &mut place, keys) {
        place = Place { key: keys.search(place.key, &row.line[from..end], false), value: end + 1 };
    }
}

fn extension_letter(byte: u8) -> Option<u8> {
    match byte {
        b'=' | b'\\' | b'|' => Some(byte),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        _ => None,
    }
}

/// The first key of an extension that begins at `start`, if it is the expected one: no blank stands before it.
#[inline(always)]
fn first_key(line: &[u8], start: usize, keys: &Keys) -> Place {
    let expected = keys.expected(keys.get(BEGINNING));
    match expected.opening.text().strip_prefix(b" ").filter(|opening| line[start..].starts_with(opening)) {
        Some(opening) => Place { key: expected.number, value: start + opening.len() },
        None => Place { key: BEGINNING, value: start },
    }
}

/// Puts pairs as long as the keys come as expected. Returns where the first begins and ends that does not; its predecessor has been put.
#[inline(never)] // the loop wants the registers for itself
fn expected_pairs(row: &mut PairRow<'_>, marks: &mut Marks<'_>, place: &mut Place, keys: &Keys) -> Option<(usize, usize)> {
    let (line, mut walk) = (row.line, *marks);
    let Place { key, mut value } = *place;
    let mut current = keys.get(key);
    loop {
        let expected = keys.expected(current);
        let mut escaped = false;
        // The blank before the next key, and its `=`.
        let (blank, at) = loop {
            let at = walk.next();
            match line.get(at) {
                Some(b'=') => {
                    let blank = (at + 1).wrapping_sub(expected.opening.text().len());
                    if blank >= value && expected.opening.is_at(line, blank) {
                        break (blank, at);
                    }
                    if let Some(next) = word_before(line, value, at) {
                        if current.number != BEGINNING {
                            put(row, line, current, (value, next - 1), escaped);
                        }
                        (*marks, *place) = (walk, Place { key: current.number, value });
                        return Some((next, at));
                    }
                }
                Some(b'\\') => {
                    escaped = true;
                    walk.pass(at + 1);
                }
                Some(_) => {}
                None => {
                    if current.number != BEGINNING {
                        put(row, line, current, (value, line.len()), escaped);
                    }
                    return None;
                }
            }
        };
        put(row, line, current, (value, blank), escaped);
        (current, value) = (expected, at + 1);
    }
}

/// Puts a value without the blanks at its end.
#[inline(always)]
fn put(row: &mut PairRow<'_>, line: &[u8], key: &Key, (value, mut to): (usize, usize), escaped: bool) {
    // An empty value ends behind its equals sign.
    if line[to - 1] <= b' ' {
        to = trimmed(line, value, to);
    }
    let span = if escaped { row.unescaped(value, to, extension_letter) } else { row.span(value, to) };
    row.put(key, |len| value - 1 - len, span);
}

#[cold]
fn trimmed(line: &[u8], from: usize, to: usize) -> usize {
    from + line[from..to].trim_ascii_end().len()
}

/// Where the key begins that ends at `end`: a word of letters, digits, `_`, `-`, `.` and brackets behind a blank, or behind the header, which ends at `start`.
#[inline(never)]
fn word_before(line: &[u8], start: usize, end: usize) -> Option<usize> {
    let is_word = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']');
    let len = line[start..end].iter().rev().take_while(is_word).count();
    let is_beginning = |from: usize| from.checked_sub(1).is_none_or(|b| line[b] == b' ' || (from == start && line[b] == b'|'));
    Some(end - len).filter(|from| len > 0 && is_beginning(*from))
}

/// Where the version begins. A syslog decoder before may have taken the mark for a program's name: then the version comes first.
#[inline(always)]
fn version(line: &[u8], mark: &[u8]) -> Option<usize> {
    if line.starts_with(mark) {
        return Some(mark.len());
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::WantedField;
    use super::*;
    use crate::event::Input;
    use proptest::prelude::*;

    /// A value of one name, and the others by name.
    type Row = (String, Vec<(String, String)>);

    /// Decodes the lines as one batch. Each row: the value of `b` in its slot, and all others by name; none where the line was refused.
    fn decode(dialect: Dialect, lines: &[String]) -> Vec<Option<Row>> {
        let fields = vec![WantedField { name: "b".to_owned(), slot: Slot(0), base: None }];
        let mut decoder = CefDecoder::new(dialect, Wanted { fields, all: true, ..Wanted::default() }, TimeRule::default());
        let mut batch = Batch::default();
        batch.reset(Arc::new(Input::of_lines(lines.iter().map(String::as_bytes), Arc::default(), 0)), 1);
        decoder.decode(&mut batch, &(0..lines.len() as u16).collect::<Vec<_>>(), Subject::Line);
        let text = |span| String::from_utf8_lossy(batch.bytes(span)).into_owned();
        let row = |row: usize| {
            let mut all: Vec<_> = batch.extras(0, row).iter().map(|e| (text(e.name), text(e.value))).collect();
            all.sort();
            let is_refused = batch.faults.iter().any(|(r, ..)| usize::from(*r) == row);
            (!is_refused).then(|| (text(batch.cell(Slot(0), row)), all))
        };
        (0..lines.len()).map(row).collect()
    }

    /// What should come back of pairs: of a repeated name the last value.
    fn expected(pairs: &[(String, String)]) -> Option<Row> {
        let mut all: std::collections::BTreeMap<String, String> = pairs.iter().cloned().collect();
        let slot = all.remove("b").unwrap_or_default();
        Some((slot, all.into_iter().collect()))
    }

    fn rows(value: &'static str) -> impl Strategy<Value = Vec<Vec<(String, String)>>> {
        prop::collection::vec(prop::collection::vec(("[a-c]|a_name_of_twenty_three|ad\\.x\\[0\\]", value), 0..6), 1..6)
    }

    proptest! {
        #[test]
        fn cef_comes_back(rows in rows("([ -~é]{0,24}[!-~é\\n\\r])?")) {
            let escaped = |v: &str| v.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r");
            let line = |pairs: &Vec<(String, String)>| {
                let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
                format!("CEF:0|v\\|endor|p|1|c|n|5|{}", pairs.join(" "))
            };
            let lines: Vec<String> = rows.iter().map(line).collect();
            prop_assert_eq!(decode(Dialect::Cef, &lines), rows.iter().map(|r| expected(r)).collect::<Vec<_>>());
        }

        #[test]
        fn leef_comes_back(rows in rows("[ -~é]{0,24}")) {
            let line = |pairs: &Vec<(String, String)>| {
                let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("LEEF:1.0|v|p|1|c|{}", pairs.join("\t"))
            };
            let lines: Vec<String> = rows.iter().map(line).collect();
            prop_assert_eq!(decode(Dialect::Leef, &lines), rows.iter().map(|r| expected(r)).collect::<Vec<_>>());
        }
    }
}
