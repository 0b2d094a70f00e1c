//! Starts the command: looks it up, sets exactly its environment, and spawns it, or reports that it was not executed.
//!
//! Every error here proves that there was no effect: the standard library reports a failed `execve` through a close-on-exec
//! pipe. Therefore nothing after the spawn may fail.

use super::launch::{ACT, SELF};
use super::slot::Ended;
use super::spec::{Command as What, Spec, SupervisorInput, VariableValue};
use rustix::fs::{Access, Mode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use upledger_replay::event::own::DIRECTORY;

/// The variable with the number of the inherited `tree.lock` descriptor, so that a daemon that is meant to keep running can
/// close it.
const TREE_FD: &str = "UPLEDGER_TREE_FD";

/// Why it was not executed.
#[derive(Debug)]
pub(super) struct NotExecuted {
    what: String,
    source: io::Error,
}

impl NotExecuted {
    fn new(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self {
            what: what.into(),
            source: source.into(),
        }
    }

    pub(super) fn ended(&self, redact: impl Fn(&str) -> String) -> Ended {
        Ended::NotExecuted {
            errno: self.source.raw_os_error(),
            message: redact(&format!("{}: {}", self.what, self.source)),
        }
    }
}

/// Starts the command in its own process group, with the job's environment and nothing else. The child inherits `tree`,
/// which the caller closes, and `core` as its limit of core dumps.
pub(super) fn start(
    frame: &SupervisorInput,
    spec: &Spec,
    tree: &File,
    core: Rlimit,
) -> Result<Child, NotExecuted> {
    let cwd = Path::new(spec.cwd.as_deref().unwrap_or("/"));
    // Checked in advance because the error of a spawn does not say what was not found.
    let enter = || {
        rustix::fs::access(cwd, Access::EXEC_OK)?;
        if cwd.is_dir() {
            Ok(())
        } else {
            Err(rustix::io::Errno::NOTDIR)
        }
    };
    enter().map_err(|e| NotExecuted::new(format!("{DIRECTORY}{}", cwd.display()), e))?;
    let env = environment(frame, spec)?;
    let (mut command, name) = match &spec.command {
        What::Argv(argv) => {
            let (name, words) = argv
                .split_first()
                .ok_or_else(|| NotExecuted::new("the command", io::Error::other("it is empty")))?;
            let path = env
                .iter()
                .rev()
                .find(|(k, _)| *k == "PATH")
                .map(|(_, v)| *v);
            let program = find(name, path, cwd).map_err(|e| NotExecuted::new(name, e))?;
            let mut command = Command::new(program);
            command.arg0(name).args(words);
            (command, name.as_str())
        }
        What::Act => {
            let mut command = Command::new(SELF);
            // Its open files may not be seen; its job is known by its command line.
            let job = frame.job.file_name().unwrap_or_default();
            command.arg0("upledger").arg(ACT).arg(job);
            (command, "upledger")
        }
    };
    command
        .env_clear()
        .envs(env)
        .env(TREE_FD, tree.as_raw_fd().to_string())
        .current_dir(cwd)
        .stdin(if frame.act.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let act = frame.act.as_ref().map(serde_json::to_vec).transpose();
    let act = act.map_err(|e| NotExecuted::new("what the action is told", e))?;

    let ours = getrlimit(Resource::Core);
    rustix::io::fcntl_setfd(tree, rustix::io::FdFlags::empty())
        .map_err(|e| NotExecuted::new("the lock that the command inherits", e))?;
    let before = umask(Mode::WGRP | Mode::WOTH);
    // Only the soft limit is changed, so neither call can fail.
    let _ = setrlimit(Resource::Core, core);
    let spawned = command.spawn();
    let _ = setrlimit(Resource::Core, ours);
    umask(before);

    let mut child = spawned.map_err(|e| NotExecuted::new(name, e))?;
    if let (Some(act), Some(mut pipe)) = (act, child.stdin.take()) {
        // A process that dies before it has read its frame says so by its status; one that gets none cannot read it.
        let _ = std::thread::Builder::new()
            .name("act".into())
            .spawn(move || pipe.write_all(&act));
    }
    Ok(child)
}

fn environment<'a>(
    frame: &'a SupervisorInput,
    spec: &'a Spec,
) -> Result<Vec<(&'a str, &'a str)>, NotExecuted> {
    spec.env
        .iter()
        .map(|variable| {
            let value = match &variable.value {
                VariableValue::Text(text) => text,
                VariableValue::File(path) => {
                    let given = frame.env.iter().find(|(n, _)| *n == variable.key);
                    let missing = || {
                        let what = format!("{} of {path}", variable.key);
                        NotExecuted::new(what, io::Error::other("it was not given"))
                    };
                    given.map(|(_, value)| value).ok_or_else(missing)?
                }
                VariableValue::Secret(name) => {
                    let given = frame.secrets.iter().find(|(n, _)| n == name);
                    let missing = || {
                        NotExecuted::new(
                            format!("the secret {name}"),
                            io::Error::other("it was not given"),
                        )
                    };
                    given.map(|(_, value)| value).ok_or_else(missing)?
                }
            };
            Ok((variable.key.as_str(), value.as_str()))
        })
        .collect()
}

/// Looks a program up as `execvp` does, in the command's own PATH. It is then executed by its path, because `execvp`
/// hands a file that is no program to a shell, and no step gets a shell that it did not ask for.
pub(crate) fn find(name: &str, path: Option<&str>, cwd: &Path) -> io::Result<PathBuf> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let mut error = io::Error::from(rustix::io::Errno::NOENT);
    for dir in path.unwrap_or("/bin:/usr/bin").split(':') {
        let candidate = cwd.join(dir).join(name);
        if name.is_empty() || !candidate.is_file() {
            continue;
        }
        match rustix::fs::access(&candidate, Access::EXEC_OK) {
            Ok(()) => return Ok(candidate),
            Err(e) => error = e.into(),
        }
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn programs_are_found_in_the_path_that_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let tool = dir.path().join("tool");
        std::fs::write(&tool, "").unwrap();
        let path = format!("/nonexistent:{}:/bin", dir.path().display());
        let denied = find("tool", Some(&path), Path::new("/")).unwrap_err();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("tool", Some(&path), Path::new("/")).unwrap(), tool);
        assert_eq!(
            find("tool", Some("."), dir.path()).unwrap().file_name(),
            tool.file_name()
        );
        assert_eq!(
            find("./x", Some(&path), Path::new("/")).unwrap(),
            Path::new("./x")
        );
        for missing in ["tool", ""] {
            assert_eq!(
                find(missing, None, Path::new("/")).unwrap_err().kind(),
                io::ErrorKind::NotFound
            );
        }
    }
}
