//! Reading pipeline files: paths to texts, texts to trees, `${ENV}` filled in after parsing so that places stay true.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tree::{Data, Node, parse};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, SourceText};
use crate::limits::CONFIG_BYTES_MAX;

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

/// Reads a pipeline file, or the `pipeline.yaml` of a folder.
pub fn load(path: &Path, env: &Environment, faults: &mut Diagnostics) -> Option<Loaded> {
    let file = if path.is_dir() { path.join("pipeline.yaml") } else { path.to_owned() };
    let shown = file.display().to_string();
    let text = match read_text(&file, CONFIG_BYTES_MAX) {
        Ok(text) => text,
        Err(message) => {
            faults.push(
                Diagnostic::error(&Place::start_of(&shown), "unreadable", message)
                    .help("name a pipeline file, or a folder that holds `pipeline.yaml`"),
            );
            return None;
        }
    };
    let source = Arc::new(SourceText { path: shown, text });
    let mut root = parse(&source, faults)?;
    fill_in(&mut root, env, faults);
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    Some(Loaded { folder, root })
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
