//! What a rule's options say, before any input is known.
use crate::component::list_write;
use crate::config::{Data, Field, Node, Options, Type};
use crate::diagnostic::{Diagnostic, Place};
use crate::event::amount::parse_decimal;
use crate::limits::{EVIDENCE_BYTES_MAX, GROUP_HITS_MAX, GROUPS_MAX, HITS_WAITING_MAX, LATE_MAX};
use crate::window::general::{Measure, Measured, Window};
use crate::window::ranked::WHOLE;

/// Options of `alert:`.
pub const ALERT: &[Field] = &[
    Field::optional("id", Type::Text, "the rule's id in alerts; default: the node's name"),
    Field::optional("title", Type::Template, "one line; default: the rule's id"),
    Field::optional("description", Type::Template, "more than one line, markdown"),
    Field::optional("severity", Type::Text, "low, medium, high, critical, or an expression that gives one; default medium"),
    Field::optional("tags", Type::Texts, "words that go with the alert"),
    Field::optional("attack", Type::Texts, "MITRE ATT&CK technique ids, such as T1110"),
    Field::optional("observables", Type::Map, "type: field, or type: [fields]"),
    Field::optional("links", Type::Map, "name: template"),
    Field::optional("fields", Type::Map, "name: expression; added at the top level"),
];

/// Options of `suppress:`.
pub const SUPPRESS: &[Field] = &[
    Field::optional("by", Type::Texts, "fields that share one suppression; default: the rule's `by`"),
    Field::required("for", Type::Duration, "how long further firings are held back"),
];

/// Options of `limits:`.
pub const LIMITS: &[Field] = &[
    Field::optional("groups", Type::Count, "open groups; default 10000000"),
    Field::optional("hits", Type::Count, "hits of one group, and hits that wait; default 1000000"),
    Field::optional("evidence", Type::Size, "bytes of kept texts per shard; default 64MiB, 0 keeps none"),
];

/// Options that every rule knows.
pub const COMMON: &[Field] = &[
    Field::optional("where", Type::Expression, "which events are hits; default: all"),
    Field::optional("by", Type::Texts, "fields whose values make a group"),
    Field::optional("unless", Type::Expression, "holds a firing back when it is true of the deciding event"),
    Field::optional("suppress", Type::Section(SUPPRESS), "holds further firings back for a time"),
    Field::optional(
        "late",
        Type::Word(&["clamp", "drop", "output"]),
        "clamp (default): a late hit counts at the edge of lateness; drop: it does not count; output: it leaves by `NODE.late` instead",
    ),
    Field::optional("late_max", Type::Duration, "later than this, clamp drops too; default 1h"),
    Field::optional(
        "missing",
        Type::Word(&["skip", "group"]),
        "skip (default): an event without a `by` field is no hit; group: absent is a value",
    ),
    Field::optional("mode", Type::Word(&["live", "shadow"]), "shadow counts without output"),
    Field::optional("enabled", Type::Bool, "false: the rule takes no events"),
    Field::optional("limits", Type::Section(LIMITS), "bounds of its memory"),
    Field::optional(
        "write",
        Type::Section(list_write::FIELDS),
        "every firing puts a value into a list, those that a suppression holds back too",
    ),
    Field::optional("alert", Type::Section(ALERT), "what its alerts say"),
];

/// When a rule fires while its bound is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// On crossing the bound.
    First,
    /// At every hit.
    Every,
    /// On reaching it, using the hits up.
    EachThreshold,
    /// At a hit, at most once in so long.
    Per(i64),
    /// At the end of a window.
    WindowEnd,
}

/// What becomes of a late event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It counts with the time at the edge of lateness.
    Clamp,
    /// It is no hit.
    Drop,
    /// It is no hit, and leaves by the output `late`.
    Output,
}

/// How the measure is compared with the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `<=`
    AtMost,
    /// `<`
    Below,
}

