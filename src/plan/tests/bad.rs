//! Proves: each of these plans is refused, at that line, with those words.

use super::{load_text, refused, with_step};

#[test]
fn what_is_looked_for_in_cwd_needs_one() {
    for (action, name) in [
        ("django.check: {python: /p}", "manage.py"),
        ("django.collectstatic: {python: /p}", "manage.py"),
        (
            "pip.install: {venv: /v, python: /p, requirements: [/a.txt, b.txt]}",
            "b.txt",
        ),
    ] {
        let part = format!("`{name}` is relative to the step's `cwd`, and the step has none");
        let step = format!("id: a\ndo: {{{action}}}");
        refused(&with_step(&step), 7, &part);
        load_text("p", &with_step(&format!("{step}\ncwd: /srv"))).expect("it has one");
    }
    // A look would only find out when the step has acted.
    let step = "id: a\ndo: {run: [x]}\neffect: pure\nverify: {django.check: {python: /p}}";
    refused(&with_step(step), 9, "`manage.py` is relative to");
    // A way back that cannot be gone is found out at night.
    for undo in [
        "{django.check: {python: /p}}",
        "{run: [y], verify: {django.check: {python: /p}}}",
        "{run: [y], probe: {django.check: {python: /p}}}",
    ] {
        let step = format!("id: a\ndo: {{run: [x]}}\non_doubt: ask\nundo: {undo}");
        refused(&with_step(&step), 9, "`manage.py` is relative to");
        load_text("p", &with_step(&format!("{step}\ncwd: /srv"))).expect("it has one");
    }
}

/// The text of a resolved plan with this step's part taken out.
fn without(text: &str, key: &str) -> String {
    let mut file: serde_json::Value = serde_json::from_str(text).unwrap();
    file["plan"]["phases"][0]["steps"][0][key] = serde_json::Value::Null;
    let plan = serde_json::from_value(file["plan"].clone()).unwrap();
    file["digest"] = super::digest(&plan).into();
    file.to_string()
}

#[test]
fn a_resolved_plan_keeps_the_rule_of_the_cwd() {
    for step in [
        "do: {django.check: {python: /p}}",
        "do: {run: [x]}\neffect: pure\nverify: {django.check: {python: /p}}",
        "do: {run: [x]}\non_doubt: ask\nundo: {django.check: {python: /p}}",
    ] {
        let good = with_step(&format!("id: a\n{step}\ncwd: /srv"));
        let text = super::write(&load_text("p", &good).unwrap());
        load_text("r", &text).expect("it has one");
        let refusal = load_text("r", &without(&text, "cwd")).expect_err(step);
        assert!(
            refusal.to_string().contains("`manage.py` is relative to"),
            "{refusal}"
        );
    }
}

#[test]
fn a_resolved_plan_keeps_its_warnings_and_the_order_of_its_steps() {
    let text = r"
upledger: 1
name: x
vars: {unused: x}
secrets: {idle: {env: IDLE}}
phases:
  - phase: p
    steps:
      - {id: a, do: {run: [x, '|']}, effect: pure, undo: {run: [y], effect: idempotent}}
      - {id: f, do: {run: [x]}, probe: {run: [y]}, effect: probed, undo: none, facts: {n: {json: .n}}}
      - {id: stop, do: {celery.stop: {}}, why: told so}
      - {id: front, do: {nginx.stop: {}}}
      - {id: web, do: {gunicorn.stop: {}}}
";
    let checked = load_text("p", text).unwrap_or_else(|e| panic!("{e}"));
    let said = |c: &super::super::load::Checked| -> std::collections::BTreeSet<String> {
        c.warnings.iter().map(|w| w.recorded.clone()).collect()
    };
    assert!(checked.warnings.len() >= 6, "{:#?}", checked.warnings);
    let again = load_text("r", &super::write(&checked)).unwrap();
    assert_eq!(said(&checked), said(&again));
    assert_eq!(checked.warnings.len(), again.warnings.len(), "{again:?}");
    assert!(again.warnings.iter().all(|w| w.line.is_none()));
    // What stands in the plan itself is found without the list, in a file of before as well.
    let mut file: serde_json::Value = serde_json::from_str(&super::write(&checked)).unwrap();
    file.as_object_mut()
        .unwrap()
        .remove("warnings")
        .expect("they are there");
    let bare = load_text("r", &file.to_string()).unwrap();
    for part in ["idle", "`a` changes nothing", "`f` has facts", "told so"] {
        assert!(
            bare.warnings.iter().any(|w| w.recorded.contains(part)),
            "{part}: {bare:#?}"
        );
    }
    let unexcused = file.to_string().replace("\"told so\"", "null");
    let mut file: serde_json::Value = serde_json::from_str(&unexcused).unwrap();
    let plan = serde_json::from_value(file["plan"].clone()).unwrap();
    file["digest"] = super::digest(&plan).into();
    let refusal = load_text("r", &file.to_string()).expect_err("too early");
    assert!(
        refusal.to_string().contains("`stop` comes before `front`"),
        "{refusal}"
    );
}

