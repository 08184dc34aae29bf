//! Lists that events write, against their definition: the writes and the reads of a history, taken one after another in its order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod inside;
mod outside;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use inside::{lines, run_resharded};
use outside::{finished, folder, got, killed_after, served, text, tripline, until};
use proptest::prelude::*;
use serde_json::{Value, json};

const START: i64 = 1_760_000_000;

#[derive(Clone, Debug)]
struct Event {
    time: i64,
    source: &'static str,
    kind: &'static str,
    ip: u8,
    n: i64,
}

/// What a rule said: itself, the address, the time, the count, and what the list held.
type Said = (&'static str, String, i64, i64, Option<i64>);

/// A list as one would keep it by hand: when an entry ends, and its column.
#[derive(Default)]
struct Kept(BTreeMap<u8, (i64, i64)>);

impl Kept {
    fn at(&self, ip: u8, time: i64) -> Option<i64> {
        self.0.get(&ip).filter(|(end, _)| *end > time).map(|(_, n)| *n)
    }
}

/// The alerts of a history, by scanning it once.
fn scan(events: &[Event], ttl: i64, sliding: bool, clear: bool) -> Vec<Said> {
    let mut said = Vec::new();
    let (mut seen, mut marked, mut told) = (Kept::default(), Kept::default(), Kept::default());
    let mut hits: Vec<(u8, i64)> = Vec::new();
    let minute = |time: i64| ((START + time) / 60 + 1) * 60 - START;
    let end_of = |time: i64| (time + ttl).min(if clear { minute(time) } else { i64::MAX });
    // An entry that is over, as a rule says it.
    let ended = |ip: u8, (end, n): (i64, i64)| ("ended", format!("ip{ip}"), end, 1, Some(n));
    // Firings of `w` count as coming from a source of that name: behind `a` and `b`.
    let mut marks: Vec<(i64, u8)> = Vec::new();
    for e in events {
        let due: Vec<(i64, u8)> = marks.iter().copied().filter(|(time, _)| *time < e.time).collect();
        marks.retain(|(time, _)| *time >= e.time);
        for (_, ip) in due {
            marked.0.insert(ip, (i64::MAX, 0));
        }
        let name = format!("ip{}", e.ip);
        match e.kind {
            "hit" => {
                if let Some(n) = seen.at(e.ip, e.time) {
                    hits.push((e.ip, e.time));
                    let count = hits.iter().filter(|(ip, time)| *ip == e.ip && *time > e.time - 20).count() as i64;
                    if count >= 2 && n != 3 {
                        said.push(("r", name.clone(), e.time, count, Some(n)));
                    }
                }
                if marked.at(e.ip, e.time).is_some() {
                    said.push(("q", name.clone(), e.time, 1, None));
                }
                if told.at(e.ip, e.time).is_none() {
                    said.push(("once", name.clone(), e.time, 1, None));
                    told.0.insert(e.ip, (e.time + 30, 0));
                }
            }
            "put" => {
                let old = seen.0.remove(&e.ip);
                said.extend(old.filter(|(end, _)| *end <= e.time).map(|old| ended(e.ip, old)));
                let (end, before) = old.filter(|(end, _)| *end > e.time).unwrap_or((end_of(e.time), i64::MIN));
                let end = if sliding { end_of(e.time) } else { end };
                seen.0.insert(e.ip, (end, before.max(e.n)));
            }
            "del" => {
                let old = seen.0.remove(&e.ip).filter(|(end, _)| *end <= e.time);
                said.extend(old.map(|old| ended(e.ip, old)));
            }
            _ => {
                said.push(("w", name, e.time, 1, None));
                marks.push((e.time, e.ip));
            }
        }
    }
    let last = events.iter().map(|e| e.time).max().unwrap_or(0);
    said.extend(seen.0.into_iter().filter(|(_, (end, _))| *end <= last).map(|(ip, old)| ended(ip, old)));
    said.sort();
    said
}

fn write_pipeline(folder: &Path, lateness: i64, ttl: i64, sliding: bool, clear: bool, storage: &str) {
    let clear = if clear { ", clear: '* * * * *'" } else { "" };
    let source = |n: &str| {
        format!("  {n}: {{type: file, paths: [{n}.log], format: json, time: {{field: ts, format: epoch_s, lateness: {lateness}s}}}}\n")
    };
    let yaml = format!(
        "barrier: {{interval: 1ms}}
sources:
{}{}lists:
  seen: {{key: [ip], columns: {{n: max}}, ttl: {ttl}s, sliding: {sliding}, expiry_event: true, storage: {storage}{clear}}}
  marked: {{key: [ip], storage: {storage}}}
  told: {{key: [ip, rule], ttl: 30s, storage: {storage}}}
transforms:
  puts: {{type: filter, inputs: [a, b], where: 'kind == \"put\"'}}
  put: {{type: update_list, inputs: [puts], list: seen, key: {{ip: ip}}, set: {{n: n}}}}
  dels: {{type: filter, inputs: [a, b], where: 'kind == \"del\"'}}
  del: {{type: update_list, inputs: [dels], list: seen, key: {{ip: ip}}, remove: true}}
correlations:
  r:
    type: threshold
    inputs: [a, b]
    where: 'kind == \"hit\" && in_list(\"seen\", ip)'
    by: [ip]
    within: 20s
    count: 2
    trigger: every
    unless: 'lookup(\"seen\", \"n\", ip) == 3'
    alert: {{fields: {{n: 'lookup(\"seen\", \"n\", ip)'}}}}
  w: {{type: threshold, inputs: [a, b], where: 'kind == \"mark\"', by: [ip], within: 1s, count: 1, trigger: every, write: {{list: marked, key: {{ip: ip}}}}}}
  q: {{type: threshold, inputs: [a, b], where: 'in_list(\"marked\", ip) && kind == \"hit\"', by: [ip], within: 1ms, count: 1, trigger: every}}
  once:
    type: threshold
    inputs: [a, b]
    where: 'kind == \"hit\"'
    by: [ip]
    within: 1ms
    count: 1
    trigger: every
    unless: 'in_list(\"told\", ip, rule)'
    write: {{list: told, key: {{ip: ip, rule: rule}}}}
  ended: {{type: threshold, inputs: [seen.expired], by: [ip], within: 1ms, count: 1, trigger: every, alert: {{fields: {{n: n}}}}}}
sinks: {{o: {{type: file, inputs: [r, w, q, once, ended], path: out.ndjson}}}}
",
        source("a"),
        source("b")
    );
    fs::write(folder.join("pipeline.yaml"), yaml).unwrap();
}

fn said(folder: &Path) -> Vec<Said> {
    let alert = |a: &Value| {
        let name = ["r", "w", "q", "once", "ended"].into_iter().find(|n| a["rule"]["id"] == *n).unwrap();
        let time: jiff::Timestamp = a["time"].as_str().unwrap().parse().unwrap();
        let count = a["count"].as_i64().unwrap();
        // Several hits of one time stand in one window of a millisecond: which of them fires is what is asked.
        let count = if name == "r" { count } else { count.min(1) };
        (name, a["key"]["ip"].as_str().unwrap().to_owned(), time.as_second() - START, count, a["n"].as_i64())
    };
    let mut out: Vec<Said> = lines(&folder.join("out.ndjson")).iter().map(alert).collect();
    out.sort();
    out
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let kind = prop_oneof![4 => Just("hit"), 3 => Just("put"), 1 => Just("del"), 1 => Just("mark")];
    let event = (0i64..90, prop_oneof![Just("a"), Just("b")], kind, 0u8..3, 1i64..5);
    prop::collection::vec(event, 1..90)
        .prop_map(|all| all.into_iter().map(|(time, source, kind, ip, n)| Event { time, source, kind, ip, n }).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2000, ..ProptestConfig::default() })]
    #[test]
    fn rules_see_what_was_written_before_them(
        events in events(), late in prop::collection::vec(0i64..1000, 90), lateness in 0i64..6, ttl in 1i64..60, sliding in any::<bool>(), clear in any::<bool>(),
        storage in prop_oneof![Just("memory"), Just("disk")], shards in prop::collection::vec(1usize..6, 1..4), workers in 1usize..4, stops in prop::collection::vec(1usize..4, 0..3))
    {
        let folder = tempfile::tempdir().unwrap();
        write_pipeline(folder.path(), lateness, ttl, sliding, clear, storage);
        // Lines stand in a file in the order in which they arrive.
        let mut arrived: Vec<(i64, &Event)> = events.iter().zip(&late).map(|(e, late)| (e.time * 1000 + late * lateness * 999 / 1000, e)).collect();
        arrived.sort_by_key(|(at, _)| *at);
        let mut ordered = Vec::new();
        for name in ["a", "b"] {
            let of_file: Vec<&Event> = arrived.iter().map(|(_, e)| *e).filter(|e| e.source == name).collect();
            let line = |e: &&Event| format!("{}\n", json!({"ts": START + e.time, "kind": e.kind, "ip": format!("ip{}", e.ip), "n": e.n}));
            fs::write(folder.path().join(format!("{name}.log")), of_file.iter().map(line).collect::<String>()).unwrap();
            ordered.extend(of_file.into_iter().enumerate().map(|(at, e)| ((e.time, name, at), e.clone())));
        }
        ordered.sort_by_key(|(place, _)| *place);
        let history: Vec<Event> = ordered.into_iter().map(|(_, e)| e).collect();
        run_resharded(folder.path(), &shards, workers, &stops);
        prop_assert_eq!(said(folder.path()), scan(&history, ttl, sliding, clear));
    }
}

