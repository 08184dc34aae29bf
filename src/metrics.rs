//! Counters and gauges: one registry per running pipeline, handles that cost one atomic add, and the Prometheus text form.
//!
//! The registry is a recorder of the `metrics` facade, so a library that counts through the facade can be pointed at it.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

pub use metrics::Counter;
use metrics::{Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Counter,
    Gauge,
}

type Cells = BTreeMap<(String, Vec<(String, String)>), (Family, Arc<AtomicU64>)>;

/// All counters of one pipeline.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    cells: Arc<Mutex<Cells>>,
}

impl Registry {
    /// The counter of a name and its labels; the same cell for the same words.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> Counter {
        Counter::from_arc(self.cell(name, labels, Family::Counter))
    }

    /// The gauge of a name and its labels.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Gauge {
        Gauge::from_arc(self.cell(name, labels, Family::Gauge))
    }

    /// Sum of a counter over all label sets, per value of one label.
    pub fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut out = BTreeMap::new();
        for ((n, labels), (_, cell)) in self.lock().iter() {
            if n == name
                && let Some((_, value)) = labels.iter().find(|(k, _)| k == label)
            {
                *out.entry(value.clone()).or_insert(0) += cell.load(Ordering::Relaxed);
            }
        }
        out
    }

    /// [`Registry::by_label`] over the label sets that hold further labels.
    pub fn by_labels(&self, name: &str, label: &str, with: &[(&str, &str)]) -> BTreeMap<String, u64> {
        let mut out = BTreeMap::new();
        for ((n, labels), (_, cell)) in self.lock().iter() {
            let has = |(k, v): &(&str, &str)| labels.iter().any(|(lk, lv)| lk == k && lv == v);
            if n == name
                && with.iter().all(has)
                && let Some((_, value)) = labels.iter().find(|(k, _)| k == label)
            {
                *out.entry(value.clone()).or_insert(0) += cell.load(Ordering::Relaxed);
            }
        }
        out
    }

    /// Sum of a counter over all label sets.
    pub fn total(&self, name: &str) -> u64 {
        self.lock().iter().filter(|((n, _), _)| n == name).map(|(_, (_, c))| c.load(Ordering::Relaxed)).sum()
    }

    /// The Prometheus text form.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let mut last = "";
        let cells = self.lock();
        for ((name, labels), (family, cell)) in cells.iter() {
            if name != last {
                let _ = writeln!(out, "# TYPE {name} {}", if *family == Family::Counter { "counter" } else { "gauge" });
                last = name;
            }
            out.push_str(name);
            for (i, (k, v)) in labels.iter().enumerate() {
                let escaped = v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = write!(out, "{}{k}=\"{escaped}\"", if i == 0 { '{' } else { ',' });
            }
            if !labels.is_empty() {
                out.push('}');
            }
            let bits = cell.load(Ordering::Relaxed);
            let _ = match family {
                Family::Counter => writeln!(out, " {bits}"),
                Family::Gauge => writeln!(out, " {}", f64::from_bits(bits)),
            };
        }
        out
    }

    fn cell(&self, name: &str, labels: &[(&str, &str)], family: Family) -> Arc<AtomicU64> {
        let key = (name.to_owned(), labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        Arc::clone(&self.lock().entry(key).or_insert_with(|| (family, Arc::new(AtomicU64::new(0)))).1)
    }

    fn lock(&self) -> MutexGuard<'_, Cells> {
        // A panic elsewhere cannot leave a map of atomics half-written.
        self.cells.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn register(&self, key: &Key, family: Family) -> Arc<AtomicU64> {
        let labels: Vec<(&str, &str)> = key.labels().map(|l| (l.key(), l.value())).collect();
        self.cell(key.name(), &labels, family)
    }
}

impl Recorder for Registry {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(key, Family::Counter))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register(key, Family::Gauge))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Names and meanings of every metric, for `tripline list metrics`.
pub const NAMES: &[(&str, &str)] = &[
    ("tripline_events_in_total", "events that a node took in {node}"),
    ("tripline_events_out_total", "events that a node gave {node,output}"),
    ("tripline_bytes_in_total", "bytes that a source read {node}"),
    ("tripline_errors_total", "events that a node could not treat {node,reason}"),
    ("tripline_discarded_total", "events or bytes that were left out {node,reason}"),
    ("tripline_late_total", "hits that came late {rule,reason}"),
    ("tripline_alerts_total", "alerts, revision 1 {rule}"),
    ("tripline_excepted_total", "firings that `unless` held back {rule}"),
    ("tripline_suppressed_total", "firings inside a suppression {rule}"),
    ("tripline_missing_key_total", "events without a grouping field {rule}"),
    ("tripline_groups", "open groups {rule}"),
    ("tripline_table_age_seconds", "time since the file of a table was changed that its rows are of {table}"),
    ("tripline_list_entries", "entries of a list that events write {list}"),
    ("tripline_evicted_total", "state given up at a bound {rule,reason}"),
    ("tripline_map_row_hits_total", "events that a map row matched {node,file,line}"),
    ("tripline_sink_rows_total", "rows by their fate {sink,outcome}"),
    ("tripline_kafka_lag", "messages between what the group has committed and the end of a partition {node,topic,partition}"),
    ("tripline_kafka_commits_total", "commits of offsets {node,outcome}"),
    ("tripline_kafka_rebalances_total", "partitions that the group gave or took {node}"),
    ("tripline_edge_bytes", "bytes waiting on an edge {from,to}"),
    ("tripline_watermark_seconds", "event time that a node has passed {node}"),
    ("tripline_epoch", "last durable epoch"),
    ("tripline_dead_letters_total", "rows and lines in the dead letter {node}"),
    ("tripline_disk_buffer_bytes", "bytes of a sink's disk buffer {node}"),
    ("tripline_epoch_seconds", "how long the last epoch was open"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_are_the_same_cell() {
        let r = Registry::default();
        r.counter("c", &[("node", "a\"b")]).increment(2);
        r.counter("c", &[("node", "a\"b")]).increment(3);
        r.gauge("g", &[]).set(1.5);
        assert_eq!(r.render(), "# TYPE c counter\nc{node=\"a\\\"b\"} 5\n# TYPE g gauge\ng 1.5\n");
        assert_eq!(r.by_label("c", "node")["a\"b"], 5);
    }
}