/// The value that is wrong is pointed at, and what is to be written instead is said.
#[test]
fn a_wrong_value_is_pointed_at_and_has_a_remedy() {
    for (action, at, hint) in [
        ("run: \"ls -l\"", "\"ls -l\"", "`run: [ls, -l]`"),
        (
            "service.stop: {by: {supervisor: web}}",
            "web",
            "`supervisor: {program: web}`",
        ),
        ("service.stop: {by: web}", "web", "`by: {supervisor: "),
        ("nginx.restart: {}", "nginx.restart", "`nginx.reload`, or"),
        (
            "celery.restart: {}",
            "celery.restart",
            "`celery.stop` and `celery.start`",
        ),
        ("file.backup: {path: there}", "there", ""),
        ("expect.process: {match: x, count: -1}", "-1", ""),
        (
            "expect.port: {port: \u{ff18}0, is: open}",
            "\u{ff18}0",
            "write `80`",
        ),
        (
            "expect.port: {port: 80,\u{3000}is: open}",
            "\u{3000}",
            "instead of U+3000",
        ),
        ("run: [a\u{ff0c} b]", "\u{ff0c}", "instead of U+FF0C"),
    ] {
        let text = with_step(&format!("id: a\ndo: {{{action}}}\neffect: pure"));
        let problems = load_text("p", &text).expect_err(action).problems;
        let found = problems.iter().any(|p| {
            let marked = p.span.and_then(|s| text.get(s.start..s.end));
            let remedy = p.hint.as_deref().unwrap_or_default();
            marked == Some(at) && remedy.contains(hint)
        });
        assert!(found, "{action}: {problems:#?}");
    }
    let text =
        with_step("id: a\ndo: {expect.process: {match: x, count: 99999999999}}\neffect: pure");
    refused(&text, 7, "a number from 0 to 4294967295");
}

/// A script of many lines is pointed into; all of it stays masked.
#[test]
fn a_secret_in_a_script_is_found_with_its_line() {
    let step = "id: a\ndo:\n  shell: |\n    set -e\n    cd /srv\n    mysql --password=hunter22 x\neffect: pure";
    let text = with_step(step);
    refused(&text, 11, "a literal secret under `password`");
    let shown = load_text("p", &text).expect_err("refused").render(false);
    assert!(!shown.contains("hunter22"), "{shown}");
}

/// What is missing most likely stands under the key that is not known.
#[test]
fn an_unknown_key_is_not_followed_by_what_it_was_meant_to_say() {
    let text = with_step("id: a\ndo: {run: [x]}\neffects: pure");
    let problems = load_text("p", &text).unwrap_err().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    refused(&text, 8, "unknown key `effects`");
    // Without it both are said.
    let problems = load_text("p", &with_step("id: a\ndo: {run: [x]}")).unwrap_err();
    assert_eq!(problems.problems.len(), 2, "{problems}");
}

