//! Ledgers and states that upledger 0.1.0 left, killed at many places of a run and of a rollback (`old/make.py`): they are
//! verified, replayed and exported, and their runs go on to the right end, or are refused before anything changes.
//!
//! Their absolute paths are in the ledgers, so all of them are unpacked into one directory, one at a time.

use crate::common::{Done, UPLEDGER};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROOT: &str = "/var/tmp/upledger-before-contract";

/// What the step `one` of the commands and the steps after it leave in `trace`.
const ONE_TO_THREE: &str = "one, two, end of two, three seven";

/// A state whose run goes on: commands with their exit codes, then what the steps left.
struct GoesOn {
    state: &'static str,
    then: &'static [(&'static str, i32)],
    trace: &'static str,
    files: &'static [(&'static str, &'static str)],
}

const fn goes_on(
    state: &'static str,
    then: &'static [(&'static str, i32)],
    trace: &'static str,
) -> GoesOn {
    GoesOn {
        state,
        then,
        trace,
        files: &[],
    }
}

/// Runs of nothing but commands and looks.
const COMMANDS: [GoesOn; 18] = [
    goes_on("commands-planned", &[("resume", 0)], ONE_TO_THREE),
    goes_on("commands-job-made", &[("resume", 0)], ONE_TO_THREE),
    goes_on("commands-intent", &[("resume", 0)], ONE_TO_THREE),
    goes_on("commands-result", &[("resume", 0)], ONE_TO_THREE),
    goes_on(
        "commands-lost-result",
        &[
            ("resume", 4),
            ("decide two done --reason seen", 0),
            ("resume", 0),
        ],
        ONE_TO_THREE,
    ),
    goes_on("commands-between", &[("resume", 0)], ONE_TO_THREE),
    goes_on("commands-paused", &[("resume", 0)], ONE_TO_THREE),
    goes_on(
        "commands-failed",
        &[
            ("resume", 1),
            ("decide two retry --reason mended", 0),
            ("resume", 0),
        ],
        ONE_TO_THREE,
    ),
    goes_on(
        "commands-doubt",
        &[
            ("resume", 4),
            ("decide two skip --reason seen", 0),
            ("resume", 0),
        ],
        ONE_TO_THREE,
    ),
    goes_on("commands-decided", &[("resume", 0)], ONE_TO_THREE),
    goes_on(
        "commands-completed",
        &[("resume", 13), ("rollback --reason x", 5)],
        "one, two, end of two, three seven, -three, -two, -one",
    ),
    goes_on(
        "commands-aborted",
        &[("resume", 13), ("rollback --reason x", 5)],
        "one, two, end of two, -two, -one",
    ),
    goes_on(
        "commands-back-started",
        &[("resume", 5)],
        "one, two, end of two, three seven, -three, -two, -one",
    ),
    goes_on(
        "commands-back-result",
        &[("resume", 5)],
        "one, two, end of two, three seven, -three, -two, -one",
    ),
    goes_on(
        "commands-back-lost-result",
        &[
            ("resume", 4),
            ("decide two done --reason seen", 0),
            ("resume", 5),
        ],
        "one, two, end of two, three seven, -three, -two, -one",
    ),
    goes_on(
        "commands-back-stuck",
        &[
            ("resume", 6),
            ("decide two retry --reason mended", 0),
            ("resume", 5),
        ],
        "one, two, end of two, three seven, -three, -two, -one",
    ),
    goes_on(
        "commands-back-to",
        &[("resume", 0)],
        "one, two, end of two, three seven, -three, -two, two, end of two, three seven",
    ),
    goes_on("looks-result", &[("resume", 0)], "after"),
];

