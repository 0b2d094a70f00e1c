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
    // Nothing is wrong with the copy itself.
    let verified = world.upledger(&["verify"]).out;
    let first = verified.lines().next().unwrap_or_default();
    assert!(first.ends_with("OUTDATED"), "{verified}");
    assert!(
        !verified.contains("DAMAGED") && !verified.contains("first bad"),
        "{verified}"
    );
    assert!(verified.contains("\nOUTDATED: these "), "{verified}");
    let problem = "\nproblem     the remembered head disagrees: ";
    assert!(verified.contains(problem), "{verified}");
    let machine = world.upledger(&["verify", "--json"]).out;
    assert!(machine.contains("\"first_bad\":{"), "{machine}");
    assert_eq!(world.lines("trace"), ["one", "one"]);
    assert_eq!(
        world
            .upledger(&["ledger", "restored", "--reason", "the disk was replaced"])
            .code,
        0
    );
    // The machine has seen attempts that this copy does not contain: they are not repeated without a word.
    let asked = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(asked.code, 4, "{asked:?}");
    assert!(asked.out.contains("does not contain"), "{asked:?}");
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
    // However late it is asked, a running step has run only until then.
    let screen = world.upledger(&["replay", "--at", "3"]).out;
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(world.upledger(&["replay", "--at", "3"]).out, screen);
    assert!(screen.contains("running  0.0 s"), "{screen}");
    let now = world.upledger(&["replay", "--json"]).out;
    assert!(now.contains("\"state\":\"completed\""), "{now}");
    assert_eq!(world.upledger(&["replay", "--at", "999"]).code, 2);
}

#[test]
fn two_runs_of_one_day_have_two_names() {
    let world = ran();
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let runs = world.upledger(&["runs"]).out;
    assert_eq!(runs.lines().count(), 1 + 2, "{runs}");
    let names: Vec<&str> = runs
        .lines()
        .skip(1)
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert!(
        names[0].starts_with("short-") && names[0].ends_with("-1") && names[1].ends_with("-2"),
        "{runs}"
    );
    assert_eq!(world.upledger(&["status", names[0]]).code, 0);
    assert_eq!(world.upledger(&["status", "nope"]).code, 2);
}

/// Where nothing of a plan's name can be typed into a shell, the change or the file says which run it is.
#[test]
fn a_run_of_a_plan_with_a_chinese_name_has_a_name_to_type() {
    let named = |name: &str, file: &str| {
        let world = World::new();
        let plan = format!(
            "upledger: 1\nname: {name}\nphases:\n  - phase: all\n    steps:\n      - {{id: one, do: {{run: [test, -e, /]}}, effect: pure}}\n"
        );
        world.write(file, &plan);
        let done = world.upledger(&["run", file]);
        assert_eq!(done.code, 0, "{done:?}");
        let run = world.status()["run"].as_str().expect("a name").to_owned();
        assert_eq!(world.upledger(&["status", &run]).code, 0);
        run
    };
    for (name, file, begins) in [
        ("数据库升级", "db-upgrade.yaml", "db-upgrade-20"),
        ("监控平台 4.9.0", "bkmonitor.yaml", "bkmonitor-4.9.0-20"),
        ("bklog 升级 4.9.0", "plan.yaml", "bklog-4.9.0-20"),
        (
            "升级\nchange: {id: CR-2026-1123}",
            "plan.yaml",
            "cr-2026-1123-20",
        ),
        ("升级", "升级.yaml", "run-20"),
    ] {
        let run = named(name, file);
        assert!(run.starts_with(begins), "{name}: {run}");
        assert!(run.is_ascii() && run.ends_with("-1"), "{run}");
    }
}

fn python(world: &World, args: &[&str]) -> crate::common::Done {
    world.write("verify.py", &world.upledger(&["verifier"]).out);
    let done = Command::new("python3")
        .args(["-I", "verify.py"])
        .args(args)
        .current_dir(world.path(""))
        .output();
    crate::common::Done::of(done.expect("python3; install it with: apt-get install -y python3"))
}

