//! Several events as JSON objects become one: what stands in a field where they differ.
use std::hash::BuildHasher as _;
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::open::parts;
use crate::clock::Timestamp;
use crate::codec::format::json_members::{elements, members};
use crate::event::text;
use crate::event::time::write_rfc3339;
use crate::simd;

/// What stands in a field where the events differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// The different values as one text.
    Join,
    /// The first.
    First,
    /// The last.
    Last,
    /// Each in a field of its own, numbered.
    Numbered,
}

/// A field and one of its values, as places among the bytes of the events.
#[derive(Clone, Debug)]
struct Found {
    key: Range<u32>,
    value: Range<u32>,
    /// The next value of the same field.
    next: Option<u32>,
}

/// Makes events from events; keeps its memory.
#[derive(Debug, Default)]
pub struct Combiner {
    /// Values of all fields; the first of each field are in `firsts`.
    found: Vec<Found>,
    firsts: Vec<u32>,
    /// A bit for each key of the fields: a key whose bit is not set is new.
    met: u64,
    /// The same by their keys, where there are more than [`FEW`].
    by_key: HashTable<u32>,
    /// Fields with more than [`FEW`] values: their last one, and all behind the few by field and value.
    lasts: foldhash::HashMap<u32, u32>,
    by_value: HashTable<(u32, u32)>,
    hasher: RandomState,
    /// Values of the tags of each event.
    tags: Vec<Range<u32>>,
}

/// So many are looked through; what is more stands in a table.
const FEW: usize = 32;

/// Room of the table of fields that is kept from event to event.
const FIELDS_KEPT: usize = 1024;

/// The raw texts of events stand line by line.
const ORIGINAL: &[u8] = b"\"event.original\"";

const TAGS: &[u8] = b"\"tags\"";

impl Combiner {
    /// Appends the members of events that were kept ([`parts`]) but those of `hidden` keys, each with a comma behind it.
    pub fn combine(&mut self, events: &[u8], fields: Fields, delimiter: &[u8], hidden: &Keys, out: &mut Vec<u8>) {
        self.collect(events, parts(events), fields);
        let mut runs = Runs { text: events, run: 0..0, out };
        for first in &self.firsts {
            let field = &self.found[*first as usize];
            let key = &events[range(&field.key)];
            if hidden.has(key) {
                continue;
            }
            if field.next.is_none() {
                runs.push(range(&field.key), range(&field.value));
                continue;
            }
            let values = Values { found: &self.found, events, at: Some(*first) };
            let out = runs.end();
            match fields {
                Fields::Numbered => {
                    for (number, value) in values.enumerate() {
                        out.extend_from_slice(&key[..key.len() - 1]);
                        out.extend_from_slice(format!(".{}\":", number + 1).as_bytes());
                        out.extend_from_slice(value);
                        out.push(b',');
                    }
                }
                _ => {
                    out.extend_from_slice(key);
                    out.push(b':');
                    join(values, if key == ORIGINAL { b"\\n" } else { delimiter }, out);
                    out.push(b',');
                }
            }
        }
        runs.end();
    }

