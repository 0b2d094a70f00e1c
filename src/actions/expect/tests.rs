//! Proves, against real processes, sockets, files and commands: each expectation tells true from false, says what it
//! saw, waits no longer than it must, and never takes upledger for what it looks for.

mod contents;
mod ports;
mod stopped;

use crate::action::{Context, Direction, RawPast, stays};
use crate::actions::Do;
use crate::host::process::list;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

fn context() -> Context {
    Context {
        state: "/nonexistent".into(),
        run: "run-1".into(),
        step: "step".into(),
        env: vec![("PATH".into(), std::env::var("PATH").unwrap())],
        cwd: None,
        secrets: Vec::new(),
        ..Context::default()
    }
}

fn action(kind: &str, settings: Value) -> Do {
    serde_json::from_value(json!({ kind: settings })).unwrap()
}

/// It holds: as a step, as a look, and as evidence. Returns what was seen.
#[track_caller]
fn holds(kind: &str, settings: Value) -> String {
    let (action, cx) = (action(kind, settings), context());
    let mut log = Vec::new();
    let (action, past) = (action.kind_of(), RawPast::default());
    action.perform(&cx, &past, &mut log).unwrap();
    let (look, _) = action.probe(&cx, &past).unwrap();
    assert_eq!(look.answer, Answer::Done, "{look:?}");
    let proof = action.verify(&cx, &past).unwrap();
    assert_eq!(proof.answer, Answer::Done, "{proof:?}");
    assert!(!proof.evidence.is_empty());
    String::from_utf8(log).unwrap()
}

