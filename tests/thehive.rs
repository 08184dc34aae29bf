//! The TheHive sink against a peer with the real one's semantics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a failed test is what a panic is for
mod hive;
mod outside;
mod wire;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use hive::{Deal, Hive, KEY};
use outside::{finished, folder, killed_after, said, text, tripline};
use serde_json::{Value, json};

/// A rule over logins: an alert at three failures of one address within a minute.
fn pipeline(hive: &Hive, rule: &str, options: &str) -> tempfile::TempDir {
    let folder = folder(&format!(
        "barrier: {{interval: 50ms}}
sources: {{a: {{type: file, paths: [in.log], follow: false, format: json, time: {{field: t}}}}}}
correlations:
  guessing:
    type: threshold
    inputs: [a]
    by: [ip]
    within: 1m
    count: 3
    {rule}
    alert: {{title: 'Guessing from {{ip}}', severity: 'sev == \"critical\" ? \"critical\" : \"medium\"', attack: [T1110], tags: [auth], observables: {{ip: ip, username: [user]}}, links: {{search: 'https://kibana/{{ip}}'}}, fields: {{org: org}}}}
sinks:
  cases: {{type: thehive, inputs: [guessing], url: '{}', key: {KEY}, retry: {{min: 5ms, max: 20ms}}, {options}}}
",
        hive.address
    ));
    fs::write(folder.path().join("in.log"), "").unwrap();
    folder
}

/// Failures: second, address, user.
fn lines(failures: &[(usize, &str, &str)]) -> String {
    let line = |(at, ip, user): &(usize, &str, &str)| {
        let minute = format!("2026-11-25T{:02}:{:02}:{:02}Z", at / 3600, at / 60 % 60, at % 60);
        let sev = if *ip == "10.0.0.9" { "critical" } else { "medium" };
        format!("{}\n", json!({"t": minute, "ip": ip, "user": user, "sev": sev, "org": "acme"}))
    };
    failures.iter().map(line).collect()
}

fn run(folder: &Path, failures: &[(usize, &str, &str)]) -> (Value, String) {
    fs::write(folder.join("in.log"), lines(failures)).unwrap();
    finished(folder, &[])
}

const THREE: [(usize, &str, &str); 3] = [(0, "10.0.0.1", "bob"), (10, "10.0.0.1", "eve|1"), (20, "10.0.0.1", "bob")];

#[test]
fn an_alert_says_all_that_is_known() {
    let hive = Hive::start("5.6.2-1", &[]);
    let options = "tlp: red, tags: ['of {tenant}', auth], organisation: '{org}', custom_fields: {event-count: count, team: '\"soc\"'}";
    let folder = pipeline(&hive, "", options);
    let (summary, _) = run(folder.path(), &THREE);
    assert_eq!((&summary["out"]["cases"], &summary["dead_letters"]), (&1.into(), &0.into()));
    let state = hive.state.lock().unwrap();
    let ((organisation, name), alert) = state.alerts.iter().next().unwrap();
    assert_eq!(organisation, "acme");
    let reference = alert["sourceRef"].as_str().unwrap();
    assert_eq!((name.as_str(), reference.len()), (format!("tripline;tripline;{reference}").as_str(), 32));
    assert_eq!(
        (&alert["title"], &alert["severity"], &alert["date"], &alert["tlp"], &alert["pap"]),
        (&json!("Guessing from 10.0.0.1"), &json!(2), &json!(1_795_564_820_000_u64), &json!(4), &json!(2))
    );
    assert_eq!(alert["tags"], json!(["T1110", "auth", "of", "rule:guessing"]));
    assert_eq!(alert["externalLink"], "https://kibana/10.0.0.1");
    assert_eq!(alert["procedures"], json!([{"patternId": "T1110", "occurDate": 1_795_564_820_000_u64}]));
    // The type `username` is not in its list, the custom field `team` was refused.
    assert_eq!(alert["customFields"], json!([{"name": "event-count", "value": 3}]));
    let observables: Vec<(&Value, &Value)> =
        alert["observables"].as_array().unwrap().iter().map(|o| (&o["dataType"], &o["data"])).collect();
    assert_eq!(observables[0], (&json!("ip"), &json!("10.0.0.1")));
    assert!(observables[1..].iter().all(|(kind, _)| *kind == "other"), "{observables:?}");
    let description = alert["description"].as_str().unwrap();
    for part in ["| ip | 10.0.0.1 |", "| count | 3 |", "| note | custom field team is not known here: soc |", "\"user\":\"bob\""] {
        assert!(description.contains(part), "{part} is not in {description}");
    }
    drop(state);
    let words = said(&tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]));
    assert!(words.contains("TheHive 5.6.2-1, as bot@soc"), "{words}");
    // A server that tells no types refuses the alert, and gets it without them.
    let hive = Hive::start("5.1.0", &[]);
    hive.state.lock().unwrap().tells_types = false;
    let folder = pipeline(&hive, "", "tlp: red");
    run(folder.path(), &THREE);
    let alerts = hive.alerts();
    assert_eq!((alerts.len(), &alerts[0]["tlp"]), (1, &json!(3)), "before 5.2 red is 3");
}