    /// Lists the fields in the order in which they first appear, each with its different values.
    fn collect<'e>(&mut self, bytes: &'e [u8], events: impl Iterator<Item = &'e [u8]>, fields: Fields) {
        self.found.clear();
        self.firsts.clear();
        self.met = 0;
        if self.by_key.capacity() > FIELDS_KEPT {
            self.by_key = HashTable::new();
        }
        self.by_key.clear();
        if !self.lasts.is_empty() {
            (self.lasts, self.by_value) = Default::default();
        }
        self.tags.clear();
        let base = bytes.as_ptr() as usize;
        let place = |part: &[u8]| {
            let at = (part.as_ptr() as usize - base) as u32;
            at..at + part.len() as u32
        };
        for json in events {
            // Events of one source have their fields in one order: the next is most often where it is expected.
            let mut expected = 0;
            // Null is absent.
            for (key, value) in members(json).filter(|(_, value)| *value != b"null") {
                let found = Found { key: place(key), value: place(value), next: None };
                if simd::equal(key, TAGS) {
                    self.tags.push(found.value.clone());
                }
                let Some(at) = self.field(key, expected, bytes) else {
                    self.met |= bit_of(key);
                    self.firsts.push(self.found.len() as u32);
                    self.found.push(found);
                    if self.firsts.len() > FEW {
                        self.index_keys(bytes);
                    }
                    expected = self.firsts.len();
                    continue;
                };
                expected = at + 1;
                self.add(self.firsts[at] as usize, found, value, bytes, fields);
            }
        }
    }

    /// Which of the fields has a key: most often the one that is expected.
    #[inline(always)]
    fn field(&self, key: &[u8], expected: usize, events: &[u8]) -> Option<usize> {
        let is_key = |first: &u32| simd::equal(&events[range(&self.found[*first as usize].key)], key);
        match self.firsts.get(expected).filter(|first| is_key(first)) {
            Some(_) => Some(expected),
            None if self.met & bit_of(key) == 0 => None,
            None if self.firsts.len() <= FEW => self.firsts.iter().position(is_key),
            None => self.by_key.find(self.hasher.hash_one(key), |at| is_key(&self.firsts[*at as usize])).map(|at| *at as usize),
        }
    }

    /// Takes those of the fields into the table that are not there yet.
    #[inline(never)]
    fn index_keys(&mut self, events: &[u8]) {
        let Combiner { found, firsts, by_key, hasher, .. } = self;
        let hash = |at: u32| hasher.hash_one(&events[range(&found[firsts[at as usize] as usize].key)]);
        for at in by_key.len() as u32..firsts.len() as u32 {
            by_key.insert_unique(hash(at), at, |at| hash(*at));
        }
    }

    /// Appends the members of the earliest and the latest time.
    pub fn write_times(&mut self, first: Timestamp, last: Timestamp, out: &mut Vec<u8>) {
        simd::append(b"\"startTime\":\"", out);
        write_rfc3339(first, out);
        simd::append(b"\",\"endTime\":\"", out);
        write_rfc3339(last, out);
        out.push(b'"');
    }

    /// Writes the tags of the events that were combined last, and a further one on what is not whole, with a comma.
    pub fn write_tags(&self, events: &[u8], is_whole: bool, out: &mut Vec<u8>) {
        if self.tags.is_empty() && is_whole {
            return;
        }
        let of_event = |place: &Range<u32>| -> Vec<&[u8]> {
            let tags = &events[range(place)];
            if tags.first() == Some(&b'[') { elements(tags).collect() } else { vec![tags] }
        };
        let mut all = distinct(self.tags.iter().flat_map(of_event));
        if !is_whole {
            all.push(b"\"merge_partial\"");
        }
        if !all.is_empty() {
            out.extend_from_slice(b"\"tags\":[");
            out.extend_from_slice(&all.join(&b','));
            out.extend_from_slice(b"],");
        }
    }

    /// Appends an event with those of its members that another event has with the same value, or that are `fixed`, and without those that `hidden` ones are.
    pub fn common(&mut self, event: &[u8], other: &[u8], fixed: &Keys, hidden: &Keys, out: &mut Vec<u8>) -> Common {
        self.collect(other, std::iter::once(other), Fields::First);
        let base = event.as_ptr() as usize;
        let place = |part: &[u8]| {
            let at = part.as_ptr() as usize - base;
            at..at + part.len()
        };
        let (mut expected, mut common) = (0, Common { is_less: false, is_plain: true });
        out.push(b'{');
        let mut runs = Runs { text: event, run: 0..0, out };
        for (key, value) in members(event) {
            let found = self.field(key, expected, other);
            let is_equal = found.is_some_and(|at| simd::equal(&other[range(&self.found[self.firsts[at] as usize].value)], value));
            if (is_equal || fixed.has(key)) && value != b"null" && !hidden.has(key) {
                runs.push(place(key), place(value));
                // Where both events have their members in one order none of them is there twice.
                common.is_plain &= found.is_some_and(|at| at >= expected);
            } else {
                common.is_less = true;
            }
            expected = found.map_or(expected, |at| at + 1);
        }
        let out = runs.end();
        match out.last_mut() {
            Some(comma @ b',') => *comma = b'}',
            _ => out.push(b'}'),
        }
        common
    }

    /// Adds a further value of a field.
    fn add(&mut self, first: usize, found: Found, value: &[u8], events: &[u8], fields: Fields) {
        match fields {
            Fields::First => {}
            Fields::Last => {
                self.found[first].key = found.key;
                self.found[first].value = found.value;
            }
            Fields::Join | Fields::Numbered => {
                let mut at = first;
                for _ in 0..FEW {
                    let known = &self.found[at];
                    if simd::equal(&events[range(&known.value)], value) {
                        return;
                    }
                    let Some(next) = known.next else {
                        self.found[at].next = Some(self.found.len() as u32);
                        return self.found.push(found);
                    };
                    at = next as usize;
                }
                self.add_to_many(first as u32, at as u32, found, events);
            }
        }
    }

    /// Adds a further value of a field that has more than a few: those from `at` on are behind the few.
    #[inline(never)]
    fn add_to_many(&mut self, first: u32, at: u32, new: Found, events: &[u8]) {
        let Combiner { found, by_value, lasts, hasher, .. } = self;
        let value = |at: u32| &events[range(&found[at as usize].value)];
        let hash = |(field, value): (u32, &[u8])| hasher.hash_one((field, value));
        let rehash = |known: &(u32, u32)| hash((known.0, value(known.1)));
        let last = lasts.entry(first).or_insert_with(|| {
            by_value.insert_unique(hash((first, value(at))), (first, at), rehash);
            at
        });
        let own = hash((first, &events[range(&new.value)]));
        if by_value.find(own, |known| known.0 == first && *value(known.1) == events[range(&new.value)]).is_some() {
            return;
        }
        let number = found.len() as u32;
        found[*last as usize].next = Some(number);
        *last = number;
        found.push(new);
        let value = |at: u32| &events[range(&found[at as usize].value)];
        by_value.insert_unique(own, (first, number), |known| hash((known.0, value(known.1))));
    }
}

