//! Events as lines of text, for receivers that want no JSON: CSV, `key=value` pairs, CEF, LEEF. What the decoder of the same name reads of them is what was
//! there, save for line breaks in values (and tabs in those of LEEF), which become blanks (CEF has letters for them), and blanks at the ends of CEF's values.
use super::cef::Dialect;
use super::cef_dictionary::short_name;
use super::kv::KvOptions;
use crate::event::Value;

/// What lines look like.
#[derive(Clone, Debug)]
enum Style {
    Csv {
        delimiter: u8,
    },
    Kv(KvOptions),
    /// `CEF:0|vendor|product|…` or `LEEF:1.0|…`, then pairs.
    Headed(Dialect),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct TextWriter {
    style: Style,
    /// Names of the fields whose values it is given, in order.
    pub fields: Vec<String>,
    /// What stands before the value of each: its key.
    keys: Vec<Vec<u8>>,
}

/// What a header says where an event does not.
const DEFAULTS: [&str; 6] = ["tripline", "tripline", env!("CARGO_PKG_VERSION"), "event", "event", "Unknown"];

impl TextWriter {
    /// The cells of a line are the values of fields.
    pub fn csv(fields: Vec<String>, delimiter: u8) -> TextWriter {
        TextWriter { style: Style::Csv { delimiter }, keys: vec![Vec::new(); fields.len()], fields }
    }

    /// Pairs of the fields that an event has.
    pub fn kv(fields: Vec<String>, options: KvOptions) -> TextWriter {
        let keys = fields.iter().map(|name| [name.as_bytes(), &[options.assign]].concat()).collect();
        TextWriter { style: Style::Kv(options), keys, fields }
    }

    /// CEF or LEEF: the header is made of the fields that the decoder makes of one, and `fields` are the pairs behind it; those of CEF under the dictionary's short
    /// keys.
    pub fn headed(dialect: Dialect, fields: Vec<String>) -> TextWriter {
        let key = |name: &String| [if dialect == Dialect::Cef { short_name(name) } else { name }.as_bytes(), b"="].concat();
        let keys = dialect.header().iter().map(|_| Vec::new()).chain(fields.iter().map(key)).collect();
        let fields = dialect.header().iter().map(|name| (*name).to_owned()).chain(fields).collect();
        TextWriter { style: Style::Headed(dialect), keys, fields }
    }

    /// Whether a name can stand as a key: no reader would find its end otherwise.
    pub fn is_key(name: &str) -> bool {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']'))
    }

    /// Appends a line, without its end. `values`: of the fields, in their order.
    pub fn write<'v>(&self, values: impl Iterator<Item = Value<'v>>, out: &mut Vec<u8>) {
        // How it begins, how many fields its header has, and what stands between the others.
        let (mark, header, separator): (&[u8], usize, u8) = match self.style {
            Style::Csv { delimiter } => (b"", 0, delimiter),
            Style::Kv(options) => (b"", 0, options.separator.unwrap_or(b' ')),
            Style::Headed(Dialect::Cef) => (b"CEF:0|", Dialect::Cef.header().len(), b' '),
            Style::Headed(Dialect::Leef) => (b"LEEF:1.0|", Dialect::Leef.header().len(), b'\t'),
        };
        out.extend_from_slice(mark);
        let (mut written, mut is_first) = (Vec::new(), true);
        for (number, value) in values.enumerate() {
            let text = value.plain_text().unwrap_or_else(|| {
                written.clear();
                value.write_text(&mut written);
                &written
            });
            let text = String::from_utf8_lossy(text);
            let text = text.as_bytes();
            if number < header {
                // What is not there has no text.
                write_escaped(if text.is_empty() { DEFAULTS[number].as_bytes() } else { text }, b"|\\", false, out);
                out.push(b'|');
                continue;
            }
            if !value.is_present() && !matches!(self.style, Style::Csv { .. }) {
                continue;
            }
            if !std::mem::replace(&mut is_first, false) {
                out.push(separator);
            }
            out.extend_from_slice(&self.keys[number]);
            match self.style {
                Style::Csv { delimiter } => write_cell(text, delimiter, out),
                Style::Kv(options) => write_pair_value(text, options, out),
                Style::Headed(Dialect::Cef) => write_escaped(text.trim_ascii_end(), b"=\\", true, out),
                // Nothing stands for a tab.
                Style::Headed(Dialect::Leef) => out.extend(text.iter().map(|byte| if *byte == b'\t' { b' ' } else { unbroken(*byte) })),
            }
        }
    }
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Line breaks end a line.
fn unbroken(byte: u8) -> u8 {
    if is_break(byte) { b' ' } else { byte }
}

