//! `gunicorn.*`: the server of a WSGI application, stopped in peace, started, and given new workers.
//!
//! A master and its workers show the same command line. What tells them apart is which signals they handle, as
//! `/proc/PID/status` lists them: only a master handles HUP, and what handles USR1 without it is a worker. So a worker
//! that outlived its master is seen for what it is. A title that `setproctitle` gives says it itself.

pub mod reload;
mod settings;
pub mod start;
pub mod stop;

use crate::host::process::list::Other;
use crate::host::service::{Kind, Master, Role};
use crate::system::proc::{self, Status};
use settings::Settings;
use std::path::{Path, PathBuf};

/// A Gunicorn.
pub(crate) struct Gunicorn;

/// Bits of the mask of handled signals.
const HUP: u64 = 1 << 0;
const USR1: u64 = 1 << 9;

impl Kind for Gunicorn {
    fn name(&self) -> &'static str {
        "Gunicorn"
    }

    fn role(&self, process: &Other) -> Option<Role> {
        let first = process.words.first()?;
        if first.starts_with("gunicorn: master") {
            return Some(Role::Master);
        }
        if first.starts_with("gunicorn: worker") {
            return Some(Role::Worker);
        }
        if !runs_gunicorn(&process.words) {
            return None;
        }
        let status = Status::of(process.pid).ok()?;
        Some(match status.handled {
            handled if handled & HUP == 0 && handled & USR1 != 0 => Role::Worker,
            // Without any it has just been started. A worker has those of its master until it sets its own.
            _ if runs_gunicorn(&proc::words(process.parent))
                && !succeeds(process.pid, process.parent) =>
            {
                Role::Worker
            }
            _ => Role::Master,
        })
    }

    fn nests(&self) -> bool {
        true
    }

    fn pidfile(&self, process: &Other) -> Option<PathBuf> {
        let cwd = proc::cwd(process.pid).ok()?;
        settings::of(process.pid, &process.words, &cwd).pidfile
    }

    fn started_in(&self, master: &Master) -> Result<Option<String>, String> {
        let known = settings_of(master).started_in;
        let known = known.filter(|_| !is_titled(master));
        match known {
            Some(dir) if dir.canonicalize().ok() == Path::new(&master.cwd).canonicalize().ok() => {
                Ok(None)
            }
            Some(dir) => Ok(Some(dir.display().to_string())),
            None => Err(format!(
                "it works in {}, and where it was started, which its relative paths count from, cannot be told",
                master.cwd
            )),
        }
    }

    fn drops(&self, worker: &Master) -> bool {
        let says = |w: &String| w == "-u" || w == "--user" || w.starts_with("--user=");
        worker.argv.iter().any(says)
    }
}

/// The words start Gunicorn: itself, by an interpreter, or as a module of one.
fn runs_gunicorn(words: &[String]) -> bool {
    let name = |word: &String| {
        let name = Path::new(word).file_name().unwrap_or_default();
        name.to_str().unwrap_or_default().to_owned()
    };
    let Some(first) = words.first().map(name) else {
        return false;
    };
    if first == "gunicorn" {
        return true;
    }
    if !(first.starts_with("python") || first.starts_with("pypy")) {
        return false;
    }
    // Behind the interpreter's own options.
    let mut rest = words
        .iter()
        .skip(1)
        .skip_while(|w| w.starts_with('-') && w.as_str() != "-m" && w.as_str() != "-c");
    match rest.next().map(String::as_str) {
        Some("-m") => rest
            .next()
            .is_some_and(|w| w == "gunicorn" || w.starts_with("gunicorn.")),
        Some(script) => name(&script.to_owned()) == "gunicorn",
        None => false,
    }
}

/// A master loads the application before it forks, so that a HUP gives no new code: as its command line, its environment
/// or its configuration says.
pub(crate) fn preloads(master: &Master) -> Option<String> {
    settings_of(master).preload
}

/// It shows a title, so that its command line says nothing of what it was told.
pub(crate) fn is_titled(master: &Master) -> bool {
    let first = master.argv.first();
    first.is_some_and(|w| w.starts_with("gunicorn: "))
}

fn settings_of(master: &Master) -> Settings {
    settings::of(master.ident.pid, &master.argv, Path::new(&master.cwd))
}

/// It was executed as the successor of that one, which tells it so: USR2. What has just been forked was told nothing.
fn succeeds(pid: i32, parent: i32) -> bool {
    let environ = proc::environ(pid);
    let mut told = environ.iter().filter(|(key, _)| key == "GUNICORN_PID");
    told.any(|(_, value)| value.to_str() == Some(&parent.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gunicorn_is_known_by_its_words() {
        let runs = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            runs_gunicorn(&words)
        };
        for good in [
            "/venv/bin/python3 /venv/bin/gunicorn -w 2 app:app",
            "/venv/bin/python -m gunicorn --config x wsgi",
            "python3.11 -u -m gunicorn wsgi",
            "/usr/bin/gunicorn app:app",
            "pypy3 -O /venv/bin/gunicorn x",
        ] {
            assert!(runs(good), "{good}");
        }
        for bad in [
            "vi gunicorn",
            "sh -c gunicorn",
            "python3 -c gunicorn",
            "tail -f /var/log/gunicorn",
            "python3 manage.py gunicorn",
            "python3",
            "/usr/bin/python3 /usr/bin/supervisord -c gunicorn",
        ] {
            assert!(!runs(bad), "{bad}");
        }
    }
}