/// It does not hold. Returns why.
#[track_caller]
fn fails(kind: &str, settings: Value) -> String {
    let (action, cx) = (action(kind, settings), context());
    let (action, past) = (action.kind_of(), RawPast::default());
    let why = action
        .perform(&cx, &past, &mut std::io::sink())
        .unwrap_err()
        .to_string();
    let (look, _) = action.probe(&cx, &past).unwrap();
    assert_eq!(look.answer, Answer::Nothing, "{look:?}");
    why
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

/// A process whose command line is its own.
struct Sleeper(Child);

impl Sleeper {
    fn new(name: &str) -> Self {
        let mut command = Command::new("sleep");
        let child = command.arg0(name).arg("1000").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // It has its own arguments a moment after it was executed.
        while crate::system::proc::words(pid)
            .first()
            .is_none_or(|first| first != name)
        {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Self(child)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// A log that does something as soon as it hears that something is not yet so.
struct OnNotYet<F: FnMut()>(F, usize);

impl<F: FnMut()> Write for OnNotYet<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if String::from_utf8_lossy(bytes).contains("not yet") {
            self.1 += 1;
            (self.0)();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn expectations_are_always_carried_out_and_need_no_undo() {
    for (kind, settings) in [
        ("expect.process", json!({"match": "x"})),
        ("expect.port", json!({"port": 1})),
        ("expect.stopped", json!({"ports": [1]})),
        ("expect.file", json!({"path": "/"})),
        ("expect.command", json!({"argv": ["true"]})),
    ] {
        let action = action(kind, settings);
        let action = action.kind_of();
        assert_eq!(action.problems(), [""; 0], "{kind}");
        let properties = action.properties();
        assert!(properties.looks);
        // A probe of its own would let the runner take it for done without evidence of this run.
        assert!(!properties.has_probe);
        assert!(!properties.needs_undo);
        assert!(action.outline(Direction::Do)[0].starts_with("expect "));
    }
}

#[test]
fn processes_are_counted_and_named() {
    let name = unique("counted");
    let none = json!({"match": name, "none": true});
    holds("expect.process", none.clone());
    says(
        &fails("expect.process", json!({"match": name})),
        &["expected at least 1 process matching", "saw 0 processes"],
    );
    let two = [Sleeper::new(&name), Sleeper::new(&name)];
    let pid = two[0].0.id();
    for range in [
        json!({"count": 2}),
        json!({"min": 2}),
        json!({"max": 2}),
        json!({"min": 1, "max": 3}),
        json!({}),
    ] {
        let mut settings = range;
        settings["match"] = json!(format!("^{name} 1000$"));
        says(
            &holds("expect.process", settings),
            &["2 processes", &format!("pid {pid}: {name} 1000")],
        );
    }
    for range in [json!({"count": 1}), json!({"min": 3}), json!({"max": 1})] {
        let mut settings = range;
        settings["match"] = json!(name);
        fails("expect.process", settings);
    }
    says(
        &fails("expect.process", none),
        &[
            "expected no process matching",
            "saw 2",
            &format!("pid {pid}: "),
        ],
    );
}

#[test]
fn upledger_is_never_found() {
    let name = unique("plan-of-celery");
    let _fake = Sleeper::new(&format!("/opt/bin/upledger run {name}"));
    holds("expect.process", json!({"match": name, "none": true}));
    let me = i32::try_from(std::process::id()).unwrap();
    let all = list::matching(&regex::Regex::new("").unwrap()).unwrap();
    assert!(all.iter().all(|p| p.pid != me));
}

#[test]
fn a_zombie_is_no_process() {
    let name = unique("zombie");
    let mut child = Command::new("true").arg0(&name).spawn().unwrap();
    // Waited for without being reaped.
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::waitid(
        rustix::process::WaitId::Pid(pid),
        rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
    )
    .unwrap();
    holds("expect.process", json!({"match": name, "none": true}));
    child.wait().unwrap();
}

#[test]
fn waiting_ends_when_it_is_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let action = action("expect.file", json!({"path": path, "within": "1h"}));
    let mut log = OnNotYet(|| std::fs::write(&path, "").unwrap(), 0);
    let past = RawPast::default();
    let kind = action.kind_of();
    kind.perform(&context(), &past, &mut log).unwrap();
    assert_eq!(log.1, 1, "what did not change is said once");
}

#[test]
fn waiting_ends_when_the_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let why = fails(
        "expect.file",
        json!({"path": dir.path().join("file"), "within": "250ms"}),
    );
    says(&why, &["saw nothing at", ", after 250ms"]);
    assert!(began.elapsed() >= Duration::from_millis(250));
}

#[test]
fn a_look_waits_for_nothing() {
    let settings = json!({"path": "/no/such/file", "within": "365d"});
    let action = action("expect.file", settings);
    let kind = action.kind_of();
    let (look, _) = kind.probe(&context(), &RawPast::default()).unwrap();
    assert_eq!(look.answer, Answer::Nothing);
}

#[test]
fn settings_that_say_nothing_or_too_much_are_refused() {
    for (kind, settings, part) in [
        (
            "expect.process",
            json!({"match": "("}),
            "not a valid regular expression",
        ),
        ("expect.process", json!({"match": ""}), "every process"),
        (
            "expect.process",
            json!({"match": "x", "none": true, "count": 1}),
            "are mutually exclusive",
        ),
        (
            "expect.process",
            json!({"match": "x", "max": 0}),
            "`min` is 1, but `max` is 0",
        ),
        (
            "expect.port",
            json!({"port": 1, "host": " "}),
            "`host` is empty",
        ),
        ("expect.file", json!({"path": "x"}), "not an absolute path"),
        (
            "expect.file",
            json!({"path": "/x", "exists": false, "mode": "0600"}),
            "nothing to compare",
        ),
        (
            "expect.file",
            json!({"path": "/x", "sha256": "12"}),
            "64 hexadecimal digits",
        ),
        (
            "expect.file",
            json!({"path": "/x", "contains": ""}),
            "`contains` is empty",
        ),
        ("expect.command", json!({"argv": []}), "names no program"),
        (
            "expect.command",
            json!({"argv": ["x"], "stdout_matches": "("}),
            "not a valid regular expression",
        ),
        (
            "expect.command",
            json!({"argv": ["x"], "stdout_contains": ""}),
            "`stdout_contains` is empty",
        ),
    ] {
        let problems = action(kind, settings).kind_of().problems();
        assert!(problems.iter().any(|p| p.contains(part)), "{problems:?}");
    }
}

#[test]
fn plans_with_expectations_are_read_with_their_variables() {
    let plan = r#"
upledger: 1
name: looks
vars: {port: "8000", wait: 30s}
phases:
  - phase: p
    steps:
      - {id: p, do: {expect.process: {match: celery, none: true, within: "${wait}"}}}
      - {id: o, do: {expect.port: {port: "${port}"}}}
      - {id: c, do: {expect.port: {port: 8000, open: false, host: db}}}
      - {id: f, do: {expect.file: {path: /etc/hosts, contains: localhost}}}
      - id: r
        do: {run: [x, "${port}"]}
        effect: probed
        probe: {expect.command: {argv: [test, -e, /x], exit: 1}}
        verify: {expect.port: {port: "${port}"}}
        undo: none
"#;
    let checked =
        crate::plan::load_text("plan.yaml", plan).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let steps: Vec<_> = checked.plan.steps().map(|(_, s)| s).collect();
    assert_eq!(
        steps[1].action.to_value(),
        json!({"expect.port": {"port": 8000, "open": true}})
    );
    assert_eq!(steps[0].action.settings["within"], "30s");
    for step in &steps[..4] {
        assert_eq!(step.undo, upledger_replay::plan::Undo::Nothing);
        assert!(!step.has_probe);
    }
}

#[test]
fn what_is_stored_stays_readable() {
    stays::<super::process::Process>("null", "null", "null");
    stays::<super::port::PortState>("null", "null", "null");
    stays::<super::stopped::Stopped>("null", "null", "null");
    stays::<super::file::File>("null", "null", "null");
    stays::<super::command::Command>("null", "null", "null");
}
