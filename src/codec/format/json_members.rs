//! The members of one JSON object as they stand: where each key and its value lie, without taking them apart.
use crate::simd;

/// A key with its quotes, and its value.
pub type Member<'j> = (&'j [u8], &'j [u8]);

/// The members of an object. Of text that is no object, those before the fault.
pub fn members(object: &[u8]) -> impl Iterator<Item = Member<'_>> {
    let mut rest = object.trim_ascii_start().strip_prefix(b"{").unwrap_or_default();
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        let (key, after) = rest.split_at_checked(string_len(rest)?)?;
        let after = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let (value, after) = after.split_at_checked(value_len(after)?)?;
        rest = after;
        Some((key, value))
    })
}

/// The elements of an array.
pub fn elements(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = array.trim_ascii_start().strip_prefix(b"[").unwrap_or_default();
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        let (value, after) = rest.split_at_checked(value_len(rest)?)?;
        rest = after;
        Some(value)
    })
}

/// Bytes of the string that the text begins with, quotes included.
#[inline(always)]
fn string_len(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at = simd::find_quote(text, at);
        if *text.get(at)? == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Bytes of the value that the text begins with.
#[inline(always)]
fn value_len(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => string_len(text),
        b'{' | b'[' => {
            let (mut at, mut depth) = (0, 0usize);
            loop {
                match text.get(at)? {
                    b'"' => {
                        at += string_len(&text[at..])?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let len = text.iter().take_while(|b| !matches!(b, b',' | b'}' | b']') && !b.is_ascii_whitespace()).count();
            (len > 0).then_some(len)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_lie_where_they_stand() {
        let text = br#" { "a" : 1.0e2 ,"b\"":"x,}\\","c":{"d":[1,"]"]}, "e":[ ] ,"f":null}"#;
        let found: Vec<(String, String)> =
            members(text).map(|(k, v)| (String::from_utf8_lossy(k).into_owned(), String::from_utf8_lossy(v).into_owned())).collect();
        let want = [(r#""a""#, "1.0e2"), (r#""b\"""#, r#""x,}\\""#), (r#""c""#, r#"{"d":[1,"]"]}"#), (r#""e""#, "[ ]"), (r#""f""#, "null")];
        assert_eq!(found, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(elements(br#"["a", 2,[3]]"#).collect::<Vec<_>>(), [&b"\"a\""[..], b"2", b"[3]"]);
    }

    #[test]
    fn text_that_is_no_object_ends_it() {
        for text in ["", "{", "{}", "[1]", r#"{"a"#, r#"{"a""#, r#"{"a":"#, r#"{"a":"\"#, r#"{"a":[1"#, "}", r#"{"a":]}"#] {
            assert_eq!(members(text.as_bytes()).count(), 0, "{text}");
        }
        assert_eq!(members(br#"{"a":1,"b"#).count(), 1);
    }
}
