//! The members of one JSON object as they stand: where each key and its value lie, without taking them apart.
use crate::simd;

/// A key with its quotes, and its value.
pub type Member<'j> = (&'j [u8], &'j [u8]);

/// The members of an object. Of text that is no object, those before the fault.
pub fn members(object: &[u8]) -> Members<'_> {
    let at = skip_space(object, 0);
    // Behind the end there is nothing.
    Members { text: object, at: if object.get(at) == Some(&b'{') { at + 1 } else { object.len() } }
}

/// See [`members`].
pub struct Members<'j> {
    text: &'j [u8],
    at: usize,
}

impl<'j> Iterator for Members<'j> {
    type Item = Member<'j>;
    #[inline]
    fn next(&mut self) -> Option<Member<'j>> {
        let text = self.text;
        let key = skip_comma(text, self.at);
        let key_end = string_end(text, key)?;
        let colon = skip_space(text, key_end);
        if *text.get(colon)? != b':' {
            return None;
        }
        let value = skip_space(text, colon + 1);
        self.at = value_end(text, value)?;
        Some((&text[key..key_end], &text[value..self.at]))
    }
}

/// The elements of an array.
pub fn elements(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = skip_space(array, 0);
    at = if array.get(at) == Some(&b'[') { at + 1 } else { array.len() };
    std::iter::from_fn(move || {
        let value = skip_comma(array, at);
        at = value_end(array, value)?;
        Some(&array[value..at])
    })
}

#[inline(always)]
fn skip_space(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

#[inline(always)]
fn skip_comma(text: &[u8], at: usize) -> usize {
    let at = skip_space(text, at);
    if text.get(at) == Some(&b',') { skip_space(text, at + 1) } else { at }
}

/// Where the string ends that begins at a place.
#[inline(always)]
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    if *text.get(at)? != b'"' {
        return None;
    }
    let mut at = at + 1;
    loop {
        at = simd::find_near(text, at, [b'"', b'\\']);
        if *text.get(at)? == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Where the value ends that begins at a place.
#[inline(always)]
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at),
        b'{' | b'[' => nested_end(text, at),
        _ => {
            let len = text[at..].iter().take_while(|b| !matches!(b, b',' | b'}' | b']') && !b.is_ascii_whitespace()).count();
            (len > 0).then_some(at + len)
        }
    }
}

/// The same of an object or an array.
fn nested_end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match text.get(at)? {
            b'"' => {
                at = string_end(text, at)?;
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
