//! Events of several lines: a pattern says which lines begin an event, or which go on with the one before. Nothing is copied: an event's span reaches from
//! its first line to its last, line ends included.
use crate::codec::format::container::Container;
use crate::event::BatchBuilder;
use crate::limits::{BATCH_ROWS_MAX, LINE_BYTES_MAX};
use crate::pattern::Pattern;

/// Which lines belong together.
#[derive(Clone, Debug)]
pub enum Multiline {
    /// A line that matches begins an event; the others go on with it.
    Start(Pattern),
    /// A line that matches goes on with the event before.
    Continue(Pattern),
    /// Lines of a container's log, which say themselves whether the next one of their stream goes on.
    Parts(Container),
}

impl Multiline {
    /// Whether a line goes on with the event whose last line is `before`.
    fn goes_on(&self, before: &[u8], line: &[u8]) -> bool {
        match self {
            Multiline::Start(pattern) => !pattern.matches(line),
            Multiline::Continue(pattern) => pattern.matches(line),
            Multiline::Parts(container) => container
                .parts(before)
                .filter(|before| before.is_partial)
                .is_some_and(|before| container.parts(line).is_some_and(|line| line.stream == before.stream)),
        }
    }

    /// Whether a further line may go on with an event whose last line is this one.
    fn is_open(&self, line: &[u8]) -> bool {
        match self {
            Multiline::Start(_) | Multiline::Continue(_) => true,
            Multiline::Parts(container) => container.parts(line).is_some_and(|parts| parts.is_partial),
        }
    }

    /// Joins the lines of a builder. The last event may go on: unless it `is_over` it is taken out, and where it begins is returned. An event ends where
    /// it would be longer than a line may be, or have more lines than a batch.
    pub fn join(&self, builder: &mut BatchBuilder, is_over: bool) -> Option<usize> {
        let is_full = builder.lines.len() == BATCH_ROWS_MAX;
        let mut events = 0;
        let mut cut = 0;
        let mut last_line = 0..0;
        for row in 0..builder.lines.len() {
            let line = builder.lines[row];
            let (at, end) = (line.at as usize, (line.at + line.len) as usize);
            if let Some(cut) = builder.truncated.get_mut(cut..).and_then(|t| t.first_mut()).filter(|c| usize::from(**c) == row) {
                *cut = events as u16;
            }
            let is_cut = builder.truncated.get(cut).is_some_and(|c| usize::from(*c) == events);
            let before = events.checked_sub(1).map(|last| builder.lines[last].at as usize);
            let bytes = &builder.bytes;
            let goes_on =
                |first: &usize| end - first <= LINE_BYTES_MAX && !is_cut && self.goes_on(&bytes[last_line.clone()], &bytes[at..end]);
            match before.filter(goes_on) {
                Some(first) => builder.lines[events - 1].len = (end - first) as u32,
                None => {
                    builder.lines[events] = line;
                    events += 1;
                    cut += usize::from(is_cut);
                }
            }
            last_line = at..end;
        }
        builder.lines.truncate(events);
        if is_over || (is_full && events == 1) || !self.is_open(&builder.bytes[last_line]) {
            return None;
        }
        let last = builder.lines.pop()?;
        if builder.truncated.last().is_some_and(|row| usize::from(*row) == builder.lines.len()) {
            // A line that was cut is as long as an event may be: it is whole.
            builder.lines.push(last);
            return None;
        }
        Some(last.at as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::framing::newline::NewlineFraming;
    use proptest::prelude::*;

    /// Events of a text that comes in pieces, as a source reads it.
    fn events(multiline: &Multiline, text: &[u8], piece: usize) -> Vec<String> {
        let (mut out, mut carry, mut framing) = (Vec::new(), Vec::new(), NewlineFraming::default());
        let mut pieces = text.chunks(piece);
        loop {
            let next = pieces.next();
            if next.is_none() && carry.is_empty() {
                return out;
            }
            let piece = next.unwrap_or_default();
            let mut builder = BatchBuilder::default();
            builder.bytes.append(&mut carry);
            builder.bytes.extend_from_slice(piece);
            let mut rest = framing.mark(&mut builder, 0, 0).rest;
            if let Some(open) = multiline.join(&mut builder, next.is_none()) {
                rest = open;
            }
            out.extend(
                builder.lines.iter().map(|l| String::from_utf8_lossy(&builder.bytes[l.at as usize..(l.at + l.len) as usize]).into_owned()),
            );
            carry.extend_from_slice(&builder.bytes[rest..]);
        }
    }

    proptest! {
        #[test]
        fn events_are_the_lines_joined(lines in prop::collection::vec("( at )?[a-z]{1,6}", 1..30), piece in 1usize..40) {
            let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
            let mut expected: Vec<String> = Vec::new();
            for line in &lines {
                match expected.last_mut().filter(|_| line.starts_with(" at ")) {
                    Some(last) => last.push_str(&format!("\n{line}")),
                    None => expected.push(line.clone()),
                }
            }
            let continued = Multiline::Continue(Pattern::new("^ at ").unwrap());
            prop_assert_eq!(events(&continued, text.as_bytes(), piece), expected.clone());
            let started = Multiline::Start(Pattern::new("^[a-z]").unwrap());
            prop_assert_eq!(events(&started, text.as_bytes(), piece), expected);
        }
    }

    #[test]
    fn parts_of_one_stream_are_joined() {
        let text = "t stdout P a\nt stdout P b\nt stdout F c\nt stdout F d\nt stderr P e\nt stdout F f\nt stderr F g\nnone\nt stdout P h\n";
        let want = [
            "t stdout P a\nt stdout P b\nt stdout F c",
            "t stdout F d",
            "t stderr P e",
            "t stdout F f",
            "t stderr F g",
            "none",
            "t stdout P h",
        ];
        for piece in [1, 7, 1000] {
            assert_eq!(events(&Multiline::Parts(Container::Cri), text.as_bytes(), piece), want);
        }
    }

    #[test]
    fn an_event_is_no_longer_than_a_line_may_be() {
        let line = format!(" at {}\n", "x".repeat(LINE_BYTES_MAX / 3));
        let text = format!("start\n{}", line.repeat(5));
        let continued = Multiline::Continue(Pattern::new("^ at ").unwrap());
        let found = events(&continued, text.as_bytes(), 100_000);
        assert!(found.len() > 1 && found.iter().all(|e| e.len() <= LINE_BYTES_MAX));
        assert_eq!(found.join("\n") + "\n", text);
        // Nor has it more lines than a batch: a source must come forward.
        let text = format!("start\n{}", " at x\n".repeat(BATCH_ROWS_MAX * 2));
        let found = events(&continued, text.as_bytes(), 100_000);
        assert_eq!(found.join("\n") + "\n", text);
    }
}