/// What came of [`Combiner::common`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// A member was left out.
    pub is_less: bool,
    /// What was written is, by itself, what [`Combiner::combine`] would make of it.
    pub is_plain: bool,
}

/// Keys, with their quotes, of which few others are one.
#[derive(Debug, Default)]
pub struct Keys {
    keys: Vec<Box<[u8]>>,
    /// A bit for each of them, by [`bit_of`].
    bits: u64,
}

impl<'n> FromIterator<&'n str> for Keys {
    /// Of names.
    fn from_iter<I: IntoIterator<Item = &'n str>>(names: I) -> Keys {
        let mut keys = Keys::default();
        for name in names {
            let mut key = Vec::new();
            text::quote(name.as_bytes(), &mut key);
            keys.bits |= bit_of(&key);
            keys.keys.push(key.into());
        }
        keys
    }
}

impl Keys {
    #[inline(always)]
    fn has(&self, key: &[u8]) -> bool {
        self.bits & bit_of(key) != 0 && self.keys.iter().any(|own| simd::equal(own, key))
    }
}

/// Writes members of a text, each with a comma behind it: those that stand side by side are copied together.
struct Runs<'t> {
    text: &'t [u8],
    run: Range<usize>,
    out: &'t mut Vec<u8>,
}

impl Runs<'_> {
    #[inline(always)]
    fn push(&mut self, key: Range<usize>, value: Range<usize>) {
        let is_compact = value.start == key.end + 1;
        if is_compact && self.run.end + 1 == key.start && self.text[self.run.end] == b',' {
            self.run.end = value.end;
            return;
        }
        self.end();
        if is_compact {
            self.run = key.start..value.end;
        } else {
            [&self.text[key], b":", &self.text[value], b","].iter().for_each(|part| self.out.extend_from_slice(part));
        }
    }

    /// Writes what is left, before something else is written.
    fn end(&mut self) -> &mut Vec<u8> {
        if !self.run.is_empty() {
            self.out.extend_from_slice(&self.text[std::mem::take(&mut self.run)]);
            self.out.push(b',');
        }
        self.out
    }
}

/// The different values of a field, as they stand.
struct Values<'c> {
    found: &'c [Found],
    events: &'c [u8],
    at: Option<u32>,
}

impl<'c> Iterator for Values<'c> {
    type Item = &'c [u8];
    fn next(&mut self) -> Option<&'c [u8]> {
        let found = self.found.get(self.at? as usize)?;
        self.at = found.next;
        Some(&self.events[range(&found.value)])
    }
}

/// One of 64 bits, by the length of a key and its last letter.
#[inline(always)]
fn bit_of(key: &[u8]) -> u64 {
    let last = key.len().checked_sub(2).map_or(0, |last| usize::from(key[last]));
    1 << (last.wrapping_add(key.len() * 11) % 64)
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Each part once, in order.
fn distinct<'e>(parts: impl Iterator<Item = &'e [u8]>) -> Vec<&'e [u8]> {
    let (mut out, mut met) = (Vec::new(), foldhash::HashSet::default());
    parts.filter(|part| met.insert(*part)).for_each(|part| out.push(part));
    out
}

