//! Texts with fields in braces: `{field}` is replaced, `{{` is a brace, an absent field gives `-`.
use super::compile::Environment;
use super::eval::Row;
use super::parse::Fault;
use crate::event::Slot;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    Field(Option<Slot>),
}

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// Compiles a template.
    pub fn compile(source: &str, env: &mut dyn Environment) -> Result<Template, Fault> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut chars = source.chars().enumerate().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '{' | '}' if chars.peek().is_some_and(|(_, next)| *next == c) => {
                    chars.next();
                    text.push(c);
                }
                '{' => {
                    let mut name = String::new();
                    let mut closed = false;
                    for (_, c) in chars.by_ref() {
                        if c == '}' {
                            closed = true;
                            break;
                        }
                        name.push(c);
                    }
                    let name = name.trim().trim_matches('`');
                    if !closed || name.is_empty() {
                        return Err(Fault::new(at, "a field in braces is expected", "write `{field}`, or `{{` for a brace"));
                    }
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text).into_bytes().into()));
                    }
                    parts.push(Part::Field(env.slot(name)));
                }
                c => text.push(c),
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.into_bytes().into()));
        }
        Ok(Template { parts })
    }

    /// Appends the text for a row.
    pub fn write<R: Row>(&self, row: &R, out: &mut Vec<u8>) {
        self.write_with(row, out, |_, _| {});
    }

    /// Appends the text for a row. `field` may change what a field gave: it stands at the end, from this place on.
    pub fn write_with<R: Row>(&self, row: &R, out: &mut Vec<u8>, field: impl Fn(&mut Vec<u8>, usize)) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Field(slot) => {
                    let start = out.len();
                    if !slot.is_some_and(|slot| row.value(slot).write_text(out)) {
                        out.push(b'-');
                    }
                    field(out, start);
                }
            }
        }
    }

    /// Appends the text for a row, unless it reads fields and none of them is there.
    pub fn write_some<R: Row>(&self, row: &R, out: &mut Vec<u8>) -> bool {
        let mut fields = self.parts.iter().filter_map(|p| if let Part::Field(slot) = p { Some(slot) } else { None }).peekable();
        let is_there = |slot: &Option<Slot>| slot.is_some_and(|slot| row.value(slot).is_present());
        let has_some = fields.peek().is_none() || fields.any(is_there);
        if has_some {
            self.write(row, out);
        }
        has_some
    }

    /// Fields that it reads.
    pub fn reads(&self) -> impl Iterator<Item = Slot> + '_ {
        self.parts.iter().filter_map(|p| if let Part::Field(slot) = p { *slot } else { None })
    }
}
