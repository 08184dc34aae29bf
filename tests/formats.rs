//! Formats from outside: lines in the shapes that vendors document, and hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod outside;

use std::fs;
use std::sync::Arc;

use outside::{folder, said, text, tripline};
use proptest::prelude::*;
use serde_json::{Value, json};
use tripline::codec::format::cef::{CefDecoder, Dialect};
use tripline::codec::format::csv::{CsvDecoder, CsvOptions};
use tripline::codec::format::grok;
use tripline::codec::format::kv::{KvDecoder, KvOptions};
use tripline::codec::format::syslog::{Structured, SyslogDecoder};
use tripline::codec::format::time::TimeRule;
use tripline::codec::format::{Decoder, Subject, Wanted, WantedField};
use tripline::event::{Batch, Input, Slot};

/// The events that lines become under a format, as the file sink writes them.
fn decode(format: &str, lines: &[&str]) -> Vec<Value> {
    let pipeline = format!(
        "sources: {{a: {{type: file, paths: [in.log], follow: false, original: false, format: {format}}}}}\nsinks: {{o: {{type: file, inputs: [a], path: out.ndjson, meta: true}}}}\n"
    );
    let folder = folder(&pipeline);
    fs::write(folder.path().join("in.log"), lines.join("\n") + "\n").unwrap();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let text = fs::read_to_string(folder.path().join("out.ndjson")).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

fn time(event: &mut Value) -> String {
    event.as_object_mut().unwrap().remove("tripline").unwrap()["time"].as_str().unwrap().to_owned()
}

#[test]
fn cef_in_the_shapes_of_its_guide() {
    let lines = [
        r"CEF:0|Security|threat\|manager|1.0|100|worm \\ stopped|10|src=10.0.0.1 dst=2.1.2.2 spt=1232 msg=a b\=c d=e\nnext cs1Label=Rule Name cs1=x rt=1700000000000",
        r"<134>Jan  2 03:04:05 fw1 CEF:0|V|P|1|2|n|Low|act=blocked a \| b request=http://x/?a=1&b=2 in=7 ownKey=own",
        "CEF:0|too|short",
        "CEF:1|V|P|1|2|n|3|",
    ];
    let mut got = decode("cef", &lines);
    assert_eq!(time(&mut got[0]), "2023-11-14T22:13:20Z");
    assert_eq!(
        got[0],
        json!({"deviceVendor": "Security", "deviceProduct": "threat|manager", "deviceVersion": "1.0", "deviceEventClassId": "100", "name": "worm \\ stopped", "severity": "10",
            "sourceAddress": "10.0.0.1", "destinationAddress": "2.1.2.2", "sourcePort": "1232", "message": "a b=c", "d": "e\nnext",
            "deviceCustomString1Label": "Rule Name", "deviceCustomString1": "x", "deviceReceiptTime": "1700000000000"})
    );
    assert_eq!(
        (&got[1]["deviceAction"], &got[1]["requestUrl"], &got[1]["bytesIn"], &got[1]["ownKey"]),
        (&json!("blocked a | b"), &json!("http://x/?a=1&b=2"), &json!("7"), &json!("own"))
    );
    assert_eq!((&got[2]["message"], &got[2]["tags"]), (&json!("CEF:0|too|short"), &json!(["decode_failed"])));
    assert_eq!((&got[3]["severity"], got[3].get("message")), (&json!("3"), None));
}

#[test]
fn cef_behind_syslog() {
    let got = decode("[syslog, cef]", &["<134>Jan  2 03:04:05 fw1 CEF:0|V|P|1|2|n|3|src=10.0.0.1 msg=hello world"]);
    assert_eq!(
        (&got[0]["hostname"], &got[0]["sourceAddress"], &got[0]["message"]),
        (&json!("fw1"), &json!("10.0.0.1"), &json!("hello world"))
    );
}

#[test]
fn leef_of_both_versions() {
    let lines = [
        "LEEF:1.0|Microsoft|MSExchange|2016|15345|src=10.0.0.1\tusrName=joe black\tdevTime=1700000000000",
        "LEEF:2.0|V|P|1|7|x5E|src=10.0.0.2^sev=5",
        "LEEF:2.0|V|P|1|7|^|src=10.0.0.3^sev=6",
    ];
    let mut got = decode("leef", &lines);
    assert_eq!(time(&mut got[0]), "2023-11-14T22:13:20Z");
    assert_eq!(got[0]["usrName"], "joe black");
    assert_eq!((&got[1]["src"], &got[1]["sev"], &got[1]["deviceEventClassId"]), (&json!("10.0.0.2"), &json!("5"), &json!("7")));
    assert_eq!((&got[2]["src"], &got[2]["sev"]), (&json!("10.0.0.3"), &json!("6")));
}

#[test]
fn key_value_pairs_with_quotes() {
    let mut got = decode("kv", &[r#"date=2026-01-02 devname="FGT 60" path="C:\dir \"x\"" empty= word a=1 a=2"#, "no pairs here"]);
    time(&mut got[0]);
    assert_eq!(got[0], json!({"date": "2026-01-02", "devname": "FGT 60", "path": "C:\\dir \"x\"", "empty": "", "a": "2"}));
    assert_eq!(got[1]["tags"], json!(["decode_failed"]));
    let mut got = decode("{type: kv, separator: ';', assign: ':'}", &["user: joe ;host:a b"]);
    time(&mut got[0]);
    assert_eq!(got[0], json!({"user": " joe ", "host": "a b"}));
}

#[test]
fn container_logs_with_parts() {
    let lines = [
        "2026-01-02T03:04:05.5Z stdout F {\"level\":\"info\"}",
        "2026-01-02T03:04:06Z stderr P one, ",
        "2026-01-02T03:04:06.1Z stderr P two, ",
        "2026-01-02T03:04:07Z stderr F three",
        "2026-01-02T03:04:08Z stdout P lost",
        "not of a container",
    ];
    let mut got = decode("cri", &lines);
    assert_eq!(time(&mut got[0]), "2026-01-02T03:04:05.5Z");
    assert_eq!(
        got[0],
        json!({"timestamp": "2026-01-02T03:04:05.5Z", "stream": "stdout", "logtag": "F", "message": "{\"level\":\"info\"}"})
    );
    time(&mut got[1]);
    assert_eq!(got[1], json!({"timestamp": "2026-01-02T03:04:06Z", "stream": "stderr", "logtag": "F", "message": "one, two, three"}));
    assert_eq!((&got[2]["message"], &got[2]["logtag"]), (&json!("lost"), &json!("P")));
    assert_eq!(got[3]["tags"], json!(["decode_failed"]));
    let chained = decode("[cri, json]", &lines[..1]);
    assert_eq!((&chained[0]["level"], &chained[0]["stream"]), (&json!("info"), &json!("stdout")));

    let lines = [
        r#"{"log":"caf\u00e9 \"a\" ","stream":"stdout","attrs":{"tag":"web"},"time":"2026-01-02T03:04:05Z"}"#,
        r#"{"log":"b\n","stream":"stdout","time":"2026-01-02T03:04:06Z"}"#,
        r#"{"log":"\n","stream":"stderr","time":"2026-01-02T03:04:06Z"}"#,
    ];
    let mut got = decode("docker", &lines);
    assert_eq!(time(&mut got[0]), "2026-01-02T03:04:05Z");
    let want = json!({"timestamp": "2026-01-02T03:04:05Z", "stream": "stdout", "message": "café \"a\" b", "attrs": {"tag": "web"}});
    assert_eq!(got[0], want);
    assert_eq!((got.len(), &got[1]["message"]), (2, &json!("")));
}

#[test]
fn csv_cells() {
    let format = "{type: csv, columns: [time, '', user, note]}";
    let mut got = decode(format, &[r#"1,skipped,"joe, ""jr""","#, "1,2", r#"1,2,"open,3"#, r#"1,2,"x"y,3"#, "1,2,3,4,5"]);
    time(&mut got[0]);
    assert_eq!(got[0], json!({"time": "1", "user": "joe, \"jr\"", "note": ""}));
    assert!(got[1..].iter().all(|e| e["tags"] == json!(["decode_failed"])), "{got:?}");
}

#[test]
#[allow(clippy::disallowed_methods)] // how long it takes is what is tested
fn brackets_that_nothing_closes_are_read_once() {
    let started = std::time::Instant::now();
    let open = |what: &str| format!("<189>1: *Mar  1 18:46:11: %SYS-5-CONFIG_I: [a: b] {}", what.repeat(900_000 / what.len()));
    let got = decode("syslog", &[&open("["), &open("[x]")]);
    assert!(started.elapsed().as_secs() < 10, "it took {:?}", started.elapsed());
    assert_eq!((&got[0]["cisco.a"], &got[1]["cisco.a"]), (&json!("b"), &json!("b")));
}

/// Names of any length are read again and again, and those that came between them.
#[test]
fn names_too_long_to_remember_are_read_all_the_same() {
    let long = |c: &str| c.repeat(2000);
    for (format, head, middle, end) in
        [("kv", "", "=", " "), ("leef", "LEEF:2.0|v|p|1|2|^|", "=", "^"), ("cef", "CEF:0|v|p|1|2|n|3|", "=", " "), ("json", "{", "\":", "")]
    {
        let line = |pairs: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| match format {
                "json" => format!("\"{name}{middle}\"{value}\""),
                _ => format!("{name}{middle}{value}"),
            };
            let between = if format == "json" { "," } else { end };
            format!("{head}{}{}", pairs.iter().map(pair).collect::<Vec<_>>().join(between), if format == "json" { "}" } else { "" })
        };
        let (a, b) = (long("a"), long("b"));
        let lines = [
            line(&[("k", "1"), (&a, "2"), (&b, "3"), ("m", "4")]),
            line(&[("k", "5"), (&a, "6"), (&b, "7"), (&a, "8"), ("m", "9")]),
            line(&[(&b, "1"), ("k", "2"), (&b, "3")]),
        ];
        let got = decode(format, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        let read = |event: &Value| ["k", &a, &b, "m"].map(|name| event[name].as_str().unwrap_or("").to_owned());
        assert_eq!(got.iter().map(read).collect::<Vec<_>>(), [["1", "2", "3", "4"], ["5", "8", "7", "9"], ["2", "", "3", ""]], "{format}");
    }
    let element = format!("<34>1 - h a - - [{0} {1}=\"1\" b=\"2\"][c d=\"3\"] x", long("e"), long("p"));
    for event in decode("syslog", &[&element, &element]) {
        let name = format!("sd.{}.", long("e"));
        assert_eq!((&event[name.clone() + &long("p")], &event[name + "b"], &event["sd.c.d"]), (&json!("1"), &json!("2"), &json!("3")));
    }
    let cisco = format!("<189>1: *Mar  1 18:46:11: %SYS-5-CONFIG_I: [{}: 1] [b: 2]", long("k"));
    for event in decode("syslog", &[&cisco, &cisco]) {
        assert_eq!((&event[format!("cisco.{}", long("k"))], &event["cisco.b"]), (&json!("1"), &json!("2")));
    }
}

/// A megabyte of names that never came before, each with a value: the name of one is not looked for among all before it.
#[test]
#[allow(clippy::disallowed_methods)] // how long it takes is what is tested
fn a_line_may_name_as_many_fields_as_it_likes() {
    let started = std::time::Instant::now();
    for (format, head, end) in [("kv", "", ' '), ("leef", "LEEF:2.0|v|p|1|2|^|", '^'), ("cef", "CEF:0|v|p|1|2|n|3|", ' ')] {
        let line = (0..90_000).fold(head.to_owned(), |line, i| line + &format!("k{i}=v") + &end.to_string());
        let got = decode(format, &[&format!("{line}k5=w{end}k89999=w")]);
        assert_eq!(
            (&got[0]["k4"], &got[0]["k5"], &got[0]["k89998"], &got[0]["k89999"]),
            (&json!("v"), &json!("w"), &json!("v"), &json!("w"))
        );
    }
    assert!(started.elapsed().as_secs() < 10, "it took {:?}", started.elapsed());
    let got = decode("cef", &["CEF:0|v|p|1|2|n|3|src=10.0.0.1 act=a sourceAddress=10.0.0.2"]);
    assert_eq!(got[0]["sourceAddress"], json!("10.0.0.2"));
    assert_eq!(got[0].to_string().matches("sourceAddress").count(), 1);
}

#[test]
fn options_of_formats_are_checked() {
    let pipeline = "sources:\n  a: {type: stdin, format: {type: csv}}\n  b: {type: stdin, format: {type: kv, assign: '::'}}\n  c: {type: stdin, format: ceff}\nsinks: {o: {type: drop, inputs: [a, b, c]}}\n";
    let folder = folder(pipeline);
    let out = tripline(folder.path(), &["check", "pipeline.yaml"]);
    let said = said(&out);
    assert_eq!(out.status.code(), Some(2), "{said}");
    for part in ["pipeline.yaml:2:", "columns", "pipeline.yaml:3:", "`assign` is one ASCII character", "did you mean `cef`"] {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_bytes_are_survived(lines in prop::collection::vec(prop::collection::vec(prop::sample::select(b"CEF:0|LEEF2.0x^=\"\\, \t;'a\xc3\xa9\xff".to_vec()), 0..60), 1..4),
        head in prop::sample::select(vec!["", "CEF:0|v|p|1|2|n|3|", "LEEF:2.0|v|p|1|2|"])) {
        let lines: Vec<Vec<u8>> = lines.into_iter().map(|l| [head.as_bytes(), &l].concat()).collect();
        let input = Arc::new(Input::of_lines(lines.iter().map(Vec::as_slice), Arc::default(), 0));
        let wanted = Wanted { all: true, event_time: true, ..Wanted::default() };
        let csv = CsvOptions { columns: vec!["a".into(), "b".into()], delimiter: b',' };
        let decoders: Vec<Box<dyn Decoder>> = vec![
            Box::new(CefDecoder::new(Dialect::Cef, wanted.clone(), TimeRule::default())),
            Box::new(CefDecoder::new(Dialect::Leef, wanted.clone(), TimeRule::default())),
            Box::new(KvDecoder::new(KvOptions::default(), wanted.clone())),
            Box::new(CsvDecoder::new(&csv, wanted.clone())),
        ];
        let mut batch = Batch::default();
        for mut decoder in decoders {
            batch.reset(Arc::clone(&input), 1);
            decoder.decode(&mut batch, &(0..lines.len() as u16).collect::<Vec<_>>(), Subject::Line);
            for row in 0..lines.len() {
                for extra in batch.extras(0, row) {
                    prop_assert!(std::str::from_utf8(batch.bytes(extra.value)).is_ok());
                }
            }
        }
    }
}

/// Rows of three fields as slots 0 to 2, with the decoder's own reading of each line: none where it refused.
fn fields_of(decoder: &mut dyn Decoder, batch: &mut Batch, lines: &[String]) -> Vec<Option<Vec<Option<String>>>> {
    let input = Arc::new(Input::of_lines(lines.iter().map(String::as_bytes), Arc::default(), 0));
    batch.reset(input, 3);
    decoder.decode(batch, &(0..lines.len() as u16).collect::<Vec<_>>(), Subject::Line);
    let field = |slot, row| {
        Some(batch.cell(Slot(slot), row)).filter(|s| s.is_present()).map(|s| String::from_utf8(batch.bytes(s).to_vec()).unwrap())
    };
    (0..lines.len()).map(|row| batch.fault(row).is_none().then(|| (0..3).map(|slot| field(slot, row)).collect())).collect()
}

const NAMES: [&str; 3] = ["a", "b", "long name of a key"];

fn three() -> Wanted {
    let field = |(slot, name): (usize, &&str)| WantedField { name: (*name).into(), slot: Slot(slot as u16), base: None };
    Wanted { fields: NAMES.iter().enumerate().map(field).collect(), ..Wanted::default() }
}

/// `kv`, one character after the other.
fn plain_kv(line: &str, separates: fn(char) -> bool, assign: char) -> Option<Vec<Option<String>>> {
    let (chars, mut at, mut found, mut out) = (line.chars().collect::<Vec<_>>(), 0, false, vec![None; 3]);
    while at < chars.len() {
        if separates(chars[at]) {
            at += 1;
            continue;
        }
        let name: String = chars[at..].iter().take_while(|c| **c != assign && !separates(**c)).collect();
        at += name.chars().count();
        if chars.get(at) != Some(&assign) {
            at += 1;
            continue;
        }
        at += 1;
        let mut value = String::new();
        let mut end = at + 1;
        let quote = chars.get(at).copied().filter(|c| matches!(c, '"' | '\''));
        while quote.is_some() && chars.get(end).is_some_and(|c| Some(*c) != quote) {
            let escapes = chars[end] == '\\' && chars.get(end + 1).is_some_and(|c| matches!(c, '"' | '\'' | '\\'));
            if chars[end] == '\\' && !escapes {
                value.push('\\');
            }
            end += usize::from(chars[end] == '\\');
            value.extend(chars.get(end));
            end += 1;
        }
        if quote.is_some() && end < chars.len() {
            at = end + 1;
        } else {
            value = chars[at..].iter().take_while(|c| !separates(**c)).collect();
            at += value.chars().count();
        }
        let name = name.trim_matches(' ');
        found |= !name.is_empty();
        if let Some(slot) = NAMES.iter().position(|n| *n == name) {
            out[slot] = Some(value);
        }
    }
    found.then_some(out)
}

/// `csv`, one character after the other.
fn plain_csv(line: &str) -> Option<Vec<Option<String>>> {
    let (chars, mut at, mut out) = (line.chars().collect::<Vec<_>>(), 0, Vec::new());
    loop {
        let mut cell = String::new();
        if chars.get(at) == Some(&'"') {
            at += 1;
            while chars.get(at)? != &'"' || chars.get(at + 1) == Some(&'"') {
                at += usize::from(chars[at] == '"');
                cell.push(chars[at]);
                at += 1;
            }
            at += 1;
        } else {
            cell.extend(chars[at..].iter().take_while(|c| **c != ','));
            at += cell.chars().count();
        }
        out.push(Some(cell));
        match chars.get(at) {
            None => break,
            Some(',') => at += 1,
            Some(_) => return None,
        }
    }
    (out.len() == 3).then_some(out)
}

/// The pairs of LEEF 2.0 behind its header.
fn plain_leef(pairs: &str, separator: char) -> Option<Vec<Option<String>>> {
    let mut out = vec![None; 3];
    for (name, value) in pairs.split(separator).filter_map(|pair| pair.split_once('=')) {
        if let Some(slot) = NAMES.iter().position(|n| *n == name) {
            out[slot] = Some(value.to_owned());
        }
    }
    Some(out)
}

/// The pairs of a Cisco text, one mark after the other.
fn plain_cisco(text: &str) -> Option<Vec<Option<String>>> {
    let (mut at, mut out) = (0, vec![None; 3]);
    while let Some(mark) = text[at..].find(['[', '=']).map(|n| at + n) {
        at = mark + 1;
        let (key, value);
        if text[mark..].starts_with('=') {
            let is_key = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            key = text[..mark].rsplit(|c| !is_key(c)).next().unwrap();
            value = text[at..].split([' ', ',', ';']).next().unwrap();
            at += value.len();
            if key.is_empty() || value.is_empty() {
                continue;
            }
        } else {
            let Some((inside, _)) = text[at..].split_once(']') else { continue };
            at += inside.len();
            let Some(pair) = inside.split_once(": ") else { continue };
            (key, value) = pair;
        }
        if let Some(slot) = NAMES.iter().position(|n| *n == key) {
            out[slot] = Some(value.to_owned());
        }
    }
    Some(out)
}

/// Lines of pairs that come in the same order most of the time, for decoders expect what came last, and of anything else.
fn lines_of(pairs: Vec<&'static str>, noise: &'static str) -> impl Strategy<Value = Vec<String>> {
    let noise = prop::sample::select(noise.chars().collect::<Vec<_>>());
    let noise = prop::collection::vec(noise, 0..6).prop_map(|chars| chars.into_iter().collect::<String>());
    let part = prop_oneof![6 => prop::sample::select(pairs).prop_map(str::to_owned), 1 => noise];
    let line = prop::collection::vec(part, 0..7).prop_map(|parts| parts.concat());
    prop::collection::vec(prop_oneof![3 => Just(0usize), 1 => 1usize..4], 1..10)
        .prop_flat_map(move |picks| (prop::collection::vec(line.clone(), 4), Just(picks)))
        .prop_map(|(lines, picks)| picks.into_iter().map(|pick| lines[pick].clone()).collect())
}

const KV: &[&str] = &[
    "a=1 ",
    "a=1;",
    "b=\"x y\" ",
    "b=\"x\";",
    "a='1 2' ",
    "long name of a key=\"\\\"\"; ",
    "a=\"0123456789abcde\" ",
    "b=\"0123456789abcdef\" ",
    "a=\"more than a block; with blanks\" ",
    "b=\"C:\\temp\" ",
    "long name of a key=zü;",
    "b= ",
    "a=\"\" ",
    "c=3\tb=2",
];
const CSV: &[&str] = &["1,", "\"a,\"\"b\",", ",", "x\"y", "\"z\"", "\"\"\"ü\","];
const CISCO: &[&str] = &[
    "[a: 1] ",
    "[b: x: y]",
    " [long name of a key: ü]",
    "[a:: 1] [b: ]",
    "[c: 1] ",
    "[a] [",
    "a=1, ",
    "b=x;",
    " [b: a=2] ",
    "[long name of a key: ",
];
const LEEF: &[&str] = &["a=1^", "b=x=y^", "long name of a key=ü^", "a=^", "c\tb=1^", "a=1\tb=2\t"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn decoders_read_what_a_plain_reading_does(kv in lines_of(KV.to_vec(), "ab =\"'\\;ü"), csv in lines_of(CSV.to_vec(), "a,\" ü"),
        leef in lines_of(LEEF.to_vec(), "ab^=\tü"), cisco in lines_of(CISCO.to_vec(), "ab[]: =,ü"), separator in prop::collection::vec(prop::sample::select(vec!["^", "x09"]), 10)) {
        let mut batch = Batch::default();
        let mut decoder = KvDecoder::new(KvOptions::default(), three());
        let plain: Vec<_> = kv.iter().map(|l| plain_kv(l, |c| c.is_ascii_whitespace(), '=')).collect();
        prop_assert_eq!(fields_of(&mut decoder, &mut batch, &kv), plain);
        let mut decoder = KvDecoder::new(KvOptions { separator: Some(b';'), assign: b'=' }, three());
        let plain: Vec<_> = kv.iter().map(|l| plain_kv(l, |c| c == ';', '=')).collect();
        prop_assert_eq!(fields_of(&mut decoder, &mut batch, &kv), plain);
        let mut decoder = KvDecoder::new(KvOptions { separator: None, assign: b' ' }, three());
        let plain: Vec<_> = kv.iter().map(|l| plain_kv(l, |c| c.is_ascii_whitespace(), ' ')).collect();
        prop_assert_eq!(fields_of(&mut decoder, &mut batch, &kv), plain);
        let options = CsvOptions { columns: NAMES.map(String::from).to_vec(), delimiter: b',' };
        let mut decoder = CsvDecoder::new(&options, three());
        let plain: Vec<_> = csv.iter().map(|l| plain_csv(l)).collect();
        prop_assert_eq!(fields_of(&mut decoder, &mut batch, &csv), plain);
        let mut wanted = three();
        wanted.fields.iter_mut().for_each(|field| field.name.insert_str(0, "cisco."));
        let mut decoder = SyslogDecoder::new(Structured::Fields, wanted, TimeRule::default());
        let lines: Vec<String> = cisco.iter().map(|text| format!("<189>1: *Mar  1 18:46:11: %SYS-5-CONFIG_I: {text}")).collect();
        let plain: Vec<_> = cisco.iter().map(|text| plain_cisco(text)).collect();
        prop_assert_eq!(fields_of(&mut decoder, &mut batch, &lines), plain);
        let mut decoder = CefDecoder::new(Dialect::Leef, three(), TimeRule::default());
        let lines: Vec<String> = leef.iter().zip(&separator).map(|(l, s)| format!("LEEF:2.0|v|p|1|2|{s}|{l}")).collect();
        let plain: Vec<_> = leef.iter().zip(&separator).map(|(l, s)| plain_leef(l, if *s == "^" { '^' } else { '\t' })).collect();
        prop_assert_eq!(fields_of(&mut decoder, &mut batch, &lines), plain);
    }
}

/// Data that is not ours, where it is at hand.
#[allow(clippy::disallowed_methods)] // tests are told by the environment where it lies
fn outside_lines() -> Option<Vec<(String, String)>> {
    let folder = std::env::var("TRIPLINE_DATA").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data").into());
    let path = std::path::Path::new(&folder).join("lines.ndjson");
    let Ok(text) = fs::read_to_string(&path) else {
        println!("skipped: there is no {}", path.display());
        return None;
    };
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["pattern"].as_str().unwrap().to_owned(), line["text"].as_str().unwrap().to_owned())
    };
    Some(text.lines().map(line).collect())
}

#[test]
fn real_lines_match_their_grok_patterns() {
    let Some(lines) = outside_lines() else { return };
    for (name, line) in &lines {
        let named = grok::compile(&format!("%{{{name}}}"), &[]).unwrap_or_else(|fault| panic!("{name}: {}", fault.message));
        let mut found = named.pattern.found();
        assert!(named.pattern.find(line.as_bytes(), &mut found), "{name} does not match: {line}");
        let took_part = named.groups.iter().filter(|g| found.group(g.index).is_some()).count();
        assert!(took_part > 0 || named.groups.is_empty(), "{name}");
    }
    let syslog: Vec<&str> = lines.iter().filter(|(n, l)| n.starts_with("SYSLOG") && !l.starts_with('[')).map(|(_, l)| l.as_str()).collect();
    for event in decode("syslog", &syslog) {
        assert!(event["hostname"].is_string() && event["message"].is_string() && event["appname"].is_string(), "{event}");
    }
}

#[test]
fn grok_and_dissect_take_lines_apart() {
    let web = r#"192.0.2.7 - ann [07/Apr/2016:18:42:24 +0000] "GET /a?b=1 HTTP/1.1" 404 075 "-" "curl/8.0""#;
    let other = "level=warn code=17";
    let format = r#"{type: grok, pattern: ['%{HTTPD_COMBINEDLOG}', 'level=%{LEVEL:[log][level]} code=%{INT:code:int}'], definitions: {LEVEL: '[a-z]+'}}"#;
    let mut events = decode(format, &[web, other, "neither"]);
    events.iter_mut().for_each(|e| drop(time(e)));
    assert_eq!(events[0]["source.address"], "192.0.2.7");
    assert_eq!(events[0]["http.response.status_code"], 404);
    // 075 is no number of JSON: it stays what it is.
    assert_eq!(events[0]["http.response.body.bytes"], "075");
    assert!(events[0].get("http.request.referrer").is_none());
    assert_eq!(events[1], json!({"log.level": "warn", "code": 17}));
    assert_eq!(events[2]["tags"], json!(["decode_failed"]));

    let format = "{type: dissect, pattern: '%{+ts/2} %{+ts/1} %{host->} [%{?pid}] %{message}'}";
    let mut events = decode(format, &["12:30:05 2026-03-01 fw1    [77] all is well", "no such line"]);
    events.iter_mut().for_each(|e| drop(time(e)));
    assert_eq!(events[0], json!({"ts": "2026-03-01 12:30:05", "host": "fw1", "message": "all is well"}));
    assert_eq!(events[1]["error.message"], "the line does not fit the pattern");
}

#[test]
fn of_many_patterns_the_first_that_matches_counts_whatever_the_line_begins_with() {
    let format = r"{type: grok, pattern: ['^job %{WORD:a}', 'end=%{WORD:b}', '^jo%{WORD:c}', '^ä%{WORD:d}', '^(?:%{WORD:e})?$', '^%{INT:f:int}|zz']}";
    let lines = ["job one", "job end=two", "joe", "jo end=x", "äh", "word", "12 end=3", "12 ", "\t zz", "?"];
    let mut found = decode(format, &lines);
    found.iter_mut().for_each(|e| drop(time(e)));
    let expected = [
        json!({"a": "one"}),
        json!({"a": "end"}),
        json!({"c": "e"}),
        json!({"b": "x"}),
        json!({"d": "h"}),
        json!({"e": "word"}),
        json!({"b": "3"}),
        json!({"f": 12}),
        json!({}),
    ];
    assert_eq!(found[..9], expected);
    assert_eq!(found[9]["tags"], json!(["decode_failed"]));
}

#[test]
fn bad_patterns_are_pointed_at() {
    let folder = folder(
        "sources:\n  a: {type: stdin, format: {type: grok, pattern: '%{IPADDR:a}'}}\n  b: {type: stdin, format: {type: dissect, pattern: '%{a}%{b}'}}\n  c: {type: stdin, format: grok}\nsinks: {o: {type: drop, inputs: [a, b, c]}}\n",
    );
    let out = said(&tripline(folder.path(), &["check", "pipeline.yaml"]));
    for expected in [
        "pipeline.yaml:2:51: error[bad_pattern]: bad pattern: there is no pattern `IPADDR`",
        "pipeline.yaml:3:58: error[bad_pattern]: nothing stands between these two parts",
        "pipeline.yaml:4:28: error[missing_key]: `grok` needs its pattern",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
}
