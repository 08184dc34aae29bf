//! What a component knows, said once: the reader, `check`, `list` and the reference pages all use it.
use std::cell::RefCell;
use std::path::PathBuf;

use super::load::read_text;
use super::quantity;
use super::tree::{Data, Key, Node};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, suggest};
use crate::limits::SECRET_BYTES_MAX;

/// What an option may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A text (or a number, as text).
    Text,
    /// A truth.
    Bool,
    /// A whole number that is not negative.
    Count,
    /// `5m`
    Duration,
    /// `64KiB`
    Size,
    /// An expression.
    Expression,
    /// A text with fields in braces.
    Template,
    /// A text that must not be shown, or where it stands: `{env: NAME}` or `{file: PATH}`.
    Secret,
    /// A text or a list of texts.
    Texts,
    /// A map of words to texts.
    Map,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number or an expression.
    CountOrExpression,
    /// A map with options of its own.
    Section(&'static [Field]),
    /// A form of its own, checked by the component.
    Any,
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Type,
    /// Whether it must be given.
    pub required: bool,
    /// What it does, and its default.
    pub help: &'static str,
}

impl Field {
    /// An option that may be left out.
    pub const fn optional(name: &'static str, kind: Type, help: &'static str) -> Field {
        Field { name, kind, required: false, help }
    }

    /// An option that must be given.
    pub const fn required(name: &'static str, kind: Type, help: &'static str) -> Field {
        Field { name, kind, required: true, help }
    }
}

/// The options of one node, while they are read.
pub struct Options<'a> {
    /// Name of the node.
    pub name: &'a str,
    /// Its map.
    pub node: &'a Node,
    faults: &'a RefCell<Diagnostics>,
}

impl<'a> Options<'a> {
    /// Options of a node.
    pub fn new(name: &'a str, node: &'a Node, faults: &'a RefCell<Diagnostics>) -> Options<'a> {
        Options { name, node, faults }
    }

    /// Checks keys and types against what is known. `common`: what every node of the family knows besides.
    pub fn check(&self, known: &[&[Field]]) {
        check_map(self.node, known, self.faults, self.name);
    }

    /// Adds a fault.
    pub fn fault(&self, diagnostic: Diagnostic) {
        self.faults.borrow_mut().push(diagnostic);
    }

    /// Where faults go.
    pub fn faults(&self) -> &'a RefCell<Diagnostics> {
        self.faults
    }

    /// An option as it stands; null counts as not given.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        self.node.get(key).filter(|n| !matches!(n.data, Data::Null))
    }

    /// Whether an option is given.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The options of a section.
    pub fn section(&self, key: &str) -> Option<Options<'a>> {
        let node = self.get(key)?;
        matches!(node.data, Data::Map(_)).then_some(Options { name: self.name, node, faults: self.faults })
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.text()
    }

    /// A text and its place.
    pub fn placed(&self, key: &str) -> Option<(String, Place)> {
        let node = self.get(key)?;
        Some((node.text()?, node.place.clone()))
    }

    /// A secret: written here, in the environment, or in a file. A fault says where it was looked for, never what it is.
    pub fn secret(&self, key: &str) -> Option<String> {
        let node = self.get(key)?;
        let fault = |node: &Node, message: String, help: &str| self.fault(Diagnostic::error(&node.place, "no_secret", message).help(help));
        let Some((kind, place)) = secret_place(node) else { return node.text() };
        match (kind, &place.data) {
            ("env", Data::Env(_, Some(value))) if !value.is_empty() => Some(value.clone()),
            ("env", _) => {
                fault(place, format!("the environment has no `{}`", place.text()?), "set it where tripline is started");
                None
            }
            _ => {
                let path = place.place.folder().join(place.text()?);
                let read = read_text(&path, SECRET_BYTES_MAX).map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
                match read {
                    Ok(secret) if !secret.is_empty() => Some(secret),
                    Ok(_) => {
                        fault(place, format!("{} is empty", path.display()), "the secret is its first and only line");
                        None
                    }
                    Err(e) => {
                        fault(place, format!("{} {e}", path.display()), "the path starts from the folder of this file");
                        None
                    }
                }
            }
        }
    }

    /// A truth, or its default.
    pub fn bool(&self, key: &str, default: bool) -> bool {
        match self.get(key).map(|n| &n.data) {
            Some(Data::Bool(b)) => *b,
            _ => default,
        }
    }

    /// A whole number.
    pub fn count(&self, key: &str) -> Option<u64> {
        match self.get(key)?.data {
            Data::Int(n) => u64::try_from(n).ok(),
            _ => None,
        }
    }

    /// A duration in nanoseconds.
    pub fn duration(&self, key: &str) -> Option<i64> {
        quantity::duration(&self.text(key)?)
    }

    /// An option that is one byte; anything else is a fault.
    pub fn byte(&self, key: &str) -> Option<u8> {
        let (text, place) = self.has(key).then(|| self.placed(key))??;
        match text.as_bytes() {
            [byte] if byte.is_ascii() => Some(*byte),
            _ if text == "\\t" => Some(b'\t'),
            _ => {
                let fault = Diagnostic::error(&place, "bad_value", format!("`{key}` is one ASCII character"));
                self.fault(fault.help("for a tab write \"\\t\""));
                None
            }
        }
    }

    /// A size in bytes.
    pub fn size(&self, key: &str) -> Option<u64> {
        quantity::size(&self.text(key)?)
    }

    /// Texts with their places.
    pub fn texts(&self, key: &str) -> Vec<(String, Place)> {
        let items = self.get(key).map(Node::items).unwrap_or_default();
        items.iter().filter_map(|n| Some((n.text()?, n.place.clone()))).collect()
    }

    /// Paths with their places. Relative ones start from the folder of the file that names them.
    pub fn paths(&self, key: &str) -> Vec<(PathBuf, Place)> {
        self.texts(key).into_iter().map(|(path, place)| (place.folder().join(path), place)).collect()
    }

    /// A path and its place.
    pub fn path(&self, key: &str) -> Option<(PathBuf, Place)> {
        self.paths(key).into_iter().next()
    }

    /// The entries of a map.
    pub fn entries(&self, key: &str) -> &'a [(Key, Node)] {
        self.get(key).map(Node::entries).unwrap_or_default()
    }

    /// Where the node begins.
    pub fn place(&self) -> &'a Place {
        &self.node.place
    }
}

