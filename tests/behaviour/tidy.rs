//! House rules: the directions of dependencies, headers, file lengths, and no test file that nobody runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn rust_files(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no Rust files below {below}");
    found.sort();
    found
}

fn all_rust_files() -> Vec<PathBuf> {
    ["src", "ledger", "replay", "tests"]
        .iter()
        .flat_map(|below| rust_files(below))
        .collect()
}

pub(crate) fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a source file")
}

/// The rooms of `src` that each room may use; what is not named here may use everything.
const MAY_USE: [(&str, &[&str]); 21] = [
    // What is asked of the kernel; every other room may use it.
    ("system", &["encoding"]),
    // Text out of bytes; every other room may use it.
    ("encoding.rs", &[]),
    ("clock.rs", &[]),
    ("time.rs", &[]),
    ("home.rs", &[]),
    ("home", &["system"]),
    ("failpoint.rs", &[]),
    ("redact.rs", &["encoding"]),
    (
        "attempt",
        &["clock", "encoding", "failpoint", "redact", "system"],
    ),
    (
        "action",
        &["actions", "attempt", "host", "redact", "system", "text"],
    ),
    (
        "host",
        &[
            "action",
            "attempt",
            "clock",
            "encoding",
            "failpoint",
            "redact",
            "system",
            "text",
            "time",
        ],
    ),
    (
        "actions",
        &[
            "action",
            "attempt",
            "clock",
            "encoding",
            "failpoint",
            "host",
            "redact",
            "system",
            "text",
            "time",
        ],
    ),
    (
        "site",
        &[
            "action", "actions", "attempt", "plan", "redact", "system", "text",
        ],
    ),
    (
        "plan",
        &["action", "actions", "encoding", "host", "text", "time"],
    ),
    (
        "journal.rs",
        &["action", "clock", "home", "redact", "failpoint"],
    ),
    ("journal", &["action", "redact"]),
    ("report", &["clock", "journal", "text"]),
    ("page", &["text"]),
    ("timeline", &["clock", "journal", "page", "report", "text"]),
    (
        "compliance",
        &["clock", "journal", "page", "report", "text", "timeline"],
    ),
    (
        "runner",
        &[
            "action",
            "actions",
            "attempt",
            "clock",
            "encoding",
            "failpoint",
            "home",
            "journal",
            "redact",
            "runner",
            "site",
            "system",
        ],
    ),
];

