//! Whole events as JSON, one object a line.
//!
//! A JSON event keeps its own bytes: changed paths are replaced in place, new fields are appended as literal keys. Events of other formats become one
//! flat object: the decoded fields in their order, `event.original`, then what was added.
use crate::event::batch::row_state;
use crate::event::{Batch, Extra, Family, Kind, Slot, Span, Tags, text, time};
use crate::simd;

/// A field to write: its key with quotes and colon, and where its value is.
#[derive(Clone, Debug)]
pub struct OutField {
    /// The name.
    pub name: String,
    key: Box<[u8]>,
    /// The value.
    pub slot: Slot,
    /// Where the input's own value of that name lies, if the input may have one.
    pub place: Option<Slot>,
}

impl OutField {
    /// A field of a name.
    pub fn new(name: &str, slot: Slot, place: Option<Slot>) -> OutField {
        let mut key = Vec::new();
        text::quote(name.as_bytes(), &mut key);
        key.push(b':');
        OutField { name: name.to_owned(), key: key.into(), slot, place }
    }
}

/// How the events of one place in the plan are written.
#[derive(Clone, Debug, Default)]
pub struct EventWriter {
    /// The input is JSON and is spliced.
    pub splice: bool,
    /// Fields of the format, in order (not spliced).
    pub fields: Vec<OutField>,
    /// Layers of decoders whose fields without a slot are written.
    pub extra_layers: Vec<usize>,
    /// Names that stand elsewhere: not written as extras.
    pub hidden: HiddenNames,
    /// Fields that operators changed or added.
    pub added: Vec<OutField>,
    /// Whether the raw text is written as `event.original`.
    pub original: bool,
    /// Where the input's own tags lie.
    pub own_tags: Option<Slot>,
    /// Tags that may be set here.
    pub tag_mask: Tags,
    /// Names of the lane's tags, by bit.
    pub tag_names: Vec<String>,
    /// Names of the nodes whose decoders are the layers.
    pub layer_nodes: Vec<String>,
    /// Whether `tripline` is added.
    pub meta: bool,
}

/// Names that are not written as extras.
#[derive(Clone, Debug, Default)]
pub struct HiddenNames {
    names: Vec<String>,
    /// A bit for each of their lengths: most extras have the length of none.
    lengths: u64,
}

impl HiddenNames {
    /// Hides a name.
    pub fn insert(&mut self, name: &str) {
        self.lengths |= 1 << (name.len() % 64);
        self.names.push(name.to_owned());
    }

    fn contains(&self, batch: &Batch, extra: &Extra) -> bool {
        let has_group = extra.group.is_present();
        let group = if has_group { batch.bytes(extra.group) } else { &[] };
        let (prefix, own) = (prefix(extra.family), batch.bytes(extra.name));
        let len = prefix.len() + group.len() + usize::from(has_group) + own.len();
        if self.lengths >> (len % 64) & 1 == 0 {
            return false;
        }
        // The last part first: it tells most names apart.
        let is_head = |head: &[u8]| head.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(group));
        self.names.iter().map(String::as_bytes).filter(|name| name.len() == len).any(|name| {
            let (head, last) = name.split_at(len - own.len());
            simd::equal(last, own) && is_head(head) && (!has_group || head.ends_with(b"."))
        })
    }
}

/// What is known of a row outside of its batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowFacts {
    /// The time that it counts with.
    pub time: i64,
    /// Whether it came late.
    pub late: bool,
}

impl EventWriter {
    /// Appends a row and a line feed.
    pub fn write(&self, batch: &Batch, row: usize, facts: RowFacts, out: &mut Vec<u8>) {
        let state = batch.state[row];
        if self.splice && state & row_state::FAILED == 0 {
            self.write_spliced(batch, row, facts, out);
        } else {
            self.write_flat(batch, row, facts, out);
        }
        out.push(b'\n');
    }

    /// Asks for the fields of a row ahead of its turn: another core wrote them.
    #[inline]
    pub fn prefetch(&self, batch: &Batch, row: usize) {
        self.fields.iter().chain(&self.added).for_each(|field| batch.prefetch(field.slot, row));
    }

    fn write_spliced(&self, batch: &Batch, row: usize, facts: RowFacts, out: &mut Vec<u8>) {
        let line = batch.input.line(row);
        let base = batch.input.lines[row].at as usize;
        let tags = batch.tags[row] & self.tag_mask;
        let changes = tags != 0 || self.meta || batch.state[row] & row_state::FAULT != 0 || !self.extra_layers.is_empty();
        if !changes && self.added.iter().all(|f| is_unchanged(batch, row, f)) {
            return out.extend_from_slice(line);
        }
        let end = line.iter().rposition(|b| *b == b'}').unwrap_or(0);
        let mut at = self.write_in_place(batch, row, tags, base, line, out);
        out.extend_from_slice(&line[at..end]);
        at = end;
        let empty = out.iter().rev().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
        let mut members = Members { out, first: empty };
        for field in &self.added {
            let cell = batch.cell(field.slot, row);
            if cell.is_present() && place_of(batch, row, field).is_none() {
                members.key(&field.key);
                write_value(batch, cell, members.out);
            }
        }
        self.write_rest(batch, row, facts, tags, &mut members);
        out.extend_from_slice(&line[at..]);
    }

