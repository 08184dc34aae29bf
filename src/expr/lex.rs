//! Tokens of expressions, each with the number of characters before it.
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{char, satisfy};
use nom::combinator::{map, opt, recognize, value};
use nom::sequence::{delimited, pair, preceded};
use nom::{IResult, Parser};

use super::parse::Fault;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A number without a fraction.
    Int(i64),
    /// A number with one.
    Float(f64),
    /// A quoted text, escapes resolved.
    Text(String),
    /// A name, dots included.
    Name(String),
    /// A name in backticks: never a keyword, function or method.
    Quoted(String),
    /// Anything else.
    Symbol(&'static str),
}

const SYMBOLS: [&str; 22] =
    ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "?", ":", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", "."];

fn number(text: &str) -> IResult<&str, Token> {
    let fraction = pair(char('.'), take_while1(|c: char| c.is_ascii_digit()));
    let exponent = (satisfy(|c| c == 'e' || c == 'E'), opt(satisfy(|c| c == '+' || c == '-')), take_while1(|c: char| c.is_ascii_digit()));
    let whole = take_while1(|c: char| c.is_ascii_digit());
    let (rest, text) = recognize((whole, opt(fraction), opt(exponent))).parse(text)?;
    let token = match text.parse::<i64>() {
        Ok(n) => Token::Int(n),
        Err(_) => Token::Float(text.parse().unwrap_or(f64::NAN)),
    };
    Ok((rest, token))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn name(text: &str) -> IResult<&str, Token> {
    let word = || pair(satisfy(|c: char| c.is_alphabetic() || c == '_'), take_while(is_word));
    let dotted = recognize((word(), nom::multi::many0(preceded(char('.'), word()))));
    map(dotted, |n: &str| Token::Name(n.to_owned())).parse(text)
}

fn symbol(text: &str) -> IResult<&str, Token> {
    for symbol in SYMBOLS {
        if let Ok((rest, token)) = value(Token::Symbol(symbol), tag::<_, _, nom::error::Error<&str>>(symbol)).parse(text) {
            return Ok((rest, token));
        }
    }
    Err(nom::Err::Error(nom::error::Error::new(text, nom::error::ErrorKind::Tag)))
}

/// A text in single or double quotes; `r"…"` takes backslashes as they are.
fn quoted(text: &str) -> Result<Option<(&str, String)>, &'static str> {
    let (raw, body) = match text.strip_prefix('r') {
        Some(rest) if rest.starts_with(['"', '\'']) => (true, rest),
        _ => (false, text),
    };
    let Some(quote) = body.chars().next().filter(|c| matches!(c, '"' | '\'')) else { return Ok(None) };
    let mut out = String::new();
    let mut chars = body[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok(Some((&body[1 + at + 1..], out)));
        }
        if c != '\\' || raw {
            out.push(c);
            continue;
        }
        match chars.next().map(|(_, c)| c) {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('0') => out.push('\0'),
            Some('u') => {
                let code: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                out.push(
                    u32::from_str_radix(&code, 16).ok().and_then(char::from_u32).ok_or("four hexadecimal digits are expected after \\u")?,
                );
            }
            Some(c @ ('\\' | '"' | '\'' | '/')) => out.push(c),
            // Patterns are written in expressions: `\d` and `\.` mean themselves.
            Some(c) => out.extend(['\\', c]),
            None => break,
        }
    }
    Err("a text without its closing quote")
}

/// Splits an expression into tokens.
pub fn lex(source: &str) -> Result<Vec<(usize, Token)>, Fault> {
    let mut out = Vec::new();
    let mut rest = source;
    // Bytes before the token, and characters.
    let (mut passed, mut at) = (0, 0);
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(out);
        }
        let offset = source.len() - rest.len();
        at += source[passed..offset].chars().count();
        passed = offset;
        if let Some((next, text)) = quoted(rest).map_err(|m| Fault::new(at, m, "close it"))? {
            out.push((at, Token::Text(text)));
            rest = next;
            continue;
        }
        let backticked = map(delimited(char('`'), take_while1(|c| c != '`'), char('`')), |n: &str| Token::Quoted(n.to_owned()));
        let Ok((next, token)) = alt((number, backticked, name, symbol)).parse(rest) else {
            let c = rest.chars().next().unwrap_or(' ');
            let help = if c == '=' { "equality is `==`" } else { "put a field with such characters in backticks, a text in quotes" };
            return Err(Fault::new(at, format!("`{c}` has no meaning here"), help));
        };
        out.push((at, token));
        rest = next;
    }
}