#[test]
fn version_4_is_spoken_to_in_its_own_api() {
    let hive = Hive::start("4.1.24-1", &[]);
    let folder = pipeline(
        &hive,
        "trigger: every",
        "group_for: 1h, custom_fields: {event-count: count}, promote: {when: 'severity == \"critical\"', template: brute-force}",
    );
    run(folder.path(), &[(0, "10.0.0.9", "a"), (1, "10.0.0.9", "b"), (2, "10.0.0.9", "c"), (3, "10.0.0.9", "d")]);
    let alerts = hive.alerts();
    assert_eq!(alerts.len(), 1);
    assert_eq!((&alerts[0]["severity"], &alerts[0]["customFields"]), (&json!(4), &json!({"event-count": {"integer": 3, "order": 0}})));
    assert!(alerts[0]["description"].as_str().unwrap().contains("| firings | 2 |"));
    assert_eq!(
        hive.state.lock().unwrap().cases,
        [(format!("tripline;tripline;{}", alerts[0]["sourceRef"].as_str().unwrap()), json!("brute-force"))]
    );
}

/// Whatever dies in between: one alert for each firing, one case for each that is promoted.
#[test]
fn faults_of_the_peer_make_no_second_alert() {
    use Deal::{Html, ResetAfter, ResetBefore, Status, Well};
    let deals = [ResetBefore, Status(500), ResetAfter, Well, Html, Well, ResetAfter, Status(429), Status(503), ResetAfter, ResetAfter];
    let hive = Hive::start("5.6.2", &deals);
    let folder = pipeline(&hive, "", "promote: {when: 'severity in [\"high\", \"critical\"]', template: gone}");
    let failures: Vec<(usize, &str, &str)> =
        (0..40).flat_map(|n| (0..3).map(move |k| (n * 70 + k, if n % 2 == 0 { "10.0.0.9" } else { "10.0.0.1" }, "bob"))).collect();
    let (summary, words) = run(folder.path(), &failures);
    assert_eq!(summary["alerts"]["guessing"], 40);
    assert!(words.contains("sink_outage") && words.contains("sink_recovered"), "{words}");
    assert_eq!((hive.alerts().len(), &summary["dead_letters"]), (40, &json!(0)));
    let state = hive.state.lock().unwrap();
    assert_eq!(state.cases.len(), 20, "a case for each critical alert");
    assert!(state.cases.iter().all(|(_, template)| template.is_null()), "a template that is not there is left out");
}

#[test]
fn a_kill_makes_no_second_alert() {
    let hive = Hive::start("5.6.2", &[]);
    let folder = pipeline(&hive, "trigger: every", "group_for: 10m");
    let failures: Vec<(usize, String, &str)> = (0..6000).map(|n| (n / 2, format!("10.0.{}.1", n % 7), "bob")).collect();
    let failures: Vec<(usize, &str, &str)> = failures.iter().map(|(at, ip, user)| (*at, ip.as_str(), *user)).collect();
    fs::write(folder.path().join("in.log"), lines(&failures)).unwrap();
    killed_after(folder.path(), &[150, 200, 250, 300]);
    run(folder.path(), &failures);
    let whole = Hive::start("5.6.2", &[]);
    let other = pipeline(&whole, "trigger: every", "group_for: 10m");
    run(other.path(), &failures);
    // Event ids differ from one installation to the next; nothing of them stands in an alert.
    let of = |hive: &Hive| {
        hive.alerts()
            .into_iter()
            .map(|mut a| {
                a["_id"].take();
                a
            })
            .collect::<Vec<Value>>()
    };
    let (killed, whole) = (of(&hive), of(&whole));
    assert_eq!(whole.len(), 7 * 5, "one alert for each address and ten minutes");
    assert!(killed == whole, "{} alerts, {} without kills", killed.len(), whole.len());
}

#[test]
fn what_it_will_never_take_is_in_the_dead_letter_and_a_wrong_key_holds() {
    let hive = Hive::start("5.6.2", &[Deal::Status(400)]);
    let folder = pipeline(&hive, "", "");
    let (summary, _) = run(folder.path(), &THREE);
    assert_eq!(summary["dead_letters"], 1);
    let letter = fs::read_to_string(folder.path().join(".tripline/dead_letter/cases.ndjson")).unwrap();
    assert!(letter.contains("\"status\":400") && letter.contains("not now") && !letter.contains(KEY), "{letter}");
    let file = folder.path().join("pipeline.yaml");
    let right = fs::read_to_string(&file).unwrap();
    fs::write(&file, right.replace(KEY, "wrong-secret") + "stop_timeout: 1s\n").unwrap();
    let words = said(&tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]));
    assert!(words.contains("answers 401 Unauthorized: look at `key`") && !words.contains("wrong-secret"), "{words}");
}

