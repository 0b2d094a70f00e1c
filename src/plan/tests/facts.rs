//! Proves: an output or a printed value stands in any setting that it fits, in `cwd` and in `env`, and the resolved plan
//! says so; what does not fit is refused at its line, with the fact, its kind and what is wanted.

use super::{digest, json_schema, load_text, refused, write, yaml_to_json};
use serde_json::{Value, json};

/// A plan whose first steps hand facts on: `make` by its kind (each kind of value), `count` by what it prints. The steps
/// of `lines` begin in line 9.
fn after(lines: &str) -> String {
    let body: String = lines.lines().map(|l| format!("      {l}\n")).collect();
    format!(
        "upledger: 1\nname: x\nphases:\n  - phase: p\n    steps:\n      \
         - {{id: make, do: {{test.sample: {{dir: /srv/x, text: hello}}}}}}\n      \
         - {{id: count, do: {{run: [count]}}, effect: pure, facts: {{rows: {{json: .rows}}}}}}\n      \
         # what uses them\n{body}"
    )
}

#[track_caller]
fn accepted(lines: &str) -> Value {
    let text = after(lines);
    let checked = load_text("p", &text).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let again = load_text("r", &write(&checked)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again.digest, checked.digest);
    assert_eq!(again.plan, checked.plan);
    serde_json::to_value(&checked.plan).unwrap()["phases"][0]["steps"][2].clone()
}

#[test]
fn a_reference_stands_in_the_resolved_plan_where_it_was_written() {
    let step = accepted(
        "- id: use\n  do: {test.sample: {dir: {from: make.dir}, text: {from: make.sha256}, times: {from: make.bytes}}}\n  cwd: {from: make.dir}\n  env: {COMMIT: {from: make.commit}, ROWS: {from: count.rows}}",
    );
    assert_eq!(
        step["action"],
        json!({"test.sample": {
            "dir": {"from": "make.dir"}, "text": {"from": "make.sha256"}, "times": {"from": "make.bytes"},
        }})
    );
    assert_eq!(
        (&step["cwd"], &step["cwd_from"]),
        (&Value::Null, &json!("make.dir"))
    );
    assert_eq!(
        step["env"],
        json!([
            {"key": "COMMIT", "value": {"from": "make.commit"}},
            {"key": "ROWS", "value": {"from": "count.rows"}},
        ])
    );
    // Inside of lists and maps, in looks and in written undos.
    let step = accepted(
        "- id: use\n  do: {process.start: {argv: [/bin/d, {from: make.text}, {from: make.bytes}], pidfile: {from: make.file}, log: /l, ready: {port: {from: make.bytes}}}}\n  verify: {expect.file: {path: {from: make.file}, sha256: {from: make.sha256}}}\n  undo: {run: [rm, {from: make.file}], effect: idempotent, verify: {expect.file: {path: {from: make.file}, exists: false}}}",
    );
    assert_eq!(
        step["action"]["process.start"]["argv"],
        json!(["/bin/d", {"from": "make.text"}, {"from": "make.bytes"}])
    );
    assert_eq!(
        step["action"]["process.start"]["ready"]["port"],
        json!({"from": "make.bytes"})
    );
    assert_eq!(
        step["verify"]["expect.file"]["sha256"],
        json!({"from": "make.sha256"})
    );
    let undo = &step["undo"]["action"];
    assert_eq!(undo["action"]["run"], json!(["rm", {"from": "make.file"}]));
    assert_eq!(
        undo["verify"]["expect.file"]["path"],
        json!({"from": "make.file"})
    );
}

#[test]
fn a_fact_fits_wherever_some_value_of_its_kind_does() {
    for action in [
        // A number that rules bound from below, from above, and against another one.
        "http.check: {url: 'http://127.0.0.1/', status: {from: make.bytes}}",
        "expect.process: {match: x, min: 2, max: {from: make.bytes}}",
        "expect.process: {match: x, min: {from: make.bytes}, max: 1}",
        "expect.port: {port: {from: make.bytes}}",
        // Text is a number's, a path's and a digest's, too.
        "expect.command: {argv: [x, {from: make.commit}, {from: make.made}]}",
        "http.check: {url: {from: make.text}, headers: {X-Commit: {from: make.commit}}}",
        "expect.process: {match: {from: make.text}}",
        // What is printed may be anything.
        "expect.port: {port: {from: count.rows}}",
        "expect.file: {path: {from: count.rows}, sha256: {from: count.rows}, mode: {from: count.rows}}",
        "http.check: {url: {from: count.rows}, within: {from: count.rows}}",
        "expect.process: {match: x, none: {from: count.rows}}",
        // A key `from` of a setting's own is none.
        "expect.file: {path: /from.rows}",
    ] {
        accepted(&format!("- {{id: use, do: {{{action}}}}}"));
    }
    accepted("- {id: use, do: {file.replace: {path: /a, from: /make.dir}}}");
    accepted("- {id: use, do: {file.backup: {path: {from: make.file}, to: {from: make.dir}}}}");
    // A directory that was printed is looked at when the step starts.
    accepted("- {id: use, do: {django.check: {python: /p}}, cwd: {from: count.rows}}");
}

