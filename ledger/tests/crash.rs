//! Proves what survives: a process killed at each system call of a creation or an append, each fsync that fails, each
//! write that finds the disk full, a disk that really is full, another process that holds the file; and counts the syncs
//! that a durable append takes.
//!
//! The work is done by a child, which is this very test program; strace delivers the faults. Without strace these tests
//! fail and say how to install it, because a fault test that skips itself proves nothing.

use crate::support::{Home, append, draft, identity};
use rusqlite::Connection;
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use upledger_ledger::{
    Append, AppendError, Draft, Finding, Ledger, Memory, NewBlob, Place, VerifyOptions, verify,
};

const JOB: &str = "UPLEDGER_TEST_JOB";
const STATE: &str = "UPLEDGER_TEST_STATE";
const MEMORY: &str = "UPLEDGER_TEST_MEMORY";

/// The system calls by which a ledger changes.
const CALLS: [&str; 8] = [
    "pwrite64",
    "fsync",
    "fdatasync",
    "unlink",
    "rename",
    "write",
    "ftruncate",
    "fallocate",
];

fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nchild: {line}")
        .and_then(|()| out.flush())
        .unwrap();
}

/// The other side of every test here. It does its job and says what it saw; run by hand it has no job.
#[test]
#[ignore = "the child of the tests in this file"]
fn child() {
    let Ok(job) = std::env::var(JOB) else { return };
    let state = std::env::var(STATE).unwrap();
    let open = || {
        let place = Place::open_or_create(Path::new(&state)).unwrap();
        Ledger::create_or_open(
            place,
            Memory::at(Path::new(&std::env::var(MEMORY).unwrap())).unwrap(),
            identity(),
        )
    };
    match job.as_str() {
        "create" => drop(open().unwrap()),
        "append" => {
            let mut ledger = open().unwrap();
            for number in 0..2 {
                print_line(&match ledger.append(
                    &ledger.head(),
                    &[draft(number)],
                    &Append {
                        checkpoint: true,
                        ..Append::default()
                    },
                ) {
                    Ok(appended) => format!("acked {}", appended.head.seq),
                    Err(AppendError::Unknown(_)) => "unknown".into(),
                    Err(AppendError::Poisoned { .. }) => "poisoned".into(),
                    Err(AppendError::Full(_)) => "full".into(),
                    Err(AppendError::Memory { appended, .. }) => {
                        format!("acked {} but memory", appended.head.seq)
                    }
                    Err(other) => format!("other {other:?}"),
                });
            }
        }
        "append-once" => drop(append(&mut open().unwrap(), &[draft(0)])),
        "append-large-blob" => append_large_blob(&mut open().unwrap()),
        "append-forever" => {
            let mut ledger = open().unwrap();
            for number in 0.. {
                print_line(&format!(
                    "acked {}",
                    append(&mut ledger, &[draft(number)]).head.seq
                ));
            }
        }
        "fill-the-disk" => fill_the_disk(&mut open().unwrap()),
        "hold" => {
            let conn = Connection::open(Path::new(&state).join("ledger.db")).unwrap();
            conn.execute_batch("BEGIN EXCLUSIVE").unwrap();
            print_line("held");
            let mut rest = Vec::new();
            std::io::stdin().read_to_end(&mut rest).unwrap();
        }
        other => panic!("no such job: {other}"),
    }
}

fn append_large_blob(ledger: &mut Ledger) {
    let blobs = vec![NewBlob::new(vec![7; 100_000]).unwrap()];
    let extra = Append {
        blobs,
        ..Append::default()
    };
    ledger.append(&ledger.head(), &[draft(0)], &extra).unwrap();
}

fn job(home: &Home, name: &str, wrapper: &[String]) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match wrapper.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args([
        "--exact",
        "crash::child",
        "--nocapture",
        "--ignored",
        "--test-threads=1",
    ]);
    command
        .env(JOB, name)
        .env(STATE, home.state())
        .env(MEMORY, home.dir.path().join("memory"));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a job under strace and returns what the child said, what strace wrote, and whether the child lived.
