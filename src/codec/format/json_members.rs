//! The members of one JSON object as they stand: where each key and its value lie, without taking them apart.
use crate::simd;

/// A key with its quotes, and its value.
pub type Member<'j> = (&'j [u8], &'j [u8]);

/// The members of an object. Of text that is no object, those before the fault.
#[inline]
pub fn members(object: &[u8]) -> Members<'_> {
    let at = skip_space(object, 0);
    // Behind the end there is nothing.
    Members { text: object, at: if object.get(at) == Some(&b'{') { at + 1 } else { object.len() }, quotes: 0, from: 0 }
}

/// See [`members`].
pub struct Members<'j> {
    text: &'j [u8],
    at: usize,
    /// The quotes among the [`WINDOW`] bytes from a place on, if no backslash is there.
    quotes: u64,
    from: usize,
}

/// As many bytes as a mask has bits.
const WINDOW: usize = 64;

impl<'j> Members<'j> {
    /// A member as most are: a short text, and no blanks.
    #[inline(always)]
    fn next_short(&mut self) -> Option<Member<'j>> {
        let rest = self.text.get(self.at..)?;
        let comma = match *rest.first()? {
            b',' => 1,
            b'"' => 0,
            _ => return None,
        };
        let [key, key_end, value, end] = self.four_quotes(rest)?;
        let colon = rest.get(key_end + 1)?;
        if key != comma || value != key_end + 2 || *colon != b':' {
            return None;
        }
        let (before_colon, from_value) = rest.get(..=end)?.split_at_checked(value)?;
        self.at += end + 1;
        Some((before_colon.get(key..=key_end)?, from_value))
    }

    fn next_any(&mut self) -> Option<Member<'j>> {
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

    /// Offsets of the next four quotes.
    #[inline(always)]
    fn four_quotes(&mut self, rest: &[u8]) -> Option<[usize; 4]> {
        let four = |first: u64| {
            let next = |quotes: u64| quotes & quotes.wrapping_sub(1);
            let (second, third) = (next(first), next(next(first)));
            let quotes = [first, second, third, next(third)];
            (quotes[3] != 0).then(|| quotes.map(|quotes| quotes.trailing_zeros() as usize))
        };
        let seen = self.at - self.from;
        if seen < WINDOW
            && let Some(four) = four(self.quotes >> seen)
        {
            return Some(four);
        }
        self.quotes = quotes(rest, self.text);
        self.from = self.at;
        four(self.quotes)
    }
}

/// The quotes among the first [`WINDOW`] bytes of the rest of a text. None where a backslash stands among them, or the text is short.
#[inline(always)]
fn quotes(rest: &[u8], text: &[u8]) -> u64 {
    let of = |block| if simd::marks(block, [b'\\']) == 0 { simd::marks(block, [b'"']) } else { 0 };
    match (rest.first_chunk(), text.last_chunk()) {
        (Some(block), _) => of(block),
        // The rest, and what stands before it.
        (None, Some(block)) => of(block) >> (WINDOW - rest.len()),
        (None, None) => 0,
    }
}

impl<'j> Iterator for Members<'j> {
    type Item = Member<'j>;
    #[inline]
    fn next(&mut self) -> Option<Member<'j>> {
        self.next_short().or_else(|| self.next_any())
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
    use proptest::prelude::*;

    proptest! {
        /// Sound objects, and what is left of them behind a cut.
        #[test]
        fn short_members_are_as_any(parts in prop::collection::vec((r#"[a-z\\":,{} ]{0,9}"#, r#"("[^"\\]{0,40}"|"(\\"|x){0,9}"|-?[0-9]{1,4}|\[("a",1)?\]|null)"#, " ?[,:\"]?"), 0..12), cut in 0usize..400) {
            let mut text = String::from("{");
            for (key, value, behind) in parts {
                let plain: String = key.chars().filter(|c| !"\\\"".contains(*c)).collect();
                text.push_str(&if behind.len() < 2 { format!("\"{plain}\":{value},") } else { format!("\"{key}\":{value}{behind}") });
            }
            text.truncate((0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
            let mut any = members(text.as_bytes());
            let any: Vec<Member<'_>> = std::iter::from_fn(|| any.next_any()).collect();
            prop_assert_eq!(members(text.as_bytes()).collect::<Vec<_>>(), any);
        }
    }

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
