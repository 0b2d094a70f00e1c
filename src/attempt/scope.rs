//! A scope of its own for a supervisor: a transient unit of systemd that holds the processes of one attempt.
//!
//! systemd kills by cgroup: the stop of a unit ends every process in it, and so does the end of a login session where
//! logind has `KillUserProcesses=yes`. A supervisor that only leaves its session ends with them. So it asks the service
//! manager, over the manager's own socket, to put it into a scope; the command is started there.
//!
//! Nothing of an attempt depends on it: where systemd does not run, or refuses, or hangs, the step runs all the same.

use super::bus::{Bus, BusError};
use super::output::NOTE;
use super::spec::Spec;
use crate::system::proc;
use std::fs::read_to_string;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// How long the service manager is waited for, all in all. It answers within milliseconds, but for seconds it may read
/// its unit files anew.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest part of a unit's name that comes from a run or a step; systemd allows 255 bytes for the whole name.
const PART: usize = 80;

/// systemd runs here, and none of its managers keeps this user's processes: it runs for another user, and this one has
/// no manager that stays when the last session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotKept;

/// The socket of the service manager that may hold our scopes; none where systemd does not run.
///
/// # Errors
/// [`NotKept`].
pub fn manager() -> Result<Option<PathBuf>, NotKept> {
    manager_below(Path::new("/"), rustix::process::geteuid().as_raw())
}

fn manager_below(root: &Path, user: u32) -> Result<Option<PathBuf>, NotKept> {
    // As sd_booted(3) tells it.
    if !root.join("run/systemd/system").is_dir() {
        return Ok(None);
    }
    if user == 0 {
        return Ok(Some(root.join("run/systemd/private")));
    }
    // The manager of a user without lingering ends with the user's last session, and everything in it.
    let socket = root.join(format!("run/user/{user}/systemd/private"));
    let lingers = name_of(root, user)
        .is_some_and(|name| root.join("var/lib/systemd/linger").join(name).exists());
    if lingers && socket.exists() {
        Ok(Some(socket))
    } else {
        Err(NotKept)
    }
}

