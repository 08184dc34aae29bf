//! Reading pipeline files: paths to texts, texts to trees, `${ENV}` filled in after parsing so that places stay true, and all files of a pipeline
//! joined into one tree.
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use super::tree::{Data, Key, Node, parse};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, SourceText};
use crate::limits::{CONFIG_BYTES_MAX, CONFIG_DEPTH_MAX, CONFIG_FILES_MAX};

/// Values that `${NAME}` may take.
pub type Environment = dyn Fn(&str) -> Option<String>;

/// A file as read.
#[derive(Debug)]
pub struct Loaded {
    /// The folder that relative paths inside start from.
    pub folder: PathBuf,
    /// The tree.
    pub root: Node,
}

/// Reads one file, or the `pipeline.yaml` of a folder.
pub fn load(path: &Path, env: &Environment, faults: &mut Diagnostics) -> Option<Loaded> {
    let (file, source) = read_source(path, None, faults)?;
    parse_source(&file, source, env, faults)
}

/// Reads pipeline files and all that they include, as one pipeline whose folder is the first one's.
pub fn load_all(paths: &[PathBuf], env: &Environment, faults: &mut Diagnostics) -> Option<Loaded> {
    read_all(paths, env, faults).joined
}

/// A hash of all that [`load_all`] reads, whether it is well-formed or not: it changes when a reload might give another pipeline.
pub fn content_hash(paths: &[PathBuf], env: &Environment) -> u128 {
    read_all(paths, env, &mut Diagnostics::default()).content.digest128()
}

fn read_all<'r>(paths: &[PathBuf], env: &'r Environment, faults: &'r mut Diagnostics) -> Reader<'r> {
    let waiting = paths.iter().map(|path| Named { path: path.clone(), by: None, is_rule: false }).collect();
    let mut reader = Reader { env, faults, seen: HashSet::new(), waiting, joined: None, content: Xxh3Default::new() };
    while let Some(named) = reader.waiting.pop_front() {
        reader.read(&named);
    }
    reader
}

/// Reads the text of a file. `named`: where another file names this one.
fn read_source(path: &Path, named: Option<&Place>, faults: &mut Diagnostics) -> Option<(PathBuf, Arc<SourceText>)> {
    let file = if path.is_dir() { path.join("pipeline.yaml") } else { path.to_owned() };
    let shown = file.strip_prefix(".").unwrap_or(&file).display().to_string();
    let text = match read_text(&file, CONFIG_BYTES_MAX) {
        Ok(text) => text,
        Err(message) => {
            let (place, message) = match named {
                Some(place) => (place.clone(), format!("{shown} {message}")),
                None => (Place::start_of(&shown), message),
            };
            faults.push(
                Diagnostic::error(&place, "unreadable", message).help("name a pipeline file, or a folder that holds `pipeline.yaml`"),
            );
            return None;
        }
    };
    Some((file, Arc::new(SourceText { path: shown, text })))
}

/// Parses a file, and fills in what the environment says.
fn parse_source(file: &Path, source: Arc<SourceText>, env: &Environment, faults: &mut Diagnostics) -> Option<Loaded> {
    let before = faults.0.len();
    let Some(mut root) = parse(&source, faults) else {
        if faults.0.len() == before {
            let place = Place { source, line: 1, column: 1 };
            faults.push(Diagnostic::error(&place, "empty_file", "the file holds nothing").help("a pipeline begins with `sources:`"));
        }
        return None;
    };
    fill_in(&mut root, env, faults);
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    Some(Loaded { folder, root })
}

/// A file that is to be read.
struct Named {
    path: PathBuf,
    /// Where another file names it.
    by: Option<Place>,
    /// It may be the body of one rule, whose name is the file's.
    is_rule: bool,
}

/// Files on their way to one tree.
struct Reader<'r> {
    env: &'r Environment,
    faults: &'r mut Diagnostics,
    /// What was read: each file once, whoever names it.
    seen: HashSet<PathBuf>,
    waiting: VecDeque<Named>,
    joined: Option<Loaded>,
    /// Hash of the texts.
    content: Xxh3Default,
}

