//! `file`: lines of files that match globs, followed through rename and truncation, or read to their end.
use super::file_content::Compression;
use super::file_reader::{FileSource, Files};
use super::multiline::{self, Joining};
use super::{BindSource, BoundSource, COMMON, SourceFactory};
use crate::component::{Kind, OutputNames};
use crate::config::{Field, Options, ROOT, Type};
use crate::diagnostic::Diagnostic;

const FIELDS: &[Field] = &[
    Field::required("paths", Type::Texts, "globs of the files"),
    Field::optional("exclude", Type::Texts, "globs of files to leave out"),
    Field::optional("follow", Type::Bool, "true (default): wait for more; false: a file at its end has ended"),
    Field::optional("start", Type::Word(&["begin", "end"]), "where a file that was never read begins; default begin"),
    multiline::FIELD,
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

fn bind(options: &Options<'_>) -> Option<BoundSource> {
    options.check(&[FIELDS, COMMON, ROOT]);
    let (paths, exclude) = (globs(options, "paths"), globs(options, "exclude"));
    let follow = options.bool("follow", true);
    let compression = Compression::named(&options.text("compression").unwrap_or_default());
    let joining = Joining::of(options);
    let from_end = options.text("start").as_deref() == Some("end");
    let name = options.text("id").unwrap_or_else(|| options.name.to_owned());
    let files = Files { name, globs: paths, exclude, follow, from_end, compression, joining };
    Some(BoundSource::new(factory(files), "raw"))
}

fn factory(files: Files) -> SourceFactory {
    Box::new(move |context| Box::new(FileSource::new(files.clone(), context)))
}

/// A source without files of its own: it reads those that its context names.
pub fn of_no_path(name: &str) -> SourceFactory {
    let (globs, exclude, compression) = (Vec::new(), Vec::new(), Compression::named("auto"));
    let files = Files { name: name.to_owned(), globs, exclude, follow: false, from_end: false, compression, joining: None };
    factory(files)
}