#[test]
fn what_does_not_fit_is_refused_with_the_fact_its_kind_and_what_is_wanted() {
    for (step, part) in [
        (
            "{id: use, do: {expect.port: {port: {from: make.commit}}}}",
            "`make.commit` is a commit, which does not fit here: a port is a number from 1 to 65535",
        ),
        (
            "{id: use, do: {test.sample: {dir: /x, text: y, times: {from: make.dir}}}}",
            "`make.dir` is a path, which does not fit here: expected a number from 0 to 4294967295",
        ),
        (
            "{id: use, do: {test.sample: {dir: {from: make.bytes}, text: y}}}",
            "`make.bytes` is a number, which does not fit here: `dir` is not an absolute path",
        ),
        (
            "{id: use, do: {expect.file: {path: {from: make.text}}}}",
            "`make.text` is text, which does not fit here: `path` is not an absolute path",
        ),
        (
            "{id: use, do: {expect.file: {path: /x, sha256: {from: make.commit}}}}",
            "`make.commit` is a commit, which does not fit here: `sha256` is not 64",
        ),
        (
            "{id: use, do: {run: [x]}, effect: pure, verify: {expect.port: {port: {from: make.made}}}}",
            "`make.made` is true or false, which does not fit here: expected a port",
        ),
        (
            "{id: use, do: {run: [x]}, on_doubt: ask, undo: {expect.file: {path: {from: make.bytes}}}}",
            "`make.bytes` is a number, which does not fit here: `path` is not an absolute path",
        ),
        (
            "{id: use, do: {run: [x]}, effect: pure, cwd: {from: make.bytes}}",
            "`make.bytes` is a number, which does not fit here: `cwd` is an absolute path",
        ),
    ] {
        refused(&after(&format!("- {step}")), 9, part);
    }
    // It stands at its own line.
    let step = "- id: use\n  do:\n    expect.port:\n      port: {from: make.commit}";
    refused(&after(step), 12, "`make.commit` is a commit");
}

#[test]
fn a_reference_to_nothing_says_what_there_is() {
    let hint = |step: &str| {
        let refusal = load_text("p", &after(&format!("- {step}"))).expect_err(step);
        assert_eq!(refusal.problems.len(), 1, "{refusal}");
        let problem = &refusal.problems[0];
        (
            problem.message.clone(),
            problem.hint.clone().unwrap_or_default(),
        )
    };
    for place in [
        "{id: use, do: {expect.file: {path: {from: NAME}}}}",
        "{id: use, do: {expect.port: {port: {from: NAME}}}}",
        "{id: use, do: {run: [x]}, effect: pure, cwd: {from: NAME}}",
        "{id: use, do: {run: [x, {from: NAME}]}, effect: pure}",
        "{id: use, do: {run: [x]}, effect: pure, env: {A: {from: NAME}}}",
    ] {
        let (said, help) = hint(&place.replace("NAME", "make.dit"));
        assert!(
            said.contains("no earlier step produces the fact `make.dit`"),
            "{said}"
        );
        assert!(help.contains("did you mean `make.dir`?"), "{help}");
        let (_, help) = hint(&place.replace("NAME", "make.nothing_like_it"));
        assert!(
            help.contains("`make` produces `make.bytes`, `make.commit`"),
            "{help}"
        );
        let (_, help) = hint(&place.replace("NAME", "nobody.has_it"));
        assert!(help.contains("a fact is named `step.fact`"), "{help}");
        let name = if place.contains("port") {
            "later.bytes"
        } else {
            "later.dir"
        };
        let later = format!(
            "{}\n- {{id: later, do: {{test.sample: {{dir: /srv/y, text: z}}}}}}",
            place.replace("NAME", name)
        );
        let (said, _) = hint(&later);
        assert_eq!(said, format!("`{name}` is not known yet"));
    }
    let (said, _) = hint("{id: use, do: {expect.file: {path: {from: here}}}}");
    assert!(said.contains("expected a string, found a map"), "{said}");
}

