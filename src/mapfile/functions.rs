//! ArcSight's token operations in setter cells: `__concatenate(name, " by ", user)`.
//!
//! An argument is a field or a text in double quotes. `docs/map-files.md` has each signature with a worked result.
use crate::event::Value;
use crate::event::value::{Num, parse_number};
use crate::pattern::{Found, Pattern};

/// Names and what they do.
pub const LIST: &[(&str, &str)] = &[
    ("__concatenate(x, …)", "the texts one after another; an absent field adds nothing"),
    ("__toLowerCase(x)", "the text in lower case"),
    ("__stringConstant(\"text\")", "the text itself"),
    ("__oneOf(x, …)", "the first that is present and not empty"),
    ("__regexToken(x, \"pattern\")", "the first group of the pattern, or the whole match"),
    ("__safeToInteger(x)", "the whole number that the text spells; nothing otherwise"),
    ("__simpleMap(x, \"key=value\", …)", "the value of the pair whose key the text is; a last text of one character stands for `=`"),
    ("__split(x, \"delimiter\", n)", "the nth part, from 1"),
    ("__replaceAll(x, \"pattern\", \"with\")", "the text with every match replaced; `$1` is the first group"),
];

/// An argument of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument<F> {
    /// A field.
    Field(F),
    /// A text.
    Text(String),
}

/// A call, over fields by name or by slot.
#[derive(Clone, Debug)]
pub struct Call<F> {
    function: Function,
    arguments: Vec<Argument<F>>,
}

#[derive(Clone, Debug)]
enum Function {
    Concatenate,
    ToLowerCase,
    StringConstant,
    OneOf,
    RegexToken(Pattern),
    SafeToInteger,
    /// Values by their keys.
    SimpleMap(foldhash::HashMap<Vec<u8>, String>),
    Split(String, usize),
    ReplaceAll(Pattern, Vec<Piece>),
}

/// A piece of what `__replaceAll` puts in.
#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Group(usize),
}

/// Parses a cell. Errors carry the characters before the fault.
pub fn parse(cell: &str) -> Result<Call<String>, (usize, String)> {
    let trimmed = cell.trim_end();
    let (name, rest) = trimmed.split_once('(').ok_or((0, "a call such as `__oneOf(a, b)` is expected".to_owned()))?;
    let inside = rest.strip_suffix(')').ok_or((trimmed.chars().count(), "the closing parenthesis is missing".to_owned()))?;
    let offset = name.chars().count() + 1;
    let arguments = arguments(inside, offset)?;
    let count = |least: usize, most: usize| {
        if (least..=most).contains(&arguments.len()) {
            Ok(())
        } else {
            Err((offset, format!("`{name}` does not take {} arguments", arguments.len())))
        }
    };
    let function = match name.trim() {
        "__concatenate" => count(1, usize::MAX).map(|()| Function::Concatenate)?,
        "__toLowerCase" => count(1, 1).map(|()| Function::ToLowerCase)?,
        "__stringConstant" => count(1, 1).map(|()| Function::StringConstant)?,
        "__oneOf" => count(1, usize::MAX).map(|()| Function::OneOf)?,
        "__safeToInteger" => count(1, 1).map(|()| Function::SafeToInteger)?,
        "__regexToken" => {
            count(2, 2)?;
            let Argument::Text(pattern) = &arguments[1] else { return Err((offset, "the pattern is given in quotes".to_owned())) };
            Function::RegexToken(Pattern::new(pattern).map_err(|e| (offset, format!("bad pattern: {}", e.message)))?)
        }
        "__simpleMap" => {
            count(2, usize::MAX)?;
            Function::SimpleMap(pairs(&arguments[1..]).ok_or((offset, "each pair is a text such as \"key=value\"".to_owned()))?)
        }
        "__split" => {
            count(3, 3)?;
            let number = match &arguments[2] {
                Argument::Field(n) | Argument::Text(n) => n.parse::<usize>().ok().filter(|n| *n > 0),
            };
            match (&arguments[1], number) {
                (Argument::Text(delimiter), Some(number)) if !delimiter.is_empty() => Function::Split(delimiter.clone(), number),
                _ => return Err((offset, "a delimiter in quotes and a number from 1 are expected".to_owned())),
            }
        }
        "__replaceAll" => {
            count(3, 3)?;
            let (Argument::Text(pattern), Argument::Text(with)) = (&arguments[1], &arguments[2]) else {
                return Err((offset, "pattern and replacement are given in quotes".to_owned()));
            };
            let pattern = Pattern::new(pattern).map_err(|e| (offset, format!("bad pattern: {}", e.message)))?;
            Function::ReplaceAll(pattern, pieces(with))
        }
        other => {
            let known = LIST.iter().map(|(n, _)| n.split('(').next().unwrap_or(n));
            return Err((0, format!("there is no function `{other}`: {}", crate::diagnostic::suggest(other, known))));
        }
    };
    let mut arguments = arguments;
    if matches!(function, Function::SimpleMap(_) | Function::Split(..) | Function::ReplaceAll(..)) {
        // The rest is in the function.
        arguments.truncate(1);
    }
    Ok(Call { function, arguments })
}

