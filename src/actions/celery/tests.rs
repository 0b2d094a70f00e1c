//! A worker that is a plain process, and a helper that answers for it: what a stop notes, hands on and puts back.

use super::snapshot::Snapshot;
use super::start::{Start, Started};
use super::stop::{Stop, Stopped};
use crate::action::{Action, Context, Direction, Error, Noted, Past, Work};
use crate::host::process::identity::Ident;
use crate::host::process::note::Note;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use upledger_replay::event::Answer;

/// Notes each TERM in a file, and ends, unless there is a file `stay`.
const WORKER: &str = r#"
import os, signal
def term(*_):
    with open("terms", "a") as f: f.write("TERM\n")
    if not os.path.exists("stay"): os._exit(0)
signal.signal(signal.SIGTERM, term)
print("ready", flush=True)
while True: signal.pause()
"#;

/// Answers as the helper in the application's interpreter does. What the worker consumes and runs stands in files.
const HELPER: &str = r#"
import json, sys
sys.stdin.readline(); sys.stdin.readline()
def say(what): print(json.dumps(what), flush=True)
say({"celery": "5", "driver": "test", "broker": "test://", "queues": ["ordinary"]})
for line in sys.stdin:
    ask = json.loads(line)
    queues = open("queues").read().split()
    active = int(open("active").read())
    if ask["do"] == "look":
        say({"names": {n: n for n in ask["names"]},
             "roll": [{"node": "w@h", "pid": int(open("pid").read())}],
             "reports": [{"node": "w@h", "whole": True, "queues": queues, "active": active,
                       "running": [{"id": "7", "name": "app.task"}][:active], "reserved": 0, "waiting": [],
                       "scheduled": 2, "due_in": 60.0}]})
    elif ask["do"] == "consume":
        rest = [q for q in queues if q != ask["queue"]] + ([ask["queue"]] if ask["add"] else [])
        with open("queues", "w") as f: f.write(" ".join(rest))
        say({})
    else:
        say({"queues": {q: 3 for q in ask["queues"]}})
"#;

/// An application with one worker, which consumes `fast` and `slow`.
struct Site {
    dir: TempDir,
    worker: Child,
}

impl Drop for Site {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.worker.kill();
        let _ = self.worker.wait();
    }
}

impl Site {
    /// Whose worker runs that many tasks.
    fn new(active: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let mut ask = Command::new("python3");
        ask.args(["-c", "import sys; print(sys.executable, end='')"]);
        let python = String::from_utf8(ask.output().unwrap().stdout).unwrap();
        fs::create_dir(path("bin")).unwrap();
        symlink(python, path("bin/python3")).unwrap();
        let shebang = format!("#!{}\n", path("bin/python3").display());
        fs::write(path("bin/helper"), shebang + HELPER).unwrap();
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path("bin/helper"), mode).unwrap();
        fs::write(path("celery"), WORKER).unwrap();
        fs::write(path("queues"), "fast slow").unwrap();
        fs::write(path("active"), active.to_string()).unwrap();
        let mut worker = Command::new(path("bin/python3"))
            .arg(path("celery"))
            .args(["-A", "app", "worker", "-n", "w@h"])
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        fs::write(path("pid"), worker.id().to_string()).unwrap();
        let mut ready = String::new();
        let mut output = BufReader::new(worker.stdout.take().unwrap());
        output.read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Self { dir, worker }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn consumed(&self) -> String {
        fs::read_to_string(self.path("queues")).unwrap()
    }

    /// How often the worker has got TERM.
    fn terms(&self) -> usize {
        let terms = fs::read_to_string(self.path("terms")).unwrap_or_default();
        terms.lines().count()
    }

    fn process(&self) -> Ident {
        Ident::of(i32::try_from(self.worker.id()).unwrap()).unwrap()
    }

    fn context(&self) -> Context {
        Context {
            state: self.path("state"),
            step: "workers".into(),
            ..Context::default()
        }
    }

    fn stop(&self, more: Value) -> Stop {
        let mut settings = json!({
            "drain": "30s",
            "grace": "30s",
            "app": {"cwd": self.dir.path(), "python": self.path("bin/helper")},
        });
        for (key, value) in more.as_object().unwrap() {
            settings[key] = value.clone();
        }
        serde_json::from_value(settings).unwrap()
    }
}

/// What the look sees, and these notes of an attempt that died.
fn past(before: Snapshot, notes: impl IntoIterator<Item = Note>) -> Past<Stop> {
    let noted = |note| Noted {
        direction: Direction::Do,
        attempt: 1,
        note,
    };
    Past {
        notes: notes.into_iter().map(noted).collect(),
        ..Past::new(before)
    }
}

