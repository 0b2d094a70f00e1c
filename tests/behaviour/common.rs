//! A private place for one test: its own state directory, its own memory of heads, its own files.

use rustix::process::{Pid, Signal, kill_process};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const UPLEDGER: &str = env!("CARGO_BIN_EXE_upledger");

/// Variables that are named where they are set and not passed on.
const WITHHELD: [&str; 16] = [
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
];

/// One test's place; removed when it is dropped.
pub(crate) struct World {
    dir: tempfile::TempDir,
    damaged: Cell<bool>,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Does `round` for record 1, 1 + `stride`, … in worlds of their own, several at a time, until one says that its record
/// was not reached any more; returns the last that was. A round mostly waits for processes.
pub(crate) fn for_each_record(stride: u32, round: impl Fn(u32) -> bool + Sync) -> u32 {
    let (next, last) = (AtomicU32::new(1), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let record = next.fetch_add(stride, Ordering::SeqCst);
                    if !round(record) {
                        break;
                    }
                    last.fetch_max(record, Ordering::SeqCst);
                }
            });
        }
    });
    last.into_inner()
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("upledger-test-").tempdir();
        Self::of(dir.expect("a temporary directory"))
    }

    /// One in this directory.
    pub(crate) fn of(dir: tempfile::TempDir) -> Self {
        Self {
            dir,
            damaged: Cell::new(false),
        }
    }

    /// This test damages its ledger: it is not verified at the end.
    pub(crate) fn damages_its_ledger(&self) {
        self.damaged.set(true);
    }

    /// A path in this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes a file; `@` in it becomes this world's directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(
            &path,
            text.replace('@', &self.dir.path().display().to_string()),
        )
        .expect("written");
        path
    }

    /// The lines of a file; none when it does not exist.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        std::fs::read_to_string(self.path(name))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The program, in this world.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(UPLEDGER);
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("UPLEDGER_STATE", self.state())
            .env("UPLEDGER_MEMORY", self.path("memory"))
            .env_remove("UPLEDGER_FAILPOINT")
            .stdin(Stdio::null());
        // What the machine of the test has is told in previews.
        for name in WITHHELD {
            command.env_remove(name);
        }
        command
    }

    /// Runs the program to its end.
    pub(crate) fn upledger(&self, args: &[&str]) -> Done {
        Done::of(self.command(args).output().expect("the program starts"))
    }

    /// Rolls back where `undo/` holds nothing but what an event names: the ledger is the only state.
    pub(crate) fn rollback(&self) -> Done {
        self.forget_unnamed();
        self.upledger(&["rollback", "--reason", "test"])
    }

    /// Removes from `undo/` all that no event names.
    pub(crate) fn forget_unnamed(&self) {
        let log = self.upledger(&["log", "--json"]);
        assert_eq!(log.code, 0, "{log:?}");
        let kept = std::fs::read_dir(self.state().join("undo"));
        for entry in kept.into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|n| n.to_str());
            if name.is_some_and(|n| log.out.contains(n)) {
                continue;
            }
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.expect("removed");
        }
    }

    /// Starts the program and leaves it running.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    }

    /// A run's state, for programs.
    pub(crate) fn status(&self) -> serde_json::Value {
        let done = self.upledger(&["status", "--json"]);
        serde_json::from_str(done.out.lines().last().unwrap_or_default()).unwrap_or_default()
    }

    /// Waits until a step's status is this.
    pub(crate) fn await_step(&self, step: &str, status: &str) {
        eventually(&format!("{step} is {status}"), || {
            self.status()["steps"].as_array().is_some_and(|steps| {
                steps
                    .iter()
                    .any(|s| s["step"] == step && s["do"]["status"] == status)
            })
        });
    }

    /// Both verifiers accept the ledger.
    pub(crate) fn assert_sound(&self) {
        let done = self.upledger(&["verify"]);
        assert_eq!(done.code, 0, "{done:?}");
        let script = self.path("verify.py");
        if !script.exists() {
            std::fs::write(&script, self.upledger(&["verifier"]).out).expect("written");
        }
        let python = Command::new("python3")
            .arg("-I")
            .arg(&script)
            .arg(self.state().join("ledger.db"))
            .output()
            .expect("python3; install it with: apt-get install -y python3");
        assert!(python.status.success(), "{python:?}");
    }

    /// All events, as programs see them.
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        let log = self.upledger(&["log", "--json"]);
        log.out
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The supervisors that have a file of one of this world's job directories open.
    pub(crate) fn supervisors(&self) -> Vec<i32> {
        let jobs = self.state().join("jobs");
        processes()
            .into_iter()
            .filter(|pid| {
                let cmd = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&cmd).contains("__supervise-detached")
                    && has_open(*pid, &jobs)
            })
            .collect()
    }

    /// The value of `UPLEDGER_FAILPOINT` with which a process dies at the first of these places that it comes by, and the
    /// next process at the next one. Each death leaves the file [`Self::died_at`].
    pub(crate) fn deaths(&self, places: &[&str]) -> String {
        let places = places.iter().map(|place| {
            let file = self.path(&format!("died-at-{place}"));
            format!("{place}@{}", file.display())
        });
        places.collect::<Vec<_>>().join(",")
    }

    /// Whether a process has died at this place of [`Self::deaths`].
    pub(crate) fn died_at(&self, place: &str) -> bool {
        self.path(&format!("died-at-{place}")).exists()
    }

    /// Waits until a failpoint has stopped a supervisor.
    pub(crate) fn stopped_supervisor(&self) -> i32 {
        let mut stopped = None;
        eventually("a supervisor is stopped", || {
            stopped = self.supervisors().into_iter().find(|pid| is_stopped(*pid));
            stopped.is_some()
        });
        stopped.expect("it was found")
    }
}