/// Values by their keys, of equal keys the first; a last text of one character is what stands between the two.
fn pairs(arguments: &[Argument<String>]) -> Option<foldhash::HashMap<Vec<u8>, String>> {
    let texts: Option<Vec<&str>> = arguments.iter().map(|a| if let Argument::Text(t) = a { Some(t.as_str()) } else { None }).collect();
    let mut texts = texts?;
    let between = match texts.last() {
        Some(last) if texts.len() > 1 && last.chars().count() == 1 => texts.pop()?,
        _ => "=",
    };
    texts.into_iter().rev().map(|t| t.split_once(between).map(|(k, v)| (k.into(), v.into()))).collect()
}

/// A replacement in pieces: `$1` is a group, `\\$` a dollar.
fn pieces(with: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut text = String::new();
    let mut chars = with.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(_)) => text.extend(chars.next()),
            ('$', Some(digit)) if digit.is_ascii_digit() => {
                let group = chars.next().and_then(|d| d.to_digit(10)).unwrap_or(0);
                out.push(Piece::Text(std::mem::take(&mut text)));
                out.push(Piece::Group(group as usize));
            }
            _ => text.push(c),
        }
    }
    out.push(Piece::Text(text));
    out
}

fn arguments(inside: &str, offset: usize) -> Result<Vec<Argument<String>>, (usize, String)> {
    let mut out = Vec::new();
    let mut chars = inside.chars().enumerate().peekable();
    loop {
        while chars.peek().is_some_and(|(_, c)| c.is_whitespace()) {
            chars.next();
        }
        let Some((at, first)) = chars.next() else { return Ok(out) };
        if first == '"' {
            let mut text = String::new();
            let mut closed = false;
            while let Some((_, c)) = chars.next() {
                match c {
                    '"' => {
                        closed = true;
                        break;
                    }
                    '\\' if chars.peek().is_some_and(|(_, c)| matches!(c, '"' | '\\')) => text.extend(chars.next().map(|(_, c)| c)),
                    c => text.push(c),
                }
            }
            if !closed {
                return Err((offset + at, "a text without its closing quote".to_owned()));
            }
            out.push(Argument::Text(text));
        } else {
            let mut name = String::from(first);
            while let Some((_, c)) = chars.next_if(|(_, c)| *c != ',') {
                name.push(c);
            }
            out.push(Argument::Field(name.trim().trim_start_matches("event.").to_owned()));
        }
        while chars.peek().is_some_and(|(_, c)| c.is_whitespace()) {
            chars.next();
        }
        match chars.next() {
            None => return Ok(out),
            Some((_, ',')) => {}
            Some((at, _)) => return Err((offset + at, "a comma is expected".to_owned())),
        }
    }
}

impl<F> Call<F> {
    /// Fields that it reads.
    pub fn fields(&self) -> impl Iterator<Item = &F> {
        self.arguments.iter().filter_map(|a| if let Argument::Field(f) = a { Some(f) } else { None })
    }

    /// The same over other names of the fields.
    pub fn map<G>(self, mut to: impl FnMut(F) -> G) -> Call<G> {
        let arguments = self.arguments.into_iter().map(|a| match a {
            Argument::Field(f) => Argument::Field(to(f)),
            Argument::Text(t) => Argument::Text(t),
        });
        Call { function: self.function, arguments: arguments.collect() }
    }