/// One more attempt: how it came out, what it noted, what it said.
fn perform(
    stop: &Stop,
    cx: &Context,
    past: &Past<Stop>,
) -> (Result<Stopped, Error>, Vec<Note>, String) {
    let mut log = Vec::new();
    let mut work = Work::new(cx, Direction::Do, &mut log).unwrap().after(past);
    let result = stop.perform(&mut work, past);
    let noted = work.noted().to_vec();
    (result, noted, String::from_utf8(log).unwrap())
}

fn undo(stop: &Stop, cx: &Context, past: &Past<Stop>) -> Result<(), Error> {
    let mut log = Vec::new();
    let mut work = Work::new(cx, Direction::Undo, &mut log)
        .unwrap()
        .after(past);
    stop.undo(&mut work, past)
}

fn cancelling(queue: &str) -> Note {
    Note::Cancelling {
        worker: "w@h".into(),
        queue: queue.into(),
    }
}

fn drained() -> Note {
    Note::Drained {
        scheduled: 2,
        unfinished: None,
    }
}

#[test]
fn a_drained_worker_ends_and_notes_and_output_tell_how() {
    let site = Site::new(0);
    let (stop, cx) = (site.stop(json!({})), site.context());
    let process = site.process();
    let before = stop.observe(&cx).unwrap();
    let (result, noted, said) = perform(&stop, &cx, &past(before.clone(), []));
    let output = result.unwrap();
    let expected = [
        cancelling("fast"),
        cancelling("slow"),
        drained(),
        Note::Signalled {
            process: process.clone(),
        },
        Note::Terminating {
            process: process.clone(),
            at: None,
        },
    ];
    assert_eq!(noted, expected, "{said}");
    let wanted = Stopped {
        stopped: 1,
        processes: format!("w@h (process {})", process.pid),
        scheduled: 2,
        unfinished: None,
        queues: Some("3 wait in fast, 3 wait in slow".into()),
    };
    assert_eq!(output, wanted, "{said}");
    assert_eq!((site.terms(), process.alive()), (1, false));

    // A death before the output loses nothing but the queues.
    let mut past = past(before, noted);
    let (look, found) = stop.probe(&cx, &past).unwrap();
    assert_eq!(look.answer, Answer::Done, "{look:?}");
    let known = Stopped {
        queues: None,
        ..wanted.clone()
    };
    assert_eq!(found, Some(known));
    past.output = Some(wanted);
    let evidence = stop.verify(&cx, &past).unwrap().evidence.join("; ");
    for part in ["2 scheduled tasks (ETA or countdown)", "3 wait in fast"] {
        assert!(evidence.contains(part), "no '{part}' in {evidence}");
    }
    assert!(!cx.state.join("undo").exists(), "nothing is kept");
}

#[test]
fn what_cannot_be_noted_is_not_done() {
    let site = Site::new(0);
    let full = site.path("spool");
    fs::File::create(&full).unwrap().set_len(1 << 40).unwrap();
    let stop = site.stop(json!({}));
    let cx = Context {
        spool: Some(full),
        ..site.context()
    };
    let past = past(stop.observe(&cx).unwrap(), []);
    let (result, noted, _) = perform(&stop, &cx, &past);
    let why = result.unwrap_err().to_string();
    assert!(why.contains("cannot write the attempt's spool"), "{why}");
    assert_eq!(noted, []);
    assert_eq!((site.consumed().as_str(), site.terms()), ("fast slow", 0));
}

#[test]
fn an_undo_gives_back_what_was_cancelled_of_a_worker_that_could_not_be_asked_before() {
    let site = Site::new(0);
    let (stop, cx) = (site.stop(json!({})), site.context());
    let mut before = stop.observe(&cx).unwrap();
    for member in &mut before.members {
        (member.node, member.queues) = (None, Vec::new());
    }
    fs::write(site.path("queues"), "").unwrap();
    let past = past(before, [cancelling("fast"), cancelling("slow")]);
    let shown = stop.preview(Direction::Undo, &past).commands;
    assert!(shown[0].starts_with("add_consumer "), "{shown:?}");
    let look = stop.undone(&cx, &past).unwrap();
    assert_eq!(look.answer, Answer::Unclear, "{look:?}");
    undo(&stop, &cx, &past).unwrap();
    assert_eq!(site.consumed(), "fast slow");
    assert_eq!(stop.undone(&cx, &past).unwrap().answer, Answer::Done);
    assert_eq!(site.terms(), 0);
}

