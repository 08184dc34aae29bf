//! Faults in what a person wrote: where it stands, what is wrong and what to do about it.
//!
//! Text form: `PATH:LINE:COL: error[CODE]: MESSAGE`, the source line, a caret, `help: …`. Lines and columns are 1-based, columns in characters.
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

/// A text that a person wrote, kept so that a fault can show its line.
#[derive(Debug)]
pub struct SourceText {
    /// As shown to the user.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// One position in a [`SourceText`].
#[derive(Clone, Debug)]
pub struct Place {
    /// The text.
    pub source: Arc<SourceText>,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
}

impl Place {
    /// The first character of a text.
    pub fn start_of(path: &str) -> Place {
        let source = Arc::new(SourceText { path: path.to_owned(), text: String::new() });
        Place { source, line: 1, column: 1 }
    }

    /// The folder of the text's file: where relative paths in it start.
    pub fn folder(&self) -> &Path {
        let folder = Path::new(&self.source.path).parent();
        folder.filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// A place `chars` characters further on the same line.
    pub fn plus(&self, chars: usize) -> Place {
        Place { column: self.column + chars, ..self.clone() }
    }
}

/// How much a fault matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It runs; look at it.
    Warning,
}

/// One fault.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// How bad.
    pub severity: Severity,
    /// A stable word for tools, such as `unknown_key`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(place: &Place, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { place: place.clone(), severity: Severity::Error, code, message: message.into(), help: None }
    }

    /// A warning at a place.
    pub fn warning(place: &Place, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(place, code, message) }
    }

    /// The same with what to do.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// The text form.
    pub fn render(&self) -> String {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Place { source, line, column } = &self.place;
        let mut out = format!("{}:{line}:{column}: {kind}[{}]: {}\n", source.path, self.code, self.message);
        if let Some(text) = source.text.lines().nth(line.saturating_sub(1)) {
            // A line may be a map row of any length: show the neighbourhood of the fault.
            let from = column.saturating_sub(100);
            let shown: String = text.chars().skip(from).take(160).map(|c| if c == '\t' { ' ' } else { c }).collect();
            let _ = writeln!(out, "  {shown}\n  {}^", " ".repeat(column.saturating_sub(1).saturating_sub(from)));
        }
        if let Some(help) = &self.help {
            let _ = writeln!(out, "  help: {help}");
        }
        out
    }

    /// The JSON form, one line.
    pub fn to_json(&self) -> String {
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        serde_json::json!({"path": self.place.source.path, "line": self.place.line, "column": self.place.column, "severity": severity,
            "code": self.code, "message": self.message, "help": self.help})
        .to_string()
    }
}

/// Faults as they are found; sorted when they are shown.
#[derive(Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Whether anything forbids a run.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// By path, line and column, each once.
    pub fn sorted(mut self) -> Vec<Diagnostic> {
        let key = |d: &Diagnostic| (d.place.source.path.clone(), d.place.line, d.place.column, d.severity, d.message.clone());
        self.0.sort_by_key(key);
        self.0.dedup_by_key(|d| key(d));
        self.0
    }
}

/// The known name nearest to a mistyped one, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + name.chars().count() / 3;
    known.into_iter().map(|k| (edits(name, k), k)).filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// `did you mean …` or the list of what is known.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(k) => format!("did you mean `{k}`?"),
        None => {
            let all: Vec<&str> = known.into_iter().collect();
            if all.is_empty() { "nothing is known here".to_owned() } else { format!("known here: {}", all.join(", ")) }
        }
    }
}

/// Edit distance with transpositions (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_one_that_could_be_meant() {
        assert_eq!(nearest("fiel", ["file", "stdin"]), Some("file"));
        assert_eq!(nearest("zzzzzz", ["file", "stdin"]), None);
    }

    #[test]
    fn the_text_form_points_at_the_character() {
        let source = Arc::new(SourceText { path: "p.yaml".into(), text: "a: é1\nb: x y".into() });
        let d = Diagnostic::error(&Place { source, line: 2, column: 6 }, "bad", "no").help("do");
        assert_eq!(d.render(), "p.yaml:2:6: error[bad]: no\n  b: x y\n       ^\n  help: do\n");
    }
}
