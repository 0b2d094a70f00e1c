//! The documentation says what the program does: the plan reference is generated, plans in it are accepted, links lead
//! somewhere, every exit code and every kind of event is explained.

use crate::common::World;
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// README files and everything below `docs`.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("README.zh-CN.md")];
    let mut open = vec![root().join("docs")];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).expect("docs") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

fn one_line(text: &Value) -> String {
    text.as_str()
        .unwrap_or_default()
        .replace('\n', " ")
        .replace('|', "\\|")
}

/// The definition of a reference to a fact.
const FACT: &str = "#/$defs/From";

/// Kinds of action that are there for tests alone.
const TEST_KINDS: &str = "test.";

/// What a setting takes, in a few words. That each single value may be a fact is said once.
fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(all) = schema[key].as_array() {
            let shapes: Vec<String> = all
                .iter()
                .filter(|s| s["type"] != "null" && s["$ref"] != FACT)
                .map(|s| {
                    s["const"]
                        .as_str()
                        .map_or_else(|| shape(s), |c| format!("`{c}`"))
                })
                .collect();
            return shapes.join(" or ");
        }
    }
    if let Some(all) = schema["enum"].as_array() {
        let words: Vec<String> = all
            .iter()
            .map(|w| format!("`{}`", w.as_str().unwrap_or_default()))
            .collect();
        return words.join(" or ");
    }
    match &schema["type"] {
        Value::String(t) if t == "array" => format!("list of {}", shape(&schema["items"])),
        Value::String(t) if t == "object" && schema["properties"].is_object() => {
            let keys = schema["properties"].as_object().into_iter().flatten();
            let keys: Vec<String> = keys.map(|(k, v)| format!("{k}: {}", shape(v))).collect();
            format!("{{{}}}", keys.join(", "))
        }
        Value::String(t) if t == "object" => match &schema["patternProperties"] {
            Value::Object(patterns) => format!(
                "map to {}",
                patterns.values().map(shape).collect::<String>()
            ),
            _ if schema["additionalProperties"].is_object() => {
                format!("map to {}", shape(&schema["additionalProperties"]))
            }
            _ => "map".into(),
        },
        Value::String(t) => t.clone(),
        Value::Array(types) if types.iter().any(|t| t == "number") => "text".into(),
        Value::Array(types) => types
            .iter()
            .filter_map(Value::as_str)
            .find(|t| *t != "null")
            .unwrap_or("anything")
            .into(),
        _ => "anything".into(),
    }
}

/// A value that is written in one of several forms.
fn forms(out: &mut String, schema: &Value) {
    let all = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    let described = all.filter(|all| all.iter().all(|s| s["description"].is_string()));
    let Some(all) = described else {
        let _ = writeln!(out, "\n{}", shape(schema));
        return;
    };
    let _ = writeln!(out, "\n| value | meaning |\n|---|---|");
    let keys = |form: &Value| form["properties"].as_object().map_or(0, |p| p.len());
    let (actions, own): (Vec<&Value>, Vec<&Value>) = all.iter().partition(|f| keys(f) > 3);
    if let Some(first) = actions.first() {
        let beside = first["properties"].as_object().into_iter().flatten();
        let beside: Vec<String> = beside
            .map(|(key, _)| key)
            .filter(|key| {
                actions
                    .iter()
                    .all(|a| a["properties"][key.as_str()].is_object())
            })
            .map(|key| format!("`{key}`"))
            .collect();
        let _ = writeln!(
            out,
            "| the one key of [Do](#do), and {} | An action of its own. |",
            beside.join(", ")
        );
    }
    for form in own {
        let written = form["const"]
            .as_str()
            .map_or_else(|| shape(form), |c| format!("`{c}`"));
        let _ = writeln!(out, "| {written} | {} |", one_line(&form["description"]));
    }
}

