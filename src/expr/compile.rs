//! From the tree to a program: names become slots, constants are folded, types that cannot work are refused with their place.
use std::sync::Arc;

use memchr::memmem::Finder;

use super::ast::{Binary, Expr, Node, Truth, Unary};
use super::eval::{Constant, ListRef, Op, Program, TextTest};
use super::functions::{self, ZoneOf};
use super::parse::Fault;
use super::set::{ConstantSet, MANY};
use crate::diagnostic::suggest;
use crate::event::Slot;
use crate::event::address::Network;
use crate::list::ListSpec;
use crate::pattern::Pattern;
use crate::table::{Handle, Local, Table};

/// What names mean where an expression stands.
pub trait Environment {
    /// The slot of a field; none where it cannot exist.
    fn slot(&mut self, name: &str) -> Option<Slot>;
    /// A table or a list.
    fn table(&mut self, name: &str, list: bool) -> Option<Arc<Handle<Table>>>;
    /// Names of the tables or the lists.
    fn tables(&self, list: bool) -> Vec<String>;
    /// A list that events write, and which copy of it is read.
    fn list(&mut self, _name: &str) -> Option<(Arc<ListSpec>, ListRef)> {
        None
    }
    /// The field that separates customers.
    fn tenant(&mut self) -> Option<Slot> {
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Any,
    Bool,
    Number,
    Text,
}

/// Compiles an expression whose value is wanted.
pub fn compile(expr: &Expr, env: &mut dyn Environment) -> Result<Program, Vec<Fault>> {
    let mut c = Compiler { env, reads: Vec::new(), faults: Vec::new() };
    let root = c.op(expr);
    c.finish(root)
}

/// Compiles an expression whose truth is wanted.
pub fn compile_truth(expr: &Expr, env: &mut dyn Environment) -> Result<Program, Vec<Fault>> {
    let mut c = Compiler { env, reads: Vec::new(), faults: Vec::new() };
    let root = c.truth(expr);
    c.finish(root)
}

struct Compiler<'e> {
    env: &'e mut dyn Environment,
    reads: Vec<Slot>,
    faults: Vec<Fault>,
}