    /// Writes the result. Returns false where there is none.
    pub fn write<'v>(&self, mut value: impl FnMut(&F) -> Value<'v>, memory: &mut Option<Found>, out: &mut Vec<u8>) -> bool {
        let mut write = |argument: &Argument<F>, out: &mut Vec<u8>| match argument {
            Argument::Field(f) => value(f).write_text(out),
            Argument::Text(t) => {
                out.extend_from_slice(t.as_bytes());
                true
            }
        };
        let start = out.len();
        match &self.function {
            Function::Concatenate => self.arguments.iter().fold(false, |any, a| write(a, out) | any),
            Function::StringConstant => write(&self.arguments[0], out),
            Function::OneOf => self.arguments.iter().any(|a| write(a, out) && out.len() > start),
            Function::ToLowerCase => {
                let some = write(&self.arguments[0], out);
                let lower = String::from_utf8_lossy(&out[start..]).to_lowercase();
                out.truncate(start);
                out.extend_from_slice(lower.as_bytes());
                some
            }
            Function::SafeToInteger => {
                let some = write(&self.arguments[0], out);
                let number = parse_number(out[start..].trim_ascii());
                out.truncate(start);
                match number {
                    Some(Num::Int(n)) if some => {
                        out.extend_from_slice(n.to_string().as_bytes());
                        true
                    }
                    _ => false,
                }
            }
            Function::SimpleMap(pairs) => {
                let some = write(&self.arguments[0], out);
                let found = pairs.get(&out[start..]).filter(|_| some);
                out.truncate(start);
                out.extend_from_slice(found.map_or("", String::as_str).as_bytes());
                found.is_some()
            }
            Function::Split(delimiter, number) => {
                let some = write(&self.arguments[0], out);
                let text = String::from_utf8_lossy(&out[start..]).into_owned();
                out.truncate(start);
                let part = text.split(delimiter.as_str()).nth(number - 1).filter(|_| some);
                out.extend_from_slice(part.unwrap_or_default().as_bytes());
                part.is_some()
            }
            Function::ReplaceAll(pattern, pieces) => {
                let some = write(&self.arguments[0], out);
                let text = out.split_off(start);
                replace_all(pattern, pieces, &text, out);
                some
            }
            Function::RegexToken(pattern) => {
                if !write(&self.arguments[0], out) {
                    return false;
                }
                let found = memory.get_or_insert_with(|| pattern.found());
                pattern.find(&out[start..], found);
                let group = (found.groups() > 1).then(|| found.group(1)).flatten().or_else(|| found.group(0));
                let found = group.map(|part| out[start + part.start..start + part.end].to_vec());
                out.truncate(start);
                out.extend_from_slice(found.as_deref().unwrap_or_default());
                found.is_some()
            }
        }
    }

    /// Whether the result is a number.
    pub fn is_number(&self) -> bool {
        matches!(self.function, Function::SafeToInteger)
    }
}

fn replace_all(pattern: &Pattern, pieces: &[Piece], text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    pattern.each(text, |captures| {
        let Some(found) = captures.get_match() else { return };
        out.extend_from_slice(&text[at..found.start()]);
        at = found.end();
        for piece in pieces {
            match piece {
                Piece::Text(t) => out.extend_from_slice(t.as_bytes()),
                Piece::Group(group) => out.extend_from_slice(captures.get_group(*group).map_or(&[][..], |g| &text[g.start..g.end])),
            }
        }
    });
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cell: &str) -> Option<String> {
        let call = parse(cell).unwrap();
        let mut out = Vec::new();
        let fields = |f: &String| match f.as_str() {
            "user" => Value::Text(b"Bob"),
            "n" => Value::Number(b"42"),
            "empty" => Value::Text(b""),
            _ => Value::Absent,
        };
        call.write(fields, &mut None, &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn worked_results() {
        assert_eq!(run("__concatenate(user,\" (\",n, \")\",none)").unwrap(), "Bob (42)");
        assert_eq!(run("__toLowerCase(event.user)").unwrap(), "bob");
        assert_eq!(run("__oneOf(none, empty, user)").unwrap(), "Bob");
        assert_eq!(run("__oneOf(none, empty)"), None);
        assert_eq!(run("__safeToInteger(\" 12 \")").unwrap(), "12");
        assert_eq!(run("__safeToInteger(user)"), None);
        assert_eq!(run("__regexToken(user, \"B(.)\")").unwrap(), "o");
        assert_eq!(run("__regexToken(user, \"x\")"), None);
        assert_eq!(run("__stringConstant(\"a, \\\"b\\\"\")").unwrap(), "a, \"b\"");
        assert_eq!(run("__simpleMap(user, \"Ann=1\", \"Bob=2\")").unwrap(), "2");
        assert_eq!(run("__simpleMap(user, \"Bob:x=y\", \":\")").unwrap(), "x=y");
        assert_eq!(run("__simpleMap(user, \"Bob=first\", \"Bob=second\")").unwrap(), "first");
        assert_eq!(run("__simpleMap(none, \"=1\")"), None);
        assert_eq!(run("__simpleMap(n, \"41=a\")"), None);
        assert_eq!(run("__split(\"a, b, c\", \", \", 2)").unwrap(), "b");
        assert_eq!(run("__split(user, \",\", 2)"), None);
        assert_eq!(run("__replaceAll(\"a1b22\", \"([0-9])\", \"<$1>\")").unwrap(), "a<1>b<2><2>");
        assert_eq!(run("__replaceAll(user, \"x*\", \"-\")").unwrap(), "-B-o-b-");
        assert_eq!(run("__replaceAll(user, \"o\", \"\\\\$1\")").unwrap(), "B$1b");
        assert_eq!(run("__replaceAll(none, \"o\", \"x\")"), None);
        assert!(
            parse("__split(a, \",\", 0)").is_err()
                && parse("__simpleMap(a, \"b\")").is_err()
                && parse("__replaceAll(a, \"(\", \"\")").is_err()
        );
        assert!(parse("__nope(x)").unwrap_err().1.contains("no function"));
        assert!(parse("__oneOf(x").unwrap_err().1.contains("parenthesis"));
    }
}