#[test]
fn who_was_told_to_end_is_not_drained_again_and_gets_one_term() {
    let site = Site::new(0);
    let (stop, cx) = (site.stop(json!({"grace": "1s"})), site.context());
    let process = site.process();
    let before = stop.observe(&cx).unwrap();
    let signalled = Note::Signalled {
        process: process.clone(),
    };
    let terminating = Note::Terminating { process, at: None };

    // It died after TERM, and the worker takes its time.
    fs::write(site.path("stay"), "").unwrap();
    let dead = past(
        before.clone(),
        [drained(), signalled.clone(), terminating.clone()],
    );
    let (result, noted, said) = perform(&stop, &cx, &dead);
    let why = result.unwrap_err().to_string();
    assert!(why.contains("nothing was killed"), "{why}");
    assert_eq!((noted, site.terms()), (vec![], 0), "{said}");
    let look = stop.undone(&cx, &dead).unwrap();
    assert_eq!(look.answer, Answer::Nothing, "{look:?}");
    assert!(undo(&stop, &cx, &dead).is_err(), "it still ends");
    assert_eq!(site.terms(), 0);

    // It died before TERM.
    fs::remove_file(site.path("stay")).unwrap();
    let (result, noted, said) = perform(&stop, &cx, &past(before, [drained(), signalled]));
    assert_eq!(result.unwrap().scheduled, 2);
    assert_eq!((noted, site.terms()), (vec![terminating], 1), "{said}");
    assert!(!said.contains("cancel_consumer"), "{said}");
}

#[test]
fn at_the_deadline_consumers_come_back_and_with_kill_the_tasks_are_named() {
    let site = Site::new(1);
    let cx = site.context();
    let stop = site.stop(json!({"drain": "1s"}));
    let before = stop.observe(&cx).unwrap();
    let (result, _, said) = perform(&stop, &cx, &past(before.clone(), []));
    let why = result.unwrap_err().to_string();
    assert!(why.contains("1 task runs on w@h: app.task 7"), "{why}");
    assert_eq!((site.consumed().as_str(), site.terms()), ("fast slow", 0));
    assert!(said.contains("add_consumer fast to w@h"), "{said}");

    fs::write(site.path("stay"), "").unwrap();
    let stop = site.stop(json!({"drain": "1s", "grace": "1s", "overdue": "kill"}));
    let (result, noted, said) = perform(&stop, &cx, &past(before, []));
    let tasks = Some("app.task 7".to_owned());
    assert_eq!(result.unwrap().unfinished, tasks, "{said}");
    assert!(said.contains("tasks cut off: app.task 7"), "{said}");
    assert!(noted.contains(&Note::Drained {
        scheduled: 0,
        unfinished: tasks,
    }));
}

#[test]
fn a_look_where_nothing_lives_does_not_wait() {
    let mut site = Site::new(0);
    let (stop, cx) = (site.stop(json!({})), site.context());
    let past = past(stop.observe(&cx).unwrap(), []);
    site.worker.kill().unwrap();
    site.worker.wait().unwrap();
    let began = std::time::Instant::now();
    let look = stop.undone(&cx, &past).unwrap();
    assert_eq!(look.answer, Answer::Nothing, "{look:?}");
    assert!(began.elapsed().as_secs() < 1, "{:?}", began.elapsed());
}

#[test]
fn steps_of_one_moment_share_an_inspection_and_a_step_at_work_asks_anew() {
    let site = Site::new(0);
    let stop = site.stop(json!({}));
    let moment = crate::action::Answers::default();
    let look = |step: &str| Context {
        step: step.into(),
        env: vec![("UPLEDGER_STEP".into(), step.into())],
        answers: Some(moment.beside()),
        ..site.context()
    };
    let queues = |cx: &Context| {
        let before = stop.observe(cx).unwrap();
        before
            .consumed([])
            .into_values()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(queues(&look("one")), "fast slow");
    fs::write(site.path("queues"), "other").unwrap();
    assert_eq!(queues(&look("two")), "fast slow", "the answer of the first");
    let anew = look("three");
    anew.look_anew();
    assert_eq!(queues(&anew), "other", "what it waits for is asked again");
    assert_eq!(queues(&site.context()), "other");
}

const BEFORE: &str = r#"{
    "service": {
        "masters": [{
            "process": {"pid": 7, "starttime": 9, "boot": "b"},
            "argv": ["/v/bin/python", "/v/bin/celery", "-A", "app", "worker"],
            "cwd": "/srv/app", "exe": "/usr/bin/python3",
            "user": {"uid": 0, "gid": 0, "groups": [], "umask": 18},
            "log": null, "members": []
        }],
        "ports": []
    },
    "origin": {"python": "/v/bin/python", "cwd": "/srv/app", "module": "app"},
    "members": [{"process": {"pid": 7, "starttime": 9, "boot": "b"}, "node": "w@h", "queues": ["fast"]}]
}"#;
/// Of a supervisord whose group runs in part.
const KEPT: &str = r#"{
    "service": {
        "masters": [],
        "programs": [{"name": "g:a", "state": "RUNNING"}, {"name": "g:b", "state": "STOPPED"}],
        "ports": []
    },
    "members": [{"process": {"pid": 7, "starttime": 9, "boot": "b"}}]
}"#;
const STOPPED: &str = r#"{"stopped": 1, "processes": "w@h (process 7)", "scheduled": 2,
    "unfinished": "app.task 1", "queues": "3 wait in fast"}"#;
