//! The ledger as evidence, from outside: two verifiers, exports, tampering, older copies.

use crate::common::World;
use std::process::Command;

fn ran() -> World {
    let world = World::new();
    world.write(
        "plan.yaml",
        "upledger: 1\nname: short\nphases:\n  - phase: all\n    steps:\n      - {id: one, do: {shell: \"echo one >> @/trace\"}, on_doubt: ask, undo: none}\n",
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    world
}

fn sqlite(world: &World, sql: &str) {
    let script = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit()";
    let done = Command::new("python3")
        .args(["-c", script])
        .arg(world.state().join("ledger.db"))
        .arg(sql)
        .output()
        .expect("python3; install it with: apt-get install -y python3");
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn an_export_verifies_without_sqlite() {
    let world = ran();
    assert_eq!(
        world
            .upledger(&["export", "--jsonl", "--out", "events.jsonl"])
            .code,
        0
    );
    assert_eq!(
        world
            .upledger(&["export", "--jsonl", "--out", "events.jsonl"])
            .code,
        2,
        "nothing is overwritten"
    );
    assert_eq!(world.upledger(&["verify", "events.jsonl"]).code, 0);
    world.write("verify.py", &world.upledger(&["verifier"]).out);
    let python = Command::new("python3")
        .args(["-I", "verify.py", "events.jsonl"])
        .current_dir(world.path(""))
        .output();
    assert!(python.expect("python3").status.success());
    let text = std::fs::read_to_string(world.path("events.jsonl")).expect("written");
    std::fs::write(world.path("events.jsonl"), text.replace("short", "shirt")).expect("written");
    assert_eq!(world.upledger(&["verify", "events.jsonl"]).code, 7);
}

#[test]
fn an_edited_event_is_named_and_nothing_more_is_done() {
    let world = ran();
    world.damages_its_ledger();
    sqlite(
        &world,
        "DROP TRIGGER IF EXISTS x; PRAGMA writable_schema=1; DELETE FROM sqlite_master WHERE type='trigger';",
    );
    sqlite(
        &world,
        "UPDATE event SET body = replace(body, 'echo one', 'echo two') WHERE seq = 2",
    );
    let done = world.upledger(&["verify"]);
    assert_eq!(done.code, 7, "{done:?}");
    assert!(done.out.contains("event 2"), "{done:?}");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 7);
    assert_eq!(world.lines("trace"), ["one"]);
}

#[test]
fn an_older_copy_is_noticed_until_a_person_restores_it() {
    let world = ran();
    let ledger = world.state().join("ledger.db");
    let old = std::fs::read(&ledger).expect("readable");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    std::fs::write(&ledger, &old).expect("written");
    for command in [
        &["run", "plan.yaml"][..],
        &["verify"],
        &["note", "x"],
        &["status"],
    ] {
        let done = world.upledger(command);
        assert_eq!(done.code, 7, "{command:?}: {done:?}");
    }
    assert_eq!(world.lines("trace"), ["one", "one"]);
    assert_eq!(
        world
            .upledger(&["ledger", "restored", "--reason", "the disk was replaced"])
            .code,
        0
    );
    // The machine has seen attempts that this copy does not know of: they are not repeated without a word.
    let asked = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(asked.code, 4, "{asked:?}");
    assert!(asked.out.contains("does not know of"), "{asked:?}");
    assert_eq!(world.lines("trace"), ["one", "one"]);
    let decided = world.upledger(&["decide", "one", "retry", "--reason", "it is safe"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("trace"), ["one", "one", "one"]);
    world.assert_sound();
    std::fs::remove_file(&ledger).expect("removed");
    assert_eq!(
        world.upledger(&["run", "plan.yaml"]).code,
        7,
        "no file where one is remembered"
    );
}

#[test]
fn the_state_can_be_replayed_as_it_was() {
    let world = ran();
    let then = world.upledger(&["replay", "--at", "3", "--json"]).out;
    assert!(then.contains("\"status\":\"running\""), "{then}");
    let now = world.upledger(&["replay", "--json"]).out;
    assert!(now.contains("\"state\":\"completed\""), "{now}");
    assert_eq!(world.upledger(&["replay", "--at", "999"]).code, 2);
}

#[test]
fn two_runs_of_one_day_have_two_names() {
    let world = ran();
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let runs = world.upledger(&["runs"]).out;
    assert_eq!(runs.lines().count(), 2, "{runs}");
    let names: Vec<&str> = runs
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert!(
        names[0].starts_with("short-") && names[0].ends_with("-1") && names[1].ends_with("-2"),
        "{runs}"
    );
    assert_eq!(world.upledger(&["status", names[0]]).code, 0);
    assert_eq!(world.upledger(&["status", "nope"]).code, 2);
}
