//! Commands and small acts on files.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What to say when something is not installed.
const INSTALL: &str = "install what the staging tests need with: tests/prepare (as root), or by hand: apt-get install -y \
     mariadb-server postgresql redis-server nginx-light supervisor cron rabbitmq-server pypy3 pypy3-venv python3-venv python3-pip git";

/// A command in a clean environment.
pub(crate) struct Call(Command);

impl Call {
    pub(crate) fn new(program: &str) -> Self {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/nonexistent")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        Self(command)
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    /// Runs it to its end, whatever that is.
    pub(crate) fn output(mut self) -> Output {
        self.0
            .output()
            .unwrap_or_else(|e| panic!("cannot start {:?}: {e}; {INSTALL}", self.0))
    }

    /// Runs it to its end, which must be a good one; what it printed.
    pub(crate) fn run(self) -> String {
        let shown = format!("{:?}", self.0);
        let done = self.output();
        let (out, err) = (
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr),
        );
        assert!(
            done.status.success(),
            "{shown}: {}\n{out}\n{err}",
            done.status
        );
        out.into_owned()
    }

    /// Starts it in a session of its own, as nobody's child, its output in a file.
    pub(crate) fn daemon(self, log: &Path) {
        let argv: Vec<_> = std::iter::once(self.0.get_program())
            .chain(self.0.get_args())
            .map(OsStr::to_owned)
            .collect();
        // The shell would only say so in the log.
        let found = ["", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .iter()
            .any(|dir| Path::new(dir).join(&argv[0]).is_file());
        assert!(found, "{:?} is not installed; {INSTALL}", argv[0]);
        let mut shell = Command::new("/bin/sh");
        shell
            .args([
                "-c",
                r#"log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 &"#,
                "sh",
            ])
            .arg(log)
            .args(argv)
            .env_clear()
            .envs(self.0.get_envs().filter_map(|(n, v)| Some((n, v?))));
        if let Some(dir) = self.0.get_current_dir() {
            shell.current_dir(dir);
        }
        let status = shell.status().expect("sh starts");
        assert!(status.success(), "{:?}", self.0);
    }
}

pub(super) fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode is set");
}

pub(super) fn link(target: &Path, at: &Path) {
    std::os::unix::fs::symlink(target, at).expect("linked");
}

/// Whether the tests run as root.
pub(crate) fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Waits for a condition of real servers on a busy machine, at most two minutes.
pub(crate) fn patiently(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "not within two minutes: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every third of these places: to kill at each takes minutes, which the long tier has (`UPLEDGER_EVERY_PLACE=1`).
pub(crate) fn some_of<'a>(places: &[&'a str]) -> Vec<&'a str> {
    let step = match std::env::var_os("UPLEDGER_EVERY_PLACE") {
        Some(_) => 1,
        None => 3,
    };
    places.iter().copied().step_by(step).collect()
}
