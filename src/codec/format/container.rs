//! Lines of container logs: `cri`, as the kubelet's runtimes write them, and `docker`, the JSON of Docker's `json-file` driver. A long line of a program comes
//! in parts; the source joins them ([`crate::codec::framing::multiline`]), and `message` is their text in one.
//!
//! | field | `cri` | `docker` |
//! |---|---|---|
//! | `timestamp` | the first word | `time` |
//! | `stream` | `stdout` or `stderr` | `stream` |
//! | `logtag` | `F`; `P` where the rest did not come | |
//! | `message` | the text | `log`, without its line feed |
//! | `attrs` | | labels and the like, where they are there |
//!
//! Sources: the CRI logging design of Kubernetes (`TIME STREAM TAGS TEXT`), the documentation of Docker's logging drivers.
use super::json_members::members;
use super::{Decoder, Shape, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::time::DateMemo;
use crate::event::{Batch, Kind, Slot, Span};

/// Who wrote the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `cri`
    Cri,
    /// `docker`
    Docker,
}

/// Fields of `cri`.
pub const CRI_SHAPE: Shape = Shape::Flat(&["timestamp", "stream", "logtag", "message"], &[]);
/// Fields of `docker`.
pub const DOCKER_SHAPE: Shape = Shape::Flat(&["timestamp", "stream", "message", "attrs"], &[]);

/// The parts of one line, as places in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'l> {
    /// When it was written.
    pub timestamp: &'l [u8],
    /// Which stream.
    pub stream: &'l [u8],
    /// The text follows in the next line of this stream.
    pub is_partial: bool,
    /// `P` or `F`, where the line says it.
    tag: &'l [u8],
    /// The text: for `docker` as it stands in its JSON.
    pub text: &'l [u8],
    attrs: &'l [u8],
}

impl Container {
    /// Takes a line apart; none where it is no such line.
    pub fn parts(self, line: &[u8]) -> Option<Parts<'_>> {
        match self {
            Container::Cri => cri(line),
            Container::Docker => docker(line),
        }
    }
}

fn cri(line: &[u8]) -> Option<Parts<'_>> {
    let mut words = line.splitn(4, |b| *b == b' ');
    let (timestamp, stream, tags) = (words.next()?, words.next()?, words.next()?);
    let first_tag = tags.split(|b| *b == b':').next()?;
    let is_known = matches!(stream, b"stdout" | b"stderr") && matches!(first_tag, b"P" | b"F");
    let text = words.next().unwrap_or_default();
    is_known.then(|| Parts { timestamp, stream, is_partial: first_tag == b"P", tag: first_tag, text, attrs: b"" })
}

fn docker(line: &[u8]) -> Option<Parts<'_>> {
    let mut parts = Parts::default();
    let mut log = None;
    for (key, value) in members(line) {
        let inside = || value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\""));
        match key {
            b"\"log\"" => log = inside(),
            b"\"stream\"" => parts.stream = inside()?,
            b"\"time\"" => parts.timestamp = inside()?,
            b"\"attrs\"" => parts.attrs = value,
            _ => {}
        }
    }
    let log = log?;
    let whole = log.strip_suffix(b"\\n").filter(|rest| rest.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 0);
    (parts.text, parts.is_partial) = (whole.unwrap_or(log), whole.is_none());
    Some(parts)
}

/// See the module.
pub struct ContainerDecoder {
    container: Container,
    wanted: Wanted,
    subjects: Subjects,
    slots: [Option<Slot>; 5],
    dates: DateMemo,
}

impl ContainerDecoder {
    /// A decoder for what the plan wants.
    pub fn new(container: Container, wanted: Wanted) -> ContainerDecoder {
        let slots = ["timestamp", "stream", "logtag", "message", "attrs"].map(|name| wanted.slot(name));
        ContainerDecoder { container, wanted, subjects: Subjects::default(), slots, dates: DateMemo::default() }
    }
}

impl Decoder for ContainerDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let ContainerDecoder { container, wanted, subjects, slots, dates } = self;
        lay_over(batch, wanted);
        let [timestamp, stream, logtag, message, attrs] = *slots;
        // What a string of JSON holds has escapes.
        let kind = |text: &[u8]| if *container == Container::Docker && text.contains(&b'\\') { Kind::Escaped } else { Kind::Text };
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refuse(batch, row, wanted, "no text to decode") };
            let first = memchr::memchr(b'\n', line).map_or(line, |end| &line[..end]);
            let Some(parts) = container.parts(first) else { return refuse(batch, row, wanted, "no line of a container's log") };
            let row = usize::from(row);
            let place = |part: &[u8]| at + (part.as_ptr() as usize - line.as_ptr() as usize);
            let mut put = |slot: Option<Slot>, kind: Kind, part: &[u8]| {
                if let Some(slot) = slot
                    && !part.is_empty()
                {
                    batch.set(slot, row, Span::part(kind, place(part), part.len()));
                }
            };
            put(timestamp, Kind::Text, parts.timestamp);
            put(stream, Kind::Text, parts.stream);
            put(attrs, Kind::Json, parts.attrs);
            // The last part says whether the rest came.
            let last = memchr::memrchr(b'\n', line).and_then(|end| container.parts(&line[end + 1..])).unwrap_or(parts);
            put(logtag, Kind::Text, last.tag);
            if let Some(slot) = message {
                let text = if first.len() == line.len() {
                    Span::part(kind(parts.text), place(parts.text), parts.text.len())
                } else {
                    let texts: Vec<&[u8]> = line.split(|b| *b == b'\n').filter_map(|l| container.parts(l)).map(|p| p.text).collect();
                    let text = texts.concat();
                    batch.derive(kind(&text), &text)
                };
                batch.set(slot, row, text);
            }
            if wanted.event_time
                && let Some(time) = dates.parse_rfc3339(parts.timestamp)
            {
                batch.times[row] = time;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let parts = |container: Container, line: &'static str| container.parts(line.as_bytes()).map(|p| (p.stream, p.is_partial, p.text));
        assert_eq!(parts(Container::Cri, "2016-10-06T00:17:09.669794202Z stdout P log a"), Some((&b"stdout"[..], true, &b"log a"[..])));
        assert_eq!(parts(Container::Cri, "2016-10-06T00:17:09Z stderr F:x "), Some((&b"stderr"[..], false, &b""[..])));
        assert_eq!(parts(Container::Cri, "2016-10-06T00:17:09Z stderr F"), Some((&b"stderr"[..], false, &b""[..])));
        for line in ["", "a b c d", "2016 stdout X y", "2016 stdout"] {
            assert_eq!(parts(Container::Cri, line), None, "{line}");
        }
        assert_eq!(
            parts(Container::Docker, r#"{"log":"a\tb\n","stream":"stdout","time":"t"}"#),
            Some((&b"stdout"[..], false, &br"a\tb"[..]))
        );
        assert_eq!(parts(Container::Docker, r#"{"log":"a\\n","stream":"stdout"}"#), Some((&b"stdout"[..], true, &br"a\\n"[..])));
        assert_eq!(parts(Container::Docker, r#"{"stream":"stdout"}"#), None);
        assert_eq!(parts(Container::Docker, "text"), None);
    }
}