/// The first step of `docs/examples.yaml` that holds this, without its indentation.
fn example(wanted: &str) -> String {
    let examples = text(&root().join("docs/examples.yaml"));
    let step = examples
        .split("      - ")
        .find(|step| step.contains(wanted))
        .unwrap_or_else(|| panic!("docs/examples.yaml has no {wanted}"));
    let lines = step
        .lines()
        .enumerate()
        .take_while(|(n, l)| *n == 0 || l.starts_with("        "))
        .map(|(n, l)| match n {
            0 => format!("- {l}"),
            _ => l.get(6..).unwrap_or_default().to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n")
}

fn table(out: &mut String, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else {
        forms(out, schema);
        return;
    };
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let _ = writeln!(out, "\n| key | type | meaning |\n|---|---|---|");
    for (key, value) in properties {
        let mark = if required.contains(&key.as_str()) {
            " (required)"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "| `{key}`{mark} | {} | {} |",
            shape(value),
            one_line(&value["description"])
        );
    }
}

/// What a kind hands on to later steps.
fn handed_on(out: &mut String, kind: &Value) {
    let Some(facts) = kind["x-facts"].as_object() else {
        return;
    };
    let _ = writeln!(out, "\n| fact | kind | meaning |\n|---|---|---|");
    for (name, fact) in facts {
        let _ = writeln!(
            out,
            "| `{name}` | {} | {} |",
            fact["kind"].as_str().unwrap_or_default(),
            one_line(&fact["description"])
        );
    }
}

/// The name of a kind of action and of the definition of its settings.
fn named(kind: &Value) -> (&str, &str) {
    let properties = kind["properties"].as_object();
    let (name, settings) = properties.and_then(|p| p.iter().next()).expect("a kind");
    let reference = settings["$ref"].as_str().unwrap_or_default();
    (name, reference.rsplit('/').next().unwrap_or_default())
}

/// The section of a kind of action.
fn section(kind: &Value, definitions: &Value, example: &str) -> String {
    let (name, definition) = named(kind);
    let mut out = format!("### {name}\n\n{}\n", one_line(&kind["description"]));
    let about = &definitions[definition]["description"];
    if about.is_string() {
        let _ = writeln!(out, "\n{}", one_line(about));
    }
    let _ = writeln!(out, "\n```yaml\n{example}\n```");
    table(&mut out, &definitions[definition]);
    handed_on(&mut out, kind);
    out.push('\n');
    out
}

const FACTS: &str = "\
A step produces facts for later steps: the outputs of its action, listed in this reference after the settings of each kind, and
the values that its `facts:` read from its output. A later step can use `{from: step.fact}` for

- any single value in the settings of an action, its `probe`, `verify` and `undo`, also inside lists and maps, and as an argument
  of `run`,
- the value of a variable in `env`,
- `cwd`, if the fact is a path.

`check` knows the kind of the facts that an action produces (text, path, digest, commit, number or boolean) and refuses them where
that kind does not fit. Values read from the output can be of any kind and are checked when the step that uses them starts. The
values are then inserted and recorded, and the undo of that step uses the same ones.

A step that is found done, or decided done, also produces the facts of its action, but not those read from its output. If a fact
is not known or does not fit, the step is refused before it starts: nothing is changed, and the run asks for a decision. Facts are
not substituted in scripts (pass them by `env`) and cannot name a secret. If the same facts exist on several targets, a step uses
those of its own target.
";

fn reference(schema: &Value) -> String {
    let mut out = String::from(
        "# Plan reference\n\nGenerated from the types by `UPDATE_DOCS=1 cargo test --test behaviour docs`; `upledger schema` prints the same\nas JSON Schema, and `docs/examples.yaml` contains the examples as one plan. Unknown keys, and keys that are not implemented yet, are refused.\n\n## Plan\n",
    );
    table(&mut out, schema);
    let definitions = &schema["$defs"];
    for name in ["Phase", "Step"] {
        let _ = writeln!(
            out,
            "\n## {name}\n\n{}",
            one_line(&definitions[name]["description"])
        );
        table(&mut out, &definitions[name]);
    }
    let _ = writeln!(
        out,
        "\n## Facts\n\n{FACTS}\n```yaml\n{}\n```",
        example("{from: ")
    );
    let _ = writeln!(
        out,
        "\n## Do\n\n{} A setting with a single value also accepts a [fact](#facts).\n",
        one_line(&definitions["Do"]["description"])
    );
    let kinds = definitions["Do"]["oneOf"].as_array().expect("kinds");
    for kind in kinds {
        let (name, _) = named(kind);
        if !name.starts_with(TEST_KINDS) {
            let example = example(&format!("        do: {{{name}:"));
            out += &section(kind, definitions, &example);
        }
    }
    let of_kinds: Vec<&str> = kinds.iter().map(|kind| named(kind).1).collect();
    let _ = writeln!(out, "## Values");
    for (name, definition) in definitions.as_object().expect("definitions") {
        if !["Phase", "Step", "Do"].contains(&name.as_str()) && !of_kinds.contains(&name.as_str()) {
            let _ = writeln!(
                out,
                "\n### {name}\n\n{}",
                one_line(&definition["description"])
            );
            table(&mut out, definition);
        }
    }
    out
}

#[test]
fn the_plan_reference_is_the_schema() {
    let world = World::new();
    let schema = serde_json::from_str(&world.upledger(&["schema"]).out).expect("JSON");
    let made = reference(&schema);
    let path = root().join("docs/plan-reference.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).expect("written");
    }
    assert_eq!(text(&path), made, "UPDATE_DOCS=1 writes it anew");
}

/// A kind costs its file and its line in the registry: the reference has a section for it.
#[test]
fn a_new_kind_is_documented_by_its_types() {
    let schema = World::new().upledger(&["schema"]).out;
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let kinds = schema["$defs"]["Do"]["oneOf"].as_array().expect("kinds");
    let kind = kinds.iter().find(|k| named(k).0 == "test.sample");
    let made = section(
        kind.expect("the kind of the tests"),
        &schema["$defs"],
        "...",
    );
    for part in [
        "### test.sample\n\nA directory holds a file, for the tests of the contract.\n",
        "| `dir` (required) | text | The directory, as an absolute path; made where it is not there. |",
        "| `times` | integer | How many times. Default: 1. |",
        "| fact | kind | meaning |",
        "| `file` | path | The file in it. |",
        "| `sha256` | digest | The digest of its content. |",
        "| `made` | boolean | The directory was not there before. |",
    ] {
        assert!(made.contains(part), "{part}\n{made}");
    }
    assert!(!text(&root().join("docs/plan-reference.md")).contains("test.sample"));
}

#[test]
fn the_examples_are_accepted_without_a_warning() {
    let world = World::new();
    let plan = root().join("docs/examples.yaml");
    let done = world.upledger(&["check", &plan.display().to_string(), "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let said: Value = serde_json::from_str(done.out.trim()).expect("JSON");
    assert_eq!(said["warnings"], serde_json::json!([]));
}

#[test]
fn plans_in_the_documentation_are_accepted() {
    let mut plans = 0;
    for page in pages() {
        for block in text(&page).split("```yaml\n").skip(1) {
            let plan = block.split("```").next().unwrap_or_default();
            if !plan.starts_with("upledger: 1") {
                continue;
            }
            plans += 1;
            let world = World::new();
            std::fs::write(world.path("plan.yaml"), plan).expect("written");
            let done = world.upledger(&["check", "plan.yaml"]);
            assert_eq!(done.code, 0, "{}: {done:?}", page.display());
        }
    }
    assert!(plans >= 2, "only {plans} plans were found");
}

/// The commands of a page: what stands in its code after `upledger`, without remarks.
fn commands(page: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in text(&root().join(page)).lines() {
        let blocks = line.strip_prefix("    ").map(str::trim_start);
        let inline = line.split('`').skip(1).step_by(2);
        for code in blocks.into_iter().chain(inline) {
            let Some(rest) = code.trim_start_matches("$ ").strip_prefix("upledger ") else {
                continue;
            };
            let code = rest.split(" #").next().unwrap_or_default();
            let code = code.split([';', '>', '|', '&']).next().unwrap_or_default();
            // What people say in quotes is one word, and its text does not matter.
            let mut words = Vec::new();
            for (n, part) in code.split('\'').enumerate() {
                if n % 2 == 1 {
                    words.push("...".to_owned());
                } else {
                    words.extend(part.split_whitespace().map(str::to_owned));
                }
            }
            if words
                .first()
                .is_some_and(|w| w.starts_with(|c: char| c.is_ascii_lowercase()))
            {
                found.push(words);
            }
        }
    }
    found
}

const GUIDES: [(&str, &str); 3] = [
    ("README.md", "README.zh-CN.md"),
    ("docs/first-plan.md", "docs/first-plan.zh-CN.md"),
    ("docs/operations.md", "docs/operations.zh-CN.md"),
];

/// At two in the morning a command is copied from the page: each one and each of its options exists.
#[test]
fn commands_in_the_guides_exist() {
    let world = World::new();
    let mut seen = 0;
    for page in GUIDES.iter().flat_map(|(en, zh)| [*en, *zh]) {
        for words in commands(page) {
            let mut name = vec![words[0].as_str()];
            if words[0] == "ledger" {
                name.extend(words.get(1).map(String::as_str));
            }
            let asked: Vec<&str> = name.iter().copied().chain(["--help"]).collect();
            let help = world.upledger(&asked);
            assert_eq!(help.code, 0, "{page}: upledger {}", words.join(" "));
            for option in words.iter().filter(|w| w.starts_with("--")) {
                let known = help.out.split_whitespace().any(|w| w == option);
                assert!(
                    known,
                    "{page}: upledger {} has no {option}",
                    words.join(" ")
                );
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} commands were found");
}

/// The Chinese pages tell the same commands in the same order as the English ones.
#[test]
fn the_chinese_guides_tell_the_same_commands() {
    for (en, zh) in GUIDES.iter().skip(1) {
        let of_blocks = |page: &str| -> Vec<String> {
            let lines = text(&root().join(page));
            let code = lines
                .lines()
                .filter(|l| l.trim_start().starts_with("upledger "));
            let plain = |l: &str| {
                let code = l.split(" #").next().unwrap_or_default().trim();
                let parts: Vec<&str> = code.split('\'').step_by(2).collect();
                parts.join("'")
            };
            code.map(plain).collect()
        };
        assert!(!of_blocks(en).is_empty(), "{en}");
        assert_eq!(of_blocks(en), of_blocks(zh), "{en} and {zh}");
        let heads = |page: &str| text(&root().join(page)).matches("\n## ").count();
        assert_eq!(heads(en), heads(zh), "{en} and {zh}");
    }
}

/// A heading as a link names it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn links_to_headings_lead_to_one() {
    let mut seen = 0;
    for page in pages() {
        for link in text(&page).split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            let Some((file, name)) = target.split_once('#') else {
                continue;
            };
            if file.contains("://") {
                continue;
            }
            let to = if file.is_empty() {
                page.clone()
            } else {
                page.parent().expect("a directory").join(file)
            };
            let headings = text(&to);
            let mut headings = headings.lines().filter(|l| l.starts_with('#'));
            let found = headings.any(|h| anchor(h.trim_start_matches('#')) == name);
            assert!(found, "{} links to {target}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} links were found");
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    for page in pages() {
        for link in text(&page).split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let path = page.parent().expect("a directory").join(file);
            assert!(path.exists(), "{} links to {target}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} links were found");
}

#[test]
fn every_exit_code_and_every_kind_of_event_is_explained() {
    let codes = text(&root().join("docs/exit-codes.md"));
    for code in (0..=9).chain(11..=13) {
        assert!(codes.contains(&format!("\n| {code} |")), "exit code {code}");
    }
    let events = text(&root().join("docs/events.md"));
    let source = text(&root().join("replay/src/event.rs"));
    let kinds: Vec<&str> = source
        .split("#[serde(rename = \"")
        .skip(1)
        .filter_map(|s| s.split('"').next())
        .collect();
    assert!(kinds.len() > 20, "{kinds:?}");
    for kind in kinds {
        assert!(events.contains(&format!("| `{kind}` |")), "{kind}");
    }
}