const STARTED: &str = r#"{"started": 1, "processes": "worker 8 (-n w@h)", "running": 2}"#;

#[test]
fn stored_observations_and_outputs_are_read() {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let before: Snapshot = serde_json::from_str(BEFORE).unwrap();
    assert_eq!(serde_json::to_value(&before).unwrap(), read(BEFORE));
    let stopped: Stopped = serde_json::from_str(STOPPED).unwrap();
    assert_eq!(serde_json::to_value(&stopped).unwrap(), read(STOPPED));
    let started: Started = serde_json::from_str(STARTED).unwrap();
    assert_eq!(serde_json::to_value(&started).unwrap(), read(STARTED));
    let bare = read(r#"{"stopped": 0, "processes": "", "scheduled": 0}"#);
    let stopped: Stopped = serde_json::from_value(bare.clone()).unwrap();
    assert_eq!(serde_json::to_value(&stopped).unwrap(), bare);
}

#[test]
fn the_intents_name_what_is_stopped_and_what_is_started() {
    let stop: Stop = serde_json::from_str("{}").unwrap();
    let ran = Past::new(serde_json::from_str(BEFORE).unwrap());
    let shown = |direction| stop.preview(direction, &ran).commands;
    assert_eq!(
        shown(Direction::Do),
        [
            "cancel_consumer for every queue of w@h (process 7)",
            "wait up to 10m until no task is active or reserved",
            "TERM to w@h (process 7), which may take 1m",
        ]
    );
    assert_eq!(
        shown(Direction::Undo),
        [
            "/v/bin/python /v/bin/celery -A app worker",
            "wait up to 1m until every worker answers and consumes",
        ]
    );
    let nobody = Past::new(Snapshot::default());
    let shown = |direction| stop.preview(direction, &nobody).commands;
    assert_eq!(shown(Direction::Do), ["no worker is running"]);
    assert_eq!(
        shown(Direction::Undo),
        ["nothing was running before; nothing to start"]
    );

    let by = json!({"by": {"supervisor": {"program": "g:*"}}});
    let stop: Stop = serde_json::from_value(by.clone()).unwrap();
    let kept = || serde_json::from_str::<Snapshot>(KEPT).unwrap();
    let back = stop.preview(Direction::Undo, &Past::new(kept())).commands;
    assert_eq!(back[0], "supervisorctl start g:a");

    let start: Start = serde_json::from_value(by).unwrap();
    let mut past = Past::new(kept());
    let last = |past: &Past<Start>| start.preview(Direction::Undo, past).commands.pop().unwrap();
    assert_eq!(last(&past), "supervisorctl stop g:b, which may take 1m");
    past.before = Snapshot::default();
    assert_eq!(last(&past), "supervisorctl stop g:*, which may take 1m");
    past.output = Some(Started {
        started: 0,
        processes: String::new(),
        running: 1,
    });
    assert_eq!(last(&past), "no new process is running; nothing to stop");

    let own = json!({"by": {"match": "celery", "start": ["celery", "worker"]}});
    let start: Start = serde_json::from_value(own).unwrap();
    let mut past = Past::new(Snapshot::default());
    let last = |past: &Past<Start>| start.preview(Direction::Undo, past).commands.pop().unwrap();
    assert_eq!(last(&past), "TERM to every worker, which may take 1m");
    past.notes.push(Noted {
        direction: Direction::Do,
        attempt: 1,
        note: Note::Launched {
            key: "Celery worker-0".into(),
            process: Ident {
                pid: 8,
                starttime: 9,
                boot: "b".into(),
            },
        },
    });
    assert_eq!(last(&past), "TERM to worker 8, which may take 1m");
    past.output = Some(serde_json::from_str(STARTED).unwrap());
    assert_eq!(last(&past), "TERM to worker 8 (-n w@h), which may take 1m");
}