/// Runs what stands in a folder, after lines were added to a file of it.
fn fed(folder: &Path, file: &str, lines: &[Value]) -> Vec<Value> {
    let old = fs::read_to_string(folder.join(file)).unwrap_or_default();
    fs::write(folder.join(file), lines.iter().fold(old, |text, line| format!("{text}{line}\n"))).unwrap();
    finished(folder, &["--until-end"]);
    inside::lines(&folder.join("out.ndjson"))
}

#[test]
fn a_list_outlives_a_run_and_transforms_read_it_as_events_come_by() {
    ["memory", "disk"].into_iter().for_each(outlives_a_run);
}

fn outlives_a_run(storage: &str) {
    let f = folder(
        &"sources:
  a: {type: file, paths: [a.log], format: json, time: {field: ts, format: epoch_s}}
  b: {type: file, paths: [b.log], format: json, time: {field: ts, format: epoch_s}}
lists:
  known: {key: [ip], path: known.csv, columns: {seen: count, users: set}, ttl: 10s, sliding: true, storage: STORAGE}
transforms:
  learn: {type: update_list, inputs: [a], list: known, key: {ip: ip}, set: {users: user, note: '\"seen\"'}}
  forget: {type: filter, inputs: [a], where: 'user == \"nobody\"'}
  away: {type: update_list, inputs: [forget], list: known, key: {ip: ip}, remove: true}
  wanted: {type: filter, inputs: [b], where: 'in_list(\"known\", ip)'}
  told: {type: set, inputs: [wanted], fields: {seen: 'lookup(\"known\", \"seen\", ip)', users: 'lookup(\"known\", \"users\", ip)', note: 'lookup(\"known\", \"note\", ip)'}}
sinks: {o: {type: file, inputs: [told], path: out.ndjson}}
"
        .replace("STORAGE", storage),
    );
    fs::write(f.path().join("known.csv"), "ip,note,expiry\n10.0.0.1,ours,\n10.0.0.2,old,2025-10-09\n10.0.0.3,gone,\n").unwrap();
    let at = |t: i64, ip: &str, user: &str| json!({"ts": START + t, "ip": ip, "user": user});
    fs::write(f.path().join("b.log"), "").unwrap();
    let writes = [
        at(0, "10.0.0.1", "ada"),
        at(0, "10.0.0.9", "bob"),
        at(1, "10.0.0.9", "eve"),
        at(2, "10.0.0.3", "nobody"),
        at(5, "10.0.0.9", "bob"),
    ];
    assert!(fed(f.path(), "a.log", &writes).is_empty());
    // 1760000000 lies on 2025-10-09: the day counts to its end.
    let reads = [
        at(6, "10.0.0.1", "x"),
        at(6, "10.0.0.2", "x"),
        at(6, "10.0.0.3", "x"),
        at(14, "10.0.0.9", "x"),
        at(15, "10.0.0.9", "x"),
        at(90_000, "10.0.0.2", "x"),
    ];
    let out = fed(f.path(), "b.log", &reads);
    let got: Vec<Value> = out.iter().map(|e| json!([e["ip"], e["seen"], e["users"], e["note"]])).collect();
    let want =
        [json!(["10.0.0.1", 1, ["ada"], "seen"]), json!(["10.0.0.2", null, null, "old"]), json!(["10.0.0.9", 3, ["bob", "eve"], "seen"])];
    assert_eq!(got, want);
}

