//! Every pipeline in README and docs is checked as a user would check it, with the files that it names beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tripline::clock::Clock;
use tripline::diagnostic::Severity;
use tripline::metrics::Registry;
use tripline::plan::load_plan;

#[test]
fn every_example_is_a_good_pipeline() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    pages.extend(fs::read_dir(root.join("docs")).unwrap().flatten().map(|e| e.path()));
    let folder = tempfile::tempdir().unwrap();
    for name in ["maps", "tables", "rules", "shared"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::copy(root.join("tests/data/places.mmdb"), folder.path().join("GeoLite2-City.mmdb")).unwrap();
    fs::write(folder.path().join("tables/staff.csv"), "login,full_name\nbob,Bob\n").unwrap();
    fs::write(folder.path().join("tables/exceptions.csv"), "rule,user\nbrute_force,svc\n").unwrap();
    fs::write(folder.path().join("shared/empty.yaml"), "tables: {}\n").unwrap();
    let maps = fs::read_to_string(root.join("docs/map-files.md")).unwrap();
    fs::write(folder.path().join("maps/example.map.csv"), maps.split("```csv\n").nth(1).unwrap().split("```").next().unwrap()).unwrap();
    let mut seen = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let fenced = text.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
        for (_, block) in fenced.filter(|(word, block)| *word == "yaml" || *word == "csv" && block.starts_with("# FILE ")) {
            // A block may be another file that a later one names.
            if let Some((name, body)) = block.strip_prefix("# FILE ").and_then(|b| b.split_once('\n')) {
                fs::write(folder.path().join(name), body).unwrap();
                continue;
            }
            fs::write(folder.path().join("pipeline.yaml"), block).unwrap();
            let (plan, faults) = load_plan(&[folder.path().to_owned()], Clock::System, &|_| None, &[], &Registry::default());
            let errors: Vec<String> = faults.iter().filter(|f| f.severity == Severity::Error).map(|f| f.render()).collect();
            assert!(plan.is_some(), "{}: {}", page.display(), errors.join("\n"));
            seen += 1;
        }
    }
    assert!(seen >= 3);
}

/// Every `expression` of the page with what it gives, computed from the page's event.
#[test]
fn every_expression_gives_what_its_page_says() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/expressions.md")).unwrap();
    let event: Value = serde_json::from_str(text.split("```json\n").nth(1).unwrap().split("```").next().unwrap()).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.rsplit_once(" | "));
    let rows: Vec<(String, &str)> =
        rows.map(|(code, gives)| (code.trim_matches(['`', ' ']).replace("\\|", "|"), gives.trim_matches('`'))).collect();
    assert!(rows.len() > 40);
    let code = |code: &str| if event.get(code).is_some() { format!("`{code}`") } else { code.to_owned() };
    let fields: serde_json::Map<String, Value> =
        rows.iter().enumerate().map(|(at, (text, _))| (format!("r{at}"), Value::from(code(text)))).collect();
    let pipeline = serde_json::json!({
        "sources": {"a": {"type": "file", "paths": ["in.log"], "follow": false, "format": "json"}},
        "transforms": {"s": {"type": "set", "inputs": ["a"], "fields": fields}},
        "sinks": {"o": {"type": "stdout", "inputs": ["s"]}},
    });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pipeline.yaml"), pipeline.to_string()).unwrap();
    fs::write(folder.path().join("in.log"), event.to_string() + "\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    let out = command.args(["run", "pipeline.yaml", "--admin", "off"]).current_dir(folder.path()).output().unwrap();
    let said: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)));
    for (at, (text, gives)) in rows.iter().enumerate() {
        let got = said.get(format!("r{at}")).map_or("absent".to_owned(), Value::to_string);
        assert_eq!(got, *gives, "{text}");
    }
}

