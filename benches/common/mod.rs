//! What the benches share: interleaved runs, medians, the lines that they print, the bars, and made-up logs in the shapes of real ones.
#![allow(dead_code, unsafe_code, clippy::expect_used, clippy::disallowed_methods, clippy::too_many_arguments)] // each bench uses its part; an allocator that counts needs unsafe
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tripline::codec::format::cef_dictionary::full_name;
use tripline::codec::format::{Decoder, Subject, Wanted, WantedField};
use tripline::config::Options;
use tripline::diagnostic::{Diagnostics, SourceText};
use tripline::event::{Batch, Input, Slot};

/// Counts allocations.
pub struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

pub fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// The flags of a bench.
pub struct Bench {
    name: &'static str,
    json: bool,
    check: bool,
    pub quick: bool,
    failed: bool,
    bars: Vec<(String, f64)>,
}

/// One measure. `ratio` = reference ÷ ours, so more is better.
pub struct Measured {
    pub ours_ns: f64,
    pub reference_ns: f64,
    pub allocations: u64,
}

impl Bench {
    /// Reads the flags, and starts itself again on one core unless that is so already.
    pub fn new(name: &'static str, pinned: bool) -> Bench {
        let flags: Vec<String> = std::env::args().skip(1).collect();
        if pinned && std::env::var("TRIPLINE_PINNED").is_err() {
            let own = std::env::current_exe().expect("own path");
            let status = std::process::Command::new("taskset").args(["-c", "0"]).arg(own).args(&flags).env("TRIPLINE_PINNED", "1").status();
            if let Ok(status) = status {
                std::process::exit(status.code().unwrap_or(1));
            }
        }
        let has = |f: &str| flags.iter().any(|x| x == f);
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bars.toml")).unwrap_or_default();
        let mut bars = Vec::new();
        let mut section = String::new();
        for line in text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()) {
            if let Some(inner) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = inner.to_owned();
            } else if let Some((case, bar)) = line.split_once('=')
                && section == name
            {
                bars.push((case.trim().trim_matches('"').to_owned(), bar.trim().parse().expect("a bar is a number")));
            }
        }
        Bench { name, json: has("--json"), check: has("--check"), quick: has("--quick"), failed: false, bars }
    }

    pub fn runs(&self) -> usize {
        if self.quick { 3 } else { 7 }
    }

    /// Runs both sides in turn and takes the medians of the whole.
    pub fn interleave(&self, mut ours: impl FnMut(), mut reference: impl FnMut()) -> Measured {
        ours();
        reference();
        let (mut a, mut b, mut allocations_of) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs() {
            let before = allocations();
            let t = Instant::now();
            ours();
            a.push(t.elapsed().as_nanos() as f64);
            allocations_of.push(allocations() - before);
            let t = Instant::now();
            reference();
            b.push(t.elapsed().as_nanos() as f64);
        }
        allocations_of.sort_unstable();
        Measured { ours_ns: median(a), reference_ns: median(b), allocations: allocations_of[allocations_of.len() / 2] }
    }

    /// Prints a measure over so many events and bytes. `scale`: reference events per event of ours.
    pub fn report(&mut self, case: &str, reference: &str, events: u64, bytes: u64, m: &Measured) {
        self.report_as(case, reference, events, bytes, m, 1, None);
    }

    pub fn report_as(
        &mut self,
        case: &str,
        reference: &str,
        events: u64,
        bytes: u64,
        m: &Measured,
        threads: usize,
        instructions: Option<f64>,
    ) {
        let (ours, theirs) = (m.ours_ns / events as f64, m.reference_ns / events as f64);
        let ratio = theirs / ours;
        let bar = self.bars.iter().find(|(c, _)| c == case).map(|(_, b)| *b);
        let missed = bar.is_some_and(|b| ratio < b);
        self.failed |= missed && self.check;
        if self.json {
            let line = serde_json::json!({"bench": self.name, "case": case, "threads": threads, "events": events, "bytes": bytes, "ns_per_event": round(ours),
                "events_per_s": (1e9 / ours).round(), "bytes_per_s": (bytes as f64 / events as f64 * 1e9 / ours).round(), "reference": reference,
                "reference_ns_per_event": round(theirs), "ratio": round(ratio * 100.0) / 100.0, "runs": self.runs(),
                "allocs_per_event": round(m.allocations as f64 / events as f64 * 1000.0) / 1000.0, "instructions_per_event": instructions});
            println!("{line}");
        } else {
            let verdict = match bar {
                Some(b) if missed => format!("  MISSED {b}"),
                Some(b) => format!("  bar {b}"),
                None => String::new(),
            };
            println!(
                "{:10} {case:44} {ours:9.1} ns/event {:7.2} M/s  {reference}: {theirs:.1} ns  ratio {ratio:.3}{verdict}",
                self.name,
                1e3 / ours
            );
        }
    }

    /// Ends the bench: exit 1 below any bar, if asked.
    pub fn end(self) {
        if self.failed {
            eprintln!("{}: below a bar", self.name);
            std::process::exit(1);
        }
    }
}

fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// Nanoseconds of processor time, user and system, of the children that have ended.
pub fn cpu_of_children() -> f64 {
    const TICK: f64 = 1e7; // USER_HZ is 100 wherever Linux runs
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc of Linux");
    // proc(5): cutime and cstime are fields 16 and 17; the name, field 2, ends at the last bracket.
    let fields = stat.rsplit(')').next().expect("a line").split_ascii_whitespace().skip(13).take(2);
    fields.map(|ticks| ticks.parse::<f64>().expect("a number") * TICK).sum()
}

pub fn median(mut xs: Vec<f64>) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs[xs.len() / 2]
}

/// A small fixed generator: the same lines everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    /// Small numbers are much more common.
    pub fn skewed(&mut self, n: u64) -> u64 {
        let x = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((x * x * x) * n as f64) as u64
    }
}

/// The day of the month and the time of day of a second.
fn day_and_time(second: u64) -> (u64, String) {
    (1 + second / 86_400 % 28, format!("{:02}:{:02}:{:02}", second / 3600 % 24, second / 60 % 60, second % 60))
}

fn stamp(i: u64) -> String {
    let ms = i * 3;
    let s = ms / 1000;
    let (day, time) = day_and_time(s);
    format!("2026-03-{day:02}T{time}.{:03}Z", ms % 1000)
}

/// The fields of [`rfc5424`] lines.
pub const RFC5424_FIELDS: [&str; 14] = [
    "timestamp",
    "hostname",
    "facility",
    "severity",
    "appname",
    "procid",
    "msgid",
    "message",
    "sd.auth@32473.src",
    "sd.auth@32473.user",
    "sd.auth@32473.outcome",
    "sd.auth@32473.port",
    "sd.meta@32473.seq",
    "sd.meta@32473.env",
];

/// About 264 bytes, six header fields and structured data.
pub fn rfc5424(n: u64) -> Vec<u8> {
    let mut r = Rng(1);
    let mut out = Vec::new();
    for i in 0..n {
        let (host, user) = (r.skewed(5000), r.skewed(8000));
        let src = format!("10.{}.{}.{}", r.skewed(4), r.below(64), r.below(250));
        let outcome = if r.below(5) == 0 { "failure" } else { "success" };
        out.extend_from_slice(format!("<{}>1 {} host{host:04}.example.com sshd {} ID47 [auth@32473 src=\"{src}\" user=\"user{user:04}\" outcome=\"{outcome}\" port=\"{}\"][meta@32473 seq=\"{i:08}\" env=\"prod\"] Failed password for user{user:04} from {src} port 22 ssh2 and nothing more was said here\n", 32 + r.below(8), stamp(i), 1000 + r.below(9000), 1024 + r.below(60_000)).as_bytes());
    }
    out
}

/// A map of 1,000 rows over fields of [`rfc5424`] lines; each line hits one.
pub fn outcome_map() -> String {
    let mut map = "event.sd.auth@32473.outcome,event.appname,set.event.categoryOutcome,set.event.categoryBehavior\n".to_owned();
    map.push_str("failure,sshd,/Failure,/Authentication/Verify\nsuccess,sshd,/Success,/Authentication/Verify\n");
    (0..998).for_each(|row| map.push_str(&format!("outcome{row},app{row},/Attempt,/Access\n")));
    map
}