#[test]
fn exceptions_end_and_belong_to_a_customer() {
    let f = folder(
        "tenant: customer
sources: {a: {type: file, paths: [a.log], format: json, time: {field: ts, format: rfc3339}}}
lists:
  exceptions: {key: [user], path: exceptions.csv, per_tenant: true}
  bound: {key: [rule], path: bound.csv, per_tenant: true}
correlations:
  r:
    type: threshold
    inputs: [a]
    by: [user]
    within: 1s
    count: 'lookup(\"bound\", \"n\", rule)'
    trigger: every
    unless: 'in_list(\"exceptions\", user)'
sinks: {o: {type: file, inputs: [r], path: out.ndjson}}
",
    );
    fs::write(
        f.path().join("exceptions.csv"),
        "customer,user,owner,expiry\nacme,ada,me,2026-01-02\nacme,bob,me,2026-01-01T12:00:00Z\n,ada,me,\n",
    )
    .unwrap();
    fs::write(f.path().join("bound.csv"), "customer,rule,n\nacme,r,1\nbeta,r,1\n,r,1\n").unwrap();
    let at = |time: &str, customer: Value, user: &str| json!({"ts": time, "customer": customer, "user": user});
    let out = fed(
        f.path(),
        "a.log",
        &[
            at("2026-01-01T11:59:59Z", json!("acme"), "bob"),
            at("2026-01-01T12:00:00Z", json!("acme"), "bob"),
            at("2026-01-02T23:59:59Z", json!("acme"), "ada"),
            at("2026-01-03T00:00:00Z", json!("acme"), "ada"),
            at("2026-01-03T00:00:01Z", json!("beta"), "ada"),
            at("2026-01-03T00:00:02Z", Value::Null, "ada"),
        ],
    );
    let got: Vec<String> = out
        .iter()
        .map(|a| format!("{} {} {}", a["tenant"].as_str().unwrap(), a["key"]["user"].as_str().unwrap(), a["time"].as_str().unwrap()))
        .collect();
    assert_eq!(got, ["acme bob 2026-01-01T12:00:00Z", "acme ada 2026-01-03T00:00:00Z", "beta ada 2026-01-03T00:00:01Z"]);
    fs::write(f.path().join("exceptions.csv"), "customer,user,expiry\nacme,ada,soon\n").unwrap();
    let words = text(&tripline(f.path(), &["check", "."]).stdout);
    assert!(words.contains("exceptions.csv:2:10: error[bad_expiry]: `soon` is no time"), "{words}");
}

