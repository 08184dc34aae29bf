//! `file`: lines of files that match globs, followed through rename and truncation, or read to their end.
use super::file_content::Compression;
use super::file_reader::{FileSource, Files};
use super::{BindSource, BoundSource, COMMON, SourceFactory};
use crate::codec::format::container::Container;
use crate::codec::framing::multiline::Multiline;
use crate::component::bind::pattern_at;
use crate::component::{Kind, OutputNames};
use crate::config::{Field, Options, ROOT, Type};
use crate::diagnostic::Diagnostic;

const MULTILINE: &[Field] = &[
    Field::optional("start", Type::Text, "a pattern: a line that it matches begins an event"),
    Field::optional("continue", Type::Text, "a pattern: a line that it matches goes on with the event before"),
    Field::optional("timeout", Type::Duration, "silence after which an event is over; default 1s"),
];
const FIELDS: &[Field] = &[
    Field::required("paths", Type::Texts, "globs of the files"),
    Field::optional("exclude", Type::Texts, "globs of files to leave out"),
    Field::optional("follow", Type::Bool, "true (default): wait for more; false: a file at its end has ended"),
    Field::optional("start", Type::Word(&["begin", "end"]), "where a file that was never read begins; default begin"),
    Field::optional("multiline", Type::Section(MULTILINE), "which lines make one event: by their `start`, or by what they `continue`"),
    Field::optional(
        "compression",
        Type::Word(&["auto", "none", "gzip", "zstd"]),
        "auto (default): as the first bytes say; packed files are read whole",
    ),
];

/// See the module.
pub static KIND: Kind<BindSource> =
    Kind { name: "file", summary: "lines of files", fields: FIELDS, outputs: OutputNames::MainAndErrors, bind };

/// Patterns of paths, starting from the folder of the file that names them.
fn globs(options: &Options<'_>, key: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (glob, place) in options.texts(key) {
        match glob::Pattern::new(&glob) {
            Ok(_) => out.push(place.folder().join(glob).display().to_string()),
            Err(e) => options.fault(
                Diagnostic::error(&place.plus(e.pos), "bad_glob", format!("bad glob: {}", e.msg)).help("`*` is any name, `**` any depth"),
            ),
        }
    }
    out
}

/// What `multiline` says, and after how much silence an event is over. Lines of containers say it themselves.
fn multiline(options: &Options<'_>) -> Option<(Multiline, i64)> {
    let Some(section) = options.section("multiline") else {
        let format = options.get("format")?;
        let format = format.items().first().and_then(|first| first.text().or_else(|| first.get("type")?.text()));
        let container = match format.as_deref() {
            Some("cri") => Container::Cri,
            Some("docker") => Container::Docker,
            _ => return None,
        };
        return Some((Multiline::Parts(container), crate::limits::SECOND));
    };
    let pattern = |key: &str| section.placed(key).map(|(text, place)| pattern_at(&text, &place, &section));
    let timeout = section.duration("timeout").unwrap_or(crate::limits::SECOND);
    match (pattern("start"), pattern("continue")) {
        (Some(start), None) => Some((Multiline::Start(start?), timeout)),
        (None, Some(goes_on)) => Some((Multiline::Continue(goes_on?), timeout)),
        _ => {
            let fault = Diagnostic::error(section.place(), "bad_multiline", "`multiline` takes one of `start` and `continue`");
            options.fault(fault.help("as in `multiline: {start: '^\\d{4}-'}`"));
            None
        }
    }
}

fn bind(options: &Options<'_>) -> Option<BoundSource> {
    options.check(&[FIELDS, COMMON, ROOT]);
    let (paths, exclude) = (globs(options, "paths"), globs(options, "exclude"));
    let follow = options.bool("follow", true);
    let compression = Compression::named(&options.text("compression").unwrap_or_default());
    let multiline = multiline(options);
    let from_end = options.text("start").as_deref() == Some("end");
    let name = options.text("id").unwrap_or_else(|| options.name.to_owned());
    let files = Files { name, globs: paths, exclude, follow, from_end, compression, multiline };
    Some(BoundSource::new(factory(files), "raw"))
}

fn factory(files: Files) -> SourceFactory {
    Box::new(move |context| Box::new(FileSource::new(files.clone(), context)))
}

/// A source without files of its own: it reads those that its context names.
pub fn of_no_path(name: &str) -> SourceFactory {
    let (globs, exclude, compression) = (Vec::new(), Vec::new(), Compression::named("auto"));
    let files = Files { name: name.to_owned(), globs, exclude, follow: false, from_end: false, compression, multiline: None };
    factory(files)
}