/// About 171 bytes, Cisco IOS over RFC 3164.
pub fn cisco(n: u64) -> Vec<u8> {
    let mut r = Rng(2);
    let mut out = Vec::new();
    for i in 0..n {
        let (day, time) = day_and_time(i / 300);
        out.extend_from_slice(format!("<189>{i}: *Mar {day:2} {time}.{:03}: %SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: user{:04}] [Source: 10.{}.{}.{}] [localport: 22] [Reason: Login Authentication Failed]\n", i % 1000, r.skewed(8000), r.skewed(4), r.below(64), r.below(250)).as_bytes());
    }
    out
}

/// About 1,433 bytes, 44 leaves in the shape of Winlogbeat.
pub fn json(n: u64) -> Vec<u8> {
    let mut r = Rng(3);
    let mut out = Vec::new();
    for i in 0..n {
        let (host, user) = (r.skewed(5000), r.skewed(8000));
        let src = format!("10.{}.{}.{}", r.skewed(4), r.below(64), r.below(250));
        out.extend_from_slice(format!(concat!(
            r#"{{"@timestamp":"{ts}","@version":"1","agent":{{"type":"winlogbeat","version":"8.13.2","hostname":"WS{host:04}","id":"d2f1c4e0-61a4-4a8f-9a3d-9d55a7b2c901"}},"ecs":{{"version":"8.0.0"}},"#,
            r#""event":{{"code":"4625","kind":"event","provider":"Microsoft-Windows-Security-Auditing","action":"logon-failed","category":["authentication"],"type":["start"],"outcome":"failure"}},"#,
            r#""host":{{"name":"WS{host:04}.corp.example.com","os":{{"family":"windows","build":"19045.3803","platform":"windows","version":"10.0","name":"Windows 10 Pro"}},"ip":["{src}","fe80::4c1f:9a2b:77de:{port:04x}"],"mac":["00-15-5D-3A-9B-11"]}},"#,
            r#""log":{{"level":"information"}},"message":"An account failed to log on.\n\nSubject:\n\tSecurity ID:\t\tS-1-0-0\n\tAccount Name:\t\t-\n\tAccount Domain:\t\t-\n\tLogon ID:\t\t0x0\n\nLogon Type:\t\t\t3\n\nAccount For Which Logon Failed:\n\tSecurity ID:\t\tS-1-0-0\n\tAccount Name:\t\tuser{user:04}\n\tAccount Domain:\t\tCORP\n\nFailure Information:\n\tFailure Reason:\t\t%%2313","source":{{"ip":"{src}","port":{port},"domain":"-"}},"user":{{"name":"user{user:04}","domain":"CORP","id":"S-1-0-0"}},"#,
            r#""winlog":{{"channel":"Security","computer_name":"WS{host:04}.corp.example.com","event_id":4625,"record_id":{i},"task":"Logon","keywords":["Audit Failure"],"process":{{"pid":{pid},"thread":{{"id":{tid}}}}},"#,
            r#""event_data":{{"LogonType":"3","Status":"0xc000006d","TargetUserName":"user{user:04}","TargetDomainName":"CORP","IpAddress":"{src}","IpPort":"{port}"}}}}}}"#, "\n"),
            ts = stamp(i), host = host, user = user, src = src, port = 1024 + r.below(60_000), pid = 600 + r.below(400), tid = r.below(9000), i = i).as_bytes());
    }
    out
}

/// About 630 bytes, CEF with 26 extensions.
pub fn cef(n: u64) -> Vec<u8> {
    let mut r = Rng(4);
    let mut out = Vec::new();
    for i in 0..n {
        let (host, user) = (r.skewed(5000), r.skewed(8000));
        out.extend_from_slice(format!(concat!(
            "CEF:0|Check Point|VPN-1 & FireWall-1|R81.20|drop-{class}|Connection to a {class} port dropped|5|rt={rt} deviceDirection=0 dvchost=fw{host:04}.example.com dvc=192.0.2.{dvc} ",
            "src=10.{a}.{b}.{c} spt={spt} smac=00:15:5d:3a:9b:11 dst=198.51.100.{d} dpt={dpt} dhost=srv{d}.example.net suser=user{user:04} sntdom=CORP proto=TCP act=Drop outcome=Failure reason=Address spoofing app=https ",
            "in={bytes_in} out={bytes_out} cnt=1 cat=Firewall request=https://srv{d}.example.net/a/b?q\\={i} msg=Packet dropped by rule {rule}, see the log of the gateway for more ",
            "cs1Label=Rule Name cs1=Cleanup rule {rule} cs2Label=Layer cs2=Network externalId={i}\n"),
            class = r.below(40), rt = 1_772_323_200_000 + i * 3, host = host, dvc = r.below(250), a = r.skewed(4), b = r.below(64), c = r.below(250), spt = 1024 + r.below(60_000),
            d = r.below(250), dpt = [22, 80, 443, 445, 3389][r.below(5) as usize], user = user, i = i, bytes_in = r.below(100_000), bytes_out = r.below(100_000), rule = r.below(400)).as_bytes());
    }
    out
}

/// An event of the container style.
pub type Event = BTreeMap<String, String>;

/// The container style: a map of owned texts for every line.
pub fn cef_map(line: &str) -> Event {
    let mut out = Event::new();
    let mut parts = line.splitn(8, '|');
    for name in ["version", "deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId", "name", "severity"] {
        out.insert(name.into(), parts.next().expect("made here").into());
    }
    let mut rest = parts.next().expect("made here");
    while let Some((key, after)) = rest.split_once('=') {
        // The value goes on to the blank before the next key.
        let end = after
            .match_indices('=')
            .find(|(at, _)| !after[..*at].ends_with('\\'))
            .map_or(after.len(), |(at, _)| after[..at].rfind(' ').unwrap_or(at));
        out.insert(key.trim_start().into(), after[..end].replace("\\=", "="));
        rest = &after[end..];
    }
    out
}

/// The fields of a line of [`cef`], as the dictionary names them.
pub fn cef_fields(line: &str) -> Vec<String> {
    let named = |key: &String| full_name(key.as_bytes()).unwrap_or(key).to_owned();
    cef_map(line).keys().filter(|key| *key != "version").map(named).collect()
}

/// About 480 bytes, 26 pairs in the shape of a FortiGate traffic log.
pub fn kv(n: u64) -> Vec<u8> {
    let mut r = Rng(5);
    let mut out = Vec::new();
    for i in 0..n {
        let (day, time) = day_and_time(i / 300);
        out.extend_from_slice(format!(concat!(
            "date=2026-03-{day:02} time={time} devname=\"fw{host:04}\" devid=\"FG100E{i:010}\" logid=\"0000000013\" type=\"traffic\" subtype=\"forward\" level=\"notice\" vd=\"root\" eventtime={t} ",
            "srcip=10.{a}.{b}.{c} srcport={spt} srcintf=\"port12\" srcintfrole=\"lan\" dstip=198.51.100.{d} dstport=443 dstintf=\"wan1\" dstintfrole=\"wan\" sessionid={i} proto=6 action=\"close\" policyid={rule} ",
            "service=\"HTTPS\" app=\"Microsoft Office Online\" sentbyte={sent} rcvdbyte={rcvd}\n"),
            day = day, time = time, host = r.skewed(5000), i = i, t = 1_772_323_200_000_000_000 + i * 3_000_000, a = r.skewed(4),
            b = r.below(64), c = r.below(250), spt = 1024 + r.below(60_000), d = r.below(250), rule = r.below(400), sent = r.below(100_000), rcvd = r.below(1_000_000)).as_bytes());
    }
    out
}

/// About 350 bytes, 34 columns in the shape of a PAN-OS traffic log, two of them quoted.
pub fn csv(n: u64) -> Vec<u8> {
    let mut r = Rng(6);
    let mut out = Vec::new();
    for i in 0..n {
        let (day, time) = day_and_time(i / 300);
        let time = format!("2026/03/{day:02} {time}");
        out.extend_from_slice(format!(
            "1,{time},0011C10{i:07},TRAFFIC,end,2305,{time},10.{}.{}.{},198.51.100.{},192.0.2.1,0.0.0.0,\"Allow outbound, web\",corp\\user{:04},,ssl,vsys1,trust,untrust,ethernet1/2,ethernet1/1,\"forward to \"\"siem\"\"\",{i},1,{},443,{},443,0x400053,tcp,allow,{},{},{},{}\n",
            r.skewed(4), r.below(64), r.below(250), r.below(250), r.skewed(8000), 1024 + r.below(60_000), 1024 + r.below(60_000), r.below(100_000), r.below(50_000), r.below(50_000), r.below(200)).as_bytes());
    }
    out
}

/// About 480 bytes, LEEF 2.0 with the pairs of [`kv`].
pub fn leef(n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for line in kv(n).split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        out.extend_from_slice(b"LEEF:2.0|Fortinet|FortiGate|7.4|13|^|");
        let mut is_quoted = false;
        for byte in line {
            match byte {
                b'"' => is_quoted = !is_quoted,
                b' ' if !is_quoted => out.push(b'^'),
                other => out.push(*other),
            }
        }
        out.push(b'\n');
    }
    out
}