/// Runs with a typed step that what is left of them does not touch.
const MIXED: [GoesOn; 7] = [
    GoesOn {
        files: &[("app.conf", "workers=1\n")],
        ..goes_on("files-planned", &[("rollback --reason x", 5)], "")
    },
    GoesOn {
        files: &[("etc/limits", "nofile 1024\n")],
        ..goes_on(
            "mixed-untouched",
            &[("resume", 13), ("rollback --reason x", 5)],
            "first, -first",
        )
    },
    GoesOn {
        files: &[("etc/limits", "nofile 65536\n")],
        ..goes_on("mixed-satisfied", &[("resume", 0)], "first, last")
    },
    GoesOn {
        files: &[("etc/limits", "nofile 65536\n")],
        ..goes_on(
            "mixed-satisfied",
            &[("rollback --reason x", 5)],
            "first, -first",
        )
    },
    GoesOn {
        files: &[("etc/limits", "nofile 1024\n")],
        ..goes_on("mixed-undone", &[("resume", 5)], "first, -first")
    },
    GoesOn {
        files: &[("etc/limits", "nofile 65536\n")],
        ..goes_on("mixed-undo", &[("resume", 0)], "first, tail")
    },
    GoesOn {
        files: &[("etc/limits", "nofile 1024\n")],
        ..goes_on("mixed-undo", &[("rollback --reason x", 5)], "first, -first")
    },
];

/// States whose run only upledger 0.1.0 can go on with, and the commands that it refuses. Those without `resume` have
/// ended.
const REFUSED: [(&str, &[&str]); 22] = [
    ("files-planned", &["resume"]),
    ("files-job-made", &["resume", "rollback --reason x"]),
    ("files-intent", &["resume", "rollback --reason x"]),
    ("files-result", &["resume", "rollback --reason x"]),
    ("files-lost-result", &["resume", "rollback --reason x"]),
    ("files-between", &["resume", "rollback --reason x"]),
    (
        "files-failed",
        &[
            "resume",
            "rollback --reason x",
            "decide tail retry --reason mended",
        ],
    ),
    (
        "files-doubt",
        &[
            "resume",
            "rollback --reason x",
            "decide tail done --reason seen",
        ],
    ),
    ("files-completed", &["rollback --reason x"]),
    ("files-aborted", &["rollback --reason x"]),
    ("files-back-started", &["resume", "rollback --reason x"]),
    ("files-back-result", &["resume", "rollback --reason x"]),
    ("files-back-lost-result", &["resume", "rollback --reason x"]),
    (
        "files-back-stuck",
        &[
            "resume",
            "rollback --reason x",
            "decide limit skip --reason seen",
        ],
    ),
    (
        "release-stop-lost-result",
        &["resume", "rollback --reason x"],
    ),
    ("release-code-result", &["resume", "rollback --reason x"]),
    ("release-start-half", &["resume", "rollback --to code"]),
    (
        "release-completed",
        &["rollback --reason x", "rollback --reason x --to start"],
    ),
    (
        "release-back-start-result",
        &["resume", "rollback --reason x"],
    ),
    (
        "release-back-stop-lost-result",
        &["resume", "rollback --reason x"],
    ),
    ("mixed-untouched", &["resume"]),
    (
        "mixed-undo-stuck",
        &[
            "resume",
            "rollback --reason x",
            "decide limit retry --reason again",
        ],
    ),
];

/// A state in its place, which nobody else has; removed when it is dropped.
struct Former {
    _alone: File,
}

/// Everything below a directory: mode, and content of files and links.
type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

impl Former {
    fn unpacked(state: &str) -> Self {
        let alone = File::create(format!("{ROOT}.lock")).expect("a lock file");
        alone.lock().expect("locked");
        // A test that was killed leaves it.
        let _ = std::fs::remove_dir_all(ROOT);
        std::fs::DirBuilder::new()
            .mode(0o755)
            .create(ROOT)
            .expect("made");
        let archive = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/behaviour/old/{state}.tar.gz"));
        let tar = Command::new("tar")
            .args(["-xzp", "--no-same-owner", "-C", ROOT, "-f"])
            .arg(archive)
            .output()
            .expect("tar; install it with: apt-get install -y tar gzip");
        assert!(tar.status.success(), "{state}: {tar:?}");
        Self { _alone: alone }
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(ROOT).join(name)
    }

