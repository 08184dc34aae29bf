//! What the option `multiline` of a source says: which lines make one event, and after how much silence it is over. Lines of containers say it themselves.
use crate::codec::format::container::Container;
use crate::codec::framing::multiline::Multiline;
use crate::component::bind::pattern_at;
use crate::config::{Field, Options, Type};
use crate::diagnostic::Diagnostic;
use crate::limits::SECOND;

const FIELDS: &[Field] = &[
    Field::optional("start", Type::Text, "a pattern: a line that it matches begins an event"),
    Field::optional("continue", Type::Text, "a pattern: a line that it matches goes on with the event before"),
    Field::optional("timeout", Type::Duration, "silence after which an event is over; default 1s"),
];

/// The option.
pub(super) const FIELD: Field =
    Field::optional("multiline", Type::Section(FIELDS), "which lines make one event: by their `start`, or by what they `continue`");

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    /// Which lines belong together.
    pub(super) multiline: Multiline,
    /// The silence, in nanoseconds.
    pub(super) timeout: i64,
}

impl Joining {
    /// As the options say; none: each line is an event.
    pub(super) fn of(options: &Options<'_>) -> Option<Joining> {
        let Some(section) = options.section("multiline") else {
            let format = options.get("format")?;
            let format = format.items().first().and_then(|first| first.text().or_else(|| first.get("type")?.text()));
            let container = match format.as_deref() {
                Some("cri") => Container::Cri,
                Some("docker") => Container::Docker,
                _ => return None,
            };
            return Some(Joining { multiline: Multiline::Parts(container), timeout: SECOND });
        };
        let pattern = |key: &str| section.placed(key).map(|(text, place)| pattern_at(&text, &place, &section));
        let timeout = section.duration("timeout").unwrap_or(SECOND);
        match (pattern("start"), pattern("continue")) {
            (Some(start), None) => Some(Joining { multiline: Multiline::Start(start?), timeout }),
            (None, Some(goes_on)) => Some(Joining { multiline: Multiline::Continue(goes_on?), timeout }),
            _ => {
                let fault = Diagnostic::error(section.place(), "bad_multiline", "`multiline` takes one of `start` and `continue`");
                options.fault(fault.help("as in `multiline: {start: '^\\d{4}-'}`"));
                None
            }
        }
    }
}
