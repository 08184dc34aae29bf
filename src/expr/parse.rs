//! From tokens to a tree, by precedence climbing: `? :`, `||`, `&&`, comparisons and `in`, `+ -`, `* / %`, `! -`, methods.
use super::ast::{Binary, Expr, Node, Truth, Unary};
use super::lex::{Token, lex};
use crate::limits::{EXPRESSION_CHAIN_MAX, EXPRESSION_DEPTH_MAX};

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Characters before it.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Fault {
    /// A fault at a character.
    pub fn new(at: usize, message: impl Into<String>, help: impl Into<String>) -> Fault {
        Fault { at, message: message.into(), help: help.into() }
    }
}

/// Parses one expression.
pub fn parse(source: &str) -> Result<Expr, Fault> {
    let mut parser = Parser { tokens: lex(source)?, next: 0, depth: 0, chained: 0, end: source.chars().count() };
    let expr = parser.choice()?;
    match parser.tokens.get(parser.next) {
        None => Ok(expr),
        Some((at, token)) => {
            Err(Fault::new(*at, format!("{} is not expected here", show(token)), "an operator is missing, or something is left over"))
        }
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
    /// Operators and methods that follow another one: each makes the tree deeper.
    chained: usize,
    end: usize,
}

fn show(token: &Token) -> String {
    match token {
        Token::Int(n) => format!("`{n}`"),
        Token::Float(n) => format!("`{n}`"),
        Token::Text(t) => format!("the text \"{t}\""),
        Token::Name(n) | Token::Quoted(n) => format!("`{n}`"),
        Token::Symbol(s) => format!("`{s}`"),
    }
}

impl Parser {
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn symbol(&mut self, symbols: &[&'static str]) -> Option<&'static str> {
        let Some((_, Token::Symbol(s))) = self.tokens.get(self.next) else { return None };
        let found = symbols.iter().find(|w| *w == s).copied();
        self.next += usize::from(found.is_some());
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.next), Some((_, Token::Name(n))) if n == word);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), Fault> {
        let at = self.at();
        self.symbol(&[symbol]).map(|_| ()).ok_or_else(|| Fault::new(at, format!("`{symbol}` is expected here"), "check the brackets"))
    }

    fn choice(&mut self) -> Result<Expr, Fault> {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            return Err(Fault::new(self.at(), "the expression is nested too deeply", "split it into several `set` fields"));
        }
        let at = self.at();
        let condition = self.binary(0)?;
        let expr = if self.symbol(&["?"]).is_some() {
            let yes = self.choice()?;
            self.expect(":")?;
            let no = self.choice()?;
            Expr { at, node: Node::Choice(Box::new(condition), Box::new(yes), Box::new(no)) }
        } else {
            condition
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn operator(&mut self, level: usize) -> Option<Binary> {
        const COMPARE: [(&str, Binary); 6] = [
            ("==", Binary::Equal),
            ("!=", Binary::NotEqual),
            ("<=", Binary::LessEqual),
            (">=", Binary::GreaterEqual),
            ("<", Binary::Less),
            (">", Binary::Greater),
        ];
        let table: &[(&'static str, Binary)] = match level {
            2 if self.word("in") => return Some(Binary::In),
            2 => &COMPARE,
            3 => &[("+", Binary::Add), ("-", Binary::Subtract)],
            _ => &[("*", Binary::Multiply), ("/", Binary::Divide), ("%", Binary::Remainder)],
        };
        table.iter().find(|(s, _)| self.symbol(&[s]).is_some()).map(|(_, op)| *op)
    }

    fn truth(&mut self, level: usize, kind: Truth, word: &str, symbol: &'static str) -> Result<Expr, Fault> {
        let mut sides = vec![self.binary(level + 1)?];
        while self.word(word) || self.symbol(&[symbol]).is_some() {
            sides.push(self.binary(level + 1)?);
        }
        Ok(Expr::truth(kind, sides))
    }

    fn binary(&mut self, level: usize) -> Result<Expr, Fault> {
        match level {
            0 => return self.truth(level, Truth::Any, "or", "||"),
            1 => return self.truth(level, Truth::All, "and", "&&"),
            5 => return self.unary(),
            _ => {}
        }
        let mut left = self.binary(level + 1)?;
        let mut follows = false;
        loop {
            let at = self.at();
            let Some(op) = self.operator(level) else { return Ok(left) };
            if std::mem::replace(&mut follows, true) {
                self.lengthen(at)?;
            }
            let right = self.binary(level + 1)?;
            left = Expr { at, node: Node::Binary(op, Box::new(left), Box::new(right)) };
        }
    }

    /// An operator or a method follows another one.
    fn lengthen(&mut self, at: usize) -> Result<(), Fault> {
        self.chained += 1;
        if self.chained > EXPRESSION_CHAIN_MAX {
            return Err(Fault::new(
                at,
                format!("more than {EXPRESSION_CHAIN_MAX} operators stand in a row"),
                "split it into several `set` fields",
            ));
        }
        Ok(())
    }

    fn unary(&mut self) -> Result<Expr, Fault> {
        let at = self.at();
        let op = if self.word("not") { Some("!") } else { self.symbol(&["!", "-"]) };
        let Some(op) = op else { return self.postfix() };
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            return Err(Fault::new(at, "the expression is nested too deeply", "split it into several `set` fields"));
        }
        let operand = self.unary()?;
        self.depth -= 1;
        let op = if op == "!" { Unary::Not } else { Unary::Negate };
        Ok(Expr { at, node: Node::Unary(op, Box::new(operand)) })
    }

    fn postfix(&mut self) -> Result<Expr, Fault> {
        let mut expr = self.primary()?;
        let mut follows = false;
        while self.symbol(&["."]).is_some() {
            let at = self.at();
            if std::mem::replace(&mut follows, true) {
                self.lengthen(at)?;
            }
            let Some((_, Token::Name(method))) = self.tokens.get(self.next).cloned() else {
                return Err(Fault::new(at, "a method's name is expected after the dot", "as in `name.contains(\"x\")`"));
            };
            self.next += 1;
            self.expect("(")?;
            let mut arguments = vec![expr];
            arguments.extend(self.items(")")?);
            expr = Expr { at, node: Node::Call(method, arguments) };
        }
        Ok(expr)
    }

    fn items(&mut self, close: &'static str) -> Result<Vec<Expr>, Fault> {
        let mut out = Vec::new();
        if self.symbol(&[close]).is_some() {
            return Ok(out);
        }
        loop {
            out.push(self.choice()?);
            if self.symbol(&[close]).is_some() {
                return Ok(out);
            }
            self.expect(",")?;
        }
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let at = self.at();
        let Some((_, token)) = self.tokens.get(self.next).cloned() else {
            return Err(Fault::new(at, "the expression ends where a value is expected", "add the missing operand"));
        };
        self.next += 1;
        let node = match token {
            Token::Int(n) => Node::Int(n),
            Token::Float(n) => Node::Float(n),
            Token::Text(t) => Node::Text(t),
            Token::Quoted(n) => Node::Name(n),
            Token::Name(n) => return self.named(at, n),
            Token::Symbol("(") => {
                let inner = self.choice()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Symbol("[") => Node::List(self.items("]")?),
            other => {
                return Err(Fault::new(at, format!("a value is expected, not {}", show(&other)), "equality is `==`"));
            }
        };
        Ok(Expr { at, node })
    }

    fn named(&mut self, at: usize, name: String) -> Result<Expr, Fault> {
        let node = match name.as_str() {
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            _ if self.symbol(&["("]).is_some() => {
                let arguments = self.items(")")?;
                match name.rsplit_once('.') {
                    None => Node::Call(name, arguments),
                    Some((object, method)) => {
                        let object = Expr { at, node: Node::Name(object.to_owned()) };
                        Node::Call(method.to_owned(), std::iter::once(object).chain(arguments).collect())
                    }
                }
            }
            _ => Node::Name(name),
        };
        Ok(Expr { at, node })
    }
}