#[test]
fn an_entry_that_comes_to_its_end_becomes_an_event_once() {
    ["memory", "disk"].into_iter().for_each(ends_once);
}

fn ends_once(storage: &str) {
    let f = folder(
        &"tenant: customer
sources: {a: {type: file, paths: [a.log], format: json, time: {field: ts, format: rfc3339}}}
lists:
  leases:
    {key: [ip], path: leases.csv, columns: {hosts: set, n: count, top: max}, ttl: 1h, sliding: true, clear: '0 13 * * *', per_tenant: true, expiry_event: true, storage: STORAGE}
transforms:
  puts: {type: filter, inputs: [a], where: has(host)}
  lease: {type: update_list, inputs: [puts], list: leases, key: {ip: ip}, set: {hosts: host, top: size}}
sinks: {o: {type: file, inputs: [leases.expired], path: out.ndjson}}
"
        .replace("STORAGE", storage),
    );
    fs::write(f.path().join("leases.csv"), "customer,ip,note,expiry\nacme,10.0.0.1,router,2026-01-01T10:30:00Z\nacme,10.0.0.2,printer,\n")
        .unwrap();
    let at = |time: &str, ip: &str, host: &str, size: i64| json!({"ts": time, "customer": "acme", "ip": ip, "host": host, "size": size});
    let nothing = |time: &str| json!({"ts": time, "customer": "acme"});
    let out = fed(
        f.path(),
        "a.log",
        &[
            at("2026-01-01T10:00:00Z", "10.0.0.8", "h1", 3),
            at("2026-01-01T10:59:59Z", "10.0.0.8", "h2", 7),
            at("2026-01-01T11:30:00Z", "10.0.0.9", "\"", 1),
            nothing("2026-01-01T11:59:58Z"),
        ],
    );
    let router = json!({"list": {"name": "leases", "expired": "2026-01-01T10:30:00Z"}, "customer": "acme", "ip": "10.0.0.1", "note": "router", "expiry": "2026-01-01T10:30:00Z"});
    assert_eq!(out, [router]);
    // What was said is not said again by the next run.
    let out = fed(
        f.path(),
        "a.log",
        &[nothing("2026-01-01T12:45:00Z"), at("2026-01-01T12:50:00Z", "10.0.0.7", "h3", 2), nothing("2026-01-01T13:00:00Z")],
    );
    let lease = |times: [&str; 3], ip: &str, hosts: Value, n: u64, top: u64| json!({"list": {"name": "leases", "created": times[0], "written": times[1], "expired": times[2]}, "customer": "acme", "ip": ip, "hosts": hosts, "n": n, "top": top});
    let want = [
        lease(["2026-01-01T10:00:00Z", "2026-01-01T10:59:59Z", "2026-01-01T11:59:59Z"], "10.0.0.8", json!(["h1", "h2"]), 2, 7),
        lease(["2026-01-01T11:30:00Z", "2026-01-01T11:30:00Z", "2026-01-01T12:30:00Z"], "10.0.0.9", json!(["\""]), 1, 1),
        lease(["2026-01-01T12:50:00Z", "2026-01-01T12:50:00Z", "2026-01-01T13:00:00Z"], "10.0.0.7", json!(["h3"]), 1, 2),
    ];
    assert_eq!(out[1..], want);
}