#[test]
fn bad_heads() {
    for (text, line, part) in [
        ("", 1, "the plan is empty"),
        ("# only a comment\n", 1, "the plan is empty"),
        ("- a\n- b\n", 1, "a plan is a map"),
        ("upledger: 1\nname: x\n", 1, "the key `phases` is missing"),
        ("upledger: 2\nname: x\nphases: []\n", 1, "version 2"),
        (
            "upledger: 1\nname: x\nphases: []\n",
            3,
            "at least one phase",
        ),
        (
            "upledger: 1\nname: x\nphases:\n  - phase: p\n    steps: []\n",
            5,
            "at least one step",
        ),
        (
            "upledger: 1\nname: x\nname: y\nphases: []\n",
            3,
            "duplicate key `name`",
        ),
        (
            "upledger: 1\nname: x\nphases:\n\t- phase: p\n",
            4,
            "a tab in the indentation",
        ),
        (
            "upledger: 1\nname: x\nphases:\n  - phase: p\n  \tsteps: []\n",
            5,
            "tab",
        ),
        (
            "upledger: 1\nname: x\nenvironmnet: prod\nphases: []\n",
            3,
            "unknown key `environmnet`",
        ),
        (
            "upledger: 1\nname: x\nwindow: {opens: x}\nphases: []\n",
            3,
            "`window` is not implemented yet",
        ),
        (
            "upledger: 1\nname: x\nphases: []\nhosts: {a: {ssh: b}}\nmonitor: {}\n",
            5,
            "`monitor` is not implemented yet",
        ),
        ("upledger: 1\nname: [x\n", 2, "not valid YAML"),
        (
            "upledger: \"1\"\nname: x\nphases: []\n",
            1,
            "expected a number",
        ),
        (
            "upledger: yes\nname: x\nphases: []\n",
            1,
            "expected a number",
        ),
        (
            "upledger: 1\nname: x\non_failure: panic\nphases: []\n",
            3,
            "`panic` is not valid here",
        ),
        (
            "upledger: 1\nname: x\nphases: []\n---\nupledger: 1\n",
            4,
            "more than one YAML document",
        ),
        ("upledger: 1\nname: !x y\nphases: []\n", 2, "a YAML tag"),
        ("upledger: 1\nname: x\n<<: {a: b}\nphases: []\n", 3, "merge"),
        (
            "upledger: 1\nname: x\n? [a]\n: b\nphases: []\n",
            3,
            "a key must be a single word",
        ),
        ("upledger: 1\nname: x\0\nphases: []\n", 2, "NUL"),
        ("upledger: 1\nname: \"x\\0\"\nphases: []\n", 2, "NUL"),
        ("upledger: 1\nname: x\nphases: &a [*a]\n", 3, "alias"),
        (
            "upledger: 1\nname: x ${nmae}\nvars: {name: a}\nphases: []\n",
            2,
            "there is no variable `nmae`",
        ),
        (
            "upledger: 1\nname: x\nvars:\n  a: ${b}\n  b: ${c}\n  c: ${a}\nphases: []\n",
            4,
            "these variables refer to each other: a -> b -> c -> a",
        ),
        (
            "upledger: 1\nname: x\nvars: {a: \"${a}\"}\nphases: []\n",
            3,
            "refer to each other: a -> a",
        ),
        (
            "upledger: 1\nname: x\nvars: {a: [1]}\nphases: []\n",
            3,
            "`a` is not a single value",
        ),
        (
            "upledger: 1\nname: x\nvars: {A: 1}\nphases: []\n",
            3,
            "`A` is not a valid variable name",
        ),
        (
            "upledger: 1\nname: x\nvars: {db: 1}\nsecrets: {db: {env: X}}\nphases: []\n",
            3,
            "both a variable and a secret",
        ),
        (
            "upledger: 1\nname: x\nvars: {db_password: hunter2}\nphases: []\n",
            3,
            "a literal secret under `db_password`",
        ),
        (
            "upledger: 1\nname: x ${db}\nsecrets: {db: {env: X}}\nphases: []\n",
            2,
            "`db` is a secret",
        ),
        (
            "upledger: 1\nname: x\nsecrets: {db: hunter2}\nphases: []\n",
            3,
            "has no source",
        ),
        (
            "upledger: 1\nname: x\nsecrets: {db: {file: \"${r}/x\"}}\nphases: []\n",
            3,
            "not substituted in `secrets`",
        ),
        (
            "upledger: 1\nname: x\nsecrets: {db: {command: []}}\nphases: []\n",
            3,
            "empty",
        ),
        (
            "upledger: 1\nname: x\nphases:\n  - phase: p\n    on: app\n    steps: []\n",
            5,
            "`on` is not implemented yet",
        ),
    ] {
        refused(text, line, part);
    }
}

