//! What the options of `file` say.
use std::path::PathBuf;

use super::FileSink;
use crate::clock::Timestamp;
use crate::component::{Kind, OutputNames};
use crate::config::{Field, Options, SINK_INPUTS, Type};
use crate::sink::encode::{ENCODE, Encoding};
use crate::sink::{BindSink, BoundSink, COMMON, Compression};

const ROTATE: &[Field] = &[
    Field::optional("bytes", Type::Size, "a file that is so large gets another name; looked at with every epoch"),
    Field::optional("every", Type::Duration, "so does one whose time is over: 1d is from midnight to midnight, UTC"),
];

const FIELDS: &[Field] = &[
    Field::required("path", Type::Template, "the file, with fields in braces; it is made where it does not exist"),
    Field::optional("rotate", Type::Section(ROTATE), "when a file is full: then its name gets the time, and a new one is begun"),
    Field::optional(
        "compression",
        Type::Word(&["none", "gzip", "zstd"]),
        "how it is packed, body by body (`batch: {age: 5s}` makes them larger); default none",
    ),
    ENCODE,
];

/// See the room.
pub static KIND: Kind<BindSink> =
    Kind { name: "file", summary: "appends lines to files, each once", fields: FIELDS, outputs: OutputNames::Main, bind };

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The only file, where no field decides.
    pub(super) path: Option<PathBuf>,
    /// Where paths with fields start.
    pub(super) folder: PathBuf,
    template: String,
    node: String,
    rotate_bytes: Option<u64>,
    rotate_every: Option<i64>,
    pub(super) compression: Compression,
    pub(super) encoding: Encoding,
}

impl Settings {
    /// What it is called in messages.
    pub(super) fn shown(&self) -> String {
        self.path.as_ref().map_or_else(|| self.folder.join(&self.template).display().to_string(), |path| path.display().to_string())
    }

    /// A single file that keeps its name is brought back by its sealed length alone.
    pub(super) fn needs_journal(&self) -> bool {
        self.path.is_none() || self.rotate_bytes.is_some() || self.rotate_every.is_some()
    }

    /// The journal stands in the folder below which all files are.
    pub(super) fn journal(&self) -> PathBuf {
        let shown = PathBuf::from(self.shown());
        let fixed: PathBuf = shown.components().take_while(|part| !part.as_os_str().to_string_lossy().contains('{')).collect();
        let folder = if self.path.is_some() { fixed.parent().map_or_else(PathBuf::new, PathBuf::from) } else { fixed };
        folder.join(format!(".tripline-{}.journal", self.node))
    }

    pub(super) fn rotates_by_age(&self) -> bool {
        self.rotate_every.is_some()
    }

    /// Whether a file of this length, begun at a time, is to get another name.
    pub(super) fn is_full(&self, length: u64, since: Timestamp, now: Timestamp) -> bool {
        let is_over = |every: i64| since.div_euclid(every) != now.div_euclid(every);
        length > 0 && (self.rotate_bytes.is_some_and(|most| length >= most) || self.rotate_every.is_some_and(is_over))
    }
}

fn bind(options: &Options<'_>) -> Option<BoundSink> {
    options.check(&[FIELDS, COMMON, SINK_INPUTS]);
    let (template, place) = options.placed("path")?;
    let rotate = options.section("rotate");
    let has_fields = template.replace("{{", "").contains('{');
    let settings = Settings {
        path: (!has_fields).then(|| place.folder().join(template.replace("{{", "{").replace("}}", "}"))),
        folder: place.folder().to_owned(),
        template: template.clone(),
        node: options.name.to_owned(),
        rotate_bytes: rotate.as_ref().and_then(|r| r.size("bytes")),
        rotate_every: rotate.as_ref().and_then(|r| r.duration("every")).filter(|every| *every > 0),
        compression: Compression::read(options),
        encoding: Encoding::read(options),
    };
    let templates = if has_fields { vec![(template, place)] } else { Vec::new() };
    let reads = settings.encoding.reads();
    Some(BoundSink { templates, reads, ..BoundSink::new(move |_| Box::new(FileSink::new(settings.clone()))) })
}