/// Both verifiers say in plain words what is proven, how far, what is not, and what to keep; and what they say to keep
/// proves more the next time.
#[test]
fn a_verification_ends_with_a_verdict_and_with_what_to_keep_elsewhere() {
    let world = ran();
    let done = world.upledger(&["verify"]);
    for part in [
        "\nSOUND: ",
        "\nScope of the proof: L2, ",
        "\nNot proven from outside this machine: the last ",
    ] {
        assert!(done.out.contains(part), "{part}: {done:?}");
    }
    assert!(done.out.lines().all(|l| l.len() <= 90), "{done:?}");
    let note: Vec<&str> = done.out.lines().rev().take(3).collect();
    let note: Vec<&str> = note.iter().rev().map(|l| l.trim()).collect();
    // As it comes out of a terminal and a mail.
    world.write("kept", &format!("  {}", note.join("\r\n  ")));
    world.write("other", "nothing of the kind\n");
    let script = python(&world, &["state/ledger.db", "other"]);
    assert_eq!(script.code, 2, "{script:?}");
    assert!(script.err.contains("VERDICT      NONE"), "{script:?}");
    let script = python(&world, &["state/ledger.db"]);
    assert_eq!(script.code, 0, "{script:?}");
    assert!(script.out.contains("\nVERDICT      SOUND: "), "{script:?}");
    assert!(script.out.lines().all(|l| l.len() <= 80), "{script:?}");
    assert!(
        script.out.contains("NOT proven: that seq 0 to "),
        "{script:?}"
    );
    assert!(
        script.out.contains(&note.join("\n               ")),
        "both say the same to keep: {script:?}"
    );

    let done = world.upledger(&["verify", "--checkpoint", "kept"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("No event is unanchored."), "{done:?}");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let done = world.upledger(&["verify", "--checkpoint", "kept", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&done.out).expect("JSON");
    let (events, unanchored) = (value["events"].as_u64(), value["unanchored"].as_u64());
    assert!(unanchored > Some(0) && unanchored < events, "{value}");
    assert!(
        value["verdict"][0]
            .as_str()
            .is_some_and(|v| v.starts_with("SOUND")),
        "{value}"
    );
    let script = python(&world, &["state/ledger.db", "kept"]);
    assert!(
        script
            .out
            .contains("match a checkpoint that was kept elsewhere"),
        "{script:?}"
    );
}

#[test]
fn a_damaged_ledger_gets_a_verdict_and_its_consequences_are_one_line() {
    let world = ran();
    for _ in 0..3 {
        assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    }
    world.damages_its_ledger();
    let guard = "SELECT sql FROM sqlite_master WHERE type = 'trigger'";
    let edit = format!(
        "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); t=[r[0] for r in c.execute(\"{guard}\")]; \
         n=[r[0] for r in c.execute(\"SELECT name FROM sqlite_master WHERE type='trigger'\")]; \
         [c.execute('DROP TRIGGER '+x) for x in n]; \
         c.execute(\"UPDATE event SET body = replace(body, 'echo one', 'echo two') WHERE seq = 2\"); \
         [c.execute(x) for x in t]; c.commit()"
    );
    let done = Command::new("python3")
        .args(["-c", &edit])
        .arg(world.state().join("ledger.db"))
        .output()
        .expect("python3");
    assert!(done.status.success(), "{done:?}");
    let done = world.upledger(&["verify"]);
    assert_eq!(done.code, 7, "{done:?}");
    assert!(
        done.out
            .contains("\nDAMAGED: the 2 events before it are valid; from event 2 on"),
        "{done:?}"
    );
    assert!(done.out.contains(" as a consequence"), "{done:?}");
    assert!(!done.out.contains("truncated"), "no cascade: {done:?}");
    assert_eq!(done.out.matches("event 2: ").count(), 1, "{done:?}");
    let script = python(&world, &["state/ledger.db"]);
    assert_eq!(script.code, 1, "{script:?}");
    assert!(
        script.err.contains("seq 2") && script.err.contains("VERDICT      NOT SOUND"),
        "{script:?}"
    );
    let script = python(&world, &["nothing.db"]);
    assert_eq!(script.code, 2, "{script:?}");
    assert!(script.err.contains("VERDICT      NONE"), "{script:?}");
}

/// A ledger that was copied without its job directories still tells what its steps printed, where that is short.
#[test]
fn what_a_step_printed_is_told_by_the_ledger_when_its_job_directory_is_gone() {
    let world = World::new();
    world.write(
        "plan.yaml",
        "upledger: 1\nname: short\nphases:\n  - phase: all\n    steps:\n      - {id: one, do: {shell: \"echo printed once\"}, effect: pure}\n",
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    std::fs::remove_dir_all(world.state().join("jobs")).expect("removed");
    let done = world.upledger(&["log", "--output", "one"]);
    assert_eq!((done.code, done.out.as_str()), (0, "printed once\n"));
}
