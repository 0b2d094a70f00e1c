//! `gunicorn.*`: the server of a WSGI application, stopped in peace, started, and given new workers.
//!
//! A master and its workers show the same command line. What tells them apart is which signals they handle, as
//! `/proc/PID/status` lists them: only a master handles HUP, and what handles USR1 without it is a worker. So a worker
//! that outlived its master is seen for what it is. A title that `setproctitle` gives says it itself.

pub mod reload;
pub mod start;
pub mod stop;

use crate::host::process::list::Other;
use crate::host::service::{Kind, Master, Role};
use crate::system::proc::Status;
use std::path::Path;

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
            // Without any it has just been started.
            _ => Role::Master,
        })
    }

    fn drops(&self, worker: &Master) -> bool {
        let says = |w: &String| w == "-u" || w == "--user" || w.starts_with("--user=");
        worker.argv.iter().any(says)
    }

    fn titled(&self, words: &[String]) -> bool {
        words.first().is_some_and(|w| w.starts_with("gunicorn: "))
    }
}

/// The words start Gunicorn: itself, by an interpreter, or as a module of one.
fn runs_gunicorn(words: &[String]) -> bool {
    let name = |word: &String| {
        let name = Path::new(word).file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
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

/// A master loads the application before it forks, so that a HUP gives no new code: as its command line or its
/// configuration says.
pub(crate) fn preloads(master: &Master) -> Option<String> {
    if master
        .argv
        .iter()
        .any(|w| w == "--preload" || w.starts_with("--preload="))
    {
        return Some("--preload".into());
    }
    let mut words = master.argv.iter();
    while let Some(word) = words.next() {
        let conf = match word.as_str() {
            "-c" | "--config" => words.next().cloned(),
            other => other.strip_prefix("--config=").map(str::to_owned),
        };
        let Some(conf) = conf else { continue };
        let conf = conf.trim_start_matches("file:").to_owned();
        let path = Path::new(&master.cwd).join(&conf);
        // A configuration that cannot be read here says nothing; the new workers are looked at all the same.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let says = text.lines().any(|line| {
            let line: String = line.split_whitespace().collect();
            line.starts_with("preload_app=True")
        });
        if says {
            return Some(format!("preload_app in {conf}"));
        }
    }
    None
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