    /// Copies the line up to the last changed value. Returns how far it got.
    fn write_in_place(&self, batch: &Batch, row: usize, tags: Tags, base: usize, line: &[u8], out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        let mut done = 0;
        loop {
            // Few fields change in place: the next in the line's order is searched, not sorted for.
            let next = self.added.iter().filter(|f| !is_unchanged(batch, row, f)).filter_map(|f| {
                let (from, to) = place_of(batch, row, f)?;
                (from - base >= done).then_some((from - base, to - base, Some(f)))
            });
            let own = self.own_tags.filter(|_| tags != 0).and_then(|slot| outer(batch.cell(slot, row)));
            let own = own.filter(|(from, _)| from - base >= done).map(|(from, to)| (from - base, to - base, None));
            let Some((from, to, field)) = next.chain(own).min_by_key(|(from, ..)| *from) else { return at };
            if let Some(field) = field
                && !batch.cell(field.slot, row).is_present()
            {
                out.extend_from_slice(&line[at..key_start(line, from)]);
                at = cut(line, to, out);
                done = to.max(from + 1);
                continue;
            }
            out.extend_from_slice(&line[at..from]);
            match field {
                Some(field) => write_value(batch, batch.cell(field.slot, row), out),
                None => self.write_tags(Some(&line[from..to]), tags, out),
            }
            at = to;
            done = to.max(from + 1);
        }
    }

    fn write_flat(&self, batch: &Batch, row: usize, facts: RowFacts, out: &mut Vec<u8>) {
        let failed = batch.state[row] & row_state::FAILED != 0;
        out.push(b'{');
        let mut members = Members { out, first: true };
        for field in &self.fields {
            let cell = batch.cell(field.slot, row);
            if cell.is_present() && !(failed && field.name == "message") {
                members.key(&field.key);
                write_value(batch, cell, members.out);
            }
        }
        if failed {
            members.key(b"\"message\":");
            write_lossy(batch.input.line(row), members.out);
        }
        if !self.splice {
            if self.extra_layers.first() == Some(&0) {
                self.write_extras(batch, row, 0, &mut members);
            }
            if self.original {
                members.key(b"\"event.original\":");
                if batch.state[row] & row_state::MENDED != 0 {
                    write_lossy(batch.input.line(row), members.out);
                } else {
                    text::quote(batch.input.line(row), members.out);
                }
            }
        }
        for field in &self.added {
            let cell = batch.cell(field.slot, row);
            if cell.is_present() {
                members.key(&field.key);
                write_value(batch, cell, members.out);
            }
        }
        let tags = batch.tags[row] & self.tag_mask;
        self.write_rest(batch, row, facts, tags, &mut members);
        out.push(b'}');
    }

    /// What no field holds: members of nested documents, the error, tags, meta.
    fn write_rest(&self, batch: &Batch, row: usize, facts: RowFacts, tags: Tags, members: &mut Members<'_>) {
        for layer in self.extra_layers.iter().filter(|l| **l > 0) {
            self.write_extras(batch, row, *layer, members);
        }
        if batch.state[row] & row_state::FAULT != 0
            && let Some((layer, reason)) = batch.fault(row)
        {
            members.key(b"\"error.message\":");
            text::quote(reason.as_bytes(), members.out);
            members.key(b"\"error.node\":");
            text::quote(self.layer_nodes.get(layer).map_or(&b""[..], |n| n.as_bytes()), members.out);
        }
        let own_in_place = self.splice && self.own_tags.is_some_and(|slot| batch.cell(slot, row).kind() != Kind::Absent);
        if tags != 0 && !own_in_place {
            members.key(b"\"tags\":");
            self.write_tags(None, tags, members.out);
        }
        if self.meta {
            members.key(b"\"tripline\":");
            write_meta(batch, row, facts, members.out);
        }
    }

    fn write_extras(&self, batch: &Batch, row: usize, layer: usize, members: &mut Members<'_>) {
        for extra in batch.extras(layer, row) {
            if !extra.value.is_present() || self.hidden.contains(batch, extra) {
                continue;
            }
            members.comma();
            write_extra_key(batch, extra, members.out);
            write_value(batch, extra.value, members.out);
        }
    }

    /// Writes the tags behind those that the event has already.
    fn write_tags(&self, own: Option<&[u8]>, tags: Tags, out: &mut Vec<u8>) {
        let mut first = true;
        match own {
            Some([b'[', inside @ .., b']']) => {
                out.push(b'[');
                out.extend_from_slice(inside);
                first = inside.trim_ascii().is_empty();
            }
            Some(other) if other != b"null" => {
                out.push(b'[');
                out.extend_from_slice(other);
                first = false;
            }
            _ => out.push(b'['),
        }
        for (bit, name) in self.tag_names.iter().enumerate().filter(|(bit, _)| tags >> bit & 1 == 1) {
            debug_assert!(bit < 32, "tags are bits of a word");
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            text::quote(name.as_bytes(), out);
        }
        out.push(b']');
    }
}