#[test]
fn rooms_use_only_the_rooms_below_them() {
    for (room, _) in MAY_USE {
        assert!(root().join("src").join(room).exists(), "no room {room}");
    }
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let inside = path.strip_prefix(root().join("src")).expect("below src");
        let room = inside.iter().next().and_then(|r| r.to_str()).unwrap_or("");
        // Task tests may look around.
        if inside.to_string_lossy().contains("/tests") {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            continue;
        };
        let own = room.trim_end_matches(".rs");
        for (number, line) in text(&path).lines().enumerate() {
            for used in line.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if used != own && !allowed.contains(&used.as_str()) {
                    wrong.push(format!(
                        "src/{}:{} uses {used}",
                        inside.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn ledger_and_replay_do_not_know_each_other_and_replay_knows_no_system() {
    let ledger = text(&root().join("ledger/Cargo.toml"));
    let replay = text(&root().join("replay/Cargo.toml"));
    assert!(!ledger.contains("upledger-replay"));
    assert!(!replay.contains("upledger-ledger"));
    assert!(text(&root().join("replay/src/lib.rs")).contains("#![no_std]"));
    for path in rust_files("replay/src") {
        assert!(!text(&path).contains("std::"), "{}", path.display());
    }
}

#[test]
fn actions_and_reports_cannot_reach_the_ledger_and_only_the_journal_writes_to_it() {
    for path in rust_files("src") {
        let inside = path.strip_prefix(root()).expect("below the root");
        let knows = text(&path).contains("upledger_ledger");
        // Kept content is named as the ledger names it, and a plan's digest is that of the text that the ledger writes:
        // the digest and the canonical text alone are taken from there.
        let may = [
            "src/journal",
            "src/home.rs",
            "src/cli/",
            "src/action/kept.rs",
            "src/plan/load.rs",
        ];
        assert!(
            !knows || may.iter().any(|m| inside.to_string_lossy().starts_with(m)),
            "{} uses the ledger",
            inside.display()
        );
    }
}

/// Looks and work of an action are called by `site` alone, and by the process of an attempt.
#[test]
fn nothing_but_the_site_calls_an_action() {
    let calls = [
        ".observe(",
        ".probe(",
        ".perform(",
        ".verify(",
        ".undo(",
        ".undone(",
    ];
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let inside = path.strip_prefix(root().join("src")).expect("below src");
        let room = inside.iter().next().and_then(|r| r.to_str()).unwrap_or("");
        if ["action", "actions", "site"].contains(&room) {
            continue;
        }
        for (number, line) in text(&path).lines().enumerate() {
            // A task's looks are the site's requests.
            let task = line.contains("task.") || line.contains("self.probe(&at)");
            if calls.iter().any(|call| line.contains(call)) && !task {
                wrong.push(format!("src/{}:{}: {line}", inside.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What differs between service managers is a method of the one that differs.
#[test]
fn nothing_outside_its_folder_tells_service_managers_apart() {
    let signs = [
        "Chosen::",
        "by.supervisor",
        "by.systemd",
        "by.pidfile",
        "by.process",
        "by.pattern",
    ];
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let inside = path.strip_prefix(root().join("src")).expect("below src");
        if inside.starts_with("host/service") || inside.starts_with("text") {
            continue;
        }
        for (number, line) in code(&text(&path)) {
            if signs.iter().any(|sign| line.contains(sign)) {
                wrong.push(format!("src/{}:{number}: {line}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Names and phrases that are no terms of the field, and what is said instead.
#[test]
fn no_name_is_left_that_is_no_term_of_the_field() {
    let words = [
        ("told::", "phrases, localized"),
        (" as told;", "phrases"),
        ("fn told", "phrases, localized"),
        ("enum Way", "Direction"),
        ("struct Part ", "TaskKey"),
        ("struct Unit {", "Task"),
        ("struct Brush", "StreamHandle"),
        ("struct Lane", "OutputStream"),
        ("struct Carry", "LineBuffer"),
        ("struct Book", "Runs"),
        ("Halt", "StopService"),
        ("Lift<", "StartService"),
        ("Renew", "ReloadService"),
        ("Keeper", "Manager, ManagedService"),
        ("Doors", "Readiness"),
        ("struct Seen", "what it holds"),
        ("struct Observed", "what it holds"),
        ("struct Frame", "what it holds"),
        ("enum Seen", "what it holds"),
        ("fn say(", "log_line"),
        ("fn go(", "what is done"),
        ("fn have(", "what is done"),
        ("fn mend_all", "what is done"),
        ("fn follow(", "what is done"),
        ("fn as_before(", "what is compared"),
        ("way back is at its end", "rollback complete"),
        ("person is waited for", "waiting for an operator"),
        ("jobs put off", "cron jobs disabled"),
        ("put off in", "disabled in"),
    ];
    let files = [
        "service/halt.rs",
        "service/lift.rs",
        "service/renew.rs",
        "celery/crew.rs",
        "celery/desk.rs",
        "celery/again.rs",
        "celery/before.rs",
        "celery/words.rs",
        "celery/census.rs",
        "cli/lane.rs",
        "cli/brush.rs",
        "cli/carry.rs",
        "cli/look.rs",
        "src/book.rs",
        "src/hot.rs",
        "attempt/peek.rs",
        "git/half.rs",
        "git/keep.rs",
        "git/act.rs",
        "told.rs",
    ];
    let mut wrong = Vec::new();
    for path in all_rust_files() {
        let name = path.to_string_lossy().into_owned();
        wrong.extend(
            files
                .iter()
                .filter(|f| name.ends_with(**f))
                .map(|_| name.clone()),
        );
        if name.ends_with("behaviour/tidy.rs") {
            continue;
        }
        for (number, line) in text(&path).lines().enumerate() {
            for (word, better) in words.iter().filter(|(word, _)| line.contains(word)) {
                wrong.push(format!("{name}:{}: {word} is {better}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_opens_with_its_duty() {
    for path in all_rust_files() {
        assert!(
            text(&path).starts_with("//! "),
            "{} has no header",
            path.display()
        );
    }
}

#[test]
fn files_stay_short() {
    for path in all_rust_files() {
        let lines = text(&path).lines().count();
        assert!(lines <= 600, "{} has {lines} lines", path.display());
    }
}

#[test]
fn no_test_file_is_forgotten() {
    for below in [
        "tests/behaviour",
        "tests/staging",
        "tests/systemd",
        "ledger/tests",
        "replay/tests",
    ] {
        let dir = root().join(below);
        let main = text(&dir.join("main.rs"));
        for entry in std::fs::read_dir(&dir).expect("tests") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_stem()
                .and_then(|s| s.to_str())
                .unwrap_or_default()
                .to_owned();
            let is_module =
                path.extension().is_some_and(|e| e == "rs") || path.join("mod.rs").exists();
            if is_module && name != "main" {
                assert!(
                    main.contains(&format!("mod {name};")),
                    "{} is in no test target",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn one_sqlite_is_linked() {
    let lock = text(&root().join("Cargo.lock"));
    assert!(!lock.contains("name = \"sqlx-sqlite\""));
    assert_eq!(lock.matches("name = \"libsqlite3-sys\"").count(), 1);
}

/// A mechanism about the machine, and the one place where it stands.
struct Mechanism {
    name: &'static str,
    /// What code of it contains.
    signs: &'static [&'static str],
    /// Where it stands.
    home: &'static str,
    /// Who may contain such a sign all the same, by the beginning of the path, and why.
    but: &'static [(&'static str, &'static str)],
}

const MECHANISMS: &[Mechanism] = &[
    Mechanism {
        name: "the reader of /proc",
        signs: &["\"/proc", "procfs::"],
        home: "system/proc.rs",
        but: &[
            ("clock.rs", "the id of the boot is a clock's"),
            ("home.rs", "who acts, on which machine"),
            ("home/program.rs", "by which program"),
            ("attempt/launch.rs", "the program that is executed again"),
            ("system/proc/open.rs", "a part of it: who has files open"),
        ],
    },
    Mechanism {
        name: "the atomic write, and names that change",
        signs: &[
            ".sync_all()",
            ".sync_data()",
            "fsync(",
            ".persist(",
            "tempfile_in(",
            "fs::rename(",
            "renameat",
            "hard_link(",
        ],
        home: "system/durable.rs",
        but: &[
            (
                "attempt/job.rs",
                "a new directory, which nobody reads before it is whole",
            ),
            ("attempt/slot.rs", "a slot that was reserved, in place"),
            ("attempt/spool.rs", "grows in place"),
            ("attempt/output.rs", "grows in place"),
            (
                "actions/dump.rs",
                "a new directory, which nobody reads before it is whole",
            ),
            (
                "cli/output_stream.rs",
                "whether the disk behind the output is full",
            ),
        ],
    },
    Mechanism {
        name: "opening a file that others may have a say in, to write it",
        signs: &[
            ".append(true)",
            ".write(true)",
            "File::create",
            "create_new",
            "fs::write(",
            "OFlags::WRONLY",
            "OFlags::RDWR",
        ],
        home: "host/files/trust.rs",
        but: &[
            (
                "system/durable.rs",
                "a new file; `disk` asks about the target",
            ),
            ("system/proc.rs", "the name of this process"),
            ("attempt/", "job directories, where nobody else has a say"),
            ("runner/lock.rs", "the state directory; a link is refused"),
            ("home/program.rs", "the same"),
            (
                "host/process/daemon.rs",
                "the log of somebody else, opened as that one",
            ),
            (
                "host/files/tree.rs",
                "a tree of files, made anew; `trust` says why",
            ),
            ("actions/cron/place.rs", "a private temporary directory"),
            ("actions/dump.rs", "a new directory of its own"),
            ("cli/", "a new file, under the name that a person gave"),
            ("demo/", "a directory of its own"),
            ("failpoint.rs", "tests alone set it"),
        ],
    },
    Mechanism {
        name: "signals to a process, or to a group",
        signs: &["kill_process", "pidfd_"],
        home: "system/signals.rs",
        but: &[("failpoint.rs", "this process ends itself")],
    },
    Mechanism {
        name: "the end of processes: a gentle signal, one grace, KILL",
        signs: &["Signal::KILL"],
        home: "host/process/ending.rs",
        but: &[
            ("system/signals.rs", "the group of a command of ours"),
            (
                "attempt/watch.rs",
                "the supervisor, which knows no actions and may not fail",
            ),
            (
                "host/exec/stream.rs",
                "a command that dies with its action's process",
            ),
            ("failpoint.rs", "this process ends itself"),
        ],
    },
];

/// The lines of a source file that are neither comments nor its unit tests, with their numbers.
pub(crate) fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn each_mechanism_about_the_machine_has_one_home() {
    let mut wrong = Vec::new();
    for mechanism in MECHANISMS {
        let name = mechanism.name;
        let mut used = BTreeSet::new();
        for path in rust_files("src") {
            let inside = path.strip_prefix(root().join("src")).expect("below src");
            let inside = inside.to_string_lossy();
            if inside.contains("/tests") {
                continue;
            }
            for (number, line) in code(&text(&path)) {
                if !mechanism.signs.iter().any(|sign| line.contains(sign)) {
                    continue;
                }
                let exception = mechanism
                    .but
                    .iter()
                    .find(|(file, _)| inside.starts_with(file));
                used.extend(exception.map(|(file, _)| *file));
                if !inside.starts_with(mechanism.home) && exception.is_none() {
                    wrong.push(format!("src/{inside}:{number}: {name}: {}", line.trim()));
                }
            }
        }
        assert!(root().join("src").join(mechanism.home).exists(), "{name}");
        for (file, why) in mechanism.but {
            assert!(used.contains(file), "{name}: {file} is no exception: {why}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A place where a process can die is worth its line when a test lets one die there.
#[test]
fn every_failpoint_is_named_by_a_test() {
    let tests: String = ["tests", "ledger/tests"]
        .iter()
        .flat_map(|below| rust_files(below))
        .map(|path| text(&path))
        .collect();
    let names: BTreeSet<String> = rust_files("src")
        .iter()
        .flat_map(|path| {
            let text = text(path);
            let hits = text.split("failpoint::hit(").skip(1);
            hits.map(|rest| rest.split('"').nth(1).expect("a name").to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(names.len() > 20, "{names:?}");
    // A longer name that begins or ends like it is another.
    let is_named = |name: &String| {
        let other = |c: char| c.is_ascii_alphanumeric() || c == '-';
        tests.match_indices(name.as_str()).any(|(at, _)| {
            !tests[..at].ends_with(other) && !tests[at + name.len()..].starts_with(other)
        })
    };
    let unnamed: Vec<&String> = names.iter().filter(|name| !is_named(name)).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}