/// What holds of every record that a test makes: nothing that never started has an intent, and the intent of an action's
/// own undo says what the undo does, not what the step did.
pub(crate) fn assert_conforms(events: &[serde_json::Value]) {
    let lines = |data: &serde_json::Value| -> Vec<String> {
        serde_json::from_value(data["command"].clone()).expect("lines")
    };
    let started = || events.iter().filter(|e| e["kind"] == "step.started");
    for event in started() {
        let data = &event["data"];
        assert_ne!(data["nonce"], "", "an intent without an attempt: {event}");
        let undo = lines(data);
        if !undo.first().is_some_and(|l| l.starts_with("undo of ")) {
            continue;
        }
        assert!(
            undo.len() > 1,
            "the undo does not say what it does: {event}"
        );
        let forward = started().filter(|e| {
            let part = &e["data"]["at"]["part"];
            let of = &data["at"]["part"];
            e["run"] == event["run"] && part["way"] == "do" && part["step"] == of["step"]
        });
        let forward: Vec<String> = forward.flat_map(|e| lines(&e["data"])).collect();
        // Both may test a configuration or reload it.
        assert!(
            undo.iter().skip(1).any(|line| !forward.contains(line)),
            "the undo repeats the step's own lines: {event}"
        );
    }
}

/// Every ledger that a test makes is accepted by both verifiers.
impl Drop for World {
    fn drop(&mut self) {
        let made = self.state().join("ledger.db").exists();
        if made && !self.damaged.get() && !std::thread::panicking() {
            self.assert_sound();
            assert_conforms(&self.events());
        }
    }
}

impl Done {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn processes() -> Vec<i32> {
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect()
}

fn has_open(pid: i32, below: &Path) -> bool {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| std::fs::read_link(e.path()).ok())
        .any(|target| target.starts_with(below))
}

/// Whether SIGSTOP has taken effect on a process: the state of `proc_pid_stat(5)`, behind the name in parentheses.
fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, state)| state.starts_with('T'))
}

/// Kills a process for good.
pub(crate) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Sends a signal to a process that lives.
pub(crate) fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("it lives");
}

/// Waits for a condition, at most half a minute.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A small file system, for as long as the test runs.
pub(crate) struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    /// Mounts it; that takes root.
    pub(crate) fn mount(at: &'a Path, options: &str) -> Self {
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(at)
            .status();
        assert!(done.is_ok_and(|s| s.success()), "mount {}", at.display());
        Self(at)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        // Nothing is left to do when it fails: the directory is then seen to be left.
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