#[test]
fn a_printed_fact_has_no_name_of_an_output() {
    let step = "- {id: use, do: {test.sample: {dir: /y, text: z}}, facts: {dir: {json: .dir}}}";
    refused(
        &after(step),
        9,
        "`test.sample` produces a fact `dir` itself",
    );
    let text =
        write(&load_text("p", &after(&step.replace("facts: {dir:", "facts: {place:"))).unwrap());
    let forged = forged(&text.replace("\"place\"", "\"dir\""));
    let refusal = load_text("r", &forged).expect_err("refused");
    assert!(
        refusal.to_string().contains("produces a fact `dir` itself"),
        "{refusal}"
    );
}

/// A script is code and the name of a secret is fixed: no fact gets there, from a resolved plan either.
#[test]
fn no_fact_becomes_code_or_the_name_of_a_secret() {
    let script = "- {id: use, do: {shell: {from: count.rows}}, effect: pure}";
    refused(&after(script), 9, "expected a string, found a map");
    let header = "- {id: use, do: {http.check: {url: 'http://x/', headers: {A: {secret: {from: count.rows}}}}}}";
    refused(&after(header), 9, "expected a string, found a map");
    let good =
        write(&load_text("p", &after("- {id: use, do: {shell: echo}, effect: pure}")).unwrap());
    let forged = forged(&good.replace("\"echo\"", "{\"from\": \"count.rows\"}"));
    assert!(
        load_text("r", &forged)
            .unwrap_err()
            .to_string()
            .contains("cannot read")
    );
}

/// A resolved plan with the digest that it has.
fn forged(text: &str) -> String {
    let mut file: Value = serde_json::from_str(text).unwrap();
    file["digest"] = digest(&serde_json::from_value(file["plan"].clone()).unwrap()).into();
    file.to_string()
}

#[test]
fn a_resolved_plan_keeps_the_rules_of_facts() {
    let step = "- {id: use, do: {expect.port: {port: {from: make.bytes}}}, cwd: {from: make.dir}}";
    let text = write(&load_text("p", &after(step)).unwrap());
    for (from, to, part) in [
        (
            "make.bytes",
            "make.commit",
            "`make.commit` is a commit, which does not fit here",
        ),
        (
            "make.bytes",
            "make.bits",
            "no earlier step produces the fact `make.bits`",
        ),
        (
            "\"cwd_from\": \"make.dir\"",
            "\"cwd_from\": \"make.bytes\"",
            "`cwd` is an absolute path",
        ),
        (
            "\"cwd_from\": \"make.dir\"",
            "\"cwd_from\": \"use.dir\"",
            "no earlier step produces the fact `use.dir`",
        ),
        (
            "\"cwd\": null,\n            \"cwd_from\"",
            "\"cwd\": \"/\",\n            \"cwd_from\"",
            "two working directories",
        ),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let refusal = load_text("r", &forged(&changed)).expect_err(part);
        assert!(refusal.to_string().contains(part), "{part}: {refusal}");
    }
}

#[test]
fn editors_know_where_a_fact_may_stand_and_what_a_kind_hands_on() {
    let schema = json_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let valid = |step: &str| validator.is_valid(&yaml_to_json(&after(&format!("- {step}"))));
    for step in [
        "{id: use, do: {test.sample: {dir: {from: make.dir}, text: {from: make.text}, times: {from: make.bytes}}}}",
        "{id: use, do: {expect.port: {port: {from: make.bytes}}}, cwd: {from: make.dir}}",
        "{id: use, do: {process.start: {argv: [{from: make.text}], pidfile: /p, log: /l}}}",
        "{id: use, do: {http.check: {url: /u, headers: {A: {from: make.text}}}}}",
        "{id: use, do: {run: [x]}, undo: {expect.file: {path: {from: make.file}}}}",
    ] {
        assert!(valid(step), "{step}");
    }
    for step in [
        "{id: use, do: {test.sample: {dir: {form: make.dir}, text: x}}}",
        "{id: use, do: {test.sample: {dir: {from: make.dir, to: x}, text: x}}}",
        "{id: use, do: {shell: {from: make.text}}}",
        "{id: use, do: {http.check: {url: /u, headers: {A: {secret: {from: make.text}}}}}}",
        "{id: use, do: {run: [x]}, timeout: {from: make.text}}",
        "{id: {from: make.text}, do: {run: [x]}}",
    ] {
        assert!(!valid(step), "{step}");
    }
    let kinds = schema["$defs"]["Do"]["oneOf"].as_array().unwrap();
    let sample = kinds
        .iter()
        .find(|k| k["properties"]["test.sample"].is_object())
        .unwrap();
    assert_eq!(
        sample["x-facts"]["dir"],
        json!({"kind": "path", "description": "The directory."})
    );
    let run = kinds
        .iter()
        .find(|k| k["properties"]["run"].is_object())
        .unwrap();
    assert!(run.get("x-facts").is_none(), "{run}");
}