#[test]
fn what_a_list_holds_can_be_taken_out_and_put_in() {
    ["memory", "disk"].into_iter().for_each(taken_out_and_put_in);
}

fn taken_out_and_put_in(storage: &str) {
    let sources = "tenant: customer
sources: {a: {type: file, paths: [a.log], format: json, time: {field: ts, format: rfc3339}}}
";
    let list = format!("{{key: [ip], columns: {{hosts: set, n: count}}, ttl: 1h, per_tenant: true, path: known.csv, storage: {storage}}}");
    let out = folder(&format!(
        "{sources}lists: {{known: {list}}}
transforms: {{put: {{type: update_list, inputs: [a], list: known, key: {{ip: ip}}, set: {{hosts: host}}}}}}
sinks: {{o: {{type: file, inputs: [put], path: out.ndjson}}}}
"
    ));
    fs::write(out.path().join("known.csv"), "customer,ip,note\nacme,10.0.0.9,\"a \"\"printer\"\"\"\n").unwrap();
    let line = |ip: &str, host: &str| format!("{}\n", json!({"ts": "2026-01-01T10:00:00Z", "customer": "acme", "ip": ip, "host": host}));
    fs::write(out.path().join("a.log"), line("10.0.0.1", "h1") + &line("10.0.0.1", "h,2") + &line("10.0.0.2", "h3")).unwrap();
    let (mut child, admin) = served(out.path());
    let get = |path: &str| got(&admin, path);
    until("the writes", || get("/lists/known").lines().count() > 7);
    let reply = get("/lists/known");
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("text/csv"), "{head}");
    let mut rows: Vec<&str> = body.lines().collect();
    rows[1..].sort_unstable();
    let want = [
        "customer,ip,hosts,n,note,expiry",
        "acme,10.0.0.1,\"[\"\"h1\"\",\"\"h,2\"\"]\",2,,2026-01-01T11:00:00Z",
        "acme,10.0.0.2,\"[\"\"h3\"\"]\",1,,2026-01-01T11:00:00Z",
        "acme,10.0.0.9,,,\"a \"\"printer\"\"\",",
    ];
    assert_eq!(rows, want);
    assert!(get("/lists/unknown").starts_with("HTTP/1.1 404"));
    child.kill().and_then(|()| child.wait()).unwrap();

    // Another pipeline begins with it.
    let back = folder(&format!(
        "{sources}lists: {{known: {list}}}
transforms:
  put: {{type: update_list, inputs: [a], list: known, key: {{ip: ip}}, set: {{hosts: host}}}}
correlations:
  r:
    type: threshold
    inputs: [a]
    by: [ip]
    within: 1s
    count: 1
    trigger: every
    alert: {{fields: {{hosts: 'lookup(\"known\", \"hosts\", ip)', n: 'lookup(\"known\", \"n\", ip)', note: 'lookup(\"known\", \"note\", ip)'}}}}
sinks: {{o: {{type: file, inputs: [r], path: out.ndjson}}, p: {{type: drop, inputs: [put]}}}}
"
    ));
    fs::write(back.path().join("known.csv"), body).unwrap();
    let at = |time: &str, ip: &str| json!({"ts": time, "customer": "acme", "ip": ip, "host": "h4"});
    let out = fed(
        back.path(),
        "a.log",
        &[
            at("2026-01-01T10:30:00Z", "10.0.0.1"),
            at("2026-01-01T10:30:01Z", "10.0.0.1"),
            at("2026-01-01T10:30:02Z", "10.0.0.9"),
            at("2026-01-01T11:00:00Z", "10.0.0.2"),
        ],
    );
    let got: Vec<Value> = out.iter().map(|a| json!([a["hosts"], a["n"], a["note"]])).collect();
    let want = [
        json!([["h1", "h,2"], "2", null]),
        json!([["h1", "h,2", "h4"], 3, null]),
        json!([null, null, "a \"printer\""]),
        json!([null, null, null]),
    ];
    assert_eq!(got, want);
}

