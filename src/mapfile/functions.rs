//! ArcSight's token operations in setter cells: `__concatenate(name, " by ", user)`.
//!
//! An argument is a field or a text in double quotes. `docs/map-files.md` has each signature with a worked result.
use crate::event::Value;
use crate::event::value::{Num, parse_number};
use crate::pattern::Pattern;
use regex_automata::util::captures::Captures;

/// Names and what they do.
pub const LIST: &[(&str, &str)] = &[
    ("__concatenate(x, …)", "the texts one after another; an absent field adds nothing"),
    ("__toLowerCase(x)", "the text in lower case"),
    ("__stringConstant(\"text\")", "the text itself"),
    ("__oneOf(x, …)", "the first that is present and not empty"),
    ("__regexToken(x, \"pattern\")", "the first group of the pattern, or the whole match"),
    ("__safeToInteger(x)", "the whole number that the text spells; nothing otherwise"),
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
        other => {
            let known = LIST.iter().map(|(n, _)| n.split('(').next().unwrap_or(n));
            return Err((0, format!("there is no function `{other}`: {}", crate::diagnostic::suggest(other, known))));
        }
    };
    Ok(Call { function, arguments })
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
    pub fn write<'v>(&self, mut value: impl FnMut(&F) -> Value<'v>, captures: &mut Option<Captures>, out: &mut Vec<u8>) -> bool {
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
            Function::RegexToken(pattern) => {
                if !write(&self.arguments[0], out) {
                    return false;
                }
                let captures = captures.get_or_insert_with(|| pattern.captures());
                pattern.find(&out[start..], captures);
                let group = captures.get_group(1).or_else(|| captures.get_match().map(|m| m.span()));
                let found = group.map(|g| out[start + g.start..start + g.end].to_vec());
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
        assert!(parse("__nope(x)").unwrap_err().1.contains("no function"));
        assert!(parse("__oneOf(x").unwrap_err().1.contains("parenthesis"));
    }
}
