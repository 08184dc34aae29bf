//! Lists: those that nothing writes are tables; of those that events write, who writes and who reads is found before anything is bound.
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use super::graph::{Family, Graph, Member};
use super::tables::{TableFile, TableReload};
use crate::component::Reload;
use crate::component::bind::{Tables, WrittenList};
use crate::config::{Data, Field, Key, Node, Options, Type};
use crate::correlate::payload::reserved;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, suggest};
use crate::expr;
use crate::limits::{LIST_ENTRIES_MAX, LIST_ROWS_MAX};
use crate::list::{Evict, List, ListSpec, Merge, Schedule, Storage};
use crate::table::{Form, Handle, Table};

/// Options of a list.
pub const LIST: &[Field] = &[
    Field::required("key", Type::Texts, "the columns that make a key"),
    Field::optional("path", Type::Text, "a CSV file of its first entries; a column `expiry` says until when one counts"),
    Field::optional("columns", Type::Map, "name: how a further value joins the one before: last, first, min, max, sum, count or set"),
    Field::optional("ttl", Type::Duration, "how long an entry lives from the write that made it; default: for ever"),
    Field::optional("sliding", Type::Bool, "every write lets its entry live `ttl` anew"),
    Field::optional("capacity", Type::Count, "entries; default 1000000, on the disk 100000000"),
    Field::optional(
        "evict",
        Type::Word(EVICT),
        "at that bound the one made first goes (default), the one not written for longest, or the new one is refused",
    ),
    Field::optional(
        "storage",
        Type::Word(STORAGE),
        "where entries are held: `memory` (default), saved with each epoch, or `disk`, in the state folder: for more than memory holds",
    ),
    Field::optional("clear", Type::Text, "moments at which what events wrote goes, as cron writes them, in UTC: `0 6 * * mon`, `@daily`"),
    Field::optional("expiry_event", Type::Bool, "an entry that comes to its end becomes an event: name `LIST.expired` in `inputs`"),
    Field::optional("per_tenant", Type::Bool, "every tenant has a list of its own; the tenant's field is a column of the file"),
];

const EVICT: &[&str] = &["oldest", "lru", "reject"];
const STORAGE: &[&str] = &["memory", "disk"];

/// The name of what keeps a list.
pub(super) fn unit_of(list: &str) -> String {
    format!("lists/{list}")
}

/// Why nobody can take an output of a list, if nobody can.
pub(super) fn report_output(name: &str, output: Option<&str>, list: &Node, place: &Place) -> Option<Diagnostic> {
    let fault = |message: String| Diagnostic::error(place, "unknown_output", message);
    if output != Some("expired") {
        let message = format!("the list `{name}` has one output, of entries that came to their end");
        return Some(fault(message).help(format!("`{name}.expired`")));
    }
    if list.get("expiry_event").and_then(Node::text).as_deref() != Some("true") {
        return Some(
            fault(format!("the list `{name}` does not say which entries came to their end")).help("`expiry_event: true` in the list"),
        );
    }
    None
}

/// The lists of a pipeline file.
#[derive(Default)]
pub(super) struct Lists {
    /// Those that nothing writes.
    pub(super) tables: Tables,
    /// Those that events write.
    pub(super) written: Vec<WrittenList>,
    /// What the files of the latter hold.
    pub(super) bases: Tables,
}

/// The list that a node writes, and where it says so.
fn written_by<'a>(member: &Member<'a>) -> Option<(String, &'a Node)> {
    let node = match member.family {
        Family::Transform if member.node.get("type").and_then(Node::text).as_deref() == Some("update_list") => member.node.get("list"),
        Family::Rule => member.node.get("write").and_then(|write| write.get("list")),
        _ => None,
    }?;
    Some((node.text()?, node))
}