/// About 190 bytes, the combined form of web servers.
pub fn web(n: u64) -> Vec<u8> {
    let mut r = Rng(7);
    let mut out = Vec::new();
    for i in 0..n {
        let (day, time) = day_and_time(i / 300);
        out.extend_from_slice(format!(
            "10.{}.{}.{} - user{:04} [{day:02}/Mar/2026:{time} +0000] \"GET /shop/item/{i}?q={} HTTP/1.1\" {} {} \"https://www.example.net/shop\" \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\"\n",
            r.skewed(4), r.below(64), r.below(250), r.skewed(8000), r.below(1000), [200, 200, 304, 404, 500][r.below(5) as usize], r.below(100_000)).as_bytes());
    }
    out
}

/// Names of all leaves of a JSON document.
pub fn leaves(line: &[u8]) -> Vec<String> {
    fn walk(prefix: &str, value: &serde_json::Value, out: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(members) => {
                members.iter().for_each(|(k, v)| walk(&if prefix.is_empty() { k.clone() } else { format!("{prefix}.{k}") }, v, out))
            }
            _ => out.push(prefix.to_owned()),
        }
    }
    let mut out = Vec::new();
    walk("", &serde_json::from_slice(line).expect("made here"), &mut out);
    out
}

/// Inputs of full batches over lines.
pub fn inputs(lines: &[u8]) -> Vec<Arc<Input>> {
    use tripline::codec::framing::newline::NewlineFraming;
    use tripline::event::builder::Positions;
    let mut out = Vec::new();
    let mut framing = NewlineFraming::default();
    let mut rest = lines;
    while !rest.is_empty() {
        let mut builder = tripline::event::BatchBuilder::default();
        builder.bytes.extend_from_slice(&rest[..rest.len().min(256 * 1024)]);
        let used = framing.mark(&mut builder, 0, 0).rest;
        builder.bytes.truncate(used);
        rest = &rest[used..];
        let base = out.len() as u64;
        out.push(Arc::new(builder.seal(Default::default(), base, Positions::Bytes, 1_772_000_000_000_000_000)));
    }
    out
}