/// The user's name, as logind knows it. Users need not stand in `/etc/passwd`.
fn name_of(root: &Path, user: u32) -> Option<String> {
    let known = read_to_string(root.join(format!("run/systemd/users/{user}"))).ok()?;
    let name = known.lines().find_map(|line| line.strip_prefix("NAME="))?;
    (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
}

/// Why this process is in no scope of its own.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotEntered {
    #[error(transparent)]
    Refused(#[from] BusError),
    #[error("systemd did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("systemd said that it is, but its cgroup is another")]
    Elsewhere,
    #[error(transparent)]
    System(#[from] io::Error),
}

/// What a step's output says then.
pub(super) fn note(why: &NotEntered) -> String {
    format!(
        "{NOTE}not in a scope of its own, so that the stop of the unit or session around it ends this step too: {why}]"
    )
}

/// Puts this process into a scope of its own, where there is a manager for it. Nobody else moves a process: the manager
/// takes it from the connection who asks, so that no other process is meant, whoever counts them how.
///
/// When it returns an error, the scope may still come later; that does no harm.
pub(super) fn enter(spec: &Spec) -> Result<(), NotEntered> {
    // Who drives the run has said that this user's processes are not kept.
    let Ok(Some(socket)) = manager() else {
        return Ok(());
    };
    enter_by(socket, unit_name(spec), description(spec), PATIENCE)
}

fn enter_by(
    socket: PathBuf,
    unit: String,
    description: String,
    at_most: Duration,
) -> Result<(), NotEntered> {
    let (tell, told) = mpsc::channel();
    let asked = unit.clone();
    // A thread of its own, because connecting to a manager that hangs has no time limit.
    std::thread::Builder::new()
        .name("scope".into())
        .spawn(move || {
            let started = Bus::connect(&socket, at_most)
                .and_then(|mut bus| bus.start_scope(&asked, &description));
            // Nobody waits any more when it comes too late.
            let _ = tell.send(started);
        })?;
    told.recv_timeout(at_most)
        .map_err(|_| NotEntered::Silent)??;
    let cgroups = proc::own_cgroups()?;
    if is_in(&cgroups, &unit) {
        Ok(())
    } else {
        Err(NotEntered::Elsewhere)
    }
}

/// Whether one of the cgroups of `/proc/self/cgroup` is that of the unit. The paths before it depend on who asks.
fn is_in(cgroups: &str, unit: &str) -> bool {
    cgroups
        .lines()
        .any(|line| line.rsplit('/').next() == Some(unit))
}

/// `upledger-RUN-STEP-1-NONCE.scope`; of the second attempt of an undo `upledger-RUN-STEP-undo2-NONCE.scope`. The part of
/// the nonce tells it from an attempt of the same name in another ledger of this machine.
fn unit_name(spec: &Spec) -> String {
    let undo = if spec.way == "undo" { "undo" } else { "" };
    format!(
        "upledger-{}-{}-{undo}{}-{}.scope",
        plain(&spec.run, PART),
        plain(&spec.step, PART),
        spec.attempt,
        plain(&spec.nonce, 8),
    )
}

/// Its first characters, of which those that unit names do not hold are underscores.
fn plain(text: &str, at_most: usize) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    text.chars()
        .take(at_most)
        .map(|c| if allowed(c) || c == '-' { c } else { '_' })
        .collect()
}

fn description(spec: &Spec) -> String {
    let undo = if spec.way == "undo" { "undo of " } else { "" };
    format!(
        "upledger: {undo}step {} of run {}, attempt {}",
        spec.step, spec.run, spec.attempt
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::spec::{Command, VERSION};
    use std::fs;
    use std::os::unix::net::UnixListener;

    fn spec(run: &str, step: &str, way: &str) -> Spec {
        Spec {
            v: VERSION.into(),
            ledger: String::new(),
            head_seq: 1,
            head_hash: String::new(),
            run: run.into(),
            step: step.into(),
            target: "local".into(),
            way: way.into(),
            attempt: 2,
            nonce: "0123456789abcdef".into(),
            boot: String::new(),
            command: Command::Act,
            cwd: None,
            env: vec![],
            timeout_ms: None,
            grace_ms: 0,
            output_limit: 0,
        }
    }

    #[test]
    fn a_name_is_one_that_systemd_takes() {
        let plain = spec("night-20261129-1", "db.migrate", "do");
        assert_eq!(
            unit_name(&plain),
            "upledger-night-20261129-1-db.migrate-2-01234567.scope"
        );
        let odd = unit_name(&spec("r", "a/b@c d\\停", "undo"));
        assert_eq!(odd, "upledger-r-a_b_c_d__-undo2-01234567.scope");
        let long = unit_name(&spec(&"r".repeat(300), &"s".repeat(300), "do"));
        assert!(long.len() < 255, "{long}");
        assert_eq!(
            description(&spec("r", "停", "undo")),
            "upledger: undo of step 停 of run r, attempt 2"
        );
    }

    #[test]
    fn only_a_manager_that_stays_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let make = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        // Not booted by systemd.
        assert_eq!(manager_below(root, 0), Ok(None));
        assert_eq!(manager_below(root, 1000), Ok(None));
        fs::create_dir_all(root.join("run/systemd/system")).unwrap();
        assert_eq!(
            manager_below(root, 0),
            Ok(Some(root.join("run/systemd/private")))
        );
        assert_eq!(manager_below(root, 1000), Err(NotKept));
        // Logged in.
        make(
            "run/systemd/users/1000",
            "UID=1000\nNAME=deploy\nSTATE=active\n",
        );
        make("run/user/1000/systemd/private", "");
        assert_eq!(manager_below(root, 1000), Err(NotKept));
        // Lingering.
        make("var/lib/systemd/linger/deploy", "");
        let socket = root.join("run/user/1000/systemd/private");
        assert_eq!(manager_below(root, 1000), Ok(Some(socket.clone())));
        // Lingering, and its manager is not there.
        fs::remove_file(socket).unwrap();
        assert_eq!(manager_below(root, 1000), Err(NotKept));
    }

    #[test]
    fn a_cgroup_is_known_by_its_last_part() {
        let unit = "upledger-a-1.scope";
        for held in [
            "0::/system.slice/upledger-a-1.scope\n",
            "9:name=systemd:/../x/upledger-a-1.scope\n0::/\n",
        ] {
            assert!(is_in(held, unit), "{held}");
        }
        for other in [
            "",
            "0::/\n",
            "0::/system.slice/upledger-a-1.scope/below\n",
            "0::/system.slice/not-upledger-a-1.scope\n",
        ] {
            assert!(!is_in(other, unit), "{other}");
        }
    }

    #[test]
    fn a_manager_that_does_not_answer_is_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("private");
        let _silent = UnixListener::bind(&socket).unwrap();
        let short = Duration::from_millis(20);
        let why = enter_by(socket, "a.scope".into(), String::new(), short).unwrap_err();
        let said = note(&why);
        assert!(said.starts_with(NOTE) && said.contains("systemd"), "{said}");
        let gone = enter_by(
            dir.path().join("no"),
            "a.scope".into(),
            String::new(),
            short,
        );
        assert!(note(&gone.unwrap_err()).contains("No such file"));
    }
}
