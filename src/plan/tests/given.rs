//! Variables that are given for one run.

use crate::plan::{Checked, Given, Refusal, load, resolved};
use std::path::PathBuf;

const PLAN: &str = r#"
upledger: 1
name: "release ${release}"
vars: {release: 1.0, dir: "/srv/${release}", owner: }
secrets: {upstream: {env: UP}}
phases:
  - phase: all
    steps:
      - {id: a, do: {run: [/bin/echo, "${dir}", "${owner}", "${host}"]}, undo: none, on_doubt: ask}
"#;

struct Files(tempfile::TempDir);

impl Files {
    fn new(plan: &str, vars: Option<&str>) -> Self {
        let this = Self(tempfile::tempdir().expect("a directory"));
        std::fs::write(this.path("plan.yaml"), plan).expect("written");
        if let Some(vars) = vars {
            std::fs::write(this.path("vars.yaml"), vars).expect("written");
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, arguments: &[&str]) -> Result<Checked, Refusal> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let file = Some(self.path("vars.yaml")).filter(|f| f.exists());
        load(
            &self.path("plan.yaml"),
            &Given::read(file.as_deref(), &arguments)?,
        )
    }
}

fn said(refused: Result<Checked, Refusal>) -> String {
    let refusal = refused.expect_err("refused");
    refusal.render(false)
}

fn argv(checked: &Checked) -> String {
    let (_, step) = checked.plan.steps().next().expect("a step");
    step.action.to_value().to_string()
}