#[test]
fn faults_of_lists_are_told_at_once() {
    let f = folder(
        "sources: {a: {type: file, paths: [a.log], format: json, time: {field: ts, format: epoch_s}}}
lists:
  l: {key: [ip, user], columns: {n: most, ip: last, c: count}, evict: random, per_tenant: true}
  m: {key: [ip], columns: {n: max, c: count}}
  idle: {key: [ip], ttl: 1h, storage: disk}
  again: {key: [ip], columns: {list: last}, clear: '61 * * * *', expiry_event: true}
transforms:
  u: {type: update_list, inputs: [a], list: m, key: {user: user}, set: {n: n, c: n, nn: n}, remove: true}
  v: {type: update_list, inputs: [a], list: mm, key: {ip: ip}}
  f: {type: filter, inputs: [r], where: 'in_list(\"m\", ip, user)'}
  w: {type: update_list, inputs: [x], list: m, key: {ip: ip}}
  x: {type: filter, inputs: [y], where: 'true'}
  e: {type: update_list, inputs: [again.expired], list: again, key: {ip: ip}}
  g: {type: filter, inputs: [m.expired, n.expired, again.ended], where: 'true'}
correlations:
  r: {type: threshold, inputs: [a], by: [ip], within: 1s, count: 1, write: {list: m, key: {ip: ip, user: user}}}
  y: {type: threshold, inputs: [a], by: [ip], within: 1s, count: 1, where: 'lookup(\"m\", \"nn\", ip) == 1'}
  z: {type: threshold, inputs: [a], by: [user], within: 1s, count: 1, unless: 'in_list(\"m\", ip)', write: {list: m, key: {ip: ip}}}
sinks: {o: {type: drop, inputs: [u, v, f, w, r, y, z]}}
",
    );
    fs::write(f.path().join("a.log"), "").unwrap();
    let out = tripline(f.path(), &["check", "."]);
    assert_eq!(out.status.code(), Some(2));
    let words = text(&out.stdout) + &text(&out.stderr);
    for want in [
        ":3:91: error[no_tenant]: `per_tenant` wants to know what separates customers",
        ":3:71: error[wrong_type]: `evict` wants one of oldest, lru, reject, not `random`",
        ":5:26: warning[unwritten_list]: nothing writes `idle`: its `ttl` changes nothing",
        ":5:9: warning[unwritten_list]: nothing writes `idle` and no file fills it: it is always empty",
        ":5:39: warning[unwritten_list]: nothing writes `idle`: its `storage` changes nothing",
        ":8:53: error[bad_write]: `key` lacks `ip`",
        ":8:54: error[bad_write]: `user` is no part of the key of `m`",
        ":8:79: error[bad_write]: `c` counts by itself",
        ":8:85: error[bad_write]: `m` has no column `nn`",
        ":8:72: error[bad_write]: what is taken away has no values to set",
        ":9:45: error[unknown_list]: there is no list `mm`",
        ":10:50: error[bad_expression]: list `m` has a key of 1 columns, not 2",
        "`user` is no part of the key of `m`",
        "error[bad_expression]: list `m` has no column `nn`",
        "error[cycle]: `z` reads the list `m` that it writes, and `ip` is none of its `by`",
        ":6:32: error[bad_list]: `list` is a field of what `expiry_event` says",
        ":6:53: error[bad_value]: `61` is no minute from 0 to 59",
        "error[unknown_output]: the list `m` does not say which entries came to their end",
        "error[unknown_input]: there is no node `n` to take events from",
        "error[unknown_output]: the list `again` has one output, of entries that came to their end",
        "error[cycle]: `e` takes events that come from itself: e\n",
        "error[cycle]: `w` takes events that come from itself: w → x → y → z\n",
    ] {
        assert!(words.contains(want), "{want}\n{words}");
    }
}