impl Comparison {
    /// Whether the bound is met.
    pub fn holds(self, measure: i128, bound: i128) -> bool {
        match self {
            Comparison::AtLeast => measure >= bound,
            Comparison::Above => measure > bound,
            Comparison::AtMost => measure <= bound,
            Comparison::Below => measure < bound,
        }
    }
}

/// What the measure is compared with. Sums are in units of 10⁻⁹.
#[derive(Clone, Debug)]
pub enum Bound {
    /// A number.
    Constant(i128),
    /// An expression over the deciding event.
    Expression(String, Place),
}

/// A rule's options.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// Name of the node.
    pub node: String,
    /// Id in alerts.
    pub id: String,
    /// Grouping fields.
    pub by: Vec<String>,
    /// What is measured.
    pub measure: Measure,
    /// The measured field.
    pub field: Option<String>,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub bound: Bound,
    /// Window length.
    pub within: i64,
    /// How hits share a window.
    pub window: Window,
    /// When it fires.
    pub trigger: Trigger,
    /// Fields of a suppression and its length.
    pub suppress: Option<(Vec<String>, i64)>,
    /// What becomes of late hits.
    pub late: Late,
    /// Later than this they are dropped.
    pub late_max: i64,
    /// Whether absent is a value of `by`.
    pub missing_is_value: bool,
    /// Counts without output.
    pub shadow: bool,
    /// Takes events.
    pub enabled: bool,
    /// Open groups.
    pub groups_max: usize,
    /// Hits of one group.
    pub hits_max: usize,
    /// Hits that wait.
    pub waiting_max: usize,
    /// Bytes of evidence.
    pub evidence_max: usize,
}

impl RuleSpec {
    /// Reads what every rule knows.
    pub fn common(options: &Options<'_>) -> RuleSpec {
        let by: Vec<String> = options.texts("by").into_iter().map(|(t, _)| t).collect();
        let limits = options.section("limits");
        let limit = |key: &str, default: usize| limits.as_ref().and_then(|l| l.count(key)).map_or(default, |n| n as usize);
        let suppress = options.section("suppress").and_then(|s| {
            let fields: Vec<String> = s.texts("by").into_iter().map(|(t, _)| t).collect();
            Some((if s.has("by") { fields } else { by.clone() }, s.duration("for")?))
        });
        RuleSpec {
            node: options.name.to_owned(),
            id: options.section("alert").and_then(|a| a.text("id")).unwrap_or_else(|| options.name.to_owned()),
            measure: Measure::Count,
            field: None,
            comparison: Comparison::AtLeast,
            bound: Bound::Constant(1),
            within: options.duration("within").unwrap_or(1),
            window: Window::Sliding,
            trigger: Trigger::First,
            suppress,
            late: match options.text("late").as_deref() {
                Some("drop") => Late::Drop,
                Some("output") => Late::Output,
                _ => Late::Clamp,
            },
            late_max: options.duration("late_max").unwrap_or(LATE_MAX),
            missing_is_value: options.text("missing").as_deref() == Some("group"),
            shadow: options.text("mode").as_deref() == Some("shadow"),
            enabled: options.bool("enabled", true),
            groups_max: limit("groups", GROUPS_MAX).max(1),
            hits_max: limit("hits", GROUP_HITS_MAX).max(1),
            waiting_max: limit("hits", HITS_WAITING_MAX).max(1),
            evidence_max: limits.as_ref().and_then(|l| l.size("evidence")).map_or(EVIDENCE_BYTES_MAX, |n| n as usize),
            by,
        }
    }

    /// Grouping fields that a shard may be chosen by.
    pub fn shard_fields(&self) -> Vec<bool> {
        self.by.iter().map(|b| self.suppress.as_ref().is_none_or(|(fields, _)| fields.contains(b))).collect()
    }

