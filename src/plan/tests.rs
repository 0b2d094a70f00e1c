//! Proves: a plan of all features resolves to what it says; each of many bad plans is refused at the right line with
//! the right words; the schema and the reader agree; arbitrary text never panics.

mod bad;
mod checks;
mod facts;
mod given;
mod live;
mod order;
mod slips;
mod traffic;

use super::Given;
use super::load::{LIMIT, digest, load_text};
use super::resolved::write;
use super::schema::json_schema;
use super::templates::{BLANK, DJANGO};
use proptest::prelude::*;
use serde_json::{Value, json};
use upledger_replay::plan::{ActionSpec, Effect, Input, OnDoubt, Undo};

const GOOD: &str = include_str!("tests/good.yaml");

/// A plan with one step, whose lines begin at line 6 of the text.
fn with_step(lines: &str) -> String {
    let body: Vec<String> = lines.lines().map(|l| format!("        {l}")).collect();
    let step = body.join("\n").replacen("        ", "      - ", 1);
    format!("upledger: 1\nname: x\nphases:\n  - phase: p\n    steps:\n{step}\n")
}

fn yaml_to_json(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[track_caller]
fn refused(text: &str, line: usize, part: &str) {
    let refusal = load_text("plan.yaml", text).expect_err(part);
    let found = refusal
        .problems
        .iter()
        .any(|p| p.line == line && p.message.contains(part));
    assert!(found, "wanted {line}: {part}\n{refusal}\n{text:.600}");
    let shown = refusal.render(false);
    assert!(shown.contains(part), "{shown}");
    assert_eq!(refusal.to_json().len(), refusal.problems.len());
}

#[test]
fn templates_of_both_languages_are_the_same_plan() {
    use super::templates::{blank, django};
    use crate::text::Lang;
    for (template, same) in [(blank as fn(Lang) -> &'static str, BLANK), (django, DJANGO)] {
        // What people read of the change is in their language.
        let chinese = &template(Lang::Zh)
            .replace("变更原因", "why the change is made")
            .replace("停机期间无法访问", "the application is down");
        assert_eq!(template(Lang::En), same);
        assert_eq!(yaml_to_json(chinese), yaml_to_json(same));
        let digest = |text: &str| load_text("p", text).expect("accepted").digest;
        assert_eq!(digest(chinese), digest(same));
        let signs = |text: &str| text.chars().filter(|c| !c.is_ascii()).count();
        assert!(signs(same) == 0 && signs(chinese) > 150, "{chinese}");
    }
}

#[test]
fn a_plan_of_all_features_resolves() {
    let checked = load_text("plan.yaml", GOOD).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let warnings: Vec<&str> = checked.warnings.iter().map(|w| &*w.recorded).collect();
    assert_eq!(
        warnings,
        [
            "the step `reindex` has facts and a probe: if the probe finds it done, its facts are not known, and a step that needs them fails"
        ]
    );
    let plan = &checked.plan;
    assert_eq!(plan.name, "bklog 4.6.8 → 4.9.0");
    assert_eq!(
        plan.change.as_ref().unwrap().impact.as_deref(),
        Some("日志检索停服 open")
    );
    let vars: Vec<_> = plan
        .vars
        .iter()
        .map(|p| (p.key.as_str(), p.value.as_str()))
        .collect();
    assert_eq!(
        vars,
        [
            ("literal", "${root}"),
            ("port", "8000"),
            ("region", "open"),
            ("root", "/data/bklog"),
            ("to", "4.9.0"),
            ("venv", "/data/bklog/venvs/4.9.0")
        ]
    );
    let reindex = plan.step("reindex").unwrap();
    assert_eq!(
        reindex.action.to_value(),
        json!({"run": ["/usr/bin/reindex", "--port", "8000", "-n", "5", "${root}"]})
    );
    assert_eq!(
        (reindex.effect, reindex.on_doubt, reindex.has_probe),
        (Effect::Probed, OnDoubt::Ask, true)
    );
    assert_eq!(
        (
            reindex.timeout_ms,
            reindex.retry.times,
            reindex.retry.wait_ms
        ),
        (Some(5_400_000), 2, 10_000)
    );
    assert_eq!(reindex.cwd.as_deref(), Some("/data/bklog"));
    assert_eq!(
        reindex
            .env
            .iter()
            .find(|v| v.key == "PGPASSWORD")
            .unwrap()
            .value,
        Input::Secret("db".into())
    );
    assert_eq!(
        reindex.env.iter().find(|v| v.key == "ZERO").unwrap().value,
        Input::Text("4.10".into())
    );
    let Undo::Action(undo) = &reindex.undo else {
        panic!("{:?}", reindex.undo)
    };
    assert_eq!(
        (undo.effect, undo.on_doubt, undo.has_probe),
        (Effect::Unsafe, OnDoubt::Retry, true)
    );
    let verify = undo.verify.as_ref().map(ActionSpec::to_value);
    assert_eq!(verify, Some(json!({"run": ["true"]})));
    let script = plan.step("script").unwrap();
    assert_eq!(
        script.action.to_value(),
        json!({"shell": "echo \"$ROWS\" ${HOME} > out\n"})
    );
    assert_eq!(script.env[0].value, Input::From("reindex.rows".into()));
    assert_eq!(
        plan.step("closed").unwrap().left_out.as_deref(),
        Some("region is 'open', not 'closed'")
    );
    assert_eq!(
        plan.step("iam").unwrap().undo,
        Undo::PointOfNoReturn("permissions cannot be taken back".into())
    );
    assert_eq!(plan.step("look").unwrap().undo, Undo::Nothing);
    assert_eq!(checked.digest, digest(plan));
    assert_eq!(checked.digest.len(), 64);
}

#[test]
fn the_order_of_keys_and_a_byte_order_mark_do_not_change_the_digest() {
    let base = load_text("a", GOOD).unwrap().digest;
    assert_eq!(
        load_text("a", &format!("\u{feff}{GOOD}")).unwrap().digest,
        base
    );
    assert_eq!(
        load_text("a", &GOOD.replace('\n', "\r\n")).unwrap().digest,
        base
    );
    let (a, b) = ("      region: open\n", "      port: 8000\n");
    let (a, b) = (a.trim_start(), b.trim_start());
    let swapped = GOOD.replace(a, "@@").replace(b, a).replace("@@", b);
    assert_ne!(swapped, GOOD);
    assert_eq!(load_text("a", &swapped).unwrap().digest, base);
    assert_ne!(
        load_text("a", &GOOD.replace("times: 2", "times: 3"))
            .unwrap()
            .digest,
        base
    );
}

#[test]
fn all_problems_at_once_with_suggestions_and_without_the_secret() {
    let text = with_step(
        "id: a\ndo: {run: [x, \"${regoin}\"]}\ntimout: 3m\nenv: {密码: x, DB_PASSWORD: hunter2}\nundo: none",
    ) + "vars: {region: open}\nwindow: {}\n";
    let refusal = load_text("plan.yaml", &text).unwrap_err();
    let lines: Vec<usize> = refusal.problems.iter().map(|p| p.line).collect();
    assert_eq!(lines, [6, 7, 8, 9, 9, 12], "{refusal}");
    let shown = refusal.render(false);
    for part in [
        "did you mean `region`?",
        "did you mean `timeout`?",
        "plan.yaml:9:",
        "on_doubt: ask",
        "help: ",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let leaked = load_text(
        "p",
        "upledger: 1\nname: x\nsecrets: {db: hunter2}\nphases: []\n",
    )
    .unwrap_err();
    assert!(!format!("{leaked:?}{}", leaked.render(false)).contains("hunter2"));
    assert!(
        !shown.contains("hunter2") && !format!("{refusal:?}").contains("hunter2"),
        "{shown}"
    );
    // A wide character is two columns: the carets stand under the key.
    let before =
        |l: &str, part: &str| unicode_width::UnicodeWidthStr::width(&l[..l.find(part).unwrap()]);
    let lines: Vec<&str> = shown.lines().collect();
    let mut carets = Vec::new();
    for pair in lines.windows(2).filter(|p| p[0].starts_with("9 |")) {
        carets.push(before(pair[1], "^"));
        assert!(
            [before(pair[0], "密码"), before(pair[0], "DB_PASSWORD")]
                .contains(&before(pair[1], "^")),
            "{shown}"
        );
    }
    assert!(carets.len() == 2 && carets[0] != carets[1], "{shown}");
}

#[test]
fn bombs_are_refused_quickly() {
    let began = std::time::Instant::now();
    let mut bomb = String::from("upledger: 1\nname: x\na: &a [x, x, x, x, x, x, x, x, x]\n");
    for (n, m) in ["b", "c", "d", "e", "f", "g", "h", "i"]
        .into_iter()
        .zip(["a", "b", "c", "d", "e", "f", "g", "h"])
    {
        bomb += &format!("{n}: &{n} [*{m}, *{m}, *{m}, *{m}, *{m}, *{m}, *{m}, *{m}, *{m}]\n");
    }
    let refusal = load_text("p", &bomb).unwrap_err();
    assert!(
        refusal.problems[0]
            .message
            .contains("with its aliases expanded"),
        "{refusal}"
    );
    let mut vars =
        String::from("upledger: 1\nname: x\nphases: []\nvars:\n  v0: aaaaaaaaaaaaaaaa\n");
    for n in 1..40 {
        vars += &format!("  v{n}: ${{v{0}}}${{v{0}}}\n", n - 1);
    }
    refused(&vars, 18, "longer than");
    refused(
        &format!(
            "upledger: 1\nname: x\nphases: {}{}\n",
            "[".repeat(100),
            "]".repeat(100)
        ),
        3,
        "nested deeper",
    );
    let deep = "a: &a [".to_owned() + &"&x [".repeat(50) + &"]".repeat(51);
    assert!(load_text("p", &deep).is_err());
    let large = "#".repeat(10 << 20);
    let refusal = load_text("p", &large).unwrap_err();
    let message = &refusal.problems[0].message;
    assert!(
        message.contains("10485760") && message.contains(&LIMIT.to_string()),
        "{message}"
    );
    assert!(began.elapsed().as_secs() < 20);
}

#[test]
fn ten_thousand_steps_are_the_limit() {
    let plan = |n: usize| {
        let steps: String = (0..n)
            .map(|i| format!("  - {{id: s{i}, do: {{run: [x]}}, effect: pure}}\n"))
            .collect();
        format!("upledger: 1\nname: x\nphases:\n- phase: p\n  steps:\n{steps}")
    };
    assert!(load_text("p", &plan(10_000)).is_ok());
    refused(&plan(10_001), 10_006, "more than 10000 steps");
}

#[test]
fn files() {
    let load = |path: &std::path::Path| super::load(path, &Given::default());
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    assert!(load(&at("good.yaml", GOOD.as_bytes())).is_ok());
    assert!(load(&dir.path().join("none.yaml")).unwrap_err().unreadable);
    assert!(load(dir.path()).unwrap_err().unreadable);
    let refusal = load(&at("gb.yaml", b"a: 1\nb: \xc4\xe3\n")).unwrap_err();
    assert_eq!((refusal.problems[0].line, refusal.unreadable), (2, false));
    let refusal = load(&at("large.yaml", &vec![b'a'; 40 << 20])).unwrap_err();
    assert!(refusal.problems[0].message.contains("41943040 bytes"));
}

#[test]
fn a_resolved_plan_is_read_back_and_a_changed_one_is_refused() {
    let checked = load_text("p", GOOD).unwrap();
    let text = write(&checked);
    let again = load_text("r.json", &text).unwrap();
    assert_eq!(
        (&again.plan, &again.digest),
        (&checked.plan, &checked.digest)
    );
    let compact: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        load_text("r.json", &compact.to_string()).unwrap().digest,
        checked.digest
    );
    let changed = text.replace("/usr/bin/reindex", "/usr/bin/rm");
    assert!(
        load_text("r.json", &changed)
            .unwrap_err()
            .to_string()
            .contains("digest does not match")
    );
    assert!(
        load_text("r.json", &text[..text.len() / 2])
            .unwrap_err()
            .to_string()
            .contains("not a resolved plan")
    );
    let mut forged = compact;
    forged["plan"]["phases"][0]["steps"][0]["effect"] = json!("probed");
    let plan = serde_json::from_value(forged["plan"].clone()).unwrap();
    forged["digest"] = json!(digest(&plan));
    assert!(
        load_text("r.json", &forged.to_string())
            .unwrap_err()
            .to_string()
            .contains("its probe declaration")
    );
}

#[test]
fn the_schema_agrees_with_the_reader() {
    let schema = json_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for good in [GOOD, BLANK, DJANGO] {
        let errors: Vec<String> = validator
            .iter_errors(&yaml_to_json(good))
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    for (from, to) in [
        ("upledger: 1", "upledger: 2"),
        ("on_failure: rollback", "on_failure: panic"),
        ("timeout: 1h30m", "timeout: soon"),
        ("do: {run: [echo, ", "do: {rnu: [echo, "),
        ("undo: none", "undo: nothing"),
        ("- phase: prepare", "- window: {}\n    phase: prepare"),
    ] {
        let bad = GOOD.replacen(from, to, 1);
        assert_ne!(bad, GOOD, "{from}");
        assert!(!validator.is_valid(&yaml_to_json(&bad)), "{to}");
        assert!(load_text("p", &bad).is_err(), "{to}");
    }
    assert!(
        schema["properties"]["vars"]["description"]
            .as_str()
            .unwrap()
            .contains("never put a secret here")
    );
}

#[test]
fn templates_are_accepted_as_they_are() {
    for (name, text) in [("blank.yaml", BLANK), ("django.yaml", DJANGO)] {
        let checked = load_text(name, text).unwrap_or_else(|e| panic!("{}", e.render(false)));
        assert!(text.starts_with("# yaml-language-server: $schema=./upledger-plan.schema.json\n"));
        assert!(text.lines().all(|l| l.chars().count() <= 150), "{name}");
        assert_eq!(checked.warnings, [], "{name}");
    }
}

#[test]
fn slips_are_warned_about() {
    let text = with_step("id: a\ndo: {run: [x]}\neffect: pure\nundo: {run: [y]}")
        + "vars: {a: 1}\nsecrets: {b: {env: B}}\n";
    let warnings = load_text("p", &text).unwrap().warnings;
    for (part, line) in [
        ("`a` changes nothing", "undo:"),
        ("variable `a` is not used", "vars:"),
        ("secret `b` is not used", "secrets:"),
    ] {
        let line = text.lines().position(|l| l.contains(line)).map(|n| n + 1);
        let found = warnings.iter().find(|w| w.recorded.contains(part));
        assert_eq!(found.expect(part).line, line, "{warnings:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), yaml in r#"([ \n\t:{}\[\]&*!?|>'"%@,#$-]|upledger|name|phases|\$\{a\}|漢){0,80}"#) {
        for text in [text, yaml] {
            if let Err(refusal) = load_text("p", &text) {
                prop_assert!(!refusal.problems.is_empty());
                prop_assert!(!refusal.render(true).is_empty());
            }
        }
    }

    #[test]
    fn a_mutated_plan_never_panics(at in 0..GOOD.len(), len in 0..12_usize, put in r#"[ \n\t:{}\[\]&*!'"$\\a-z漢\u{0}-]{0,6}"#) {
        let floor = |n: usize| (0..=n.min(GOOD.len())).rev().find(|n| GOOD.is_char_boundary(*n)).unwrap_or(0);
        let (from, to) = (floor(at), floor(at + len));
        let text = format!("{}{put}{}", &GOOD[..from], &GOOD[to..]);
        match load_text("p", &text) {
            Err(refusal) => {
                prop_assert!(!refusal.problems.is_empty());
                let lines = text.split('\n').count();
                prop_assert!(refusal.problems.iter().all(|p| (1..=lines).contains(&p.line) && p.column >= 1));
                prop_assert!(!refusal.render(false).is_empty() && !refusal.to_json().is_empty());
            }
            Ok(checked) => {
                prop_assert_eq!(load_text("r", &write(&checked)).unwrap().digest, checked.digest);
            }
        }
    }
}
