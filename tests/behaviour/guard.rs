//! Who may append, and who may look: one runner even where its lock was removed, one path for a ledger that was copied,
//! secrets in no core dump, a supervisor that does not react, a disk that fails and a ledger that is damaged.

use crate::common::{Done, World, eventually, send};
use rustix::process::Signal;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// One step that waits for the file `go`, and one behind it.
const TWO: &str = r#"
upledger: 1
name: two
phases:
  - phase: all
    steps:
      - {id: one, do: {shell: "echo one >> @/trace; while [ ! -e @/go ]; do sleep 0.05; done"}, timeout: 1h, on_doubt: ask, undo: none}
      - {id: two, do: {shell: "echo two >> @/trace"}, on_doubt: ask, undo: none}
"#;

fn world(plan: &str) -> World {
    let world = World::new();
    world.write("plan.yaml", plan);
    world
}

/// The program with its output kept.
fn start(world: &World, args: &[&str]) -> Child {
    let mut command = world.command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

fn ended(child: Child) -> Done {
    Done::of(child.wait_with_output().expect("it ends"))
}

fn remove_lock(world: &World) {
    std::fs::remove_file(world.state().join("runner.lock")).expect("it is held, and there");
}

#[test]
fn a_runner_whose_lock_was_removed_appends_nothing_more() {
    let world = world(TWO);
    let first = start(&world, &["run", "plan.yaml"]);
    eventually("the step has begun", || world.lines("trace").len() == 1);
    remove_lock(&world);
    let second = start(&world, &["resume"]);
    let first = ended(first);
    assert_eq!(first.code, 9, "{first:?}");
    assert!(first.err.contains("runner.lock was re"), "{first:?}");
    world.write("go", "");
    let second = ended(second);
    assert_eq!(second.code, 0, "{second:?}");
    assert_eq!(world.lines("trace"), ["one", "two"]);
}

/// The first has made the directory of its attempt, and stops there; the second does the whole run meanwhile.
#[test]
fn an_attempt_of_a_runner_that_was_passed_never_starts() {
    let world = world(TWO);
    world.write("go", "");
    let mut first = world.command(&["run", "plan.yaml"]);
    first.env("UPLEDGER_FAILPOINT", "stop=job-made");
    let first = first
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let pid = i32::try_from(first.id()).expect("a process id");
    let jobs = || std::fs::read_dir(world.state().join("jobs")).map_or(0, Iterator::count);
    eventually("it has made the directory and stands", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        jobs() == 1 && stat.contains(") T ")
    });
    remove_lock(&world);
    let second = world.upledger(&["resume"]);
    assert_eq!(second.code, 0, "{second:?}");
    assert_eq!(jobs(), 3, "the fence of the first one's attempt stays");
    send(pid, Signal::CONT);
    let first = ended(first);
    assert_eq!(first.code, 9, "{first:?}");
    assert_eq!(world.lines("trace"), ["one", "two"]);
}

/// A supervisor that has its locks, and stands before its token, when its directory is replaced by a copy of itself.
#[test]
fn another_directory_of_the_same_name_does_not_let_an_attempt_start() {
    let world = world(TWO);
    world.write("go", "");
    let mut first = world.command(&["run", "plan.yaml"]);
    first.env("UPLEDGER_FAILPOINT", "stop=one/after-lock");
    let mut first = first.stdout(Stdio::null()).spawn().expect("it starts");
    let supervisor = world.stopped_supervisor();
    first.kill().expect("it lives");
    first.wait().expect("it is dead");
    let mut jobs = std::fs::read_dir(world.state().join("jobs")).expect("jobs");
    let job = jobs.next().expect("one").expect("an entry").path();
    let away = world.path("away");
    std::fs::rename(&job, &away).expect("renamed");
    let copied = Command::new("cp").arg("-a").args([&away, &job]).status();
    assert!(copied.expect("cp").success());
    send(supervisor, Signal::CONT);
    eventually("it has ended", || world.supervisors().is_empty());
    assert_eq!(world.upledger(&["resume"]).code, 4, "nobody can know");
    assert!(world.lines("trace").is_empty());
}

