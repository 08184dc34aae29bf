//! The house keeps itself: floors, sizes, module docs, words that must not stand in the tree.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
use std::fs;
use std::path::{Path, PathBuf};

/// Floors, lowest first; a room may import rooms of lower floors, and what `also` says.
const FLOORS: &[&[&str]] = &[
    &["limits", "clock", "metrics", "diagnostic", "state", "pattern", "simd", "index"],
    &["event"],
    &["expr", "mapfile", "list", "table", "window", "codec", "config", "net"],
    &["component"],
    &["source", "transform", "correlate", "sink"],
    &["plan"],
    &["runtime"],
    &["admin", "cases", "cli"],
];

/// Imports within a floor that the house allows.
const ALSO: &[(&str, &str)] = &[
    ("pattern", "limits"),
    ("state", "limits"),
    ("clock", "limits"),
    ("index", "simd"),
    ("mapfile", "expr"),
    ("mapfile", "table"),
    ("mapfile", "window"),
    ("list", "table"),
    ("list", "window"),
    ("expr", "table"),
    ("expr", "list"),
    ("net", "config"),
    ("cli", "admin"),
    ("cli", "cases"),
];

/// Files that may be longer than the bound. It may only shrink.
const LONG: &[&str] = &[];
const LINES_MAX: usize = 500;

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten().map(|e| e.path()) {
        if entry.is_dir() {
            files(&entry, out);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            out.push(entry);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    found.sort();
    found.into_iter().map(|p| (p.strip_prefix(&root).unwrap().display().to_string(), fs::read_to_string(&p).unwrap())).collect()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|f| f.contains(&room))
}

/// The text before the file's own tests.
fn product(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests {").map_or(text, |at| &text[..at])
}

#[test]
fn imports_go_down_only() {
    let mut bad = Vec::new();
    for (path, text) in sources() {
        let room = path.split(['/', '.']).next().unwrap().to_owned();
        let Some(own) = floor(&room) else { continue };
        for (number, line) in product(&text).lines().enumerate() {
            for part in line.split("crate::").skip(1).filter(|_| !line.trim_start().starts_with("//")) {
                let other: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(theirs) = floor(&other) else { continue };
                let allowed = other == room || theirs < own || ALSO.contains(&(room.as_str(), other.as_str()));
                // The runtime may name the plan, never what the plan is made of, but for the traits and crafts below.
                let concrete = room == "runtime" && (theirs == 4 || other == "config");
                if !allowed || concrete {
                    bad.push(format!("{path}:{}: {room} must not import {other}", number + 1));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut bad = Vec::new();
    for (path, text) in sources() {
        let lines = product(&text).lines().count();
        if lines > LINES_MAX && !LONG.contains(&path.as_str()) && !path.ends_with("tests.rs") {
            bad.push(format!("{path}: {lines} lines, at most {LINES_MAX}"));
        }
        if !text.starts_with("//!") && !path.ends_with("tests.rs") {
            bad.push(format!("{path}: no module doc"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn words_that_must_not_stand_in_the_tree() {
    let banned = [
        ("todo!", "build it"),
        ("unimplemented!", "build it"),
        ("dbg!(", "remove it"),
        ("FIXME", "mend it"),
        ("XXX", "mend it"),
        ("#[ignore", "a test runs or goes"),
    ];
    let mut bad = Vec::new();
    for (path, text) in sources() {
        for (word, instead) in banned {
            if text.contains(word) {
                bad.push(format!("{path}: `{word}`: {instead}"));
            }
        }
        if text.contains("unsafe")
            && !path.starts_with("simd/")
            && text.lines().any(|l| !l.trim_start().starts_with("//") && (l.contains("unsafe {") || l.contains("unsafe fn")))
        {
            bad.push(format!("{path}: unsafe outside of simd/"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn oracles_are_their_own() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/mod.rs")).unwrap();
    assert!(!text.contains("tripline"), "an oracle takes nothing from what it judges");
}
