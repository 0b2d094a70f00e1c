//! Proves: a phase with `live: true` refuses what changes what serves, at its line and with a way out; a command needs a reason,
//! and a migration has none; what builds aside is accepted; the flag is part of the resolved plan, which is checked again.

use super::{digest, load_text, refused, write};

/// A plan with one step in a live phase, whose lines begin at line 7 of the text.
fn live(lines: &str) -> String {
    let body: Vec<String> = lines.lines().map(|l| format!("        {l}")).collect();
    let step = body.join("\n").replacen("        ", "      - ", 1);
    format!(
        "upledger: 1\nname: x\nphases:\n  - phase: p\n    live: true\n    steps:\n{step}\n      - {{id: z, do: {{run: [z]}}, effect: pure, why: looks}}\n"
    )
}

const SERVES: [(&str, &str); 11] = [
    (
        "git.deploy: {repo: /r, ref: x, into: /srv/app}",
        "use `releases` without `current`",
    ),
    (
        "git.deploy: {repo: /r, ref: x, releases: /srv/releases, current: /srv/current}",
        "leave out `current`",
    ),
    (
        "pip.install: {venv: /v/2, current: /v/now, python: /p, requirements: [/r.txt]}",
        "leave out `current`",
    ),
    (
        "django.collectstatic: {python: /p, manage: /m.py}",
        "with `into`",
    ),
    (
        "release.switch: {links: [{path: /srv/current, to: /srv/releases/2}]}",
        "after the stop",
    ),
    ("nginx.stop: {}", "after the stop"),
    ("gunicorn.reload: {}", "after the stop"),
    (
        "celery.start: {by: {supervisor: {program: w}}}",
        "after the stop",
    ),
    ("cron.disable: {match: x}", "after the stop"),
    (
        "run: [/v/bin/python, manage.py, migrate, --noinput]",
        "after the stop",
    ),
    (
        "shell: \"cd /srv && ./manage.py migrate\"",
        "after the stop",
    ),
];

#[test]
fn what_changes_what_serves_is_refused_and_no_reason_helps() {
    for (action, way_out) in SERVES {
        for why in ["", "\nwhy: it is harmless"] {
            let undo = if action.contains("migrate") || action.contains("reload") {
                "\neffect: idempotent\nundo: none"
            } else {
                ""
            };
            let plan = live(&format!("id: a\ndo: {{{action}}}{undo}{why}"));
            refused(&plan, 8, "is in a phase with `live: true`");
            let refusal = load_text("p", &plan).expect_err(action);
            assert!(
                refusal.render(false).contains(way_out),
                "{}",
                refusal.render(false)
            );
        }
        // Behind the stop nobody asks.
        let plan = live(&format!(
            "id: a\ndo: {{{action}}}\non_doubt: ask\nundo: none"
        ));
        let plan = plan.replace("    live: true\n", "");
        let text = load_text("p", &plan).map_err(|e| e.to_string());
        assert!(text.is_ok(), "{action}: {text:?}");
    }
}

#[test]
fn a_command_says_why_it_is_harmless() {
    for action in [
        "run: [rsync, /a, /b]",
        "shell: \"rsync /a /b\"",
        "file.line: {path: /etc/x, match: y, line: y}",
        "run: [/v/bin/python, manage.py, migrate, --check]",
    ] {
        let step = format!("id: a\ndo: {{{action}}}\non_doubt: ask\nundo: none");
        refused(&live(&step), 8, "cannot be determined");
        refused(
            &live(&format!("{step}\nwhy: \" \"")),
            8,
            "cannot be determined",
        );
        load_text("p", &live(&format!("{step}\nwhy: it copies aside"))).expect(action);
    }
}

#[test]
fn what_looks_or_builds_aside_is_accepted() {
    for action in [
        "git.deploy: {repo: /r, ref: x, releases: /srv/releases}",
        "pip.install: {venv: /v/2, python: /p, requirements: [/r.txt]}",
        "django.collectstatic: {python: /p, manage: /m.py, into: /srv/statics/2}",
        "django.check: {python: /p, manage: /m.py}",
        "expect.port: {port: 80}",
        "file.backup: {path: /etc/x}",
        "release.prune: {keep: 2, statics: /srv/statics}",
    ] {
        load_text("p", &live(&format!("id: a\ndo: {{{action}}}"))).expect(action);
    }
}

#[test]
fn a_resolved_plan_keeps_the_flag_and_the_rule() {
    let step = "id: a\ndo: {git.deploy: {repo: /r, ref: x, releases: /srv/releases}}";
    let (plan, plain) = (live(step), live(step).replace("    live: true\n", ""));
    let (plan, plain) = (
        load_text("p", &plan).unwrap(),
        load_text("p", &plain).unwrap(),
    );
    assert_ne!(plan.digest, plain.digest);
    assert!(plan.plan.steps().all(|(_, step)| step.live));
    // A plan without live phases has the bytes that it always had.
    assert!(!write(&plain).contains("live"));
    let text = write(&plan);
    load_text("r", &text).expect("accepted");
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let action = &mut file["plan"]["phases"][0]["steps"][0]["action"]["git.deploy"];
    action["current"] = "/srv/current".into();
    let changed = serde_json::from_value(file["plan"].clone()).unwrap();
    file["digest"] = digest(&changed).into();
    let refusal = load_text("r", &file.to_string()).expect_err("it serves");
    assert!(refusal.to_string().contains("`live: true`"), "{refusal}");
}