#[test]
fn a_copied_state_is_read_with_a_warning_and_not_appended_to_until_it_is_recorded() {
    let world = world(TWO);
    world.write("go", "");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let copied = Command::new("cp")
        .arg("-a")
        .arg(world.state())
        .arg(world.path("copy"))
        .status();
    assert!(copied.expect("cp").success());
    let there = world.path("copy").display().to_string();
    let at = |args: &[&str]| world.upledger(&[&["--state", &there], args].concat());
    for reads in [&["status"][..], &["runs"], &["log"], &["export"]] {
        let done = at(reads);
        assert_eq!(done.code, 0, "{reads:?}: {done:?}");
        assert!(
            done.err.contains("warning") && done.err.contains("copy"),
            "{reads:?}: {done:?}"
        );
        assert!(
            !world.upledger(reads).err.contains("copy"),
            "the original is none"
        );
    }
    for appends in [
        &["note", "x"][..],
        &["rollback"],
        &["run", "plan.yaml"],
        &["pause", "--reason", "x"],
    ] {
        let done = at(appends);
        assert_eq!(done.code, 7, "{appends:?}: {done:?}");
        assert!(
            done.err.contains("upledger ledger restored"),
            "{appends:?}: {done:?}"
        );
    }
    assert!(
        at(&["verify"])
            .out
            .contains("this machine knows this ledger at")
    );
    let moved = at(&["ledger", "restored", "--reason", "the disk was changed"]);
    assert_eq!(moved.code, 0, "{moved:?}");
    assert_eq!(at(&["note", "x"]).code, 0);
    assert!(!at(&["status"]).err.contains("copy"));
    assert_eq!(
        world.upledger(&["note", "x"]).code,
        7,
        "the old path is refused"
    );
    world.damages_its_ledger();
}

/// The kernel gives the files of a process that leaves no core dump to root, whoever it runs as.
#[test]
fn no_process_that_holds_a_secret_leaves_a_core_dump() {
    let world = World::new();
    let nobody = 65534;
    std::os::unix::fs::chown(world.path(""), Some(nobody), Some(nobody)).expect("as root");
    world.write(
        "plan.yaml",
        r#"
upledger: 1
name: hidden
secrets: {db: {env: TEST_DB}}
phases:
  - phase: all
    steps:
      - {id: act, do: {test.sample: {dir: "@/made", text: x, pause_ms: 60000}}, env: {DB: {secret: db}}}
"#,
    );
    let program = world.path("upledger");
    std::fs::copy(crate::common::UPLEDGER, &program).expect("copied");
    let mut runner = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["run", "plan.yaml"])
        .current_dir(world.path(""))
        .env("UPLEDGER_STATE", world.state())
        .env("UPLEDGER_MEMORY", world.path("memory"))
        .env("TEST_DB", "s3cret-value")
        .env("HOME", world.path(""))
        .stdout(Stdio::null())
        .spawn()
        .expect("setpriv of util-linux");
    let all = || -> Vec<(i32, String)> {
        let listed = std::fs::read_dir("/proc").expect("/proc").flatten();
        let pids = listed.filter_map(|e| e.file_name().to_str()?.parse().ok());
        let ours = |pid: i32| {
            let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            (exe == program).then(|| (pid, String::from_utf8_lossy(&words).replace('\0', " ")))
        };
        pids.filter_map(ours).collect()
    };
    let of = |word: &str| all().into_iter().find(|(_, line)| line.contains(word));
    eventually("the action runs", || {
        of("__act").is_some() && of("__supervise-detached").is_some()
    });
    eventually("each is hardened", || {
        let owner = |pid: i32| std::fs::metadata(format!("/proc/{pid}/environ")).map(|m| m.uid());
        ["run plan", "__supervise-detached", "__act"]
            .iter()
            .all(|word| of(word).is_some_and(|(pid, _)| owner(pid).is_ok_and(|uid| uid == 0)))
    });
    for (pid, _) in all() {
        crate::common::kill(pid);
    }
    runner.wait().expect("it is our child");
    world.damages_its_ledger();
}