#[test]
fn an_argument_goes_before_the_file_and_the_file_before_the_plan() {
    let files = Files::new(PLAN, Some("# of tonight\nowner: file\nhost: h\n"));
    let checked = files.load(&["owner=argument", "release=4.9.0"]).unwrap();
    assert_eq!(checked.plan.name, "release 4.9.0");
    assert!(argv(&checked).contains(r#"["/bin/echo","/srv/4.9.0","argument","h"]"#));
    let recorded: Vec<_> = checked.plan.vars.iter().collect();
    assert!(recorded.iter().any(|v| v.key == "host" && v.value == "h"));
    let other = files.load(&["owner=argument", "release=4.9.1"]).unwrap();
    assert_ne!(checked.digest, other.digest, "they are part of the digest");
}

#[test]
fn a_given_value_is_text_and_stands_for_itself() {
    let files = Files::new(PLAN, None);
    let checked = files.load(&["owner=${release} = $${x}", "host="]).unwrap();
    assert!(
        argv(&checked).contains(r#""${release} = $${x}","""#),
        "{}",
        argv(&checked)
    );
}

#[test]
fn what_is_missing_or_unknown_is_named_with_its_remedy() {
    let files = Files::new(PLAN, None);
    let text = said(files.load(&["host=h"]));
    assert!(text.contains("the variable `owner` has no value"), "{text}");
    assert!(text.contains("--var owner=VALUE"), "{text}");
    let text = said(files.load(&["owner=o"]));
    assert!(text.contains("there is no variable `host`"), "{text}");
    assert!(text.contains("--var host=VALUE"), "{text}");
    let text = said(files.load(&["owner=o", "host=h", "relaese=2"]));
    assert!(text.contains("no variable `relaese`"), "{text}");
    assert!(text.contains("did you mean `release`?"), "{text}");
    assert!(text.contains("--var:3:1"), "{text}");
}

#[test]
fn a_secret_is_no_variable_and_is_not_shown() {
    let files = Files::new(PLAN, None);
    let text = said(files.load(&["owner=o", "host=h", "upstream=x"]));
    assert!(
        text.contains("`upstream` is a secret of the plan"),
        "{text}"
    );
    let text = said(files.load(&["db_password=hunter2"]));
    assert!(text.contains("db_password"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn what_is_no_variable_is_refused_at_its_place() {
    for (argument, part) in [
        ("owner", "NAME=VALUE"),
        ("=x", "not a valid"),
        ("Owner=x", "not a valid"),
        ("owner=a\0b", "NUL"),
    ] {
        let text = said(Files::new(PLAN, None).load(&[argument]));
        assert!(text.contains(part), "{argument}: {text}");
    }
    let twice = said(Files::new(PLAN, None).load(&["owner=a", "owner=b"]));
    assert!(twice.contains("given twice"), "{twice}");
    for (vars, part) in [
        ("- owner", "not a map"),
        ("owner: [a]", "not a single value"),
        ("owner: a\nowner: b", "duplicate key"),
        ("owner: 'a", "vars.yaml:1"),
    ] {
        let text = said(Files::new(PLAN, Some(vars)).load(&[]));
        assert!(text.contains(part), "{vars}: {text}");
    }
}

#[test]
fn a_resolved_plan_has_its_values() {
    let files = Files::new(PLAN, None);
    let checked = files.load(&["owner=o", "host=h"]).unwrap();
    std::fs::write(files.path("plan.yaml"), resolved::write(&checked)).expect("written");
    assert_eq!(files.load(&[]).unwrap().digest, checked.digest);
    let text = said(files.load(&["owner=p"]));
    assert!(text.contains("plan --out"), "{text}");
}

/// It is known when the plan runs, so that one approved plan is the plan of every night.
#[test]
fn the_name_of_the_run_stays_in_the_resolved_plan() {
    let plan = PLAN.replace("vars: {", "vars: {copy: \"/backup/${run}.db\", ");
    let plan = plan.replace("\"${host}\"", "\"${host} ${run}\", \"${copy}\"");
    let files = Files::new(&plan, None);
    let checked = files.load(&["owner=o", "host=h"]).unwrap();
    let argv = argv(&checked);
    assert!(argv.contains(r#""h ${run}","/backup/${run}.db""#), "{argv}");

    for (from, to) in [
        ("release ${release}", "of ${run}"),
        ("${host}", "$${run}"),
        ("vars: {", "secrets: {run: {env: RUN}}\nvars: {"),
    ] {
        let plan = PLAN.replace("secrets: {upstream: {env: UP}}\n", "");
        let files = Files::new(&plan.replace(from, to).replace("${owner}", "${run}"), None);
        let given = ["owner=o", "host=h"].into_iter();
        let given = given.filter(|g| from != "${host}" || !g.starts_with("host"));
        let text = said(files.load(&given.collect::<Vec<_>>()));
        assert!(text.contains("run"), "{text}");
    }
    let text = said(Files::new(PLAN, None).load(&["owner=${run}", "host=h"]));
    assert!(text.contains("${run}"), "{text}");
    let own = PLAN
        .replace("vars: {", "vars: {run: mine, ")
        .replace("${host}", "${run}");
    let checked = Files::new(&own, None).load(&["owner=o"]).unwrap();
    assert!(
        self::argv(&checked).contains(r#""mine""#),
        "a variable of that name takes precedence"
    );
}

/// A plan of one step, which takes `x`.
fn with_step(step: &str) -> Files {
    let plan = format!(
        "upledger: 1\nname: n\nvars: {{x: }}\nsecrets: {{up: {{env: UP}}}}\nphases:\n  - phase: p\n    steps:\n      - {{id: a, {step}}}\n"
    );
    Files::new(&plan, None)
}

#[test]
fn a_value_never_chooses_what_is_done_nor_which_secret_or_fact_is_meant() {
    for step in [
        "do: {run: [/bin/echo]}, on_doubt: ask, undo: \"${x}\"",
        "do: \"${x}\", undo: none",
        "do: {run: [/bin/echo]}, on_doubt: ask, undo: {run: [/bin/echo], effect: \"${x}\"}",
        "do: {run: [/bin/echo]}, on_doubt: ask, undo: none, effect: \"${x}\"",
        "do: {run: [/bin/echo]}, on_doubt: ask, undo: none, env: {A: {secret: \"${x}\"}}",
        "do: {run: [/bin/echo]}, on_doubt: ask, undo: none, env: {A: {from: \"${x}.rows\"}}",
    ] {
        for value in ["none", "pure", "up", "a"] {
            let refused = said(with_step(step).load(&[&format!("x={value}")]));
            let named = refused.contains("variable");
            assert!(named, "{step} with {value}: {refused}");
        }
    }
}

#[test]
fn a_value_in_a_regular_expression_is_text() {
    let step = "do: {expect.stopped: {processes: [\"^${x}/bin.*(a|b)$\"]}}";
    let checked = with_step(step).load(&["x=/srv/app-1.0 (new)"]).unwrap();
    let action = argv(&checked);
    let escaped = r#""^/srv/app\\-1\\.0 \\(new\\)/bin.*(a|b)$""#;
    assert!(action.contains(escaped), "{action}");
}

#[test]
fn a_variable_without_a_value_is_all_that_is_said_of_its_settings() {
    let step =
        "do: {expect.port: {port: \"${x}\", open: \"${x}\"}}, cwd: \"${x}\", env_file: \"${y}\"";
    let refused = said(with_step(step).load(&[]));
    assert!(
        refused.contains("the variable `x` has no value"),
        "{refused}"
    );
    assert!(refused.contains("`y`"), "{refused}");
    for word in ["number", "absolute", "true or false", "65535"] {
        assert!(!refused.contains(word), "{word}: {refused}");
    }
}