/// What a plan wants of a decoder: these fields, in slots of their own.
pub fn wanted(names: &[String], event_time: bool) -> Wanted {
    let field = |(i, name): (usize, &String)| WantedField { name: name.clone(), slot: Slot(i as u16), base: None };
    Wanted { fields: names.iter().enumerate().map(field).collect(), event_time, ..Wanted::default() }
}

/// What a reader makes of options that are written here.
pub fn of_options<T>(text: String, read: impl FnOnce(&Options<'_>) -> Option<T>) -> T {
    let source = Arc::new(SourceText { path: "bench".into(), text });
    let mut faults = Diagnostics::default();
    let node = tripline::config::tree::parse(&source, &mut faults).expect("made here");
    let faults = std::cell::RefCell::new(faults);
    let made = read(&Options::new("bench", &node, &faults)).expect("made here");
    assert!(faults.borrow().0.is_empty(), "{:?}", faults.borrow().0);
    made
}

/// Owned texts.
pub fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// Decodes all inputs through one batch.
pub fn decode(inputs: &[Arc<Input>], decoder: &mut dyn Decoder, batch: &mut Batch, slots: usize) {
    for input in inputs {
        batch.reset(Arc::clone(input), slots);
        let rows: Vec<u16> = (0..batch.rows() as u16).collect();
        decoder.decode(batch, &rows, Subject::Line);
        assert!(batch.faults.is_empty(), "{:?}", batch.faults);
        black_box(&batch);
    }
}

/// The lines one after another, found by memchr.
pub fn per_line(lines: &[u8]) {
    let mut at = 0;
    let mut n = 0u64;
    while let Some(end) = memchr::memchr(b'\n', &lines[at..]) {
        n += black_box(&lines[at..at + end]).len() as u64;
        at += end + 1;
    }
    black_box(n);
}