#[test]
fn a_dry_run_prints_the_requests_and_sends_none() {
    let hive = Hive::start("5.6.2", &[]);
    let folder = pipeline(&hive, "", "dry_run: true, promote: {when: 'count >= 3', template: t}");
    fs::write(folder.path().join("in.log"), lines(&THREE)).unwrap();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    let requests: Vec<Value> = text(&out.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(requests.len(), 2, "{}", said(&out));
    assert_eq!((&requests[0]["method"], &requests[0]["body"]["title"]), (&json!("POST"), &json!("Guessing from 10.0.0.1")));
    assert_eq!(requests[1]["body"], json!({"caseTemplate": "t"}));
    assert!(hive.state.lock().unwrap().exchanges.is_empty() && !said(&out).contains(KEY));
}

/// The Python that has the vendor's client and a validator; none where the test is skipped.
fn python() -> Option<String> {
    let out = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/services/thehive.sh")).output().unwrap();
    if out.status.code() == Some(3) {
        assert_ne!(std::env::var("TRIPLINE_REQUIRE_CLIENTS").as_deref(), Ok("1"), "{}", said(&out));
        eprint!("{}", said(&out));
        return None;
    }
    assert!(out.status.success(), "{}", said(&out));
    Some(text(&out.stdout).trim().to_owned())
}

/// What the judge finds to say.
fn judged(python: &str, what: &[&str], input: &str) -> String {
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hive/judge.py");
    let mut child =
        Command::new(python).arg(judge).args(what).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", said(&out));
    text(&out.stdout)
}

/// The peer of these tests is one that the vendor's own client takes for a TheHive.
#[test]
fn the_vendors_client_finds_a_thehive_in_the_peer() {
    let Some(python) = python() else { return };
    let hive = Hive::start("5.6.2-1", &[]);
    assert_eq!(judged(&python, &["client", &hive.address, KEY], ""), "");
    assert_eq!(hive.alerts().len(), 1);
}

/// All that the sink asks, and all that the peer answers, is what the vendor's description of the API names.
#[test]
fn requests_are_what_the_vendor_describes() {
    let folder = std::env::var("TRIPLINE_DATA").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data").into());
    let description = format!("{folder}/thehive/openapi-5.6.2.yaml");
    if !Path::new(&description).is_file() {
        eprintln!("skipped: no {description}; TRIPLINE_DATA names its folder");
        return;
    }
    let Some(python) = python() else { return };
    use Deal::{ResetAfter, Status, Well};
    let hive = Hive::start("5.6.2", &[Well, ResetAfter, Status(500), Status(400)]);
    let options =
        "tlp: red, pap: white, tags: [auth], organisation: '{org}', group_for: 1m, custom_fields: {event-count: count, team: '\"soc\"'},
        promote: {when: 'severity in [\"high\", \"critical\"]', template: brute-force}";
    let folder = pipeline(&hive, "trigger: every\n    suppress: {by: [ip], for: 7s}", options);
    let users = ["bob", "eve", "mallory"];
    let failures: Vec<(usize, &str, &str)> =
        (0..60).map(|n| (n * 5, if n % 2 == 0 { "10.0.0.9" } else { "10.0.0.1" }, users[n / 4 % 3])).collect();
    run(folder.path(), &failures);
    let exchanges = std::mem::take(&mut hive.state.lock().unwrap().exchanges);
    for asked in [("POST", "/alert"), ("PATCH", "/alert/"), ("POST", "/observable"), ("POST", "/case"), ("POST", "/query")] {
        let is_asked = |e: &&Value| e["method"] == asked.0 && e["path"].as_str().unwrap().contains(asked.1);
        assert!(exchanges.iter().any(|e| is_asked(&e)), "{asked:?} was never asked");
    }
    let lines: String = exchanges.iter().map(|e| format!("{e}\n")).collect();
    assert_eq!(judged(&python, &["exchanges", &description], &lines), "");
    let wrong = json!({"method": "POST", "path": "/api/v1/alert", "body": {"title": "t", "wish": 1}, "status": 201, "reply": {}});
    let found = judged(&python, &["exchanges", &description], &format!("{wrong}\n"));
    assert!(found.contains("'sourceRef' is a required property") && found.contains("/wish is not named"), "the judge judges: {found}");
}
