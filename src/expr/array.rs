//! The elements of a JSON array that the decoder has checked already.
use bumpalo::Bump;

use crate::event::{Value, text};

/// Iterates over the elements; nested arrays and objects come as they stand.
pub struct Elements<'a> {
    rest: &'a [u8],
    bump: &'a Bump,
}

/// The elements of a value, if it is an array.
pub fn elements<'a>(value: Value<'a>, bump: &'a Bump) -> Option<Elements<'a>> {
    match value {
        Value::Json([b'[', inside @ .., b']']) => Some(Elements { rest: inside, bump }),
        _ => None,
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.rest = self.rest.trim_ascii_start();
        if let [b',', rest @ ..] = self.rest {
            self.rest = rest.trim_ascii_start();
        }
        let first = *self.rest.first()?;
        let len = value_len(self.rest);
        let (item, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(match first {
            b'"' => {
                let inside = &item[1..item.len().max(2) - 1];
                if memchr::memchr(b'\\', inside).is_none() {
                    Value::Text(inside)
                } else {
                    let mut out = Vec::with_capacity(inside.len());
                    text::unescape(inside, &mut out);
                    Value::Text(self.bump.alloc_slice_copy(&out))
                }
            }
            b't' => Value::Bool(true),
            b'f' => Value::Bool(false),
            b'n' => Value::Absent,
            b'[' | b'{' => Value::Json(item),
            _ => Value::Number(item.trim_ascii_end()),
        })
    }
}

/// Bytes of the value at the start of a checked JSON text.
fn value_len(text: &[u8]) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            if !in_string && depth == 0 {
                return at + 1;
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth == 1 => return at + 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}