    /// The program under test, on this state; words are parted by blanks.
    fn upledger(&self, words: &str) -> Done {
        let output = Command::new(UPLEDGER)
            .args(words.split(' '))
            .current_dir(ROOT)
            .env("UPLEDGER_STATE", self.path("state"))
            .env("UPLEDGER_MEMORY", self.path("memory"))
            .env_remove("UPLEDGER_FAILPOINT")
            .stdin(Stdio::null())
            .output();
        Done::of(output.expect("the program starts"))
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Everything but what a command that records nothing may leave: the lock says who asked last, and the reserve holds
    /// room on the disk.
    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut open = vec![PathBuf::from(ROOT)];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).expect("a directory") {
                let path = entry.expect("an entry").path();
                let found = path.symlink_metadata().expect("it is there");
                let content = if found.is_dir() {
                    open.push(path.clone());
                    Vec::new()
                } else if found.is_symlink() {
                    let to = std::fs::read_link(&path).expect("a link");
                    to.into_os_string().into_encoded_bytes()
                } else {
                    std::fs::read(&path).expect("a file")
                };
                tree.insert(path, (found.mode(), content));
            }
        }
        for free in ["state/runner.lock", "state/reserve"] {
            tree.remove(&self.path(free));
        }
        tree
    }

    /// Both verifiers accept the ledger.
    fn assert_sound(&self, state: &str) {
        let verified = self.upledger("verify");
        assert_eq!(verified.code, 0, "{state}: {verified:?}");
        assert!(verified.out.contains("sound"), "{state}: {verified:?}");
        let python = Command::new("python3")
            .args(["-I", "-c", &self.upledger("verifier").out])
            .arg(self.path("state/ledger.db"))
            .output()
            .expect("python3; install it with: apt-get install -y python3");
        assert!(python.status.success(), "{state}: {python:?}");
    }

    /// What only reads works, and changes nothing.
    fn assert_readable(&self, state: &str) {
        let before = self.tree();
        self.assert_sound(state);
        for words in ["status", "status --json", "runs", "log", "replay"] {
            let done = self.upledger(words);
            assert_eq!(done.code, 0, "{state}: {words}: {done:?}");
        }
        let (log, export) = (self.upledger("log --json"), self.upledger("export"));
        assert_eq!(
            (log.code, export.code),
            (0, 0),
            "{state}: {log:?} {export:?}"
        );
        let kinds = |lines: &str| -> Vec<String> {
            let events = lines.lines().map(|l| {
                let event: serde_json::Value = serde_json::from_str(l).expect("JSON");
                (event["run"].is_string()).then(|| event["kind"].to_string())
            });
            events.flatten().collect()
        };
        assert!(!kinds(&log.out).is_empty(), "{state}: {log:?}");
        assert_eq!(kinds(&log.out), kinds(&export.out), "{state}");
        assert!(before == self.tree(), "{state}: a command that reads wrote");
    }

    /// Refused, with the name of the version that can do it, and nothing has changed.
    fn assert_refuses(&self, state: &str, words: &str, ended: bool) {
        let before = self.tree();
        let done = self.upledger(words);
        assert_eq!(done.code, 13, "{state}: {words}: {done:?}");
        let told = &done.err;
        assert!(
            told.contains("started by upledger 0.1.0") && told.contains("with upledger 0.1.0 (the"),
            "{state}: {words}: {told}"
        );
        assert_eq!(!ended, told.contains("upledger abort"), "{state}: {told}");
        assert!(before == self.tree(), "{state}: {words} changed something");
    }
}

impl Drop for Former {
    fn drop(&mut self) {
        // What is left is removed by the next.
        let _ = std::fs::remove_dir_all(ROOT);
    }
}

/// The names of all archives.
fn states() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviour/old");
    let names = std::fs::read_dir(dir).expect("the archives").flatten();
    let mut names: Vec<String> = names
        .filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(".tar.gz")?.to_owned()))
        .collect();
    names.sort();
    names
}

fn go_on(rows: &[GoesOn]) {
    for row in rows {
        let former = Former::unpacked(row.state);
        for (words, code) in row.then {
            let done = former.upledger(words);
            assert_eq!(done.code, *code, "{}: {words}: {done:?}", row.state);
        }
        let trace: Vec<String> = former.text("trace").lines().map(Into::into).collect();
        assert_eq!(trace.join(", "), row.trace, "{}", row.state);
        for (name, content) in row.files {
            assert_eq!(former.text(name), *content, "{}: {name}", row.state);
        }
        former.assert_sound(row.state);
    }
}

