//! What a preview knows of a plan's own checks and of steps that cannot work: a check is made where no earlier step
//! changes what it reads, a run is refused what is certain to fail, and an operator may override that on record.

use crate::common::World;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

fn plan(steps: &str) -> World {
    let world = World::new();
    let head = "upledger: 1\nname: certain\nphases:\n  - phase: all\n    steps:\n";
    world.write("plan.yaml", &format!("{head}{steps}"));
    world
}

/// Exit code, and verdict with evidence of each step.
fn previewed(world: &World) -> (i32, Vec<(String, String, String)>) {
    let done = world.upledger(&["plan", "plan.yaml", "--json"]);
    let value: Value = serde_json::from_str(done.out.trim()).expect("JSON");
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let steps = value["steps"].as_array().expect("steps").iter();
    let steps = steps.map(|s| {
        let lines = s["evidence"].as_array().expect("evidence").iter();
        let evidence: Vec<String> = lines.map(word).collect();
        (word(&s["step"]), word(&s["verdict"]), evidence.join("\n"))
    });
    (done.code, steps.collect())
}

const EXPECTED: &str = r#"
      - {id: holds, do: {expect.file: {path: "@/there", contains: yes}}}
      - {id: fails, do: {expect.file: {path: "@/there", contains: other}}}
      - {id: waits, do: {expect.file: {path: "@/comes", within: 5s}}}
      - {id: command, do: {expect.command: {argv: [cat, "@/there"], stdout_contains: "yes"}}}
      - {id: page, do: {http.check: {url: "http://127.0.0.1:1/", within: 20s}}}
      - {id: writes, do: {file.replace: {path: "@/other", content: x}}}
      - {id: still, do: {expect.file: {path: "@/there", contains: yes}}}
      - {id: changed, do: {expect.file: {path: "@/other", contains: x}}}
      - {id: anything, do: {expect.command: {argv: [test, -e, "@/other"]}}}
"#;

#[test]
fn a_check_is_made_where_no_earlier_step_changes_what_it_reads() {
    let world = plan(EXPECTED);
    world.write("there", "yes");
    let (code, steps) = previewed(&world);
    assert_eq!(code, 3);
    let verdict = |id: &str| {
        let found = steps.iter().find(|(step, ..)| step == id);
        found.map(|(_, verdict, evidence)| (verdict.as_str(), evidence.as_str()))
    };
    for (id, wanted, said) in [
        ("holds", "run", "holds now: "),
        ("fails", "fail", "does not contain \"other\""),
        ("waits", "cannot_tell", "nothing at "),
        ("command", "run", "holds now: exit 0"),
        ("page", "fail", "connection refused"),
        ("still", "run", "holds now: "),
        (
            "changed",
            "run",
            "these steps change what it checks: writes",
        ),
        (
            "anything",
            "run",
            "these steps change what it checks: writes",
        ),
    ] {
        let (verdict, evidence) = verdict(id).expect("the step");
        assert_eq!(verdict, wanted, "{id}: {evidence}");
        assert!(evidence.contains(said), "{id}: {evidence}");
    }
    // The world may be another by then: a check alone refuses no run.
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("done         holds"), "{run:?}");
}

const CERTAIN: &str = r#"
      - {id: first, do: {run: [touch, "@/effect"]}, effect: idempotent, undo: none}
      - {id: keep, do: {file.backup: {path: "@/config", to: "@/theirs/copy"}}}
      - {id: edit, do: {file.line: {path: "@/absent", match: a, line: b}}}
"#;

/// A directory behind a link of somebody else, through which nothing is written.
fn theirs(world: &World) {
    std::fs::create_dir(world.path("there")).expect("made");
    let link = world.path("theirs");
    std::os::unix::fs::symlink("there", &link).expect("linked");
    std::os::unix::fs::lchown(&link, Some(65534), Some(65534)).expect("as root");
}

