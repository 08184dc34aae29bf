//! What the options of `merge` and `aggregate` say.
use super::combine::Fields;
use crate::component::{Kind, OutputNames};
use crate::config::{Data, Field, INPUTS, Node, Options, Type};
use crate::diagnostic::{Diagnostic, Place};
use crate::event::text;
use crate::limits::GATHERED_KEYS_MAX;
use crate::transform::BindTransform;

const CAPACITY: Field = Field::optional("capacity", Type::Count, "keys that are open at once; the oldest is closed first; default 1000000");

const MERGE: &[Field] = &[
    Field::required("key", Type::Any, "what belongs together: fields, or {FIELD: PATTERN} for what the groups of a pattern match in one"),
    Field::optional("start", Type::Expression, "an event that satisfies it begins a new one; what was open of its key is closed"),
    Field::optional("end", Type::Expression, "an event that satisfies it is the last part"),
    Field::required("timeout", Type::Duration, "how long after its first part an event is closed"),
    Field::optional(
        "partial",
        Type::Word(&["send", "drop"]),
        "what becomes of an event without its start or its end; default send, with the tag `merge_partial`",
    ),
    Field::optional(
        "fields",
        Type::Word(&["join", "first", "last", "numbered"]),
        "what stands in a field where the parts differ: the values as one text (default), the first, the last, or `field.1`, `field.2`",
    ),
    Field::optional("delimiter", Type::Text, "what stands between joined values; default `, `"),
    CAPACITY,
];

const AGGREGATE: &[Field] = &[
    Field::required("interval", Type::Duration, "how long after its first event a group is closed"),
    Field::optional("max_count", Type::Count, "how many events close it sooner"),
    Field::required("same", Type::Texts, "fields whose values make events equal; absent is a value"),
    Field::optional("sum", Type::Texts, "fields that are added up"),
    Field::optional(
        "keep",
        Type::Word(&["common", "first"]),
        "other fields: those that all events have with the same value (default), or the first's",
    ),
    CAPACITY,
];

/// See the module.
pub static MERGE_KIND: Kind<BindTransform> = Kind {
    name: "merge",
    summary: "makes one event of several that say one thing",
    fields: MERGE,
    outputs: OutputNames::Main,
    bind: BindTransform::Gather(|options| {
        options.check(&[MERGE, INPUTS]);
        GatherSpec::merge(options)
    }),
};

/// See the module.
pub static AGGREGATE_KIND: Kind<BindTransform> = Kind {
    name: "aggregate",
    summary: "makes one event of equal ones, with their count",
    fields: AGGREGATE,
    outputs: OutputNames::Main,
    bind: BindTransform::Gather(|options| {
        options.check(&[AGGREGATE, INPUTS]);
        GatherSpec::aggregate(options)
    }),
};

/// A part of a key: a field, and where only some of it counts, the pattern that says which.
pub(super) type KeySpec = (String, Option<(String, Place)>);

/// What the options say.
#[derive(Clone, Debug)]
pub struct GatherSpec {
    /// Name of the node.
    pub node: String,
    /// Equal events are counted; else different ones complete each other.
    pub is_aggregate: bool,
    /// What belongs together.
    pub(super) key: Vec<KeySpec>,
    /// How long after its first part an event is closed.
    pub within: i64,
    /// What a start and an end are is said.
    pub has_start: bool,
    /// See `has_start`.
    pub has_end: bool,
    /// Incomplete ones are dropped.
    pub drops_partial: bool,
    /// What stands in a field where the parts differ.
    pub fields: Fields,
    /// What stands between joined values, escaped.
    pub delimiter: Vec<u8>,
    /// Weight that closes a group.
    pub count_max: u64,
    /// Fields that are added up.
    pub sum: Vec<String>,
    /// Other fields must be common to all.
    pub keeps_common: bool,
    /// Open keys.
    pub capacity: usize,
    /// What a change of voids the state.
    pub fingerprint: String,
}

