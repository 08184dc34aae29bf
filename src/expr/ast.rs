//! The tree of an expression as written, each node with the character at which it begins.

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// Characters before it.
    pub at: usize,
    /// What it is.
    pub node: Node,
}

impl Expr {
    /// Names of the lists that it may read.
    pub fn lists(&self, out: &mut Vec<String>) {
        match &self.node {
            Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Text(_) | Node::Name(_) => {}
            Node::List(items) | Node::Truth(_, items) => items.iter().for_each(|item| item.lists(out)),
            Node::Unary(_, a) => a.lists(out),
            Node::Binary(_, a, b) => [a, b].iter().for_each(|side| side.lists(out)),
            Node::Choice(a, b, c) => [a, b, c].iter().for_each(|part| part.lists(out)),
            Node::Call(name, arguments) => {
                if let ("in_list" | "lookup", Some(Node::Text(list))) = (name.as_str(), arguments.first().map(|a| &a.node)) {
                    out.push(list.clone());
                }
                arguments.iter().for_each(|argument| argument.lists(out));
            }
        }
    }

    /// What must be true for it to be true: the sides of its outermost `&&`.
    pub fn conjuncts(self) -> Vec<Expr> {
        match self.node {
            Node::Truth(Truth::All, sides) => sides,
            _ => vec![self],
        }
    }

    /// Sides with `&&` or `||` between them; one side alone is itself. Those of a side that is of the same kind become its own.
    pub fn truth(kind: Truth, sides: Vec<Expr>) -> Expr {
        let at = sides.first().map_or(0, |side| side.at);
        let mut flat = Vec::with_capacity(sides.len());
        for side in sides {
            match side.node {
                Node::Truth(own, inner) if own == kind => flat.extend(inner),
                _ => flat.push(side),
            }
        }
        if flat.len() == 1 { flat.remove(0) } else { Expr { at, node: Node::Truth(kind, flat) } }
    }
}

/// Kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `true`, `false`.
    Bool(bool),
    /// `12`.
    Int(i64),
    /// `1.5`.
    Float(f64),
    /// `"text"`.
    Text(String),
    /// A field.
    Name(String),
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `!a`, `-a`.
    Unary(Unary, Box<Expr>),
    /// `a && b && c`, `a || b`: as many sides as stand there, so that a long chain is no deep tree.
    Truth(Truth, Vec<Expr>),
    /// `a + b`.
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// `a ? b : c`.
    Choice(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `f(a, b)`, and `a.f(b)` as `f(a, b)`.
    Call(String, Vec<Expr>),
}

/// Operators before one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// `!`
    Not,
    /// `-`
    Negate,
}

/// Operators between truths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// `&&`: all of them.
    All,
    /// `||`: any of them.
    Any,
}

/// Operators between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `in`
    In,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}
