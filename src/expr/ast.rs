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
            Node::List(items) => items.iter().for_each(|item| item.lists(out)),
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
    pub fn conjuncts(self, out: &mut Vec<Expr>) {
        match self.node {
            Node::Binary(Binary::And, a, b) => {
                a.conjuncts(out);
                b.conjuncts(out);
            }
            _ => out.push(self),
        }
    }

    /// The sides of an outermost `&&` or `||`.
    pub fn sides<'e>(&'e self, op: Binary, out: &mut Vec<&'e Expr>) {
        match &self.node {
            Node::Binary(own, a, b) if *own == op => [a, b].iter().for_each(|side| side.sides(op, out)),
            _ => out.push(self),
        }
    }

    /// Parts with `&&` or `||` between them, as a tree that is not deep.
    pub fn joined(op: Binary, mut parts: Vec<Expr>) -> Expr {
        while parts.len() > 1 {
            let mut rest = std::mem::take(&mut parts).into_iter();
            while let Some(a) = rest.next() {
                parts.push(match rest.next() {
                    Some(b) => Expr { at: a.at, node: Node::Binary(op, Box::new(a), Box::new(b)) },
                    None => a,
                });
            }
        }
        parts.pop().unwrap_or(Expr { at: 0, node: Node::Bool(op == Binary::And) })
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

/// Operators between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `||`
    Or,
    /// `&&`
    And,
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
