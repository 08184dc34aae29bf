//! Flags and paths of a command line.
use std::path::PathBuf;

/// What was given.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) paths: Vec<PathBuf>,
    flags: Vec<(String, Option<String>)>,
}

impl Arguments {
    /// Reads words against what a command knows; a name that ends in `=` takes a value, one that ends in `=…` all words up to the next flag.
    pub(super) fn parse(words: &[String], known: &[&str]) -> Result<Arguments, String> {
        let mut out = Arguments::default();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            if !word.starts_with("--") {
                out.paths.push(PathBuf::from(word));
                continue;
            }
            let (name, mut value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let takes_many = known.contains(&format!("{name}=…").as_str());
            let takes_value = takes_many || known.contains(&format!("{name}=").as_str());
            if !takes_value && !known.contains(&name) {
                let names: Vec<&str> = known.iter().map(|k| k.trim_end_matches(['=', '…'])).collect();
                return Err(format!("there is no flag `{name}`: {}", crate::diagnostic::suggest(name, names)));
            }
            if takes_value && value.is_none() {
                value = words.next().cloned();
                if value.is_none() {
                    return Err(format!("`{name}` wants a value"));
                }
            }
            out.flags.push((name.to_owned(), value));
            while takes_many && let Some(more) = words.next_if(|word| !word.starts_with("--")) {
                out.flags.push((name.to_owned(), Some(more.clone())));
            }
        }
        Ok(out)
    }

    /// Whether a flag was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|(n, _)| n == name)
    }

    /// All values of a flag.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.flags.iter().filter(move |(n, _)| n == name).filter_map(|(_, v)| v.as_deref())
    }

    /// The value of a flag.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.flags.iter().rev().find(|(n, _)| n == name).and_then(|(_, v)| v.as_deref())
    }
}
