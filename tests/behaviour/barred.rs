//! What stands in the way of a rollback: an undo that would refuse, a secret that cannot be read, a later run. Each is told
//! before anything is undone, with what helps.

use crate::common::{Done, World};
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::path::Path;

const HEAD: &str = "upledger: 1\nname: barred\nphases:\n  - phase: all\n    steps:\n";

fn plan(world: &World, steps: &str) {
    world.write("plan.yaml", &format!("{HEAD}{steps}"));
}

fn run(world: &World, steps: &str) {
    plan(world, steps);
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
}

/// What the preview says of each step, in its order; its exit code is 3 where the rollback would not get through.
fn outcomes(world: &World) -> Vec<(String, String)> {
    let done = world.upledger(&["--json", "rollback", "--plan"]);
    let result: Value = serde_json::from_str(done.out.lines().last().expect("a result")).unwrap();
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    let steps = result["steps"].as_array().expect("steps").iter();
    let found: Vec<_> = steps
        .map(|s| (text(&s["step"]), text(&s["outcome"])))
        .collect();
    let barred = found.iter().any(|(_, o)| o == "would_refuse");
    assert_eq!(done.code, if barred { 3 } else { 0 }, "{done:?}");
    assert_eq!(result["exit"], done.code, "{done:?}");
    found
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

fn leads(link: &Path, to: &str) {
    let _ = std::fs::remove_file(link);
    symlink(to, link).expect("linked");
}

/// Two files that are changed, and a directory that an undo brings back before theirs.
fn restored_beside(name: &str) -> String {
    format!(
        r#"
      - {{id: copy, do: {{dir.backup: {{path: "@/{name}"}}}}}}
      - {{id: set, do: {{config.set: {{path: "@/etc/app.env", edits: [{{key: A, value: 2}}]}}}}}}
      - {{id: put, do: {{file.replace: {{path: "@/etc/f", content: "two\n"}}}}}}
      - {{id: spoil, do: {{run: [touch, "@/{name}/new"]}}, effect: idempotent, undo: {{dir.restore: {{backup: copy}}}}}}
"#
    )
}

/// A directory that is put back hides a refusal only of what is in it.
#[test]
fn an_unrelated_directory_hides_no_refusal() {
    let files = |world: &World| {
        std::fs::create_dir(world.path("etc")).expect("made");
        world.write("etc/app.env", "A=1\n");
        world.write("etc/f", "one\n");
    };
    let edit = |world: &World| {
        world.write("etc/app.env", "A=by hand\n");
        world.write("etc/f", "by hand\n");
    };
    let world = World::new();
    files(&world);
    std::fs::create_dir(world.path("media")).expect("made");
    run(&world, &restored_beside("media"));
    let all = |outcome| pairs(&[("spoil", "undo"), ("put", outcome), ("set", outcome)]);
    assert_eq!(outcomes(&world), all("undo"));
    edit(&world);
    assert_eq!(outcomes(&world), all("would_refuse"));
    let shown = world.upledger(&["rollback", "--plan"]);
    for part in ["would refuse  put", "2 would refuse", "edited since"] {
        assert!(shown.out.contains(part), "{part}: {shown:?}");
    }
    assert!(!shown.out.contains("cannot tell"), "{shown:?}");
    assert!(shown.out.contains("upledger rollback barred-"), "{shown:?}");
    assert!(shown.out.contains("-1 --plan"), "{shown:?}");
    assert!(!shown.out.contains("--reason"), "{shown:?}");
    assert_eq!(world.rollback().code, 6);

    let world = World::new();
    files(&world);
    run(&world, &restored_beside("etc"));
    edit(&world);
    // The directory comes back first, and the files in it with it.
    assert_eq!(outcomes(&world), all("undo"));
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(
        shown.contains("looked at once this is undone: spoil"),
        "{shown}"
    );
}

/// A link above the directory was switched: the copy goes back to nowhere, and certainly not to what serves now.
#[test]
fn the_copy_of_one_directory_does_not_go_where_a_link_leads_by_now() {
    let world = World::new();
    for dir in ["r1/media", "r2/media"] {
        std::fs::create_dir_all(world.path(dir)).expect("made");
        world.write(&format!("{dir}/file"), "old\n");
    }
    leads(&world.path("current"), "r1");
    run(
        &world,
        r#"
      - {id: copy, do: {dir.backup: {path: "@/current/media"}}}
      - {id: spoil, do: {shell: "echo new > @/current/media/file"}, effect: idempotent, undo: {dir.restore: {backup: copy}}}
"#,
    );
    leads(&world.path("current"), "r2");
    world.write("r2/media/file", "serves\n");
    assert_eq!(outcomes(&world), pairs(&[("spoil", "would_refuse")]));
    let back = world.rollback();
    assert_eq!(back.code, 6, "{back:?}");
    assert!(back.out.contains("now points to"), "{back:?}");
    assert_eq!(world.lines("r1/media/file"), ["new"]);
    assert_eq!(world.lines("r2/media/file"), ["serves"]);
    leads(&world.path("current"), "r1");
    let retry = [
        "decide",
        "spoil",
        "retry",
        "--reason",
        "it leads there again",
    ];
    assert_eq!(world.upledger(&retry).code, 0);
    let back = world.upledger(&["resume"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(world.lines("r1/media/file"), ["old"]);
    // What was set aside is named.
    let kept = "what was there before is kept in ";
    let (_, aside) = back.out.split_once(kept).expect("it is told");
    let aside = aside.split_whitespace().next().expect("a path");
    assert!(aside.contains("/r1/media.former-"), "{back:?}");
    let text = std::fs::read_to_string(Path::new(aside).join("file")).expect("kept");
    assert_eq!(text, "new\n");
}

/// A restore that is a step of its own: its own undo is held to where it has worked.
#[test]
fn the_undo_of_a_restore_does_not_follow_a_link_that_was_switched() {
    let world = World::new();
    for dir in ["d1", "d2"] {
        std::fs::create_dir(world.path(dir)).expect("made");
        world.write(&format!("{dir}/in"), "old\n");
        world.write(&format!("{dir}.conf"), "old\n");
    }
    let both = |to: &str| {
        leads(&world.path("dir"), to);
        leads(&world.path("file"), &format!("{to}.conf"));
    };
    both("d1");
    run(
        &world,
        r#"
      - {id: dirs, do: {dir.backup: {path: "@/dir"}}}
      - {id: files, do: {file.backup: {path: "@/file"}}}
      - {id: spoil, do: {shell: "echo new | tee @/dir/in > @/file"}, effect: idempotent, undo: none}
      - {id: dir, do: {dir.restore: {backup: dirs}}}
      - {id: file, do: {file.restore: {path: "@/file", from: {from: files.path}}}}
      - {id: line, do: {file.line: {path: "@/file", match: ^none, line: more, absent: append}}}
"#,
    );
    both("d2");
    assert_eq!(
        outcomes(&world),
        pairs(&[
            ("line", "would_refuse"),
            ("file", "undo"),
            ("dir", "would_refuse")
        ])
    );
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(shown.contains("now points to"), "{shown}");
    assert_eq!(world.rollback().code, 6);
    let skip = |step| {
        let skip = ["decide", step, "skip", "--reason", "by hand"];
        assert_eq!(world.upledger(&skip).code, 0);
        let back = world.upledger(&["resume"]);
        assert!(step == "dir" || back.code == 6, "{back:?}");
        assert!(
            step == "dir" || back.out.contains("now points to"),
            "{back:?}"
        );
    };
    ["line", "file", "dir"].into_iter().for_each(skip);
    assert_eq!(world.lines("d1/in"), ["old"]);
    assert_eq!(world.lines("d1.conf"), ["old", "more"]);
    assert_eq!(world.lines("d2/in"), ["old"]);
    assert_eq!(world.lines("d2.conf"), ["old"]);
}

/// With a value for the secret of the plan.
fn with_token(world: &World, args: &[&str]) -> Done {
    let mut command = world.command(args);
    command.env("UPLEDGER_TEST_TOKEN", "a-value-of-the-test");
    Done::of(command.output().expect("the program starts"))
}

#[test]
fn a_secret_that_cannot_be_read_is_named_with_why_and_with_the_same_command() {
    let steps = r#"
      - {id: env, do: {env.set: {variables: {TOKEN: {secret: e}}}}}
      - {id: use, do: {run: ["true"]}, effect: idempotent, undo: {run: ["true"]}}
      - {id: own, do: {run: ["true"]}, env: {T: {secret: e}}, effect: idempotent, undo: {run: ["true"]}}
"#;
    let world = World::new();
    plan(&world, steps);
    let text = std::fs::read_to_string(world.path("plan.yaml")).expect("read");
    let secrets = "secrets: {e: {env: UPLEDGER_TEST_TOKEN}}\nphases:";
    world.write("plan.yaml", &text.replace("phases:", secrets));
    let done = with_token(&world, &["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let name = world.status()["run"].as_str().expect("a name").to_owned();
    let shown = world.upledger(&["rollback", "--plan"]);
    assert_eq!(shown.code, 3, "{shown:?}");
    let why = "the secret e cannot be read: ";
    assert!(shown.out.contains(why), "{shown:?}");
    assert!(shown.out.contains("UPLEDGER_TEST_TOKEN"), "{shown:?}");
    assert!(!shown.out.contains("there is no secret"), "{shown:?}");
    assert_eq!(with_token(&world, &["rollback", "--plan"]).code, 0);
    let back = world.upledger(&["rollback", "--to", "use", "--reason", "test"]);
    assert_eq!(back.code, 4, "{back:?}");
    let again = format!("upledger rollback {name} --to use --reason '...'");
    assert!(back.err.contains(&again), "{back:?}");
    assert!(!back.err.contains("upledger resume"), "{back:?}");
}

const ACTS: &str = "      - {id: a, do: {shell: \"echo a >> @/trace\"}, effect: idempotent, undo: {shell: \"echo -a >> @/trace\"}}\n";

fn last(world: &World) -> String {
    world.status()["run"].as_str().expect("a name").to_owned()
}

/// A run that did nothing that lasts is passed by. And whoever names a step has meant `--to`.
#[test]
fn a_later_run_is_in_the_way_only_where_it_may_have_changed_something() {
    let world = World::new();
    run(&world, ACTS);
    let first = last(&world);
    let looks = "      - {id: look, do: {run: [\"false\"]}, effect: pure}\n";
    plan(&world, &format!("{looks}{ACTS}"));
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    let abort = ["abort", "--reason", "not now"];
    assert_eq!(world.upledger(&abort).code, 12);
    let shown = world.upledger(&["rollback", &first, "--plan"]);
    assert_eq!(shown.code, 0, "{shown:?}");

    plan(&world, &format!("{ACTS}{looks}"));
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let second = last(&world);
    assert_eq!(world.upledger(&abort).code, 12);
    for more in [&["--plan"][..], &["--reason", "x"]] {
        let refused = world.upledger(&[&["rollback", &first], more].concat());
        assert_eq!(refused.code, 13, "{refused:?}");
        let said = format!("{second} came after it");
        assert!(refused.err.contains(&said), "{refused:?}");
        assert!(!refused.err.contains("the event"), "{refused:?}");
        let help = format!("upledger rollback {second} --reason");
        assert!(refused.err.contains(&help), "{refused:?}");
    }
    let step = world.upledger(&["rollback", "a", "--plan"]);
    assert_eq!(step.code, 2, "{step:?}");
    assert!(step.err.contains("there is no run a"), "{step:?}");
    assert!(step.err.contains("rollback --to a "), "{step:?}");
    for name in [&second, &first] {
        let back = world.upledger(&["rollback", name, "--reason", "x"]);
        assert_eq!(back.code, 5, "{back:?}");
    }
    assert_eq!(world.lines("trace"), ["a", "a", "-a", "-a"]);
}

/// A failed step that another plan has no more is not given up by leaving it out.
#[test]
fn a_failed_step_that_is_left_out_is_refused_with_the_way_out() {
    let world = World::new();
    let fails = "      - {id: fails, do: {run: [\"false\"]}, effect: idempotent, undo: none}\n";
    plan(&world, &format!("{ACTS}{fails}"));
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let other = fails.replace("fails", "renamed");
    for (steps, gone, way) in [
        (ACTS.to_owned(), "fails", "upledger decide fails skip"),
        (
            format!("{ACTS}{other}"),
            "fails",
            "upledger decide fails skip",
        ),
        (fails.to_owned(), "a", "keep it in the plan"),
    ] {
        plan(&world, &steps);
        let done = world.upledger(&["amend", "plan.yaml", "--reason", "x"]);
        assert_eq!(done.code, 13, "{done:?}");
        let what = format!("{gone} has been started and is missing");
        assert!(done.err.contains(&what), "{done:?}");
        assert!(done.err.contains(way), "{done:?}");
        assert!(done.err.contains("keep it"), "{done:?}");
    }
}