impl Compiler<'_> {
    fn finish(self, root: Op) -> Result<Program, Vec<Fault>> {
        if self.faults.is_empty() { Ok(Program { root, reads: self.reads }) } else { Err(self.faults) }
    }

    fn fault(&mut self, at: usize, message: impl Into<String>, help: impl Into<String>) -> Op {
        self.faults.push(Fault::new(at, message, help));
        Op::Constant(Constant::Absent)
    }

    fn field(&mut self, name: &str) -> Op {
        match self.env.slot(name) {
            Some(slot) => {
                if !self.reads.contains(&slot) {
                    self.reads.push(slot);
                }
                Op::Field(slot)
            }
            None => Op::Constant(Constant::Absent),
        }
    }

    fn expect(&mut self, expr: &Expr, op: &Op, wanted: Type) {
        let got = type_of(op);
        if got != Type::Any && got != wanted {
            let word = |t| match t {
                Type::Bool => "a truth",
                Type::Number => "a number",
                Type::Text => "a text",
                Type::Any => "a value",
            };
            self.fault(
                expr.at,
                format!("{} is wanted here, and this is {}", word(wanted), word(got)),
                "compare it with something, or quote it",
            );
        }
    }

    fn truth(&mut self, expr: &Expr) -> Op {
        let op = self.op(expr);
        self.expect(expr, &op, Type::Bool);
        op
    }

    fn op(&mut self, expr: &Expr) -> Op {
        match &expr.node {
            Node::Bool(b) => Op::Constant(Constant::Bool(*b)),
            Node::Int(n) => Op::Constant(Constant::Int(*n)),
            Node::Float(n) => Op::Constant(Constant::Float(*n)),
            Node::Text(t) => Op::Constant(Constant::Text(t.as_bytes().into())),
            Node::Name(name) => self.field(name),
            Node::List(_) => self.fault(expr.at, "a list may stand only behind `in`", "as in `x in [\"a\", \"b\"]`"),
            Node::Unary(Unary::Not, a) => Op::Not(Box::new(self.truth(a))),
            Node::Unary(Unary::Negate, a) => match self.op(a) {
                Op::Constant(Constant::Int(n)) => Op::Constant(Constant::Int(-n)),
                Op::Constant(Constant::Float(n)) => Op::Constant(Constant::Float(-n)),
                op => {
                    self.expect(a, &op, Type::Number);
                    Op::Negate(Box::new(op))
                }
            },
            Node::Choice(a, b, c) => Op::Choice(Box::new([self.truth(a), self.op(b), self.op(c)])),
            Node::Truth(kind, sides) => {
                let items = sides.iter().map(|side| self.truth(side)).collect();
                match kind {
                    Truth::All => Op::All(items),
                    Truth::Any => any_of(items),
                }
            }
            Node::Binary(op, a, b) => self.binary(*op, a, b),
            Node::Call(name, arguments) => self.call(expr.at, name, arguments),
        }
    }

    fn binary(&mut self, op: Binary, a: &Expr, b: &Expr) -> Op {
        match op {
            Binary::In => {
                let left = self.op(a);
                match &b.node {
                    Node::List(items) => in_items(left, items.iter().map(|i| self.op(i)).collect()),
                    // `"a" in field`: some element of the field's array equals it.
                    _ => Op::Compare(Binary::Equal, Box::new([left, self.op(b)])),
                }
            }
            Binary::Equal | Binary::NotEqual | Binary::Less | Binary::LessEqual | Binary::Greater | Binary::GreaterEqual => {
                let pair = [self.op(a), self.op(b)];
                let (left, right) = (type_of(&pair[0]), type_of(&pair[1]));
                let clash = left != right && (left == Type::Bool && right != Type::Any || right == Type::Bool && left != Type::Any);
                if clash {
                    self.fault(b.at, "a truth is compared with something that is none", "compare values of one type");
                }
                match (op, pair) {
                    (Binary::Equal, [Op::Field(slot), Op::Constant(Constant::Text(text))]) => Op::FieldIsText(slot, text),
                    (op, pair) => Op::Compare(op, Box::new(pair)),
                }
            }
            _ => {
                let pair = [self.op(a), self.op(b)];
                for (expr, op_) in [(a, &pair[0]), (b, &pair[1])] {
                    if !(op == Binary::Add && type_of(op_) == Type::Text) {
                        self.expect(expr, op_, Type::Number);
                    }
                }
                Op::Arithmetic(op, Box::new(pair))
            }
        }
    }

    fn call(&mut self, at: usize, name: &str, arguments: &[Expr]) -> Op {
        let (least, most) = match name {
            "has" | "size" | "lowerAscii" | "upperAscii" => (1, 1),
            "startsWith" | "endsWith" | "contains" | "matches" | "category" => (2, 2),
            "hour" | "weekday" => (1, 2),
            "cidr" | "in_list" | "in_table" => (2, usize::MAX),
            "lookup" => (3, usize::MAX),
            "hash" => (1, usize::MAX),
            _ => {
                let known = functions::LIST.iter().map(|(f, _)| f.split('(').next().unwrap_or(f));
                return self.fault(at, format!("there is no function `{name}`"), suggest(name, known));
            }
        };
        if arguments.len() < least || arguments.len() > most {
            return self.fault(
                at,
                format!("`{name}` takes {least}{} arguments, not {}", if most > least { " or more" } else { "" }, arguments.len()),
                "see `tripline list functions`",
            );
        }
        match name {
            "has" => match &arguments[0].node {
                Node::Name(field) => match self.field(field) {
                    Op::Field(slot) => Op::Has(slot),
                    _ => Op::Constant(Constant::Bool(false)),
                },
                _ => self.fault(at, "`has` asks about a field", "as in `has(user)`"),
            },
            "in_list" | "in_table" | "lookup" => self.table_call(name, arguments),
            "matches" => {
                let subject = self.op(&arguments[0]);
                let Some(pattern) = self.literal(&arguments[1], "a pattern") else { return Op::Constant(Constant::Absent) };
                match Pattern::new(&pattern) {
                    Ok(pattern) => Op::Matches(Box::new(subject), pattern),
                    Err(e) => self.fault(arguments[1].at + 1 + e.at, format!("bad pattern: {}", e.message), e.help),
                }
            }
            "cidr" => {
                let subject = self.op(&arguments[0]);
                let mut networks = Vec::new();
                for argument in &arguments[1..] {
                    let Some(text) = self.literal(argument, "a network") else { continue };
                    match Network::parse(&text) {
                        Some(network) => networks.push(network),
                        None => drop(self.fault(argument.at, format!("`{text}` is no network"), "as in \"10.0.0.0/8\"")),
                    }
                }
                Op::Cidr(Box::new(subject), networks)
            }
            "hour" | "weekday" => {
                let zone = match arguments.get(1).map(|a| (a.at, self.literal(a, "a zone"))) {
                    None | Some((_, None)) => ZoneOf::Utc,
                    Some((at, Some(zone))) => match jiff::tz::TimeZone::get(&zone) {
                        Ok(zone) => ZoneOf::Named(zone),
                        Err(_) => {
                            return self.fault(
                                at,
                                format!("there is no time zone `{zone}`"),
                                "a name of the IANA database, as in \"Europe/Paris\"",
                            );
                        }
                    },
                };
                Op::Calendar(name == "hour", Box::new(self.op(&arguments[0])), zone)
            }
            _ => self.plain_call(name, arguments),
        }
    }

    fn plain_call(&mut self, name: &str, arguments: &[Expr]) -> Op {
        let mut ops: Vec<Op> = arguments.iter().map(|a| self.op(a)).collect();
        if name == "hash" {
            return Op::Hash(ops);
        }
        for (argument, op) in arguments.iter().zip(&ops) {
            self.expect(argument, op, Type::Text);
        }
        let second = ops.get(1).cloned().unwrap_or(Op::Constant(Constant::Absent));
        let first = Box::new(ops.swap_remove(0));
        let test = match name {
            "size" => return Op::Size(first),
            "lowerAscii" => return Op::Lower(first),
            "upperAscii" => return Op::Upper(first),
            "category" => return Op::Category(first, Box::new(second)),
            "startsWith" => TextTest::StartsWith,
            "endsWith" => TextTest::EndsWith,
            _ => TextTest::Contains,
        };
        match (test, second) {
            (TextTest::Contains, Op::Constant(Constant::Text(text))) => Op::Contains(Box::new((*first, Finder::new(&text).into_owned()))),
            (test, second) => Op::Test(test, Box::new([*first, second])),
        }
    }

    fn table_call(&mut self, name: &str, arguments: &[Expr]) -> Op {
        let what = if name == "in_list" { "list" } else { "table" };
        let Some(asked) = self.literal(&arguments[0], what) else { return Op::Constant(Constant::Absent) };
        let table = if name == "in_list" { None } else { self.env.table(&asked, false) };
        if table.is_none()
            && name != "in_table"
            && let Some((spec, list)) = self.env.list(&asked)
        {
            let names: Vec<&str> = spec.columns.iter().map(|(column, _)| column.as_str()).collect();
            return match self.row_of(name, "list", arguments, (spec.key_parts(), spec.tenant.is_some()), &names) {
                Some((keys, Some(column))) => Op::ListCell(list, column, keys),
                Some((keys, None)) => Op::InList(list, keys),
                None => Op::Constant(Constant::Absent),
            };
        }
        // A list that nothing writes is a table.
        let Some(handle) = table.or_else(|| self.env.table(&asked, name != "in_table")) else {
            let known = self.env.tables(name == "in_list");
            let help = suggest(&asked, known.iter().map(String::as_str));
            return self.fault(arguments[0].at, format!("there is no {what} `{asked}`"), help);
        };
        let table = Local::new(&handle);
        let names: Vec<&str> = table.get().columns.iter().map(String::as_str).collect();
        match self.row_of(name, what, arguments, (table.get().keys.len(), table.get().per_tenant), &names) {
            Some((keys, Some(column))) => Op::Lookup(table, column, keys),
            Some((keys, None)) => Op::InTable(table, keys),
            None => Op::Constant(Constant::Absent),
        }
    }

    /// The key that a call asks for, and the column that `lookup` wants. `key`: its parts, and whether the tenant is the first.
    fn row_of(
        &mut self,
        name: &str,
        what: &str,
        arguments: &[Expr],
        key: (usize, bool),
        columns: &[&str],
    ) -> Option<(Vec<Op>, Option<usize>)> {
        let (parts, per_tenant) = key;
        let asked = self.literal(&arguments[0], what)?;
        let given = &arguments[if name == "lookup" { 2 } else { 1 }..];
        let wanted = parts - usize::from(per_tenant);
        if given.len() != wanted {
            let message = format!("{what} `{asked}` has a key of {wanted} columns, not {}", given.len());
            self.fault(arguments[0].at, message, "give one value for each key column");
            return None;
        }
        let mut keys = Vec::new();
        if per_tenant {
            let tenant = self.env.tenant();
            self.reads.extend(tenant);
            keys.push(Op::tenant(tenant));
        }
        keys.extend(given.iter().map(|argument| self.op(argument)));
        if name != "lookup" {
            return Some((keys, None));
        }
        let column = self.literal(&arguments[1], "a column")?;
        let found = columns.iter().position(|known| *known == column);
        if found.is_none() {
            let help = suggest(&column, columns.iter().copied());
            self.fault(arguments[1].at, format!("{what} `{asked}` has no column `{column}`"), help);
        }
        Some((keys, Some(found?)))
    }

    /// An argument that must be a text in quotes.
    fn literal(&mut self, expr: &Expr, what: &str) -> Option<String> {
        if let Node::Text(text) = &expr.node {
            return Some(text.clone());
        }
        self.fault(expr.at, format!("{what} is given here as a text in quotes"), "it is read once, when the pipeline is loaded");
        None
    }
}