/// Different values as one: the elements of arrays in one array, all else as a text. `delimiter` is escaped already.
fn join(values: Values<'_>, delimiter: &[u8], out: &mut Vec<u8>) {
    let values: Vec<&[u8]> = values.collect();
    if values.iter().all(|v| v.first() == Some(&b'[')) {
        out.push(b'[');
        out.extend_from_slice(&distinct(values.iter().flat_map(|v| elements(v))).join(&b','));
        return out.push(b']');
    }
    out.push(b'"');
    for (number, value) in values.into_iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(delimiter);
        }
        match value {
            [b'"', inside @ .., b'"'] => out.extend_from_slice(inside),
            other => text::escape(other, out),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::super::open::frame;
    use super::*;
    use proptest::prelude::*;

    fn combined(events: &[&str], fields: Fields) -> String {
        let mut kept = Vec::new();
        for event in events {
            let mut part = Vec::new();
            frame(&mut part, |out| out.extend_from_slice(event.as_bytes()));
            kept.extend(part);
        }
        let mut out = Vec::new();
        Combiner::default().combine(&kept, fields, b"; ", &Keys::from_iter(["hide"]), &mut out);
        assert_eq!(out.pop(), Some(b','));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_that_differ_go_by_the_option() {
        let events = [r#"{"host":"a","ip":"10.0.0.1","n":1,"hide":1}"#, r#"{"host":"a","mac":"00:11","n":2}"#, r#"{"n":1,"ip":null}"#];
        assert_eq!(combined(&events, Fields::First), r#""host":"a","ip":"10.0.0.1","n":1,"mac":"00:11""#);
        assert_eq!(combined(&events, Fields::Last), r#""host":"a","ip":"10.0.0.1","n":1,"mac":"00:11""#);
        assert_eq!(combined(&events, Fields::Join), r#""host":"a","ip":"10.0.0.1","n":"1; 2","mac":"00:11""#);
        assert_eq!(combined(&events, Fields::Numbered), r#""host":"a","ip":"10.0.0.1","n.1":1,"n.2":2,"mac":"00:11""#);
    }

    #[test]
    fn raw_texts_stand_line_by_line_and_arrays_in_one() {
        let events = [r#"{"event.original":"a \"b\"","tags":["x"]}"#, r#"{"event.original":"c","tags":["x","y"]}"#];
        assert_eq!(combined(&events, Fields::Join), r#""event.original":"a \"b\"\nc","tags":["x","y"]"#);
    }

    proptest! {
        /// Keys and values by their number: some events have more than a few of either.
        #[test]
        fn many_fields_and_many_values_are_as_few(events in prop::collection::vec((prop::sample::select(vec![2usize, 30, 80]), 1usize..60, prop::sample::select(vec![1usize, 3, 500])), 1..90)) {
            let mut plain: Vec<(String, Vec<String>)> = Vec::new();
            let mut texts = Vec::new();
            for (number, (keys, step, values)) in events.into_iter().enumerate() {
                let members = (0..keys).map(|i| (format!("\"k{}\"", i * step % 83), format!("{}", (number * 7 + i) % values)));
                texts.push(format!("{{{}}}", members.clone().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>().join(",")));
                for (key, value) in members {
                    let at = plain.iter().position(|(k, _)| *k == key).unwrap_or(plain.len());
                    if at == plain.len() {
                        plain.push((key, Vec::new()));
                    }
                    if !plain[at].1.contains(&value) {
                        plain[at].1.push(value);
                    }
                }
            }
            let joined = |values: &[String]| if values.len() == 1 { values[0].clone() } else { format!("\"{}\"", values.join("; ")) };
            let expected: Vec<String> = plain.iter().map(|(key, values)| format!("{key}:{}", joined(values))).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            prop_assert_eq!(combined(&texts, Fields::Join), expected.join(","));
        }
    }

    #[test]
    fn what_is_common_stays() {
        let common = |event: &str, other: &str, fixed: &str| {
            let (mut out, fixed) = (Vec::new(), Keys::from_iter([fixed]));
            let common = Combiner::default().common(event.as_bytes(), other.as_bytes(), &fixed, &Keys::from_iter(["hide"]), &mut out);
            (String::from_utf8(out).unwrap(), common.is_less, common.is_plain)
        };
        let is = |text: &str, is_less, is_plain| (text.to_owned(), is_less, is_plain);
        assert_eq!(common(r#"{"a":1,"b":2,"c":3}"#, r#"{"c":3,"b":9,"a":1,"z":0}"#, ""), is(r#"{"a":1,"c":3}"#, true, false));
        assert_eq!(common(r#"{"a":1,"b":2, "c" : 3}"#, r#"{"a":1,"b":9,"c":3,"z":0}"#, ""), is(r#"{"a":1,"c":3}"#, true, true));
        assert_eq!(common(r#"{"a":1,"c":3}"#, "{}", "c"), is(r#"{"c":3}"#, true, false));
        assert_eq!(common(r#"{"a":1}"#, "{}", ""), is("{}", true, true));
        assert_eq!(common(r#"{"a":1}"#, r#"{"z":2,"a":1}"#, ""), is(r#"{"a":1}"#, false, true));
        assert_eq!(common(r#"{"a":1,"b":null,"hide":2}"#, r#"{"a":1,"b":null,"hide":2}"#, ""), is(r#"{"a":1}"#, true, true));
        assert_eq!(common(r#"{"a":1,"a":1}"#, r#"{"a":1}"#, ""), is(r#"{"a":1,"a":1}"#, false, false));
    }
}