#[test]
fn every_ledger_is_verified_replayed_and_exported_and_stands_in_a_table() {
    for state in states() {
        let rows = COMMANDS.iter().chain(&MIXED).map(|r| r.state);
        let mut known = rows.chain(REFUSED.iter().map(|r| r.0));
        assert!(known.any(|k| k == state), "{state} is in no table");
        Former::unpacked(&state).assert_readable(&state);
    }
}

#[test]
fn runs_of_commands_and_looks_go_on() {
    go_on(&COMMANDS);
}

#[test]
fn runs_whose_typed_steps_are_not_touched_any_more_go_on() {
    go_on(&MIXED);
}

#[test]
fn runs_with_typed_steps_are_refused_before_anything_changes() {
    for (state, commands) in REFUSED {
        let former = Former::unpacked(state);
        let ended = !commands.contains(&"resume");
        for words in commands {
            former.assert_refuses(state, words, ended);
        }
    }
}

#[test]
fn a_refused_run_takes_remarks_and_an_abort_and_its_steps_stay_as_they_are() {
    for (state, commands) in REFUSED {
        if !commands.contains(&"resume") {
            continue;
        }
        let former = Former::unpacked(state);
        let ours = |tree: Tree| -> Tree {
            let state = [former.path("state"), former.path("memory")];
            let outside = |path: &Path| !state.iter().any(|s| path.starts_with(s));
            tree.into_iter().filter(|(path, _)| outside(path)).collect()
        };
        let before = ours(former.tree());
        assert_eq!(former.upledger("note seen").code, 0, "{state}");
        let aborted = former.upledger("abort --reason enough");
        assert_eq!(aborted.code, 12, "{state}: {aborted:?}");
        assert!(
            before == ours(former.tree()),
            "{state}: a step did something"
        );
        former.assert_sound(state);
    }
}

#[test]
fn an_attempt_that_ended_well_is_in_doubt_where_nobody_can_check_it() {
    let former = Former::unpacked("files-result");
    assert_eq!(former.upledger("abort --reason enough").code, 12);
    let log = former.upledger("log").out;
    assert!(
        log.contains("only the program that started the run can check its evidence"),
        "{log}"
    );
    let log = former.upledger("--lang zh log").out;
    assert!(log.contains("只有开始该运行的程序"), "{log}");
}

#[test]
fn programs_and_chinese_readers_are_told_as_well() {
    let former = Former::unpacked("files-completed");
    let json = former.upledger("--json rollback").out;
    let json: serde_json::Value = serde_json::from_str(&json).expect("one line");
    assert_eq!(json["error"], "begun_before");
    assert_eq!(json["exit"], 13);
    let told = former.upledger("--lang zh rollback").err;
    assert!(told.contains("由 upledger 0.1.0 开始"), "{told}");
}

#[test]
fn a_new_run_in_a_former_ledger_goes_both_ways_and_ends_what_the_former_program_can_do() {
    let former = Former::unpacked("files-completed");
    let old = former.upledger("runs").out;
    let old = old.lines().nth(1).and_then(|l| l.split_whitespace().next());
    let old = old.expect("a run").to_owned();
    let plan = "upledger: 1\nname: new\nphases:\n  - phase: all\n    steps:\n      - {id: conf, do: {file.replace: {path: ROOT/app.conf, content: new}}}\n";
    std::fs::write(former.path("plan.yaml"), plan.replace("ROOT", ROOT)).expect("written");
    assert_eq!(former.upledger("run plan.yaml").code, 0);
    assert_eq!(former.text("app.conf"), "new");
    assert_eq!(former.upledger("rollback --reason x").code, 5);
    assert_eq!(former.text("app.conf"), "workers=4\n");
    let refused = former.upledger(&format!("rollback {old}"));
    assert_eq!(refused.code, 13, "{refused:?}");
    assert!(
        refused
            .err
            .contains("upledger 0.1.0 can no longer read this ledger"),
        "{refused:?}"
    );
    former.assert_sound("files-completed");
}