/// The lists that the expressions of a node read.
fn read_by(node: &Node, out: &mut BTreeSet<String>) {
    match &node.data {
        Data::Map(entries) => entries.iter().for_each(|(_, value)| read_by(value, out)),
        Data::List(items) => items.iter().for_each(|item| read_by(item, out)),
        _ => {
            // What is no expression reads nothing; what is a bad one is told where it is bound.
            if let Some(tree) = node.text().and_then(|text| expr::parse(&text).ok()) {
                let mut found = Vec::new();
                tree.lists(&mut found);
                out.extend(found);
            }
        }
    }
}

/// Reads the lists of a file.
pub(super) fn read(
    root: &Node,
    graph: &Graph<'_>,
    tenant: Option<&str>,
    faults: &RefCell<Diagnostics>,
    reloads: &mut Vec<Box<dyn Reload>>,
) -> Lists {
    let mut out = Lists::default();
    let defined = root.get("lists").map(Node::entries).unwrap_or_default();
    let written = written_names(graph, defined, faults);
    for (name, node) in defined {
        let options = Options::new(&name.name, node, faults);
        options.check(&[LIST]);
        let Some(tenant) = tenant_of(&options, tenant) else { continue };
        let keys: Vec<String> = options.texts("key").into_iter().map(|(key, _)| key).collect();
        let columns: Vec<String> = tenant.map(str::to_owned).into_iter().chain(keys.iter().cloned()).collect();
        let form = Form::List { keys: columns.clone() };
        let file = match options.path("path") {
            None => None,
            Some((path, place)) => match TableFile::open(path, form, tenant.is_some(), &place, &options) {
                Some(read) => Some(read),
                None => continue,
            },
        };
        if written.contains(&name.name) {
            let base = file.map(|(table, _)| Handle::new(table));
            let spec = Arc::new(spec_of(&options, keys, tenant, base.as_ref().map(|handle| handle.get())));
            out.bases.extend(base.map(|base| (name.name.clone(), base)));
            let shared = Arc::new(RwLock::new(List::new(Arc::clone(&spec))));
            out.written.push(WrittenList { spec, shared });
            continue;
        }
        warn_idle(&options, file.is_some());
        let (table, file) = match file {
            Some((table, file)) => (table, Some(file)),
            None => (empty(columns, tenant.is_some()), None),
        };
        let handle = Handle::new(table);
        out.tables.insert(name.name.clone(), Arc::clone(&handle));
        reloads.extend(file.map(|file| Box::new(TableReload::new(file, handle)) as Box<dyn Reload>));
    }
    out
}

/// The lists that some node writes. Those that are not defined are told.
fn written_names(graph: &Graph<'_>, defined: &[(Key, Node)], faults: &RefCell<Diagnostics>) -> BTreeSet<String> {
    let mut written = BTreeSet::new();
    for member in graph.members.values() {
        let Some((name, node)) = written_by(member) else { continue };
        if !defined.iter().any(|(key, _)| key.name == name) {
            let fault = Diagnostic::error(&node.place, "unknown_list", format!("there is no list `{name}`"));
            faults.borrow_mut().push(fault.help(suggest(&name, defined.iter().map(|(key, _)| key.name.as_str()))));
        }
        written.insert(name);
    }
    written
}

/// The tenant's field, if the list is one for each tenant. None: it would be, but nothing separates them.
fn tenant_of<'t>(options: &Options<'_>, tenant: Option<&'t str>) -> Option<Option<&'t str>> {
    match (options.get("per_tenant").filter(|_| options.bool("per_tenant", false)), tenant) {
        (None, _) => Some(None),
        (Some(_), Some(tenant)) => Some(Some(tenant)),
        (Some(node), None) => {
            let fault = Diagnostic::error(&node.place, "no_tenant", "`per_tenant` wants to know what separates customers");
            options.fault(fault.help("name the field at the top of the file: `tenant: customer`"));
            None
        }
    }
}