#[test]
fn a_supervisor_that_does_not_react_is_told() {
    let plan = TWO.replace("timeout: 1h", "timeout: 1s");
    let world = world(&plan);
    let mut runner = world.start(&["run", "plan.yaml"]);
    eventually("the step has begun", || world.lines("trace").len() == 1);
    assert!(!world.upledger(&["status"]).out.contains("supervisor"));
    let supervisor = world.supervisors()[0];
    send(supervisor, Signal::STOP);
    let said = format!("its supervisor (process {supervisor}) is stopped");
    let killed = world.upledger(&["kill-step", "--reason", "x"]);
    assert_eq!(killed.code, 0, "{killed:?}");
    assert!(killed.out.contains(&said), "{killed:?}");
    eventually("the time limit is told", || {
        let status = world.upledger(&["status"]).out;
        status.contains("its time limit passed") && status.contains(&said)
    });
    let value = &world.status()["command"]["supervisor"];
    assert_eq!(
        (&value["pid"], &value["stopped"]),
        (&supervisor.into(), &true.into())
    );
    send(supervisor, Signal::CONT);
    assert_eq!(runner.wait().expect("it ends").code(), Some(1));
    assert!(world.status()["command"].is_null());
}

/// Runs the program while the n-th call, and all behind it if `on`, fails.
fn failing(world: &World, args: &[&str], call: &str, error: &str, when: &str) -> Done {
    let command = world.command(args);
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o"])
        .arg(world.path("calls"))
        .args(["-e", &format!("trace={call}"), "-e"])
        .arg(format!("inject={call}:error={error}:when={when}"))
        .arg(crate::common::UPLEDGER)
        .args(args)
        .current_dir(world.path(""))
        .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .stdin(Stdio::null());
    Done::of(
        strace
            .output()
            .expect("strace; install it with: apt-get install -y strace"),
    )
}

const ONE: &str = "upledger: 1\nname: one\nphases:\n  - phase: all\n    steps:\n      - {id: one, do: {run: [/bin/true]}, effect: pure, undo: none}\n";

#[test]
fn a_disk_that_cannot_be_read_is_no_damage() {
    let world = world(ONE);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    // The first three are those of the dynamic linker.
    for args in [&["status"][..], &["verify"], &["note", "x"], &["log"]] {
        for when in ["4", "5", "6", "8", "11", "14", "5+", "8+"] {
            let done = failing(&world, args, "pread64", "EIO", when);
            let calls = std::fs::read_to_string(world.path("calls")).expect("calls");
            let expected = if calls.contains("INJECTED") { 8 } else { 0 };
            assert_eq!(done.code, expected, "{args:?} at read {when}: {done:?}");
        }
    }
    world.assert_sound();
}

#[test]
fn a_ledger_that_was_cut_or_switched_to_another_journal_is_damaged_for_every_command() {
    let whole = world(ONE);
    assert_eq!(whole.upledger(&["run", "plan.yaml"]).code, 0);
    let db = whole.state().join("ledger.db");
    let good = std::fs::read(&db).expect("readable");
    let wal = |path: &Path| {
        let mut bytes = good.clone();
        bytes[18..20].fill(2);
        std::fs::write(path, bytes).expect("written");
    };
    let cut = |path: &Path| std::fs::write(path, &good[..good.len() - 4096]).expect("written");
    let half = |path: &Path| std::fs::write(path, &good[..good.len() / 2]).expect("written");
    for (what, damage) in [
        ("cut", &cut as &dyn Fn(&Path)),
        ("half", &half),
        ("wal", &wal),
    ] {
        for args in [
            &["status"][..],
            &["note", "x"],
            &["run", "plan.yaml"],
            &["verify"],
            &["export"],
        ] {
            damage(&db);
            let done = whole.upledger(args);
            assert_eq!(done.code, 7, "{what}, {args:?}: {done:?}");
        }
    }
    whole.damages_its_ledger();
}

