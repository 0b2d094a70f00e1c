//! What `/proc` shows of a command is a claim of the process: it may show a title, a path that leads elsewhere by now, or
//! words that mean something only where it was started.
//!
//! Invariant: what cannot be started again from what is seen is refused before it is stopped, with the setting that says
//! how it is started.

use super::found::Master;
use super::kind::Kind;
use crate::attempt::find_program;
use crate::system::proc;
use std::path::{Path, PathBuf};

/// Programs that run a script, by the beginning of their names.
const INTERPRETERS: [&str; 9] = [
    "python", "pypy", "perl", "ruby", "node", "php", "bash", "dash", "sh",
];
/// What the kernel appends to the name of what was removed.
const DELETED: &str = " (deleted)";

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.into())
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The file that a first word without a path means, by the `PATH` and the directory of the process; none where that is not
/// the one that runs.
pub(super) fn program(pid: i32, words: &[String]) -> Option<String> {
    let first = words.first().filter(|w| !w.contains('/'))?;
    let environ = proc::environ(pid);
    let (_, path) = environ.iter().find(|(key, _)| key == "PATH")?;
    let found = find_program(first, path.to_str(), &proc::cwd(pid).ok()?).ok()?;
    (canonical(&found) == proc::exe(pid).ok()?).then(|| found.display().to_string())
}

/// Why its command cannot be started again from what is seen of it; none where it can.
pub(super) fn refused(kind: &dyn Kind, master: &Master) -> Option<String> {
    if let Some(cwd) = master.cwd.strip_suffix(DELETED) {
        return Some(format!("its working directory {cwd} has been removed"));
    }
    if proc::root(master.ident.pid).is_ok_and(|root| root != Path::new("/")) {
        return Some("it runs in another root directory (chroot)".into());
    }
    if master.exe.is_empty() {
        return None;
    }
    let words = master.seen();
    let first = words.first()?;
    let (cwd, exe) = (Path::new(&master.cwd), Path::new(&master.exe));
    if is_title(master) {
        return Some("it shows a process title instead of the command that started it".into());
    }
    if let Err(why) = kind.started_in(master) {
        return Some(why);
    }
    if first.contains('/') {
        let path = cwd.join(first);
        let leads = canonical(&path);
        // What was replaced in its place is started from there.
        if !path.exists() {
            return Some(format!(
                "its program {first} does not exist in {}",
                master.cwd
            ));
        }
        if leads != canonical(exe) && path != exe {
            return Some(format!(
                "its command line names {first}, which leads to {}, but it executes {}",
                leads.display(),
                master.exe
            ));
        }
    }
    let runs_scripts = INTERPRETERS
        .iter()
        .any(|i| name(&master.exe).starts_with(i));
    let script = words
        .get(1)
        .filter(|w| runs_scripts && !w.starts_with('-'))?;
    (!cwd.join(script).exists())
        .then(|| format!("its script {script} does not exist in {}", master.cwd))
}

/// Its only word is a title that it gave itself.
fn is_title(master: &Master) -> bool {
    let words = master.seen();
    let Some(first) = words.first() else {
        return true;
    };
    if master.program.is_some() || Path::new(&master.cwd).join(first).exists() {
        return false;
    }
    let named = name(first).trim_start_matches('-') == name(&master.exe);
    first.contains(char::is_whitespace) || first.ends_with(':') || (words.len() == 1 && !named)
}

/// TERM makes that program start anew instead of ending.
pub(super) fn reloads_on_term(master: &Master) -> bool {
    const SETTING: &str = "die-on-term";
    let words = master.seen();
    let runs = |path: &str| name(path).starts_with("uwsgi");
    if !runs(&master.exe) && !words.iter().take(2).any(|w| runs(w)) {
        return false;
    }
    let environ = proc::environ(master.ident.pid);
    let says = |word: &String| {
        let file = word.rsplit('=').next().unwrap_or(word);
        let path = Path::new(&master.cwd).join(file);
        let conf = [".ini", ".yaml", ".yml", ".json", ".xml"];
        let conf = conf.iter().any(|end| file.ends_with(end));
        // What cannot be read says nothing, and the signal has to be named.
        word.contains(SETTING)
            || (conf && std::fs::read_to_string(path).is_ok_and(|text| text.contains(SETTING)))
    };
    !(words.iter().any(says) || environ.iter().any(|(key, _)| key == "UWSGI_DIE_ON_TERM"))
}