/// Follows a page: writes the files that it shows (`# FILE NAME` in their first line), and compares what its commands say. A line may end in `…`.
#[test]
fn the_page_on_tests_says_what_the_program_says() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/testing.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut commands = 0;
    for block in text.split("\n```").skip(1).step_by(2) {
        let (language, body) = block.split_once('\n').unwrap();
        if let Some((name, body)) = body.strip_prefix("# FILE ").and_then(|b| b.split_once('\n')) {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, body.to_owned() + "\n").unwrap();
        } else if language == "console" {
            for asked in body.split("$ tripline ").skip(1) {
                let (words, wanted) = asked.split_once('\n').unwrap_or((asked, ""));
                let out = Command::new(env!("CARGO_BIN_EXE_tripline")).args(words.split(' ')).current_dir(folder.path()).output().unwrap();
                let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
                for (line, wanted) in said.lines().zip(wanted.lines()) {
                    let is_same = wanted.strip_suffix('…').map_or(line == wanted, |begin| line.starts_with(begin));
                    assert!(is_same, "tripline {words}\n{said}\ninstead of\n{wanted}");
                }
                assert!(said.lines().count() >= wanted.lines().count(), "tripline {words}\n{said}");
                commands += 1;
            }
        }
    }
    assert!(commands >= 4);
}

#[test]
fn every_shipped_pipeline_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let files = |folder: &Path| fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).collect::<Vec<_>>();
    let pipelines: Vec<_> = files(&root).iter().flat_map(|f| files(f)).filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
    assert!(pipelines.len() >= 6);
    for pipeline in pipelines {
        let (_, faults) = load_plan(std::slice::from_ref(&pipeline), Clock::System, &|_| None, &[], &Registry::default());
        assert!(faults.is_empty(), "{}: {}", pipeline.display(), faults.iter().map(|f| f.render()).collect::<String>());
    }
}

/// The options of an object of the schema as rows of a table; those of sections stand below their own.
fn options(object: &Value, before: &str, out: &mut String) {
    for (name, option) in object["properties"].as_object().into_iter().flatten().filter(|(name, _)| before.is_empty() || *name != "type") {
        let required = object["required"].as_array().is_some_and(|r| r.iter().any(|n| n == name));
        let words = option["enum"].as_array().map(|w| w.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "));
        let help = option["description"].as_str().unwrap_or_default().replace('|', "\\|");
        let words =
            words.filter(|w| !help.starts_with(w.split(',').next().unwrap_or_default())).map_or(String::new(), |w| format!("{w}: "));
        out.push_str(&format!("| `{before}{name}`{} | {words}{help} |\n", if required { " !" } else { "" }));
        options(option, &format!("{before}{name}."), out);
    }
}

#[test]
fn the_reference_is_made_of_the_programs_own_descriptions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema: Value = serde_json::from_str(&fs::read_to_string(root.join("docs/pipeline.schema.json")).unwrap()).unwrap();
    let mut page = "# Reference\n\nEvery key of a pipeline file, as `tripline check` knows it. `!` marks what must be given. Made by `tests/docs.rs` of what `tripline list --schema` says.\n".to_owned();
    let table = "\n| key | |\n|---|---|\n";
    let top = schema["properties"].as_object().unwrap();
    page += &format!("\n## Top level\n{table}");
    for (name, member) in top {
        page += &format!("| `{name}` | {} |\n", member["description"].as_str().unwrap_or_default());
        options(member, &format!("{name}."), &mut page);
    }
    for (family, member) in top.iter().filter(|(_, m)| m["additionalProperties"].is_object()) {
        let node = &member["additionalProperties"];
        page += &format!("\n## {family}\n");
        match node["allOf"].as_array() {
            None => {
                page += table;
                options(node, "", &mut page);
            }
            Some(kinds) => {
                for kind in kinds {
                    let name = kind["if"]["properties"]["type"]["const"].as_str().unwrap();
                    page += &format!("\n### `{name}`: {}\n{table}", kind["then"]["description"].as_str().unwrap());
                    options(&kind["then"], "", &mut page);
                }
            }
        }
    }
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reference.md");
    fs::write(&made, &page).unwrap();
    let kept = fs::read_to_string(root.join("docs/reference.md")).unwrap_or_default();
    assert!(kept == page, "docs/reference.md is not what the program says: copy {} over it", made.display());
}

#[test]
fn the_schema_for_editors_is_the_programs_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_tripline")).args(["list", "--schema"]).output().unwrap();
    let kept = fs::read_to_string(root.join("docs/pipeline.schema.json")).unwrap();
    assert_eq!(kept, String::from_utf8(said.stdout).unwrap(), "run `tripline list --schema > docs/pipeline.schema.json`");
    for pipeline in fs::read_dir(root.join("pipelines")).unwrap().flatten().map(|e| e.path().join("pipeline.yaml")) {
        let text = fs::read_to_string(&pipeline).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=../../docs/pipeline.schema.json\n"), "{}", pipeline.display());
    }
}
