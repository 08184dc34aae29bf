//! Lines that end in `\n`, with an optional `\r` before it. Empty lines are left out.
//!
//! A line longer than the limit is cut: its first bytes are kept, the rest is counted and dropped up to the next `\n`.
use crate::event::{BatchBuilder, Line};
use crate::limits::{BATCH_ROWS_MAX, LINE_BYTES_MAX};
use crate::simd;

/// Marks lines in the bytes of a builder.
#[derive(Debug, Default)]
pub struct NewlineFraming {
    ends: Vec<u32>,
}

/// What a pass over the bytes found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Framed {
    /// First byte that belongs to no line yet: what the next batch starts with.
    pub rest: usize,
    /// Lines that were empty.
    pub empty: u64,
}

impl NewlineFraming {
    /// Marks the lines that end in `builder.bytes[from..]`; the first of them starts at `start`. Stops at the row limit.
    pub fn mark(&mut self, builder: &mut BatchBuilder, start: usize, from: usize) -> Framed {
        self.ends.clear();
        simd::offsets(&builder.bytes[from..], b'\n', from as u32, &mut self.ends);
        let mut framed = Framed { rest: start, empty: 0 };
        for end in &self.ends {
            let end = *end as usize;
            if builder.lines.len() == BATCH_ROWS_MAX {
                break;
            }
            framed.empty += u64::from(!push_line(builder, framed.rest, end));
            framed.rest = end + 1;
        }
        framed
    }
}

/// Marks one line without its end of line. Returns false for an empty one.
pub fn push_line(builder: &mut BatchBuilder, at: usize, end: usize) -> bool {
    let mut len = end - at;
    if len > 0 && builder.bytes[end - 1] == b'\r' {
        len -= 1;
    }
    if len == 0 {
        return false;
    }
    if len > LINE_BYTES_MAX {
        len = cut(&builder.bytes[at..at + LINE_BYTES_MAX]);
        builder.truncated.push(builder.lines.len() as u16);
    }
    builder.lines.push(Line { at: at as u32, len: len as u32 });
    true
}

/// Length of a cut line, so that no UTF-8 sequence is split.
fn cut(bytes: &[u8]) -> usize {
    let tail = bytes.iter().rev().take(3).position(|b| *b >= 0xc0);
    match tail {
        Some(back) if bytes[bytes.len() - 1 - back].leading_ones() as usize > back + 1 => bytes.len() - 1 - back,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_equal_a_split(text in "[a-c\r\n]{0,300}", cut_at in 0usize..300) {
            let bytes = text.as_bytes();
            let mut builder = BatchBuilder::default();
            let mut framing = NewlineFraming::default();
            // Read in two pieces, as a file gives them.
            let cut_at = cut_at.min(bytes.len());
            builder.bytes.extend_from_slice(&bytes[..cut_at]);
            let first = framing.mark(&mut builder, 0, 0);
            builder.bytes.extend_from_slice(&bytes[cut_at..]);
            let second = framing.mark(&mut builder, first.rest, cut_at);
            let got: Vec<&[u8]> = builder.lines.iter().map(|l| &builder.bytes[l.at as usize..(l.at + l.len) as usize]).collect();
            let whole = &bytes[..second.rest];
            let want: Vec<&[u8]> = whole.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).filter(|l| !l.is_empty()).collect();
            prop_assert_eq!(got, want);
            prop_assert!(!bytes[second.rest..].contains(&b'\n'));
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let mut builder = BatchBuilder::default();
        builder.bytes.resize(LINE_BYTES_MAX - 1, b'x');
        builder.bytes.extend_from_slice("é\n".as_bytes());
        NewlineFraming::default().mark(&mut builder, 0, 0);
        assert_eq!((builder.lines[0].len as usize, builder.truncated.as_slice()), (LINE_BYTES_MAX - 1, &[0u16][..]));
    }
}