/// What the options say of a list that events write.
fn spec_of(options: &Options<'_>, key: Vec<String>, tenant: Option<&str>, base: Option<Arc<Table>>) -> ListSpec {
    let storage = if options.text("storage").as_deref() == Some("disk") { Storage::Disk } else { Storage::Memory };
    ListSpec {
        name: options.name.to_owned(),
        tenant: tenant.map(str::to_owned),
        columns: columns_of(options, &key, base.clone()),
        ttl: options.duration("ttl"),
        is_sliding: options.bool("sliding", false),
        capacity: options.count("capacity").map_or(if storage == Storage::Disk { LIST_ROWS_MAX } else { LIST_ENTRIES_MAX }, |n| n as usize),
        storage,
        evict: match options.text("evict").as_deref() {
            Some("lru") => Evict::Lru,
            Some("reject") => Evict::Reject,
            _ => Evict::Oldest,
        },
        clear: clear(options),
        expiry_event: options.bool("expiry_event", false),
        base,
        key,
    }
}

fn clear(options: &Options<'_>) -> Option<Schedule> {
    let (text, place) = options.placed("clear")?;
    let fault =
        |fault: String| options.fault(Diagnostic::error(&place, "bad_value", fault).help("`0 6 * * *` is every day at six, in UTC"));
    Schedule::parse(&text).map_err(fault).ok()
}

fn empty(columns: Vec<String>, per_tenant: bool) -> Table {
    let keys = (0..columns.len()).collect();
    let (mut table, _) = Table::new(columns, keys, std::iter::empty());
    table.per_tenant = per_tenant;
    table
}

/// Says what is in vain in a list that nothing writes.
fn warn_idle(options: &Options<'_>, has_file: bool) {
    let warn = |place, message: String| {
        options.fault(
            Diagnostic::warning(place, "unwritten_list", message).help("write it with `update_list` or a rule's `write`, or take it out"),
        );
    };
    for key in ["columns", "ttl", "sliding", "capacity", "evict", "storage", "clear", "expiry_event"] {
        if let Some(node) = options.get(key) {
            warn(&node.place, format!("nothing writes `{}`: its `{key}` changes nothing", options.name));
        }
    }
    if !has_file {
        warn(options.place(), format!("nothing writes `{}` and no file fills it: it is always empty", options.name));
    }
}

/// The columns of a list beside its key: those that it declares, then what else its file has.
fn columns_of(options: &Options<'_>, keys: &[String], base: Option<Arc<Table>>) -> Vec<(String, Merge)> {
    let mut columns: Vec<(String, Merge)> = Vec::new();
    for (name, node) in options.entries("columns") {
        let word = node.text().unwrap_or_default();
        match Merge::of(&word) {
            Some(_) if keys.contains(&name.name) => {
                let fault = Diagnostic::error(&name.place, "bad_list", format!("`{}` is a part of the key", name.name));
                options.fault(fault.help("a column is beside the key"));
            }
            Some(_) if name.name == "list" && options.bool("expiry_event", false) => {
                let fault = Diagnostic::error(&name.place, "bad_list", "`list` is a field of what `expiry_event` says");
                options.fault(fault.help("give the column another name"));
            }
            Some(merge) => columns.push((name.name.clone(), merge)),
            None => {
                let fault = Diagnostic::error(&node.place, "bad_list", format!("there is no merge rule `{word}`"));
                options.fault(fault.help(suggest(&word, Merge::WORDS.iter().copied())));
            }
        }
    }
    if let Some(table) = base {
        let others =
            table.columns.iter().enumerate().filter(|(at, name)| !table.keys.contains(at) && !columns.iter().any(|(c, _)| c == *name));
        let others: Vec<(String, Merge)> = others.map(|(_, name)| (name.clone(), Merge::Last)).collect();
        columns.extend(others);
    }
    columns
}

/// Who writes and who reads a list.
#[derive(Clone, Debug)]
pub struct Readings {
    /// The list.
    pub list: String,
    /// Those who write it.
    pub writers: Vec<String>,
    /// Rules that read it, each hit as of its place in the order.
    pub in_order: Vec<String>,
    /// Transforms and sinks that read it, each event as of when it comes by.
    pub on_arrival: Vec<String>,
}