impl Reader<'_> {
    fn fault(&mut self, place: &Place, code: &'static str, message: String, help: &str) {
        self.faults.push(Diagnostic::error(place, code, message).help(help));
    }

    /// Reads a file, and puts what it names behind those that wait.
    fn read(&mut self, Named { path, by, is_rule }: &Named) {
        if !self.seen.insert(path.canonicalize().unwrap_or_else(|_| path.to_owned())) {
            return;
        }
        if let Some(place) = by
            && self.seen.len() > CONFIG_FILES_MAX
        {
            return self.fault(place, "too_large", format!("more than {CONFIG_FILES_MAX} files are included"), "split the pipeline");
        }
        let Some((name, source)) = read_source(path, by.as_ref(), self.faults) else { return };
        self.content.update(source.path.as_bytes());
        self.content.update(&xxh3_128(source.text.as_bytes()).to_le_bytes());
        let Some(mut file) = parse_source(&name, source, self.env, self.faults) else { return };
        if *is_rule && file.root.get("correlations").is_none() {
            file.root = rule_of_its_own(path, file.root);
        }
        for (pattern, place) in take(&mut file.root, "include") {
            let path = place.folder().join(&pattern);
            let found = if pattern.contains(['*', '?', '[']) { matching(&path) } else { vec![path] };
            if found.is_empty() {
                let help = "paths start from the folder of the file that names them";
                self.fault(&place, "missing_file", format!("no file is like `{pattern}`"), help);
            }
            self.waiting.extend(found.into_iter().map(|path| Named { path, by: Some(place.clone()), is_rule: false }));
        }
        for (folder, place) in take(&mut file.root, "rules") {
            match files_of(&place.folder().join(&folder), CONFIG_DEPTH_MAX) {
                Ok(files) => self.waiting.extend(files.into_iter().map(|path| Named { path, by: Some(place.clone()), is_rule: true })),
                Err(e) => self.fault(&place, "missing_file", format!("`{folder}` cannot be listed: {e}"), "name a folder of rule files"),
            }
        }
        self.join(file);
    }

    /// Adds the nodes of a file to those of the others.
    fn join(&mut self, file: Loaded) {
        let Some(joined) = &mut self.joined else {
            self.joined = Some(file);
            return;
        };
        let Data::Map(new) = file.root.data else {
            let message = "a pipeline file must be a map".to_owned();
            return self.fault(&file.root.place, "wrong_type", message, "it begins with `sources:` or another family");
        };
        let Data::Map(own) = &mut joined.root.data else { return };
        for (key, node) in new {
            let Some((_, present)) = own.iter_mut().find(|(k, _)| k.name == key.name) else {
                own.push((key, node));
                continue;
            };
            match (&mut present.data, node.data) {
                (Data::Map(own), Data::Map(new)) => {
                    for (key, node) in new {
                        if own.iter().any(|(k, _)| k.name == key.name) {
                            self.faults.push(in_another_file(&key));
                        } else {
                            own.push((key, node));
                        }
                    }
                }
                _ => self.faults.push(in_another_file(&key)),
            }
        }
    }
}

fn in_another_file(key: &Key) -> Diagnostic {
    Diagnostic::error(&key.place, "duplicate_key", format!("`{}` stands in another file too", key.name)).help("keep one of them")
}

/// Existing paths that a pattern matches, by name.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    glob::glob(&pattern.display().to_string()).into_iter().flatten().flatten().collect()
}

/// Takes texts out of a tree. What is none stays, for `check` to find.
fn take(root: &mut Node, key: &str) -> Vec<(String, Place)> {
    let Data::Map(entries) = &mut root.data else { return Vec::new() };
    let Some(at) = entries.iter().position(|(k, v)| k.name == key && v.items().iter().all(|i| i.text().is_some())) else {
        return Vec::new();
    };
    let (_, node) = entries.remove(at);
    node.items().iter().filter_map(|item| Some((item.text()?, item.place.clone()))).collect()
}

/// A tree with one rule, named as its file.
fn rule_of_its_own(path: &Path, body: Node) -> Node {
    let place = body.place.clone();
    let key = |name: &str| Key { name: name.to_owned(), place: place.clone() };
    let map = |name: &str, node| Node { place: place.clone(), data: Data::Map(vec![(key(name), node)]) };
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    map("correlations", map(&name, body))
}

/// The YAML and JSON files of a folder and those in it, by name.
fn files_of(folder: &Path, depth: usize) -> std::io::Result<Vec<PathBuf>> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    let mut out = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            out.extend(if depth > 0 { files_of(&entry, depth - 1)? } else { Vec::new() });
        } else if entry.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known)) {
            out.push(entry);
        }
    }
    Ok(out)
}

/// Reads a text file of a bounded size.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<String, String> {
    let meta = std::fs::metadata(path).map_err(|e| format!("cannot be read: {e}"))?;
    if meta.len() > bytes_max {
        return Err(format!("is larger than {bytes_max} bytes"));
    }
    let bytes = std::fs::read(path).map_err(|e| format!("cannot be read: {e}"))?;
    String::from_utf8(bytes).map_err(|e| format!("is not UTF-8 at byte {}", e.utf8_error().valid_up_to()))
}

fn fill_in(node: &mut Node, env: &Environment, faults: &mut Diagnostics) {
    match &mut node.data {
        Data::Text(text) if text.contains("${") => match expand(text, env) {
            Ok(expanded) => *text = expanded,
            Err((at, message)) => {
                let help = "set it, or give a default: `${NAME:-default}`";
                faults.push(Diagnostic::error(&node.place.plus(at), "environment", message).help(help));
            }
        },
        Data::List(items) => items.iter_mut().for_each(|i| fill_in(i, env, faults)),
        Data::Map(entries) if entries.len() == 1 && entries[0].0.name == "env" && matches!(entries[0].1.data, Data::Text(_)) => {
            let name = entries[0].1.text().unwrap_or_default();
            let value = env(&name);
            entries[0].1.data = Data::Env(name, value);
        }
        Data::Map(entries) => entries.iter_mut().for_each(|(_, v)| fill_in(v, env, faults)),
        _ => {}
    }
}

fn expand(text: &str, env: &Environment) -> Result<String, (usize, String)> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let at = text.chars().count() - rest[start..].chars().count();
        let Some(end) = rest[start..].find('}') else { return Err((at, "`${` without its `}`".into())) };
        let inside = &rest[start + 2..start + end];
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        match env(name).filter(|v| !v.is_empty() || default.is_none()).or(default.map(str::to_owned)) {
            Some(value) => out.push_str(&value),
            None => return Err((at, format!("the environment has no `{name}`"))),
        }
        rest = &rest[start + end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_is_filled_in() {
        let env = |name: &str| (name == "A").then(|| "1".to_owned());
        assert_eq!(expand("x${A}y${B:-2}", &env), Ok("x1y2".into()));
        assert_eq!(expand("é${B}", &env).unwrap_err().0, 1);
    }
}
