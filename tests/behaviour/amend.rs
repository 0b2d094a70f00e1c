//! A plan that turns out wrong in the middle of a night: what has not succeeded is changed, and the run goes on.

use crate::common::{World, eventually};
use serde_json::Value;

/// Twelve steps; the ninth needs a variable that nobody thought of.
fn twelve() -> String {
    let mut plan = "upledger: 1\nname: night\nphases:\n  - phase: all\n    steps:\n".to_owned();
    for n in 1..=12 {
        let more = if n == 9 {
            "test -n \\\"$NEEDED\\\"; "
        } else {
            ""
        };
        plan.push_str(&format!(
            "      - {{id: s{n}, do: {{shell: \"{more}echo do-{n} >> @/trace\"}}, on_doubt: ask, undo: {{shell: \"echo undo-{n} >> @/trace\"}}}}\n"
        ));
    }
    plan
}

#[test]
fn a_variable_forgotten_for_step_9_of_12_does_not_cost_the_night() {
    let world = World::new();
    world.write("plan.yaml", &twelve());
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let mended = twelve().replace(
        "do-9 >> @/trace\"}, ",
        "do-9 >> @/trace\"}, env: {NEEDED: \"yes\"}, ",
    );
    world.write("plan.yaml", &mended);

    // What the failed command did is not known, so its own undo comes first.
    let early = world.upledger(&["amend", "plan.yaml", "--reason", "NEEDED was missing"]);
    assert_eq!(early.code, 13, "{early:?}");
    assert!(early.err.contains("s9 may have taken effect"), "{early:?}");
    assert!(early.err.contains("rollback --to s8 "), "{early:?}");
    let back = world.upledger(&["rollback", "--to", "s8", "--reason", "NEEDED is missing"]);
    assert_eq!(back.code, 5, "{back:?}");

    let done = world.upledger(&["amend", "plan.yaml", "--reason", "NEEDED was missing"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("changed: s9"), "{done:?}");
    // In the keys of the file, and what would be done then.
    for part in ["+env:", "+  NEEDED: \"yes\"", "would do now", "run  s9  "] {
        assert!(done.out.contains(part), "{part}: {done:?}");
    }
    assert!(!done.out.contains("do-8"), "only what differs: {done:?}");
    assert!(done.out.contains("upledger resume"), "{done:?}");
    assert_eq!(world.upledger(&["resume"]).code, 0);

    let mut trace: Vec<String> = (1..=8).map(|n| format!("do-{n}")).collect();
    trace.push("undo-9".into());
    trace.extend((9..=12).map(|n| format!("do-{n}")));
    assert_eq!(world.lines("trace"), trace);
    let log = world.upledger(&["log"]).out;
    assert!(
        log.contains("amended") && log.contains("NEEDED was missing"),
        "{log}"
    );
    world.assert_sound();

    // Each step is undone by the definition that it ran with.
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(shown.contains("echo undo-9"), "{shown}");
    assert_eq!(world.rollback().code, 5);
    trace.extend((1..=12).rev().map(|n| format!("undo-{n}")));
    assert_eq!(world.lines("trace"), trace);
    world.assert_sound();
}

#[test]
fn what_has_succeeded_is_not_changed_and_nothing_is_recorded() {
    let world = World::new();
    world.write("plan.yaml", &twelve());
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let events = world.events().len();
    world.write("plan.yaml", &twelve().replace("echo do-3 ", "echo other "));
    let done = world.upledger(&["amend", "plan.yaml", "--reason", "x"]);
    assert_eq!(done.code, 13, "{done:?}");
    assert!(done.err.contains("s3 has succeeded"), "{done:?}");
    world.write("plan.yaml", &twelve());
    let same = world.upledger(&["amend", "plan.yaml", "--reason", "x"]);
    assert_eq!(same.code, 13, "{same:?}");
    let none = world.upledger(&["amend", "plan.yaml"]);
    assert_eq!(none.code, 2, "a reason is needed: {none:?}");
    world.write("plan.yaml", "nonsense");
    assert_eq!(
        world
            .upledger(&["amend", "plan.yaml", "--reason", "x"])
            .code,
        3
    );
    assert_eq!(world.events().len(), events);
}

#[test]
fn later_steps_and_new_ones_are_for_programs_too() {
    let world = World::new();
    let plan = "upledger: 1\nname: n\nvars: {say: one}\nphases:\n  - phase: all\n    steps:\n      - {id: a, do: {shell: \"echo a >> @/trace\"}, on_doubt: ask, undo: none}\n      - {id: b, do: {run: [test, -e, \"@/good\"]}, effect: pure}\n";
    world.write("plan.yaml", plan);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let more = "      - {id: c, do: {run: [/bin/sh, \"@/say.sh\", \"${say}\"]}, on_doubt: ask, undo: none}\n";
    world.write("say.sh", "echo $1 >> @/trace\n");
    world.write("good", "");
    world.write("plan.yaml", &format!("{plan}{more}"));
    let done = world.upledger(&[
        "--json",
        "amend",
        "plan.yaml",
        "--reason",
        "c is needed",
        "--var",
        "say=two",
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    let result: Value = serde_json::from_str(done.out.lines().last().expect("a result")).unwrap();
    assert_eq!(result["steps"], serde_json::json!(["c"]));
    // The failed step is the same, so its question is still asked.
    assert_eq!(result["next"], serde_json::json!(["upledger status"]));
    assert_eq!(world.upledger(&["resume"]).code, 1);
    let retry = ["decide", "b", "retry", "--reason", "it is there now"];
    assert_eq!(world.upledger(&retry).code, 0);
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("trace"), ["a", "two"]);
    let log = world.upledger(&["log"]).out;
    assert_eq!(log.matches("amended").count(), 1, "{log}");
    world.assert_sound();
}

/// What was given for the run need not be given again; what the file says itself is the file's.
#[test]
fn variables_that_were_given_for_the_run_stay_as_they_were() {
    let world = World::new();
    let plan = |more: &str| {
        format!(
            "upledger: 1\nname: n\nvars: {{say: one, port: , kept: file}}\nphases:\n  - phase: all\n    steps:\n      - {{id: a, do: {{run: [/bin/sh, \"@/say.sh\", \"${{say}} ${{port}}\"]}}, on_doubt: ask, undo: none}}\n{more}"
        )
    };
    world.write("say.sh", "echo $1 >> @/trace\n");
    let fails =
        "      - {id: b, do: {run: [test, -e, \"@/never\"]}, effect: pure, why: \"${kept}\"}\n";
    world.write("plan.yaml", &plan(fails));
    let given = ["run", "plan.yaml", "--var", "say=two", "--var", "port=80"];
    assert_eq!(world.upledger(&given).code, 1);
    let last = "      - {id: b, do: {run: [/bin/sh, \"@/say.sh\", \"${say} ${kept}\"]}, on_doubt: ask, undo: none}\n";
    let amended = plan(last).replace("kept: file", "kept: other");
    world.write("plan.yaml", &amended);
    let amend = ["amend", "plan.yaml", "--reason", "b was wrong"];
    let done = world.upledger(&amend);
    assert_eq!(done.code, 0, "{done:?}");
    let said = "variables as given for the run: port=80, say=two";
    assert!(done.out.contains(said), "{done:?}");
    let decide = ["decide", "b", "retry", "--reason", "amended"];
    world.upledger(&decide);
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("trace"), ["two 80", "two other"]);
    let log = world.upledger(&["log", "--json"]).out;
    assert_eq!(log.matches(r#""given":["port","say"]"#).count(), 2, "{log}");
    world.assert_sound();
}

/// What stands beside the steps decides, too, what happens next.
#[test]
fn the_head_of_the_plan_is_shown_where_it_changes() {
    let world = World::new();
    world.write("plan.yaml", &twelve());
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    world.write(
        "plan.yaml",
        &twelve().replace("phases:", "on_failure: rollback\nphases:"),
    );
    let done = world.upledger(&["amend", "plan.yaml", "--reason", "x"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.out.contains("changed: plan settings or step order"),
        "{done:?}"
    );
    assert!(done.out.contains("+on_failure: rollback"), "{done:?}");
}

#[test]
fn a_run_that_somebody_drives_is_paused_first() {
    let world = World::new();
    let plan = "upledger: 1\nname: n\nphases:\n  - phase: all\n    steps:\n      - {id: a, do: {shell: \"while [ ! -e @/go ]; do sleep 0.05; done\"}, on_doubt: ask, undo: none}\n      - {id: b, do: {run: [\"true\"]}, effect: pure}\n";
    world.write("plan.yaml", plan);
    let mut runner = world.start(&["run", "plan.yaml"]);
    world.await_step("a", "running");
    world.write("plan.yaml", &plan.replace("[\"true\"]", "[\"false\"]"));
    let held = world.upledger(&["amend", "plan.yaml", "--reason", "x"]);
    assert_eq!(held.code, 9, "{held:?}");
    assert!(held.err.contains("pause"), "{held:?}");
    assert_eq!(world.upledger(&["pause", "--reason", "x"]).code, 0);
    world.write("go", "");
    eventually("the runner has stopped", || {
        runner.try_wait().expect("waited").is_some()
    });
    assert_eq!(
        world
            .upledger(&["amend", "plan.yaml", "--reason", "x"])
            .code,
        0
    );
    assert_eq!(world.upledger(&["resume"]).code, 1, "b fails now");
    world.assert_sound();
}

const NO_RETURN: &str = r#"
upledger: 1
name: night
phases:
  - phase: all
    steps:
      - {id: before, do: {shell: "echo before >> @/trace"}, on_doubt: ask, undo: {shell: "echo -before >> @/trace"}}
      - {id: gone, do: {shell: "test -e @/needed; echo gone >> @/trace; touch @/is-gone"}, PROBE on_doubt: ask, undo: {point_of_no_return: rows are gone}}
"#;

/// Its own probe tells, so that it may become anything.
#[test]
fn a_point_of_no_return_that_had_no_effect_is_amended() {
    let world = World::new();
    let plan = NO_RETURN.replace(
        "PROBE",
        "effect: probed, probe: {run: [test, -e, \"@/is-gone\"]},",
    );
    world.write("plan.yaml", &plan);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let events = world.events().len();
    let other = plan.replace("test -e @/needed; ", "").replace(
        "{point_of_no_return: rows are gone}",
        "{shell: \"echo -gone >> @/trace\"}",
    );
    world.write("plan.yaml", &other);
    let shown = world.upledger(&["amend", "plan.yaml", "--plan"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for part in [
        "changed: gone",
        "-  point_of_no_return: rows are gone",
        "+  shell: \"echo -gone",
        "would do now",
    ] {
        assert!(shown.out.contains(part), "{part}: {shown:?}");
    }
    assert_eq!(world.events().len(), events, "nothing is recorded");
    let done = world.upledger(&["amend", "plan.yaml", "--reason", "the test was wrong"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.rollback().code, 5);
    assert_eq!(world.lines("trace"), ["before", "gone", "-gone", "-before"]);
    world.assert_sound();
}

/// Where nothing tells, it stays one: a rollback does not go behind it, whatever it did.
#[test]
fn a_point_of_no_return_that_may_have_acted_stays_one() {
    let world = World::new();
    let plan = NO_RETURN.replace("PROBE", "");
    world.write("plan.yaml", &plan);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let mended = plan.replace("test -e @/needed; ", "");
    world.write(
        "plan.yaml",
        &mended.replace("{point_of_no_return: rows are gone}", "none"),
    );
    let none = world.upledger(&["amend", "plan.yaml", "--reason", "x"]);
    assert_eq!(none.code, 13, "{none:?}");
    assert!(
        none.err.contains("keeps its point of no return"),
        "{none:?}"
    );
    world.write("plan.yaml", &mended);
    let done = world.upledger(&["amend", "plan.yaml", "--reason", "x"]);
    assert_eq!(done.code, 0, "{done:?}");
    let plan = world.upledger(&["rollback", "--plan"]).out;
    assert!(
        plan.contains("! stops here  gone"),
        "what it did is not known: {plan}"
    );
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("trace"), ["before", "gone"]);
    assert_eq!(world.rollback().code, 6);
    world.assert_sound();
}

#[test]
fn an_amended_run_waits_for_its_resume() {
    let world = World::new();
    let plan = "upledger: 1\nname: n\nphases:\n  - phase: all\n    steps:\n      - {id: a, do: {run: [test, -e, \"@/missing\"]}, effect: pure}\n";
    world.write("plan.yaml", plan);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    world.write("there", "");
    world.write("plan.yaml", &plan.replace("missing", "there"));
    let amend = ["amend", "plan.yaml", "--reason", "a wrong name"];
    assert_eq!(world.upledger(&amend).code, 0);
    let status = world.upledger(&["status"]).out;
    assert!(status.contains("waiting for resume"), "{status}");
    assert!(status.contains("upledger resume"), "{status}");
    // What a person only notes changes nothing of it.
    assert_eq!(world.upledger(&["note", "coffee"]).code, 0);
    let status = world.upledger(&["status"]).out;
    assert!(status.contains("waiting for resume"), "{status}");
    assert_eq!(world.upledger(&["resume"]).code, 0);
    world.assert_sound();
}