impl Readings {
    /// Those of each list.
    pub(super) fn of(graph: &Graph<'_>, written: &[WrittenList]) -> Vec<Readings> {
        let words = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let of = |list: &WrittenList| {
            let name = &list.spec.name;
            let (in_order, on_arrival) =
                readers_of(graph, name).into_iter().partition(|reader| graph.members[reader].family == Family::Rule);
            Readings {
                list: name.clone(),
                writers: words(writers_of(graph, name)),
                in_order: words(in_order),
                on_arrival: words(on_arrival),
            }
        };
        written.iter().map(of).collect()
    }
}

/// The lists among `written` that a node reads.
pub(super) fn lists_of(node: &Node, written: &[WrittenList]) -> Vec<Arc<ListSpec>> {
    let mut names = BTreeSet::new();
    read_by(node, &mut names);
    written.iter().map(|list| &list.spec).filter(|spec| names.contains(&spec.name)).cloned().collect()
}

/// Those who write a list, as they are written.
pub(super) fn writers_of<'a>(graph: &Graph<'a>, list: &str) -> Vec<&'a str> {
    let writes = |name: &&&str| written_by(&graph.members[**name]).is_some_and(|(written, _)| written == list);
    graph.order.iter().filter(writes).copied().collect()
}

/// Those who read a list, as they are written.
pub(super) fn readers_of<'a>(graph: &Graph<'a>, list: &str) -> Vec<&'a str> {
    let reads = |name: &&&str| {
        let mut found = BTreeSet::new();
        read_by(graph.members[**name].node, &mut found);
        found.contains(list)
    };
    graph.order.iter().filter(reads).copied().collect()
}

/// Leads each writer of a list to its readers. A rule may read what it writes itself where its groups are those of the list.
pub(super) fn connect(graph: &mut Graph<'_>, faults: &RefCell<Diagnostics>) {
    let written: BTreeSet<String> = graph.members.values().filter_map(written_by).map(|(name, _)| name).collect();
    for list in &written {
        let (writers, readers) = (writers_of(graph, list), readers_of(graph, list));
        // Whoever takes its ends is behind its writers, too.
        let takers = graph.consumers.get(&unit_of(list)).cloned().unwrap_or_default();
        for writer in writers {
            let member = graph.members[writer];
            if member.family == Family::Rule && readers.contains(&writer) {
                report_own_key(&member, list, faults);
            }
            let mut behind: Vec<&str> = readers.iter().copied().filter(|reader| *reader != writer && !takers.contains(reader)).collect();
            behind.extend(&takers);
            graph.consumers.insert(format!("{writer}.list {list}"), behind);
        }
    }
}

/// The key that a rule writes must be among its `by`, if it reads the list too.
fn report_own_key(member: &Member<'_>, list: &str, faults: &RefCell<Diagnostics>) {
    let by: Vec<String> = member.node.get("by").map(Node::items).unwrap_or_default().iter().filter_map(Node::text).collect();
    let key = member.node.get("write").and_then(|write| write.get("key"));
    for (column, node) in key.map(Node::entries).unwrap_or_default() {
        let tree = node.text().and_then(|text| expr::parse(&text).ok());
        let is_grouped = match tree.map(|tree| tree.node) {
            Some(expr::ast::Node::Name(name)) => by.contains(&name) || reserved(&name).is_some() && name != "count",
            Some(expr::ast::Node::Text(_)) => true,
            _ => false,
        };
        if !is_grouped {
            let message =
                format!("`{}` reads the list `{list}` that it writes, and `{}` is none of its `by`", member.key.name, column.name);
            let fault = Diagnostic::error(&node.place, "cycle", message);
            faults.borrow_mut().push(fault.help("write fields of `by`, or let another rule read the list"));
        }
    }
}
