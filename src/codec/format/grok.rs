//! `grok`: patterns made of named ones, as Logstash has them. `%{NAME}` stands for the pattern of that name, `%{NAME:field}` puts what it matches into a
//! field, `%{NAME:field:int}` (or `float`) as a number. A field may be written `[source][ip]` or `source.ip`.
//!
//! The standard set is `grok_patterns.txt`, one `NAME pattern` a line. Matching is linear in the text, so it knows no lookaround.
use std::collections::HashMap;
use std::sync::LazyLock;

use super::regex::{Group, NamedPattern};
use crate::limits::{GROK_DEPTH_MAX, PATTERN_TEXT_MAX};
use crate::pattern::{Pattern, PatternFault};

static STANDARD: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let lines = include_str!("grok_patterns.txt").lines().filter(|l| !l.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).collect()
});

/// Names of the standard set, in no order.
pub fn standard_names() -> impl Iterator<Item = &'static str> {
    STANDARD.keys().copied()
}

/// A pattern while it is written out.
struct Expansion<'d> {
    definitions: &'d [(String, String)],
    text: String,
    groups: Vec<(String, bool)>,
}

/// Compiles a pattern. `definitions`: names of its own, which come before the standard ones.
pub fn compile(pattern: &str, definitions: &[(String, String)]) -> Result<NamedPattern, PatternFault> {
    let mut expansion = Expansion { definitions, text: String::new(), groups: Vec::new() };
    expansion.append(pattern, 0)?;
    let compiled = Pattern::new(&expansion.text).map_err(|fault| match pattern.contains("%{") {
        false => fault,
        true => PatternFault { at: 0, message: format!("written out, the pattern is bad: {}", fault.message), help: fault.help },
    })?;
    let groups = compiled.group_names().into_iter().enumerate().filter_map(|(index, name)| {
        let name = name?;
        let (field, is_number) = match name.strip_prefix(OWN).and_then(|n| n.parse::<usize>().ok()) {
            Some(number) => expansion.groups[number].clone(),
            None => (super::regex::field_name(&name), false),
        };
        Some(Group { index, field, is_number })
    });
    Ok(NamedPattern { groups: groups.collect(), pattern: compiled })
}

/// What the groups are called that fields are taken from.
const OWN: &str = "_grok_";

impl Expansion<'_> {
    fn append(&mut self, pattern: &str, depth: usize) -> Result<(), PatternFault> {
        let mut rest = pattern;
        while let Some(start) = rest.find("%{") {
            let at = || pattern[..pattern.len() - rest.len() + start].chars().count();
            let fault = |message: String, help: &'static str| PatternFault { at: at(), message, help };
            self.text.push_str(&rest[..start]);
            let end = rest[start..].find('}').ok_or_else(|| fault("`%{` without its `}`".into(), "as in %{IP:source.ip}"))?;
            let mut words = rest[start + 2..start + end].splitn(3, ':');
            let (name, field, kind) = (words.next().unwrap_or_default(), words.next(), words.next());
            let own = self.definitions.iter().find(|(n, _)| n == name).map(|(_, p)| p.as_str());
            let Some(inner) = own.or_else(|| STANDARD.get(name).copied()) else {
                let message = format!("there is no pattern `{name}`{}", alike(name));
                return Err(fault(message, "`definitions` takes names of your own"));
            };
            if depth >= GROK_DEPTH_MAX || self.text.len() > PATTERN_TEXT_MAX {
                return Err(fault(format!("`{name}` has no end: it is part of itself, or far too large"), "take the circle out"));
            }
            let is_number = match kind {
                None | Some("string") => false,
                Some("int" | "float" | "integer" | "long" | "double") => true,
                Some(other) => return Err(fault(format!("`{other}` is no type"), "int or float")),
            };
            match field.filter(|f| !f.is_empty()) {
                Some(field) => {
                    self.text.push_str(&format!("(?P<{OWN}{}>", self.groups.len()));
                    self.groups.push((dotted(field), is_number));
                }
                None => self.text.push_str("(?:"),
            }
            self.append(inner, depth + 1).map_err(|inner| PatternFault { at: at(), ..inner })?;
            self.text.push(')');
            rest = &rest[start + end + 1..];
        }
        self.text.push_str(rest);
        Ok(())
    }
}