fn traced(home: &Home, name: &str, options: &[&str]) -> (Vec<String>, String, bool) {
    let log = home.dir.path().join("strace.log");
    let mut wrapper: Vec<String> = ["strace", "-f", "-qq", "-o", log.to_str().unwrap()]
        .map(str::to_owned)
        .into();
    wrapper.extend(options.iter().map(|&option| option.to_owned()));
    let output = job(home, name, &wrapper).output().unwrap_or_else(|error| {
        panic!("strace is needed for this test ({error}); install it: apt-get install -y strace")
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text
        .lines()
        .filter_map(|line| line.strip_prefix("child: "))
        .map(str::to_owned)
        .collect();
    (
        said,
        std::fs::read_to_string(&log).unwrap_or_default(),
        output.status.success(),
    )
}

fn acked(said: &[String]) -> Option<u64> {
    said.iter()
        .filter_map(|line| line.strip_prefix("acked ")?.split(' ').next()?.parse().ok())
        .max()
}

/// The ledger opens, holds everything that was acknowledged, and takes more; a verification before that changes nothing.
fn recovers(home: &Home, said: &[String], what: &str) -> bool {
    let hot = if home.db().exists() && std::fs::metadata(home.db()).unwrap().len() > 0 {
        let before = std::fs::read(home.db()).unwrap();
        let options = VerifyOptions {
            memory: Some(home.memory()),
            ..VerifyOptions::default()
        };
        let report = verify(&home.db(), &options).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            std::fs::read(home.db()).unwrap(),
            before,
            "{what}: a verification changed the file"
        );
        let blank = report.events == 0 && acked(said).is_none();
        assert!(report.is_sound() || blank, "{what}: {:?}", report.failures);
        assert!(
            blank || report.events > acked(said).unwrap_or(0),
            "{what}: an acknowledged event is gone for the verifier"
        );
        report.findings.contains(&Finding::HotJournal)
    } else {
        false
    };
    let mut ledger = Ledger::create_or_open(home.place(), home.memory(), identity())
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    if let Some(seq) = acked(said) {
        assert!(
            ledger.size() > seq,
            "{what}: acknowledged seq {seq} is gone, {} events are there",
            ledger.size()
        );
    }
    append(&mut ledger, &[draft(99)]);
    drop(ledger);
    let report = verify(
        &home.db(),
        &VerifyOptions {
            memory: Some(home.memory()),
            ..VerifyOptions::default()
        },
    )
    .unwrap();
    assert_eq!(report.failures, [], "{what}");
    hot
}

#[test]
fn a_creation_killed_at_any_call_is_finished_by_the_next() {
    let mut kills = 0;
    for call in CALLS.into_iter().chain(["mkdir"]) {
        for nth in 1.. {
            let home = Home::new();
            let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
            let (said, _, lived) = traced(
                &home,
                "create",
                &["-e", &format!("trace={call}"), "-e", &inject],
            );
            recovers(&home, &said, &inject);
            if lived {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills >= 20, "only {kills} kills: the faults did not arrive");
}

#[test]
fn an_append_killed_at_any_call_loses_nothing_acknowledged() {
    let (mut kills, mut hot) = (0, 0);
    for call in CALLS {
        for nth in 1.. {
            let home = Home::new();
            drop(home.ledger());
            let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
            let (said, _, lived) = traced(
                &home,
                "append",
                &["-e", &format!("trace={call}"), "-e", &inject],
            );
            hot += u32::from(recovers(&home, &said, &inject));
            if lived {
                assert_eq!(said, ["acked 2", "acked 3"]);
                break;
            }
            kills += 1;
        }
    }
    assert!(
        kills >= 20 && hot >= 2,
        "{kills} kills left {hot} hot journals: the faults did not arrive"
    );
}

#[test]
fn a_process_killed_at_work_loses_nothing_acknowledged() {
    let home = Home::new();
    drop(home.ledger());
    for round in 1..=8 {
        let mut child = job(&home, "append-forever", &[]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut said: Vec<String> = lines
            .by_ref()
            .filter_map(|line| line.strip_prefix("child: ").map(str::to_owned))
            .take(round)
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();
        said.extend(lines.filter_map(|line| line.strip_prefix("child: ").map(str::to_owned)));
        assert!(acked(&said).is_some());
        recovers(&home, &said, &format!("round {round}"));
    }
}

#[test]
fn a_sync_that_fails_poisons_the_handle() {
    let mut unknown = 0;
    for nth in 1..=5 {
        let home = Home::new();
        drop(home.ledger());
        let (said, _, _) = traced(
            &home,
            "append",
            &[
                "-e",
                "trace=fsync",
                "-e",
                &format!("inject=fsync:error=EIO:when={nth}"),
            ],
        );
        // SQLite does not look at the sync of the directory when it makes the journal; every other one counts.
        if said != ["acked 2", "acked 3"] {
            assert_eq!(said, ["unknown", "poisoned"], "fsync {nth}");
            unknown += 1;
        }
        recovers(&home, &said, &format!("fsync {nth}"));
    }
    assert_eq!(unknown, 4);
}

#[test]
fn a_memory_that_cannot_be_synced_is_told_and_lags_behind() {
    let home = Home::new();
    drop(home.ledger());
    let (said, _, _) = traced(
        &home,
        "append",
        &[
            "-e",
            "trace=fdatasync",
            "-e",
            "inject=fdatasync:error=EIO:when=1",
        ],
    );
    assert_eq!(said, ["acked 2 but memory", "acked 3"]);
    recovers(&home, &said, "memory");
}

#[test]
fn a_write_that_finds_the_disk_full_appends_nothing_and_harms_nothing() {
    let mut full = 0;
    for nth in 1.. {
        let home = Home::new();
        drop(home.ledger());
        let inject = format!("inject=pwrite64:error=ENOSPC:when={nth}");
        let (said, _, _) = traced(&home, "append", &["-e", "trace=pwrite64", "-e", &inject]);
        recovers(&home, &said, &inject);
        if said == ["acked 2", "acked 3"] {
            break;
        }
        // The first append was refused and the second went through, or the other way round.
        assert!(
            said == ["full", "acked 2"] || said == ["acked 2", "full"],
            "{inject}: {said:?}"
        );
        full += 1;
    }
    assert!(
        full >= 5,
        "only {full} writes failed: the faults did not arrive"
    );
}

#[test]
fn a_full_disk_leaves_room_for_the_record_of_the_stop() {
    let home = Home::new();
    std::fs::create_dir(home.state()).unwrap();
    std::fs::set_permissions(
        home.state(),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .unwrap();
    // In a mount namespace of its own, so that nothing stays mounted whatever happens.
    let script =
        "mount -t tmpfs -o size=10m,mode=0700 none \"$UPLEDGER_TEST_STATE\" && exec \"$@\"";
    let mut wrapper = vec!["unshare".to_owned(), "--mount".to_owned()];
    if !rustix::process::geteuid().is_root() {
        wrapper.push("--map-root-user".to_owned());
    }
    wrapper.extend(["sh", "-c", script, "sh"].map(str::to_owned));
    let output = job(&home, "fill-the-disk", &wrapper).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("child: recorded the stop"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn fill_the_disk(ledger: &mut Ledger) {
    assert_eq!(
        ledger.place().weak_fs().map(upledger_ledger::WeakFs::name),
        Some("tmpfs")
    );
    let large = |number| Draft {
        data: json!({"text": "x".repeat(20_000)}).into(),
        ..draft(number)
    };
    let mut acked = ledger.head();
    let error = loop {
        match ledger.append(&acked, &[large(ledger.size())], &Append::default()) {
            Ok(appended) => acked = appended.head,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Full(_)), "{error:?}");
    assert_eq!(ledger.head(), acked);
    assert!(acked.seq > 5);
    assert!(ledger.release_reserve().unwrap());
    assert!(!ledger.release_reserve().unwrap());
    let last = ledger
        .append(
            &acked,
            &[large(0), large(1)],
            &Append {
                checkpoint: true,
                ..Append::default()
            },
        )
        .unwrap();
    let report = verify(&ledger.place().ledger_path(), &VerifyOptions::default()).unwrap();
    assert_eq!(
        (report.failures.as_slice(), report.head),
        ([].as_slice(), Some(last.head))
    );
    print_line("recorded the stop");
}

#[test]
fn a_durable_append_takes_five_syncs_and_one_for_the_memory() {
    let home = Home::new();
    append(&mut home.ledger(), &[draft(0)]);
    let (_, log, lived) = traced(
        &home,
        "append-once",
        &["-e", "trace=fsync,fdatasync,openat"],
    );
    assert!(lived);
    let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!((count(" fsync("), count(" fdatasync(")), (5, 1), "{log}");
    // Closing any other descriptor of the file would drop SQLite's locks.
    assert_eq!(
        count("/ledger.db\","),
        1,
        "somebody but SQLite opened the ledger\n{log}"
    );
}

#[test]
fn a_large_blob_is_durable_before_the_event_that_names_it() {
    let home = Home::new();
    append_large_blob(&mut home.ledger());
    let (_, log, lived) = traced(
        &home,
        "append-large-blob",
        &["-e", "trace=fsync,rename,pwrite64"],
    );
    assert!(lived);
    // Its file, the name of its file, and then the first write of the transaction.
    let calls: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split('(').next())
        .collect();
    assert_eq!(
        calls[..4],
        ["fsync", "rename", "fsync", "pwrite64"],
        "{log}"
    );
    assert_eq!(
        calls.iter().filter(|&&call| call == "fsync").count(),
        7,
        "{log}"
    );
}

#[test]
fn the_holder_of_a_busy_ledger_is_named() {
    let home = Home::new();
    let mut ledger = home.ledger_with(crate::support::Still::new());
    let mut child = job(&home, "hold", &[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "child: held"));
    let result = ledger.append(&ledger.head(), &[draft(0)], &Append::default());
    drop(child.stdin.take());
    child.wait().unwrap();
    let Err(AppendError::Busy {
        holder: Some(holder),
        ..
    }) = result
    else {
        panic!("{result:?}")
    };
    assert_eq!(holder.pid, child.id());
    assert!(holder.command.contains("crash::child"), "{holder}");
    append(&mut ledger, &[draft(0)]);
}
