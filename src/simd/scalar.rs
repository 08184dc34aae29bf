//! The meaning of every mask, byte by byte: the version for other machines, and the definition that tests compare with.

/// See [`super::offsets`].
pub fn offsets(bytes: &[u8], needle: u8, base: u32, out: &mut Vec<u32>) {
    out.extend(memchr::memchr_iter(needle, bytes).map(|at| base + at as u32));
}

/// See [`super::bitmap`].
pub fn bitmap<const N: usize>(bytes: &[u8], needles: [u8; N], out: &mut Vec<u64>) -> bool {
    out.clear();
    out.extend(bytes.chunks(64).map(|block| {
        let mut word = 0u64;
        for (bit, byte) in block.iter().enumerate() {
            word |= u64::from(needles.contains(byte)) << bit;
        }
        word
    }));
    bytes.is_ascii()
}

/// See [`super::find_escape`].
pub fn find_escape(bytes: &[u8], from: usize) -> usize {
    let found = bytes[from..].iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\');
    found.map_or(bytes.len(), |at| from + at)
}

/// See [`super::equal_to`].
pub fn equal_to(numbers: &[u32; 8], wanted: u32) -> u32 {
    numbers.iter().rev().fold(0, |bits, number| bits << 1 | u32::from(*number == wanted))
}

/// See [`super::leading_below`].
pub fn leading_below(numbers: &[u16; 8], limit: u16) -> usize {
    numbers.iter().take_while(|number| **number < limit).count()
}

/// See [`super::find_near`].
pub fn find_near<const N: usize>(bytes: &[u8], from: usize, needles: [u8; N]) -> usize {
    let found = bytes.get(from..).and_then(|rest| rest.iter().position(|b| needles.contains(b)));
    found.map_or(bytes.len(), |at| from + at)
}

/// See [`super::marks`].
pub fn marks<const N: usize>(block: &[u8; 64], needles: [u8; N]) -> u64 {
    block.iter().rev().fold(0, |marks, byte| marks << 1 | u64::from(needles.contains(byte)))
}

/// See [`super::begins_with`].
pub fn begins_with(block: &[u8; 16], head: &[u8; 16], mask: &[u8; 16]) -> bool {
    block.iter().zip(mask).zip(head).all(|((byte, mask), head)| byte & mask == *head)
}

/// See [`super::is_first_at`].
pub fn is_first_at(block: &[u8; 16], at: usize, byte: u8, other: u8) -> bool {
    block.iter().position(|b| *b == byte || *b == other) == Some(at) && block[at] == byte
}

fn is_plain(text: &[u8]) -> bool {
    text.len() <= super::SHORT && find_escape(text, 0) == text.len()
}

/// See [`super::append`].
pub fn append(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text);
}

/// See [`super::append_plain`].
pub fn append_plain(text: &[u8], out: &mut Vec<u8>) -> bool {
    let is_plain = is_plain(text);
    if is_plain {
        out.extend_from_slice(text);
    }
    is_plain
}

/// See [`super::quote_plain`].
pub fn quote_plain(text: &[u8], out: &mut Vec<u8>) -> bool {
    let is_plain = is_plain(text);
    if is_plain {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    }
    is_plain
}

/// See [`super::json_marks`].
pub fn json_marks(bytes: &[u8], out: &mut Vec<u32>, escapes: &mut Vec<u32>) -> bool {
    out.clear();
    escapes.clear();
    let (mut in_string, mut escaped, mut control) = (false, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        let was_escaped = escaped;
        escaped = *byte == b'\\' && !was_escaped;
        if escaped {
            escapes.push(at as u32);
        }
        match byte {
            b'"' if !was_escaped => {
                in_string = !in_string;
                out.push(at as u32);
            }
            b'{' | b'}' | b'[' | b']' | b':' | b',' | 0x0c | 0x1a if !in_string => out.push(at as u32),
            _ => control |= in_string && *byte < 0x20,
        }
    }
    !control && !in_string
}