/// The members of an object while it is written.
struct Members<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Members<'_> {
    #[inline(always)]
    fn comma(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
    }

    #[inline(always)]
    fn key(&mut self, key: &[u8]) {
        self.comma();
        simd::append(key, self.out);
    }
}

/// Where the input's own value of a field lies, quotes included.
fn place_of(batch: &Batch, row: usize, field: &OutField) -> Option<(usize, usize)> {
    outer(batch.cell(field.place?, row))
}

/// The bytes of a JSON value with its quotes.
fn outer(cell: Span) -> Option<(usize, usize)> {
    match cell.kind() {
        Kind::Absent => None,
        Kind::Text | Kind::Escaped => Some((cell.at() - 1, cell.at() + cell.len() + 1)),
        _ => Some((cell.at(), cell.at() + cell.len())),
    }
}

/// Whether a field still is what the input has: its value, or nothing.
fn is_unchanged(batch: &Batch, row: usize, field: &OutField) -> bool {
    let cell = batch.cell(field.slot, row);
    match field.place {
        Some(place) => batch.cell(place, row) == cell,
        None => !cell.is_present(),
    }
}

/// The first byte of the key whose value begins at `value`.
fn key_start(line: &[u8], value: usize) -> usize {
    let before = line[..value].trim_ascii_end();
    let before = before.strip_suffix(b":").unwrap_or(before).trim_ascii_end();
    let mut at = before.len().saturating_sub(1);
    while let Some(quote) = memchr::memrchr(b'"', &line[..at]) {
        let slashes = line[..quote].iter().rev().take_while(|b| **b == b'\\').count();
        if slashes % 2 == 0 {
            return quote;
        }
        at = quote;
    }
    0
}

/// Goes over a removed member, whose value ends at `end`, and the comma that parted it from its neighbours. Returns where to go on.
fn cut(line: &[u8], end: usize, out: &mut Vec<u8>) -> usize {
    let blanks = line[end..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    if line.get(end + blanks) == Some(&b',') {
        return end + blanks + 1;
    }
    let kept = out.trim_ascii_end();
    if kept.ends_with(b",") {
        out.truncate(kept.len() - 1);
    }
    end
}

/// What stands before the names of a family.
fn prefix(family: Family) -> &'static [u8] {
    match family {
        Family::Plain => b"",
        Family::StructuredData => b"sd.",
        Family::Cisco => b"cisco.",
    }
}

/// Appends a name in quotes, and a colon.
#[inline(always)]
fn write_extra_key(batch: &Batch, extra: &Extra, out: &mut Vec<u8>) {
    let (name, is_whole) = (batch.bytes(extra.name), extra.family == Family::Plain && !extra.group.is_present());
    if is_whole && extra.name.kind() != Kind::Escaped {
        text::quote(name, out);
        return out.push(b':');
    }
    out.push(b'"');
    simd::append(prefix(extra.family), out);
    if extra.group.is_present() {
        text::escape(batch.bytes(extra.group), out);
        out.push(b'.');
    }
    match extra.name.kind() {
        Kind::Escaped => out.extend_from_slice(name),
        _ => text::escape(name, out),
    }
    out.extend_from_slice(b"\":");
}

/// Appends a value as JSON.
#[inline(always)]
pub fn write_value(batch: &Batch, span: Span, out: &mut Vec<u8>) {
    let bytes = batch.bytes(span);
    match span.kind() {
        Kind::Text => text::quote(bytes, out),
        Kind::Escaped => {
            out.push(b'"');
            out.extend_from_slice(bytes);
            out.push(b'"');
        }
        Kind::Number | Kind::Bool | Kind::Json => out.extend_from_slice(bytes),
        Kind::Absent | Kind::Null => out.extend_from_slice(b"null"),
    }
}

fn write_lossy(bytes: &[u8], out: &mut Vec<u8>) {
    text::quote(String::from_utf8_lossy(bytes).as_bytes(), out);
}

fn write_meta(batch: &Batch, row: usize, facts: RowFacts, out: &mut Vec<u8>) {
    let input = &batch.input;
    let origin = &input.origin;
    let position = input.position(row);
    let event = origin.event_id(position, input.line(row));
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(&event);
    out.extend_from_slice(b"\",\"source\":");
    text::quote(origin.source.as_bytes(), out);
    out.extend_from_slice(b",\"partition\":");
    text::quote(origin.partition.as_bytes(), out);
    out.extend_from_slice(format!(",\"position\":{position},\"time\":\"").as_bytes());
    time::write_rfc3339(facts.time, out);
    out.extend_from_slice(if facts.late { b"\",\"late\":true}" } else { b"\",\"late\":false}" });
}