fn alike(name: &str) -> String {
    crate::diagnostic::nearest(name, standard_names()).map_or_else(String::new, |known| format!(": did you mean `{known}`?"))
}

/// `[source][ip]` as `source.ip`.
fn dotted(field: &str) -> String {
    match field.strip_prefix('[').and_then(|f| f.strip_suffix(']')) {
        Some(inside) => inside.replace("][", "."),
        None => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standard_pattern_compiles_and_stands_once() {
        let mut names: Vec<&str> =
            include_str!("grok_patterns.txt").lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split(' ').next()).collect();
        for name in &names {
            if let Err(fault) = compile(&format!("%{{{name}}}"), &[]) {
                panic!("{name}: {}", fault.message);
            }
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn nearly_all_standard_patterns_are_walked_and_find_what_the_automaton_finds() {
        let lines = [
            r#"10.1.2.3 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif?b=c HTTP/1.0" 200 2326 "http://a.example/" "Mozilla/4.08 [en] (Win98; I ;Nav)""#,
            r#"host.example.com - - [1/Jan/2024:00:00:00 +0000] "-" 408 - "-" "-""#,
            "<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed for lonvick on /dev/pts/8",
            "2026-03-01T01:02:03.456+01:00 [main] ERROR com.a.B - a@b.example ::1 fe80::1%eth0 00:1B:44:11:3A:B7",
            "%ASA-6-302013: Built outbound TCP connection 1 for outside:1.2.3.4/80 (1.2.3.4/80) to inside:10.0.0.1/1 (10.0.0.1/1)",
            "C:\\Users\\a\\b.txt https://u:p@h.example:8080/p?q#f \"quoted \\\" text\" 0x1F -1.5e3 é",
        ];
        let (mut walked, mut others) = (0, Vec::new());
        for name in standard_names() {
            let pattern = compile(&format!("%{{{name}:a}}"), &[]).unwrap().pattern;
            if pattern.is_walked() {
                walked += 1;
            } else {
                others.push(name);
            }
            let mut found = pattern.found();
            for line in lines {
                let mut first = None;
                pattern.each(line.as_bytes(), |captures| {
                    let groups = (0..captures.group_len()).map(|g| captures.get_group(g).map(|span| span.range()));
                    first.get_or_insert_with(|| groups.collect::<Vec<_>>());
                });
                let is_match = pattern.find(line.as_bytes(), &mut found);
                let groups = is_match.then(|| (0..found.groups()).map(|g| found.group(g)).collect::<Vec<_>>());
                assert_eq!(groups, first, "{name} in {line}");
            }
        }
        assert!(others.len() * 20 < walked, "{walked} are walked, and not {others:?}");
    }

    #[test]
    fn faults_say_where_and_what() {
        let fault = |pattern: &str, own: &[(String, String)]| {
            let fault = compile(pattern, own).unwrap_err();
            (fault.at, fault.message)
        };
        assert_eq!(fault("é %{IPP:a}", &[]), (2, "there is no pattern `IPP`: did you mean `IP`?".into()));
        assert_eq!(fault("%{IP:a:ipv4}", &[]), (0, "`ipv4` is no type".into()));
        assert!(fault("%{IP", &[]).1.contains("without its"));
        assert!(fault("(a", &[]).1.contains("unclosed group"));
        let circle = [("A".to_owned(), "%{B}".to_owned()), ("B".to_owned(), "x%{A}".to_owned())];
        assert!(fault(" %{A}", &circle).1.contains("part of itself"));
    }
}
