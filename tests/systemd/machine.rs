//! A machine whose first process is a real systemd: `Machine::boot` starts it, its `Drop` ends every process of it and
//! leaves nothing, also when the test panics. The machines of a test process that is killed power off, and the next boot
//! removes what is left of them.
//!
//! It is a container of systemd-nspawn over the root that `tests/prepare` has built, which it never writes to, with a
//! network and a cgroup of its own, so that any number of them run at once. Root is needed.

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What the names of machines begin with; then come the test's process and a number.
const PREFIX: &str = "upledger-test-";
const UPLEDGER: &str = env!("CARGO_BIN_EXE_upledger");
/// Where the cgroups of machines are made: one place per hierarchy that systemd keeps its processes in.
const HIERARCHIES: [&str; 3] = [
    "/sys/fs/cgroup/systemd",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup",
];
/// For a boot, or for anything else that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    /// The exit code, or 128 and the signal.
    pub(crate) code: i32,
    pub(crate) out: String,
    #[expect(dead_code, reason = "for the messages of tests that fail")]
    pub(crate) err: String,
}

/// A booted machine.
pub(crate) struct Machine {
    name: String,
    nspawn: Child,
    /// The machine's process 1, as this machine counts.
    leader: i32,
    dir: tempfile::TempDir,
    cgroups: Vec<PathBuf>,
}

impl Machine {
    /// Boots one and waits until all of its units are up.
    pub(crate) fn boot() -> Self {
        let image = image();
        static COUNT: AtomicU32 = AtomicU32::new(1);
        sweep();
        let name = format!(
            "{PREFIX}{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::SeqCst)
        );
        let dir = tempfile::Builder::new()
            .prefix("upledger-machine-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a directory");
        let console = fs::File::create(dir.path().join("console")).expect("a file");
        let cgroups = make_cgroups(&name);
        // Into its cgroup before it is nspawn: that is what `--keep-unit` keeps. At the death of this thread it hears
        // TERM, and lets the machine's systemd power off at once.
        let enter = r#"for dir in $CGROUPS; do echo $$ >"$dir/cgroup.procs"; done
            exec setpriv --pdeathsig TERM systemd-nspawn "$@""#;
        let nspawn = Command::new("/bin/sh")
            .args(["-ec", enter, "nspawn", "--quiet", "--boot"])
            .args(["--register=no", "--keep-unit", "--private-network"])
            .args(["--volatile=overlay", "--console=pipe"])
            .arg("--kill-signal=SIGRTMIN+14")
            .arg(format!("--machine={name}"))
            .arg(format!("--bind-ro={UPLEDGER}:/usr/local/bin/upledger"))
            .arg("--directory")
            .arg(&image)
            .env(
                "CGROUPS",
                cgroups
                    .iter()
                    .map(|c| c.display().to_string())
                    .collect::<Vec<_>>()
                    .join(" "),
            )
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a file"))
            .stderr(console)
            .spawn()
            .expect("a shell");
        let mut machine = Self {
            name,
            nspawn,
            leader: 0,
            dir,
            cgroups,
        };
        machine.await_boot();
        machine
    }

