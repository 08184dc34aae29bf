//! `dedupe` and `throttle`: of the events of one key the first goes on, or so many within a time. They go by event time in the order of arrival, and what
//! they remember is saved at barriers.
use super::{BindTransform, OperatorFactory};
use crate::clock::Timestamp;
use crate::component::operator::{MAIN, Operator, Outputs};
use crate::component::{Bind, Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type};
use crate::diagnostic::Diagnostic;
use crate::event::batch::TIME_MISSING;
use crate::event::{Batch, Slot};
use crate::limits::RECENT_KEYS_MAX;
use crate::state::{Chunks, StateError, StateReader};
use crate::window::recent::Recent;

const CAPACITY: Field =
    Field::optional("capacity", Type::Count, "keys that are remembered; the oldest is forgotten first; default 1000000");

const DEDUPE: &[Field] = &[
    Field::required("by", Type::Texts, "fields whose values make events the same; an event that lacks one goes on"),
    Field::required("within", Type::Duration, "how long after the first the others are held back"),
    CAPACITY,
];

const THROTTLE: &[Field] = &[
    Field::required("by", Type::Texts, "fields whose values make a key; an event that lacks one goes on"),
    Field::required("count", Type::Count, "how many events of a key go on"),
    Field::required("within", Type::Duration, "within how long, from the first of them on"),
    CAPACITY,
];

/// See the module.
pub static DEDUPE_KIND: Kind<BindTransform> = Kind {
    name: "dedupe",
    summary: "lets the first of equal events pass",
    fields: DEDUPE,
    outputs: OutputNames::Main,
    bind: BindTransform::Step(|options, bind| bind_limit(options, bind, DEDUPE, "duplicate")),
};

/// See the module.
pub static THROTTLE_KIND: Kind<BindTransform> = Kind {
    name: "throttle",
    summary: "lets so many events of a key pass within a time",
    fields: THROTTLE,
    outputs: OutputNames::Main,
    bind: BindTransform::Step(|options, bind| bind_limit(options, bind, THROTTLE, "throttled")),
};

fn bind_limit(options: &Options<'_>, bind: &mut Bind<'_, '_>, fields: &'static [Field], reason: &'static str) -> Option<OperatorFactory> {
    options.check(&[fields, INPUTS]);
    let names: Vec<String> = options.texts("by").into_iter().map(|(name, _)| name).collect();
    let by: Vec<Option<Slot>> = names.iter().map(|name| bind.read(name)).collect();
    let within = options.duration("within")?;
    // Of what has no `count`, the first goes on.
    let most = options.count("count").unwrap_or(1);
    for (key, value) in [("count", most), ("within", within.unsigned_abs()), ("capacity", options.count("capacity").unwrap_or(1))] {
        if value == 0 {
            let place = options.get(key).map_or(options.place(), |n| &n.place);
            options
                .fault(Diagnostic::error(place, "bad_value", format!("`{key}` is at least 1")).help("take the node out to let all pass"));
        }
    }
    let capacity = options.count("capacity").map_or(RECENT_KEYS_MAX, |n| n as usize);
    bind.keeps_state(format!("type: {reason}\nby: {}\nwithin: {} s\n", names.join(", "), within as f64 / 1e9));
    let counter = |reason: &str| bind.context.registry.counter("tripline_discarded_total", &[("node", bind.node), ("reason", reason)]);
    let (held, evicted) = (counter(reason), counter("key_evicted"));
    Some(Box::new(move || {
        Box::new(Limit {
            by: by.clone(),
            recent: Recent::new(within, most, capacity),
            last: TIME_MISSING,
            key: Vec::new(),
            held: held.clone(),
            evicted: evicted.clone(),
        })
    }))
}

struct Limit {
    by: Vec<Option<Slot>>,
    recent: Recent,
    /// Time of the event before, for one that has none.
    last: Timestamp,
    key: Vec<u8>,
    held: metrics::Counter,
    evicted: metrics::Counter,
}

impl Limit {
    /// Writes the key of a row. False where a field is absent.
    fn write_key(&mut self, batch: &Batch, row: usize) -> bool {
        self.key.clear();
        self.by.iter().all(|slot| {
            let start = self.key.len();
            self.key.extend_from_slice(&[0; 4]);
            let present = slot.is_some_and(|slot| batch.value(slot, row).write_text(&mut self.key));
            let len = (self.key.len() - start - 4) as u32;
            self.key[start..start + 4].copy_from_slice(&len.to_le_bytes());
            present
        })
    }
}

impl Operator for Limit {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        self.by.iter().flatten().for_each(|slot| batch.resolve(*slot));
        for row in rows {
            let at = usize::from(*row);
            let time = batch.times[at];
            self.last = if time == TIME_MISSING { self.last } else { time };
            if !self.write_key(batch, at) || self.recent.take(&self.key, self.last) {
                out.rows[MAIN].push(*row);
            }
        }
        self.held.increment((rows.len() - out.rows[MAIN].len()) as u64);
        self.evicted.increment(std::mem::take(&mut self.recent.evicted));
    }

    fn save(&mut self, full: bool) -> Chunks {
        let mut chunks = Chunks::default();
        chunks.begin(0);
        self.recent.save(full, &mut chunks);
        chunks
    }

    fn load(&mut self, blob: &[u8]) -> Result<(), StateError> {
        let mut from = StateReader::new(blob);
        from.u8()?;
        self.recent.load(&mut from)
    }

    fn size_hint(&self) -> usize {
        self.recent.len() * 64 + 4096
    }
}