impl GatherSpec {
    fn merge(options: &Options<'_>) -> Option<GatherSpec> {
        let mut key = Vec::new();
        for item in options.get("key").map(Node::items).unwrap_or_default() {
            match (&item.data, item.text()) {
                (Data::Map(entries), _) => {
                    key.extend(entries.iter().map(|(f, p)| (f.name.clone(), p.text().map(|text| (text, p.place.clone())))));
                }
                (_, Some(field)) => key.push((field, None)),
                _ => wrong(options, "key", "`key` wants fields", "as in `key: [host, {message: 'id=(\\d+)'}]`"),
            }
        }
        if key.is_empty() && options.has("key") {
            wrong(options, "key", "`key` names no field", "as in `key: session`");
        }
        let fields = match options.text("fields").as_deref() {
            Some("first") => Fields::First,
            Some("last") => Fields::Last,
            Some("numbered") => Fields::Numbered,
            _ => Fields::Join,
        };
        let mut delimiter = Vec::new();
        text::escape(options.text("delimiter").as_deref().unwrap_or(", ").as_bytes(), &mut delimiter);
        let drops_partial = options.text("partial").as_deref() == Some("drop");
        let spec = GatherSpec { key, fields, delimiter, drops_partial, ..GatherSpec::common(options, "timeout")? };
        Some(spec.with_fingerprint(options, &["key", "start", "end", "timeout"]))
    }

    fn aggregate(options: &Options<'_>) -> Option<GatherSpec> {
        let texts = |key: &str| options.texts(key).into_iter().map(|(text, _)| text);
        let count_max = options.count("max_count");
        if count_max == Some(0) {
            wrong(options, "max_count", "`max_count` is at least 1", "leave it out to close by the interval alone");
        }
        let spec = GatherSpec {
            is_aggregate: true,
            key: texts("same").map(|field| (field, None)).collect(),
            count_max: count_max.unwrap_or(u64::MAX),
            sum: texts("sum").collect(),
            keeps_common: options.text("keep").as_deref() != Some("first"),
            ..GatherSpec::common(options, "interval")?
        };
        Some(spec.with_fingerprint(options, &["same", "sum", "keep", "interval"]))
    }

    fn common(options: &Options<'_>, duration: &str) -> Option<GatherSpec> {
        let within = options.duration(duration)?;
        let capacity = options.count("capacity").map_or(GATHERED_KEYS_MAX, |n| n as usize);
        for (key, value) in [(duration, within.unsigned_abs()), ("capacity", capacity as u64)] {
            if value == 0 {
                wrong(options, key, &format!("`{key}` is at least 1"), "take the node out to leave the events as they are");
            }
        }
        Some(GatherSpec {
            node: options.name.to_owned(),
            is_aggregate: false,
            key: Vec::new(),
            within,
            has_start: options.has("start"),
            has_end: options.has("end"),
            drops_partial: false,
            fields: Fields::First,
            delimiter: Vec::new(),
            count_max: u64::MAX,
            sum: Vec::new(),
            keeps_common: false,
            capacity,
            fingerprint: String::new(),
        })
    }

    /// What the options that decide about the state say, one a line.
    fn with_fingerprint(mut self, options: &Options<'_>, keys: &[&str]) -> GatherSpec {
        let kind = if self.is_aggregate { "aggregate" } else { "merge" };
        let said = |key: &str| options.get(key).map(said).unwrap_or_default();
        let lines = keys.iter().chain(&["inputs"]).map(|key| format!("{key}: {}\n", said(key).replace('\n', " ")));
        self.fingerprint = std::iter::once(format!("type: {kind}\n")).chain(lines).collect();
        self
    }
}

/// An option's value in one line.
fn said(node: &Node) -> String {
    match &node.data {
        Data::Map(entries) => entries.iter().map(|(k, v)| format!("{{{}: {}}}", k.name, said(v))).collect::<Vec<_>>().join(", "),
        _ => match node.text() {
            Some(text) => text,
            None => node.items().iter().map(said).collect::<Vec<_>>().join(", "),
        },
    }
}

fn wrong(options: &Options<'_>, key: &str, message: &str, help: &str) {
    let place = options.get(key).map_or(options.place(), |n| &n.place);
    options.fault(Diagnostic::error(place, "bad_value", message).help(help));
}