#[test]
fn bad_steps() {
    let ok = "undo: none\non_doubt: ask";
    let cases: Vec<(String, usize, &str)> = [
        (
            "id: a\ndo: {run: [x]}\nundo: none",
            6,
            "is not safe to repeat and does not say what to do in doubt",
        ),
        (
            "id: a\ndo: {run: [x]}\nundo: none\neffect: unsafe",
            9,
            "is not safe to repeat",
        ),
        ("id: a\ndo: {run: [x]}\non_doubt: ask", 6, "has no undo"),
        (
            "id: a\ndo: {run: [x]}\nundo: none\neffect: probed",
            9,
            "needs a probe",
        ),
        ("id: a\ndo: {run: []}\nOK", 7, "the command is empty"),
        (
            "id: a\ndo: {run: [x]}\ncwd: here\nOK",
            8,
            "`cwd` is not an absolute path: here",
        ),
        ("id: a\ndo: {shell: \"  \"}\nOK", 7, "the script is empty"),
        ("id: a\ndo: {rnu: [x]}\nOK", 7, "`rnu` is not valid here"),
        ("id: a\ndo: [x]\nOK", 7, "exactly one key"),
        ("id: a\ndo: {run: [x], shell: y}\nOK", 7, "exactly one key"),
        (
            "id: a\ndo: {run: [x, null]}\nOK",
            7,
            "an argument of a command is text",
        ),
        (
            "id: a\ndo: {run: [x, [y]]}\nOK",
            7,
            "an argument of a command is text",
        ),
        (
            "id: a\ndo: {run: [x]}\nretry: [3, 10s]\nOK",
            8,
            "expected a map, found a list",
        ),
        ("id: a\nOK", 6, "the key `do` is missing"),
        (
            "id: 数据库\ndo: {run: [x]}\nOK",
            6,
            "`数据库` is not a valid step id",
        ),
        ("id: A\ndo: {run: [x]}\nOK", 6, "is not a valid step id"),
        (
            "id: a\ndo: {run: [x]}\ntimout: 3m\nOK",
            8,
            "unknown key `timout`",
        ),
        (
            "id: a\ndo: {run: [x]}\napproval: {required: 1}\nOK",
            8,
            "`approval` is not implemented yet",
        ),
        (
            "id: a\ndo: {run: [x]}\non: app\nOK",
            8,
            "`on` does not support other hosts yet",
        ),
        ("id: a\ndo: {run: [x]}\ntimeout: 30\nOK", 8, "needs a unit"),
        (
            "id: a\ndo: {run: [x]}\ntimeout: 0s\nOK",
            8,
            "greater than zero",
        ),
        (
            "id: a\ndo: {run: [x]}\nretry: {times: 101}\nOK",
            8,
            "at most 100 retries",
        ),
        (
            "id: a\ndo: {run: [x]}\nretry: {times: -1}\nOK",
            8,
            "a number from ",
        ),
        (
            "id: a\ndo: {run: [x]}\nwhen: {var: nope, is: 1}\nOK",
            8,
            "there is no variable `nope`",
        ),
        (
            "id: a\ndo: {run: [x, \"${nope}\"]}\nOK",
            7,
            "there is no variable `nope`",
        ),
        ("id: a\ndo: {run: [x, \"${\"]}\nOK", 7, "without its `}`"),
        (
            "id: a\ndo: {run: [x, \"${A-B}\"]}\nOK",
            7,
            "is not a valid variable name",
        ),
        (
            "id: a\ndo: {run: [x, {secret: db}]}\nOK",
            7,
            "a secret cannot be a command argument",
        ),
        (
            "id: a\ndo: {run: [x, --password=hunter2]}\nOK",
            7,
            "a literal secret under `password`",
        ),
        (
            "id: a\ndo: {run: [/usr/bin/mysqldump, -phunter2]}\nOK",
            7,
            "a literal secret under `password`",
        ),
        (
            "id: a\ndo: {shell: mysql -uroot -phunter2 shop}\nOK",
            7,
            "a literal secret under `password`",
        ),
        (
            "id: a\ndo: {run: [curl, -H, 'Authorization: Bearer hunter2', x]}\nOK",
            7,
            "a literal secret under `Authorization`",
        ),
        (
            "id: a\ndo: {run: [x, --password, hunter2]}\nOK",
            7,
            "a literal secret under `password`",
        ),
        (
            "id: a\ndo: {run: [env, DB_PASSWORD=hunter2, x]}\nOK",
            7,
            "a literal secret under `DB_PASSWORD`",
        ),
        (
            "id: a\ndo: {shell: PGPASSWORD='hunter2' psql}\nOK",
            7,
            "a literal secret under `PGPASSWORD`",
        ),
        (
            "id: a\ndo: {shell: \"echo ${HOME}\"}\nOK",
            7,
            "variables are not substituted in scripts",
        ),
        (
            "id: a\ndo: {run: [x]}\nenv: {DB_PASSWORD: hunter2}\nOK",
            8,
            "a literal secret under `DB_PASSWORD`",
        ),
        (
            "id: a\ndo: {run: [x]}\nenv: {A: {secret: nope}}\nOK",
            8,
            "there is no secret `nope`",
        ),
        (
            "id: a\ndo: {run: [x]}\nenv: {A: {from: a.rows}}\nfacts: {rows: {json: .rows}}\nOK",
            8,
            "`a.rows` is not known yet",
        ),
        (
            "id: a\ndo: {run: [x, {from: b.rows}]}\nOK",
            7,
            "no earlier step produces the fact `b.rows`",
        ),
        (
            "id: a\ndo: {run: [x]}\nenv: {\"A B\": c}\nOK",
            8,
            "not a valid name of an environment variable",
        ),
        (
            "id: a\ndo: {run: [x]}\nenv: {A: [c]}\nOK",
            8,
            "expected text, {secret: name} or {from: step.fact}",
        ),
        (
            "id: a\ndo: {run: [x]}\nfacts: {rows: {json: rows}}\nOK",
            8,
            "a fact is read by a path",
        ),
        (
            "id: a\ndo: {run: [x]}\nundo: {point_of_no_return: \"\"}\non_doubt: ask",
            8,
            "needs a reason",
        ),
        (
            "id: a\ndo: {run: [x]}\nundo: {point_of_no_return: y, run: [z]}\non_doubt: ask",
            8,
            "takes only a reason",
        ),
        (
            "id: a\ndo: {run: [x]}\nundo: {rum: [z]}\non_doubt: ask",
            8,
            "unknown key `rum`",
        ),
        (
            "id: a\ndo: {run: [x]}\nundo: {run: [z], effect: probed}\non_doubt: ask",
            8,
            "needs a probe",
        ),
        (
            "id: a\ndo: {run: [x]}\nundo: nothing\non_doubt: ask",
            8,
            "expected `none`",
        ),
        (
            "id: a\ndo: {run: [x]}\nundo: {run: [z], shell: y}\non_doubt: ask",
            8,
            "exactly one action",
        ),
        (
            "id: a\ndo: {run: [x]}\nprobe: {run: []}\nOK",
            8,
            "the command is empty",
        ),
    ]
    .map(|(s, n, m)| (with_step(&s.replace("OK", ok)), n, m))
    .into();
    for (text, line, part) in cases {
        refused(&text, line, part);
    }
    let two = with_step(&format!("id: a\ndo: {{run: [x]}}\n{ok}"));
    let second = "      - {id: a, do: {run: [x]}, undo: none, on_doubt: ask}\n";
    refused(&format!("{two}{second}"), 10, "two steps have the id `a`");
    let secret = with_step("id: a\ndo: {run: [x, \"-p${db}\"]}\nundo: none\non_doubt: ask")
        + "secrets: {db: {env: X}}\n";
    refused(
        &secret,
        7,
        "`db` is a secret and cannot be substituted into text",
    );
    let literal = with_step(
        "id: a\ndo: {run: [x]}\nenv: {DB_PASSWORD: \"${pw}\"}\nundo: none\non_doubt: ask",
    ) + "vars: {pw: hunter2}\n";
    refused(&literal, 8, "a literal secret under `DB_PASSWORD`");
}