#[test]
fn a_run_is_refused_what_is_certain_to_fail_and_forced_on_record() {
    let world = plan(&CERTAIN.replace(
        "- {id: first, do: {run: [touch, \"@/effect\"]}, effect: idempotent, undo: none}",
        "- {id: first, do: {file.replace: {path: \"@/effect\", content: x}}}",
    ));
    world.write("config", "new");
    theirs(&world);
    let (code, steps) = previewed(&world);
    assert_eq!(code, 3, "{steps:?}");
    let fails = |id: &str| steps.iter().any(|(s, v, _)| s == id && v == "fail");
    assert!(fails("keep") && fails("edit"), "{steps:?}");

    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 3, "{run:?}");
    for part in ["2 steps would fail", "keep: ", "edit: ", "--force --reason"] {
        assert!(run.err.contains(part), "{part}: {run:?}");
    }
    assert!(!world.path("effect").exists(), "nothing was done");
    let none = world.upledger(&["status"]);
    assert_eq!(none.code, 2, "there is not even a ledger: {none:?}");

    assert_eq!(world.upledger(&["run", "plan.yaml", "--force"]).code, 2);
    let reason = ["--reason", "the copy is old"];
    let forced = world.upledger(&["run", "plan.yaml", "--force", reason[0], reason[1]]);
    assert_eq!(forced.code, 1, "{forced:?}");
    assert!(world.path("effect").exists());
    let log = world.upledger(&["log", "--json"]).out;
    let note = log
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .find(|e| e["kind"] == "note.added");
    let text = note.expect("a note")["data"]["text"].clone();
    let text = text.as_str().expect("text");
    for part in ["--force: the copy is old; overridden: ", "keep: "] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// What fails only as things are now: a port that a stranger holds, a file that is not there.
#[test]
fn what_fails_now_and_no_step_changes_refuses_a_run() {
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = stranger.local_addr().expect("bound").port();
    let start = format!(
        "      - {{id: web, do: {{process.start: {{argv: [sleep, \"60\"], pidfile: \"@/pid\", log: \"@/log\", ready: {{port: {port}}}}}}}}}\n"
    );
    let line =
        "      - {id: line, do: {file.line: {path: \"@/absent\", match: a, line: b}}RETRY}\n";
    let first = "      - {id: first, do: {file.replace: {path: \"@/effect\", content: x}}}\n";
    for (steps, said) in [
        (format!("{first}{start}"), "web: "),
        (
            format!("{first}{}", line.replace("RETRY", "")),
            "line: there is no file",
        ),
    ] {
        let world = plan(&steps);
        let run = world.upledger(&["run", "plan.yaml"]);
        assert_eq!(run.code, 3, "{run:?}");
        for part in ["1 step would fail", said, "--force --reason"] {
            assert!(run.err.contains(part), "{part}: {run:?}");
        }
        assert!(!world.path("effect").exists(), "nothing was done");
        let forced = world.upledger(&[
            "run",
            "plan.yaml",
            "--force",
            "--reason",
            "it will be there",
        ]);
        assert_eq!(forced.code, 1, "{forced:?}");
    }
    // Whoever tries a step again expects the world to change.
    let world = plan(&format!(
        "{first}{}",
        line.replace("RETRY", ", retry: {times: 1, wait: 10ms}")
    ));
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(world.path("effect").exists());
}

#[test]
fn what_an_earlier_step_may_mend_refuses_no_run() {
    let world = plan(CERTAIN);
    world.write("config", "new");
    world.write("copy", "of another day");
    // A command may change anything, also what the steps behind it need.
    let (code, steps) = previewed(&world);
    assert_eq!(code, 0, "{steps:?}");
    let (_, verdict, evidence) = &steps[1];
    assert_eq!(verdict, "cannot_tell");
    assert!(evidence.contains("may change that: first"), "{evidence}");
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(world.path("effect").exists());
}

#[test]
fn what_follows_from_a_failure_is_said_once() {
    let world = plan(
        r#"
      - {id: config, do: {file.line: {path: "@/absent", match: a, line: b}}}
      - {id: more, do: {file.line: {path: "@/absent", match: c, line: d}}}
      - {id: other, do: {file.line: {path: "@/absent", match: e, line: f}}}
"#,
    );
    let (code, steps) = previewed(&world);
    assert_eq!(code, 3);
    let fail: Vec<&str> = steps
        .iter()
        .filter(|(_, v, _)| v == "fail")
        .map(|(s, ..)| s.as_str())
        .collect();
    assert_eq!(fail, ["config"], "{steps:?}");
    assert!(steps[2].2.contains("depends on config, which would fail"));
    let shown = world.upledger(&["plan", "plan.yaml"]);
    assert!(shown.err.contains("1 step would fail"), "{shown:?}");
}

