//! House rules: the directions of dependencies, headers, file lengths, and no test file that nobody runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(below: &str) -> Vec<PathBuf> {
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

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a source file")
}

/// The rooms of `src` that each room may use; what is not named here may use everything.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("clock.rs", &[]),
    ("time.rs", &[]),
    ("home.rs", &[]),
    ("failpoint.rs", &[]),
    ("redact.rs", &[]),
    ("attempt", &["clock", "failpoint", "redact"]),
    ("action", &["actions", "attempt", "redact", "text"]),
    (
        "actions",
        &[
            "action",
            "attempt",
            "clock",
            "failpoint",
            "redact",
            "text",
            "time",
        ],
    ),
    (
        "site",
        &["action", "actions", "attempt", "plan", "redact", "text"],
    ),
    ("plan", &["action", "actions", "text", "time"]),
    (
        "journal.rs",
        &["action", "clock", "home", "redact", "failpoint"],
    ),
    ("journal", &["action", "redact"]),
    ("report", &["clock", "journal", "text"]),
    (
        "runner",
        &[
            "action",
            "actions",
            "attempt",
            "clock",
            "failpoint",
            "home",
            "journal",
            "redact",
            "runner",
            "site",
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
