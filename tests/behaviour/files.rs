//! Actions on files and expectations, from the plan to the ledger and back: what a rollback leaves is what was there.

use crate::common::{UPLEDGER, World};
use std::process::{Child, Command, Stdio};

const PLAN: &str = r#"
upledger: 1
name: files
vars: {dir: "@"}
phases:
  - phase: config
    steps:
      - {id: copy, do: {file.backup: {path: "${dir}/app.env"}}}
      - {id: debug, do: {file.line: {path: "${dir}/app.env", match: "^DEBUG=", line: DEBUG=0}}}
      - {id: extra, do: {file.line: {path: "${dir}/app.env", match: "^X=", line: X=1, absent: append}}}
      - {id: made, do: {file.replace: {path: "${dir}/made", content: "made\n", mode: "0600"}}}
      - {id: seen, do: {expect.file: {path: "${dir}/app.env", contains: "DEBUG=0"}}}
      - {id: alone, do: {expect.process: {match: "marker-of-this-test", none: true}}}
      - {id: last, do: {expect.file: {path: "${dir}/there"}}}
"#;

/// The statuses of the steps, in order.
fn statuses(world: &World) -> Vec<String> {
    let status = world.status();
    let steps = status["steps"].as_array().expect("steps");
    steps
        .iter()
        .map(|s| s["do"]["status"].as_str().unwrap_or("none").to_owned())
        .collect()
}

#[test]
fn files_are_changed_proved_and_put_back() {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    world.write("app.env", "DEBUG=1\r\nA=1");
    world.write("there", "");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let read = |name: &str| std::fs::read_to_string(world.path(name)).unwrap_or_default();
    assert_eq!(read("app.env"), "DEBUG=0\r\nA=1\r\nX=1");
    assert_eq!(read("made"), "made\n");
    assert_eq!(statuses(&world), ["done"; 7]);
    world.assert_sound();

    assert_eq!(world.upledger(&["rollback", "--reason", "test"]).code, 5);
    assert_eq!(read("app.env"), "DEBUG=1\r\nA=1");
    assert!(!world.path("made").exists());
    world.assert_sound();

    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let copies = std::fs::read_dir(world.state().join("undo"))
        .expect("undo")
        .filter(|e| {
            let name = e.as_ref().expect("entry").file_name();
            name.to_string_lossy().starts_with("backup-")
        })
        .count();
    assert_eq!(copies, 2, "each run made its own backup");
}

#[test]
fn an_expectation_that_fails_stops_the_run_and_says_what_it_saw() {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    world.write("app.env", "DEBUG=1\n");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("saw nothing at"), "{done:?}");
    world.assert_sound();
}

#[test]
fn what_started_upledger_is_not_found_by_what_stands_in_its_command_line() {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    world.write("app.env", "DEBUG=1\n");
    world.write("there", "");
    let status = Command::new("sh")
        .args(["-c", "\"$0\" run plan.yaml; exit $?", UPLEDGER])
        .arg("marker-of-this-test")
        .current_dir(world.path("."))
        .env("UPLEDGER_STATE", world.state())
        .env("UPLEDGER_MEMORY", world.path("memory"))
        .status()
        .expect("sh");
    assert!(status.success(), "{:?}", world.status());
}

/// A living application: it has the file open to write, until it is dropped.
struct Application(Child);

impl Application {
    fn of(world: &World, name: &str) -> Self {
        let mut open = std::fs::File::options();
        let file = open.append(true).open(world.path(name)).expect("opened");
        let mut sleep = Command::new("sleep");
        sleep.arg("600").stdout(Stdio::from(file));
        Self(sleep.spawn().expect("sleep"))
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const NIGHTS: &str = r#"
upledger: 1
name: nights
phases:
  - phase: all
    steps:
      - {id: copy, do: {file.backup: {path: "@/data", to: "@/copy", sha256: true}}}
      - {id: same, do: {expect.file: {path: {from: copy.path}, sha256: {from: copy.sha256}}}}
      - {id: spoil, do: {shell: "echo spoilt > @/data"}, effect: idempotent, undo: none}
      - {id: back, do: {file.restore: {path: "@/data", from: {from: copy.path}}}}
"#;

#[test]
fn the_second_night_has_a_copy_of_its_own_and_restores_that_one() {
    let world = World::new();
    world.write("plan.yaml", NIGHTS);
    for night in ["first\n", "second\n"] {
        world.write("data", night);
        let done = world.upledger(&["run", "plan.yaml"]);
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(world.lines("data"), [night.trim()]);
    }
    assert_eq!(world.lines("copy"), ["first"]);
    let run = world.status()["run"].as_str().expect("a name").to_owned();
    assert_eq!(world.lines(&format!("copy.{run}.copy")), ["second"]);
    assert_eq!(world.rollback().code, 5);
    assert_eq!(world.lines("data"), ["spoilt"]);
    world.assert_sound();
}

#[test]
fn nothing_is_restored_under_a_living_application() {
    let world = World::new();
    world.write("plan.yaml", NIGHTS);
    world.write("data", "first\n");
    let application = Application::of(&world, "data");
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 1, "{run:?}");
    for part in [&application.pid(), "sleep", "open for writing", "stop what"] {
        assert!(run.out.contains(part), "{part}: {run:?}");
    }
    drop(application);
    let retry = ["decide", "back", "retry", "--reason", "it is stopped"];
    assert_eq!(world.upledger(&retry).code, 0);
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("data"), ["first"]);

    // So it is with the undo of every step that writes a file; a preview tells it.
    let application = Application::of(&world, "data");
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(
        shown.contains("would refuse") && shown.contains(&application.pid()),
        "{shown}"
    );
    let back = world.rollback();
    assert_eq!(back.code, 6, "{back:?}");
    assert!(back.out.contains(&application.pid()), "{back:?}");
    assert_eq!(world.lines("data"), ["first"], "it is not touched");
    drop(application);
    let retry = ["decide", "back", "retry", "--reason", "it is stopped"];
    assert_eq!(world.upledger(&retry).code, 0);
    assert_eq!(world.upledger(&["resume"]).code, 5);
    assert_eq!(world.lines("data"), ["spoilt"]);
    world.assert_sound();
}