    /// What a change of makes the rule start empty: one `option: value` a line.
    pub fn fingerprint(&self, inputs: &[String], condition: &str, tenant: &str) -> String {
        let word = match self.measure {
            Measure::Count => "count".to_owned(),
            Measure::Distinct => "distinct".to_owned(),
            Measure::Sum => "sum".to_owned(),
            Measure::Average => "avg".to_owned(),
            Measure::Rank(percent) => format!("percentile {}", percent as f64 / 1e9),
        };
        let measure = format!("{word} {}", self.field.as_deref().unwrap_or_default());
        let window = format!("{:?}", self.window).to_lowercase();
        let within = format!("{} s", self.within as f64 / 1e9);
        let lines = [
            ("type", "threshold"),
            ("inputs", &inputs.join(", ")),
            ("where", condition),
            ("by", &self.by.join(", ")),
            ("within", &within),
            ("window", &window),
            ("measure", measure.trim()),
            ("tenant", tenant),
        ];
        lines.iter().map(|(option, value)| format!("{option}: {}\n", value.replace('\n', " "))).collect()
    }

    /// Reads `trigger:`.
    pub fn read_trigger(&mut self, options: &Options<'_>) {
        let Some(node) = options.get("trigger") else { return };
        let known = ["first", "every", "each_threshold", "window_end"];
        self.trigger = match (&node.data, node.text().as_deref()) {
            (Data::Map(entries), _) if entries.len() == 1 && entries[0].0.name == "per" => {
                match entries[0].1.text().as_deref().and_then(crate::config::quantity::duration) {
                    Some(per) => Trigger::Per(per),
                    None => return wrong(options, node, "`per` wants a duration", "as in `{per: 5m}`"),
                }
            }
            (_, Some("first")) => Trigger::First,
            (_, Some("every")) => Trigger::Every,
            (_, Some("each_threshold")) => Trigger::EachThreshold,
            (_, Some("window_end")) => Trigger::WindowEnd,
            (_, other) => {
                let help = crate::diagnostic::suggest(other.unwrap_or_default(), known);
                return wrong(options, node, "no such trigger", &format!("{help}, or {{per: 5m}}"));
            }
        };
    }

    /// Reads `window:` and what belongs to it.
    pub fn read_window(&mut self, options: &Options<'_>) {
        let (offset, gap) = (options.get("offset"), options.get("gap"));
        self.window = match options.text("window").as_deref() {
            Some("tumbling") => Window::Tumbling { offset: options.duration("offset").unwrap_or(0) },
            Some("session") => match options.duration("gap") {
                Some(gap) => Window::Session { gap },
                None if gap.is_some() => return,
                None => return wrong(options, options.node, "a session lacks `gap`", "the pause that ends it, as in `gap: 5m`"),
            },
            _ => Window::Sliding,
        };
        if let Some(node) = offset.filter(|_| !matches!(self.window, Window::Tumbling { .. })) {
            wrong(options, node, "`offset` goes with tumbling windows", "add `window: tumbling`, or take it out");
        }
        if let Some(node) = gap.filter(|_| !matches!(self.window, Window::Session { .. })) {
            wrong(options, node, "`gap` goes with sessions", "add `window: session`, or take it out");
        }
        let place = options.get("trigger").unwrap_or(options.node);
        match self.trigger {
            Trigger::WindowEnd if self.is_sliding() => {
                wrong(options, place, "a sliding window has no end to fire at", "add `window: tumbling` or `window: session`");
            }
            Trigger::Every | Trigger::EachThreshold | Trigger::Per(_) if !self.is_sliding() => {
                wrong(options, place, "a tumbling window or a session fires once", "`trigger: first` or `trigger: window_end`");
            }
            _ => {}
        }
    }

    /// Reads what is measured and the bound.
    pub fn read_measure(&mut self, options: &Options<'_>) {
        let count = options.get("count");
        let given: Vec<&str> = ["distinct", "sum", "avg", "min", "max", "percentile"].into_iter().filter(|k| options.has(k)).collect();
        if given.len() > 1 {
            let help = format!("keep one of {}", given.join(", "));
            return wrong(options, options.node, "more than one measure is given", &help);
        }
        let measure = given.first().copied().unwrap_or("count");
        if given.len() == 1 && measure != "percentile" {
            self.field = options.text(measure);
        }
        self.measure = match measure {
            "sum" => Measure::Sum,
            "avg" => Measure::Average,
            "min" => Measure::Rank(0),
            "max" => Measure::Rank(WHOLE),
            "percentile" => return self.read_percentile(options),
            "distinct" => Measure::Distinct,
            _ => Measure::Count,
        };
        if matches!(self.measure, Measure::Count | Measure::Distinct) {
            return self.read_count(options, count);
        }
        self.read_decimal_bound(options, measure);
    }

