use std::collections::BTreeMap;
use std::sync::Arc;

use bumpalo::Bump;
use proptest::prelude::*;

use super::*;
use crate::event::{Slot, Value};
use crate::table::{Handle, Table};

struct Fields(BTreeMap<&'static str, Value<'static>>);

struct Env<'f>(&'f Fields);

impl Environment for Env<'_> {
    fn slot(&mut self, name: &str) -> Option<Slot> {
        self.0.0.keys().position(|k| *k == name).map(|i| Slot(i as u16))
    }
    fn table(&mut self, name: &str, _: bool) -> Option<Arc<Handle<Table>>> {
        let rows = [vec!["acme", "7"]];
        (name == "limits").then(|| Handle::new(Table::new(vec!["tenant".into(), "n".into()], vec![0], rows.into_iter()).0))
    }
    fn tables(&self, _: bool) -> Vec<String> {
        vec!["limits".into()]
    }
}

impl Row for Fields {
    fn value(&self, slot: Slot) -> Value<'_> {
        *self.0.values().nth(usize::from(slot.0)).unwrap()
    }
}

fn fields() -> Fields {
    let text = |t: &'static str| Value::Text(t.as_bytes());
    Fields(BTreeMap::from([
        ("n", Value::Number(b"10")),
        ("s", text("Hello")),
        ("num", text("9.5")),
        ("ip", text("10.1.2.3")),
        ("cat", text("/Auth/Verify")),
        ("t", text("2026-11-24T23:30:00Z")),
        ("tenant", text("acme")),
        ("tags", Value::Json(br#"["a", "b\u0063", 3]"#)),
        ("b", Value::Bool(true)),
        ("a.b", text("dotted")),
        ("void", Value::Absent),
    ]))
}

fn eval(source: &str) -> String {
    let fields = fields();
    let program = compile(&parse(source).unwrap(), &mut Env(&fields)).unwrap();
    let bump = Bump::new();
    let mut out = Vec::new();
    if program.value(&fields, &bump).write_text(&mut out) { String::from_utf8(out).unwrap() } else { "absent".into() }
}

#[test]
fn truths() {
    for yes in [
        "s == \"Hello\"",
        "n > num",
        "n == \"10\"",
        "!(void == 1)",
        "not (void != 1)",
        "s != \"x\" and n >= 10",
        "s.contains(\"ell\")",
        "contains(s, 'ell') && s.startsWith(\"H\") && endsWith(s, \"o\")",
        "s.matches(\"(?i)^h.l+o$\")",
        "cidr(ip, \"192.168.0.0/16\", \"10.0.0.0/8\")",
        "category(cat, \"/Auth\")",
        "!category(cat, \"/Au\")",
        "\"bc\" in tags",
        "tags == \"a\"",
        "!(tags != \"a\")",
        "tags != \"z\"",
        "n in [1, 10]",
        "tags in [\"q\", \"a\"]",
        "has(s) && !has(void) && !has(nowhere)",
        "in_table(\"limits\", tenant)",
        "lookup(\"limits\", \"n\", tenant) < n",
        "b",
        "b == true",
        "void ? false : true",
        "`a.b` == a.b",
        "hour(t) == 23 && hour(t, \"Europe/Paris\") == 0",
        "weekday(t) == 2",
        "s < \"I\"",
        "'1' < \"9\"",
        "s.matches(\"\\w+\")",
        "tags.startsWith(\"b\")",
        "size(tags) == 3 && size(s) == 5",
        "true ? true : false",
    ] {
        assert_eq!(eval(yes), "true", "{yes}");
    }
    for no in
        ["void != 1", "void == void", "s > 1", "s != 1", "b == \"true\"", "in_table(\"limits\", void)", "s.contains(n)", "void in [1]"]
    {
        assert_eq!(eval(no), "false", "{no}");
    }
}

#[test]
fn values() {
    for (source, want) in [
        ("1 + 2 * 3 - 4", "3"),
        ("n / 3", "3"),
        ("n / 4.0", "2.5"),
        ("7 % 0", "absent"),
        ("9223372036854775807 + 1", "absent"),
        ("-n", "-10"),
        ("s + \"!\"", "Hello!"),
        ("s + void", "absent"),
        ("n + num", "19.5"),
        ("s.lowerAscii()", "hello"),
        ("upperAscii(s)", "HELLO"),
        ("void ? 1 : \"x\"", "x"),
        ("size(\"né\")", "2"),
        ("lookup(\"limits\", \"n\", \"none\")", "absent"),
        ("tags", r#"["a","b\u0063",3]"#),
    ] {
        assert_eq!(eval(source), want, "{source}");
    }
    assert_eq!(eval("hash(s, n)").len(), 16);
}

#[test]
fn faults_name_their_character() {
    let fields = fields();
    for (source, at, word) in [
        ("x = = 1", 2, "no meaning"),
        ("s == ", 5, "ends"),
        ("é.matches(\"(a\")", 11, "bad pattern"),
        ("s.matches(\"(?=a)b\")", 11, "bad pattern"),
        ("foo(1)", 0, "no function"),
        ("in_list(\"nope\", s)", 8, "no list"),
        ("1 && true", 0, "truth"),
        ("s +", 3, "ends"),
        ("(s", 2, "`)`"),
        ("\"abc", 0, "quote"),
        ("[1]", 0, "list"),
        ("hour(t, \"Mars/Base\")", 8, "time zone"),
        ("cidr(ip, \"10.0.0.0/99\")", 9, "no network"),
        ("b == 1 == 1 == b true", 17, "not expected"),
        ("true == 3", 8, "truth"),
        ("lookup(\"limits\", \"m\", tenant)", 17, "no column"),
    ] {
        let fault = match parse(source) {
            Err(fault) => fault,
            Ok(expr) => compile_truth(&expr, &mut Env(&fields)).err().map_or_else(|| panic!("{source} compiles"), |f| f[0].clone()),
        };
        assert!(fault.at == at && fault.message.contains(word), "{source}: {fault:?}");
    }
    assert!(parse(&"(".repeat(500)).is_err() && parse(&"!".repeat(100_000)).is_err());
}

#[test]
fn long_expressions_are_flat_or_refused() {
    let many = |part: &str, joint: &str, count: usize| vec![part; count].join(joint);
    for source in [many("n", " + ", 50_000), many("n", " < ", 50_000), format!("s{}", ".lowerAscii()".repeat(50_000))] {
        assert!(parse(&source).unwrap_err().message.contains("in a row"));
    }
    assert_eq!(eval(&many("n", " + ", 250)), "2500");
    assert_eq!(eval(&format!("s{}", ".lowerAscii()".repeat(250))), "hello");
    assert_eq!(eval(&many("s == \"x\"", " || ", 50_000)), "false");
    assert_eq!(eval(&many("n < 11", " and ", 50_000)), "true");
    assert_eq!(eval(&format!("{} or b", many("(n == 1 && s == \"Hello\")", " or ", 5_000))), "true");
}

/// Constants and values that are alike in one way or another.
const ALIKE: &[&str] = &[
    "1",
    "1.0",
    "-0",
    "0",
    "\"1\"",
    "\"1.0\"",
    "\"01\"",
    "\"a\"",
    "\"\"",
    "true",
    "\"true\"",
    "9007199254740993",
    "9007199254740992.0",
    "\"9007199254740993\"",
];

proptest! {
    #[test]
    fn a_set_holds_what_one_of_its_constants_equals(constants in prop::collection::vec(0..ALIKE.len(), set::MANY..12), value in 0..ALIKE.len()) {
        let value = ALIKE[value];
        let of = |text: &'static str| match text.as_bytes() {
            [b'"', inside @ .., b'"'] => Value::Text(inside),
            b"true" => Value::Bool(true),
            number => Value::Number(number),
        };
        let array: &'static [u8] = format!("[null, {value}]").leak().as_bytes();
        for fields in [Fields(BTreeMap::from([("x", of(value))])), Fields(BTreeMap::from([("x", Value::Json(array))]))] {
            let truth = |source: &str| {
                let program = compile_truth(&parse(source).unwrap(), &mut Env(&fields)).unwrap();
                program.holds(&fields, &Bump::new())
            };
            let texts: Vec<&str> = constants.iter().map(|at| ALIKE[*at]).collect();
            let one_by_one = texts.iter().any(|text| truth(&format!("x == {text}")));
            prop_assert_eq!(truth(&format!("x in [{}]", texts.join(", "))), one_by_one);
            let quoted: Vec<&str> = std::iter::once("\"z\"").chain(texts).filter(|text| text.starts_with('"')).cycle().take(9).collect();
            let one_by_one = quoted.iter().any(|text| truth(&format!("x == {text}")));
            prop_assert_eq!(truth(&format!("false || {}", quoted.iter().map(|text| format!("x == {text}")).collect::<Vec<_>>().join(" || "))), one_by_one);
        }
    }
}

#[test]
fn templates() {
    let fields = fields();
    let write = |source: &str| {
        let mut out = Vec::new();
        Template::compile(source, &mut Env(&fields)).unwrap().write(&fields, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(write("{{x}} {s}/{void}/{`a.b`} {n}"), "{x} Hello/-/dotted 10");
    assert_eq!(Template::compile("a {b", &mut Env(&fields)).unwrap_err().at, 2);
}