#[test]
fn passwords_inside_urls_are_refused_and_masked() {
    for url in [
        "https://ops:hunter2@git.example.com/app.git",
        "HTTPS://ops:hunter2@git.example.com/app.git",
        "https://:hunter2@git.example.com/app.git",
        "redis://:hunter2@127.0.0.1:6379/0",
        "https://ghp_hunter2@github.com/x/y",
    ] {
        for step in [
            format!("{{git.deploy: {{repo: \"{url}\", ref: main, into: /srv/app}}}}"),
            format!("{{http.check: {{url: \"{url}\"}}}}"),
            format!("{{run: [git, clone, \"{url}\"]}}"),
            format!("{{shell: \"git clone {url}\"}}"),
        ] {
            let text = with_step(&format!("id: a\ndo: {step}\nundo: none\non_doubt: ask"));
            refused(&text, 7, "a password inside a URL");
            let refusal = load_text("plan.yaml", &text).expect_err("a password");
            let shown = format!("{}{refusal}", refusal.render(false));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let variable = with_step("id: a\ndo: {run: [x, \"${u}\"]}\nundo: none\non_doubt: ask")
            + &format!("vars: {{u: \"{url}\"}}\n");
        refused(&variable, 10, "a password inside a URL");
    }
    for url in [
        "https://git.example.com/app.git",
        "https://ops@git.example.com/app.git",
        "ssh://git@git.example.com:2222/app.git",
        "git@git.example.com:team/app.git",
        "http://127.0.0.1:8000/healthz/?at=12:00@x",
        "postgres://ops:@127.0.0.1/x",
    ] {
        let step = format!("id: a\ndo: {{run: [x, \"{url}\"]}}\nundo: none\non_doubt: ask");
        assert!(load_text("plan.yaml", &with_step(&step)).is_ok(), "{url}");
    }
    let shell = "id: a\ndo: {shell: 'git clone \"https://u:$PASS@h/x\" \"https://u:$${PASS}@h/x\"'}\nundo: none\non_doubt: ask";
    assert!(load_text("plan.yaml", &with_step(shell)).is_ok());
}
