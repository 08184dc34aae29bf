//! JSON text: escaping on the way out, unescaping on the way in, and the compact form of arrays and objects.
use crate::simd;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends text with the escapes that a JSON string needs, without quotes.
#[inline]
pub fn escape(text: &[u8], out: &mut Vec<u8>) {
    if !simd::append_plain(text, out) {
        escape_long(text, out);
    }
}

fn escape_long(text: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    loop {
        let at = simd::find_escape(text, from);
        out.extend_from_slice(&text[from..at]);
        let Some(byte) = text.get(at) else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(other >> 4)], HEX[usize::from(other & 15)]]);
            }
        }
        from = at + 1;
    }
}

/// Appends a whole number.
pub fn write_number(number: i64, out: &mut Vec<u8>) {
    match number {
        0..=9 => out.push(b'0' + number as u8),
        _ => simd::append(digits(number, &mut [0; 20]), out),
    }
}

/// The two digits of a number below a hundred.
#[inline(always)]
pub fn pair(n: u32) -> [u8; 2] {
    const PAIRS: [[u8; 2]; 128] = {
        let mut pairs = [*b"00"; 128];
        let mut n = 0;
        while n < 100 {
            pairs[n] = [b'0' + n as u8 / 10, b'0' + n as u8 % 10];
            n += 1;
        }
        pairs
    };
    PAIRS[n as usize % 128]
}

/// The digits of a number below 10⁸ as values, a byte for each, the first one lowest: halves are made of the whole, pairs of halves, digits of pairs.
#[inline(always)]
pub fn eight_digits(n: u32) -> u64 {
    let halves = u64::from(n / 10_000) | u64::from(n % 10_000) << 32;
    let hundreds = ((halves * 10_486) >> 20) & 0x7f_0000_007f;
    let pairs = hundreds | (halves - hundreds * 100) << 16;
    let tens = ((pairs * 103) >> 10) & 0x0f_000f_000f_000f;
    tens | (pairs - tens * 10) << 8
}

/// A number's text, in a room that is long enough for any.
pub fn digits(number: i64, room: &mut [u8; 20]) -> &[u8] {
    let (mut at, mut rest) = (room.len(), number.unsigned_abs());
    while rest >= 10 {
        at -= 2;
        room[at..at + 2].copy_from_slice(&pair((rest % 100) as u32));
        rest /= 100;
    }
    if rest > 0 || at == room.len() {
        at -= 1;
        room[at] = b'0' + rest as u8;
    }
    if number < 0 {
        at -= 1;
        room[at] = b'-';
    }
    &room[at..]
}

/// Appends text as a JSON string.
#[inline]
pub fn quote(text: &[u8], out: &mut Vec<u8>) {
    if simd::quote_plain(text, out) {
        return;
    }
    out.push(b'"');
    escape_long(text, out);
    out.push(b'"');
}

/// Escapes what was appended from a place on.
pub fn escape_from(from: usize, out: &mut Vec<u8>) {
    if simd::find_escape(out, from) < out.len() {
        let plain = out.split_off(from);
        escape(&plain, out);
    }
}

/// Appends the text of a JSON string's inside. A lone surrogate becomes U+FFFD; a bad escape is kept as it stands.
pub fn unescape(inside: &[u8], out: &mut Vec<u8>) {
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let plain = match rest.get(1) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'u') => {
                let (c, used) = unescape_unicode(rest);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[used..];
                continue;
            }
            Some(other) => *other,
            None => b'\\',
        };
        out.push(plain);
        rest = &rest[rest.len().min(2)..];
    }
    out.extend_from_slice(rest);
}

/// Reads `\uhhhh`, or a pair of them, at the start of `text`. Returns the character and the bytes used.
fn unescape_unicode(text: &[u8]) -> (char, usize) {
    let Some(high) = hex4(text.get(2..6)) else { return (char::REPLACEMENT_CHARACTER, text.len().min(2)) };
    if (0xd800..0xdc00).contains(&high)
        && text.get(6..8) == Some(b"\\u")
        && let Some(low @ 0xdc00..0xe000) = hex4(text.get(8..12))
    {
        let c = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

/// Four hexadecimal digits.
pub fn hex4(digits: Option<&[u8]>) -> Option<u32> {
    digits.filter(|d| d.len() == 4)?.iter().try_fold(0, |n, d| Some(n << 4 | char::from(*d).to_digit(16)?))
}

/// Appends a JSON text without the white space outside its strings.
pub fn compact_json(json: &[u8], out: &mut Vec<u8>) {
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            in_string = *byte == b'"';
        }
        out.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn eight_digits_are_the_number_s() {
        // Both halves go through the same steps: all of one of them are all cases.
        for half in 0..10_000 {
            for n in [half, half * 10_000, half * 10_001, 99_990_000 + half] {
                let text = eight_digits(n).to_le_bytes().map(|digit| char::from(b'0' + digit));
                assert_eq!(String::from_iter(text), format!("{n:08}"));
            }
        }
    }

    proptest! {
        #[test]
        fn escaping_and_unescaping_are_inverse(text in ".*") {
            let (mut escaped, mut back) = (Vec::new(), Vec::new());
            escape(text.as_bytes(), &mut escaped);
            unescape(&escaped, &mut back);
            prop_assert_eq!(back, text.as_bytes());
            let quoted = format!("\"{}\"", String::from_utf8(escaped).unwrap());
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text.as_str());
            let (mut whole, mut behind) = (Vec::new(), b"\"".to_vec());
            quote(text.as_bytes(), &mut whole);
            prop_assert_eq!(&whole, quoted.as_bytes());
            behind.extend_from_slice(text.as_bytes());
            escape_from(1, &mut behind);
            behind.push(b'"');
            prop_assert_eq!(behind, whole);
        }
    }

    #[test]
    fn numbers_are_written_as_they_read() {
        for number in [0, 7, -1, 10, 99, 100, 101, -1000, 1_234_567_890, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn surrogates_pair_up_or_are_replaced() {
        let mut out = Vec::new();
        unescape(br"\ud83d\ude00 \ud83d \u00e9\/", &mut out);
        assert_eq!(out, "😀 \u{fffd} é/".as_bytes());
    }
}
