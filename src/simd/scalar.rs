//! The meaning of every mask, byte by byte: the version for other machines, and the definition that tests compare with.
use super::JsonMarks;

/// See [`super::offsets`].
pub fn offsets(bytes: &[u8], needle: u8, base: u32, out: &mut Vec<u32>) {
    out.extend(memchr::memchr_iter(needle, bytes).map(|at| base + at as u32));
}

/// See [`super::bitmap`].
pub fn bitmap<const N: usize>(bytes: &[u8], needles: [u8; N], out: &mut Vec<u64>) {
    out.clear();
    out.extend(bytes.chunks(64).map(|block| {
        let mut word = 0u64;
        for (bit, byte) in block.iter().enumerate() {
            word |= u64::from(needles.contains(byte)) << bit;
        }
        word
    }));
}

/// See [`super::find_escape`].
pub fn find_escape(bytes: &[u8], from: usize) -> usize {
    let found = bytes[from..].iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\');
    found.map_or(bytes.len(), |at| from + at)
}

/// See [`super::json_marks`].
pub fn json_marks(bytes: &[u8], out: &mut Vec<u32>, backslashes: &mut Vec<u64>) -> JsonMarks {
    bitmap(bytes, [b'\\'], backslashes);
    out.clear();
    let mut marks = JsonMarks::default();
    let (mut in_string, mut escaped) = (false, false);
    for (at, byte) in bytes.iter().enumerate() {
        marks.backslash |= *byte == b'\\';
        let was_escaped = escaped;
        escaped = *byte == b'\\' && !was_escaped;
        match byte {
            b'"' if !was_escaped => {
                in_string = !in_string;
                out.push(at as u32);
            }
            b'{' | b'}' | b'[' | b']' | b':' | b',' if !in_string => out.push(at as u32),
            _ => marks.broken |= in_string && *byte < 0x20,
        }
    }
    marks.broken |= in_string;
    marks
}