/// Where a secret stands: `env` or `file`, and the node that says which.
fn secret_place(node: &Node) -> Option<(&str, &Node)> {
    match node.entries() {
        [(key, place)] if matches!(key.name.as_str(), "env" | "file") && place.text().is_some() => Some((&key.name, place)),
        _ => None,
    }
}

fn check_map(node: &Node, known: &[&[Field]], faults: &RefCell<Diagnostics>, name: &str) {
    let Data::Map(entries) = &node.data else {
        faults.borrow_mut().push(Diagnostic::error(
            &node.place,
            "wrong_type",
            format!("`{name}` must be a map, and this is {}", node.kind()),
        ));
        return;
    };
    let fields = || known.iter().flat_map(|f| f.iter());
    for (key, value) in entries {
        match fields().find(|f| f.name == key.name) {
            None => {
                let help = suggest(&key.name, fields().map(|f| f.name).collect::<Vec<_>>());
                faults
                    .borrow_mut()
                    .push(Diagnostic::error(&key.place, "unknown_key", format!("`{}` is not known here", key.name)).help(help));
            }
            Some(field) => check_value(field, value, faults),
        }
    }
    for field in fields().filter(|f| f.required) {
        if !entries.iter().any(|(k, v)| k.name == field.name && !matches!(v.data, Data::Null)) {
            let message = format!("`{name}` lacks `{}`", field.name);
            faults
                .borrow_mut()
                .push(Diagnostic::error(&node.place, "missing_key", message).help(format!("`{}`: {}", field.name, field.help)));
        }
    }
}

fn check_value(field: &Field, value: &Node, faults: &RefCell<Diagnostics>) {
    let text = value.text();
    let (fine, wanted) = match field.kind {
        Type::Text | Type::Template => (text.is_some(), "a text".to_owned()),
        Type::Secret => (text.is_some() || secret_place(value).is_some(), "a text, {env: NAME} or {file: PATH}".to_owned()),
        Type::Expression => (text.is_some(), "an expression".to_owned()),
        Type::Bool => (matches!(value.data, Data::Bool(_)), "true or false".to_owned()),
        Type::Count => (matches!(value.data, Data::Int(n) if n >= 0), "a whole number".to_owned()),
        Type::CountOrExpression => {
            (text.is_some() && !matches!(value.data, Data::Int(n) if n < 0), "a whole number or an expression".to_owned())
        }
        Type::Duration => (text.as_deref().and_then(quantity::duration).is_some(), "a duration such as 500ms, 5s, 10m, 1h, 7d".to_owned()),
        Type::Size => (text.as_deref().and_then(quantity::size).is_some(), "a size such as 64KiB, 10MiB".to_owned()),
        Type::Texts => (value.items().iter().all(|i| i.text().is_some()), "a text or a list of texts".to_owned()),
        Type::Map => (matches!(value.data, Data::Map(_)), "a map".to_owned()),
        Type::Word(words) => (text.as_deref().is_some_and(|t| words.contains(&t)), format!("one of {}", words.join(", "))),
        Type::Section(fields) => {
            if matches!(value.data, Data::Null) {
                return;
            }
            return check_map(value, &[fields], faults, field.name);
        }
        Type::Any => return,
    };
    if fine || (matches!(value.data, Data::Null) && !field.required) {
        return;
    }
    let shown = text.filter(|_| field.kind != Type::Secret).map_or_else(|| value.kind().to_owned(), |t| format!("`{t}`"));
    let mut fault = Diagnostic::error(&value.place, "wrong_type", format!("`{}` wants {wanted}, not {shown}", field.name));
    fault.help = match field.kind {
        Type::Word(words) => Some(suggest(&value.text().unwrap_or_default(), words.iter().copied())),
        _ => Some(field.help.to_owned()),
    };
    faults.borrow_mut().push(fault);
}