/// `a in […]`.
fn in_items(left: Op, items: Vec<Op>) -> Op {
    if items.len() < MANY || !items.iter().all(|item| matches!(item, Op::Constant(_))) {
        return Op::InItems(Box::new(left), items);
    }
    let mut set = ConstantSet::default();
    items.into_iter().for_each(|item| {
        if let Op::Constant(constant) = item {
            set.insert(constant)
        }
    });
    Op::InSet(Box::new(left), Arc::new(set))
}

/// `a || b …`: of one field's texts, if there are many of them, a set is made.
fn any_of(items: Vec<Op>) -> Op {
    let mut texts: foldhash::HashMap<Slot, usize> = foldhash::HashMap::default();
    for item in &items {
        if let Op::FieldIsText(slot, _) = item {
            *texts.entry(*slot).or_default() += 1;
        }
    }
    let mut sets: Vec<(Slot, ConstantSet)> = Vec::new();
    let mut rest = Vec::new();
    for item in items {
        match item {
            Op::FieldIsText(slot, text) if texts.get(&slot).is_some_and(|count| *count >= MANY) => {
                let at = sets.iter().position(|(s, _)| *s == slot).unwrap_or_else(|| {
                    sets.push((slot, ConstantSet::default()));
                    sets.len() - 1
                });
                sets[at].1.insert(Constant::Text(text));
            }
            other => rest.push(other),
        }
    }
    rest.splice(0..0, sets.into_iter().map(|(slot, set)| Op::InSet(Box::new(Op::Field(slot)), Arc::new(set))));
    Op::Any(rest)
}