#[test]
fn a_manager_is_asked_once_and_looks_are_made_side_by_side() {
    let client = "#!/bin/sh\necho $* >> @/asked\n[ $1 = status ] || exit 1\nsleep 1\nfor n in 1 2 3 4 5 6; do echo \"g:p$n STOPPED Not started\"; done\n";
    let mut steps = String::new();
    for n in 1..=6 {
        steps.push_str(&format!(
            "      - {{id: stop-{n}, do: {{service.stop: {{by: {{supervisor: {{program: \"g:p{n}\", ctl: [@/client]}}}}}}}}}}\n"
        ));
    }
    for n in 1..=8 {
        steps.push_str(&format!(
            "      - {{id: look-{n}, do: {{expect.command: {{argv: [sleep, \"1\"]}}}}}}\n"
        ));
    }
    let world = plan(&steps);
    let client = world.write("client", client);
    std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let began = Instant::now();
    let (code, steps) = previewed(&world);
    let took = began.elapsed();
    assert_eq!(code, 0, "{steps:?}");
    let mut asked = world.lines("asked");
    asked.sort();
    assert_eq!(asked, ["pid", "status"], "each once for all of them");
    let already = steps.iter().filter(|(_, v, _)| v == "already").count();
    let holds = steps
        .iter()
        .filter(|(.., e)| e.contains("holds now"))
        .count();
    assert_eq!((already, holds), (6, 8), "{steps:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

/// Steps that only root or another user may do.
const FOREIGN: &str = r#"
      - {id: replace, do: {file.replace: {path: "@/theirs", content: y}}}
      - {id: daemon, do: {process.start: {argv: [sleep, "1"], pidfile: "@/pid", log: "@/closed/log"}}}
      - {id: end, do: {service.stop: {by: {match: "^sleep 86399"}}}}
      - {id: own, do: {file.replace: {path: "@/ours", content: y}}}
"#;

#[test]
fn a_user_is_told_beforehand_what_only_others_may_do() {
    assert!(
        rustix::process::geteuid().is_root(),
        "it acts as another user"
    );
    let world = plan(FOREIGN);
    world.write("theirs", "x");
    std::fs::create_dir(world.path("closed")).expect("made");
    std::os::unix::fs::chown(world.path(""), Some(4711), Some(4711)).expect("as root");
    for dir in ["", "closed"] {
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(world.path(dir), mode).expect("its mode");
    }
    let mut theirs = std::process::Command::new("sleep")
        .arg("86399")
        .spawn()
        .expect("sleep");
    // Where the program was built, others may not get to.
    std::fs::copy(crate::common::UPLEDGER, world.path("upledger")).expect("copied");
    let ours = world.command(&["plan", "plan.yaml", "--json"]);
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--reuid=4711", "--regid=4711", "--clear-groups"])
        .arg(world.path("upledger"))
        .args(ours.get_args())
        .current_dir(world.path(""))
        .env("HOME", "/tmp")
        .env_remove("XDG_CONFIG_HOME");
    for (key, value) in ours.get_envs() {
        if let Some(value) = value {
            command.env(key, value);
        }
    }
    let done = crate::common::Done::of(command.output().expect("setpriv"));
    theirs.kill().expect("it lives");
    theirs.wait().expect("it ended");
    assert_eq!(done.code, 3, "{done:?}");
    let value: Value = serde_json::from_str(done.out.trim()).expect("JSON");
    for (at, verdict, said) in [
        (0, "cannot_run", "belongs to another user (uid 0)"),
        (1, "cannot_run", "this user cannot write "),
        (2, "fail", "runs as another user (uid 0)"),
        (3, "change", ""),
    ] {
        let step = &value["steps"][at];
        assert_eq!(step["verdict"], verdict, "{step}");
        assert!(step["evidence"].to_string().contains(said), "{step}");
    }
}