#[test]
fn without_a_further_thread_there_is_an_error_and_no_panic() {
    let world = world(ONE);
    for from in 1..=6 {
        let done = failing(
            &world,
            &["run", "plan.yaml"],
            "clone3",
            "EAGAIN",
            &format!("{from}+"),
        );
        assert!(
            [0, 1, 2, 4, 8].contains(&done.code),
            "from thread {from}: {done:?}"
        );
        assert!(
            !done.err.contains("panicked"),
            "from thread {from}: {done:?}"
        );
        let resumed = world.upledger(&["resume"]);
        assert!(
            [0, 2, 13].contains(&resumed.code)
                || world.upledger(&["abort", "--reason", "x"]).code == 12
        );
    }
}

#[test]
fn a_flood_of_output_takes_little_memory() {
    let world = world(
        "upledger: 1\nname: flood\nphases:\n  - phase: all\n    steps:\n      - {id: a, do: {shell: \"timeout 2 cat /dev/zero || true\"}, effect: pure, undo: none}\n",
    );
    let mut runner = world.start(&["run", "plan.yaml"]);
    let status = format!("/proc/{}/status", runner.id());
    let mut most = 0;
    while runner.try_wait().expect("it is our child").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        most = peak.unwrap_or(most);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(most > 0 && most < 32 << 10, "{most} KiB");
}

#[test]
fn a_value_is_no_code_of_an_interpreter() {
    let world = World::new();
    let check = |step: &str| {
        let plan = format!(
            "upledger: 1\nname: v\nvars: {{v: 'x; touch /tmp/never'}}\nphases:\n  - phase: all\n    steps:\n      - {{id: a, do: {{run: [/bin/echo, x]}}, effect: pure}}\n      - {{id: b, {step}, on_doubt: ask, undo: none}}\n"
        );
        world.write("plan.yaml", &plan);
        world.upledger(&["check", "plan.yaml"])
    };
    for refused in [
        r#"do: {run: [bash, -ec, "echo ${v}"]}"#,
        r#"do: {run: [sudo, -u, app, /usr/bin/python3, -c, "print('${v}')"]}"#,
        r#"do: {run: [perl, -e, "print '${v}'"]}"#,
        r#"do: {run: [ssh, -p, "22", host, "ls ${v}"]}"#,
        r#"do: {run: [true]}, probe: {run: [sh, -c, "test -e ${v}"]}, effect: probed"#,
        r#"do: {process.start: {argv: [sh, -c, "exec x ${v}"], pidfile: /run/x, log: /tmp/x}}"#,
    ] {
        let done = check(refused);
        assert_eq!(done.code, 3, "{refused}: {done:?}");
        assert!(
            done.err
                .contains("variables are not substituted in scripts"),
            "{refused}: {done:?}"
        );
    }
    for fine in [
        r#"do: {run: [sh, -c, "echo \"$1\"", x, "${v}"]}"#,
        r#"do: {run: [sh, -c, "echo $${HOME}"]}"#,
        r#"do: {run: [/bin/echo, -c, "${v}"]}"#,
        r#"do: {run: [ssh, "${v}", uptime]}"#,
    ] {
        let done = check(fine);
        assert_eq!(done.code, 0, "{fine}: {done:?}");
    }
}