fn type_of(op: &Op) -> Type {
    match op {
        Op::Constant(Constant::Bool(_)) => Type::Bool,
        Op::Constant(Constant::Int(_) | Constant::Float(_)) => Type::Number,
        Op::Constant(Constant::Text(_)) => Type::Text,
        Op::Not(_) | Op::All(_) | Op::Any(_) | Op::Compare(..) | Op::FieldIsText(..) | Op::Has(_) | Op::Test(..) | Op::Contains(..) => {
            Type::Bool
        }
        Op::InItems(..) | Op::InSet(..) | Op::Matches(..) | Op::Cidr(..) | Op::InTable(..) | Op::InList(..) | Op::Category(..) => {
            Type::Bool
        }
        Op::Negate(_) | Op::Size(_) | Op::Calendar(..) => Type::Number,
        Op::Lower(_) | Op::Upper(_) | Op::Hash(_) => Type::Text,
        Op::OrEmpty(_) => Type::Any,
        Op::Arithmetic(op, ab) if *op != Binary::Add || type_of(&ab[0]) == Type::Number => Type::Number,
        Op::Constant(Constant::Absent) | Op::Field(_) | Op::Choice(_) | Op::Arithmetic(..) | Op::Lookup(..) | Op::ListCell(..) => Type::Any,
    }
}