/// RFC 4180: quotes around what would be taken for an end, or for quotes.
fn write_cell(text: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| *byte != delimiter && *byte != b'"' && !is_break(*byte);
    let has_blank_end = text.first() == Some(&b' ') || text.last() == Some(&b' ');
    if text.iter().all(is_plain) && !has_blank_end {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for byte in text {
        out.push(unbroken(*byte));
        if *byte == b'"' {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

/// Quotes around all but plain words.
fn write_pair_value(text: &[u8], options: KvOptions, out: &mut Vec<u8>) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.:/@+%".contains(byte);
    let is_plain = |byte: &u8| is_word(byte) && options.separator != Some(*byte) && *byte != options.assign;
    if !text.is_empty() && text.iter().all(is_plain) {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(unbroken(*byte));
    }
    out.push(b'"');
}

/// A backslash before each of some bytes; line breaks as letters, or as blanks.
fn write_escaped(text: &[u8], marked: &[u8], has_letters: bool, out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\n' if has_letters => out.extend_from_slice(b"\\n"),
            b'\r' if has_letters => out.extend_from_slice(b"\\r"),
            byte => {
                if marked.contains(byte) {
                    out.push(b'\\');
                }
                out.push(unbroken(*byte));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::cef::CefDecoder;
    use super::super::csv::{CsvDecoder, CsvOptions};
    use super::super::kv::KvDecoder;
    use super::super::time::TimeRule;
    use super::super::{Decoder, Subject, Wanted, WantedField};
    use super::*;
    use crate::event::{Batch, Input, Slot};

    /// Writes rows of values and gives what a decoder makes of the lines.
    fn there_and_back(
        writer: &TextWriter,
        rows: &[Vec<Option<String>>],
        decoder: impl FnOnce(Wanted) -> Box<dyn Decoder>,
    ) -> Vec<Vec<Option<String>>> {
        let lines: Vec<Vec<u8>> = rows
            .iter()
            .map(|row| {
                let mut line = Vec::new();
                writer.write(row.iter().map(|v| v.as_ref().map_or(Value::Absent, |text| Value::Text(text.as_bytes()))), &mut line);
                assert!(!line.contains(&b'\n'));
                line
            })
            .collect();
        let field = |(at, name): (usize, &String)| WantedField { name: name.clone(), slot: Slot(at as u16), base: None };
        let fields: Vec<WantedField> = writer.fields.iter().enumerate().map(field).collect();
        let slots = fields.len();
        let mut decoder = decoder(Wanted { fields, ..Wanted::default() });
        let mut batch = Batch::default();
        batch.reset(Arc::new(Input::of_lines(lines.iter().map(Vec::as_slice), Arc::default(), 0)), slots);
        decoder.decode(&mut batch, &(0..rows.len() as u16).collect::<Vec<_>>(), Subject::Line);
        assert!(
            batch.faults.is_empty(),
            "{:?} of {:?}",
            batch.faults,
            lines.iter().map(|l| String::from_utf8_lossy(l)).collect::<Vec<_>>()
        );
        let value = |row: usize, slot: usize| {
            let mut text = Vec::new();
            batch.value(Slot(slot as u16), row).write_text(&mut text).then(|| String::from_utf8(text).unwrap())
        };
        (0..rows.len()).map(|row| (0..slots).map(|slot| value(row, slot)).collect()).collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn rows(columns: usize) -> impl Strategy<Value = Vec<Vec<Option<String>>>> {
        prop::collection::vec(prop::collection::vec(prop::option::weighted(0.9, "[ -~é\n\r]{0,12}"), columns), 1..6)
    }

    fn blank(text: &str) -> String {
        text.replace(['\n', '\r'], " ")
    }

    proptest! {
        #[test]
        fn csv_comes_back(rows in rows(3), delimiter in prop_oneof![Just(b','), Just(b';'), Just(b'\t')]) {
            let writer = TextWriter::csv(names(&["a", "b", "c"]), delimiter);
            let options = CsvOptions { columns: writer.fields.clone(), delimiter };
            let got = there_and_back(&writer, &rows, |wanted| Box::new(CsvDecoder::new(&options, wanted)));
            // A cell that is not there is empty.
            let want: Vec<Vec<Option<String>>> = rows.iter().map(|r| r.iter().map(|v| Some(blank(v.as_deref().unwrap_or_default()))).collect()).collect();
            prop_assert_eq!(got, want);
        }

        #[test]
        fn pairs_come_back(rows in rows(3), separator in prop_oneof![Just(None), Just(Some(b';')), Just(Some(b'|'))], assign in prop_oneof![Just(b'='), Just(b':')]) {
            let options = KvOptions { separator, assign };
            let writer = TextWriter::kv(names(&["user.name", "b", "c"]), options);
            // A line without a pair is none.
            let rows: Vec<_> = rows.into_iter().filter(|row| row.iter().any(Option::is_some)).collect();
            let got = there_and_back(&writer, &rows, |wanted| Box::new(KvDecoder::new(options, wanted)));
            let want: Vec<Vec<Option<String>>> = rows.iter().map(|r| r.iter().map(|v| v.as_deref().map(blank)).collect()).collect();
            prop_assert_eq!(got, want);
        }

        #[test]
        fn cef_and_leef_come_back(rows in rows(9), is_cef in any::<bool>()) {
            let dialect = if is_cef { Dialect::Cef } else { Dialect::Leef };
            let header = dialect.header().len();
            let rows: Vec<Vec<Option<String>>> = rows.into_iter().map(|row| row[6 - header..].to_vec()).collect();
            let writer = TextWriter::headed(dialect, names(&["sourceAddress", "ad.x[0]", "message"]));
            let got = there_and_back(&writer, &rows, |wanted| Box::new(CefDecoder::new(dialect, wanted, TimeRule::default())));
            let value = |(at, text): (usize, &Option<String>)| match text.as_deref() {
                None | Some("") if at < header => Some(DEFAULTS[at].to_owned()),
                Some(text) if at >= header && is_cef => Some(text.trim_ascii_end().to_owned()),
                text => text.map(blank),
            };
            let want: Vec<Vec<Option<String>>> = rows.iter().map(|r| r.iter().enumerate().map(value).collect()).collect();
            prop_assert_eq!(got, want);
        }
    }
}
