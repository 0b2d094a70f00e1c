//! Variables that a step sets for all later ones: from the plan, and from a script that is sourced.

use crate::common::World;

const SCRIPT: &str = r#"
export RUN_VER=open
export KEY=$'-----BEGIN-----\nRUN_VER=evil\n-----END-----'
which() { command which "$@"
}
export -f which
export PATH=/opt/vendor/bin:$PATH
export EXTRA=1
unset OLD_FLAG
cd /
echo "environment ready"
[ -n "${ENGINE_REGION:-}" ] || { echo "no region, using default"; false; }
"#;

const PLAN: &str = r#"
upledger: 1
name: env
secrets:
  db: {file: "@/secret"}
phases:
  - phase: all
    steps:
      - {id: set, do: {env.set: {variables: {OLD_FLAG: "1", GONE: x, PASSWORD: {secret: db}, VERSION: 4.10}}}}
      - {id: capture, do: {env.capture: {source: "@/env.sh", names: [RUN_VER, KEY, PATH, OLD_FLAG]}}}
      - {id: unset, do: {env.set: {unset: [GONE]}}}
      - id: seen
        do: {shell: "env -0 > @/seen"}
        env: {RUN_VER: own}
        effect: idempotent
        undo: {shell: "env -0 > @/seen-back", effect: idempotent}
      - id: last
        do: {shell: "env -0 > @/last"}
        effect: idempotent
        undo: none
"#;

fn variables(world: &World, name: &str) -> Vec<String> {
    let bytes = std::fs::read(world.path(name)).expect("a file");
    let text = String::from_utf8(bytes).expect("text");
    text.split('\0').map(str::to_owned).collect()
}

fn world(script: &str) -> World {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.write("plan.yaml", PLAN);
    // An `@` is the world's directory.
    std::fs::write(world.path("env.sh"), script).expect("written");
    world.write("secret", "hunter-22");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(world.path("secret"), mode).expect("its mode is set");
    world
}

#[test]
fn later_steps_and_their_undos_have_what_was_set_captured_and_removed() {
    let world = world(SCRIPT);
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 0, "{run:?}");
    let key = "KEY=-----BEGIN-----\nRUN_VER=evil\n-----END-----";
    let last = variables(&world, "last");
    let has = |all: &[String], one: &str| all.iter().any(|v| v == one);
    for wanted in ["RUN_VER=open", key, "PASSWORD=hunter-22", "VERSION=4.10"] {
        assert!(has(&last, wanted), "{wanted}: {last:?}");
    }
    let begins = |name: &str| last.iter().any(|v| v.starts_with(name));
    assert!(begins("PATH=/opt/vendor/bin:"), "{last:?}");
    for gone in ["OLD_FLAG=", "GONE=", "BASH_FUNC", "EXTRA=", "OLDPWD="] {
        assert!(!begins(gone), "{gone}: {last:?}");
    }
    assert!(
        has(&variables(&world, "seen"), "RUN_VER=own"),
        "a step's own `env` takes precedence over it"
    );
    let log = world.upledger(&["log", "--json"]).out;
    assert!(!log.contains("hunter-22"), "{log}");
    assert!(
        log.contains("RUN_VER=evil"),
        "what was captured is recorded"
    );

    assert_eq!(world.rollback().code, 5);
    let back = variables(&world, "seen-back");
    assert!(
        has(&back, key) && has(&back, "PASSWORD=hunter-22"),
        "{back:?}"
    );
}

#[test]
fn a_capture_that_is_decided_done_leaves_no_step_without_its_variables() {
    let world = world("echo nothing\n");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let done = ["decide", "capture", "done", "--reason", "by hand"];
    let decided = world.upledger(&done);
    if decided.code == 0 {
        let resumed = world.upledger(&["resume"]);
        assert_ne!(resumed.code, 0, "{resumed:?}");
        assert!(resumed.out.contains("are not known"), "{resumed:?}");
    }
    assert!(!world.path("seen").exists());
    world.upledger(&["decide", "capture", "skip", "--reason", "test"]);
}

#[test]
fn a_name_that_is_missing_and_a_script_that_ends_the_shell_are_told() {
    let long = format!("export RUN_VER=a KEY={} OLD_FLAG=1\n", "x".repeat(200_000));
    for (script, why) in [
        ("export RUN_VER=open\n", "has not exported KEY"),
        ("echo why; exit 0\n", "has ended the shell"),
        ("set -e\nfalse\n", "has ended the shell"),
        (long.as_str(), "KEY is too large after"),
        (
            "export RUN_VER=a KEY=xhunter-22x\n",
            "the value of the secret db",
        ),
    ] {
        let world = world(script);
        let run = world.upledger(&["run", "plan.yaml"]);
        assert_eq!(run.code, 1, "{script:.60}: {run:?}");
        assert!(run.out.contains(why), "{script:.60}: {run:?}");
        assert!(!run.out.contains("hunter-22"), "{run:?}");
    }
    let world = world("");
    world.write(
        "plan.yaml",
        &PLAN.replace("names: [RUN_VER,", "names: [DB_PASSWORD,"),
    );
    let check = world.upledger(&["check", "plan.yaml"]);
    assert_ne!(check.code, 0, "{check:?}");
    assert!(check.err.contains("named like a secret"), "{check:?}");
}