/// What a shell puts on the command line when it completes a name.
fn completed(world: &World, word: &str) -> Vec<String> {
    let script = r#"source ./c.bash
f=$(complete -p upledger | sed 's/.*-F \([^ ]*\).*/\1/')
COMP_WORDS=(upledger run "$1"); COMP_CWORD=2; COMP_LINE="upledger run $1"; COMP_POINT=${#COMP_LINE}
$f upledger "${1#[\'\"]}" run; printf '%s\n' "${COMPREPLY[@]}""#;
    let bin = Path::new(crate::common::UPLEDGER)
        .parent()
        .expect("a directory");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let out = Command::new("bash")
        .args(["-c", script, "bash", word])
        .current_dir(world.path(""))
        .env("PATH", path)
        .output()
        .expect("bash");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines()
        .filter(|l| !l.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_completed_file_name_is_quoted() {
    let world = World::new();
    let script = world.upledger(&["completion", "bash"]).out;
    std::fs::write(world.path("c.bash"), script).expect("written");
    for name in ["aa $(touch PWN).yaml", "aa*;x.yaml", "bb.yaml", "升级.yaml"] {
        std::fs::write(world.path(name), "").expect("written");
    }
    let mut found = completed(&world, "aa");
    found.sort();
    assert_eq!(found.len(), 2, "{found:?}");
    for word in &found {
        // As the shell would run it.
        let echoed = Command::new("bash")
            .args(["-c", &format!("printf %s {word}")])
            .current_dir(world.path(""))
            .output()
            .expect("bash");
        let name = String::from_utf8_lossy(&echoed.stdout).into_owned();
        assert!(world.path(&name).exists(), "{word}: {name}");
    }
    assert!(!world.path("PWN").exists());
    assert_eq!(completed(&world, "bb"), ["bb.yaml"]);
    // Within double quotes the shell would run it; it is not offered.
    assert_eq!(completed(&world, "\"aa").len(), 1);
}

#[test]
fn who_watches_a_run_that_nobody_drives_is_told_what_its_decision_waits_for() {
    let world = world(
        "upledger: 1\nname: bad\nphases:\n  - phase: all\n    steps:\n      - {id: a, do: {run: [/bin/false]}, effect: pure}\n",
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let retry = ["decide", "a", "retry", "--reason", "mended"];
    assert_eq!(world.upledger(&retry).code, 0);
    let watched = world.upledger(&["watch"]);
    assert_eq!(watched.code, 4, "{watched:?}");
    assert!(watched.out.contains("upledger resume"), "{watched:?}");
}

#[test]
fn a_step_that_is_passed_after_going_back_over_it_is_shown_as_skipped() {
    let world = world(
        r#"
upledger: 1
name: again
phases:
  - phase: all
    steps:
      - {id: keep, do: {shell: "true"}, effect: idempotent, undo: {shell: "true", effect: idempotent}}
      - {id: back, do: {shell: "test ! -e @/bad"}, effect: idempotent, undo: {shell: "true", effect: idempotent}}
      - {id: last, do: {run: [/bin/false]}, effect: pure}
"#,
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let back = ["rollback", "--to", "keep", "--reason", "x"];
    assert_eq!(world.upledger(&back).code, 5);
    let line = || {
        let status = world.upledger(&["status"]).out;
        let line = status
            .lines()
            .find(|l| l.contains(" back "))
            .map(str::to_owned);
        line.unwrap_or(status)
    };
    assert!(line().contains("undone"), "{}", line());
    world.write("bad", "");
    assert_eq!(world.upledger(&["resume"]).code, 1);
    assert!(
        line().contains("failed") && !line().contains("undo"),
        "{}",
        line()
    );
    let skip = ["decide", "back", "skip", "--reason", "by hand"];
    assert_eq!(world.upledger(&skip).code, 0);
    assert_eq!(
        world.upledger(&["resume"]).code,
        1,
        "the last one is looked at again, and fails again"
    );
    assert!(
        line().contains("skipped") && !line().contains("undo"),
        "{}",
        line()
    );
}

#[test]
fn a_verification_without_a_ledger_says_how_to_name_it() {
    let world = World::new();
    let done = world.upledger(&["verify"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(
        done.err.contains("no ledger") && done.err.contains("--state"),
        "{done:?}"
    );
}