    fn read_percentile(&mut self, options: &Options<'_>) {
        let Some(node) = options.get("percentile") else { return };
        let items = node.items();
        let percent = items.get(1).and_then(Node::text).and_then(|text| parse_decimal(text.as_bytes()));
        let field = items.first().and_then(Node::text);
        match (items.len(), field, percent.and_then(|p| u64::try_from(p).ok()).filter(|p| (1..=WHOLE).contains(p))) {
            (2, Some(field), Some(percent)) => {
                self.field = Some(field);
                self.measure = Measure::Rank(percent);
            }
            _ => wrong(options, node, "`percentile` wants a field and a number above 0, up to 100", "as in `percentile: [bytes, 95]`"),
        }
        self.read_decimal_bound(options, "percentile");
    }

    /// Reads the bound of a measure that is a decimal.
    fn read_decimal_bound(&mut self, options: &Options<'_>, measure: &str) {
        if let Some(count) = options.get("count") {
            wrong(options, count, &format!("`count` does not go with `{measure}`"), "write `is: \">= 1000\"`");
        }
        match options.get("is") {
            Some(is) => self.read_is(options, is),
            None => wrong(options, options.node, &format!("`{measure}` lacks `is`"), "as in `is: \">= 1000\"`"),
        }
    }

    fn read_count(&mut self, options: &Options<'_>, count: Option<&Node>) {
        if let Some(is) = options.get("is") {
            wrong(options, is, "`is` goes with sum, avg, min, max and percentile", "write `count: N`");
        }
        match count.map(|c| (c, &c.data)) {
            None => wrong(options, options.node, &format!("`{}` lacks `count`", self.node), "`count`: how many hits make it fire"),
            Some((node, Data::Int(n))) if *n < 1 => {
                wrong(options, node, "`count` must be at least 1", "a rule for every event is `count: 1`")
            }
            Some((_, Data::Int(n))) => self.bound = Bound::Constant(i128::from(*n)),
            Some((node, _)) => {
                if let Some(text) = node.text() {
                    self.bound = Bound::Expression(text, node.place.clone());
                }
            }
        }
    }

    /// Whether windows slide.
    pub fn is_sliding(&self) -> bool {
        self.window == Window::Sliding
    }

    /// Whether a measure meets a bound.
    pub fn holds(&self, measured: Measured, bound: i128) -> bool {
        self.comparison.holds(measured.value, bound.saturating_mul(measured.of))
    }

    fn read_is(&mut self, options: &Options<'_>, node: &Node) {
        let text = node.text().unwrap_or_default();
        let trimmed = text.trim_start();
        let forms = [(">=", Comparison::AtLeast), ("<=", Comparison::AtMost), (">", Comparison::Above), ("<", Comparison::Below)];
        let Some((sign, comparison)) = forms.into_iter().find(|(s, _)| trimmed.starts_with(s)) else {
            return wrong(options, node, "`is` begins with >=, >, <= or <", "as in `is: \">= 1000\"`");
        };
        self.comparison = comparison;
        let rest = &trimmed[sign.len()..];
        let bound = rest.trim();
        self.bound = match parse_decimal(bound.as_bytes()) {
            Some(units) if !bound.is_empty() => Bound::Constant(units),
            _ => Bound::Expression(bound.to_owned(), node.place.plus(text.chars().count() - rest.trim_start().chars().count())),
        };
    }
}

fn wrong(options: &Options<'_>, node: &Node, message: &str, help: &str) {
    options.fault(Diagnostic::error(&node.place, "bad_rule", message).help(help));
}