#[test]
fn explain_says_who_reads_what_and_how() {
    let f = folder(
        "sources: {a: {type: generate, kind: json, count: 1}}
lists: {m: {key: [ip]}}
transforms:
  u: {type: update_list, inputs: [a], list: m, key: {ip: ip}}
  f: {type: filter, inputs: [a], where: 'in_list(\"m\", ip)'}
correlations: {r: {type: threshold, inputs: [a], by: [ip], within: 1s, count: 1, where: 'in_list(\"m\", ip)'}}
sinks: {o: {type: drop, inputs: [f, r]}}
",
    );
    let out: Value = serde_json::from_str(&text(&tripline(f.path(), &["explain", ".", "--json"]).stdout)).unwrap();
    assert_eq!(out["lists"], json!([{"name": "m", "written_by": ["u"], "read_in_order_by": ["r"], "read_on_arrival_by": ["f"]}]));
    let words = text(&tripline(f.path(), &["explain", "."]).stdout);
    assert!(words.contains("written by u  read in order by r  on arrival by f"), "{words}");
    let picture = text(&tripline(f.path(), &["graph", "."]).stdout);
    assert!(picture.contains("n_u -->|list m| n_r"), "{picture}");
}

#[test]
fn what_is_on_the_disk_outlives_a_kill() {
    let pipeline = |columns: &str| {
        format!(
            "barrier: {{interval: 20ms}}
sources: {{a: {{type: file, paths: [a.log], format: json, time: {{field: ts, format: epoch_s}}, follow: false}}}}
lists:
  seen: {{key: [ip], columns: {{{columns}}}, ttl: 365d, sliding: true, capacity: 20000, evict: lru, storage: disk}}
transforms:
  learn: {{type: update_list, inputs: [a], list: seen, key: {{ip: ip}}}}
correlations:
  again: {{type: threshold, inputs: [a], where: 'lookup(\"seen\", \"n\", ip) == 2', by: [ip], within: 1s, count: 1, trigger: every}}
sinks: {{o: {{type: file, inputs: [again], path: out.ndjson}}}}
"
        )
    };
    let mut order = 1u64;
    let mut lines = String::new();
    for n in 0..150_000 {
        // Two of three come back now and then, the others never.
        order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let ip = if n % 3 == 0 { 1_000_000 + n } else { (order >> 33) % 15_000 };
        lines.push_str(&format!("{{\"ts\":{},\"ip\":\"ip{ip}\"}}\n", START + n as i64));
    }
    let said = |kills: &[u64]| {
        let f = folder(&pipeline("n: count, last: max"));
        fs::write(f.path().join("a.log"), &lines).unwrap();
        killed_after(f.path(), kills);
        finished(f.path(), &[]);
        let alerts = inside::lines(&f.path().join("out.ndjson"));
        let mut ids: Vec<String> = alerts.iter().map(|a| a["alert"]["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        (ids, f)
    };
    let (want, _) = said(&[]);
    assert!(want.len() > 10_000, "{}", want.len());
    let (got, f) = said(&[150, 250, 350, 150, 300]);
    assert_eq!(got, want);
    // A list of other columns is another list: the rows of the one before are gone.
    let size = || {
        let files = fs::read_dir(f.path().join(".tripline/store/keyspaces")).unwrap();
        files.count()
    };
    let before = size();
    fs::write(f.path().join("pipeline.yaml"), pipeline("n: count")).unwrap();
    finished(f.path(), &[]);
    assert_eq!(size(), before);
}