    /// Its name, which is its host name too.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn await_boot(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.nspawn.try_wait().expect("waited") {
                panic!("systemd-nspawn {status}: {}", self.console());
            }
            assert!(Instant::now() < until, "no boot: {}", self.console());
            if self.leader == 0 {
                self.leader = first_process(self.nspawn.id()).unwrap_or(0);
            } else {
                let state = self.run(&["systemctl", "is-system-running"]);
                match state.out.trim() {
                    "running" => return,
                    "degraded" => panic!(
                        "a unit has failed: {}{}",
                        self.run(&["systemctl", "--failed", "--no-pager"]).out,
                        self.journal("")
                    ),
                    _ => {}
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What systemd-nspawn and the machine's console have printed.
    fn console(&self) -> String {
        fs::read_to_string(self.dir.path().join("console")).unwrap_or_default()
    }

    /// A command in the machine, outside of all its units, in a clean environment.
    pub(crate) fn command(&self, argv: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.leader))
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"])
            .args(["--", "/usr/bin/env", "--chdir=/root"])
            .args(argv)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("PWD", "/root")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, argv: &[&str]) -> Done {
        Done::of(self.command(argv).output().expect("nsenter"))
    }

    /// Runs a command that must succeed; what it prints.
    pub(crate) fn must(&self, argv: &[&str]) -> String {
        let done = self.run(argv);
        assert_eq!(done.code, 0, "{argv:?}: {done:?}\n{}", self.journal(""));
        done.out
    }

    /// Runs a script of sh that must succeed; what it prints.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.must(&["/bin/sh", "-euc", script])
    }

    /// Runs the program as root, with root's own state directory.
    pub(crate) fn upledger(&self, args: &[&str]) -> Done {
        self.run(&[&["upledger"], args].concat())
    }

    /// A file of the machine, as this machine names it. No directory of it may be an absolute link.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.leader))
    }

    /// Writes a file of the machine, and the directories it lies in.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// The text of a file of the machine; empty when there is none.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// Writes a unit file, and lets systemd read it.
    pub(crate) fn install_unit(&self, name: &str, text: &str) {
        self.write(&format!("/etc/systemd/system/{name}"), text);
        self.daemon_reload();
    }

    /// Lets systemd read all unit files anew.
    pub(crate) fn daemon_reload(&self) {
        self.must(&["systemctl", "daemon-reload"]);
    }

    /// The properties of a unit, as `systemctl show` prints them; also of one that does not exist.
    pub(crate) fn state(&self, unit: &str) -> BTreeMap<String, String> {
        let shown = self.must(&["systemctl", "show", "--no-pager", "--", unit]);
        let lines = shown.lines().filter_map(|line| line.split_once('='));
        lines
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// Stops the machine's systemd, which then answers nobody, or lets it go on.
    pub(crate) fn hold_systemd(&self, hold: bool) {
        let signal = if hold { Signal::STOP } else { Signal::CONT };
        kill_process(self.first(), signal).expect("it lives");
    }

    fn first(&self) -> Pid {
        Pid::from_raw(self.leader).expect("it has booted")
    }

    /// What the journal holds of a unit; of everything when it is empty.
    pub(crate) fn journal(&self, unit: &str) -> String {
        let mut argv = vec!["journalctl", "--no-pager", "--output=short-monotonic"];
        let of = format!("--unit={unit}");
        if !unit.is_empty() {
            argv.push(&of);
        }
        self.run(&argv).out
    }

    /// Waits for a condition.
    pub(crate) fn patiently(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds() {
            assert!(
                Instant::now() < until,
                "not within {PATIENCE:?}: {what}\n{}",
                self.journal("")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() && self.leader != 0 {
            // The test has failed already; this is what it may be understood by.
            let mut err = std::io::stderr().lock();
            let _ = writeln!(err, "journal of {}:\n{}", self.name, self.journal(""));
        }
        // With its first process a machine's processes die, and nspawn cleans up after them.
        if let Some(first) = Pid::from_raw(self.leader) {
            // It may have ended by itself.
            let _ = kill_process(first, Signal::KILL);
        } else {
            let _ = self.nspawn.kill();
        }
        let _ = self.nspawn.wait();
        for dir in &self.cgroups {
            remove_cgroup(dir);
        }
        // What nspawn leaves where /run is no file system of its own.
        for kind in ["propagate", "unix-export"] {
            let _ =
                fs::remove_dir_all(Path::new("/run/systemd/nspawn").join(kind).join(&self.name));
        }
    }
}

impl Done {
    fn of(output: Output) -> Self {
        let signal = output.status.signal().map(|n| 128 + n);
        Self {
            code: output.status.code().or(signal).unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The root that `tests/prepare` has built.
fn image() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target");
    let has = |tool: &str| Path::new("/usr/bin").join(tool).exists();
    let why = if !rustix::process::geteuid().is_root() {
        "they need root"
    } else if !has("systemd-nspawn") || !has("nsenter") || !has("setpriv") {
        "systemd-nspawn, nsenter or setpriv is missing"
    } else {
        match fs::canonicalize(target.join("staging/systemd")) {
            Ok(image) => return image,
            Err(_) => "the root of their machines is missing",
        }
    };
    panic!(
        "the tests with systemd cannot run: {why}. As root: \
         apt-get install -y systemd-container mmdebstrap util-linux && tests/prepare"
    );
}

/// Makes a cgroup in each hierarchy that systemd keeps its processes in.
fn make_cgroups(name: &str) -> Vec<PathBuf> {
    let hierarchies = HIERARCHIES.iter().map(Path::new);
    let made: Vec<PathBuf> = hierarchies
        .filter(|hierarchy| hierarchy.join("cgroup.procs").exists())
        .map(|hierarchy| hierarchy.join(name))
        .collect();
    for dir in &made {
        fs::create_dir(dir).expect("a cgroup");
    }
    assert!(!made.is_empty(), "no cgroup hierarchy below /sys/fs/cgroup");
    made
}

/// Removes the machines of test processes that are gone.
fn sweep() {
    for hierarchy in HIERARCHIES {
        for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let owner = name
                .to_str()
                .and_then(|n| n.strip_prefix(PREFIX)?.split('-').next());
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                remove_cgroup(&entry.path());
            }
        }
    }
}

/// Removes a cgroup and those in it, and ends their processes.
fn remove_cgroup(dir: &Path) {
    let processes = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()) {
        if let Some(pid) = Pid::from_raw(pid) {
            // It may be dead already.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let until = Instant::now() + Duration::from_secs(5);
    while fs::remove_dir(dir).is_err() && dir.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The process below nspawn that is the first of its own process namespace.
fn first_process(nspawn: u32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    let is_first = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let numbers = status.lines().find_map(|l| l.strip_prefix("NSpid:"));
        let numbers = numbers.map(|n| n.split_whitespace().collect::<Vec<_>>());
        numbers.is_some_and(|n| n.len() > 1 && n.last() == Some(&"1"))
    };
    children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .find(is_first)
}
